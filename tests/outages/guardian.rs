//! guardian's real run logic against the world: every five minutes one run, with the settings that its environment gives
//! it, over a cluster and a disk in memory. Time is tokio's paused clock, so that the world goes on while a run waits.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::ops::Range;
use std::time::Duration;

use connector_guardian::cli::{Parsed, parse};
use connector_guardian::commands::run::{RunOptions, one_run};
use connector_guardian::config::Config;
use connector_guardian::connect::{Cluster, Known, Sent};
use connector_guardian::decide::calls::Call;
use connector_guardian::decide::ledger::Ledger;
use connector_guardian::decide::listing::{Listing, Sighting};
use connector_guardian::decide::model::{InstanceId, State};
use connector_guardian::decide::outcome::Outcome;
use connector_guardian::decide::time::Timestamp;
use connector_guardian::exit::Failure;
use connector_guardian::store::{Loaded, Store};
use tokio::time::{Instant, sleep, sleep_until};

use super::world::{MINUTE, Millis, World};
use connector_guardian::decide::shared::SharedStr;

const PERIOD: Millis = 5 * MINUTE;
/// An answer of an idle worker.
const ANSWER: Duration = Duration::from_millis(10);
/// When the virtual time begins, in milliseconds since 1970.
const EPOCH: Millis = 1_800_000_000_000;

/// Plays this world until `stop`. `phase` rolls when the first run comes.
pub fn play(world: World, stop: Millis, phase: u64, settings: &[(String, String)]) -> World {
    let Parsed::Typed(typed) = parse(["guardian", "run", "--once"].map(Into::into)) else {
        panic!("a run of guardian is a command");
    };
    let needed = [("GUARDIAN_STATE".to_owned(), "unused.json".to_owned())];
    let environment = settings.iter().chain(&needed).map(|(name, value)| (name.clone(), value.into()));
    let config = Config::new(&typed, &BTreeMap::from_iter(environment)).expect("settings that can be used");
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build();
    runtime.expect("a runtime").block_on(async {
        let connect = Virtual { world: RefCell::new(world), started: Instant::now() };
        let (_sender, mut interrupt) = tokio::sync::watch::channel(None);
        let (run, mut disk) = (&config.run, Disk::default());
        let clock = || Timestamp::from_millis(EPOCH + connect.now());
        let mut next = phase % PERIOD;
        while next < stop {
            sleep_until(connect.started + Duration::from_millis(next)).await;
            let options = RunOptions {
                rules: config.rules(),
                deadline: run.deadline,
                parallel: run.parallel,
                asked: None,
                stays: false,
                tell: None,
            };
            let ended = one_run(&connect, &mut disk, &options, &clock, &mut interrupt).await;
            let failure = ended.map_or_else(Some, |report| report.failure);
            assert!(failure.is_none(), "nothing in this world refuses: {failure:?}");
            // A run that takes longer than the period is followed at once.
            next = connect.now().max(next + PERIOD);
        }
        connect.world.into_inner()
    })
}

/// Kafka Connect in front of the world.
struct Virtual {
    world: RefCell<World>,
    started: Instant,
}

impl Virtual {
    fn now(&self) -> Millis {
        u64::try_from(self.started.elapsed().as_millis()).expect("less than a lifetime")
    }

    /// As it is read from the wire: what is well is kept only of a connector that is known.
    fn read(&self, connectors: Range<usize>, known: &Known) -> Listing {
        let (world, now) = (self.world.borrow(), self.now());
        let (mut listing, mut sightings) = (Listing::default(), Vec::new());
        for connector in connectors {
            let name = &world.connectors[connector];
            let mut see = |task: Option<u32>, state: State, cause| {
                let counts = if task.is_some() { &mut listing.tasks } else { &mut listing.connectors };
                counts.add(Some(&state));
                if state.is_unwell() || known.has(name) {
                    let id = InstanceId { connector: SharedStr::clone(name), task };
                    sightings.push(Sighting { id, state, paused_or_stopped: false, cause, worker: None });
                }
            };
            see(None, State::Running, None);
            for index in world.tasks_of(connector) {
                let (task, state) = (&world.tasks[index], world.tasks[index].state(now));
                let cause = (state == State::Failed).then(|| task.cause());
                see(Some(task.number), state, cause);
            }
        }
        listing.sightings = sightings.into();
        listing
    }

    fn position(&self, call: &Call) -> usize {
        let world = self.world.borrow();
        world.connectors.iter().position(|name| name == call.connector()).expect("a connector of this world")
    }
}

impl Cluster for Virtual {
    async fn listing(&self, known: &Known) -> Result<Listing, Failure> {
        sleep(ANSWER).await;
        let all = 0..self.world.borrow().connectors.len();
        Ok(self.read(all, known))
    }

    async fn status(&self, call: &Call) -> Result<Listing, Sent> {
        sleep(ANSWER).await;
        let connector = self.position(call);
        Ok(self.read(connector..connector + 1, &Known::connectors(&[call.connector()])))
    }

    async fn supports_kip_745(&self) -> bool {
        sleep(ANSWER).await;
        true
    }

    async fn restart(&self, call: &Call) -> Sent {
        sleep(ANSWER).await;
        let (connector, now) = (self.position(call), self.now());
        let mut world = self.world.borrow_mut();
        for task in world.tasks_of(connector) {
            match call {
                Call::FailedOf { .. } => world.restart(task, now, false),
                Call::One { id, .. } if id.task == Some(world.tasks[task].number) => {
                    world.restart(task, now, true);
                }
                // The connector's own instance, which runs in this world all the time.
                Call::One { .. } | Call::ConnectorFirst { .. } => {}
            }
        }
        Sent::Done(call.all(&Outcome::Taken))
    }

    fn begin_with(&self, _: Option<&str>) {}

    fn begin_next_with(&self) -> Option<SharedStr> {
        None
    }
}

#[derive(Default)]
struct Disk(Ledger);

impl Store for Disk {
    async fn load(&mut self) -> Result<Loaded, Failure> {
        Ok(Loaded { ledger: self.0.clone(), warning: None })
    }

    async fn charge(&mut self, ledger: &Ledger, _: Timestamp) -> Result<(), Failure> {
        self.save(ledger).await
    }

    async fn save(&mut self, ledger: &Ledger) -> Result<(), Failure> {
        self.0 = ledger.clone();
        Ok(())
    }
}
