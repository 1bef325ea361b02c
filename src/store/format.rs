//! The state's format: JSON, its version first, one instance to a line, so that
//! a person can read it. It converts between that and the ledger, and refuses
//! what it does not understand. It must not touch a file.
//!
//! Changing it: a reader must take every older version (keep a sample of each
//! as a test) and refuses a newer one. Raise `VERSION` when a field is added,
//! even if old readers could ignore it: they would drop it when they write.

use std::collections::{BTreeMap, HashSet};
use std::fmt;
use std::io::{self, Read, Write};
use std::sync::Arc;
use std::time::SystemTime;

use serde::de::{SeqAccess, Visitor};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::decide::ledger::{Attempt, Episode, Ledger, Packer, Record, Streak};
use crate::decide::model::{InstanceId, Timestamp};

/// The version that this program writes.
const VERSION: u64 = 1;

/// Why a state was not taken.
#[derive(Debug)]
pub enum Refusal {
    /// Not JSON, or not of this shape.
    Corrupt(String),
    /// Written by a newer version of guardian: its format.
    Newer(u64),
    /// Of another cluster: its name.
    OtherCluster(String),
}

/// A run's word that the state is its own for a while: where there is no lock.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Claim {
    /// Which run, for a person.
    pub by: String,
    /// When it ends, if the run does not end it before.
    pub until: Timestamp,
}

/// Writes the ledger of `cluster`.
///
/// # Errors
/// Those of the writer.
pub fn write(writer: impl Write, cluster: &str, ledger: &Ledger) -> io::Result<()> {
    write_claimed(writer, cluster, ledger, None)
}

/// Writes the ledger of `cluster` and whose it is for a while.
///
/// # Errors
/// Those of the writer.
pub fn write_claimed(
    mut writer: impl Write,
    cluster: &str,
    ledger: &Ledger,
    claim: Option<&Claim>,
) -> io::Result<()> {
    let cluster = serde_json::to_string(cluster)?;
    write!(writer, "{{\"version\":{VERSION},\"cluster\":{cluster},\"run\":{},", ledger.run)?;
    if let Some(claim) = claim {
        let line = ClaimLine { by: Text::Borrowed(&claim.by), until: Time(claim.until) };
        write!(writer, "\"claim\":{},", serde_json::to_string(&line)?)?;
    }
    writer.write_all(b"\"instances\":[")?;
    for (number, (id, record)) in ledger.records.iter().enumerate() {
        writer.write_all(if number == 0 { b"\n" } else { b",\n" })?;
        serde_json::to_writer(&mut writer, &Instance::from((id, record)))?;
    }
    writer.write_all(b"\n]}\n")
}

/// Reads the ledger of `cluster` from a source that can be read twice.
///
/// # Errors
/// When it is not such a ledger.
pub fn read<R: Read>(open: impl Fn() -> io::Result<R>, cluster: &str) -> io::Result<Result<Ledger, Refusal>> {
    Ok(read_claimed(open, cluster)?.map(|(ledger, _)| ledger))
}

/// Reads the ledger of `cluster`, and whose it is, from a source that can be
/// read twice.
///
/// # Errors
/// When it is not such a ledger.
pub fn read_claimed<R: Read>(
    open: impl Fn() -> io::Result<R>,
    cluster: &str,
) -> io::Result<Result<(Ledger, Option<Claim>), Refusal>> {
    #[derive(Deserialize)]
    struct Head {
        version: u64,
        // A newer version may have put it elsewhere, or something else here.
        cluster: Option<serde_json::Value>,
    }
    #[derive(Deserialize)]
    struct Body {
        run: u64,
        claim: Option<ClaimLine<'static>>,
        instances: Records,
    }
    let head: Head = match from_reader(open()?)? {
        Ok(head) => head,
        Err(error) => return Ok(Err(Refusal::Corrupt(error))),
    };
    if head.version > VERSION {
        return Ok(Err(Refusal::Newer(head.version)));
    }
    if head.version == 0 {
        return Ok(Err(Refusal::Corrupt("version 0 never existed".to_owned())));
    }
    match head.cluster {
        Some(serde_json::Value::String(name)) if name == cluster => {}
        Some(serde_json::Value::String(other)) => return Ok(Err(Refusal::OtherCluster(other))),
        _ => return Ok(Err(Refusal::Corrupt("it names no cluster".to_owned()))),
    }
    Ok(from_reader::<Body>(open()?)?
        .map(|body| {
            let claim = body.claim.map(|line| Claim { by: line.by.into_owned(), until: line.until.0 });
            (Ledger { run: body.run, records: body.instances.0 }, claim)
        })
        .map_err(Refusal::Corrupt))
}

fn from_reader<T: for<'de> Deserialize<'de>>(reader: impl Read) -> io::Result<Result<T, String>> {
    match serde_json::from_reader(io::BufReader::new(reader)) {
        Ok(value) => Ok(Ok(value)),
        Err(error) if error.is_io() => Err(error.into()),
        Err(error) => Ok(Err(error.to_string())),
    }
}

#[derive(Serialize, Deserialize)]
struct ClaimLine<'a> {
    by: Text<'a>,
    until: Time,
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
}

#[derive(Serialize, Deserialize)]
struct EpisodeLine<'a> {
    attempts: u32,
    first_failed_at: Time,
    first_failed_run: u64,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    last_attempt: Option<AttemptLine>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    healthy: Option<StreakLine>,
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    not_found: bool,
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    gave_up: bool,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    worker: Option<Text<'a>>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    cause: Option<Text<'a>>,
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
struct Records(BTreeMap<InstanceId, Record>);

impl<'de> Deserialize<'de> for Records {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Lines;
        impl<'de> Visitor<'de> for Lines {
            type Value = Records;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("the instances")
            }
            fn visit_seq<A: SeqAccess<'de>>(self, mut lines: A) -> Result<Records, A::Error> {
                let mut shared = HashSet::new();
                let (mut records, mut count) = (Packer::default(), 0_usize);
                while let Some(line) = lines.next_element::<Instance<'static>>()? {
                    let (id, record) = line.into_record(&mut shared).map_err(serde::de::Error::custom)?;
                    records.push(id, record);
                    count = count.saturating_add(1);
                }
                let records = records.finish();
                if records.len() < count {
                    return Err(serde::de::Error::custom("an instance is there twice"));
                }
                Ok(Records(records))
            }
        }
        deserializer.deserialize_seq(Lines)
    }
}

impl<'a> From<(&'a InstanceId, &'a Record)> for Instance<'a> {
    fn from((id, record): (&'a InstanceId, &'a Record)) -> Self {
        Self {
            connector: Text::Borrowed(&id.connector),
            task: id.task,
            episode: record.episode.as_ref().map(EpisodeLine::from),
            in_transition: record.transition.map(StreakLine::from),
            absent: record.absent.map(StreakLine::from),
        }
    }
}

impl<'a> From<&'a Episode> for EpisodeLine<'a> {
    fn from(episode: &'a Episode) -> Self {
        Self {
            attempts: episode.attempts,
            first_failed_at: Time(episode.first_failed_at),
            first_failed_run: episode.first_failed_run,
            last_attempt: episode.last_attempt.map(|last| AttemptLine {
                run: last.run,
                at: Time(last.at),
                answered_at: Time(last.answered),
            }),
            healthy: episode.healthy.map(StreakLine::from),
            not_found: episode.not_found,
            gave_up: episode.gave_up,
            worker: episode.worker.as_deref().map(Text::Borrowed),
            cause: episode.cause.as_deref().map(Text::Borrowed),
        }
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
    fn into_record(self, shared: &mut HashSet<Arc<str>>) -> Result<(InstanceId, Record), &'static str> {
        let id = InstanceId { connector: share(&self.connector, shared), task: self.task };
        let episode = self.episode.map(|line| line.into_episode(shared)).transpose()?;
        let record = Record {
            episode,
            transition: self.in_transition.map(Streak::from),
            absent: self.absent.map(Streak::from),
        };
        Ok((id, record))
    }
}

impl EpisodeLine<'_> {
    fn into_episode(self, shared: &mut HashSet<Arc<str>>) -> Result<Episode, &'static str> {
        if (self.attempts > 0) != self.last_attempt.is_some() {
            return Err("attempts and last_attempt do not agree");
        }
        Ok(Episode {
            first_failed_at: self.first_failed_at.0,
            first_failed_run: self.first_failed_run,
            attempts: self.attempts,
            last_attempt: self.last_attempt.map(|line| Attempt {
                run: line.run,
                at: line.at.0,
                answered: line.answered_at.0,
            }),
            healthy: self.healthy.map(Streak::from),
            not_found: self.not_found,
            gave_up: self.gave_up,
            cause: self.cause.map(|text| share(&text, shared)),
            worker: self.worker.map(|text| share(&text, shared)),
        })
    }
}

fn share(text: &str, shared: &mut HashSet<Arc<str>>) -> Arc<str> {
    if let Some(known) = shared.get(text) {
        return Arc::clone(known);
    }
    let new: Arc<str> = text.into();
    shared.insert(Arc::clone(&new));
    new
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn parse(text: &str) -> Result<Ledger, Refusal> {
        read(|| Ok(text.as_bytes()), "c").unwrap()
    }

    /// What version 1 wrote on the day it was released.
    const VERSION_1: &str = r#"{"version":1,"cluster":"c","run":17,"instances":[
{"connector":"orders","task":3,"episode":{"attempts":2,"first_failed_at":"2026-11-22T09:40:00.000Z","first_failed_run":13,"last_attempt":{"run":15,"at":"2026-11-22T09:50:00.000Z","answered_at":"2026-11-22T09:50:00.250Z"},"gave_up":true,"worker":"w:8083","cause":"x"}},
{"connector":"payments","in_transition":{"runs":4,"since":"2026-11-22T09:40:00.000Z"}}
]}
"#;

    #[test]
    fn version_1_is_read_and_written_as_ever() {
        let ledger = parse(VERSION_1).unwrap();
        assert_eq!(ledger.run, 17);
        let episode = ledger.episode(&InstanceId::task("orders", 3)).unwrap();
        assert_eq!((episode.attempts, episode.last_attempt.unwrap().run, episode.gave_up), (2, 15, true));
        let mut written = Vec::new();
        write(&mut written, "c", &ledger).unwrap();
        assert_eq!(String::from_utf8(written).unwrap(), VERSION_1);
    }

    #[test]
    fn a_claim_is_read_by_who_asks_and_ignored_by_who_has_a_lock() {
        let claim = Claim { by: "pod-1 (pid 7)".to_owned(), until: Timestamp::from_millis(1) };
        let ledger = parse(VERSION_1).unwrap();
        let mut written = Vec::new();
        write_claimed(&mut written, "c", &ledger, Some(&claim)).unwrap();
        let text = String::from_utf8(written).unwrap();
        assert!(text.starts_with(
            r#"{"version":1,"cluster":"c","run":17,"claim":{"by":"pod-1 (pid 7)","until":"1970-01-01T00:00:00.001Z"},"instances":["#
        ));
        assert_eq!(parse(&text).unwrap(), ledger);
        assert_eq!(
            read_claimed(|| Ok(text.as_bytes()), "c").unwrap().unwrap(),
            (ledger.clone(), Some(claim))
        );
        let released = text.replace(r#"{"by":"pod-1 (pid 7)","until":"1970-01-01T00:00:00.001Z"}"#, "null");
        assert_eq!(read_claimed(|| Ok(released.as_bytes()), "c").unwrap().unwrap(), (ledger, None));
        assert!(matches!(parse(&text.replace("\"pod-1 (pid 7)\"", "7")), Err(Refusal::Corrupt(_))));
    }

    #[test]
    fn what_is_not_ours_is_refused() {
        assert!(matches!(
            parse(&VERSION_1.replace("\"version\":1", "\"version\":2")),
            Err(Refusal::Newer(2))
        ));
        assert!(matches!(parse("{\"version\":3,\"cluster\":{\"id\":1}}"), Err(Refusal::Newer(3))));
        assert!(
            matches!(parse(&VERSION_1.replace("\"cluster\":\"c\"", "\"cluster\":\"d\"")), Err(Refusal::OtherCluster(name)) if name == "d")
        );
        for (from, to) in [
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
            assert!(read(|| Ok(cut), "c").unwrap().is_err(), "cut at {end}");
        }
        for at in 0..VERSION_1.len() {
            for bit in 0..8 {
                let mut bytes = VERSION_1.as_bytes().to_vec();
                bytes[at] ^= 1 << bit;
                let _ = read(|| Ok(bytes.as_slice()), "c").unwrap();
            }
        }
    }

    fn any_ledger() -> impl Strategy<Value = Ledger> {
        let time = || any::<u64>().prop_map(Timestamp::from_millis);
        let streak =
            move || prop::option::of((any::<u64>(), time()).prop_map(|(runs, since)| Streak { runs, since }));
        let text = || prop::option::of("\\PC{0,12}|[\\x00-\\x20\"\\\\]{0,4}".prop_map(Arc::from));
        let attempts = prop::option::of((1u32.., any::<u64>(), time(), time()));
        let episode = (time(), any::<u64>(), attempts, streak(), any::<(bool, bool)>(), text(), text())
            .prop_map(
                |(
                    first_failed_at,
                    first_failed_run,
                    attempts,
                    healthy,
                    (not_found, gave_up),
                    cause,
                    worker,
                )| Episode {
                    first_failed_at,
                    first_failed_run,
                    attempts: attempts.map_or(0, |(count, ..)| count),
                    last_attempt: attempts.map(|(_, run, at, answered)| Attempt { run, at, answered }),
                    healthy,
                    not_found,
                    gave_up,
                    cause,
                    worker,
                },
            );
        let record = (prop::option::of(episode), streak(), streak())
            .prop_map(|(episode, transition, absent)| Record { episode, transition, absent });
        let id = ("\\PC{1,8}", any::<Option<u32>>())
            .prop_map(|(name, task)| InstanceId { connector: name.into(), task });
        (any::<u64>(), prop::collection::btree_map(id, record, 0..5))
            .prop_map(|(run, records)| Ledger { run, records })
    }

    proptest! {
        #[test]
        fn a_ledger_survives_the_round_trip(ledger in any_ledger(), cluster in "\\PC{1,9}") {
            let mut written = Vec::new();
            write(&mut written, &cluster, &ledger).unwrap();
            let again = read(|| Ok(written.as_slice()), &cluster).unwrap().unwrap();
            prop_assert_eq!(again, ledger);
        }
    }
}
