//! What a run found and did, as metrics in the text format of Prometheus (0.0.4): the names, types, labels and help texts,
//! which are an interface like the JSON's keys. It writes no file and sends nothing.
//!
//! No task, cause, worker or URL is a label: a big outage must not become a big bill. Only connectors that fail now have
//! series of their own, and of those no more than the caller says.

use std::borrow::Cow;
use std::cmp::Reverse;
use std::fmt::Write;

use super::{About, RunReport};
use crate::decide::action::Action;
use crate::decide::counters::{Counters, Tally};
use crate::decide::plan::{Line, Plan};
use crate::decide::text::show_name;
use crate::decide::time::Timestamp;
use crate::exit::{Exit, Kind};

/// One metric, whatever its labels.
#[derive(Debug)]
struct Family {
    name: &'static str,
    kind: &'static str,
    /// Besides the cluster's.
    labels: &'static [&'static str],
    /// What `help` cannot say: the values of the label.
    values: &'static str,
    help: &'static str,
}

/// Makes each family a constant, and all of them the README's table.
macro_rules! families {
    ($($constant:ident: $name:literal, $kind:literal, $labels:expr, $values:literal, $help:literal;)*) => {
        $(const $constant: Family =
            Family { name: $name, kind: $kind, labels: $labels, values: $values, help: $help };)*
        const FAMILIES: &[Family] = &[$($constant),*];
    };
}

families! {
    BUILD_INFO: "guardian_build_info", "gauge", &["version"], "",
        "1, with the version of guardian.";
    LAST_RUN: "guardian_last_run_timestamp_seconds", "gauge", &[], "",
        "When the last run ended, whatever came of it.";
    LAST_RUN_SUCCESS: "guardian_last_run_success", "gauge", &[], "",
        "1 if the last run could do its work (exit code 0 or 3), else 0.";
    LAST_RUN_DURATION: "guardian_last_run_duration_seconds", "gauge", &[], "",
        "How long the last run took.";
    LAST_SUCCESS: "guardian_last_success_timestamp_seconds", "gauge", &[], "",
        "When the last run ended that could do its work; not written by one that could not.";
    CONNECTORS: "guardian_connectors", "gauge", &["state"], "running, failed, paused, stopped, unassigned, restarting, other",
        "Connectors by the state of their own instance, as Connect listed them.";
    TASKS: "guardian_tasks", "gauge", &["state"], "as above",
        "Tasks by state, as Connect listed them.";
    INSTANCES: "guardian_instances", "gauge", &["action"], "waiting, deferred, gave_up, held, excluded, parked, in_transition, absent, no_tasks",
        "Connectors and tasks that are not well, by what the last run made of them.";
    FAILURES: "guardian_failures_total", "counter", &["kind"], "connector, task",
        "Failures that began.";
    RESTARTS: "guardian_restarts_total", "counter", &["kind", "result"], "connector, task; restarted, failed, unknown",
        "Restarts that Connect took, that failed again at once, or of unknown fate.";
    GAVE_UP: "guardian_gave_up_total", "counter", &["kind"], "connector, task",
        "Times that a connector or task had no restart left.";
    RECOVERY: "guardian_recovery_seconds", "summary", &["kind"], "connector, task",
        "Time from the beginning of a failure to the run that saw it running again.";
    CONNECTOR_GAVE_UP: "guardian_connector_gave_up", "gauge", &["connector"], "",
        "Instances of this connector that have no restart left.";
    CONNECTOR_ATTEMPTS: "guardian_connector_attempts", "gauge", &["connector"], "",
        "Restarts in the present failure of this connector: the most of any of its failed instances.";
    CONNECTOR_FAILED: "guardian_connector_failed_timestamp_seconds", "gauge", &["connector"], "",
        "Since when this connector fails: the first of its failed instances.";
    UNLISTED: "guardian_connectors_unlisted", "gauge", &[], "",
        "Failing connectors without series of their own, because there are too many.";
    NOTIFICATIONS: "guardian_notifications_total", "counter", &["sink", "result"], "the sink's name; sent or failed",
        "Messages to this sink, by what became of them.";
    NOTIFICATIONS_PENDING: "guardian_notifications_pending", "gauge", &["sink"], "the sink's name",
        "Messages that this sink has still to get.";
}

/// What a run that could not look at the cluster knows as well as any other.
const OF_EVERY_RUN: [&Family; 4] = [&BUILD_INFO, &LAST_RUN, &LAST_RUN_SUCCESS, &LAST_RUN_DURATION];
/// The actions that are states. The others are events, which are counted.
const STATES: [&str; 9] =
    ["waiting", "deferred", "gave_up", "held", "excluded", "parked", "in_transition", "absent", "no_tasks"];

/// What has become of the messages to one sink.
#[derive(Clone, Copy, Debug)]
pub struct Told<'a> {
    pub sink: &'a str,
    pub sent: u64,
    pub failed: u64,
    pub pending: u64,
}

/// The metrics of one run.
#[derive(Debug)]
pub struct Metrics {
    text: String,
    cluster: String,
    looked: bool,
    worked: bool,
    replaces_all: bool,
}

impl Metrics {
    /// Those of a run that ended so. At most `most` connectors have series of their own. Nothing of a command that failed
    /// before it began.
    pub fn new(report: &RunReport, exit: Exit, most: usize, told: &[Told<'_>]) -> Option<Self> {
        let about = report.about.as_ref()?;
        let unwell = report.failure.as_ref().is_some_and(|failure| failure.kind == Kind::Unhealthy);
        let mut metrics = Self {
            text: String::new(),
            cluster: label("connect_cluster", &about.cluster),
            looked: false,
            worked: matches!(exit, Exit::Done | Exit::NeedsPerson),
            replaces_all: false,
        };
        metrics.add_run(about);
        // What an unwell worker says may be old.
        if let Some(plan) = report.plan.as_ref().filter(|plan| plan.counts.is_some() && !unwell) {
            metrics.looked = true;
            metrics.replaces_all = metrics.worked;
            metrics.add_cluster(plan);
            metrics.add_counters(&report.ledger.counters);
            metrics.add_connectors(report, plan, most);
            metrics.add_told(told);
        }
        Some(metrics)
    }

    /// Whether nothing of this cluster is known but this. It is not where the run could not look; nor where it could not
    /// work, which leaves the time of the last one that did. Unless connectors no longer fail: then their series must go.
    pub fn replaces_all(&self) -> bool {
        self.replaces_all
    }

    /// What this run says.
    pub fn as_text(&self) -> &str {
        &self.text
    }

    /// What this run says, and what stays of `old`, the metrics of this cluster that were written last.
    pub fn over(&self, old: &str) -> String {
        let kept = |name: &str| match (self.looked, self.worked) {
            (true, true) => false,
            (true, false) => name == LAST_SUCCESS.name,
            (false, _) => !OF_EVERY_RUN.iter().any(|family| family.name == name),
        };
        let kept: String = self.blocks(old).filter(|(name, _)| kept(name)).map(|(_, block)| block).collect();
        self.text.clone() + &kept
    }

    /// The families in a text that was written for this cluster; none if it is no such text, or not all of it.
    fn blocks<'a>(&self, text: &'a str) -> impl Iterator<Item = (&'static str, &'a str)> {
        const HELP: &str = "# HELP ";
        let mut blocks = Vec::new();
        let mut rest = text;
        while let Some(body) = rest.strip_prefix(HELP) {
            let end = body
                .find(&format!("\n{HELP}"))
                .map_or(rest.len(), |at| at.saturating_add(HELP.len()).saturating_add(1));
            let (block, after) = rest.split_at(end);
            let family = FAMILIES.iter().find(|family| self.is_of(family, block));
            let Some(family) = family else { return Vec::new().into_iter() };
            blocks.push((family.name, block));
            rest = after;
        }
        if !rest.is_empty() {
            blocks.clear();
        }
        blocks.into_iter()
    }

    fn is_of(&self, family: &Family, block: &str) -> bool {
        let Family { name, kind, .. } = family;
        // An older version may have said it in other words.
        let lines = block.split_once('\n').filter(|(help, _)| help.starts_with(&format!("# HELP {name} ")));
        let lines = lines.and_then(|(_, rest)| rest.strip_prefix(&format!("# TYPE {name} {kind}\n")));
        let is_sample = |line: &str| {
            let labels = line.strip_prefix(family.name).and_then(|rest| {
                let rest = rest.strip_prefix("_sum").or_else(|| rest.strip_prefix("_count")).unwrap_or(rest);
                rest.strip_prefix('{')?.strip_prefix(&self.cluster)
            });
            labels.is_some_and(|rest| rest.starts_with([',', '}']))
        };
        block.ends_with('\n') && lines.is_some_and(|lines| lines.lines().all(is_sample))
    }

    fn add_run(&mut self, about: &About) {
        self.family(&BUILD_INFO, [sample([env!("CARGO_PKG_VERSION")], 1)]);
        let ended = seconds(about.now().millis());
        self.family(&LAST_RUN, [alone(&ended)]);
        self.family(&LAST_RUN_SUCCESS, [alone(u8::from(self.worked))]);
        let took = u64::try_from(about.duration.as_millis()).unwrap_or(u64::MAX);
        self.family(&LAST_RUN_DURATION, [alone(seconds(took))]);
        if self.worked {
            self.family(&LAST_SUCCESS, [alone(ended)]);
        }
    }

    fn add_cluster(&mut self, plan: &Plan) {
        if let Some((connectors, tasks)) = &plan.counts {
            for (family, counts) in [(&CONNECTORS, connectors), (&TASKS, tasks)] {
                self.family(family, counts.by_state().map(|(state, count)| sample([state], count)));
            }
        }
        let summary = plan.summary();
        let count = |state: &str| summary.iter().find(|(action, _)| action.as_str() == state);
        let count = |state| count(state).map_or(0, |(_, count)| *count);
        self.family(&INSTANCES, STATES.map(|state| sample([state], count(state))));
    }

    fn add_counters(&mut self, counters: &Counters) {
        let kinds = [("connector", &counters.connector), ("task", &counters.task)];
        self.family(&FAILURES, kinds.map(|(kind, tally)| sample([kind], tally.failures)));
        let results = |(kind, tally): (&'static str, &Tally)| {
            let results =
                [("restarted", tally.restarted), ("failed", tally.failed), ("unknown", tally.unknown)];
            results.map(|(result, count)| sample([kind, result], count))
        };
        self.family(&RESTARTS, kinds.into_iter().flat_map(results));
        self.family(&GAVE_UP, kinds.map(|(kind, tally)| sample([kind], tally.gave_up)));
        let recoveries = |(kind, tally): (&'static str, &Tally)| {
            [
                Sample { suffix: "_sum", ..sample([kind], seconds(tally.down_millis)) },
                Sample { suffix: "_count", ..sample([kind], tally.recovered) },
            ]
        };
        self.family(&RECOVERY, kinds.into_iter().flat_map(recoveries));
    }

    fn add_connectors(&mut self, report: &RunReport, plan: &Plan, most: usize) {
        let (listed, unlisted) = failing(report, plan, most);
        self.replaces_all |= listed.is_empty();
        self.family(&CONNECTOR_GAVE_UP, listed.iter().map(|it| sample([it.name()], it.gave_up)));
        self.family(&CONNECTOR_ATTEMPTS, listed.iter().map(|it| sample([it.name()], it.attempts)));
        self.family(
            &CONNECTOR_FAILED,
            listed.iter().map(|it| sample([it.name()], seconds(it.since.millis()))),
        );
        self.family(&UNLISTED, [alone(unlisted)]);
    }

    fn add_told(&mut self, told: &[Told<'_>]) {
        let results = told.iter().flat_map(|told| {
            let results = [("sent", told.sent), ("failed", told.failed)];
            results.map(|(result, count)| sample([told.sink, result], count))
        });
        self.family(&NOTIFICATIONS, results);
        self.family(&NOTIFICATIONS_PENDING, told.iter().map(|told| sample([told.sink], told.pending)));
    }

    fn family<'a>(&mut self, family: &Family, samples: impl IntoIterator<Item = Sample<'a>>) {
        let Family { name, kind, labels, help, .. } = family;
        let mut samples = samples.into_iter().peekable();
        if samples.peek().is_none() {
            return;
        }
        let text = &mut self.text;
        let _ = writeln!(text, "# HELP {name} {help}\n# TYPE {name} {kind}");
        for Sample { suffix, values, value } in samples {
            let _ = write!(text, "{name}{suffix}{{{}", self.cluster);
            for (name, value) in labels.iter().zip(values) {
                let _ = write!(text, ",{}", label(name, &value));
            }
            let _ = writeln!(text, "}} {value}");
        }
    }
}

/// One value.
struct Sample<'a> {
    suffix: &'static str,
    /// The values of its family's labels.
    values: Vec<Cow<'a, str>>,
    value: String,
}

fn sample<'a, T: Into<Cow<'a, str>>, const N: usize>(
    values: [T; N],
    value: impl std::fmt::Display,
) -> Sample<'a> {
    Sample { suffix: "", values: values.map(Into::into).into(), value: value.to_string() }
}

/// Of a family without labels.
fn alone<'a>(value: impl std::fmt::Display) -> Sample<'a> {
    Sample { suffix: "", values: Vec::new(), value: value.to_string() }
}

/// A connector that fails now.
#[derive(Clone, Copy)]
struct Failing<'a> {
    connector: &'a str,
    attempts: u32,
    since: Timestamp,
    gave_up: usize,
}

impl<'a> Failing<'a> {
    fn of(lines: &'a [Line], report: &RunReport) -> Option<Self> {
        let failed = || lines.iter().filter(|line| line.action.is_failed_now());
        let episodes = || failed().filter_map(|line| report.ledger.episode(&line.id));
        Some(Self {
            connector: &lines.first()?.id.connector,
            attempts: episodes().map(|episode| episode.attempts).max()?,
            since: episodes().map(|episode| episode.first_failed_at).min()?,
            gave_up: failed().filter(|line| line.action == Action::GaveUp).count(),
        })
    }

    fn name(&self) -> Cow<'a, str> {
        show_name(self.connector)
    }

    fn rank(&self) -> impl Ord + use<> {
        (Reverse(self.attempts), self.since)
    }
}

/// Those with the most attempts, then those that failed first; and how many others there are.
fn failing<'a>(report: &'a RunReport, plan: &'a Plan, most: usize) -> (Vec<Failing<'a>>, usize) {
    let (mut listed, mut unlisted) = (Vec::<Failing<'_>>::new(), 0_usize);
    let connectors = plan.lines.chunk_by(|one, next| one.id.connector == next.id.connector);
    for failing in connectors.filter_map(|lines| Failing::of(lines, report)) {
        let rank = listed.partition_point(|other| other.rank() <= failing.rank());
        listed.insert(rank, failing);
        // A hundred thousand may fail, and few are wanted.
        if listed.len() > most {
            listed.pop();
            unlisted = unlisted.saturating_add(1);
        }
    }
    (listed, unlisted)
}

/// `name="value"`, escaped as the format wants it.
fn label(name: &str, value: &str) -> String {
    let value = value.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n");
    format!("{name}=\"{value}\"")
}

fn seconds(millis: u64) -> String {
    format!("{}.{:03}", millis / 1000, millis % 1000)
}

/// The README's table, in Markdown.
pub fn table() -> String {
    let mut table = String::from("| metric | type | labels | what it says |\n| --- | --- | --- | --- |\n");
    for Family { name, kind, labels, values, help } in FAMILIES {
        let labels: Vec<String> = labels.iter().map(|label| format!("`{label}`")).collect();
        let values = if values.is_empty() { String::new() } else { format!(" ({values})") };
        let _ = writeln!(table, "| `{name}` | {kind} | {}{values} | {help} |", labels.join(", "));
    }
    table
}
