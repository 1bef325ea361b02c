//! The documents for scripts: one JSON object on stdout, also on failure. Keys
//! are always there, `null` where there is nothing; a key may be added, but
//! none renamed or removed within a schema number.

use std::borrow::Cow;
use std::io::{self, Write};

use serde::ser::SerializeMap;
use serde::{Serialize, Serializer};

use super::{About, RunReport, ToldOne};
use crate::decide::hold::Hold;
use crate::decide::model::{Counts, InstanceId, State};
use crate::decide::plan::Plan;
use crate::decide::policy::Next;
use crate::decide::row::{GroupRow, Row};
use crate::decide::text::show_name;
use crate::decide::time::Timestamp;
use crate::exit::Failure;

pub(crate) const SCHEMA: u8 = 1;

/// Writes the document of `run` or `status`, or of a command that failed before it had anything to say. Instances are
/// written one by one: in a big outage the document is larger than all that is remembered.
pub fn write(report: &RunReport, writer: impl Write) -> io::Result<()> {
    finish(writer, report)
}

/// Writes the document of `reset`.
pub fn write_reset(
    cluster: &str,
    state: &str,
    forgotten: &[InstanceId],
    failure: Option<&Failure>,
    writer: impl Write,
) -> io::Result<()> {
    #[derive(Serialize)]
    struct Forgotten<'a> {
        connector: Cow<'a, str>,
        task: Option<u32>,
    }
    #[derive(Serialize)]
    struct Reset<'a> {
        schema: u8,
        command: &'static str,
        ok: bool,
        cluster: &'a str,
        state: &'a str,
        forgotten: Vec<Forgotten<'a>>,
        error: Option<ErrorKey<'a>>,
    }
    let forgotten =
        forgotten.iter().map(|id| Forgotten { connector: show_name(&id.connector), task: id.task }).collect();
    let error = failure.map(ErrorKey::from);
    finish(
        writer,
        &Reset { schema: SCHEMA, command: "reset", ok: failure.is_none(), cluster, state, forgotten, error },
    )
}

/// The document of `hold` and `release`.
#[derive(Debug)]
pub struct HoldDocument<'a> {
    pub command: &'static str,
    pub cluster: &'a str,
    pub state: &'a str,
    /// What was held, or released.
    pub done: &'a [Hold],
    /// What is held now.
    pub holds: &'a [Hold],
    pub failure: Option<&'a Failure>,
}

/// Writes the document of `hold` or `release`.
pub fn write_holds(document: &HoldDocument<'_>, writer: impl Write) -> io::Result<()> {
    #[derive(Serialize)]
    struct Document<'a> {
        schema: u8,
        command: &'static str,
        ok: bool,
        cluster: &'a str,
        state: &'a str,
        done: Vec<HoldKey<'a>>,
        holds: Vec<HoldKey<'a>>,
        error: Option<ErrorKey<'a>>,
    }
    let HoldDocument { command, cluster, state, done, holds, failure } = *document;
    finish(
        writer,
        &Document {
            schema: SCHEMA,
            command,
            ok: failure.is_none(),
            cluster,
            state,
            done: done.iter().map(HoldKey::from).collect(),
            holds: holds.iter().map(HoldKey::from).collect(),
            error: failure.map(ErrorKey::from),
        },
    )
}

/// One of `holds`.
#[derive(Serialize)]
struct HoldKey<'a> {
    pattern: Cow<'a, str>,
    by: &'a str,
    reason: Option<&'a str>,
    since: Time,
    until: Time,
}

impl<'a> From<&'a Hold> for HoldKey<'a> {
    fn from(hold: &'a Hold) -> Self {
        Self {
            pattern: show_name(&hold.pattern),
            by: &hold.by,
            reason: hold.reason.as_deref(),
            since: Time(hold.since),
            until: Time(hold.until),
        }
    }
}

/// What one sink answered to the test.
#[derive(Serialize)]
pub struct TestedKey<'a> {
    pub kind: &'static str,
    pub sink: &'a str,
    pub host: String,
    pub ok: bool,
    pub answer: &'a str,
    pub duration_ms: u64,
}

/// Writes the document of `notify`.
pub fn write_notify(
    cluster: &str,
    tested: Vec<TestedKey<'_>>,
    failure: Option<&Failure>,
    writer: impl Write,
) -> io::Result<()> {
    #[derive(Serialize)]
    struct Tested<'a> {
        schema: u8,
        command: &'static str,
        ok: bool,
        cluster: &'a str,
        told: Vec<TestedKey<'a>>,
        error: Option<ErrorKey<'a>>,
    }
    let (ok, error) = (failure.is_none(), failure.map(ErrorKey::from));
    finish(writer, &Tested { schema: SCHEMA, command: "notify", ok, cluster, told: tested, error })
}

pub(crate) fn finish(mut writer: impl Write, document: &impl Serialize) -> io::Result<()> {
    let mut buffered = io::BufWriter::new(&mut writer);
    serde_json::to_writer(&mut buffered, document)?;
    buffered.write_all(b"\n")?;
    buffered.flush()
}

impl Serialize for RunReport {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let about = self.about.as_ref();
        let counts = self.plan.as_ref().and_then(|plan| plan.counts.as_ref());
        let mut map = serializer.serialize_map(None)?;
        map.serialize_entry("schema", &SCHEMA)?;
        map.serialize_entry("command", &self.command)?;
        map.serialize_entry("ok", &self.failure.is_none())?;
        map.serialize_entry("dry_run", &about.map(|about| about.dry_run))?;
        map.serialize_entry("cluster", &about.map(|about| &about.cluster))?;
        map.serialize_entry("url", &about.map(|about| &about.url))?;
        if let Some(state) = about.and_then(|about| about.state.as_ref()) {
            map.serialize_entry("state", state)?;
        }
        map.serialize_entry("run", &self.run())?;
        map.serialize_entry("started_at", &about.map(|about| Time(about.started_at)))?;
        let millis = |about: &About| u64::try_from(about.duration.as_millis()).unwrap_or(u64::MAX);
        map.serialize_entry("duration_ms", &about.map(millis))?;
        map.serialize_entry("connectors", &counts.map(|(connectors, _)| CountsKey(connectors)))?;
        map.serialize_entry("tasks", &counts.map(|(_, tasks)| CountsKey(tasks)))?;
        let groups = self.groups();
        map.serialize_entry("instances", &Instances(self, &groups))?;
        map.serialize_entry("groups", &Groups(&groups))?;
        map.serialize_entry("holds", &self.holds().map(HoldKey::from).collect::<Vec<_>>())?;
        map.serialize_entry("summary", &self.plan.as_ref().map(SummaryKey))?;
        map.serialize_entry("warnings", &self.warnings().collect::<Vec<_>>())?;
        if about.is_none() || self.command != Some("status") {
            map.serialize_entry("told", &self.told.iter().map(ToldKey::from).collect::<Vec<_>>())?;
        }
        map.serialize_entry("error", &self.failure.as_ref().map(ErrorKey::from))?;
        map.end()
    }
}

#[derive(Serialize)]
struct ToldKey<'a> {
    sink: &'a str,
    ok: bool,
    error: Option<&'a str>,
}

impl<'a> From<&'a ToldOne> for ToldKey<'a> {
    fn from(told: &'a ToldOne) -> Self {
        Self { sink: &told.sink, ok: told.error.is_none(), error: told.error.as_deref() }
    }
}

pub(super) struct Time(pub(super) Timestamp);

impl Serialize for Time {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(&self.0)
    }
}

struct CountsKey<'a>(&'a Counts);

impl Serialize for CountsKey<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_map(std::iter::once(("total", self.0.total)).chain(self.0.by_state()))
    }
}

struct SummaryKey<'a>(&'a Plan);

impl Serialize for SummaryKey<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_map(self.0.summary().into_iter().map(|(action, count)| (action.as_str(), count)))
    }
}

struct Instances<'a>(&'a RunReport, &'a [GroupRow<'a>]);

impl Serialize for Instances<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_seq(self.0.rows(self.1).map(Instance))
    }
}

struct Instance<'a>(Row<'a>);

impl Serialize for Instance<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let Row {
            line,
            attempts,
            limit,
            first_failed_at,
            first_cause,
            last_attempt_at,
            restarts_24h,
            next,
            forgiven,
        } = &self.0;
        let mut map = serializer.serialize_map(None)?;
        map.serialize_entry("connector", &show_name(&line.id.connector))?;
        map.serialize_entry("task", &line.id.task)?;
        map.serialize_entry("state", &line.state.as_ref().map(State::as_str))?;
        map.serialize_entry("action", line.action.as_str())?;
        map.serialize_entry("attempts", attempts)?;
        map.serialize_entry("max_restart", limit)?;
        map.serialize_entry("first_failed_at", &first_failed_at.map(Time))?;
        map.serialize_entry("last_attempt_at", &last_attempt_at.map(Time))?;
        map.serialize_entry("restarts_24h", restarts_24h)?;
        map.serialize_entry("next", &next.map(NextKey))?;
        map.serialize_entry("forgiven", &forgiven.map(NextKey))?;
        map.serialize_entry("cause", &line.cause.as_ref().map(|cause| &*cause.text))?;
        map.serialize_entry("first_cause", &first_cause.as_ref().map(|cause| &*cause.text))?;
        map.serialize_entry("group", &line.cause.as_ref().map(|cause| cause.key.to_string()))?;
        map.serialize_entry("advice", &line.cause.as_ref().map(|cause| cause.advice.as_str()))?;
        map.serialize_entry("worker_id", &line.worker.as_deref())?;
        map.serialize_entry("reason", &line.reason.as_deref())?;
        map.serialize_entry("error", &line.error.as_deref())?;
        map.end()
    }
}

struct Groups<'a>(&'a [GroupRow<'a>]);

impl Serialize for Groups<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        #[derive(Serialize)]
        struct Group<'a> {
            key: String,
            cause: &'a str,
            advice: &'static str,
            connectors: usize,
            tasks: usize,
            since: Option<Time>,
            canaries: Vec<Cow<'a, str>>,
            bad_waves: u32,
            next: Option<NextKey>,
        }
        serializer.collect_seq(self.0.iter().map(|row| Group {
            key: row.group.cause.key.to_string(),
            cause: &row.group.cause.text,
            advice: row.group.cause.advice.as_str(),
            connectors: row.group.connectors,
            tasks: row.tasks,
            since: row.since.map(Time),
            canaries: row.canary.into_iter().map(|name| show_name(name)).collect(),
            bad_waves: row.bad_waves,
            next: row.next.map(NextKey),
        }))
    }
}

struct NextKey(Next);

impl Serialize for NextKey {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let (runs, at) = match self.0 {
            Next::Runs(runs) => (Some(runs), None),
            Next::At(moment) => (None, Some(Time(moment))),
        };
        let mut map = serializer.serialize_map(Some(2))?;
        map.serialize_entry("runs", &runs)?;
        map.serialize_entry("at", &at)?;
        map.end()
    }
}

/// The `error` of every document.
#[derive(Serialize)]
pub(crate) struct ErrorKey<'a> {
    kind: &'static str,
    message: String,
    hint: Option<&'a str>,
}

impl<'a> From<&'a Failure> for ErrorKey<'a> {
    fn from(failure: &'a Failure) -> Self {
        Self { kind: failure.kind.as_str(), message: failure.message(), hint: failure.hint.as_deref() }
    }
}
