//! Causes, groups and advice of traces as real connectors leave them, by family in `causes/`. A new rule comes with its
//! trace in `tuned/`; `held-out/` was looked at only when the rules stood, and shows how they do with traces that they were
//! not made for. The advice of a record is what became of such failures, not what its words suggest: what a restart has
//! cured once is unknown, however final it sounds.
//!
//! A record is `=== NAME`, what must be in the cause (`says:`), what must not (`hides:`), its `advice:`, who shares its
//! group (`same-key:`) or must not (`other-key:`), a blank line, and the trace. `causes/secrets.txt` has messages with
//! secrets.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use connector_guardian::decide::advice::{CLASSES, MESSAGES};
use connector_guardian::decide::cause::{Cause, WRAPPERS};
use connector_guardian::decide::secrets::mask_secrets;

/// One trace and what is expected of it.
#[derive(Debug, Default)]
struct Expected {
    says: Vec<String>,
    hides: Vec<String>,
    advice: String,
    same_key: Vec<String>,
    other_key: Vec<String>,
    trace: String,
}

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/it/causes")
}

fn part(name: &str) -> BTreeMap<String, Expected> {
    let mut files: Vec<PathBuf> =
        std::fs::read_dir(folder().join(name)).unwrap().map(|file| file.unwrap().path()).collect();
    files.sort();
    let mut records = BTreeMap::new();
    for file in files {
        let text = std::fs::read_to_string(&file).unwrap();
        for record in text.strip_prefix("=== ").unwrap().split("\n=== ") {
            let (head, trace) = record.split_once("\n\n").unwrap();
            let mut lines = head.lines();
            let name = lines.next().unwrap().to_owned();
            let mut expected = Expected { trace: trace.to_owned(), ..Expected::default() };
            for line in lines {
                let (key, value) = line.split_once(": ").unwrap_or_else(|| panic!("{name}: {line}"));
                let value = value.to_owned();
                match key {
                    "says" => expected.says.push(value),
                    "hides" => expected.hides.push(value),
                    "advice" => expected.advice = value,
                    "same-key" => expected.same_key.push(value),
                    "other-key" => expected.other_key.push(value),
                    _ => panic!("{name}: {line}"),
                }
            }
            assert!(!expected.advice.is_empty(), "{name} has no advice");
            assert!(records.insert(name.clone(), expected).is_none(), "{name} is there twice");
        }
    }
    records
}

/// What the rules make of a part.
#[derive(Debug, Default)]
struct Score {
    records: usize,
    wrong: Vec<String>,
    /// The names of those whose advice is unknown though more is known: the cheap mistake.
    silent: Vec<String>,
}

fn score(part_name: &str) -> Score {
    let records = part(part_name);
    let cause = |name: &str| Cause::of(&records[name].trace).unwrap();
    let mut score = Score { records: records.len(), ..Score::default() };
    for (name, expected) in &records {
        let found = cause(name);
        let mut miss = |what: String| score.wrong.push(format!("{name}: {what}, in {}", found.text));
        for text in expected.says.iter().filter(|text| !found.text.contains(text.as_str())) {
            miss(format!("does not say {text:?}"));
        }
        for text in expected.hides.iter().filter(|text| found.text.contains(text.as_str())) {
            miss(format!("shows {text:?}"));
        }
        for other in expected.same_key.iter().filter(|other| cause(other).key != found.key) {
            miss(format!("is another group than {other}: {}", cause(other).text));
        }
        for other in expected.other_key.iter().filter(|other| cause(other).key == found.key) {
            miss(format!("is the same group as {other}"));
        }
        match (found.advice.as_str(), expected.advice.as_str()) {
            (found, expected) if found == expected => {}
            ("unknown", _) => score.silent.push(name.clone()),
            (found, expected) => miss(format!("advice is {found}, not {expected}")),
        }
    }
    score
}

/// Records of which more is known than a small table says.
const TUNED_UNKNOWN: [&str; 11] = [
    "azure-signature",
    "bigquery-schema-differs",
    "gcs-key-deleted",
    "jdbc-source-zero-date",
    "mongo-sink-time-missing",
    "mqtt-not-authorized",
    "pubsub-no-subscription",
    "redis-unfit-record",
    "salesforce-replay-gone",
    "splunk-trust-store-password",
    "splunk-wrong-token",
];
const HELD_OUT_UNKNOWN: [&str; 14] = [
    "avro-union",
    "cassandra-wrong-password",
    "clickhouse-unparsable-text",
    "db2-undefined-name",
    "dynamodb-no-table",
    "ibmmq-no-queue",
    "jdbc-sink-column-missing",
    "kinesis-no-stream",
    "mysql-unreadable-ddl",
    "postgres-copy-broken",
    "salesforce-field-missing",
    "snowflake-no-table",
    "solr-unknown-field",
    "solr-unknown-field-other-document",
];

#[test]
fn every_trace_says_why() {
    for (part, at_least, said_unknown) in
        [("tuned", 200, &TUNED_UNKNOWN[..]), ("held-out", 80, &HELD_OUT_UNKNOWN)]
    {
        let Score { records, wrong, silent } = score(part);
        assert!(records >= at_least, "{part}: {records}");
        assert!(wrong.is_empty(), "{part}, {} of {records}:\n{}", wrong.len(), wrong.join("\n"));
        assert_eq!(silent, said_unknown, "{part}");
    }
}

/// A rule without a trace is a guess.
#[test]
fn every_rule_has_a_trace() {
    let traces: String =
        part("tuned").into_values().chain(part("held-out").into_values()).map(|it| it.trace).collect();
    let lower = traces.to_lowercase();
    let messages = MESSAGES.iter().map(|(part, _)| *part).filter(|part| !lower.contains(part));
    let others =
        CLASSES.iter().map(|(class, _)| *class).chain(WRAPPERS).filter(|text| !traces.contains(text));
    assert_eq!(messages.chain(others).collect::<Vec<_>>(), [""; 0]);
}

/// `\n`, `\t` and `\\` as what they stand for; every other backslash is one.
fn unescaped(text: &str) -> String {
    let pieces: Vec<String> =
        text.split(r"\\").map(|piece| piece.replace(r"\n", "\n").replace(r"\t", "\t")).collect();
    pieces.join("\\")
}

/// `text:` is a message, `secret:` must vanish, `keeps:` must stay.
#[test]
fn every_secret_is_masked() {
    let text = std::fs::read_to_string(folder().join("secrets.txt")).unwrap();
    let (mut count, mut wrong) = (0, Vec::new());
    for record in text.split("\n\n").filter(|record| !record.trim().is_empty()) {
        let values = |key: &str| -> Vec<String> {
            let lines = record.lines().filter_map(|line| line.strip_prefix(key)?.strip_prefix(": "));
            lines.map(unescaped).collect()
        };
        let [message] = &values("text")[..] else { panic!("{record}") };
        let (secrets, keeps) = (values("secret"), values("keeps"));
        count += 1;
        let masked = mask_secrets(message);
        if secrets.is_empty() && keeps.is_empty() && masked != *message {
            wrong.push(format!("{masked}\n    should be {message}"));
        }
        let lost: Vec<&String> = keeps.iter().filter(|kept| !masked.contains(*kept)).collect();
        if !lost.is_empty() {
            wrong.push(format!("{masked}\n    lost {lost:?}"));
        }
        for message in [message.clone(), format!("x {message} y"), format!("Caused by: a.B: {message}")] {
            let masked = mask_secrets(&message);
            wrong.extend(
                secrets
                    .iter()
                    .filter(|secret| masked.contains(*secret))
                    .map(|it| format!("{masked}\n    shows {it}")),
            );
        }
    }
    assert!(count >= 60, "{count}");
    assert!(wrong.is_empty(), "{} of {count}:\n{}", wrong.len(), wrong.join("\n"));
}

/// The end of a long message is looked at without its beginning.
#[test]
fn no_part_of_a_long_secret_is_shown() {
    for text in [
        "password=SECRET",
        "password=SECRET was refused",
        "Bearer SECRET",
        "eyJSECRET.SECRET",
        "key: MIISECRET7 x",
    ] {
        let trace = format!("a.B: it said {}", text.replace("SECRET", &"hunter2".repeat(10_000)));
        let cause = Cause::of(&trace).unwrap().text;
        assert!(!cause.contains("hunter"), "{cause}");
    }
}

/// Each of these took minutes where the time grew with the square of the length.
#[test]
fn a_long_trace_takes_its_length() {
    const LENGTH: usize = 4_000_000;
    for piece in [
        "Caused by: a.B: password=x\n\tat x\n",
        "password=a ",
        "password",
        "//a:b@ ",
        "//a",
        "Bearer abcdefgh ",
        "\"secret\": \"",
        "eyJabcdefghijklmnopqrstuvwxyz.",
        "-----begin private key-----",
        "'1",
        "authorization: ",
        "a.b.",
        "\n",
        "Exception chain:\n",
        "%22",
        "&quot;",
        "token -> ",
        "<password>",
        "identified by ",
    ] {
        let trace = piece.repeat(LENGTH / piece.len());
        let started = Instant::now();
        let cause = Cause::of(&trace);
        let text = cause.map(|cause| cause.text.to_string()).unwrap_or_default();
        assert!(text.chars().count() <= 300 && !text.contains("b@"), "{piece}: {text}");
        assert!(started.elapsed() < Duration::from_secs(20), "{piece}: {:?}", started.elapsed());
    }
}
