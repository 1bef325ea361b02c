//! The documents for scripts: one JSON object on stdout, also on failure. Keys
//! are always there, `null` where there is nothing; a key may be added, but
//! none renamed or removed within a schema number.

use std::borrow::Cow;
use std::io::{self, Write};

use serde::ser::SerializeMap;
use serde::{Serialize, Serializer};

use super::Report;
use crate::decide::model::{Counts, InstanceId, State, Timestamp};
use crate::decide::outcome::{Next, Row};
use crate::decide::plan::Plan;
use crate::decide::text::sanitize;
use crate::exit::Failure;

const SCHEMA: u8 = 1;

/// Writes the document of `run` or `status`. Instances are written one by one:
/// in a big outage the document is larger than all that is remembered.
///
/// # Errors
/// Those of the writer.
pub fn write(report: &Report<'_>, writer: impl Write) -> io::Result<()> {
    finish(writer, &Document(report))
}

/// Writes the document of a command that failed before it had anything to say:
/// the keys of `run`, with nothing in them.
///
/// # Errors
/// Those of the writer.
pub fn write_failure(command: Option<&str>, failure: &Failure, writer: impl Write) -> io::Result<()> {
    #[derive(Serialize)]
    struct Failed<'a> {
        schema: u8,
        command: Option<&'a str>,
        ok: bool,
        dry_run: Option<bool>,
        cluster: Option<&'a str>,
        url: Option<&'a str>,
        run: Option<u64>,
        started_at: Option<Time>,
        duration_ms: Option<u64>,
        connectors: Option<CountsKey<'a>>,
        tasks: Option<CountsKey<'a>>,
        instances: [(); 0],
        summary: Option<SummaryKey<'a>>,
        warnings: [(); 0],
        error: ErrorKey<'a>,
    }
    let document = Failed {
        schema: SCHEMA,
        command,
        ok: false,
        dry_run: None,
        cluster: None,
        url: None,
        run: None,
        started_at: None,
        duration_ms: None,
        connectors: None,
        tasks: None,
        instances: [],
        summary: None,
        warnings: [],
        error: failure.into(),
    };
    finish(writer, &document)
}

/// Writes the document of `reset`.
///
/// # Errors
/// Those of the writer.
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
        forgotten.iter().map(|id| Forgotten { connector: sanitize(&id.connector), task: id.task }).collect();
    let error = failure.map(ErrorKey::from);
    finish(
        writer,
        &Reset { schema: SCHEMA, command: "reset", ok: failure.is_none(), cluster, state, forgotten, error },
    )
}

pub(crate) fn finish(mut writer: impl Write, document: &impl Serialize) -> io::Result<()> {
    let mut buffered = io::BufWriter::new(&mut writer);
    serde_json::to_writer(&mut buffered, document)?;
    buffered.write_all(b"\n")?;
    buffered.flush()
}

struct Document<'a>(&'a Report<'a>);

impl Serialize for Document<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let report = self.0;
        let mut map = serializer.serialize_map(None)?;
        map.serialize_entry("schema", &SCHEMA)?;
        map.serialize_entry("command", report.command)?;
        map.serialize_entry("ok", &report.failure.is_none())?;
        map.serialize_entry("dry_run", &report.dry_run)?;
        map.serialize_entry("cluster", report.cluster)?;
        map.serialize_entry("url", &report.url)?;
        if let Some(state) = report.state {
            map.serialize_entry("state", state)?;
        }
        map.serialize_entry("run", &report.run)?;
        map.serialize_entry("started_at", &Time(report.started_at))?;
        map.serialize_entry("duration_ms", &u64::try_from(report.duration.as_millis()).unwrap_or(u64::MAX))?;
        map.serialize_entry("connectors", &report.counts.map(|(connectors, _)| CountsKey(connectors)))?;
        map.serialize_entry("tasks", &report.counts.map(|(_, tasks)| CountsKey(tasks)))?;
        map.serialize_entry("instances", &Instances(report))?;
        map.serialize_entry("summary", &report.plan.map(SummaryKey))?;
        let warnings: Vec<&String> = report.warnings().collect();
        map.serialize_entry("warnings", &warnings)?;
        map.serialize_entry("error", &report.failure.map(ErrorKey::from))?;
        map.end()
    }
}

struct Time(Timestamp);

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

struct Instances<'a>(&'a Report<'a>);

impl Serialize for Instances<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_seq(self.0.rows().map(Instance))
    }
}

struct Instance<'a>(Row<'a>);

impl Serialize for Instance<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let Row { line, attempts, limit, first_failed_at, last_attempt_at, next, forgiven } = &self.0;
        let mut map = serializer.serialize_map(None)?;
        map.serialize_entry("connector", &sanitize(&line.id.connector))?;
        map.serialize_entry("task", &line.id.task)?;
        map.serialize_entry("state", &line.state.as_ref().map(State::as_str))?;
        map.serialize_entry("action", line.action.as_str())?;
        map.serialize_entry("attempts", attempts)?;
        map.serialize_entry("max_restart", limit)?;
        map.serialize_entry("first_failed_at", &first_failed_at.map(Time))?;
        map.serialize_entry("last_attempt_at", &last_attempt_at.map(Time))?;
        map.serialize_entry("next", &next.map(NextKey))?;
        map.serialize_entry("forgiven", &forgiven.map(NextKey))?;
        map.serialize_entry("cause", &line.cause.as_deref())?;
        map.serialize_entry("worker_id", &line.worker.as_deref())?;
        map.serialize_entry("error", &line.error.as_deref())?;
        map.end()
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
    message: &'a str,
    hint: Option<&'a str>,
}

impl<'a> From<&'a Failure> for ErrorKey<'a> {
    fn from(failure: &'a Failure) -> Self {
        Self { kind: failure.kind.as_str(), message: &failure.message, hint: failure.hint.as_deref() }
    }
}
