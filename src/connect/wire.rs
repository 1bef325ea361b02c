//! The status documents of Kafka Connect, read as a stream: connector by
//! connector, task by task, each trace reduced to its root cause at once, so
//! that memory follows what has failed and not the size of the cluster.
//! Nothing in a document may be trusted to be there or to have its shape: an
//! entry that cannot be understood costs that connector a warning.

use std::collections::{BTreeSet, HashSet};
use std::fmt;
use std::io::Read;
use std::sync::Arc;

use serde::de::{DeserializeSeed, Deserializer, IgnoredAny, MapAccess, SeqAccess, Visitor};

use crate::decide::cause::Cause;
use crate::decide::interner::Interner;
use crate::decide::ledger::Ledger;
use crate::decide::listing::{Listing, Sighting};
use crate::decide::model::{Counts, InstanceId, State};
use crate::decide::select::{Filter, Patterns, Unmatched};
use crate::decide::shared::SharedStr;
use crate::decide::text::sanitize;

/// What is known before a listing is read.
#[derive(Clone, Debug, Default)]
pub struct Known(Arc<KnownOf>);

#[derive(Clone, Debug, Default)]
struct KnownOf {
    /// Every instance of these connectors is kept, not only what is unwell.
    connectors: BTreeSet<SharedStr>,
    /// Need not be held twice.
    causes: HashSet<Arc<Cause>>,
    /// Some connector should match each of its patterns.
    filter: Filter,
    /// And of what is held.
    holds: Patterns,
    /// Whether something may be done about what the listing says.
    acts: bool,
}

impl Known {
    /// What this ledger holds, and the patterns of the settings.
    pub fn of(ledger: &Ledger, filter: &Filter) -> Self {
        // What is well again, and only counted, is like what never failed.
        let unwell = ledger.records.iter().filter(|record| !record.is_well());
        let unwell = unwell.map(|record| SharedStr::clone(&record.id.connector));
        // What somebody was told of, he is told the end of.
        let connectors = unwell.chain(ledger.told.connectors()).collect();
        let causes = ledger.records.iter().filter_map(|record| record.episode.as_ref()?.cause.clone());
        let holds: Vec<String> = ledger.holds.iter().map(|hold| hold.pattern.to_string()).collect();
        Self(Arc::new(KnownOf {
            connectors,
            causes: causes.collect(),
            filter: filter.clone(),
            holds: Patterns::new("hold", &holds),
            acts: true,
        }))
    }

    /// These connectors, and no texts.
    pub fn connectors(names: &[&str]) -> Self {
        let connectors = names.iter().map(|name| SharedStr::from(*name)).collect();
        Self(Arc::new(KnownOf { connectors, ..KnownOf::default() }))
    }

    /// These connectors besides.
    #[must_use]
    pub fn and(self, names: impl IntoIterator<Item = String>) -> Self {
        let Self(known) = self;
        let mut known = Arc::unwrap_or_clone(known);
        known.connectors.extend(names.into_iter().map(SharedStr::from));
        Self(Arc::new(known))
    }

    /// Whether every instance of this connector is kept.
    pub fn has(&self, connector: &str) -> bool {
        self.0.connectors.contains(connector)
    }

    /// Whether the worker must be well that gives this listing: when something is remembered or failed, and something may
    /// be done about it.
    pub(super) fn needs_health(&self, listing: &Listing) -> bool {
        self.0.acts && !(self.0.connectors.is_empty() && listing.sightings.is_empty())
    }

    /// The patterns, before any connector is known.
    pub(super) fn unmatched(&self) -> Unmatched<'_> {
        self.0.filter.unmatched().and(&self.0.holds)
    }
}

/// What `GET /connectors?expand=status` answered.
#[derive(Debug, PartialEq, Eq)]
pub enum Document {
    /// The statuses.
    Listing(Box<Listing>),
    /// Only the names: Connect < 2.3 does not know `expand` (KIP-465).
    Names(Vec<String>),
    /// JSON, but nothing that Connect answers.
    Foreign,
}

/// Reads a whole listing.
///
/// # Errors
/// When the document is not JSON, or ends too soon.
pub fn read_document(reader: impl Read, known: &Known) -> serde_json::Result<Document> {
    let mut collector = Collector::new(known);
    let mut unmatched = known.unmatched();
    let shape = read(reader, DocumentSeed(&mut collector, &mut unmatched))?;
    Ok(match shape {
        Shape::Names(names) => Document::Names(names),
        Shape::Map { entries: 1.., statuses: 0 } | Shape::Other => Document::Foreign,
        Shape::Map { .. } => {
            let mut listing = collector.finish();
            listing.warn_of(unmatched);
            Document::Listing(Box::new(listing))
        }
    })
}

/// Reads one connector's status: the answer to `GET /connectors/NAME/status`, and the body of a 202. It has the shape of
/// `expand=status`'s inner object.
///
/// # Errors
/// When the document is not JSON, or ends too soon.
pub fn read_status(reader: impl Read, name: &str, known: &Known) -> serde_json::Result<Listing> {
    let mut collector = Collector::new(known);
    let status = read(reader, StatusSeed { keep: known.has(name), shared: &mut collector.shared })?;
    collector.add(name, status);
    Ok(collector.finish())
}

fn read<'de, R: Read, S: DeserializeSeed<'de>>(reader: R, seed: S) -> serde_json::Result<S::Value> {
    let buffered = std::io::BufReader::with_capacity(64 * 1024, reader);
    let mut deserializer = serde_json::Deserializer::from_reader(buffered);
    let value = seed.deserialize(&mut deserializer)?;
    deserializer.end()?;
    Ok(value)
}

/// What many instances share is held once.
struct Shared<'a> {
    causes: Interner<'a, Arc<Cause>>,
    workers: Interner<'a, SharedStr>,
}

/// Gathers the statuses of connectors into a listing.
struct Collector<'a> {
    known: &'a Known,
    listing: Listing,
    sightings: Vec<Sighting>,
    /// In an outage thousands of tasks share one cause: it is kept once.
    shared: Shared<'a>,
}

impl<'a> Collector<'a> {
    fn new(known: &'a Known) -> Self {
        let shared = Shared { causes: Interner::knowing(&known.0.causes), workers: Interner::default() };
        Self { known, listing: Listing::default(), sightings: Vec::new(), shared }
    }

    fn finish(self) -> Listing {
        Listing { sightings: self.sightings.into(), ..self.listing }
    }

    fn add(&mut self, name: &str, status: Result<Status, &'static str>) {
        let status = match status {
            Ok(status) if !name.is_empty() => status,
            Ok(_) => return self.listing.add_not_understood(name, "its name is empty"),
            Err(problem) => return self.listing.add_not_understood(name, problem),
        };
        let connector: SharedStr = name.into();
        let paused_or_stopped = status.connector.state.is_paused_or_stopped();
        self.listing.connectors.add(Some(&status.connector.state));
        self.listing.tasks.merge(&status.counts);
        let known = self.known.has(name);
        if paused_or_stopped && known {
            self.listing.paused_or_stopped.insert(SharedStr::clone(&connector));
        }
        let no_tasks = status.connector.state == State::Running && status.counts.total == 0;
        if no_tasks {
            self.listing.no_tasks.insert(SharedStr::clone(&connector));
        }
        let own =
            (known || no_tasks || status.connector.state.is_unwell()).then_some((None, status.connector));
        let kept = own.into_iter().chain(status.tasks.into_iter().map(|(id, part)| (Some(id), part)));
        self.sightings.extend(kept.map(|(task, part)| Sighting {
            id: InstanceId { connector: SharedStr::clone(&connector), task },
            state: part.state,
            paused_or_stopped,
            cause: part.cause,
            worker: part.worker,
        }));
    }
}

/// One connector's status, as far as it must be kept.
struct Status {
    connector: Part,
    counts: Counts,
    tasks: Vec<(u32, Part)>,
}

struct Part {
    state: State,
    cause: Option<Arc<Cause>>,
    worker: Option<SharedStr>,
}

enum Shape {
    Map { entries: u64, statuses: u64 },
    Names(Vec<String>),
    Other,
}

/// Methods of a visitor for the JSON values that it does not want: each is read
/// to its end, so that the rest of the document can still be read.
macro_rules! otherwise {
    ($value:expr; $($kind:ident)*) => { $(otherwise!(@$kind $value);)* };
    (@scalar $value:expr) => {
        fn visit_bool<E>(self, _: bool) -> Result<Self::Value, E> { Ok($value) }
        fn visit_f64<E>(self, _: f64) -> Result<Self::Value, E> { Ok($value) }
        fn visit_unit<E>(self) -> Result<Self::Value, E> { Ok($value) }
    };
    (@number $value:expr) => {
        fn visit_i64<E>(self, _: i64) -> Result<Self::Value, E> { Ok($value) }
        fn visit_u64<E>(self, _: u64) -> Result<Self::Value, E> { Ok($value) }
    };
    (@text $value:expr) => {
        fn visit_str<E>(self, _: &str) -> Result<Self::Value, E> { Ok($value) }
    };
    (@seq $value:expr) => {
        fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Self::Value, A::Error> {
            while seq.next_element::<IgnoredAny>()?.is_some() {}
            Ok($value)
        }
    };
    (@map $value:expr) => {
        fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
            while map.next_entry::<IgnoredAny, IgnoredAny>()?.is_some() {}
            Ok($value)
        }
    };
}

/// A seed reads whatever comes; its visitor takes what it wants of it.
macro_rules! seed {
    ($seed:ident $(<$($life:lifetime),+>)? -> $value:ty) => {
        impl<'de> DeserializeSeed<'de> for $seed $(<$($life),+>)? {
            type Value = $value;
            fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<$value, D::Error> {
                deserializer.deserialize_any(self)
            }
        }
    };
}

fn anything(f: &mut fmt::Formatter<'_>) -> fmt::Result {
    f.write_str("any JSON")
}

/// The document: name -> entry, or an array of names.
struct DocumentSeed<'a, 'r>(&'a mut Collector<'r>, &'a mut Unmatched<'r>);

seed!(DocumentSeed<'_, '_> -> Shape);

impl<'de> Visitor<'de> for DocumentSeed<'_, '_> {
    type Value = Shape;
    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        anything(f)
    }
    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Shape, A::Error> {
        let (mut entries, mut statuses) = (0_u64, 0_u64);
        while let Some(name) = map.next_key::<String>()? {
            self.1.note(&name);
            let keep = self.0.known.has(&name);
            let entry = map.next_value_seed(EntrySeed { keep, shared: &mut self.0.shared })?;
            entries = entries.saturating_add(1);
            statuses = statuses.saturating_add(u64::from(entry.is_some()));
            self.0.add(&name, entry.unwrap_or(Err("it has no status")));
        }
        Ok(Shape::Map { entries, statuses })
    }
    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Shape, A::Error> {
        let mut names = Vec::new();
        while let Some(name) = seq.next_element_seed(TextSeed(|text: &str| text.to_owned()))? {
            names.extend(name);
        }
        Ok(Shape::Names(names))
    }
    otherwise!(Shape::Other; scalar number text);
}

/// One entry of the listing: expansion -> value; only `status` counts. `None`
/// when it has none.
struct EntrySeed<'a, 'r> {
    keep: bool,
    shared: &'a mut Shared<'r>,
}

type Understood = Result<Status, &'static str>;

seed!(EntrySeed<'_, '_> -> Option<Understood>);

impl<'de> Visitor<'de> for EntrySeed<'_, '_> {
    type Value = Option<Understood>;
    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        anything(f)
    }
    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
        let mut status = None;
        while let Some(key) = map.next_key::<String>()? {
            if key == "status" {
                let seed = StatusSeed { keep: self.keep, shared: self.shared };
                status = Some(map.next_value_seed(seed)?);
            } else {
                map.next_value::<IgnoredAny>()?;
            }
        }
        Ok(status)
    }
    otherwise!(None; scalar number text seq);
}

/// A connector's status: its own part and its tasks.
struct StatusSeed<'a, 'r> {
    keep: bool,
    shared: &'a mut Shared<'r>,
}

seed!(StatusSeed<'_, '_> -> Understood);

impl<'de> Visitor<'de> for StatusSeed<'_, '_> {
    type Value = Understood;
    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        anything(f)
    }
    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Understood, A::Error> {
        let mut connector = Err("it has no connector state");
        let mut tasks = Err("it has no tasks");
        while let Some(key) = map.next_key::<String>()? {
            match key.as_str() {
                "connector" => {
                    let seed = PartSeed { keep: self.keep, shared: self.shared };
                    let (_, part) = map.next_value_seed(seed)?;
                    connector = part.ok_or("it has no connector state");
                }
                "tasks" => {
                    tasks = map.next_value_seed(TasksSeed { keep: self.keep, shared: self.shared })?;
                }
                _ => {
                    map.next_value::<IgnoredAny>()?;
                }
            }
        }
        Ok(connector.and_then(|connector| tasks.map(|(counts, tasks)| Status { connector, counts, tasks })))
    }
    otherwise!(Err("its status is not an object"); scalar number text seq);
}

/// The tasks: all are counted, those that are well are kept only on demand.
struct TasksSeed<'a, 'r> {
    keep: bool,
    shared: &'a mut Shared<'r>,
}

type Tasks = Result<(Counts, Vec<(u32, Part)>), &'static str>;

seed!(TasksSeed<'_, '_> -> Tasks);

impl<'de> Visitor<'de> for TasksSeed<'_, '_> {
    type Value = Tasks;
    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        anything(f)
    }
    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Tasks, A::Error> {
        let mut counts = Counts::default();
        let mut kept = Vec::new();
        let mut ids = Vec::new();
        let mut problem = None;
        let (keep, shared) = (self.keep, self.shared);
        while let Some((id, part)) = seq.next_element_seed(PartSeed { keep, shared: &mut *shared })? {
            let (Some(id), Some(part)) = (id, part) else {
                problem = Some("a task has no number or no state");
                continue;
            };
            ids.push(id);
            counts.add(Some(&part.state));
            if keep || part.state.is_unwell() {
                kept.push((id, part));
            }
        }
        ids.sort_unstable();
        if ids.windows(2).any(|pair| pair.first() == pair.last()) {
            problem = Some("two tasks have the same number");
        }
        Ok(problem.map_or(Ok((counts, kept)), Err))
    }
    otherwise!(Err("its tasks are not an array"); scalar number text map);
}

/// The status of one instance: its number if it is a task, and the rest.
struct PartSeed<'a, 'r> {
    keep: bool,
    shared: &'a mut Shared<'r>,
}

type NumberedPart = (Option<u32>, Option<Part>);

seed!(PartSeed<'_, '_> -> NumberedPart);

impl<'de> Visitor<'de> for PartSeed<'_, '_> {
    type Value = NumberedPart;
    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        anything(f)
    }
    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<NumberedPart, A::Error> {
        let Self { keep, shared } = self;
        let (mut id, mut state, mut cause, mut worker) = (None, None, None, None);
        while let Some(key) = map.next_key::<String>()? {
            match key.as_str() {
                "id" => id = map.next_value_seed(NumberSeed)?,
                "state" => state = map.next_value_seed(TextSeed(State::parse))?,
                "trace" => cause = map.next_value_seed(TextSeed(Cause::of))?.flatten(),
                "worker_id" => {
                    worker =
                        map.next_value_seed(TextSeed(|text: &str| shared.workers.share(&*sanitize(text))))?;
                }
                _ => {
                    map.next_value::<IgnoredAny>()?;
                }
            }
        }
        let part = state.map(|state| {
            let cause = cause.filter(|_| keep || state.is_unwell()).map(|cause| shared.causes.share(cause));
            Part { state, cause, worker }
        });
        Ok((id, part))
    }
    otherwise!((None, None); scalar number text seq);
}

/// A string, given to a function while it is still in the reader's buffer.
struct TextSeed<F>(F);

impl<'de, T, F: FnOnce(&str) -> T> DeserializeSeed<'de> for TextSeed<F> {
    type Value = Option<T>;
    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Option<T>, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de, T, F: FnOnce(&str) -> T> Visitor<'de> for TextSeed<F> {
    type Value = Option<T>;
    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        anything(f)
    }
    fn visit_str<E>(self, text: &str) -> Result<Option<T>, E> {
        Ok(Some((self.0)(text)))
    }
    otherwise!(None; scalar number seq map);
}

/// A task's number.
struct NumberSeed;

seed!(NumberSeed -> Option<u32>);

impl<'de> Visitor<'de> for NumberSeed {
    type Value = Option<u32>;
    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        anything(f)
    }
    fn visit_u64<E>(self, number: u64) -> Result<Option<u32>, E> {
        Ok(u32::try_from(number).ok())
    }
    fn visit_i64<E>(self, _: i64) -> Result<Option<u32>, E> {
        Ok(None)
    }
    otherwise!(None; scalar text seq map);
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn listing(json: &str) -> Listing {
        match read_document(json.as_bytes(), &Known::default()).unwrap() {
            Document::Listing(listing) => *listing,
            other => panic!("{other:?}"),
        }
    }

    const TWO: &str = r#"{
      "c1": {"status": {"name": "another", "connector": {"state": "RUNNING", "worker_id": "w:1", "version": null},
        "tasks": [{"id": 1, "state": "FAILED", "worker_id": "w:1", "trace": "a.B: x\nCaused by: c.D: y\n", "new": [1]},
                  {"id": 0, "state": "RUNNING", "worker_id": "w:1"}], "type": "sink"}},
      "c2": {"status": {"connector": {"state": "STOPPED"}, "tasks": [{"id": 0, "state": "FAILED"}]}, "info": {"x": {}}}}"#;

    #[test]
    fn a_listing_keeps_what_has_failed() {
        let listing = listing(TWO);
        let failed = Sighting {
            id: InstanceId::task("c1", 1),
            state: State::Failed,
            paused_or_stopped: false,
            cause: Cause::of("a.B: x\nCaused by: c.D: y\n").map(Arc::new),
            worker: Some("w:1".into()),
        };
        assert_eq!(listing.sightings.get(&InstanceId::task("c1", 1)), Some(&failed));
        let ids: Vec<_> =
            listing.sightings.iter().map(|seen| (seen.id.to_string(), seen.paused_or_stopped)).collect();
        assert_eq!(ids, [("c1/1".into(), false), ("c2/0".into(), true)]);
        assert!(listing.paused_or_stopped.is_empty());
        assert_eq!((listing.connectors.total, listing.connectors.stopped, listing.tasks.failed), (2, 1, 2));
        assert_eq!(listing.warnings, Vec::<String>::new());
    }

    #[test]
    fn of_a_remembered_connector_every_instance_is_kept() {
        let kept = |name: &str| {
            let known = Known::connectors(&[name]);
            let Document::Listing(listing) = read_document(TWO.as_bytes(), &known).unwrap() else { panic!() };
            let ids: Vec<_> = listing.sightings.iter().map(|seen| seen.id.to_string()).collect();
            (ids.join(" "), listing.paused_or_stopped)
        };
        assert_eq!(kept("c1"), ("c1 c1/0 c1/1 c2/0".into(), BTreeSet::new()));
        assert_eq!(kept("c2"), ("c1/1 c2 c2/0".into(), BTreeSet::from(["c2".into()])));
    }

    #[test]
    fn what_is_paused_or_healthy_is_only_counted() {
        let trace = r#""trace": "a.B: x""#;
        for state in ["RUNNING", "PAUSED", "STOPPED"] {
            let document = format!(
                r#"{{"c": {{"status": {{"connector": {{{trace}, "state": "{state}"}},
                   "tasks": [{{"id": 0, "state": "{state}", {trace}}}]}}}}}}"#
            );
            let listing = listing(&document);
            let expected = Listing {
                connectors: listing.connectors.clone(),
                tasks: listing.tasks.clone(),
                ..Listing::default()
            };
            assert_eq!(listing, expected, "{state}");
            assert_eq!((listing.connectors.total, listing.tasks.total), (1, 1), "{state}");
        }
    }

    #[test]
    fn an_entry_that_cannot_be_understood_costs_that_connector_only() {
        for (entry, problem) in [
            ("7", "it has no status"),
            ("{}", "it has no status"),
            (r#"{"status": null}"#, "its status is not an object"),
            (r#"{"status": {"tasks": []}}"#, "it has no connector state"),
            (r#"{"status": {"connector": {"state": 3}, "tasks": []}}"#, "it has no connector state"),
            (r#"{"status": {"connector": {"state": "RUNNING"}}}"#, "it has no tasks"),
            (
                r#"{"status": {"connector": {"state": "RUNNING"}, "tasks": {"0": {}}}}"#,
                "its tasks are not an array",
            ),
            (
                r#"{"status": {"connector": {"state": "RUNNING"}, "tasks": [{"state": "FAILED"}]}}"#,
                "a task has no number or no state",
            ),
            (
                r#"{"status": {"connector": {"state": "RUNNING"}, "tasks": [{"id": -1, "state": "FAILED"}]}}"#,
                "a task has no number or no state",
            ),
            (
                r#"{"status": {"connector": {"state": "RUNNING"}, "tasks": [{"id": 4294967296, "state": "FAILED"}]}}"#,
                "a task has no number or no state",
            ),
            (
                r#"{"status": {"connector": {"state": "RUNNING"}, "tasks": [{"id": 1, "state": "FAILED"}, {"id": 1, "state": "RUNNING"}]}}"#,
                "two tasks have the same number",
            ),
        ] {
            let good = r#"{"status": {"connector": {"state": "FAILED"}, "tasks": []}}"#;
            let listing = listing(&format!(r#"{{"bad": {entry}, "good": {good}}}"#));
            assert_eq!(
                (listing.connectors.total, listing.connectors.other, listing.connectors.failed),
                (2, 1, 1),
                "{entry}"
            );
            assert_eq!(listing.sightings.len(), 1, "{entry}");
            assert!(listing.not_understood.contains("bad"));
            assert!(listing.warnings.concat().contains(problem), "{:?} {problem}", listing.warnings);
        }
    }

    #[test]
    fn a_running_connector_without_tasks_is_noticed() {
        let of = |state: &str| {
            listing(&format!(
                r#"{{"c": {{"status": {{"connector": {{"state": "{state}"}}, "tasks": []}}}}}}"#
            ))
            .no_tasks
        };
        assert_eq!(of("RUNNING"), BTreeSet::from(["c".into()]));
        assert!(of("PAUSED").is_empty() && of("FAILED").is_empty());
    }

    #[test]
    fn other_documents_are_told_apart() {
        let read = |json: &str| read_document(json.as_bytes(), &Known::default());
        assert_eq!(read(r#"["a", "b", 3]"#).unwrap(), Document::Names(vec!["a".into(), "b".into()]));
        assert_eq!(read(r#"{"error_code": 500, "message": "x"}"#).unwrap(), Document::Foreign);
        assert_eq!(read(r#"{"error": {"code": 502}, "path": "/connectors"}"#).unwrap(), Document::Foreign);
        assert_eq!(read("17").unwrap(), Document::Foreign);
        assert_eq!(read("{}").unwrap(), Document::Listing(Box::default()));
        for broken in ["", "<html>", "{", r#"{"c": {"status": {"connector"#, "{} {}"] {
            assert!(read(broken).is_err(), "{broken}");
        }
    }

    proptest! {
        #[test]
        fn any_json_is_read_without_panic(mutation in any::<prop::sample::Index>(), by in "[\\[\\]{}:,\"0-9a-z\\\\]{0,6}") {
            let at = mutation.index(TWO.len());
            let mutated = format!("{}{by}{}", &TWO[..at], &TWO[(at + by.len()).min(TWO.len())..]);
            let _ = read_document(mutated.as_bytes(), &Known::default());
            let _ = read_status(mutated.as_bytes(), "c", &Known::default());
        }
    }
}
