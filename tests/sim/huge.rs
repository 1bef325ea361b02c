//! A cluster too large to be held: its listing is written as it is sent, so that a client's memory can be measured.
//!
//! It owns the text of such documents and the count of restarts. It has no status machine: every task stays as it is.

use std::collections::BTreeMap;
use std::io::{self, Write};

use super::answers::{quoted, trace};
use super::state::{FAILED, PAUSED, RESTARTING, RUNNING, label};

/// The size of the cluster, and the state of all its tasks.
#[derive(Clone, Debug)]
pub struct Huge {
    connectors: u32,
    tasks: u32,
    state: &'static str,
    trace_bytes: Option<usize>,
    /// Restart calls by connector (each counts for all of its tasks) and by task.
    taken: BTreeMap<(u32, Option<u32>), usize>,
}

impl Huge {
    pub fn healthy(connectors: u32, tasks: u32) -> Self {
        Self { connectors, tasks, state: RUNNING, trace_bytes: None, taken: BTreeMap::new() }
    }

    /// Every connector is paused, and so are its tasks.
    pub fn paused(connectors: u32, tasks: u32) -> Self {
        Self { state: PAUSED, ..Self::healthy(connectors, tasks) }
    }

    /// Every task has failed, each with its own root cause at the end of a trace of this many bytes.
    pub fn failed(connectors: u32, tasks: u32, trace_bytes: usize) -> Self {
        Self { state: FAILED, trace_bytes: Some(trace_bytes), ..Self::healthy(connectors, tasks) }
    }

    pub fn name(index: u32) -> String {
        format!("huge-{index:06}")
    }

    pub fn index_of(&self, name: &str) -> Option<u32> {
        let index = name.strip_prefix("huge-")?.parse().ok()?;
        (index < self.connectors && name == Self::name(index)).then_some(index)
    }

    pub fn names_json(&self) -> String {
        let names: Vec<String> = (0..self.connectors).map(|index| quoted(&Self::name(index))).collect();
        format!("[{}]", names.join(","))
    }

    pub fn count(&mut self, connector: u32, task: Option<u32>) {
        *self.taken.entry((connector, task)).or_default() += 1;
    }

    pub fn restarts_of(&self, connector: u32, task: u32) -> usize {
        [None, Some(task)].iter().filter_map(|task| self.taken.get(&(connector, *task))).sum()
    }

    /// The tasks that were restarted at all, and the highest count among them.
    pub fn restarted_tasks(&self) -> (usize, usize) {
        let counts = (0..self.connectors).flat_map(|c| (0..self.tasks).map(move |t| (c, t)));
        let counts: Vec<usize> =
            counts.map(|(c, t)| self.restarts_of(c, t)).filter(|count| *count > 0).collect();
        (counts.len(), counts.into_iter().max().unwrap_or(0))
    }

    pub fn write_listing(&self, out: &mut dyn Write) -> io::Result<()> {
        let text = Text::new(self.trace_bytes);
        out.write_all(b"{")?;
        for connector in 0..self.connectors {
            let comma = if connector == 0 { "" } else { "," };
            write!(out, r#"{comma}{}:{{"status":"#, quoted(&Self::name(connector)))?;
            self.write_status(connector, false, &text, out)?;
            out.write_all(b"}")?;
        }
        out.write_all(b"}")
    }

    /// The status of one connector, or the 202 of a KIP-745 call, which says RESTARTING and keeps the old traces.
    pub fn write_one(&self, connector: u32, restarting: bool, out: &mut dyn Write) -> io::Result<()> {
        self.write_status(connector, restarting, &Text::new(self.trace_bytes), out)
    }

    fn write_status(
        &self,
        connector: u32,
        restarting: bool,
        text: &Text,
        out: &mut dyn Write,
    ) -> io::Result<()> {
        let name = Self::name(connector);
        let state = if restarting && self.state == FAILED { RESTARTING } else { self.state };
        let own = if self.state == PAUSED { PAUSED } else { RUNNING };
        let own = format!(r#""state":"{own}","worker_id":"127.0.0.1:8083""#);
        write!(out, r#"{{"name":{},"connector":{{{own}}},"tasks":["#, quoted(&name))?;
        for task in 0..self.tasks {
            let comma = if task == 0 { "" } else { "," };
            write!(out, r#"{comma}{{"id":{task},"state":"{state}","worker_id":"127.0.0.1:8083""#)?;
            text.write(&label(&name, Some(task)), out)?;
            out.write_all(b"}")?;
        }
        out.write_all(br#"],"type":"sink"}"#)
    }
}

/// The trace as JSON, cut where the name of the instance goes, so that no two traces are equal.
struct Text(Vec<String>);

impl Text {
    fn new(trace_bytes: Option<usize>) -> Self {
        let Some(bytes) = trace_bytes else { return Self(Vec::new()) };
        let text = trace("com.example.WriteException: table <instance> is locked", 1, Some(bytes));
        let json = format!(r#","trace":{}"#, quoted(&text.replacen("failure 1", "failure of <instance>", 1)));
        Self(json.split("<instance>").map(str::to_owned).collect())
    }

    fn write(&self, instance: &str, out: &mut dyn Write) -> io::Result<()> {
        for (index, piece) in self.0.iter().enumerate() {
            if index > 0 {
                out.write_all(instance.as_bytes())?;
            }
            out.write_all(piece.as_bytes())?;
        }
        Ok(())
    }
}
