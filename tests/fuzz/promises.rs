//! What holds for any input at all: one function for each fuzz target. It panics when a promise is broken. `cargo fuzz`
//! calls it with what libFuzzer makes up, `cargo test` with the committed corpus and with damaged copies of it.

use std::ffi::OsString;
use std::io::{self, Read};
use std::os::unix::ffi::OsStringExt;

use connector_guardian::cli::{self, Parsed};
use connector_guardian::config::{Config, Environment, Reporting};
use connector_guardian::connect::wire::{Document, Known, read_document, read_status};
use connector_guardian::decide::cause::Cause;
use connector_guardian::decide::ledger::Ledger;
use connector_guardian::decide::listing::Listing;
use connector_guardian::decide::model::{Counts, InstanceId, State};
use connector_guardian::decide::secrets::mask_secrets;
use connector_guardian::decide::text::sanitize;
use connector_guardian::store::format::{self, Refusal};

/// A document of any bytes is read or refused. What is JSON is read, in pieces as in one; its counts add up; every
/// failed instance has its sighting, once; and no text in it could move a terminal's cursor.
pub(crate) fn status(data: &[u8]) {
    let known = Known::connectors(&["orders", "a"]);
    let whole = read_document(data, &known);
    let pieces = read_document(OneByOne(data), &known);
    match (&whole, &pieces) {
        (Ok(whole), Ok(pieces)) => assert_eq!(whole, pieces),
        (Err(_), Err(_)) => {}
        _ => panic!("whole: {whole:?}, in pieces: {pieces:?}"),
    }
    if serde_json::from_slice::<serde_json::Value>(data).is_ok() {
        assert!(whole.is_ok(), "it is JSON: {whole:?}");
    }
    if let Ok(Document::Listing(listing)) = &whole {
        listed(listing);
    }
    if let Ok(listing) = read_status(data, "orders", &known) {
        listed(&listing);
        assert_eq!(listing.connectors.total, 1);
    }
}

fn listed(listing: &Listing) {
    for counts in [&listing.connectors, &listing.tasks] {
        let Counts { total, running, failed, paused, stopped, unassigned, restarting, other } = counts;
        assert_eq!(*total, running + failed + paused + stopped + unassigned + restarting + other);
    }
    let ids: Vec<&InstanceId> = listing.sightings.iter().map(|seen| &seen.id).collect();
    assert!(ids.is_sorted_by(|a, b| a < b), "in order, each once: {ids:?}");
    let failed = listing.sightings.iter().filter(|seen| seen.state == State::Failed);
    // A connector that is there twice is counted twice and seen once.
    let failed = u64::try_from(failed.count()).expect("a count");
    assert!(failed <= listing.connectors.failed + listing.tasks.failed, "{listing:?}");
    assert!(listing.not_understood.len() <= usize::try_from(listing.connectors.other).expect("a count"));
    for seen in &listing.sightings {
        let texts = [
            seen.cause.as_ref().map(|cause| &*cause.text),
            seen.worker.as_deref(),
            Some(seen.state.as_str()),
        ];
        texts.into_iter().flatten().for_each(one_clean_line);
        one_clean_line(&seen.id.to_string());
        seen.cause.iter().for_each(|cause| a_cause(&cause.text));
        assert!(!seen.id.connector.is_empty());
        assert_eq!(listing.sightings.get(&seen.id), Some(seen));
    }
    listing.warnings.iter().for_each(|warning| one_clean_line(warning));
}

/// A trace gives one short clean line or nothing, and a key in which further frames and numbers do not count; and a secret
/// is masked, whatever stands around it.
pub(crate) fn cause(data: &[u8]) {
    let trace = String::from_utf8_lossy(data);
    if let Some(cause) = Cause::of(&trace) {
        a_cause(&cause.text);
        one_clean_line(&cause.text);
        let longer = format!("{trace}\n\t... 24 more\n");
        assert_eq!(Cause::of(&longer).map(|cause| cause.key), Some(cause.key), "frames are not in the key");
    }
    let [one, same, other] = ["17 of 9", "18 of 1", "17 in 9"].map(|took| {
        let trace = format!("{trace}\nCaused by: a.Exception: took {took} at db1:5432");
        Cause::of(&trace).expect("a cause").key
    });
    assert!(one == same && one != other, "{one} {same} {other}");
    let mut middle = trace.len() / 2;
    while !trace.is_char_boundary(middle) {
        middle -= 1;
    }
    let (before, after) = trace.split_at(middle);
    const SECRET: &str = "hunter2hunter2";
    for secret in [
        format!(" password={SECRET} "),
        format!(" password=&{SECRET} "),
        format!(" jdbc://user:{SECRET}@db/x "),
        format!(" Bearer {SECRET} "),
        format!(" {{\"db.pass\": \"{SECRET}\"}} "),
        format!(" Authorization=[ApiKey {SECRET}] "),
        format!(" eyJ{SECRET}.{SECRET}.x "),
    ] {
        let text = format!("{before}{secret}{after}");
        let shown = [
            mask_secrets(&text),
            mask_secrets(&mask_secrets(&text)),
            Cause::of(&text).map(|cause| cause.text.to_string()).unwrap_or_default(),
        ];
        // The trace may hold the word itself, perhaps with what is not shown within it.
        let known = sanitize(&trace).contains(SECRET);
        assert!(known || !shown.iter().any(|text| text.contains(SECRET)), "{shown:?}");
    }
}

fn a_cause(cause: &str) {
    assert!(!cause.is_empty() && cause.chars().count() <= 300, "{cause:?}");
}

/// A state is read or refused; what was read is written so that it is read again as the same, byte for byte.
pub(crate) fn state(data: &[u8]) {
    let read = |bytes: &[u8]| format::read(|| Ok(OneByOne(bytes)), "test").map(|(ledger, _)| ledger);
    let write = |ledger: &Ledger| {
        let mut bytes = Vec::new();
        format::write(&mut bytes, "test", ledger, None).expect("memory takes everything");
        bytes
    };
    match read(data) {
        Ok(ledger) => {
            for episode in ledger.records.iter().filter_map(|record| record.episode.as_ref()) {
                assert_eq!(episode.attempts > 0, episode.last_attempt.is_some());
            }
            let written = write(&ledger);
            let again = read(&written).unwrap_or_else(|refusal| panic!("{refusal:?} for what it wrote"));
            assert_eq!(again, ledger);
            assert_eq!(write(&again), written);
        }
        Err(Refusal::Unreadable(error)) => panic!("memory can be read: {error}"),
        Err(Refusal::Corrupt(why)) => one_clean_line(&why),
        Err(Refusal::Newer(version)) => assert!(version > 1),
        Err(Refusal::OtherCluster(name)) => assert_ne!(name, "test"),
    }
}

/// Arguments and variables, one to a line (`NAME=value` is a variable), are understood or refused in one clean line
/// that says what is wrong.
pub(crate) fn settings(data: &[u8]) {
    // Settings name files: none that never ends, or that is somebody's.
    if data.len() > 4096
        || data.contains(&b'/') && !data.windows(3).any(|text| text == b"://")
        || touches(data)
    {
        return;
    }
    let mut environment = Environment::new();
    let mut arguments = vec![OsString::from("guardian")];
    for line in data.split(|byte| *byte == b'\n') {
        let equals = line.iter().position(|byte| *byte == b'=');
        match equals.map(|at| (&line[..at], &line[at + 1..])) {
            Some((name, value)) if name.first().is_some_and(u8::is_ascii_uppercase) => {
                let name = String::from_utf8_lossy(name).into_owned();
                // `\n` stands for a line's end, which could not be in a line.
                let value = replaced(value, b"\\n", b"\n");
                environment.insert(name, OsString::from_vec(value));
            }
            _ => arguments.push(OsString::from_vec(replaced(line, b"\\n", b"\n"))),
        }
    }
    match cli::parse(arguments) {
        Parsed::Typed(typed) => {
            let _ = Reporting::read(&typed, &environment);
            match Config::new(&typed, &environment) {
                Ok(config) => {
                    one_clean_line(&config.cluster);
                    assert!(!config.cluster.is_empty());
                    assert!(!config.connect.urls.is_empty());
                    config.warnings.iter().for_each(|warning| one_clean_line(warning));
                }
                Err(refused) => says(&refused.to_string()),
            }
        }
        Parsed::Print(text) | Parsed::Nothing(text) => assert!(!text.is_empty()),
        Parsed::Wrong(refused) => says(&refused),
    }
}

fn says(refused: &str) {
    assert!(!refused.is_empty());
    one_clean_line(refused);
}

fn touches(data: &[u8]) -> bool {
    [&b"dev/"[..], b"proc/", b"sys/", b"run/"]
        .iter()
        .any(|word| data.windows(word.len()).any(|text| text == *word))
}

fn replaced(text: &[u8], from: &[u8], to: &[u8]) -> Vec<u8> {
    let mut result = Vec::with_capacity(text.len());
    let mut rest = text;
    while let Some((first, others)) = rest.split_first() {
        match rest.strip_prefix(from) {
            Some(others) => {
                result.extend_from_slice(to);
                rest = others;
            }
            None => {
                result.push(*first);
                rest = others;
            }
        }
    }
    result
}

fn one_clean_line(text: &str) {
    assert_eq!(sanitize(text), text, "it has characters that a terminal obeys");
}

/// A source that gives one byte at a time, as a slow network does.
struct OneByOne<'a>(&'a [u8]);

impl Read for OneByOne<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = buffer.len().min(1);
        self.0.read(&mut buffer[..count])
    }
}
