//! Looking at what a wave restarted until it is decided whether it runs: reads statuses again and again, within the run's
//! time. What a status means is told in `decide::watch`.

use std::collections::BTreeMap;
use std::io::{self, IsTerminal};
use std::time::Duration;

use futures_util::future::join_all;
use tokio::time::{Instant, sleep, sleep_until};

use super::Clock;
use super::apply::Halt;
use crate::connect::{Cluster, Known};
use crate::decide::calls::Call;
use crate::decide::listing::Listing;
use crate::decide::model::InstanceId;
use crate::decide::shared::SharedStr;
use crate::decide::table::ByInstance;
use crate::decide::time::Timestamp;
use crate::decide::watch::{Fate, Watched, all_decided};
use crate::signal::{Interrupt, interrupted};

/// Between two readings, at most; a short watch is read more often.
const READ_EVERY: Duration = Duration::from_secs(5);
/// The first reading comes after this time.
const SOON: Duration = Duration::from_secs(1);
/// More connectors than this are read in one listing, and not one by one.
const ONE_BY_ONE: usize = 4;

/// Looks until all is decided, the run's time is over, or a signal comes.
pub(super) async fn watch<C: Cluster>(
    cluster: &C,
    watched: &mut ByInstance<Watched>,
    lasting: Duration,
    end: Instant,
    clock: &Clock<'_>,
    interrupt: &Interrupt,
    somebody_waits: bool,
) -> Option<Halt> {
    let mut progress = Progress::new(somebody_waits);
    let pause = lasting.checked_div(5).unwrap_or_default().clamp(Duration::from_millis(100), READ_EVERY);
    let mut interrupt = interrupt.clone();
    let looking = async {
        // Soon once: what runs counts from when it is first seen.
        let mut next = pause.min(SOON);
        while !all_decided(watched, lasting, clock()) {
            sleep(next).await;
            next = pause;
            for listing in read(cluster, watched).await {
                see(watched, &listing, clock);
            }
            progress.tell(watched, lasting, clock());
        }
    };
    tokio::select! {
        () = looking => None,
        () = sleep_until(end) => Some(Halt::Deadline),
        number = interrupted(&mut interrupt) => Some(Halt::Signal(number)),
    }
}

/// How far the watching has come, for somebody at a terminal.
struct Progress {
    told: Option<String>,
    tells: bool,
}

impl Progress {
    fn new(somebody_waits: bool) -> Self {
        Self { told: None, tells: somebody_waits && io::stderr().is_terminal() }
    }

    /// Once for each change.
    fn tell(&mut self, watched: &ByInstance<Watched>, lasting: Duration, now: Timestamp) {
        if !self.tells {
            return;
        }
        let count =
            |fates: &[Fate]| watched.iter().filter(|one| fates.contains(&one.fate(lasting, now))).count();
        let (recovered, failed) = (count(&[Fate::Recovered]), count(&[Fate::FailedAgain]));
        let (running, open) = (count(&[Fate::Runs]), count(&[Fate::Open]));
        let all = watched.len();
        let text = format!(
            "of {all}: {recovered} recovered, {failed} failed again, {running} running so far, {open} not yet known"
        );
        if self.told.as_ref() != Some(&text) {
            tracing::info!("{text}");
            self.told = Some(text);
        }
    }
}

/// What Connect says now of what may still change. What cannot be read says nothing.
async fn read<C: Cluster>(cluster: &C, watched: &ByInstance<Watched>) -> Vec<Listing> {
    let mut open: BTreeMap<SharedStr, Vec<InstanceId>> = BTreeMap::new();
    for one in watched.iter().filter(|one| one.is_open()) {
        open.entry(SharedStr::clone(&one.id.connector)).or_default().push(one.id.clone());
    }
    if open.len() > ONE_BY_ONE {
        let names: Vec<&str> = open.keys().map(|name| &**name).collect();
        return Vec::from_iter(cluster.listing(&Known::connectors(&names)).await.ok());
    }
    let calls = open.into_iter().map(|(connector, expected)| Call::FailedOf { connector, expected });
    let statuses = calls.map(|call| async move { cluster.status(&call).await.ok() });
    join_all(statuses).await.into_iter().flatten().collect()
}

/// Folds in a listing of some connectors, or of all.
fn see(watched: &mut ByInstance<Watched>, listing: &Listing, clock: &Clock<'_>) {
    for one in watched.iter_mut().filter(|one| listing.speaks_of(&one.id.connector)) {
        one.see(listing, clock());
    }
}
