//! `guardian run`: read the cluster once, decide, charge, restart, record, save, report.

use std::time::Duration;

use tokio::time::{Instant, MissedTickBehavior, interval_at, sleep_until};

use super::apply::{Bounds, Halt, apply};
use super::tell::{Pulse, tell};
use super::watch::watch;
use super::{Clock, connect, exit, fail, metrics, publish, system_clock, unwell};
use crate::cli::Command;
use crate::config::{Config, Output};
use crate::connect::{Cluster, Known};
use crate::decide::action::Action;
use crate::decide::event::Event;
use crate::decide::history::Entry;
use crate::decide::ledger::Ledger;
use crate::decide::listing::Listing;
use crate::decide::model::State;
use crate::decide::outcome::Outcome;
use crate::decide::plan::{Plan, Rules, plan};
use crate::decide::policy::Policy;
use crate::decide::retry::Asked;
use crate::decide::row::View;
use crate::decide::table::ByInstance;
use crate::decide::tell::digest::digests;
use crate::decide::tell::{TellRules, Told, Trouble};
use crate::decide::text::name_some;
use crate::decide::time::Timestamp;
use crate::decide::watch::LONGEST_TRANSITION;
use crate::exit::{Exit, Failure, Kind};
use crate::logging::NEWS;
use crate::report::news::news;
use crate::report::{About, RunReport};
use crate::signal::{Interrupt, interrupted};
use crate::store::{self, Loaded, Opened, Store};

/// So many connectors of a wave are named in the log.
const NAMED: usize = 5;
const ONE_BY_ONE: &str = "Connect did not understand the restart of several: it restarted a connector's own instance \
     instead (does a proxy drop the query?); from now on each is restarted by itself";

/// What one run needs to know.
#[derive(Clone, Copy, Debug)]
pub struct RunOptions<'a> {
    pub rules: Rules<'a>,
    /// Time for the whole run.
    pub deadline: Duration,
    /// Connectors restarted at the same time.
    pub parallel: usize,
    /// What a person asked to restart, and nothing else; `None` is a run.
    pub asked: Option<&'a Asked>,
    /// Watch all that is restarted until it is known what became of it.
    pub stays: bool,
    /// Whom to tell, and when; `None` leaves what people were told as it is.
    pub tell: Option<&'a TellRules>,
}

/// One run after another, or one.
pub async fn run(
    config: Config,
    reread: impl Fn() -> Result<Config, Failure>,
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
            Err(failure) => fail(Some(Command::Run), config.reporting.output, failure),
        };
        if matches!(exit, Exit::Failed(Kind::Interrupted(_))) {
            return exit;
        }
    }
}

async fn run_and_report(config: &Config, interrupt: &mut Interrupt) -> Exit {
    let (started, started_at) = (Instant::now(), system_clock());
    let client = match connect(config) {
        Ok(client) => client,
        Err(failure) => return fail(Some(Command::Run), config.reporting.output, failure),
    };
    // Open, and so locked, until people have been told.
    let mut store = None;
    let ran = if config.run.dry_run {
        Box::pin(dry_run(config, &client, interrupt)).await
    } else {
        Box::pin(real_run(config, &client, started, &mut store, interrupt)).await
    };
    let about = About {
        cluster: config.cluster.clone(),
        url: client.url(),
        state: None,
        dry_run: config.run.dry_run,
        repeated: config.run.every.is_some(),
        full: config.reporting.full,
        started_at,
        duration: started.elapsed(),
        policy: config.policy.clone(),
    };
    let mut report = RunReport {
        command: Some(Command::Run.as_str()),
        about: Some(about),
        ..ran.unwrap_or_else(|failure| RunReport::failed(None, failure))
    };
    announce(&report, config);
    let exit = exit(&report, config);
    let mut store = store.as_mut();
    // Whoever reads it waits for nobody; the document says also who was told.
    if config.reporting.output == Output::Json {
        tell_people(config, &mut report, exit, store.as_deref_mut(), interrupt).await;
    }
    // Who asks for a plan wants to see it.
    let exit = if config.is_silent() { exit } else { publish(&report, config.reporting.output, exit) };
    if config.reporting.output == Output::Text {
        tell_people(config, &mut report, exit, store, interrupt).await;
    }
    metrics::write(&report, config, exit, interrupt).await;
    exit
}

/// Tells people what there is to tell. A run that was interrupted, or that is none, tells nobody.
async fn tell_people(
    config: &Config,
    report: &mut RunReport,
    exit: Exit,
    store: Option<&mut Opened>,
    interrupt: &Interrupt,
) {
    if config.run.dry_run || matches!(exit, Exit::Failed(Kind::Interrupted(_) | Kind::Locked)) {
        return;
    }
    let url = report.about.as_ref().map(|about| about.url.clone()).unwrap_or_default();
    let pulse = Pulse { code: exit.code(), summary: report.summary(&config.cluster) };
    let tellings = std::mem::take(&mut report.tellings);
    report.told = tell(config, &url, store, (&mut report.ledger, tellings), pulse, interrupt).await;
}

/// What a run would do: the same plan, and nothing else.
async fn dry_run(
    config: &Config,
    cluster: &impl Cluster,
    interrupt: &mut Interrupt,
) -> Result<RunReport, Failure> {
    let loaded = store::peek(&config.state, &config.cluster).await?;
    let end = end_of(config.run.deadline);
    let now = system_clock();
    let mut report = read_and_plan(cluster, loaded, config.rules(), None, now, end, interrupt).await;
    if let Some(plan) = &mut report.plan {
        plan.explain_waits(&report.ledger);
        plan.tell_crash_loops(&report.ledger, now);
    }
    Ok(report)
}

async fn real_run(
    config: &Config,
    cluster: &impl Cluster,
    started: Instant,
    store: &mut Option<Opened>,
    interrupt: &mut Interrupt,
) -> Result<RunReport, Failure> {
    let store = store.insert(store::open(&config.state, &config.cluster, Duration::ZERO).await?);
    let options = RunOptions {
        rules: config.rules(),
        // The wait for a slow state is part of the run's time.
        deadline: config.run.deadline.saturating_sub(started.elapsed()),
        parallel: config.run.parallel,
        asked: None,
        stays: config.run.wait,
        tell: Some(&config.notify.rules),
    };
    one_run(cluster, store, &options, &system_clock, interrupt).await
}

/// One run against `cluster`, with the state already locked. A failure is returned when nothing could be found out, and
/// is part of the report when something was.
pub async fn one_run<C: Cluster, S: Store>(
    cluster: &C,
    store: &mut S,
    options: &RunOptions<'_>,
    clock: &Clock<'_>,
    interrupt: &mut Interrupt,
) -> Result<RunReport, Failure> {
    let (now, end) = (clock(), end_of(options.deadline));
    let loaded = store.load().await?;
    let before = Before::of(&loaded);
    let read_at = Instant::now();
    let mut report = read_and_plan(cluster, loaded, options.rules, options.asked, now, end, interrupt).await;
    let unwell = report.failure.as_ref().is_some_and(|failure| failure.kind == Kind::Unhealthy);
    if unwell || report.plan.is_none() {
        // What Connect says may be old: it is shown, and nothing is learnt from it.
        note_trouble(&mut report, store, options, &before, now).await;
        return Ok(report);
    }
    let (ledger, Some(plan)) = (&mut report.ledger, &mut report.plan) else { return Ok(report) };
    let (policy, unmet) = (options.rules.policy, report.failure.take());
    plan.stays = options.stays;

    plan.record_told(ledger, now);
    ledger.note_given_up(plan, now);
    let (seen, by) = (ledger.history.entries().len(), options.asked.map(|asked| &asked.by));
    plan.count_seen(ledger, now);
    let (mut remedy, mut sent, mut waves, mut watched) = (None, 0_u64, 0_u32, ByInstance::default());
    while plan.due().next().is_some() {
        log_due(plan, ledger, policy);
        plan.begin_wave(clock());
        let mut charges = plan.charge(ledger, policy, now);
        plan.note_waves(ledger, now);
        ledger.note_restarts(seen, plan, &watched, (policy.together.watch, clock()), by);
        if let Err(failure) = store.charge(ledger, now.plus(options.deadline)).await {
            plan.record(ledger, charges, &"not sent, because the state could not be written".into());
            if sent == 0 {
                report.failure = Some(failure);
                return Ok(report);
            }
            // Somebody changed a state without a lock while this run was watching: what it did is merged below.
            if failure.kind == Kind::Locked {
                plan.warnings.push(format!("no further wave in this run: {failure}"));
            } else {
                report.failure = Some(failure);
            }
            break;
        }
        let bounds = Bounds { parallel: options.parallel, read_at, end };
        let careful = std::mem::take(&mut ledger.careful);
        let applied =
            apply(cluster, plan.batches(ledger), careful, &mut charges, bounds, clock, interrupt).await;
        ledger.first_url = cluster.begin_next_with();
        ledger.careful = applied.halt == Some(Halt::Sick);
        if applied.one_by_one && !ledger.one_by_one {
            ledger.one_by_one = true;
            plan.warnings.push(ONE_BY_ONE.to_owned());
        }
        remedy = remedy.or_else(|| charges.iter().find_map(|charge| Remedy::of(charge.outcome.as_ref()?)));
        sent = sent.saturating_add(u64::try_from(charges.len()).unwrap_or(u64::MAX));
        watched.extend(plan.to_watch(&charges));
        plan.record(ledger, charges, &applied.halt.map_or("not sent", Halt::reason).into());
        let mut halt = applied.halt;
        let looks = halt.is_none() && plan.is_waited_for(&watched);
        if looks {
            let lasting = policy.look(waves);
            waves = waves.saturating_add(1);
            let watching = humantime::format_duration(lasting);
            tracing::info!(
                "watching for {watching} what was restarted, before more of the same cause follow"
            );
            halt = watch(cluster, &mut watched, lasting, end, clock, interrupt, plan.stays).await;
        }
        // What a look that was cut off has not seen yet is not bad: the next run sees it.
        plan.judge_waves(ledger, &watched, looks && halt.is_none());
        report.failure = halt_failure(halt);
        if halt.is_some() || !has_room(policy, end) {
            plan.leave_waves();
        }
        plan.next_waves(ledger, policy, clock());
        if options.asked.is_none() {
            plan.ration(policy, ledger, sent);
        }
    }
    if plan.stays && report.failure.is_none() {
        let halt = watch(cluster, &mut watched, policy.together.watch, end, clock, interrupt, true).await;
        report.failure = halt_failure(halt);
    }
    plan.explain_waits(ledger);
    if plan.stays {
        plan.record_watched(&watched, policy.together.watch, clock());
    }
    ledger.note_restarts(seen, plan, &watched, (policy.together.watch, clock()), by);
    plan.tell_crash_loops(ledger, now);
    report.failure = report.failure.take().or_else(|| incomplete(plan, remedy)).or(unmet);
    let interrupted = report.failure.as_ref().is_some_and(|it| matches!(it.kind, Kind::Interrupted(_)));
    if let Some(tell) = options.tell.filter(|_| !interrupted) {
        report.tellings = digests(ledger, Some(plan), options.rules, tell, before.lost, now);
        before.note_end_of_trouble(ledger, now);
    }
    if before.differs(ledger)
        && let Err(failure) = store.save(ledger).await
        // An interrupted run says so all the same: its exit code is a promise.
        && !interrupted
    {
        report.failure = Some(failure);
        // Without memory every run would repeat itself.
        report.tellings.clear();
    }
    Ok(report)
}

/// What was remembered when the run began.
struct Before {
    run: u64,
    well: bool,
    /// Entries of the history.
    events: usize,
    told: Told,
    trouble: Option<Trouble>,
    /// The state could not be understood and was set aside.
    lost: bool,
}

impl Before {
    fn of(loaded: &Loaded) -> Self {
        let ledger = &loaded.ledger;
        Self {
            run: ledger.run,
            well: ledger.is_well(),
            events: ledger.history.entries().len(),
            told: ledger.told.clone(),
            trouble: ledger.trouble.clone(),
            lost: loaded.warning.is_some(),
        }
    }

    /// Writes down that no run could do its work, once one could.
    fn note_end_of_trouble(&self, ledger: &mut Ledger, now: Timestamp) {
        if let (Some(over), None) = (&self.trouble, &ledger.trouble) {
            let entry = Entry::unreachable(&over.message, over.since, now, over.runs.into(), ledger.run);
            ledger.history.push(entry);
        }
    }

    /// Whether the run has anything to save: one that finds nothing wrong, as the one before it, writes nothing.
    fn differs(&self, ledger: &Ledger) -> bool {
        let news = ledger.history.entries().len() > self.events;
        let told = self.told != ledger.told || self.trouble != ledger.trouble;
        !self.well || !ledger.is_well() || news || told
    }
}

/// Remembers that a run could not do its work, where somebody is to be told of it, and says so in time.
async fn note_trouble<S: Store>(
    report: &mut RunReport,
    store: &mut S,
    options: &RunOptions<'_>,
    before: &Before,
    now: Timestamp,
) {
    let (Some(tell), Some(failure)) = (options.tell, &report.failure) else { return };
    let nobody = tell.audience.is_empty() && before.trouble.is_none();
    if nobody || matches!(failure.kind, Kind::Interrupted(_)) {
        return;
    }
    let ledger = &mut report.ledger;
    ledger.note_trouble(failure.kind.as_str(), &failure.message(), now);
    report.tellings = digests(ledger, None, options.rules, tell, before.lost, now);
    // To everything that counts runs this one is none.
    let run = std::mem::replace(&mut ledger.run, before.run);
    if let Err(failure) = store.save(ledger).await {
        tracing::warn!("nobody is told, because {failure}");
        report.tellings.clear();
    }
    ledger.run = run;
}

/// Whether the run has time for another wave and a look at it.
fn has_room(policy: &Policy, end: Instant) -> bool {
    let look = policy.together.watch.max(LONGEST_TRANSITION);
    Instant::now().checked_add(look).is_some_and(|over| over <= end)
}

fn end_of(deadline: Duration) -> Instant {
    // A deadline beyond what the clock can hold is none within a lifetime.
    const LONGEST: Duration = Duration::from_secs(365 * 24 * 60 * 60);
    let now = Instant::now();
    now.checked_add(deadline.min(LONGEST)).unwrap_or(now)
}

/// Reads the cluster, folds what it says into the ledger, and plans. When it cannot be read, the report has no plan.
async fn read_and_plan(
    cluster: &impl Cluster,
    loaded: Loaded,
    rules: Rules<'_>,
    asked: Option<&Asked>,
    now: Timestamp,
    end: Instant,
    interrupt: &mut Interrupt,
) -> RunReport {
    let Loaded { mut ledger, warning } = loaded;
    if let Some(warning) = &warning {
        tracing::error!("{warning}");
    }
    let warnings = Vec::from_iter(warning);
    cluster.begin_with(ledger.first_url.as_deref());
    let known = Known::of(&ledger, rules.filter).and(asked.into_iter().flat_map(Asked::connectors));
    match read(cluster, known, end, interrupt).await {
        Ok(listing) => {
            let illness = listing.illness.as_deref().map(unwell);
            let (plan, unmet) = match asked {
                Some(asked) => asked.plan(&mut ledger, listing, rules, now),
                None => (plan(&mut ledger, listing, rules, now), None),
            };
            let failure = illness.or(unmet.map(|unmet| Failure::new(Kind::Restart, unmet)));
            let view = Some(View::Run(ledger.run));
            RunReport { plan: Some(plan), view, ledger, warnings, failure, ..RunReport::default() }
        }
        Err(failure) => RunReport { ledger, warnings, failure: Some(failure), ..RunReport::default() },
    }
}

async fn read(
    cluster: &impl Cluster,
    known: Known,
    end: Instant,
    interrupt: &mut Interrupt,
) -> Result<Listing, Failure> {
    tokio::select! {
        listing = cluster.listing(&known) => listing,
        () = sleep_until(end) => {
            let failure = Failure::new(Kind::Unreachable, "no answer from Kafka Connect before the run's deadline");
            Err(failure.hint("GUARDIAN_DEADLINE should leave room for GUARDIAN_TIMEOUT on every worker"))
        }
        number = interrupted(interrupt) => Err(interruption(number)),
    }
}

/// What is about to be done. The trace is gone as soon as the instance restarts: its cause is logged before.
fn log_due(plan: &Plan, ledger: &Ledger, policy: &Policy) {
    for line in plan.due().filter(|line| !plan.goes_in_wave(&line.id)) {
        let attempt = ledger.attempts(&line.id).saturating_add(1);
        let of = policy.limit().map_or_else(String::new, |limit| format!(" of {limit}"));
        let cause = line.cause.as_ref().map_or("no trace", |cause| &cause.text);
        let state = line.state.as_ref().map_or("absent", State::as_str);
        let how = line.reason.as_ref().map_or_else(String::new, |reason| format!(" ({reason})"));
        tracing::info!("{} is {state} and due for attempt {attempt}{of}{how}: {cause}", line.id);
    }
    for (group, wave) in plan.waves() {
        let names = name_some(&wave, NAMED);
        let (count, all) = (wave.len(), group.connectors);
        let cause = &group.cause;
        tracing::info!(
            "wave of {count} of the {all} connectors of group {}, {names}: {}",
            cause.key,
            cause.text
        );
    }
}

pub(super) fn interruption(signal: u8) -> Failure {
    Failure::new(Kind::Interrupted(signal), format!("interrupted by signal {signal}"))
}

fn halt_failure(halt: Option<Halt>) -> Option<Failure> {
    match halt {
        Some(Halt::Signal(signal)) => Some(interruption(signal)),
        _ => None,
    }
}

/// What may help where a restart was not taken.
#[derive(Clone, Copy)]
struct Remedy {
    kind: Kind,
    hint: &'static str,
}

impl Remedy {
    fn of(outcome: &Outcome) -> Option<Self> {
        match outcome {
            Outcome::Unauthorized(_) => {
                Some(Self { kind: Kind::Unauthorized, hint: "these credentials may read but not restart" })
            }
            Outcome::NotReached(_, why) => Some(Self { kind: Kind::Restart, hint: why.hint() }),
            _ => None,
        }
    }
}

/// Why the restarts were not all that they should be.
fn incomplete(plan: &Plan, remedy: Option<Remedy>) -> Option<Failure> {
    // The one that says most comes first: what is new; refused, then unknown, then not sent.
    let first =
        plan.incomplete().min_by_key(|line| (line.event == Some(Event::RefusedAgain), line.action))?;
    let what = match first.action {
        Action::Failed => "was refused",
        Action::Unknown => "is of unknown fate",
        Action::Waiting => "waits",
        _ if first.event.is_some() => "was not taken",
        _ => "could not be sent",
    };
    let alike = plan.incomplete().filter(|line| line.action == first.action).count();
    let more = if alike > 1 { format!(" (and {} more)", alike.saturating_sub(1)) } else { String::new() };
    let why = first.error.as_deref().or(first.reason.as_deref()).unwrap_or_default();
    let message = format!("the restart of {} {what}{more}: {why}", first.id);
    Some(match remedy {
        Some(Remedy { kind, hint }) => Failure::new(kind, message).hint(hint),
        None => Failure::new(Kind::Restart, message),
    })
}

/// The one line on stderr: what changed, what went wrong. With a report on stdout only what went wrong.
fn announce(report: &RunReport, config: &Config) {
    let quiet = config.reporting.log.quiet;
    let news = if quiet { news(report, &config.cluster) } else { String::new() };
    match (&report.failure, news.as_str()) {
        (None, "") => {}
        (Some(_), "") if quiet && was_told(report) => {}
        (None, news) => tracing::warn!(target: NEWS, "{news}"),
        (Some(failure), "") => tracing::error!(target: NEWS, "{}: {failure}", config.cluster),
        (Some(failure), news) => tracing::error!(target: NEWS, "{news}; {failure}"),
    }
}

/// All that went wrong is what Connect goes on refusing, of which somebody was told within the last day.
fn was_told(report: &RunReport) -> bool {
    let failed_otherwise = |failure: &Failure| !matches!(failure.kind, Kind::Restart | Kind::Unauthorized);
    let told = |plan: &Plan| plan.incomplete().all(|line| line.event == Some(Event::RefusedAgain));
    report.plan.as_ref().is_some_and(told) && !report.failure.as_ref().is_some_and(failed_otherwise)
}
