//! Causes, groups and advice of traces as real connectors leave them, by family in `causes/`: those that the rules were
//! tuned on, and a third that was written before and held out. A record is `=== NAME`, what must be in the cause (`says:`),
//! what must not (`hides:`), its `advice:`, who shares its group (`same-key:`) or must not (`other-key:`), a blank line,
//! and the trace. `causes/secrets.txt` has messages with secrets.

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
            assert!(records.insert(name.clone(), expected).is_none(), "{name} is there twice");
        }
    }
    records
}

/// What is wrong with the causes of a part, a line each; and how many records it has.
fn misses(part_name: &str) -> (Vec<String>, usize) {
    let records = part(part_name);
    let cause = |name: &str| Cause::of(&records[name].trace).unwrap();
    let mut misses = Vec::new();
    for (name, expected) in &records {
        let found = cause(name);
        let mut miss = |what: String| misses.push(format!("{name}: {what}, in {}", found.text));
        for text in expected.says.iter().filter(|text| !found.text.contains(text.as_str())) {
            miss(format!("does not say {text:?}"));
        }
        for text in expected.hides.iter().filter(|text| found.text.contains(text.as_str())) {
            miss(format!("shows {text:?}"));
        }
        if found.advice.as_str() != expected.advice {
            miss(format!("advice is {}, not {}", found.advice.as_str(), expected.advice));
        }
        for other in expected.same_key.iter().filter(|other| cause(other).key != found.key) {
            miss(format!("is another group than {other}: {}", cause(other).text));
        }
        for other in expected.other_key.iter().filter(|other| cause(other).key == found.key) {
            miss(format!("is the same group as {other}"));
        }
    }
    (misses, records.len())
}

#[test]
fn every_trace_says_why() {
    let (tuned, tuned_count) = misses("tuned");
    let (held_out, held_out_count) = misses("held-out");
    assert!(tuned_count >= 80 && held_out_count >= 40, "{tuned_count} and {held_out_count}");
    assert!(tuned.is_empty(), "tuned, {} of {tuned_count}:\n{}", tuned.len(), tuned.join("\n"));
    assert!(
        held_out.is_empty(),
        "held out, {} of {held_out_count}:\n{}",
        held_out.len(),
        held_out.join("\n")
    );
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

/// `text:` is a message (`\n` is a line's end), `secret:` must vanish, `keeps:` must stay.
#[test]
fn every_secret_is_masked() {
    let text = std::fs::read_to_string(folder().join("secrets.txt")).unwrap();
    let (mut count, mut wrong) = (0, Vec::new());
    for record in text.split("\n\n").filter(|record| !record.trim().is_empty()) {
        let values = |key: &str| -> Vec<String> {
            let lines = record.lines().filter_map(|line| line.strip_prefix(key));
            lines.map(|line| line.trim_start_matches(": ").replace("\\n", "\n")).collect()
        };
        let message = values("text").pop().unwrap_or_else(|| panic!("{record}"));
        let masked = mask_secrets(&message);
        count += 1;
        let shown: Vec<String> =
            values("secret").into_iter().filter(|secret| masked.contains(secret)).collect();
        let lost: Vec<String> = values("keeps").into_iter().filter(|kept| !masked.contains(kept)).collect();
        if !shown.is_empty() || !lost.is_empty() {
            wrong.push(format!("{masked}\n    shows {shown:?}, lost {lost:?}"));
        }
        for longer in [format!("x {message} y"), format!("Caused by: a.B: {message}")] {
            let masked = mask_secrets(&longer);
            wrong.extend(
                values("secret").iter().filter(|secret| masked.contains(*secret)).map(|_| masked.clone()),
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
