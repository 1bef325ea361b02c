//! Every way in which a run can end but by an answer: signals, the deadline, another run, the loop, and what a person
//! asks of it (dry run, status, reset, quiet, `--fail-on`). Death by kill -9 is not told here.

use std::io::{BufRead, BufReader};
use std::process::{Child, Command};
use std::sync::{Arc, mpsc};
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::sim::{Answer, Connect, Failure, Profile};
use crate::support::{Ended, Guardian, actions, each};

fn signal(child: &Child, name: &str) {
    let status = Command::new("sh").args(["-c", &format!("kill -{name} {}", child.id())]).status();
    assert!(status.expect("a shell").success(), "kill -{name}");
}

/// How a run that printed JSON ended.
fn document(ended: &Ended) -> Value {
    serde_json::from_str(&ended.stdout).unwrap_or_else(|error| panic!("{error}: {ended:#?}"))
}

/// `a`, `b`, `c`, each with one failed task; one connector at a time.
fn three_failed() -> (Connect, Guardian) {
    let connect = Connect::start(Profile::V3_9);
    for name in ["a", "b", "c"] {
        connect.connector(name).tasks(1);
        connect.fail_task(name, 0, Failure::always());
    }
    let guardian = Guardian::at(&connect.url()).env("GUARDIAN_PARALLEL", "1").env("GUARDIAN_OUTPUT", "json");
    (connect, guardian)
}

fn attempts(guardian: &Guardian) -> [Option<u64>; 3] {
    ["a", "b", "c"].map(|name| guardian.attempts(name, Some(0)))
}

fn is_asked_for(name: &'static str) -> impl Fn(&crate::sim::Cluster) -> bool {
    move |connect| connect.restarts().contains(&format!("{name}/0"))
}

// === Signals ===

#[test]
fn a_signal_lets_the_request_in_flight_end_and_sends_no_other() {
    each(vec![("TERM", 143), ("INT", 130)], |(name, code)| {
        let (connect, guardian) = three_failed();
        let (arrived, told) = mpsc::channel();
        let (go, wait) = mpsc::channel::<()>();
        connect.on_restart("b").runs(move |_| {
            arrived.send(()).unwrap();
            wait.recv().unwrap();
        });
        let child = guardian.start(&["run"]);
        told.recv_timeout(Duration::from_secs(20)).expect("b is asked for");
        signal(&child, name);
        std::thread::sleep(Duration::from_secs(1)); // nothing shows from outside that the signal was taken note of
        go.send(()).unwrap();
        let ended = Ended::of(child).exits(*code);
        let document = document(&ended);
        assert_eq!(actions(&document), ["a/0 restarted", "b/0 restarted", "c/0 deferred"]);
        assert_eq!(
            (document["error"]["kind"].as_str(), document["ok"].as_bool()),
            (Some("interrupted"), Some(false))
        );
        assert_eq!(connect.restarts(), ["a/0", "b/0"]);
        assert_eq!(attempts(&guardian), [Some(1), Some(1), Some(0)]);
        let (next, code) = guardian.run_json();
        assert_eq!(
            (actions(&next), code),
            (vec!["a/0 waiting".into(), "b/0 waiting".into(), "c/0 restarted".into()], 0)
        );
    });
}

/// A run that has restarted a and waits for an answer about b.
fn hanging_at_b() -> (Connect, Guardian, Child) {
    let (connect, guardian) = three_failed();
    connect.on_restart("b").answers(Answer::hang());
    let child = guardian.start(&["run"]);
    connect.wait_for("b", is_asked_for("b"));
    (connect, guardian, child)
}

#[test]
fn a_request_that_does_not_end_is_waited_for_eight_seconds_and_no_longer() {
    let (connect, guardian, child) = hanging_at_b();
    signal(&child, "TERM");
    let signalled = Instant::now();
    let ended = Ended::of(child).exits(143);
    let took = signalled.elapsed();
    assert!((Duration::from_secs(7)..Duration::from_secs(14)).contains(&took), "{took:?}");
    assert!(
        ended.stderr.contains("interrupted: waiting for requests in flight, for 8s at most"),
        "{ended:#?}"
    );
    assert_eq!(actions(&document(&ended)), ["a/0 restarted", "b/0 unknown", "c/0 deferred"]);
    assert_eq!(attempts(&guardian), [Some(1), Some(1), Some(0)]);
    assert_eq!(connect.restarts(), ["a/0", "b/0"]);
}

#[test]
fn a_second_signal_ends_the_wait_and_costs_only_what_is_in_flight() {
    let (connect, guardian, mut child) = hanging_at_b();
    signal(&child, "INT");
    let mut log = BufReader::new(child.stderr.take().unwrap()).lines();
    assert!(log.any(|line| line.unwrap().contains("interrupted")), "the first one is heard");
    let signalled = Instant::now();
    signal(&child, "TERM");
    let ended = Ended::of(child).exits(130);
    assert!(signalled.elapsed() < Duration::from_secs(5), "{:?}", signalled.elapsed());
    assert_eq!(actions(&document(&ended)), ["a/0 restarted", "b/0 unknown", "c/0 deferred"]);
    assert_eq!(attempts(&guardian), [Some(1), Some(1), Some(0)]);
    assert_eq!(connect.restarts(), ["a/0", "b/0"]);
}

#[test]
fn repeated_signals_end_a_run_at_once_and_lose_no_charge() {
    let (connect, guardian, mut child) = hanging_at_b();
    let signalled = Instant::now();
    while child.try_wait().unwrap().is_none() {
        let _ = Command::new("sh").args(["-c", &format!("kill -TERM {} 2>&-", child.id())]).status();
    }
    let took = signalled.elapsed();
    assert_eq!((Ended::of(child).code, took < Duration::from_secs(5)), (143, true), "{took:?}");
    // That c was not asked for may have been saved in time, or not.
    let [a, b, c] = attempts(&guardian);
    assert_eq!(([a, b], c.is_some()), ([Some(1); 2], true));
    assert_eq!(connect.restarts(), ["a/0", "b/0"]);
}

#[test]
fn a_signal_ends_every_wait_soon() {
    type Spoil = fn(&Connect);
    let rows: Vec<(Spoil, &str, i32, Option<u64>)> = vec![
        // Before anything was charged, nothing is remembered of the run.
        (|connect| drop(connect.on_listing().answers(Answer::hang())), "TERM", 143, None),
        (
            |connect| drop(connect.on_listing().answers(Answer::json(200, "{").then_endlessly(" "))),
            "INT",
            130,
            None,
        ),
        // Between two looks.
        (|connect| drop(connect.on_listing().answers(503)), "TERM", 143, None),
        // Between the listing and the first restart; and between two tries of one.
        (|connect| drop(connect.on_root().answers(Answer::hang())), "TERM", 143, Some(0)),
        (|connect| drop(connect.on_any_restart().answers(409)), "INT", 130, Some(0)),
    ];
    each(rows, |(spoil, name, code, remembered)| {
        let connect = Connect::start(Profile::V3_9);
        connect.connector("orders").tasks(2);
        connect.fail_all_tasks("orders", &Failure::always());
        spoil(&connect);
        let guardian = Guardian::at(&connect.url()).env("GUARDIAN_OUTPUT", "json");
        let child = guardian.start(&["run"]);
        // What is charged is charged before Connect's version is asked for.
        let awaited = match (*remembered, *name) {
            (None, _) => "GET /connectors?expand=status",
            (Some(_), "TERM") => "GET /",
            (Some(_), _) => "POST",
        };
        let is_awaited = |call: &String| call == awaited || (awaited == "POST" && call.starts_with("POST "));
        connect.wait_for("the request", |connect| connect.calls().iter().any(is_awaited));
        signal(&child, name);
        let signalled = Instant::now();
        let ended = Ended::of(child).exits(*code);
        assert!(signalled.elapsed() < Duration::from_secs(6), "{:?} {ended:?}", signalled.elapsed());
        assert_eq!(document(&ended)["error"]["kind"], "interrupted");
        assert_eq!(guardian.attempts("orders", Some(0)), *remembered);
        assert!(connect.restarts().len() <= 1);
        connect.forget_rules();
        let (next, code) = guardian.run_json();
        assert_eq!(
            (actions(&next), code),
            (vec!["orders/0 restarted".into(), "orders/1 restarted".into()], 0)
        );
    });
}

// === The deadline ===

#[test]
fn what_the_deadline_cuts_off_is_of_unknown_fate_and_the_rest_is_not_sent() {
    let (connect, guardian) = three_failed();
    connect.on_restart("b").answers(Answer::hang());
    let started = Instant::now();
    let (document, code) = guardian.json(&["run", "--deadline", "2s"]);
    assert!(started.elapsed() < Duration::from_secs(10), "{:?}", started.elapsed());
    assert_eq!(actions(&document), ["a/0 restarted", "b/0 unknown", "c/0 deferred"]);
    assert_eq!((document["error"]["kind"].as_str(), code), (Some("restart"), 1));
    assert!(document["instances"][2]["error"].as_str().unwrap().contains("deadline"), "{document:#}");
    assert_eq!(
        (connect.restarts(), attempts(&guardian)),
        (vec!["a/0".into(), "b/0".into()], [Some(1), Some(1), Some(0)])
    );
    connect.forget_rules();
    assert_eq!(actions(&guardian.run_json().0), ["a/0 waiting", "b/0 waiting", "c/0 restarted"]);
}

#[test]
fn the_deadline_ends_the_tries_of_one_call_without_a_charge() {
    let (connect, guardian) = three_failed();
    connect.on_restart("a").answers(409);
    let (document, code) = guardian.json(&["run", "--deadline", "1500ms"]);
    assert_eq!(
        (actions(&document), code),
        (["a", "b", "c"].map(|name| format!("{name}/0 deferred")).to_vec(), 1)
    );
    assert_eq!(attempts(&guardian), [Some(0); 3]);
    assert!(connect.restarts().iter().all(|call| call == "a/0"));
}

// === Another run ===

#[test]
fn a_second_run_exits_75_and_a_reset_waits_for_the_first() {
    let (connect, guardian) = three_failed();
    let guardian = Arc::new(guardian);
    let (arrived, told) = mpsc::channel();
    let (go, wait) = mpsc::channel::<()>();
    connect.on_restart("b").runs(move |_| {
        arrived.send(()).unwrap();
        wait.recv().unwrap();
    });
    let first = guardian.start(&["run"]);
    told.recv_timeout(Duration::from_secs(20)).expect("b is asked for");
    let asked = connect.requests().len();
    let (second, code) = guardian.run_json();
    assert_eq!((second["error"]["kind"].as_str(), code), (Some("locked"), 75), "{second:#}");
    assert_eq!(
        (connect.requests().len(), actions(&second).len()),
        (asked, 0),
        "it does not even ask for the status"
    );
    // Those that only look need no lock; the charge is there to be seen.
    assert_eq!(guardian.json(&["status"]).1, 0);
    let (dry, code) = guardian.json(&["run", "--dry-run"]);
    assert_eq!((actions(&dry), code), (["a", "b", "c"].map(|name| format!("{name}/0 waiting")).to_vec(), 0));
    // `reset` waits for the run to end.
    let reset = guardian.start(&["reset", "a"]);
    go.send(()).unwrap();
    assert_eq!(
        actions(&document(&Ended::of(first).exits(0))),
        ["a", "b", "c"].map(|name| format!("{name}/0 restarted"))
    );
    Ended::of(reset).exits(0);
    assert_eq!(attempts(&guardian), [None, Some(1), Some(1)]);
    assert_eq!(connect.restarts(), ["a/0", "b/0", "c/0"]);
}

// === The loop ===

#[test]
fn a_loop_survives_bad_runs_and_ends_with_0_between_two() {
    let (connect, guardian) = three_failed();
    connect.on_listing().answers(401).times(1).then(403);
    let mut child = guardian.start(&["run", "--every", "1s"]);
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    let mut next = || -> Value { serde_json::from_str(&lines.next().unwrap().unwrap()).unwrap() };
    for _ in 0..2 {
        assert_eq!(next()["error"]["kind"], "unauthorized");
    }
    connect.forget_rules();
    connect.on_restart("a").answers(405);
    let third = next();
    assert_eq!(actions(&third), ["a/0 failed", "b/0 restarted", "c/0 restarted"]);
    assert_eq!(third["error"]["kind"], "restart");
    signal(&child, "TERM");
    assert_eq!(child.wait().unwrap().code(), Some(0));
    assert_eq!(attempts(&guardian), [Some(0), Some(1), Some(1)]);
}

#[test]
fn a_loop_tells_the_time_of_each_report() {
    let connect = Connect::start(Profile::V3_9);
    let guardian = Guardian::at(&connect.url());
    let mut child = guardian.start(&["run", "--every", "1s"]);
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    for _ in 0..2 {
        let line = lines.next().unwrap().unwrap();
        let (time, rest) = line.split_once("  ").unwrap();
        assert!(time.starts_with("20") && time.ends_with('Z'), "{line}");
        assert_eq!(rest, "test: nothing failed: 0 connectors, 0 tasks");
    }
    signal(&child, "TERM");
    assert_eq!(child.wait().unwrap().code(), Some(0));
}

#[test]
fn a_signal_within_a_run_of_a_loop_ends_it_like_a_single_run() {
    let (connect, guardian) = three_failed();
    connect.on_restart("a").answers(409);
    let child = guardian.start(&["run", "--every", "1h"]);
    connect.wait_for("a", is_asked_for("a"));
    signal(&child, "TERM");
    let ended = Ended::of(child).exits(143);
    assert_eq!(document(&ended)["error"]["kind"], "interrupted");
    assert_eq!(attempts(&guardian), [Some(0); 3]);
}

// === Looking, and forgetting ===

/// Everything in the folder of the state: names and contents.
fn folder(guardian: &Guardian) -> Vec<(String, Vec<u8>)> {
    let entries = std::fs::read_dir(guardian.folder()).unwrap().map(|entry| entry.unwrap().path());
    let mut files: Vec<_> =
        entries.map(|path| (path.display().to_string(), std::fs::read(&path).unwrap())).collect();
    files.sort();
    files
}

#[test]
fn a_dry_run_and_status_send_nothing_and_write_nothing() {
    let (connect, guardian) = three_failed();
    for _ in 0..2 {
        let before = folder(&guardian);
        let dry: &[&str] = &["run", "--once", "--dry-run"];
        for arguments in [
            dry,
            &["status"],
            &["status", "--output", "text"],
            &["schedule"],
            &["run", "--dry-run", "--quiet"],
        ] {
            guardian.with(arguments).exits(0);
        }
        let quiet = guardian.with(&["run", "--dry-run", "--quiet", "--output", "text"]).exits(0);
        assert!(quiet.stdout.contains("dry run: nothing is sent"), "a plan that was asked for: {quiet:#?}");
        assert_eq!(connect.take_restarts(), Vec::<String>::new());
        assert!(connect.calls().iter().all(|call| call != "GET /"), "the version is not even asked for");
        assert_eq!(folder(&guardian), before);
        let (document, _) = guardian.json(dry);
        let verb = if before.is_empty() { "due" } else { "waiting" };
        assert_eq!(actions(&document), ["a", "b", "c"].map(|name| format!("{name}/0 {verb}")));
        guardian.run_json();
        connect.take_restarts();
    }
}

#[test]
fn a_timetable_that_shows_all_restarts_says_when_it_gives_up() {
    for (limit, rows, gives_up) in [("19", 19, Some(19)), ("20", 20, Some(20)), ("21", 20, None)] {
        let guardian = Guardian::at("http://localhost:1").env("EXPONENTIAL_RATIO", "1");
        let document = guardian.env("MAX_RESTART", limit).json(&["schedule"]).0;
        let shown = document["timetable"].as_array().unwrap().len();
        assert_eq!((shown, document["gives_up"]["run"].as_u64()), (rows, gives_up), "{limit}");
    }
}

#[test]
fn a_reset_starts_afresh_what_is_named_and_nothing_else() {
    let (connect, guardian) = three_failed();
    let guardian = guardian.env("MAX_RESTART", "1");
    guardian.run_json();
    assert_eq!(actions(&guardian.run_json().0), ["a/0 gave_up", "b/0 gave_up", "c/0 gave_up"]);
    let asked = connect.requests().len();
    let (document, code) = guardian.json(&["reset", "a", "b/0", "nobody"]);
    assert_eq!((document["forgotten"].as_array().unwrap().len(), code), (2, 1), "{document:#}");
    assert!(
        document["error"]["message"].as_str().unwrap().starts_with(&format!(
            "not remembered: nobody; the state {} held a/0, b/0, c/0",
            guardian.state().display()
        )),
        "{document:#}"
    );
    assert_eq!(connect.requests().len(), asked, "it asks Connect nothing");
    assert_eq!(actions(&guardian.run_json().0), ["a/0 restarted", "b/0 restarted", "c/0 gave_up"]);
    assert_eq!(guardian.json(&["reset", "--all"]).1, 0);
    assert_eq!((guardian.json(&["reset"]).1, guardian.json(&["reset", "--all", "a"]).1), (2, 2));
    assert_eq!(actions(&guardian.run_json().0), ["a/0 restarted", "b/0 restarted", "c/0 restarted"]);
}

#[test]
fn the_time_is_left_out_where_a_journal_has_its_own_and_nowhere_else() {
    use std::os::unix::fs::MetadataExt;
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("stderr");
    let file = std::fs::File::create(&path).unwrap();
    let (device, inode) = (file.metadata().unwrap().dev(), file.metadata().unwrap().ino());
    let connect = Connect::start(Profile::V3_9);
    connect.on_listing().answers(401);
    let logged = |stream: &str| {
        let guardian = Guardian::at(&connect.url()).env("JOURNAL_STREAM", stream);
        file.set_len(0).unwrap();
        let append = std::fs::File::options().append(true).open(&path).unwrap();
        let mut child = guardian.command(&["run", "--once"]).stderr(append).spawn().unwrap();
        assert_eq!(child.wait().unwrap().code(), Some(1));
        std::fs::read_to_string(&path).unwrap()
    };
    // sd-daemon(3): a line begins with its priority, which the journal takes off again.
    let timeless = logged(&format!("{device}:{inode}"));
    assert!(timeless.trim_start().starts_with("<3>ERROR"), "{timeless}");
    for other in
        [format!("{device}:{}", inode + 1), format!("{}:{inode}", device + 1), "1".into(), String::new()]
    {
        let timed = logged(&other);
        assert!(timed.starts_with("20") && timed.contains("ERROR"), "{other}: {timed}");
    }
}

/// sd-daemon(3): `journalctl -p err` shows what begins with `<3>` or less.
#[test]
fn every_line_of_a_journal_has_its_priority() {
    use std::os::unix::fs::MetadataExt;
    for (arguments, begins) in [
        (&["run", "--once"][..], "<6> INFO orders/0 is FAILED"),
        (&["run", "--once", "--quiet"], "<4> WARN test: restarted orders/0"),
        (&["run", "--once", "--log-format", "text"], "<6>20"),
        (&["run", "--once", "--log-format", "json"], "<6>{\"timestamp\":\"20"),
        (&["release", "nothing"], "<3>ERROR not held: nothing; nothing is held"),
        (&["run", "--once", "--log-level", "trace"], "<6> INFO orders/0 is FAILED"),
    ] {
        let connect = Connect::start(Profile::V3_9);
        connect.connector("orders").tasks(1);
        connect.fail_task("orders", 0, Failure::always());
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("stderr");
        let file = std::fs::File::create(&path).unwrap();
        let found = file.metadata().unwrap();
        let guardian = Guardian::at(&connect.url());
        let guardian = guardian.env("JOURNAL_STREAM", &format!("{}:{}", found.dev(), found.ino()));
        let mut command = guardian.command(arguments);
        command.stdout(std::process::Stdio::null()).stderr(file).status().unwrap();
        let text = std::fs::read_to_string(&path).unwrap();
        assert!(text.starts_with(begins), "{arguments:?}: {text}");
        let prefixed = |line: &str| line.starts_with('<') && line.get(2..3) == Some(">");
        assert!(text.lines().all(prefixed), "{arguments:?}: {text}");
    }
}

#[test]
fn quiet_says_one_line_when_something_changed_and_nothing_otherwise() {
    let connect = Connect::start(Profile::V3_9);
    connect.connector("orders").tasks(1);
    let guardian = Guardian::at(&connect.url()).env("GUARDIAN_QUIET", "1").env("MAX_RESTART", "1");
    let line = || {
        let ended = guardian.run();
        assert_eq!((ended.stdout.as_str(), ended.stderr.lines().count() < 2), ("", true), "{ended:?}");
        let text = ended.stderr.split_once("test: ").map(|(_, text)| text.trim_end().to_owned());
        (text.unwrap_or(ended.stderr), ended.code)
    };
    let quiet = (String::new(), 0);
    assert_eq!(line(), quiet);
    connect.fail_task("orders", 0, Failure::always());
    let cause = "java.net.ConnectException: Connection refused (db1:5432)";
    assert_eq!(line(), (format!("restarted orders/0 ({cause})"), 0));
    let remedy = "fix the cause, then: guardian retry NAME";
    assert_eq!(line(), (format!("gave up ({remedy}) on orders/0 ({cause})"), 0));
    assert_eq!(line(), quiet, "given up is news only once");
    connect.connector("other").tasks(1);
    connect.fail_task("other", 0, Failure::always());
    connect.on_restart("other").answers(405);
    let (text, code) = line();
    assert!(
        text.starts_with(&format!(
            "could not restart other/0 ({cause}); the restart of other/0 was refused: HTTP 405"
        )),
        "{text}"
    );
    assert_eq!(code, 1);
    connect.forget_rules();
    connect.on_restart("other").answers(Answer::reset());
    let (text, code) = line();
    assert!(
        text.starts_with(&format!(
            "does not know the fate of other/0 ({cause}); the restart of other/0 is of unknown fate"
        )),
        "{text}"
    );
    assert_eq!(code, 1);
    connect.on_listing().answers(Answer::html(502, "Bad Gateway"));
    let (text, code) = line();
    assert!(
        text.starts_with("no answer from Kafka Connect at ")
            && text.contains("HTTP 502")
            && text.contains("a proxy answers"),
        "{text}"
    );
    assert_eq!(code, 1);
}

#[test]
fn fail_on_asks_for_a_person_unless_the_run_itself_failed() {
    let connect = Connect::start(Profile::V3_9);
    connect.connector("orders").tasks(1);
    connect.connector("parked").tasks(1);
    connect.fail_task("parked", 0, Failure::always());
    connect.pause("parked");
    connect.connector("excluded").tasks(1);
    connect.fail_task("excluded", 0, Failure::always());
    let guardian = Guardian::at(&connect.url())
        .env("MAX_RESTART", "1")
        .env("GUARDIAN_EXCLUDE", "excl*")
        .env("GUARDIAN_QUIET", "1");
    let code = |fail_on: &str| guardian.with(&["run", "--once", "--fail-on", fail_on]).code;
    assert_eq!([code("failed"), code("gave-up")], [0, 0], "only what is excluded or parked has failed");
    connect.fail_task("orders", 0, Failure::always());
    assert_eq!(code("failed"), 3, "failed, though it was restarted just now");
    assert_eq!([code("never"), code("gave-up"), code("failed")], [0, 3, 3]);
    connect.connector("refused").tasks(1);
    connect.fail_task("refused", 0, Failure::always());
    connect.on_restart("refused").answers(405);
    assert_eq!([code("gave-up"), code("failed")], [1, 1], "1 comes before 3");
}

#[test]
fn a_result_that_nobody_can_get_is_a_failure() {
    let connect = Connect::start(Profile::V3_9);
    let guardian = Guardian::at(&connect.url());
    for arguments in [
        &["run", "--once"][..],
        &["run", "--once", "--output", "json"],
        &["status"],
        &["status", "--output", "json"],
        &["schedule"],
        &["reset", "--all", "--output", "json"],
    ] {
        let full = std::fs::File::create("/dev/full").expect("the device that is always full");
        let mut command = guardian.command(arguments);
        let ended = Ended::of(command.stdout(full).spawn().expect("the program starts")).exits(1);
        assert!(ended.stderr.contains("stdout cannot be written: No space left"), "{ended:#?}");
    }
}
