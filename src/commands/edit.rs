//! How a person's command gets at the state: it waits for a run that is under way, says whose it is, and ends the wait at a
//! signal. What is changed is the command's business.

use std::time::Duration;

use super::run::interruption;
use crate::config::Config;
use crate::decide::ledger::Ledger;
use crate::decide::time::Timestamp;
use crate::exit::{Failure, Kind, OrFail};
use crate::signal::{self, Interrupt, interrupted};
use crate::store::{self, Opened, Store};

/// No run holds the state for longer.
const LONGEST_RUN: Duration = Duration::from_secs(60 * 60);

/// The state, as soon as no run holds it.
pub(super) async fn free(
    config: &Config,
    interrupt: &mut Interrupt,
    told: &mut bool,
) -> Result<Opened, Failure> {
    let open = |wait| store::open(&config.state, &config.cluster, wait);
    let held = match open(Duration::ZERO).await {
        Err(failure) if failure.kind == Kind::Locked => failure,
        done => return done,
    };
    if !std::mem::replace(told, true) {
        tracing::warn!("{}: waiting for it to end (Ctrl-C ends the wait)", held.message());
    }
    tokio::select! {
        opened = open(LONGEST_RUN) => opened,
        _ = interrupted(interrupt) => Err(held),
    }
}

/// Changes what is remembered, all of it or nothing; `change` says what it found, and whether there is anything to write.
pub(super) async fn edit<T>(
    config: &Config,
    change: impl Fn(&mut Ledger) -> (T, bool),
) -> Result<T, Failure> {
    let mut interrupt = signal::listen().or_fail(Kind::Internal)?;
    let mut told = false;
    loop {
        let mut store = free(config, &mut interrupt, &mut told).await?;
        let once = async {
            let loaded = store.load().await?;
            if let Some(warning) = loaded.warning {
                tracing::error!("{warning}");
            }
            let mut ledger = loaded.ledger;
            let (found, has_changed) = change(&mut ledger);
            if has_changed {
                // A run that looked before must not undo it.
                store.charge(&ledger, Timestamp::default()).await?;
            }
            Ok(found)
        };
        let done: Result<T, Failure> = tokio::select! {
            done = once => done,
            number = interrupted(&mut interrupt) => return Err(interruption(number)),
        };
        match done {
            // A run began after the state was read: wait for its end too.
            Err(failure) if failure.kind == Kind::Locked => {}
            done => return done,
        }
    }
}
