//! `guardian run`: read the cluster once, decide, charge, restart, settle,
//! remember, report.

use std::collections::BTreeSet;
use std::fmt::Write;
use std::sync::Arc;
use std::time::Duration;

use tokio::time::{Instant, MissedTickBehavior, interval_at, sleep_until, timeout_at};

use super::apply::{Halt, apply, interrupted};
use super::{Clock, connect, fail, publish, system_clock};
use crate::config::{Config, FailOn, Output};
use crate::connect::{Connect, Remembered, Reply, Trouble};
use crate::decide::ledger::{Ledger, Uncharged};
use crate::decide::model::{Counts, InstanceId, Listing, State, Timestamp};
use crate::decide::outcome::{Outcome, Outcomes, is_failed_now};
use crate::decide::plan::{Action, Call, Line, Plan};
use crate::decide::policy::Policy;
use crate::decide::select::Filter;
use crate::decide::text::cut;
use crate::exit::{Exit, Failure, Kind};
use crate::logging::NEWS;
use crate::report::Report;
use crate::signal::Interrupt;
use crate::store::{self, Loaded, Store};

/// What a run asks of Kafka Connect.
pub trait Cluster: Send + Sync + 'static {
    /// The status of every connector.
    fn listing(&self, remembered: &Remembered) -> impl Future<Output = Result<Listing, Trouble>> + Send;
    /// Whether one call may restart all failed instances of a connector.
    fn can_restart_together(&self) -> impl Future<Output = bool> + Send;
    /// The status of one connector now; otherwise what became of a restart
    /// that depends on it.
    fn status(&self, connector: &Arc<str>) -> impl Future<Output = Result<Listing, Outcome>> + Send;
    /// Sends one restart call.
    fn restart(&self, call: &Call) -> impl Future<Output = Reply> + Send;
}

impl Cluster for Connect {
    fn listing(&self, remembered: &Remembered) -> impl Future<Output = Result<Listing, Trouble>> + Send {
        self.listing(remembered)
    }
    fn can_restart_together(&self) -> impl Future<Output = bool> + Send {
        self.can_restart_together()
    }
    fn status(&self, connector: &Arc<str>) -> impl Future<Output = Result<Listing, Outcome>> + Send {
        self.status(connector)
    }
    fn restart(&self, call: &Call) -> impl Future<Output = Reply> + Send {
        self.restart(call)
    }
}

/// What one run needs to know.
#[derive(Clone, Copy, Debug)]
pub struct Orders<'a> {
    /// How patient to be.
    pub policy: &'a Policy,
    /// Which connectors to touch.
    pub filter: &'a Filter,
    /// Time for the whole run.
    pub deadline: Duration,
    /// Connectors restarted at the same time.
    pub parallel: usize,
    /// Show the plan only.
    pub dry_run: bool,
}

/// What one run found and did.
#[derive(Debug, Default)]
pub struct Ran {
    /// Its number; `None` when the cluster's status was not read.
    pub run: Option<u64>,
    /// Connectors and tasks by state.
    pub counts: Option<(Counts, Counts)>,
    /// What was planned, and what became of it.
    pub plan: Option<Plan>,
    /// What is remembered now.
    pub ledger: Ledger,
    /// Instances that were given up in this run.
    pub given_up: Vec<InstanceId>,
    /// What a person should know besides.
    pub warnings: Vec<String>,
    /// Why not all the work could be done.
    pub failure: Option<Failure>,
}

/// One run after another, or one.
pub async fn run(
    config: Config,
    reread: impl Fn() -> Result<Config, String>,
    mut interrupt: Interrupt,
) -> Exit {
    let Some(every) = config.run.every else { return run_and_report(&config, &mut interrupt).await };
    let mut ticks = interval_at(Instant::now(), every);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Skip);
    loop {
        tokio::select! {
            biased;
            _ = interrupted(&mut interrupt) => return Exit::Done,
            _ = ticks.tick() => {}
        }
        let exit = match reread() {
            Ok(config) => run_and_report(&config, &mut interrupt).await,
            Err(refused) => fail(Some("run"), config.output, &Failure::new(Kind::Usage, refused)),
        };
        if matches!(exit, Exit::Failed(Kind::Interrupted(_))) {
            return exit;
        }
    }
}

async fn run_and_report(config: &Config, interrupt: &mut Interrupt) -> Exit {
    let clock = system_clock();
    let (started, started_at) = (Instant::now(), clock());
    let cluster = match connect(config) {
        Ok(client) => Arc::new(client),
        Err(failure) => return fail(Some("run"), config.output, &failure),
    };
    let orders = Orders {
        policy: &config.policy,
        filter: &config.filter,
        deadline: config.run.deadline,
        parallel: config.run.parallel,
        dry_run: config.run.dry_run,
    };
    let ran = if orders.dry_run {
        match store::peek(&config.state, &config.cluster).await {
            Ok(loaded) => Box::pin(plan_only(&cluster, loaded, &orders, &clock, interrupt)).await,
            Err(trouble) => Ran { failure: Some(trouble.into()), ..Ran::default() },
        }
    } else {
        match store::open(&config.state, &config.cluster, Duration::ZERO).await {
            // The wait for a slow state is part of the run's time.
            Ok(mut store) => {
                let deadline = orders.deadline.saturating_sub(started.elapsed());
                let orders = Orders { deadline, ..orders };
                Box::pin(one_run(&cluster, &mut store, &orders, &clock, interrupt)).await
            }
            Err(trouble) => Ran { failure: Some(trouble.into()), ..Ran::default() },
        }
    };
    let url = cluster.url();
    let report = Report {
        command: "run",
        dry_run: orders.dry_run,
        repeated: config.run.every.is_some(),
        cluster: &config.cluster,
        url: Some(&url),
        state: None,
        run: ran.run,
        started_at,
        duration: started.elapsed(),
        counts: ran.counts.as_ref().map(|(connectors, tasks)| (connectors, tasks)),
        plan: ran.plan.as_ref(),
        ledger: &ran.ledger,
        policy: orders.policy,
        warnings: &ran.warnings,
        failure: ran.failure.as_ref(),
    };
    announce(&ran, config);
    let exit = exit(&ran, config.run.fail_on);
    // Who asks for a plan wants to see it.
    let silent = config.quiet && !orders.dry_run && config.output == Output::Text;
    if silent { exit } else { publish(&report, config.output, exit) }
}

fn exit(ran: &Ran, fail_on: FailOn) -> Exit {
    if let Some(failure) = &ran.failure {
        return Exit::Failed(failure.kind);
    }
    let lines = ran.plan.as_ref().map_or(&[][..], |plan| &plan.lines);
    let needs_person = match fail_on {
        FailOn::Never => false,
        FailOn::GaveUp => lines.iter().any(|line| line.action == Action::GaveUp),
        FailOn::Failed => lines.iter().any(is_failed_now),
    };
    if needs_person { Exit::NeedsPerson } else { Exit::Done }
}

/// One run against `cluster`, with the state already locked.
pub async fn one_run<C: Cluster, S: Store>(
    cluster: &Arc<C>,
    store: &mut S,
    orders: &Orders<'_>,
    clock: &Clock,
    interrupt: &mut Interrupt,
) -> Ran {
    let (now, end) = (clock(), end_of(orders.deadline));
    let loaded = match store.load().await {
        Ok(loaded) => loaded,
        Err(trouble) => return Ran { failure: Some(trouble.into()), ..Ran::default() },
    };
    let remembered_before = !loaded.ledger.records.is_empty();
    let read_at = Instant::now();
    let mut ran = read_and_plan(cluster, loaded, orders, now, end, interrupt).await;
    let (Some(run), Some(plan)) = (ran.run, &mut ran.plan) else { return ran };
    let ledger = &mut ran.ledger;

    ran.given_up = plan.note_given_up(ledger);
    if plan.due().next().is_some() {
        let together = plan.wants_together() && can_restart_together(cluster, end, interrupt).await;
        let batches = plan.batches(ledger, together);
        tell_causes(plan, ledger, orders.policy);
        // In one piece: in an outage these are megabytes, and what grows leaves holes behind.
        let mut charged: Vec<Uncharged> = Vec::with_capacity(plan.due().count());
        charged.extend(plan.due().map(|line| ledger.charge(&line.id, run, now)));
        if let Err(trouble) = store.charge(ledger, now.plus(orders.deadline)).await {
            plan.settle(
                ledger,
                &charged,
                &Outcomes::default(),
                &"not sent, because the state could not be written".into(),
            );
            ran.failure = Some(trouble.into());
            return ran;
        }
        let (outcomes, halt) = apply(cluster, batches, read_at, orders.parallel, end, clock, interrupt).await;
        let unsent = halt.map_or("not sent", Halt::reason);
        plan.settle(ledger, &charged, &outcomes, &unsent.into());
        ran.failure = failure_of(plan, &outcomes, halt);
    }
    if (remembered_before || !ledger.records.is_empty())
        && let Err(trouble) = store.settle(ledger).await
    {
        // An interrupted run says so all the same: its exit code is a promise.
        ran.failure = Some(match ran.failure.take() {
            Some(failure) if matches!(failure.kind, Kind::Interrupted(_)) => failure,
            _ => trouble.into(),
        });
    }
    ran
}

/// What a run would do: the same plan, and nothing else.
async fn plan_only<C: Cluster>(
    cluster: &Arc<C>,
    loaded: Loaded,
    orders: &Orders<'_>,
    clock: &Clock,
    interrupt: &mut Interrupt,
) -> Ran {
    read_and_plan(cluster, loaded, orders, clock(), end_of(orders.deadline), interrupt).await
}

/// Asked only when it matters; no answer in time means that Connect cannot.
async fn can_restart_together<C: Cluster>(cluster: &Arc<C>, end: Instant, interrupt: &mut Interrupt) -> bool {
    tokio::select! {
        can = timeout_at(end, cluster.can_restart_together()) => can.unwrap_or(false),
        _ = interrupted(interrupt) => false,
    }
}

fn end_of(deadline: Duration) -> Instant {
    // A deadline beyond what the clock can hold is none within a lifetime.
    const LONGEST: Duration = Duration::from_secs(365 * 24 * 60 * 60);
    let now = Instant::now();
    now.checked_add(deadline.min(LONGEST)).unwrap_or(now)
}

/// Reads the cluster, folds what it says into the ledger, and plans.
async fn read_and_plan<C: Cluster>(
    cluster: &Arc<C>,
    loaded: Loaded,
    orders: &Orders<'_>,
    now: Timestamp,
    end: Instant,
    interrupt: &mut Interrupt,
) -> Ran {
    let Loaded { mut ledger, warning } = loaded;
    if let Some(warning) = &warning {
        tracing::error!("{warning}");
    }
    let warnings = Vec::from_iter(warning);
    let remembered = remembered(&ledger);
    let listing = tokio::select! {
        listing = cluster.listing(&remembered) => listing.map_err(Failure::from),
        () = sleep_until(end) => Err(Failure {
            kind: Kind::Unreachable,
            message: "no answer from Kafka Connect before the run's deadline".to_owned(),
            hint: Some("GUARDIAN_DEADLINE should leave room for GUARDIAN_TIMEOUT on every worker".to_owned()),
        }),
        number = interrupted(interrupt) => Err(interruption(number)),
    };
    drop(remembered);
    let listing = match listing {
        Ok(listing) => listing,
        Err(failure) => return Ran { ledger, warnings, failure: Some(failure), ..Ran::default() },
    };
    let counts = (listing.connectors.clone(), listing.tasks.clone());
    let run = ledger.run.saturating_add(1);
    let recovered = ledger.observe(&listing, orders.policy, run, now);
    let plan = Plan::make(listing, &recovered, &ledger, orders.policy, orders.filter, run, now);
    Ran { run: Some(run), counts: Some(counts), plan: Some(plan), ledger, warnings, ..Ran::default() }
}

/// The texts that the ledger holds: the names of its connectors, and the causes.
pub(super) fn remembered(ledger: &Ledger) -> Remembered {
    let names = ledger.records.keys().map(|id| Arc::clone(&id.connector));
    let causes = ledger.records.values().filter_map(|record| record.episode.as_ref()?.cause.clone());
    Arc::new(names.chain(causes).collect())
}

/// The trace is gone as soon as the instance restarts: its cause is logged before.
fn tell_causes(plan: &Plan, ledger: &Ledger, policy: &Policy) {
    for line in plan.due() {
        let attempt = ledger.episode(&line.id).map_or(0, |episode| episode.attempts).saturating_add(1);
        let of = policy.limit().map_or_else(String::new, |limit| format!(" of {limit}"));
        let cause = line.cause.as_deref().unwrap_or("no trace");
        let state = line.state.as_ref().map_or("absent", State::as_str);
        tracing::info!("{} is {state} and due for attempt {attempt}{of}: {cause}", line.id);
    }
}

fn interruption(signal: u8) -> Failure {
    Failure::new(Kind::Interrupted(signal), format!("interrupted by signal {signal}"))
}

/// Why the restarts were not all that they should be.
fn failure_of(plan: &Plan, outcomes: &Outcomes, halt: Option<Halt>) -> Option<Failure> {
    if let Some(Halt::Signal(signal)) = halt {
        return Some(interruption(signal));
    }
    let not_allowed = |outcome: &Outcome| matches!(outcome, Outcome::Unauthorized(_));
    let kind = if outcomes.all().any(not_allowed) { Kind::Unauthorized } else { Kind::Restart };
    // The one that says most comes first: refused, then unknown, then not sent.
    let first = plan.troubles().min_by_key(|line| line.action)?;
    let what = match first.action {
        Action::Failed => "was refused",
        Action::Unknown => "is of unknown fate",
        _ => "could not be sent",
    };
    let alike = plan.troubles().filter(|line| line.action == first.action).count();
    let more = if alike > 1 { format!(" (and {} more)", alike.saturating_sub(1)) } else { String::new() };
    let error = first.error.as_deref().unwrap_or_default();
    let hint = match kind {
        Kind::Unauthorized => Some("these credentials may read but not restart".to_owned()),
        _ => None,
    };
    Some(Failure { kind, message: format!("the restart of {} {what}{more}: {error}", first.id), hint })
}

/// The one line on stderr: what changed, what went wrong. With a report on
/// stdout only the failure is told here.
fn announce(ran: &Ran, config: &Config) {
    let news = if config.quiet { news(ran, &config.cluster) } else { String::new() };
    match (&ran.failure, news.as_str()) {
        (None, "") => {}
        (None, news) => tracing::warn!(target: NEWS, "{news}"),
        (Some(failure), "") => tracing::error!(target: NEWS, "{}: {failure}", config.cluster),
        (Some(failure), news) => tracing::error!(target: NEWS, "{news}; {failure}"),
    }
}

/// What was restarted, newly given up, failed or of unknown fate, and why it
/// had failed; else empty.
fn news(ran: &Ran, cluster: &str) -> String {
    const NAMED: usize = 5;
    const CAUSE: usize = 120;
    let lines = ran.plan.as_ref().map_or(&[][..], |plan| &plan.lines);
    let of = |action, trouble| -> Vec<&Line> {
        lines.iter().filter(|line| line.action == action && line.trouble == trouble).collect()
    };
    // A set: in an outage both are a hundred thousand.
    let given_up: BTreeSet<&InstanceId> = ran.given_up.iter().collect();
    let given_up = lines.iter().filter(|line| given_up.contains(&line.id)).collect();
    let groups: [(&str, Vec<&Line>); 5] = [
        ("restarted", of(Action::Restarted, false)),
        ("restarted, but failed again at once:", of(Action::Failed, false)),
        ("gave up (fix the cause, then: guardian reset NAME) on", given_up),
        ("could not restart", of(Action::Failed, true)),
        ("does not know the fate of", of(Action::Unknown, true)),
    ];
    let mut text = String::new();
    for (what, lines) in groups.iter().filter(|(_, lines)| !lines.is_empty()) {
        let names = lines.iter().take(NAMED).map(|line| match &line.cause {
            Some(cause) => format!("{} ({})", line.id, cut(cause, CAUSE)),
            None => line.id.to_string(),
        });
        let names: Vec<String> = names.collect();
        let separator = if text.is_empty() { format!("{cluster}: ") } else { "; ".to_owned() };
        let _ = write!(text, "{separator}{what} {}", names.join(", "));
        if lines.len() > NAMED {
            let _ = write!(text, " and {} more", lines.len().saturating_sub(NAMED));
        }
    }
    text
}
