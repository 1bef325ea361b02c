//! From a Java stack trace to the one line that says why, and to the key by which failures are grouped. The trace vanishes
//! from Connect as soon as the instance restarts, so this is all that is kept of it. What a line means for a person is
//! decided in `advice`, how it is made fit to be shown in `text` and `secrets`.
//!
//! Of the outer chain (`Throwable.printStackTrace`; an indented `Caused by:` belongs to a suppressed exception) the
//! innermost exception that says something is shown. One pass over the trace finds it, and only the innermost
//! [`REMEMBERED`] exceptions are looked at, as slices: memory does not grow with the trace.

use core::net::Ipv4Addr;
use std::collections::VecDeque;
use std::fmt;

use super::advice::{self, Advice};
use super::text;

/// So many of the innermost exceptions are looked at. Real chains have up to eight.
const REMEMBERED: usize = 32;

/// What wrappers say that says nothing of the failure: the beginning of a message.
pub const WRAPPERS: [&str; 12] = [
    "Exiting WorkerSinkTask due to unrecoverable exception",
    "Exiting WorkerSourceTask due to unrecoverable exception",
    "Unrecoverable exception from producer send callback",
    "Unrecoverable exception trying to send",
    "Tolerance exceeded in error handler",
    "Failed to process a sink record",
    "error executing work",
    "JDBC sink connector failure",
    "An exception occurred in the change event producer. This connector will be stopped",
    "Error while processing event",
    "Failed to construct kafka",
    "Converting byte[] to Kafka Connect data failed due to serialization error",
];

/// Lines of a message that explain it to its developer, or quote the record: they and what follows are left out. The
/// blanks are those of pgjdbc and Jackson; Snowflake's `Detail:` has none, and says why.
const DETAILS: [&str; 5] = ["  Detail:", "  Hint:", "  Position:", "  Where:", " at [Source"];

/// What stands before the reason in a message that quotes a statement with its values, and what stands behind it
/// (`java.sql.BatchUpdateException` of pgjdbc).
const STATEMENT: (&str, &str) = ("Batch entry ", " was aborted: ");
const TRAILER: &str = "Call getNextException to see other errors in the batch.";

/// Why an instance failed.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Cause {
    /// One line, at most 300 characters, without secrets and control characters.
    pub text: Box<str>,
    pub key: Key,
    pub advice: Advice,
}

/// What failures of one cause have in common: a hash of the cause without what differs from task to task. The text that
/// made it is not kept, since it may hold a secret.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Key(pub u32);

/// Eight hexadecimal digits.
impl fmt::Display for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:08x}", self.0)
    }
}

impl Cause {
    /// The cause in this trace; `None` for a trace of blanks.
    pub fn of(trace: &str) -> Option<Self> {
        let chain = chain(trace);
        let line = tell(&chain)?;
        let text =
            text::one_line(if line.chars().count() > text::LONGEST { without_package(&line) } else { &line });
        let classes: Vec<&str> = chain.iter().map(|thrown| thrown.class).collect();
        (!text.is_empty()).then(|| Self {
            text: text.into(),
            key: Key(fnv_1a(&normalized(&line))),
            advice: advice::of(&line, &classes),
        })
    }
}

/// One exception of the outer chain, as slices of the trace.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Thrown<'a> {
    class: &'a str,
    /// All its lines.
    message: &'a str,
    /// `io.example.Writer.write(Writer.java:77)`: the first that is not the JDK's, if there is one.
    frame: Option<&'a str>,
}

/// The exceptions of the outer chain, outermost first; of a long chain its innermost.
fn chain(trace: &str) -> VecDeque<Thrown<'_>> {
    let mut chain = VecDeque::new();
    let mut span: Option<(usize, usize)> = None;
    let mut frame = None;
    let mut at = 0_usize;
    // Whether the line belongs to the message of the exception that has begun.
    let mut in_message = false;
    for line in trace.split_inclusive('\n') {
        let (start, end) = (at, at.saturating_add(line.len()));
        at = end;
        if let Some(rest) = line.strip_prefix("Caused by: ") {
            push(&mut chain, trace, span, frame.take());
            span = Some((end.saturating_sub(rest.len()), end));
            in_message = true;
        } else if line.starts_with("\tat ") || line.starts_with("\t... ") || line.starts_with("\tSuppressed:")
        {
            in_message = false;
            if let Some(called) = line.strip_prefix("\tat ")
                && span.is_some()
                && frame.is_none_or(|first| is_of_the_jdk(first) && !is_of_the_jdk(called))
            {
                frame = Some(called.trim());
            }
        } else if span.is_none() && !line.trim().is_empty() {
            span = Some((start, end));
            in_message = true;
        } else if in_message {
            span = span.map(|(start, _)| (start, end));
        }
    }
    push(&mut chain, trace, span, frame);
    chain
}

fn push<'a>(
    chain: &mut VecDeque<Thrown<'a>>,
    trace: &'a str,
    span: Option<(usize, usize)>,
    frame: Option<&'a str>,
) {
    let Some((start, end)) = span else { return };
    if chain.len() >= REMEMBERED {
        chain.pop_front();
    }
    chain.push_back(Thrown::new(slice(trace, start, end), frame));
}

/// `Objects.requireNonNull` says nothing of who called it.
fn is_of_the_jdk(frame: &str) -> bool {
    ["java.", "jdk.", "sun."].iter().any(|package| frame.starts_with(package))
}

fn slice(text: &str, start: usize, end: usize) -> &str {
    text.get(start..end).unwrap_or_default()
}

impl<'a> Thrown<'a> {
    fn new(text: &'a str, frame: Option<&'a str>) -> Self {
        let text = text.trim();
        let end = text.find([':', '\n']).unwrap_or(text.len());
        let (class, rest) = text.split_at_checked(end).unwrap_or((text, ""));
        if is_class(class.trim()) {
            let message = rest.strip_prefix(':').unwrap_or(rest).trim();
            Self { class: class.trim(), message, frame }
        } else {
            Self { class: "", message: text, frame }
        }
    }

    /// The message on one line; of one that only announces others (`Exception chain:`) the last that it announces.
    fn line(&self) -> String {
        let mut lines = self.message.lines().map(str::trim).filter(|line| !line.is_empty());
        let Some(first) = lines.next() else { return String::new() };
        // What announces a secret stays before it, so that it can be told.
        if !first.ends_with(':') || text::one_line(&format!("{first} ?")).ends_with("***") {
            return joined(self.message);
        }
        let begins_with_class = |line: &&str| {
            line.split_once(':').is_some_and(|(class, _)| is_class(class) && class.contains('.'))
        };
        let announced = lines.clone().rfind(begins_with_class).or_else(|| lines.next());
        joined(announced.unwrap_or(first))
    }

    /// Nothing of its own: empty, `null`, its class or that of the one below, or what the one below says anyway.
    fn says_nothing(&self, below: Option<&Self>) -> bool {
        let message = self.message;
        let repeats = below.is_some_and(|below| {
            let rest = message.strip_suffix(below.message).unwrap_or(message);
            !below.message.is_empty()
                && (rest.is_empty() || rest.trim_end().trim_end_matches(':') == below.class)
        });
        message.is_empty()
            || message == "null"
            || message.starts_with("[CIRCULAR REFERENCE")
            || repeats
            || message == self.class
            || below.is_some_and(|below| message == below.class)
    }

    fn is_wrapper(&self) -> bool {
        WRAPPERS.iter().any(|wrapper| self.message.starts_with(wrapper))
    }
}

/// What a message says, on one line.
fn joined(message: &str) -> String {
    let looked_at = text::looked_at(message);
    let mut lines = looked_at.lines();
    let first = lines.next();
    let others = lines.take_while(|line| !DETAILS.iter().any(|detail| line.starts_with(detail)));
    let words: Vec<&str> = first.into_iter().chain(others).flat_map(str::split_whitespace).collect();
    let line = words.join(" ");
    let line = match line
        .split_once(STATEMENT.0)
        .and_then(|(before, rest)| Some((before, rest.split_once(STATEMENT.1)?)))
    {
        Some((before, (_, reason))) => format!("{before}{reason}"),
        None => line,
    };
    line.strip_suffix(TRAILER).map_or_else(|| line.clone(), |line| line.trim_end().to_owned())
}

/// `org.example.SomeException`, `SomeException`, `a.b.C$D`.
fn is_class(text: &str) -> bool {
    let last = text.rsplit(['.', '$']).next().unwrap_or_default();
    !text.is_empty()
        && text.chars().all(|c| c.is_alphanumeric() || matches!(c, '.' | '$' | '_'))
        && text.starts_with(char::is_alphabetic)
        && last.starts_with(|c: char| c.is_uppercase() || c.is_ascii_digit())
}

/// What the chain says: unmasked and uncut.
fn tell(chain: &VecDeque<Thrown<'_>>) -> Option<String> {
    let chain: Vec<&Thrown<'_>> = chain.iter().collect();
    let innermost = *chain.last()?;
    let says = |at: usize| {
        let thrown = chain.get(at)?;
        let below = at.checked_add(1).and_then(|below| chain.get(below)).copied();
        (!thrown.says_nothing(below) && !thrown.is_wrapper()).then_some(*thrown)
    };
    let Some(found) = (0..chain.len()).rev().find(|at| says(*at).is_some()) else {
        return Some(bare(&chain, innermost));
    };
    let found_thrown = chain.get(found)?;
    let line = found_thrown.line();
    if found_thrown != &innermost {
        // What it stands for, by its innermost class.
        let behind = short(innermost.class);
        return Some(if behind.is_empty() || line.contains(behind) {
            named(found_thrown.class, &line)
        } else {
            format!("{} ({behind})", named(found_thrown.class, &line))
        });
    }
    if names_something(&line) {
        return Some(named(found_thrown.class, &line));
    }
    // It says too little: `Connection refused`, of what?
    let outer = || (0..found).rev().filter_map(says);
    let next = outer().next();
    let more = outer().find(|thrown| names_something(&thrown.line())).or(next);
    let mut told: Vec<(&str, String)> = more.into_iter().map(|more| (more.class, more.line())).collect();
    let between = next.filter(|next| Some(*next) != more).map(|next| (short(next.class), next.line()));
    for (class, line) in between.into_iter().chain([(short(found_thrown.class), line)]) {
        if !told.iter().any(|(_, outer)| outer.contains(&line)) {
            told.push((class, line));
        }
    }
    let (class, line) = told.first()?;
    let class = if more.is_none() { found_thrown.class } else { class };
    let behind: Vec<String> = told.iter().skip(1).map(|(class, line)| named(class, line)).collect();
    Some(if behind.is_empty() {
        named(class, line)
    } else {
        format!("{} ({})", named(class, line), behind.join("; "))
    })
}

/// Nobody says anything: the innermost class and where it was thrown, or the outermost words that there are.
fn bare(chain: &[&Thrown<'_>], innermost: &Thrown<'_>) -> String {
    match (innermost.class, innermost.frame.filter(|frame| is_clean(frame)).map(short_frame)) {
        ("", _) => {
            chain.iter().map(|thrown| named(thrown.class, &thrown.line())).next_back().unwrap_or_default()
        }
        (class, Some(frame)) if innermost.message.is_empty() || innermost.message == "null" => {
            format!("{class} at {frame}")
        }
        (class, _) => named(class, &innermost.line()),
    }
}

fn named(class: &str, message: &str) -> String {
    match (class, message) {
        ("", message) => message.to_owned(),
        (class, "") => class.to_owned(),
        (class, message) => format!("{class}: {message}"),
    }
}

/// A line that must lose something loses the package of its class first.
pub fn without_package(line: &str) -> &str {
    let class = line.split(':').next().unwrap_or_default();
    if !is_class(class) {
        return line;
    }
    slice(line, class.len().saturating_sub(short(class).len()), line.len())
}

/// `java.net.ConnectException` is `ConnectException`.
fn short(class: &str) -> &str {
    class.rsplit('.').next().unwrap_or(class)
}

/// A frame is shortened before it is masked, which would hide a part of a secret only.
fn is_clean(frame: &str) -> bool {
    text::one_line(frame) == frame
}

/// `java.base/io.example.Writer.write(Writer.java:77)` is `Writer.write(Writer.java:77)`.
fn short_frame(frame: &str) -> &str {
    let called = frame.find('(').unwrap_or(frame.len());
    let mut dots = slice(frame, 0, called).rmatch_indices('.').map(|(at, _)| at);
    dots.nth(1).map_or(frame, |at| slice(frame, at.saturating_add(1), frame.len()))
}

/// Whether a message names something of its own: a host, a number, a path or a quoted word.
fn names_something(message: &str) -> bool {
    // `[orders]` is a name, `[n/a]` none, `[An I/O error]` a message.
    let in_brackets = |word: &str| {
        word.starts_with('[')
            && word.trim_end_matches([',', '.', ';', ')']).ends_with(']')
            && !word.contains('/')
    };
    let path_or_host = |word: &str| {
        let word = word.trim_matches(|c: char| !c.is_alphanumeric() && c != '/');
        // "I/O" and "TCP/IP" are no paths.
        let is_path = word.starts_with('/') || word.matches('/').count() > 1;
        word.len() > 2 && (is_path || word.trim_end_matches('.').contains(['.', '_', '@']))
    };
    message.contains(|c: char| c.is_ascii_digit() || matches!(c, '"' | '`' | '<'))
        || message.match_indices('\'').any(|(at, _)| {
            // Not an apostrophe: what stands before it is no letter.
            !slice(message, 0, at).ends_with(char::is_alphanumeric)
        })
        || message.split_whitespace().any(|word| in_brackets(word) || path_or_host(word))
}

/// The cause without what differs from task to task. Host names stay: two databases are two groups.
fn normalized(line: &str) -> String {
    let mut kept = String::with_capacity(line.len());
    let mut rest = line;
    while let Some(c) = rest.chars().next() {
        if matches!(c, '"' | '\'' | '`')
            && let Some(quoted) =
                rest.get(1..).and_then(|inside| inside.split_once(c)).map(|(quoted, _)| quoted)
            && !quoted.contains('\n')
            && (c != '\'' || !kept.ends_with(char::is_alphanumeric))
        {
            let host = host_of(quoted, names_host(&kept));
            kept.push(c);
            kept.push_str(match host {
                Some(host) => host,
                None if quoted.contains(|c: char| c.is_ascii_digit()) => "*",
                None => quoted,
            });
            kept.push(c);
            rest = rest.get(quoted.len().saturating_add(2)..).unwrap_or_default();
        } else if c.is_alphanumeric() {
            let end = rest.find(|c: char| !is_of_a_word(c)).unwrap_or(rest.len());
            let (word, after) = rest.split_at_checked(end).unwrap_or((rest, ""));
            let is_host = is_name(word) && (names_host(&kept) || kept.ends_with("//") || kept.ends_with('@'));
            let normal = if is_host || is_server(&kept, word, after) {
                word.to_owned()
            } else if kept.ends_with("#/") && word.chars().all(|c| c.is_ascii_hexdigit()) {
                // A position in PostgreSQL's log: 0/1A2B3C4.
                "#".to_owned()
            } else {
                normalized_word(word, after)
            };
            kept.push_str(&normal);
            rest = after;
        } else {
            kept.push(c);
            rest = rest.get(c.len_utf8()..).unwrap_or_default();
        }
    }
    // 1.5 and 17
    kept.replace("#.#", "#")
}

fn is_of_a_word(c: char) -> bool {
    c.is_alphanumeric() || matches!(c, '.' | '-' | '_' | '+')
}

/// Whether the next word is a host, by what stands before it.
fn names_host(before: &str) -> bool {
    let before = before.get(before.len().saturating_sub(64)..).unwrap_or(before);
    let word = before.trim_end_matches([' ', ':', '=', '[', '(', '"', '\'']);
    let lower = word.get(word.len().saturating_sub(20)..).unwrap_or_default().to_ascii_lowercase();
    before.len() > word.len()
        && ["host", "hostname", "unknownhostexception"].iter().any(|name| lower.ends_with(name))
}

/// `10.0.0.5:5432`. In `db1.example/10.0.0.5:5432` the name says it: the address of a pod changes with each start.
fn is_server(before: &str, word: &str, after: &str) -> bool {
    let is_resolved = before.strip_suffix('/').is_some_and(|name| name.ends_with(char::is_alphanumeric));
    begins_port(after) && !is_resolved && word.parse::<Ipv4Addr>().is_ok()
}

fn begins_port(text: &str) -> bool {
    text.strip_prefix(':').is_some_and(|port| port.starts_with(|c: char| c.is_ascii_digit()))
}

/// The host in a quoted value that is one, without its port.
fn host_of(quoted: &str, is_named: bool) -> Option<&str> {
    let (host, port) = quoted.split_once(':').map_or((quoted, None), |(host, port)| (host, Some(port)));
    let is_port = |port: &str| !port.is_empty() && port.chars().all(|c| c.is_ascii_digit());
    let is_host = is_named || port.is_some() || is_domain(host);
    (is_host && is_name(host) && port.is_none_or(is_port)).then_some(host)
}

/// A name of DNS, as far as one can see: a version or a time begins with a digit.
fn is_name(word: &str) -> bool {
    word.starts_with(|c: char| c.is_ascii_alphabetic())
        && word.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '.' | '-'))
}

fn is_domain(word: &str) -> bool {
    let last = word.trim_end_matches('.').rsplit('.').next().unwrap_or_default();
    word.contains('.') && last.len() >= 2 && last.chars().all(char::is_alphabetic)
}

fn is_uuid(word: &str) -> bool {
    let groups = word
        .trim_end_matches('.')
        .split('-')
        .map(|group| (group.len(), group.chars().all(|c| c.is_ascii_hexdigit())));
    groups.eq([8, 4, 4, 4, 12].map(|length| (length, true)))
}

fn normalized_word(word: &str, after: &str) -> String {
    if is_uuid(word) {
        return "*".to_owned();
    }
    let has_digit = word.contains(|c: char| c.is_ascii_digit());
    let has_letter = word.contains(char::is_alphabetic);
    if !has_digit {
        return word.to_owned();
    }
    let port = is_name(word) && begins_port(after);
    let domain = is_domain(word);
    let hexadecimal =
        word.len() >= 8 && has_letter && word.chars().all(|c| c.is_ascii_hexdigit() || c == '-');
    let base64 = word.len() >= 8
        && word.contains(|c: char| c.is_ascii_uppercase())
        && word.contains(|c: char| c.is_ascii_lowercase())
        && !word.contains(['.', '_']);
    // An id such as TX234S0F24A06C7: letters and digits change places more than once.
    let changes = word.as_bytes().windows(2).filter(|pair| {
        let digit = |at: usize| pair.get(at).is_some_and(u8::is_ascii_digit);
        digit(0) != digit(1)
    });
    let id = word.len() >= 8 && word.chars().all(char::is_alphanumeric) && changes.count() > 3;
    if hexadecimal || (base64 || id) && !port {
        return "*".to_owned();
    }
    if has_letter && (domain || port) {
        return word.to_owned();
    }
    let mut kept = String::with_capacity(word.len());
    for c in word.chars() {
        if !c.is_ascii_digit() {
            kept.push(c);
        } else if !kept.ends_with('#') {
            kept.push('#');
        }
    }
    kept
}

/// FNV-1a of 64 bits, folded to 32: the same on every machine and in every version (`DefaultHasher` is not).
fn fnv_1a(text: &str) -> u32 {
    let hash = text.bytes().fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
    });
    let low = hash & u64::from(u32::MAX);
    u32::try_from((hash >> 32) ^ low).unwrap_or_default()
}
