//! The state's format: JSON, its version first, one instance to a line, so that
//! a person can read it. It converts between that and the ledger, and refuses
//! what it does not understand. It must not touch a file.
//!
//! Changing it: a reader must take every older version (keep a sample of each
//! as a test) and refuses a newer one. Raise `VERSION` when a field is added,
//! even if old readers could ignore it: they would drop it when they write.

use std::fmt;
use std::io::{self, Cursor, Read, Write};
use std::sync::Arc;
use std::time::SystemTime;

use serde::de::{SeqAccess, Visitor};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::decide::advice::Advice;
use crate::decide::cause::{Cause, Key};
use crate::decide::counters::{Counters, Tally};
use crate::decide::group::Group;
use crate::decide::history::{Entry, Fates, Happened, History, Name};
use crate::decide::hold::Hold;
use crate::decide::interner::Interner;
use crate::decide::ledger::Ledger;
use crate::decide::model::InstanceId;
use crate::decide::record::{Attempt, Episode, NotTaken, Record, Reply, Streak};
use crate::decide::shared::SharedStr;
use crate::decide::table::ByInstance;
use crate::decide::tell::{Key as TellKey, Mark, Members, SinkTold, Told, Trouble};
use crate::decide::time::Timestamp;

/// The version that this program writes.
const VERSION: u64 = 3;
/// So many bytes of history are kept in a file.
const HISTORY: usize = 256 * 1024;

/// Why a state was not taken.
#[derive(Debug)]
pub enum Refusal {
    /// It cannot be read at all.
    Unreadable(io::Error),
    /// Not JSON, or not of this shape.
    Corrupt(String),
    /// Written by a newer version of guardian: its format.
    Newer(u64),
    /// Of another cluster: its name.
    OtherCluster(String),
}

impl From<io::Error> for Refusal {
    fn from(error: io::Error) -> Self {
        Self::Unreadable(error)
    }
}

impl From<serde_json::Error> for Refusal {
    fn from(error: serde_json::Error) -> Self {
        if error.is_io() { Self::Unreadable(error.into()) } else { Self::Corrupt(error.to_string()) }
    }
}

/// A run's word that the state is its own for a while: where there is no lock.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Lease {
    /// Which run, for a person.
    pub holder: String,
    /// When it ends, if the run does not end it before.
    pub expires_at: Timestamp,
}

/// Writes the ledger of `cluster`, and whose it is for a while.
///
/// # Errors
/// Those of the writer.
pub fn write(
    mut writer: impl Write,
    cluster: &str,
    ledger: &Ledger,
    lease: Option<&Lease>,
) -> io::Result<()> {
    write_within(HISTORY, &mut writer, cluster, ledger, lease)
}

/// The same with at most so many bytes of history: the oldest entries go first.
///
/// # Errors
/// Those of the writer.
pub fn write_within(
    longest_history: usize,
    mut writer: impl Write,
    cluster: &str,
    ledger: &Ledger,
    lease: Option<&Lease>,
) -> io::Result<()> {
    let cluster = serde_json::to_string(cluster)?;
    write!(writer, "{{\"version\":{VERSION},\"cluster\":{cluster},\"run\":{},", ledger.run)?;
    if let Some(lease) = lease {
        let line = LeaseLine { holder: Text::Borrowed(&lease.holder), expires_at: Time(lease.expires_at) };
        write!(writer, "\"claim\":{},", serde_json::to_string(&line)?)?;
    }
    if let Some(url) = &ledger.first_url {
        write!(writer, "\"first_url\":{},", serde_json::to_string(&**url)?)?;
    }
    if ledger.one_by_one {
        writer.write_all(b"\"one_by_one\":true,")?;
    }
    if ledger.careful {
        writer.write_all(b"\"careful\":true,")?;
    }
    if !ledger.groups.is_empty() {
        let lines: Vec<GroupLine<'_>> = ledger.groups.iter().map(GroupLine::from).collect();
        write!(writer, "\"groups\":{},", serde_json::to_string(&lines)?)?;
    }
    if !ledger.holds.is_empty() {
        let lines: Vec<HoldLine<'_>> = ledger.holds.iter().map(HoldLine::from).collect();
        write!(writer, "\"holds\":{},", serde_json::to_string(&lines)?)?;
    }
    let history = newest(ledger.history.entries(), longest_history)?;
    if !history.is_empty() {
        write!(writer, "\"history\":[\n{}\n],\n", history.join(",\n"))?;
    }
    if let Some(trouble) = &ledger.trouble {
        write!(writer, "\"trouble\":{},", serde_json::to_string(&TroubleLine::from(trouble))?)?;
    }
    if !ledger.told.sinks.is_empty() {
        writer.write_all(b"\"told\":[")?;
        for (number, (name, sink)) in ledger.told.sinks.iter().enumerate() {
            writer.write_all(if number == 0 { b"\n" } else { b",\n" })?;
            serde_json::to_writer(&mut writer, &SinkLine::of(name, sink))?;
        }
        writer.write_all(b"\n],")?;
    }
    if ledger.counters != Counters::default() {
        let line = CountersLine::from(&ledger.counters);
        write!(writer, "\"counters\":{},", serde_json::to_string(&line)?)?;
    }
    writer.write_all(b"\"instances\":[")?;
    for (number, record) in ledger.records.iter().enumerate() {
        writer.write_all(if number == 0 { b"\n" } else { b",\n" })?;
        serde_json::to_writer(&mut writer, &Instance::from(record))?;
    }
    writer.write_all(b"\n]}\n")
}

/// Reads the ledger of `cluster`, and whose it is, from a source that can be read twice.
///
/// # Errors
/// When it is not such a ledger.
pub fn read<R: Read>(
    open: impl Fn() -> io::Result<R>,
    cluster: &str,
) -> Result<(Ledger, Option<Lease>), Refusal> {
    #[derive(Deserialize)]
    struct Head {
        version: u64,
        // A newer version may have put it elsewhere, or something else here.
        cluster: Option<serde_json::Value>,
    }
    #[derive(Deserialize)]
    struct Body {
        run: u64,
        claim: Option<LeaseLine<'static>>,
        first_url: Option<String>,
        #[serde(default)]
        one_by_one: bool,
        #[serde(default)]
        careful: bool,
        #[serde(default)]
        groups: Vec<GroupLine<'static>>,
        #[serde(default)]
        holds: Vec<HoldLine<'static>>,
        #[serde(default)]
        history: Vec<Line>,
        trouble: Option<TroubleLine<'static>>,
        #[serde(default)]
        told: Vec<SinkLine<'static>>,
        #[serde(default)]
        counters: CountersLine,
        instances: Records,
    }
    let open = || open().and_then(without_bom).map(io::BufReader::new);
    let head: Head = serde_json::from_reader(open()?)?;
    if head.version > VERSION {
        return Err(Refusal::Newer(head.version));
    }
    if head.version == 0 {
        return Err(Refusal::Corrupt("version 0 never existed".to_owned()));
    }
    match head.cluster {
        Some(serde_json::Value::String(name)) if name == cluster => {}
        Some(serde_json::Value::String(other)) => return Err(Refusal::OtherCluster(other)),
        _ => return Err(Refusal::Corrupt("it names no cluster".to_owned())),
    }
    let body: Body = serde_json::from_reader(open()?)?;
    let lease =
        body.claim.map(|line| Lease { holder: line.holder.into_owned(), expires_at: line.expires_at.0 });
    let groups: Result<Vec<Group>, _> = body.groups.into_iter().map(GroupLine::into_group).collect();
    let ledger = Ledger {
        run: body.run,
        records: body.instances.0,
        first_url: body.first_url.map(SharedStr::from),
        one_by_one: body.one_by_one,
        careful: body.careful,
        groups: groups.map_err(|why| Refusal::Corrupt(why.to_owned()))?,
        holds: body.holds.into_iter().map(HoldLine::into_hold).collect(),
        history: entries(body.history),
        told: told_of(body.told).map_err(|why| Refusal::Corrupt(why.to_owned()))?,
        trouble: body.trouble.map(TroubleLine::into_trouble),
        counters: body.counters.into(),
    };
    Ok((ledger, lease))
}

/// Windows' editors begin a file with a byte-order mark, and JSON has none (RFC 8259, 8.1).
fn without_bom(mut reader: impl Read) -> io::Result<impl Read> {
    let mut head = Vec::new();
    reader.by_ref().take(3).read_to_end(&mut head)?;
    if head == "\u{feff}".as_bytes() {
        head.clear();
    }
    Ok(Cursor::new(head).chain(reader))
}

#[derive(Serialize, Deserialize)]
struct LeaseLine<'a> {
    #[serde(rename = "by")]
    holder: Text<'a>,
    #[serde(rename = "until")]
    expires_at: Time,
}

#[derive(Serialize, Deserialize)]
struct GroupLine<'a> {
    group: String,
    bad_waves: u32,
    run: u64,
    at: Time,
    canary: Text<'a>,
}

impl<'a> From<&'a Group> for GroupLine<'a> {
    fn from(group: &'a Group) -> Self {
        let Group { key, bad_waves, run, at, canary } = group;
        Self {
            group: key.to_string(),
            bad_waves: *bad_waves,
            run: *run,
            at: Time(*at),
            canary: Text::Borrowed(canary),
        }
    }
}

impl GroupLine<'_> {
    fn into_group(self) -> Result<Group, &'static str> {
        let Self { group, bad_waves, run, at, canary } = self;
        Ok(Group { key: key_of(&group)?, bad_waves, run, at: at.0, canary: (*canary).into() })
    }
}

#[derive(Serialize, Deserialize)]
struct HoldLine<'a> {
    pattern: Text<'a>,
    by: Text<'a>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    reason: Option<Text<'a>>,
    since: Time,
    until: Time,
}

impl<'a> From<&'a Hold> for HoldLine<'a> {
    fn from(hold: &'a Hold) -> Self {
        let Hold { pattern, by, reason, since, until } = hold;
        Self {
            pattern: Text::Borrowed(pattern),
            by: Text::Borrowed(by),
            reason: reason.as_deref().map(Text::Borrowed),
            since: Time(*since),
            until: Time(*until),
        }
    }
}

impl HoldLine<'_> {
    fn into_hold(self) -> Hold {
        let Self { pattern, by, reason, since, until } = self;
        Hold {
            pattern: (*pattern).into(),
            by: (*by).into(),
            reason: reason.map(|reason| (*reason).into()),
            since: since.0,
            until: until.0,
        }
    }
}

/// A line of the history as it is read. One that this version cannot understand is left out: a word of a newer version must
/// not cost what is remembered besides.
#[derive(Deserialize)]
#[serde(untagged)]
enum Line {
    Entry(Box<EntryLine<'static>>),
    Other(serde::de::IgnoredAny),
}

/// One entry of the history, flat.
#[derive(Serialize, Deserialize)]
struct EntryLine<'a> {
    at: Time,
    run: u64,
    event: Text<'a>,
    #[serde(default, skip_serializing_if = "is_none")]
    connectors: u64,
    #[serde(default, skip_serializing_if = "is_none")]
    instances: u64,
    #[serde(default, skip_serializing_if = "is_none")]
    tasks: u64,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    names: Vec<NameLine<'a>>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    cause: Option<CauseLine<'a>>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    by: Option<Text<'a>>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    since: Option<Time>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    until: Option<Time>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    runs: Option<u64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    restarts: Option<(u32, u32)>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    down_seconds: Option<(u64, u64)>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    fates: Option<FatesLine>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    delivered: Option<bool>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    text: Option<Text<'a>>,
}

#[derive(Serialize, Deserialize)]
struct NameLine<'a> {
    connector: Text<'a>,
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    own: bool,
    #[serde(default, skip_serializing_if = "<[_]>::is_empty")]
    tasks: std::borrow::Cow<'a, [(u32, u32)]>,
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    more: bool,
}

#[derive(Serialize, Deserialize)]
struct FatesLine {
    taken: u64,
    running: u64,
    failed_again: u64,
    unknown: u64,
}

/// The lines of the newest entries that fit, the oldest of them first.
fn newest(entries: &[Entry], longest: usize) -> io::Result<Vec<String>> {
    let (mut lines, mut left) = (Vec::new(), longest);
    for entry in entries.iter().rev() {
        let line = serde_json::to_string(&EntryLine::from(entry))?;
        // With its comma and its newline.
        let Some(rest) = left.checked_sub(line.len().saturating_add(2)) else { break };
        left = rest;
        lines.push(line);
    }
    lines.reverse();
    Ok(lines)
}

fn entries(lines: Vec<Line>) -> History {
    let mut shared = Shared::default();
    let entry = |line| match line {
        Line::Entry(line) => line.into_entry(&mut shared),
        Line::Other(_) => None,
    };
    History::from(lines.into_iter().filter_map(entry).collect::<Vec<Entry>>())
}

impl<'a> From<&'a Entry> for EntryLine<'a> {
    fn from(entry: &'a Entry) -> Self {
        let name = |name: &'a Name| NameLine {
            connector: Text::Borrowed(&name.connector),
            own: name.own,
            tasks: (&*name.tasks).into(),
            more: name.more,
        };
        let fates = |Fates { taken, running, failed_again, unknown }| FatesLine {
            taken,
            running,
            failed_again,
            unknown,
        };
        Self {
            at: Time(entry.at),
            run: entry.run,
            event: Text::Borrowed(entry.event.as_str()),
            connectors: entry.connectors,
            instances: entry.instances,
            tasks: entry.tasks,
            names: entry.names.iter().map(name).collect(),
            cause: entry.cause.as_deref().map(CauseLine::from),
            by: entry.by.as_deref().map(Text::Borrowed),
            since: entry.since.map(Time),
            until: entry.until.map(Time),
            runs: entry.runs,
            restarts: entry.restarts,
            down_seconds: entry.down,
            fates: entry.fates.map(fates),
            delivered: entry.delivered,
            text: entry.text.as_deref().map(Text::Borrowed),
        }
    }
}

impl EntryLine<'_> {
    /// `None` when it cannot be understood.
    fn into_entry(self, shared: &mut Shared) -> Option<Entry> {
        let fates = |FatesLine { taken, running, failed_again, unknown }| Fates {
            taken,
            running,
            failed_again,
            unknown,
        };
        let event = Happened::parse(&self.event)?;
        let names = self.names.into_iter().map(|name| Name {
            connector: shared.texts.share(&*name.connector),
            own: name.own,
            tasks: name.tasks.into_owned(),
            more: name.more,
        });
        Some(Entry {
            at: self.at.0,
            run: self.run,
            event,
            connectors: self.connectors,
            instances: self.instances,
            tasks: self.tasks,
            names: names.collect(),
            cause: self.cause.map(|line| line.into_cause(shared)).transpose().ok()?,
            by: self.by.map(|text| shared.texts.share(&*text)),
            since: self.since.map(|time| time.0),
            until: self.until.map(|time| time.0),
            runs: self.runs,
            restarts: self.restarts,
            down: self.down_seconds,
            fates: self.fates.map(fates),
            delivered: self.delivered,
            text: self.text.map(|text| shared.texts.share(&*text)),
        })
    }
}

#[derive(Default, Serialize, Deserialize)]
#[serde(default)]
struct CountersLine {
    connector: TallyLine,
    task: TallyLine,
}

#[derive(Default, Serialize, Deserialize)]
#[serde(default)]
struct TallyLine {
    failures: u64,
    restarted: u64,
    failed: u64,
    unknown: u64,
    gave_up: u64,
    recovered: u64,
    down_millis: u64,
}

impl From<&Counters> for CountersLine {
    fn from(counters: &Counters) -> Self {
        Self { connector: TallyLine::from(&counters.connector), task: TallyLine::from(&counters.task) }
    }
}

impl From<CountersLine> for Counters {
    fn from(line: CountersLine) -> Self {
        Self { connector: line.connector.into(), task: line.task.into() }
    }
}

impl From<&Tally> for TallyLine {
    fn from(tally: &Tally) -> Self {
        let Tally { failures, restarted, failed, unknown, gave_up, recovered, down_millis } = *tally;
        Self { failures, restarted, failed, unknown, gave_up, recovered, down_millis }
    }
}

impl From<TallyLine> for Tally {
    fn from(line: TallyLine) -> Self {
        let TallyLine { failures, restarted, failed, unknown, gave_up, recovered, down_millis } = line;
        Self { failures, restarted, failed, unknown, gave_up, recovered, down_millis }
    }
}

fn key_of(hash: &str) -> Result<Key, &'static str> {
    let is_key = hash.len() == 8 && hash.bytes().all(|byte| byte.is_ascii_hexdigit());
    u32::from_str_radix(hash, 16).ok().filter(|_| is_key).map(Key).ok_or("a group is no hash")
}

/// That no run can do its work.
#[derive(Serialize, Deserialize)]
struct TroubleLine<'a> {
    kind: Text<'a>,
    since: Time,
    runs: u32,
    message: Text<'a>,
}

impl<'a> From<&'a Trouble> for TroubleLine<'a> {
    fn from(trouble: &'a Trouble) -> Self {
        let Trouble { kind, since, runs, message } = trouble;
        let (kind, message) = (Text::Borrowed(&**kind), Text::Borrowed(&**message));
        Self { kind, since: Time(*since), runs: *runs, message }
    }
}

impl TroubleLine<'_> {
    fn into_trouble(self) -> Trouble {
        let Self { kind, since, runs, message } = self;
        Trouble { kind: (*kind).into(), since: since.0, runs, message: (*message).into() }
    }
}

/// What one sink has been told, by its name: its address may be a secret.
#[derive(Serialize, Deserialize)]
struct SinkLine<'a> {
    sink: Text<'a>,
    #[serde(default)]
    arrived: u64,
    #[serde(default)]
    failed: u64,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    sent: Vec<Time>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    unsure: Option<Time>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    warned: Option<Time>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    open: Vec<MarkLine<'a>>,
}

#[derive(Serialize, Deserialize)]
struct MarkLine<'a> {
    what: Text<'a>,
    at: Time,
    since: Time,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    back: Option<Time>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    unsure: Option<Text<'a>>,
    #[serde(default, skip_serializing_if = "is_zero")]
    restarts: u32,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    cause: Option<CauseLine<'a>>,
    /// Tasks by connector, `null` for its own instance.
    of: std::collections::BTreeMap<Text<'a>, std::borrow::Cow<'a, [Option<u32>]>>,
}

impl<'a> SinkLine<'a> {
    fn of(name: &'a str, told: &'a SinkTold) -> Self {
        let SinkTold { marks, sent, unsure, warned, arrived, failed } = told;
        Self {
            sink: Text::Borrowed(name),
            arrived: *arrived,
            failed: *failed,
            sent: sent.iter().copied().map(Time).collect(),
            unsure: unsure.map(Time),
            warned: warned.map(Time),
            open: marks.iter().map(MarkLine::from).collect(),
        }
    }
}

impl<'a> From<&'a Mark> for MarkLine<'a> {
    fn from(mark: &'a Mark) -> Self {
        Self {
            what: Text::Borrowed(mark.what.as_str()),
            at: Time(mark.at),
            since: Time(mark.since),
            back: mark.back.map(Time),
            unsure: mark.unsure.map(|key| Text::Borrowed(key.as_str())),
            restarts: mark.restarts,
            cause: mark.cause.as_deref().map(CauseLine::from),
            of: mark
                .members
                .iter()
                .map(|(name, all)| (Text::Borrowed(&**name), all.as_slice().into()))
                .collect(),
        }
    }
}

impl MarkLine<'_> {
    fn into_mark(self, shared: &mut Shared) -> Result<Mark, &'static str> {
        let key = |text: &str| TellKey::parse(text).ok_or("what was told is not known");
        let of = self.of.into_iter().map(|(name, all)| (shared.texts.share(&*name), all.into_owned()));
        let members: Members = of.collect();
        let mut mark = Mark::new(key(&self.what)?, self.at.0, self.since.0, Arc::new(members));
        mark.back = self.back.map(|time| time.0);
        mark.unsure = self.unsure.map(|text| key(&text)).transpose()?;
        mark.restarts = self.restarts;
        mark.cause = self.cause.map(|line| line.into_cause(shared)).transpose()?;
        Ok(mark)
    }
}

fn told_of(lines: Vec<SinkLine<'_>>) -> Result<Told, &'static str> {
    let mut shared = Shared::default();
    let mut told = Told::default();
    for line in lines {
        let marks: Result<Vec<Mark>, _> =
            line.open.into_iter().map(|mark| mark.into_mark(&mut shared)).collect();
        let sink = SinkTold {
            marks: marks?,
            sent: line.sent.into_iter().map(|time| time.0).collect(),
            unsure: line.unsure.map(|time| time.0),
            warned: line.warned.map(|time| time.0),
            arrived: line.arrived,
            failed: line.failed,
        };
        told.sinks.insert(SharedStr::from(&*line.sink), sink);
    }
    Ok(told)
}

/// One record, flat.
#[derive(Serialize, Deserialize)]
struct Instance<'a> {
    connector: Text<'a>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    task: Option<u32>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    episode: Option<EpisodeLine<'a>>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    in_transition: Option<StreakLine>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    absent: Option<StreakLine>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    no_tasks: Option<StreakLine>,
    /// In whole seconds since 1970: in an outage there are thousands, and a ConfigMap holds little.
    #[serde(default, skip_serializing_if = "<[u32]>::is_empty")]
    earlier_restarts: std::borrow::Cow<'a, [u32]>,
}

#[derive(Serialize, Deserialize)]
struct EpisodeLine<'a> {
    attempts: u32,
    #[serde(default, skip_serializing_if = "is_zero")]
    extra: u32,
    first_failed_at: Time,
    first_failed_run: u64,
    /// The versions 1 and 2 did not tell: then it is the run of the last attempt.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    last_failed_run: Option<u64>,
    #[serde(default, skip_serializing_if = "is_zero")]
    failed_again_at: u32,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    last_attempt: Option<AttemptLine>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    healthy: Option<StreakLine>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    not_taken: Option<NotTakenLine<'a>>,
    /// How the versions 1 and 2 wrote a 404.
    #[serde(default, skip_serializing)]
    not_found: bool,
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    connector_restarted: bool,
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    gave_up: bool,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    worker: Option<Text<'a>>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    first_cause: Option<CauseLine<'a>>,
    /// Version 1 had only its text.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    cause: Option<Written<'a>>,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde asks for a reference")]
fn is_zero(number: &u32) -> bool {
    *number == 0
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde asks for a reference")]
fn is_none(number: &u64) -> bool {
    *number == 0
}

#[derive(Serialize, Deserialize)]
struct NotTakenLine<'a> {
    reply: ReplyWord,
    runs: u32,
    run: u64,
    at: Time,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    told_at: Option<Time>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    text: Option<Text<'a>>,
}

#[derive(Clone, Copy, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum ReplyWord {
    No,
    NotFound,
    UnknownTask,
}

#[derive(Serialize, Deserialize)]
struct CauseLine<'a> {
    group: String,
    advice: Text<'a>,
    text: Text<'a>,
}

#[derive(Serialize, Deserialize)]
#[serde(untagged)]
enum Written<'a> {
    Cause(CauseLine<'a>),
    Text(Text<'a>),
}

/// One copy of what many records share.
#[derive(Default)]
struct Shared {
    texts: Interner<'static, SharedStr>,
    causes: Interner<'static, Arc<Cause>>,
}

#[derive(Serialize, Deserialize)]
struct AttemptLine {
    run: u64,
    at: Time,
    answered_at: Time,
}

#[derive(Serialize, Deserialize)]
struct StreakLine {
    runs: u64,
    since: Time,
}

/// A text that is borrowed when written and owned when read.
type Text<'a> = std::borrow::Cow<'a, str>;

/// RFC 3339 in UTC with milliseconds.
struct Time(Timestamp);

impl Serialize for Time {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(&humantime::format_rfc3339_millis(self.0.into()))
    }
}

impl<'de> Deserialize<'de> for Time {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        let time: SystemTime = humantime::parse_rfc3339(&text).map_err(serde::de::Error::custom)?;
        Ok(Self(time.into()))
    }
}

/// The records, built while they are read: a big outage's state is never held
/// twice, and a cause that many share is held once.
struct Records(ByInstance<Record>);

impl<'de> Deserialize<'de> for Records {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Lines;
        impl<'de> Visitor<'de> for Lines {
            type Value = Records;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("the instances")
            }
            fn visit_seq<A: SeqAccess<'de>>(self, mut lines: A) -> Result<Records, A::Error> {
                let (mut shared, mut records) = (Shared::default(), Vec::new());
                while let Some(line) = lines.next_element::<Instance<'static>>()? {
                    records.push(line.into_record(&mut shared).map_err(serde::de::Error::custom)?);
                }
                let count = records.len();
                let records = ByInstance::from(records);
                if records.len() < count {
                    return Err(serde::de::Error::custom("an instance is there twice"));
                }
                Ok(Records(records))
            }
        }
        deserializer.deserialize_seq(Lines)
    }
}

impl<'a> From<&'a Record> for Instance<'a> {
    fn from(record: &'a Record) -> Self {
        Self {
            connector: Text::Borrowed(&record.id.connector),
            task: record.id.task,
            episode: record.episode.as_ref().map(EpisodeLine::from),
            in_transition: record.transition.as_deref().copied().map(StreakLine::from),
            absent: record.absent.as_deref().copied().map(StreakLine::from),
            no_tasks: record.no_tasks.as_deref().copied().map(StreakLine::from),
            earlier_restarts: (&*record.earlier).into(),
        }
    }
}

impl<'a> From<&'a Episode> for EpisodeLine<'a> {
    fn from(episode: &'a Episode) -> Self {
        Self {
            attempts: episode.attempts,
            extra: episode.extra,
            last_failed_run: Some(episode.last_failed_run),
            failed_again_at: episode.failed_again_at,
            first_failed_at: Time(episode.first_failed_at),
            first_failed_run: episode.first_failed_run,
            last_attempt: episode.last_attempt.map(|last| AttemptLine {
                run: last.run,
                at: Time(last.at),
                answered_at: Time(last.answered),
            }),
            healthy: episode.healthy.as_deref().copied().map(StreakLine::from),
            not_taken: episode.not_taken.as_deref().map(NotTakenLine::from),
            not_found: false,
            connector_restarted: episode.connector_restarted,
            gave_up: episode.gave_up,
            worker: episode.worker.as_deref().map(Text::Borrowed),
            first_cause: episode.first_cause.as_deref().map(CauseLine::from),
            cause: episode.cause.as_deref().map(|cause| Written::Cause(cause.into())),
        }
    }
}

impl<'a> From<&'a NotTaken> for NotTakenLine<'a> {
    fn from(not_taken: &'a NotTaken) -> Self {
        Self {
            reply: match not_taken.reply {
                Reply::No => ReplyWord::No,
                Reply::NotFound => ReplyWord::NotFound,
                Reply::UnknownTask => ReplyWord::UnknownTask,
            },
            runs: not_taken.runs,
            run: not_taken.run,
            at: Time(not_taken.at),
            told_at: not_taken.told_at.map(Time),
            text: not_taken.text.as_deref().map(Text::Borrowed),
        }
    }
}

impl NotTakenLine<'_> {
    fn into_not_taken(self, shared: &mut Shared) -> NotTaken {
        NotTaken {
            reply: match self.reply {
                ReplyWord::No => Reply::No,
                ReplyWord::NotFound => Reply::NotFound,
                ReplyWord::UnknownTask => Reply::UnknownTask,
            },
            runs: self.runs,
            run: self.run,
            at: self.at.0,
            told_at: self.told_at.map(|time| time.0),
            text: self.text.map(|text| shared.texts.share(&*text)),
        }
    }
}

impl<'a> From<&'a Cause> for CauseLine<'a> {
    fn from(cause: &'a Cause) -> Self {
        Self {
            group: cause.key.to_string(),
            advice: Text::Borrowed(cause.advice.as_str()),
            text: Text::Borrowed(&cause.text),
        }
    }
}

impl CauseLine<'_> {
    fn into_cause(self, shared: &mut Shared) -> Result<Arc<Cause>, &'static str> {
        let key = key_of(&self.group)?;
        let cause = Cause { text: (*self.text).into(), key, advice: Advice::parse(&self.advice) };
        Ok(shared.causes.share(cause))
    }
}

impl From<Streak> for StreakLine {
    fn from(streak: Streak) -> Self {
        Self { runs: streak.runs, since: Time(streak.since) }
    }
}

impl From<StreakLine> for Streak {
    fn from(line: StreakLine) -> Self {
        Self { runs: line.runs, since: line.since.0 }
    }
}

impl Instance<'_> {
    fn into_record(self, shared: &mut Shared) -> Result<Record, &'static str> {
        Ok(Record {
            id: InstanceId { connector: shared.texts.share(&*self.connector), task: self.task },
            episode: self.episode.map(|line| line.into_episode(shared)).transpose()?,
            transition: self.in_transition.map(|line| Box::new(line.into())),
            absent: self.absent.map(|line| Box::new(line.into())),
            no_tasks: self.no_tasks.map(|line| Box::new(line.into())),
            earlier: self.earlier_restarts.into_owned().into(),
        })
    }
}

impl EpisodeLine<'_> {
    fn into_episode(self, shared: &mut Shared) -> Result<Episode, &'static str> {
        if (self.attempts > 0) != self.last_attempt.is_some() {
            return Err("attempts and last_attempt do not agree");
        }
        let first_cause = self.first_cause.map(|line| line.into_cause(shared)).transpose()?;
        let cause = match self.cause {
            Some(Written::Cause(line)) => Some(line.into_cause(shared)?),
            // In version 1's words the same failure would look like another one: it is learnt again at the next look.
            Some(Written::Text(_)) | None => None,
        };
        let last_run = self.last_attempt.as_ref().map_or(self.first_failed_run, |last| last.run);
        let last_failed_run = self.last_failed_run.unwrap_or(last_run);
        let not_found = self.not_found.then_some(NotTaken {
            reply: Reply::NotFound,
            runs: 1,
            run: self.first_failed_run,
            at: self.first_failed_at.0,
            told_at: None,
            text: None,
        });
        Ok(Episode {
            first_failed_at: self.first_failed_at.0,
            first_failed_run: self.first_failed_run,
            attempts: self.attempts,
            extra: self.extra,
            last_failed_run,
            failed_again_at: self.failed_again_at,
            last_attempt: self.last_attempt.map(|line| Attempt {
                run: line.run,
                at: line.at.0,
                answered: line.answered_at.0,
            }),
            healthy: self.healthy.map(Streak::from).map(Box::new),
            not_taken: self.not_taken.map(|line| line.into_not_taken(shared)).or(not_found).map(Box::new),
            connector_restarted: self.connector_restarted,
            gave_up: self.gave_up,
            first_cause,
            cause,
            worker: self.worker.map(|text| shared.texts.share(&*text)),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::BTreeMap;

    fn parse(text: &str) -> Result<Ledger, Refusal> {
        read(|| Ok(text.as_bytes()), "c").map(|(ledger, _)| ledger)
    }

    /// What version 1 wrote on the day it was released.
    const VERSION_1: &str = r#"{"version":1,"cluster":"c","run":17,"instances":[
{"connector":"orders","task":3,"episode":{"attempts":2,"first_failed_at":"2026-11-22T09:40:00.000Z","first_failed_run":13,"last_attempt":{"run":15,"at":"2026-11-22T09:50:00.000Z","answered_at":"2026-11-22T09:50:00.250Z"},"gave_up":true,"worker":"w:8083","cause":"x"}},
{"connector":"payments","in_transition":{"runs":4,"since":"2026-11-22T09:40:00.000Z"}}
]}
"#;

    /// The same as version 2 wrote it: a cause has a group and an advice, so that one without is not taken over.
    const VERSION_2: &str = r#"{"version":2,"cluster":"c","run":17,"instances":[
{"connector":"orders","task":3,"episode":{"attempts":2,"first_failed_at":"2026-11-22T09:40:00.000Z","first_failed_run":13,"last_attempt":{"run":15,"at":"2026-11-22T09:50:00.000Z","answered_at":"2026-11-22T09:50:00.250Z"},"gave_up":true,"worker":"w:8083"}},
{"connector":"payments","in_transition":{"runs":4,"since":"2026-11-22T09:40:00.000Z"}}
]}
"#;

    #[test]
    fn older_versions_are_read_and_written_as_version_3() {
        let ledger = parse(VERSION_1).unwrap();
        assert_eq!(ledger.run, 17);
        let episode = ledger.episode(&InstanceId::task("orders", 3)).unwrap();
        assert_eq!((episode.attempts, episode.last_attempt.unwrap().run, episode.gave_up), (2, 15, true));
        assert_eq!(parse(VERSION_2).unwrap(), ledger);
        let mut written = Vec::new();
        write(&mut written, "c", &ledger, None).unwrap();
        let version_3 = VERSION_2.replace("\"version\":2", "\"version\":3");
        let version_3 = version_3.replace("_run\":13", "_run\":13,\"last_failed_run\":15");
        assert_eq!(String::from_utf8(written).unwrap(), version_3);
        assert_eq!(parse(&version_3).unwrap(), ledger);
    }

    #[test]
    fn a_404_that_version_1_or_2_remembered_is_remembered() {
        let text = VERSION_2.replace("\"gave_up\":true", "\"not_found\":true");
        let ledger = parse(&text).unwrap();
        let not_taken = ledger.episode(&InstanceId::task("orders", 3)).unwrap().not_taken.as_ref().unwrap();
        assert_eq!((not_taken.reply, not_taken.runs), (Reply::NotFound, 1));
    }

    #[test]
    fn a_lease_is_written_and_read() {
        let lease = Lease { holder: "pod-1 (pid 7)".to_owned(), expires_at: Timestamp::from_millis(1) };
        let ledger = parse(VERSION_1).unwrap();
        let mut written = Vec::new();
        write(&mut written, "c", &ledger, Some(&lease)).unwrap();
        let text = String::from_utf8(written).unwrap();
        assert!(text.starts_with(
            r#"{"version":3,"cluster":"c","run":17,"claim":{"by":"pod-1 (pid 7)","until":"1970-01-01T00:00:00.001Z"},"instances":["#
        ));
        assert_eq!(parse(&text).unwrap(), ledger);
        assert_eq!(read(|| Ok(text.as_bytes()), "c").unwrap(), (ledger.clone(), Some(lease)));
        let released = text.replace(r#"{"by":"pod-1 (pid 7)","until":"1970-01-01T00:00:00.001Z"}"#, "null");
        assert_eq!(read(|| Ok(released.as_bytes()), "c").unwrap(), (ledger, None));
        assert!(matches!(parse(&text.replace("\"pod-1 (pid 7)\"", "7")), Err(Refusal::Corrupt(_))));
    }

    #[test]
    fn what_is_not_ours_is_refused() {
        assert!(matches!(
            parse(&VERSION_1.replace("\"version\":1", "\"version\":4")),
            Err(Refusal::Newer(4))
        ));
        assert!(matches!(parse("{\"version\":4,\"cluster\":{\"id\":1}}"), Err(Refusal::Newer(4))));
        assert!(
            matches!(parse(&VERSION_1.replace("\"cluster\":\"c\"", "\"cluster\":\"d\"")), Err(Refusal::OtherCluster(name)) if name == "d")
        );
        for (from, to) in [
            (r#""cause":"x""#, r#""cause":{"group":"+2961e24","advice":"unknown","text":"x"}"#),
            ("\"attempts\":2", "\"attempts\":0"),
            ("\"attempts\":2", "\"attempts\":-2"),
            ("2026-11-22T09:40:00.000Z", "yesterday"),
            ("\"version\":1", "\"version\":0"),
            ("\"payments\"", "\"orders\",\"task\":3"),
            ("]}", "]}]"),
        ] {
            let text = VERSION_1.replacen(from, to, 1);
            assert!(matches!(parse(&text), Err(Refusal::Corrupt(_))), "{to}: {:?}", parse(&text));
        }
    }

    #[test]
    fn every_truncation_and_every_flipped_bit_is_read_or_refused() {
        for end in 0..VERSION_1.trim_end().len() {
            let cut = &VERSION_1.as_bytes()[..end];
            assert!(read(|| Ok(cut), "c").is_err(), "cut at {end}");
        }
        for at in 0..VERSION_1.len() {
            for bit in 0..8 {
                let mut bytes = VERSION_1.as_bytes().to_vec();
                bytes[at] ^= 1 << bit;
                let _ = read(|| Ok(bytes.as_slice()), "c");
            }
        }
    }

    fn any_told() -> impl Strategy<Value = (BTreeMap<SharedStr, SinkTold>, Option<Trouble>)> {
        let time = || any::<u64>().prop_map(Timestamp::from_millis);
        let cause = Cause { text: "x".into(), key: Key(7), advice: Advice::Passes };
        let cause = move || prop::option::of(Just(Arc::new(cause.clone())));
        let key = || prop::sample::select(TellKey::ALL.to_vec());
        let members = prop::collection::btree_map(
            "\\PC{1,8}".prop_map(SharedStr::from),
            prop::collection::vec(any::<Option<u32>>(), 1..3),
            0..3,
        );
        let optional = move || prop::option::of(time());
        let mark = (key(), (time(), time()), optional(), prop::option::of(key()), members, cause());
        let mark = mark.prop_map(|(what, (at, since), back, unsure, members, cause)| {
            let mut mark = Mark::new(what, at, since, Arc::new(members));
            (mark.back, mark.unsure, mark.cause) = (back, unsure, cause);
            mark
        });
        let marks = prop::collection::vec(mark, 0..3);
        let sink = (marks, prop::collection::vec(time(), 0..3), optional(), optional()).prop_map(
            |(marks, sent, unsure, warned)| SinkTold { arrived: 3, failed: 4, marks, sent, unsure, warned },
        );
        let told = prop::collection::btree_map("[a-z]{1,4}".prop_map(SharedStr::from), sink, 0..3);
        let trouble =
            ("\\PC{0,8}", time(), any::<u32>(), "\\PC{0,8}").prop_map(|(kind, since, runs, message)| {
                Trouble { kind: kind.into(), since, runs, message: message.into() }
            });
        (told, prop::option::of(trouble))
    }

    #[expect(clippy::too_many_lines, reason = "a field after the other")]
    fn any_ledger() -> impl Strategy<Value = Ledger> {
        let time = || any::<u64>().prop_map(Timestamp::from_millis);
        let streak =
            move || prop::option::of((any::<u64>(), time()).prop_map(|(runs, since)| Streak { runs, since }));
        let text = || prop::option::of("\\PC{0,12}|[\\x00-\\x20\"\\\\]{0,4}".prop_map(SharedStr::from));
        let cause = move || {
            text().prop_map(|text| {
                text.map(|text: SharedStr| {
                    Arc::new(Cause { text: (*text).into(), key: Key(7), advice: Advice::Passes })
                })
            })
        };
        let attempts = prop::option::of((1u32.., any::<u64>(), time(), time()));
        let reply = prop::sample::select(vec![Reply::No, Reply::NotFound, Reply::UnknownTask]);
        let not_taken = (reply, any::<u32>(), any::<u64>(), time(), prop::option::of(time()), text());
        let not_taken = prop::option::of(not_taken.prop_map(|(reply, runs, run, at, told_at, text)| {
            Box::new(NotTaken { reply, runs, run, at, told_at, text })
        }));
        let flags = (not_taken, any::<(bool, bool)>());
        let episode = (time(), any::<u64>(), attempts, streak(), flags, cause(), text()).prop_map(
            |(
                first_failed_at,
                first_failed_run,
                attempts,
                healthy,
                (not_taken, (connector_restarted, gave_up)),
                cause,
                worker,
            )| Episode {
                first_failed_at,
                first_failed_run,
                attempts: attempts.map_or(0, |(count, ..)| count),
                extra: u32::from(gave_up),
                last_failed_run: first_failed_run,
                failed_again_at: u32::from(connector_restarted),
                last_attempt: attempts.map(|(_, run, at, answered)| Attempt { run, at, answered }),
                healthy: healthy.map(Box::new),
                not_taken,
                connector_restarted,
                gave_up,
                first_cause: cause.clone(),
                cause,
                worker,
            },
        );
        let id = ("\\PC{1,8}", any::<Option<u32>>())
            .prop_map(|(name, task)| InstanceId { connector: name.into(), task });
        let earlier = prop::collection::vec(any::<u32>(), 0..3);
        let record = (id, prop::option::of(episode), streak(), streak(), streak(), earlier).prop_map(
            |(id, episode, transition, absent, no_tasks, earlier)| Record {
                id,
                episode,
                transition: transition.map(Box::new),
                absent: absent.map(Box::new),
                no_tasks: no_tasks.map(Box::new),
                earlier: earlier.into(),
            },
        );
        let group = (any::<u32>(), any::<u32>(), any::<u64>(), time(), "\\PC{1,8}");
        let group = group.prop_map(|(key, bad_waves, run, at, canary)| Group {
            key: Key(key),
            bad_waves,
            run,
            at,
            canary: canary.into(),
        });
        let groups = prop::collection::vec(group, 0..3);
        let hold = ("\\PC{1,8}", text(), time(), time()).prop_map(|(pattern, reason, since, until)| Hold {
            pattern: pattern.into(),
            by: "anna@ops".into(),
            reason,
            since,
            until,
        });
        let past = (prop::collection::vec(hold, 0..3), prop::collection::vec(any_entry(), 0..4));
        let flags = any::<(bool, bool, u64)>();
        (any::<u64>(), prop::collection::vec(record, 0..5), text(), flags, groups, (past, any_told()))
            .prop_map(
                |(
                    run,
                    records,
                    first_url,
                    (one_by_one, careful, count),
                    groups,
                    ((holds, entries), (sinks, trouble)),
                )| Ledger {
                    counters: Counters {
                        connector: Tally { gave_up: count, down_millis: run, ..Tally::default() },
                        task: Tally {
                            failures: run,
                            restarted: count,
                            failed: 1,
                            unknown: 2,
                            recovered: 3,
                            ..Tally::default()
                        },
                    },
                    told: Told { sinks },
                    trouble,
                    careful,
                    groups,
                    run,
                    records: records.into(),
                    first_url,
                    one_by_one,
                    holds,
                    history: entries.into(),
                },
            )
    }

    fn any_entry() -> impl Strategy<Value = Entry> {
        let time = || any::<u64>().prop_map(Timestamp::from_millis);
        let text = || prop::option::of("\\PC{0,12}".prop_map(SharedStr::from));
        let name = ("\\PC{1,8}", any::<(bool, bool)>(), prop::collection::vec(any::<(u32, u32)>(), 0..3));
        let name = name.prop_map(|(connector, (own, more), tasks)| Name {
            connector: connector.into(),
            own,
            tasks,
            more,
        });
        let fates = any::<(u64, u64)>().prop_map(|(taken, running)| Fates {
            taken,
            running,
            failed_again: 1,
            unknown: 0,
        });
        let counts = any::<(u64, u64, Option<u64>, Option<(u32, u32)>, Option<(u64, u64)>, Option<bool>)>();
        let who = (prop::collection::vec(name, 0..3), text(), text());
        let event = prop::sample::select(Happened::ALL.to_vec());
        (event, counts, who, prop::option::of(fates), time(), prop::option::of(time())).prop_map(
            |(event, counts, (names, by, text), fates, at, until)| {
                let (connectors, instances, runs, restarts, down, delivered) = counts;
                Entry {
                    connectors,
                    instances,
                    tasks: connectors,
                    names,
                    cause: runs
                        .map(|_| Arc::new(Cause { text: "x".into(), key: Key(7), advice: Advice::Passes })),
                    by,
                    since: until,
                    until,
                    runs,
                    restarts,
                    down,
                    fates,
                    delivered,
                    text,
                    ..Entry::new(event, instances, at)
                }
            },
        )
    }

    #[test]
    fn the_oldest_entries_go_first_and_what_is_kept_is_whole() {
        let mut ledger = parse(VERSION_1).unwrap();
        let entry = |run| Entry {
            text: Some("ä".repeat(200).into()),
            ..Entry::new(Happened::Reset, run, Timestamp::default())
        };
        (0..2_000).for_each(|run| ledger.history.push(entry(run)));
        let written = |longest| {
            let mut text = Vec::new();
            write_within(longest, &mut text, "c", &ledger, None).unwrap();
            (text.len(), read(|| Ok(text.as_slice()), "c").unwrap().0)
        };
        let (without, none) = written(0);
        assert!(none.history.entries().is_empty());
        for longest in [1, 500, 96 * 1024, HISTORY] {
            let (size, again) = written(longest);
            let kept = again.history.entries();
            assert!(size <= without + longest + 20, "{size} bytes with {longest}");
            assert!(
                longest < 500 || size + 500 > without + longest,
                "{size} bytes with {longest}: it is used"
            );
            assert_eq!(kept, &ledger.history.entries()[2_000 - kept.len()..]);
            assert_eq!(again.records, ledger.records);
        }
    }

    /// A newer version may know other events, and must not cost the records by them.
    #[test]
    fn a_line_of_history_that_cannot_be_understood_is_left_out() {
        let known = r#"{"at":"2026-11-22T09:40:00.000Z","run":3,"event":"reset"}"#;
        for other in [
            r#"{"at":"2026-11-22T09:40:00.000Z","run":3,"event":"moved"}"#,
            r#"{"at":"yesterday","run":3,"event":"reset"}"#,
            r#"{"event":7}"#,
            "null",
            "[[]]",
        ] {
            let text = VERSION_2.replace("\"run\":17", &format!("\"run\":17,\"history\":[{other},{known}]"));
            let ledger = parse(&text).unwrap();
            assert_eq!((ledger.history.entries().len(), ledger.records.len()), (1, 2), "{other}");
        }
    }

    proptest! {
        #[test]
        fn a_ledger_survives_the_round_trip(ledger in any_ledger(), cluster in "\\PC{1,9}") {
            let mut written = Vec::new();
            write(&mut written, &cluster, &ledger, None).unwrap();
            let (again, _) = read(|| Ok(written.as_slice()), &cluster).unwrap();
            prop_assert_eq!(again, ledger);
        }
    }
}
