//! What happened, as a table for a person and as a document for a script. Times are UTC, and say so. It chooses the entries
//! that were asked for; what an entry is, is the history's business.

use std::borrow::Cow;
use std::fmt::Write as _;
use std::io::{self, Write};
use std::time::Duration;

use serde::{Serialize, Serializer};

use super::json::{SCHEMA, Time, finish};
use crate::decide::history::{Entry, Fates, Happened, Name};
use crate::decide::ledger::Ledger;
use crate::decide::select::Patterns;
use crate::decide::text::{sanitize, show_name};
use crate::decide::time::Timestamp;

/// So many names are on one line; the document has more.
const NAMED: usize = 3;
const BESIDE: &str = " | ";

/// What of the history is asked for.
#[derive(Debug)]
pub struct Asked {
    pub since: Option<Timestamp>,
    pub until: Option<Timestamp>,
    /// Only of these connectors.
    pub connector: Option<Patterns>,
    pub now: Timestamp,
}

/// How an entry has to do with what was asked for.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Match {
    No,
    Yes,
    /// Among those that are not named.
    Perhaps,
}

impl Asked {
    fn entries<'a>(&'a self, ledger: &'a Ledger) -> impl Iterator<Item = (&'a Entry, Match)> {
        let all = ledger.history.entries().iter();
        let all = all.filter(|entry| self.since.is_none_or(|since| entry.at >= since));
        let all = all.filter(|entry| self.until.is_none_or(|until| entry.at <= until));
        all.map(|entry| (entry, self.matches(entry))).filter(|(_, matches)| *matches != Match::No)
    }

    fn matches(&self, entry: &Entry) -> Match {
        let Some(asked) = &self.connector else { return Match::Yes };
        let holds = matches!(entry.event, Happened::Held | Happened::Released | Happened::HoldEnded);
        let named = |name: &Name| {
            let held = || holds && asked.are_matched_by(&Patterns::new("", &[name.connector.to_string()]));
            asked.match_any(&name.connector) || held()
        };
        match entry.event {
            // What concerns all.
            Happened::Unreachable => Match::Yes,
            _ if entry.names.iter().any(named) => Match::Yes,
            _ if entry.left_out() > 0 => Match::Perhaps,
            _ => Match::No,
        }
    }
}

/// The history as text.
pub fn text(ledger: &Ledger, cluster: &str, asked: &Asked) -> String {
    let mut text = format!("{}  history in UTC", sanitize(cluster));
    let first = ledger.history.entries().first().map(|first| first.at);
    let _ = match (asked.since, first) {
        (since, Some(first)) if since.is_none_or(|since| since < first) => {
            write!(text, ", from its beginning at {first}")
        }
        (Some(since), _) => write!(text, " from {since}"),
        (None, _) => Ok(()),
    };
    if let Some(until) = asked.until {
        let _ = write!(text, " to {until}");
    }
    text.push_str("\n\n");
    let entries: Vec<(&Entry, Match)> = asked.entries(ledger).collect();
    if entries.is_empty() {
        text.push_str("nothing happened; runs that find nothing wrong are not recorded\n");
        return text;
    }
    let widest = entries.iter().map(|(entry, _)| words(entry.event).len()).max().unwrap_or_default();
    for (entry, matches) in &entries {
        let line = [whom(entry, *matches), details(entry)].concat();
        let line = line.join(BESIDE);
        let _ = writeln!(text, "{}  {:<widest$}  {}", entry.at, words(entry.event), sanitize(&line));
    }
    let _ = writeln!(text, "\n{}", summary(&entries, ledger));
    text
}

fn words(event: Happened) -> &'static str {
    match event {
        Happened::FailedAgain => "failed again",
        Happened::GaveUp => "gave up",
        Happened::CrashLoop => "crash loop",
        Happened::HoldEnded => "hold ended",
        other => other.as_str(),
    }
}

/// How many, and some by name.
fn whom(entry: &Entry, matches: Match) -> Vec<String> {
    let names: Vec<String> = entry.names.iter().take(NAMED).map(Name::to_string).collect();
    let more = usize::try_from(entry.connectors).unwrap_or(usize::MAX).saturating_sub(names.len());
    let mut names = names.join(", ");
    if more > 0 {
        let _ = write!(names, " and {more} more");
    }
    if matches == Match::Perhaps {
        names.push_str(" (perhaps with what was asked for)");
    }
    let what = if entry.tasks == entry.instances { " tasks" } else { "" };
    match (entry.instances, entry.connectors) {
        (0 | 1, 0) => Vec::new(),
        (0 | 1, _) => vec![names],
        (count, connectors) if count == connectors && entry.tasks == 0 => {
            vec![format!("{count} connectors: {names}")]
        }
        (count, 1) => vec![format!("{count}{what}: {names}")],
        (count, connectors) => vec![format!("{count}{what} of {connectors} connectors: {names}")],
    }
}

fn details(entry: &Entry) -> Vec<String> {
    let mut details = Vec::new();
    if let Some(fates) = &entry.fates {
        details.push(became(fates, entry.instances));
    }
    match (entry.event, entry.down, entry.restarts) {
        (Happened::Recovered, Some(down), restarts) => {
            details.push(format!("down {}{}", span(down, lasting), with_restarts(restarts)));
        }
        (Happened::GaveUp, _, Some(restarts)) => {
            let since = entry.since.map_or_else(String::new, |since| format!(", failed since {since}"));
            details.push(format!("{}{since}", restarted(restarts)));
        }
        (Happened::CrashLoop, _, Some((_, most))) => details.push(format!("{most} restarts in 24 h")),
        (_, _, Some(restarts)) => details.push(restarted(restarts)),
        _ => {}
    }
    match (entry.event, &entry.by, entry.until) {
        (Happened::Held, Some(by), Some(until)) => details.push(format!("until {until} by {by}")),
        (Happened::Unreachable, _, Some(until)) => {
            let runs = entry.runs.map_or_else(String::new, |runs| format!(" ({runs} runs)"));
            details.push(format!("until {until}{runs}"));
        }
        (Happened::Told, Some(sink), _) => {
            let delivered = if entry.delivered == Some(false) { " (not delivered)" } else { "" };
            details.push(format!("{sink}{delivered}"));
        }
        (Happened::HoldEnded, Some(by), _) => details.push(format!("of {by}")),
        (_, Some(by), _) => details.push(format!("by {by}")),
        _ => {}
    }
    details.extend(entry.text.as_deref().map(str::to_owned));
    details.extend(entry.cause.as_ref().map(|cause| cause.text.to_string()));
    details
}

fn became(fates: &Fates, all: u64) -> String {
    let parts = [
        (fates.running, "run again"),
        (fates.failed_again, "failed again"),
        (fates.taken, "taken"),
        (fates.unknown, "of unknown fate"),
    ];
    let parts: Vec<(u64, &str)> = parts.into_iter().filter(|(count, _)| *count > 0).collect();
    match parts.as_slice() {
        [(count, "run again")] if *count == all && all == 1 => "runs again".to_owned(),
        [(count, word)] if *count == all && all > 1 => format!("all {word}"),
        [(_, word)] if all == 1 => (*word).to_owned(),
        parts => parts.iter().map(|(count, word)| format!("{count} {word}")).collect::<Vec<_>>().join(", "),
    }
}

fn with_restarts(restarts: Option<(u32, u32)>) -> String {
    restarts.map_or_else(String::new, |restarts| format!(", {}", restarted(restarts)))
}

fn restarted(restarts: (u32, u32)) -> String {
    match restarts {
        (1, 1) => "1 restart".to_owned(),
        restarts => format!("{} restarts", span(restarts, |count| count.to_string())),
    }
}

/// Both ends, or one when they are the same.
fn span<T: PartialEq>((least, most): (T, T), show: impl Fn(T) -> String) -> String {
    if least == most { show(least) } else { format!("{} to {}", show(least), show(most)) }
}

/// At most two units: nobody counts the seconds of hours.
fn lasting(seconds: u64) -> String {
    let whole = if seconds < 3600 { seconds } else { seconds.div_euclid(60).saturating_mul(60) };
    humantime::format_duration(Duration::from_secs(whole)).to_string()
}

fn summary(entries: &[(&Entry, Match)], ledger: &Ledger) -> String {
    let count = |events: &[Happened]| {
        let those = entries.iter().filter(|(entry, _)| events.contains(&entry.event));
        those.fold(0_u64, |sum, (entry, _)| sum.saturating_add(entry.instances))
    };
    let parts = [
        (count(&[Happened::Failed, Happened::FailedAgain]), "failed"),
        (count(&[Happened::Restarted, Happened::Retried]), "restarted"),
        (count(&[Happened::Recovered]), "recovered"),
        (count(&[Happened::GaveUp]), "gave up"),
    ];
    let failed_now = ledger.records.iter().filter_map(|record| record.episode.as_ref());
    let failed_now = failed_now.filter(|episode| episode.healthy.is_none()).count();
    let parts =
        parts.into_iter().filter(|(count, _)| *count > 0).map(|(count, word)| format!("{count} {word}"));
    let parts: Vec<String> = parts.chain([format!("{failed_now} failed now")]).collect();
    parts.join(", ")
}

/// Writes the history as a document.
pub fn json(
    ledger: &Ledger,
    cluster: &str,
    state: &str,
    asked: &Asked,
    writer: impl Write,
) -> io::Result<()> {
    #[derive(Serialize)]
    struct Document<'a, E> {
        schema: u8,
        command: &'static str,
        ok: bool,
        cluster: &'a str,
        state: &'a str,
        since: Option<Time>,
        until: Option<Time>,
        entries: E,
        error: Option<()>,
    }
    let entries: Vec<EntryKey<'_>> = asked.entries(ledger).map(|(entry, _)| EntryKey(entry)).collect();
    finish(
        writer,
        &Document {
            schema: SCHEMA,
            command: "history",
            ok: true,
            cluster,
            state,
            since: asked.since.map(Time),
            until: asked.until.map(Time),
            entries,
            error: None,
        },
    )
}

#[derive(Serialize)]
struct NameKey<'a> {
    connector: Cow<'a, str>,
    own: bool,
    tasks: String,
}

impl<'a> From<&'a Name> for NameKey<'a> {
    fn from(name: &'a Name) -> Self {
        Self { connector: show_name(&name.connector), own: name.own, tasks: name.tasks() }
    }
}

struct EntryKey<'a>(&'a Entry);

impl Serialize for EntryKey<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        #[derive(Serialize)]
        struct SpanKey<T> {
            least: T,
            most: T,
        }
        #[derive(Serialize)]
        struct FatesKey {
            taken: u64,
            running: u64,
            failed_again: u64,
            unknown: u64,
        }
        #[derive(Serialize)]
        struct Key<'a> {
            at: Time,
            run: u64,
            event: &'static str,
            connectors: u64,
            instances: u64,
            tasks: u64,
            names: Vec<NameKey<'a>>,
            left_out: u64,
            cause: Option<&'a str>,
            group: Option<String>,
            advice: Option<&'static str>,
            by: Option<&'a str>,
            since: Option<Time>,
            until: Option<Time>,
            runs: Option<u64>,
            restarts: Option<SpanKey<u32>>,
            down_seconds: Option<SpanKey<u64>>,
            fates: Option<FatesKey>,
            delivered: Option<bool>,
            text: Option<&'a str>,
        }
        let entry = self.0;
        let cause = entry.cause.as_deref();
        Key {
            at: Time(entry.at),
            run: entry.run,
            event: entry.event.as_str(),
            connectors: entry.connectors,
            instances: entry.instances,
            tasks: entry.tasks,
            names: entry.names.iter().map(NameKey::from).collect(),
            left_out: entry.left_out(),
            cause: cause.map(|cause| &*cause.text),
            group: cause.map(|cause| cause.key.to_string()),
            advice: cause.map(|cause| cause.advice.as_str()),
            by: entry.by.as_deref(),
            since: entry.since.map(Time),
            until: entry.until.map(Time),
            runs: entry.runs,
            restarts: entry.restarts.map(|(least, most)| SpanKey { least, most }),
            down_seconds: entry.down.map(|(least, most)| SpanKey { least, most }),
            fates: entry.fates.map(|fates| FatesKey {
                taken: fates.taken,
                running: fates.running,
                failed_again: fates.failed_again,
                unknown: fates.unknown,
            }),
            delivered: entry.delivered,
            text: entry.text.as_deref(),
        }
        .serialize(serializer)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::decide::history::History;
    use insta::assert_snapshot;

    #[test]
    fn every_event_has_a_line() {
        let at = |minutes: u64| Timestamp::from_millis(1_795_744_800_000 + minutes * 60_000);
        let of = |event, connectors: u64, instances: u64| {
            let name = |connector: &str| Name {
                connector: connector.into(),
                own: instances == 0,
                tasks: vec![(0, 2), (5, 5)],
                more: false,
            };
            let names = ["orders-sink", "pay"].into_iter().take(usize::try_from(connectors).unwrap());
            Entry {
                connectors,
                instances,
                tasks: instances,
                names: names.map(name).collect(),
                ..Entry::new(event, 7, at(0))
            }
        };
        let by = Some("anna@ops1".into());
        let fates = Some(Fates { taken: 3, running: 0, failed_again: 1, unknown: 0 });
        let entries = vec![
            of(Happened::Failed, 1, 4),
            Entry { restarts: Some((1, 3)), ..of(Happened::FailedAgain, 2, 8) },
            Entry { fates, ..of(Happened::Restarted, 1, 4) },
            Entry { fates, by: by.clone(), ..of(Happened::Retried, 1, 4) },
            Entry { text: Some("HTTP 403: no".into()), ..of(Happened::Refused, 1, 4) },
            Entry { down: Some((61, 7_322)), restarts: Some((1, 1)), ..of(Happened::Recovered, 1, 4) },
            Entry { restarts: Some((7, 7)), since: Some(at(1)), ..of(Happened::GaveUp, 1, 4) },
            Entry { restarts: Some((6, 6)), ..of(Happened::CrashLoop, 1, 4) },
            Entry { restarts: Some((1, 2)), ..of(Happened::Forgiven, 60, 4) },
            Entry { restarts: Some((1, 1)), ..of(Happened::Gone, 1, 4) },
            Entry { by: by.clone(), ..of(Happened::Reset, 1, 4) },
            Entry::unreachable("Connection refused", at(2), at(17), 3, 7),
            Entry::told("platform", "150 failing for 15 min", true, 8, at(18)),
            Entry::told("teams", "150 failing for 15 min, token=abc", false, 8, at(18)),
        ];
        let ledger = Ledger { history: History::from(entries), ..Ledger::default() };
        let asked = Asked { since: None, until: Some(at(60)), connector: None, now: at(60) };
        assert_snapshot!(text(&ledger, "orders", &asked), @r"
        orders  history in UTC, from its beginning at 2026-11-27T02:00:00Z to 2026-11-27T03:00:00Z

        2026-11-27T02:00:00Z  failed        4 tasks: orders-sink/0-2,5
        2026-11-27T02:00:00Z  failed again  8 tasks of 2 connectors: orders-sink/0-2,5, pay/0-2,5 | 1 to 3 restarts
        2026-11-27T02:00:00Z  restarted     4 tasks: orders-sink/0-2,5 | 1 failed again, 3 taken
        2026-11-27T02:00:00Z  retried       4 tasks: orders-sink/0-2,5 | 1 failed again, 3 taken | by anna@ops1
        2026-11-27T02:00:00Z  refused       4 tasks: orders-sink/0-2,5 | HTTP 403: no
        2026-11-27T02:00:00Z  recovered     4 tasks: orders-sink/0-2,5 | down 1m 1s to 2h 2m, 1 restart
        2026-11-27T02:00:00Z  gave up       4 tasks: orders-sink/0-2,5 | 7 restarts, failed since 2026-11-27T02:01:00Z
        2026-11-27T02:00:00Z  crash loop    4 tasks: orders-sink/0-2,5 | 6 restarts in 24 h
        2026-11-27T02:00:00Z  forgiven      4 tasks of 60 connectors: orders-sink/0-2,5, pay/0-2,5 and 58 more | 1 to 2 restarts
        2026-11-27T02:00:00Z  gone          4 tasks: orders-sink/0-2,5 | 1 restart
        2026-11-27T02:00:00Z  reset         4 tasks: orders-sink/0-2,5 | by anna@ops1
        2026-11-27T02:02:00Z  unreachable   until 2026-11-27T02:17:00Z (3 runs) | Connection refused
        2026-11-27T02:18:00Z  told          platform | 150 failing for 15 min
        2026-11-27T02:18:00Z  told          teams (not delivered) | 150 failing for 15 min, token=***

        12 failed, 8 restarted, 4 recovered, 4 gave up, 0 failed now
        ");
    }
}
