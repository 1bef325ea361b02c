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

use crate::decide::cause::root_cause;
use crate::decide::model::{Counts, InstanceId, Listing, Sighting, State};
use crate::decide::text::sanitize;

/// The texts that the ledger holds: the names of its connectors, of which every
/// instance is kept, and the causes, which need not be held twice.
pub type Remembered = Arc<BTreeSet<Arc<str>>>;

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
pub fn read_document(reader: impl Read, remembered: &BTreeSet<Arc<str>>) -> serde_json::Result<Document> {
    let mut collector = Collector::new(remembered);
    let shape = read(reader, DocumentSeed(&mut collector))?;
    Ok(match shape {
        Shape::Names(names) => Document::Names(names),
        Shape::Map { entries: 1.., statuses: 0 } | Shape::Other => Document::Foreign,
        Shape::Map { .. } => Document::Listing(Box::new(collector.finish())),
    })
}

/// Reads one connector's status: the answer to `GET /connectors/NAME/status`,
/// and the body of a 202. It has the shape of `expand=status`'s inner object.
///
/// # Errors
/// When the document is not JSON, or ends too soon.
pub fn read_status(reader: impl Read, name: &str, collector: &mut Collector<'_>) -> serde_json::Result<()> {
    let keep = collector.remembers(name);
    let status = read(reader, StatusSeed { keep, interned: &mut collector.interned })?;
    collector.add(name, status);
    Ok(())
}

fn read<'de, R: Read, S: DeserializeSeed<'de>>(reader: R, seed: S) -> serde_json::Result<S::Value> {
    let buffered = std::io::BufReader::with_capacity(64 * 1024, reader);
    let mut deserializer = serde_json::Deserializer::from_reader(buffered);
    let value = seed.deserialize(&mut deserializer)?;
    deserializer.end()?;
    Ok(value)
}

/// Gathers the statuses of connectors into a listing.
#[derive(Debug)]
pub struct Collector<'a> {
    remembered: &'a BTreeSet<Arc<str>>,
    listing: Listing,
    /// In an outage thousands of tasks share one cause: it is kept once.
    interned: Interned<'a>,
}

impl<'a> Collector<'a> {
    /// An empty listing; of a remembered connector every instance is kept.
    #[must_use]
    pub fn new(remembered: &'a BTreeSet<Arc<str>>) -> Self {
        Self {
            remembered,
            listing: Listing::default(),
            interned: Interned { remembered, new: HashSet::new() },
        }
    }

    /// The listing so far, put in order.
    #[must_use]
    pub fn finish(mut self) -> Listing {
        self.listing.arrange();
        self.listing
    }

    /// Counts a connector whose entry could not be understood.
    pub fn not_understood(&mut self, name: &str, problem: &str) {
        self.listing.connectors.add(None);
        self.listing.warnings.push(format!(
            "connector {}: its status cannot be understood ({problem}); it was left alone",
            sanitize(name)
        ));
        self.listing.not_understood.insert(name.into());
    }

    /// Adds one connector's own listing: `None` when it has no status, an error
    /// when that could not be read.
    pub fn merge(&mut self, name: &str, status: Result<Option<Listing>, String>) {
        match status {
            Ok(None) => {}
            Ok(Some(one)) => {
                self.listing.connectors.merge(&one.connectors);
                self.listing.tasks.merge(&one.tasks);
                self.listing.sightings.extend(one.sightings);
                self.listing.no_tasks.extend(one.no_tasks);
                self.listing.left_alone.extend(one.left_alone);
                self.listing.not_understood.extend(one.not_understood);
                self.listing.warnings.extend(one.warnings);
            }
            Err(problem) => self.not_understood(name, &problem),
        }
    }

    fn remembers(&self, name: &str) -> bool {
        self.remembered.contains(name)
    }

    fn add(&mut self, name: &str, status: Result<Status, &'static str>) {
        let status = match status {
            Ok(status) if !name.is_empty() => status,
            Ok(_) => return self.not_understood(name, "its name is empty"),
            Err(problem) => return self.not_understood(name, problem),
        };
        let connector: Arc<str> = name.into();
        let left_alone = status.connector.state.is_left_alone();
        self.listing.connectors.add(Some(&status.connector.state));
        self.listing.tasks.merge(&status.counts);
        let remembered = self.remembers(name);
        if left_alone && remembered {
            self.listing.left_alone.insert(Arc::clone(&connector));
        }
        if status.connector.state == State::Running && status.counts.total == 0 {
            self.listing.no_tasks.push(Arc::clone(&connector));
        }
        let own = (remembered || status.connector.state.is_unwell()).then_some((None, status.connector));
        let kept = own.into_iter().chain(status.tasks.into_iter().map(|(id, part)| (Some(id), part)));
        self.listing.sightings.extend(kept.map(|(task, part)| Sighting {
            id: InstanceId { connector: Arc::clone(&connector), task },
            state: part.state,
            left_alone,
            cause: part.cause,
            worker: part.worker,
        }));
    }
}

#[derive(Debug)]
struct Interned<'a> {
    remembered: &'a BTreeSet<Arc<str>>,
    new: HashSet<Arc<str>>,
}

impl Interned<'_> {
    fn get(&mut self, text: &str) -> Arc<str> {
        if let Some(known) = self.remembered.get(text).or_else(|| self.new.get(text)) {
            return Arc::clone(known);
        }
        let new: Arc<str> = text.into();
        self.new.insert(Arc::clone(&new));
        new
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
    cause: Option<Arc<str>>,
    worker: Option<Arc<str>>,
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
struct DocumentSeed<'a, 'r>(&'a mut Collector<'r>);

seed!(DocumentSeed<'_, '_> -> Shape);

impl<'de> Visitor<'de> for DocumentSeed<'_, '_> {
    type Value = Shape;
    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        anything(f)
    }
    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Shape, A::Error> {
        let (mut entries, mut statuses) = (0_u64, 0_u64);
        while let Some(name) = map.next_key::<String>()? {
            let keep = self.0.remembers(&name);
            let entry = map.next_value_seed(EntrySeed { keep, interned: &mut self.0.interned })?;
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
    interned: &'a mut Interned<'r>,
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
                let seed = StatusSeed { keep: self.keep, interned: self.interned };
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
    interned: &'a mut Interned<'r>,
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
                    let seed = PartSeed { keep: self.keep, interned: self.interned };
                    let (_, part) = map.next_value_seed(seed)?;
                    connector = part.ok_or("it has no connector state");
                }
                "tasks" => {
                    tasks = map.next_value_seed(TasksSeed { keep: self.keep, interned: self.interned })?;
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
    interned: &'a mut Interned<'r>,
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
        let (keep, interned) = (self.keep, self.interned);
        while let Some((id, part)) = seq.next_element_seed(PartSeed { keep, interned: &mut *interned })? {
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
    interned: &'a mut Interned<'r>,
}

type NumberedPart = (Option<u32>, Option<Part>);

seed!(PartSeed<'_, '_> -> NumberedPart);

impl<'de> Visitor<'de> for PartSeed<'_, '_> {
    type Value = NumberedPart;
    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        anything(f)
    }
    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<NumberedPart, A::Error> {
        let Self { keep, interned } = self;
        let (mut id, mut state, mut cause, mut worker) = (None, None, None, None);
        while let Some(key) = map.next_key::<String>()? {
            match key.as_str() {
                "id" => id = map.next_value_seed(NumberSeed)?,
                "state" => state = map.next_value_seed(TextSeed(State::parse))?,
                "trace" => cause = map.next_value_seed(TextSeed(root_cause))?.flatten(),
                "worker_id" => {
                    worker = map.next_value_seed(TextSeed(|text: &str| interned.get(&sanitize(text))))?;
                }
                _ => {
                    map.next_value::<IgnoredAny>()?;
                }
            }
        }
        let part = state.map(|state| {
            let cause = cause.filter(|_| keep || state.is_unwell()).map(|text| interned.get(&text));
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
        match read_document(json.as_bytes(), &BTreeSet::new()).unwrap() {
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
            left_alone: false,
            cause: Some("c.D: y".into()),
            worker: Some("w:1".into()),
        };
        assert_eq!(listing.sighting(&InstanceId::task("c1", 1)), Some(&failed));
        let ids: Vec<_> =
            listing.sightings.iter().map(|seen| (seen.id.to_string(), seen.left_alone)).collect();
        assert_eq!(ids, [("c1/1".into(), false), ("c2/0".into(), true)]);
        assert!(listing.left_alone.is_empty());
        assert_eq!((listing.connectors.total, listing.connectors.stopped, listing.tasks.failed), (2, 1, 2));
        assert_eq!(listing.warnings, Vec::<String>::new());
    }

    #[test]
    fn of_a_remembered_connector_every_instance_is_kept() {
        let kept = |name: &str| {
            let remembered = BTreeSet::from([name.into()]);
            let Document::Listing(listing) = read_document(TWO.as_bytes(), &remembered).unwrap() else {
                panic!()
            };
            let ids: Vec<_> = listing.sightings.iter().map(|seen| seen.id.to_string()).collect();
            (ids.join(" "), listing.left_alone)
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
            let remembered = BTreeSet::new();
            let mut collector = Collector::new(&remembered);
            read(document.as_bytes(), DocumentSeed(&mut collector)).unwrap();
            assert!(collector.interned.new.is_empty(), "{state}: {:?}", collector.interned);
            let listing = collector.finish();
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
        assert_eq!(of("RUNNING"), ["c".into()]);
        assert!(of("PAUSED").is_empty() && of("FAILED").is_empty());
    }

    #[test]
    fn other_documents_are_told_apart() {
        let read = |json: &str| read_document(json.as_bytes(), &BTreeSet::new());
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
            let _ = read_document(mutated.as_bytes(), &BTreeSet::new());
            let _ = read_status(mutated.as_bytes(), "c", &mut Collector::new(&BTreeSet::new()));
        }
    }
}
