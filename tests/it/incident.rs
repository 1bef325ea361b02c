//! The commands of an incident: what a person asks to restart now, who is left alone, what is said of what came back and of
//! what did not, how long it waits for a run at work; and what is restarted again and again. On the real program.

use std::io::{BufRead, BufReader};
use std::process::{Child, Command};
use std::sync::mpsc;
use std::time::{Duration, Instant, SystemTime};

use serde_json::{Value, json};

use crate::sim::{Answer, Connect, Failure, Profile, answers};
use crate::support::{Ended, Guardian, actions, instance};

/// With a look so short that a test can wait for it.
fn guardian(connect: &Connect) -> Guardian {
    Guardian::at(&connect.url()).env("GUARDIAN_WATCH", "300ms")
}

/// `orders` has two tasks, `pay` one; task 1 of `orders` and that of `pay` have failed.
fn two_failed(orders: Failure) -> Connect {
    let connect = Connect::start(Profile::V3_9);
    connect.connector("orders").tasks(2);
    connect.connector("pay").tasks(1);
    connect.fail_task("orders", 1, orders);
    connect.fail_task("pay", 0, Failure::always().caused_by("java.io.IOException: disk full on pay"));
    connect
}

// === retry ===

#[test]
fn a_retry_restarts_what_is_named_and_says_that_it_recovered() {
    let connect = two_failed(Failure::healing_after(1));
    let guardian = guardian(&connect);
    let ended = guardian.with(&["retry", "orders"]).exits(0);
    assert!(ended.stdout.contains("orders     1     RUNNING  recovered  1/7"), "{}", ended.stdout);
    assert!(ended.stdout.ends_with("\n1 recovered\n"), "{}", ended.stdout);
    assert!(!ended.stdout.contains("pay"), "{}", ended.stdout);
    assert!(!ended.stderr.contains("so far"), "no progress where there is no terminal: {}", ended.stderr);
    assert_eq!((connect.restarts().len(), connect.count_restarts_of("orders", Some(1))), (1, 1));
    assert_eq!((guardian.attempts("orders", Some(1)), guardian.attempts("pay", Some(0))), (Some(1), None));
    // To everything else it was no run: the next one sees `pay` for the first time.
    let (document, _) = guardian.run_json();
    assert_eq!(actions(&document), ["orders/1 recovered", "pay/0 restarted"]);
    assert_eq!(instance(&document, "pay", Some(0))["attempts"], 1);
}

#[test]
fn what_fails_again_is_said_with_its_new_cause_and_exits_3() {
    for by_itself in [true, false] {
        let connect = two_failed(Failure::always().caused_by("java.net.ConnectException: refused by db1"));
        if by_itself {
            // A neighbour that is remembered makes it a plain call, which shows the old failure for a while.
            connect.fail_task("orders", 0, Failure::always());
        }
        let guardian = guardian(&connect);
        let (document, code) = guardian.json(&["retry", "orders/1"]);
        assert_eq!((actions(&document), code), (vec!["orders/1 failed".to_owned()], 3), "{document:#}");
        let line = instance(&document, "orders", Some(1));
        assert_eq!((&line["error"], &line["state"]), (&json!("failed again"), &json!("FAILED")));
        assert!(line["cause"].as_str().unwrap().contains("refused by db1"), "{line}");
        assert_eq!((&document["command"], &document["ok"]), (&json!("retry"), &json!(true)));
        assert_eq!((line["attempts"].as_u64(), line["next"]["runs"].as_u64()), (Some(1), Some(2)));
    }
    // A mended password uncovers a missing table: what is shown is why it failed now.
    let connect = two_failed(Failure::always().caused_by("a.b.LoginException: wrong password"));
    connect.on_any_restart().runs(|connect| {
        connect.fail_task("orders", 1, Failure::always().caused_by("a.b.TableException: no table t"));
    });
    let (document, code) = guardian(&connect).json(&["retry", "orders"]);
    let line = instance(&document, "orders", Some(1));
    assert!(line["cause"].as_str().unwrap().contains("no table t") && code == 3, "{line:#}");
}

#[test]
fn waits_rests_and_limits_do_not_hold_a_retry_back() {
    let connect = two_failed(Failure::always());
    let guardian = guardian(&connect)
        .env("MAX_RESTART", "2")
        .env("EXPONENTIAL_RATIO", "9")
        .env("GUARDIAN_SETTLE", "1h")
        .env("GUARDIAN_MAX_RESTARTS_PER_DAY", "1")
        .env("GUARDIAN_MAX_RESTARTS_PER_RUN", "0");
    for attempts in 1..=4 {
        let (document, code) = guardian.json(&["retry", "orders"]);
        let line = instance(&document, "orders", Some(1));
        let limit = attempts.max(2);
        assert_eq!((line["attempts"].as_u64(), code), (Some(attempts), 3), "{document:#}");
        // One beyond the limit is one more that it may have.
        assert_eq!(
            (line["max_restart"].as_u64(), line["restarts_24h"].as_u64()),
            (Some(limit), Some(attempts))
        );
    }
    assert_eq!(connect.count_restarts_of("orders", Some(1)), 4);
    assert_eq!(instance(&guardian.run_json().0, "orders", Some(1))["action"], "gave_up");
}

#[test]
fn a_name_of_which_nothing_has_failed_is_said_with_what_has() {
    let connect = two_failed(Failure::healing_after(1));
    connect.connector("well").tasks(1);
    connect.connector("paused").tasks(1);
    connect.pause("paused");
    let guardian = guardian(&connect);
    for (name, says) in [
        ("orders-snik", "Connect lists no orders-snik; failed: orders/1, pay/0"),
        ("orders/7", "Connect lists no orders/7; failed: orders/1, pay/0"),
        ("well", "nothing of well has failed (RUNNING; --even-running restarts it all the same); failed: "),
        ("orders/0", "nothing of orders/0 has failed (RUNNING; "),
        ("paused", "paused is not restarted, because it is paused or stopped (PAUSED); failed: "),
    ] {
        let (document, code) = guardian.json(&["retry", name]);
        let error = &document["error"];
        assert!(error["message"].as_str().unwrap().contains(says), "{name}: {error}");
        assert_eq!((&error["kind"], code), (&json!("restart"), 1), "{name}");
        let ended = guardian.with(&["retry", name]).exits(1);
        assert!(ended.stdout.is_empty() && ended.stderr.contains(says), "{ended:?}");
    }
    assert_eq!((connect.restarts().len(), guardian.remembered()), (0, None));
    // It keeps no other from being restarted.
    let (document, code) = guardian.json(&["retry", "nobody", "orders"]);
    assert_eq!((actions(&document), code), (vec!["orders/1 recovered".to_owned()], 1));
    assert!(document["error"]["message"].as_str().unwrap().contains("Connect lists no nobody"));
    for wrong in [&["retry"][..], &["retry", "--all", "orders"], &["retry", "--all", "--even-running"]] {
        guardian.with(wrong).exits(2);
    }
    connect.heal("pay", Some(0));
    guardian.with(&["retry", "--all"]).exits(0);
    let ended = guardian.with(&["retry", "--all"]).exits(0);
    assert!(ended.stdout.contains("nothing failed"), "{ended:?}");
}

#[test]
fn a_name_is_taken_as_it_is_shown_and_as_it_is() {
    let connect = Connect::start(Profile::V3_9);
    for name in ["a\u{200b}b", "a/1"] {
        connect.connector(name).tasks(1);
        connect.fail_task(name, 0, Failure::healing_after(1));
    }
    connect.connector("a").tasks(2);
    connect.fail_task("a", 1, Failure::healing_after(1));
    let guardian = guardian(&connect);
    for (typed, recovered) in
        [(r"a\u{200b}b", r"a\u{200b}b/0 recovered"), ("a/1", "a/1/0 recovered"), ("a", "a/1 recovered")]
    {
        let (document, code) = guardian.json(&["retry", typed]);
        assert_eq!((actions(&document), code), (vec![recovered.to_owned()], 0), "{typed}");
    }
}

#[test]
fn what_is_paused_or_left_out_is_not_restarted_and_said() {
    let connect = two_failed(Failure::healing_after(1));
    connect.pause("orders");
    let guardian = guardian(&connect).env("GUARDIAN_EXCLUDE", "pay");
    let (document, code) = guardian.json(&["retry", "orders", "pay"]);
    assert_eq!(
        (actions(&document), code),
        (vec!["orders/1 parked".to_owned(), "pay/0 excluded".to_owned()], 3)
    );
    let error = |name, task| instance(&document, name, Some(task))["error"].as_str().unwrap().to_owned();
    assert_eq!(error("orders", 1), "not restarted, because its connector is paused or stopped");
    assert_eq!(error("pay", 0), "not restarted, because --include or --exclude leaves it out");
    // `--all` means neither.
    let (document, code) = guardian.json(&["retry", "--all"]);
    assert_eq!((actions(&document).len(), code, connect.restarts().len()), (0, 0, 0));
}

#[test]
fn what_runs_is_restarted_only_when_a_person_insists_and_is_none_the_worse_for_it() {
    let connect = two_failed(Failure::healing_after(1));
    connect.connector("well").tasks(2);
    let guardian = guardian(&connect);
    let (document, code) = guardian.json(&["retry", "well", "--even-running"]);
    assert_eq!(
        (actions(&document), code),
        (["well recovered", "well/0 recovered", "well/1 recovered"].map(str::to_owned).to_vec(), 0)
    );
    assert_eq!(connect.take_restarts(), ["well", "well/0", "well/1"], "by plain calls");
    assert_eq!(guardian.attempts("well", Some(1)), Some(1));
    // What Connect does not take leaves no trace.
    connect.on_restart("well").answers(Answer::error(403, "not for you"));
    let (document, code) = guardian.json(&["retry", "well/0", "--even-running"]);
    assert_eq!((actions(&document), code), (vec!["well/0 failed".to_owned()], 1));
    assert_eq!(guardian.attempts("well", Some(0)), Some(1));
    connect.connector("other").tasks(1);
    connect.on_restart("other").answers(Answer::error(403, "not for you"));
    guardian.with(&["retry", "other/0", "--even-running"]).exits(1);
    assert_eq!(guardian.attempts("other", Some(0)), None, "an episode began with it, and ended with it");
}

#[test]
fn many_of_one_cause_go_in_waves_and_all_of_them() {
    let connect = Connect::start(Profile::V3_9);
    let names: Vec<String> = (0..8).map(|number| format!("c{number}")).collect();
    for name in &names {
        connect.connector(name).tasks(2);
        connect.fail_all_tasks(name, &Failure::healing_after(1));
    }
    let guardian = guardian(&connect)
        .env("GUARDIAN_GROUP_FROM", "3")
        .env("EXPONENTIAL_RATIO", "9")
        .env("GUARDIAN_MAX_RESTARTS_PER_RUN", "1");
    let (document, code) = guardian.json(&["retry", "--all"]);
    assert_eq!((document["summary"]["recovered"].as_u64(), code), (Some(16), 0), "{document:#}");
    assert_eq!((connect.restarts().len(), connect.restarts_of_unfailed()), (8, vec![]));

    // One that fails again keeps the others back, and their group's rest keeps no retry back.
    for name in &names {
        connect.fail_all_tasks(name, &Failure::always());
    }
    for first in ["c0", "c1"] {
        connect.take_restarts();
        let (document, code) = guardian.json(&["retry", "--all"]);
        assert_eq!((document["summary"]["failed"].as_u64(), code), (Some(2), 3), "{document:#}");
        assert_eq!(document["summary"]["waiting"], 14);
        assert_eq!(connect.take_restarts(), [format!("{first}?includeTasks&onlyFailed")]);
        let reason = &instance(&document, "c7", Some(1))["reason"];
        assert_eq!(
            reason,
            &json!(format!("{first} went first for all 8 connectors of this cause, and failed again"))
        );
    }
}

#[test]
fn a_connect_that_is_not_well_or_away_is_told_and_asked_for_nothing() {
    let connect = two_failed(Failure::always());
    let guardian = guardian(&connect);
    connect.on_health().answers(Answer::json(500, answers::UNHEALTHY));
    let (document, code) = guardian.json(&["retry", "orders"]);
    assert_eq!((&document["error"]["kind"], code), (&json!("unhealthy"), 1), "{document:#}");
    assert_eq!(actions(&document), ["orders/1 deferred"]);
    connect.on_listing().answers(401);
    let (document, code) = guardian.json(&["retry", "orders"]);
    assert_eq!((&document["error"]["kind"], code), (&json!("unauthorized"), 1), "{document:#}");
    assert_eq!((connect.restarts().len(), guardian.remembered()), (0, None));
}

// === Another run ===

/// A run that hangs in the restart of `pay`, and goes on when told.
fn run_at_work(connect: &Connect, guardian: &Guardian) -> (Child, mpsc::Sender<()>) {
    let (go, wait) = mpsc::channel::<()>();
    connect
        .on_restart("pay")
        .runs(move |_| {
            let _ = wait.recv();
        })
        .times(1);
    let run = guardian.start(&["run", "--once"]);
    connect.wait_for("both restarts", |connect| connect.restarts().len() == 2);
    (run, go)
}

/// The first line on stderr of a process that waits.
fn first_line(child: &mut Child) -> (String, BufReader<std::process::ChildStderr>) {
    let mut lines = BufReader::new(child.stderr.take().expect("a pipe"));
    let mut line = String::new();
    lines.read_line(&mut line).expect("a line");
    (line, lines)
}

#[test]
fn a_retry_waits_for_a_run_at_work_and_says_whose_it_is() {
    let connect = two_failed(Failure::healing_after(2));
    let guardian = guardian(&connect);
    let (run, go) = run_at_work(&connect, &guardian);
    let mut retry = guardian.start(&["retry", "orders", "--output", "json"]);
    let (line, _stderr) = first_line(&mut retry);
    let whose =
        format!("another run holds the state {}: pid {}, until 2", guardian.state().display(), run.id());
    assert!(line.contains(&whose), "{line}");
    assert!(line.contains("at the latest: waiting for it to end (Ctrl-C ends the wait)"), "{line}");
    go.send(()).unwrap();
    Ended::of(run).exits(0);
    let ended = Ended::of(retry).exits(0);
    assert!(ended.stdout.contains(r#""action":"recovered","attempts":2"#), "{ended:?}");
    assert_eq!(connect.count_restarts_of("orders", Some(1)), 2);
}

#[test]
fn a_signal_ends_the_wait_with_75_and_nothing_is_sent() {
    let connect = two_failed(Failure::always());
    let guardian = guardian(&connect);
    let (run, go) = run_at_work(&connect, &guardian);
    let before = connect.restarts().len();
    let mut retry = guardian.start(&["retry", "orders", "--output", "json"]);
    let (_, _stderr) = first_line(&mut retry);
    let began = Instant::now();
    assert!(Command::new("kill").args(["-INT", &retry.id().to_string()]).status().unwrap().success());
    let ended = Ended::of(retry).exits(75);
    assert!(began.elapsed() < Duration::from_secs(5), "{:?}", began.elapsed());
    assert!(ended.stdout.contains(r#""kind":"locked""#), "{ended:?}");
    assert_eq!(connect.restarts().len(), before);
    go.send(()).unwrap();
    Ended::of(run).exits(0);
}

#[test]
fn a_signal_while_it_watches_keeps_the_charge() {
    let connect = two_failed(Failure::healing_after(1));
    let guardian = guardian(&connect).env("GUARDIAN_WATCH", "10s");
    let retry = guardian.start(&["retry", "orders"]);
    connect.wait_for("two looks", |connect| {
        connect.calls().iter().filter(|call| *call == "GET /connectors/orders/status").count() == 2
    });
    assert!(Command::new("kill").args(["-INT", &retry.id().to_string()]).status().unwrap().success());
    let ended = Ended::of(retry).exits(130);
    assert!(ended.stdout.contains("it runs, but the time to watch it was too short"), "{ended:?}");
    assert_eq!(guardian.attempts("orders", Some(1)), Some(1));
}

// === run --wait ===

#[test]
fn a_run_that_stays_says_what_recovered_and_what_failed_again() {
    let connect = two_failed(Failure::healing_after(1));
    let guardian = guardian(&connect);
    let (document, code) = guardian.json(&["run", "--once", "--wait"]);
    assert_eq!(
        (actions(&document), code),
        (["orders/1 recovered", "pay/0 failed"].map(str::to_owned).to_vec(), 0)
    );
    assert_eq!(instance(&document, "pay", Some(0))["error"], "failed again");
    assert_eq!(instance(&document, "orders", Some(1))["reason"], "still runs after 300ms");
    // What waits is not waited for.
    assert_eq!(
        actions(&guardian.json(&["run", "--once", "--wait"]).0),
        ["orders/1 recovered", "pay/0 waiting"]
    );
    let ended = guardian.with(&["run", "--once", "--wait", "--fail-on", "failed", "--quiet"]).exits(3);
    assert!(ended.stderr.contains("restarted, but failed again at once: pay/0"), "{ended:?}");
}

#[test]
fn an_old_failure_that_is_shown_while_a_slow_start_is_under_way_is_no_new_one() {
    // This worker knows no call for several: after a plain one the old status stays until `start()` returns.
    let connect = Connect::start(Profile::V2_8);
    connect.connector("orders").tasks(1).slow_start(3);
    connect.fail_task("orders", 0, Failure::healing_after(1));
    let guardian = guardian(&connect).env("GUARDIAN_WATCH", "2s");
    let (document, code) = guardian.json(&["run", "--once", "--wait"]);
    assert_eq!((actions(&document), code), (vec!["orders/0 recovered".to_owned()], 0), "{document:#}");
}

#[test]
fn the_deadline_ends_the_stay() {
    let connect = two_failed(Failure::healing_after(1));
    let guardian = guardian(&connect).env("GUARDIAN_WATCH", "60s").env("GUARDIAN_EXCLUDE", "pay");
    let began = Instant::now();
    let (document, code) = guardian.json(&["run", "--once", "--wait", "--deadline", "3s"]);
    assert!(began.elapsed() < Duration::from_secs(20), "{:?}", began.elapsed());
    let line = instance(&document, "orders", Some(1));
    assert_eq!((line["action"].as_str(), code), (Some("restarted"), 0), "{document:#}");
    assert_eq!(line["reason"], "it runs, but the time to watch it was too short (GUARDIAN_DEADLINE)");
}

#[test]
fn an_unknown_fate_that_is_watched_to_run_is_no_failure() {
    let connect = two_failed(Failure::healing_after(1));
    connect
        .on_restart("orders")
        .runs(|connect| connect.set_state("orders", Some(1), "RUNNING"))
        .answers(502)
        .times(1);
    let guardian = guardian(&connect).env("GUARDIAN_EXCLUDE", "pay");
    let (document, code) = guardian.json(&["run", "--once", "--wait"]);
    assert_eq!((instance(&document, "orders", Some(1))["action"].as_str(), code), (Some("recovered"), 0));
}

// === Crash loops ===

/// `orders/0` has been restarted so many times within the last hours, and was forgiven each time.
fn restarted_before(guardian: &Guardian, minutes_ago: &[u64]) {
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap().as_secs();
    let earlier: Vec<u64> = minutes_ago.iter().map(|minutes| now - minutes * 60).collect();
    let line = json!({"connector": "orders", "task": 0, "earlier_restarts": earlier});
    let state = json!({"version": 3, "cluster": "test", "run": 9, "instances": [line]});
    std::fs::write(guardian.state(), state.to_string()).unwrap();
}

fn one_failed() -> Connect {
    let connect = Connect::start(Profile::V3_9);
    connect.connector("orders").tasks(1);
    connect.fail_task("orders", 0, Failure::healing_after(1));
    connect
}

#[test]
fn a_crash_loop_is_told_with_the_restart_that_begins_it_and_shown_as_long_as_it_lasts() {
    let connect = one_failed();
    let guardian = Guardian::at(&connect.url());
    // The oldest was more than a day ago.
    restarted_before(&guardian, &[24 * 60 + 1, 1000, 800, 600, 400, 200]);
    let ended = guardian.with(&["run", "--once", "--quiet"]).exits(0);
    assert!(
        ended.stderr.contains("test: restarted, for the 6th time within 24 h (a crash loop): orders/0 ("),
        "{ended:?}"
    );
    // It recovers, is forgiven, and is still in its loop.
    for _ in 0..2 {
        assert_eq!(guardian.with(&["run", "--once", "--quiet"]).exits(0).stderr, "", "told once");
    }
    let (document, _) = guardian.json(&["status"]);
    let line = instance(&document, "orders", Some(0));
    assert_eq!((line["action"].as_str(), line["attempts"].as_u64()), (Some("recovered"), Some(0)));
    assert_eq!(
        (line["reason"].as_str(), line["restarts_24h"].as_u64()),
        (Some("crash loop: 6 restarts in 24 h"), Some(6))
    );
    let shown = guardian.with(&["status"]).exits(0).stdout;
    assert!(shown.contains("crash loop: 6 restarts in 24 h"), "{shown}");
    // Failed again: a new episode, and the same loop.
    connect.fail_task("orders", 0, Failure::always());
    let ended = guardian.with(&["run", "--once", "--quiet"]).exits(0);
    assert!(ended.stderr.contains("test: restarted orders/0 ("), "told once: {ended:?}");
    let (document, _) = guardian.json(&["status"]);
    let line = instance(&document, "orders", Some(0));
    assert_eq!((line["action"].as_str(), line["attempts"].as_u64()), (Some("waiting"), Some(1)));
    assert_eq!(line["reason"], "crash loop: 7 restarts in 24 h");
}

#[test]
fn what_is_only_counted_costs_no_write_and_goes_after_a_day() {
    let connect = one_failed();
    let guardian = Guardian::at(&connect.url());
    restarted_before(&guardian, &[24 * 60 + 1, 60]);
    connect.heal("orders", Some(0));
    connect.set_state("orders", Some(0), "RUNNING");
    let before = std::fs::read(guardian.state()).unwrap();
    let ended = guardian.run().exits(0);
    assert_eq!(ended.stdout, "test: nothing failed: 1 connector, 1 task\n");
    assert_eq!((connect.requests().len(), std::fs::read(guardian.state()).unwrap()), (1, before));
    // It holds back no call for several, and is not absent when it is deleted.
    connect.connector("orders").tasks(3);
    connect.fail_task("orders", 1, Failure::healing_after(1));
    connect.fail_task("orders", 2, Failure::healing_after(1));
    guardian.run().exits(0);
    assert_eq!(connect.take_restarts(), ["orders?includeTasks&onlyFailed"]);
    let kept = guardian.remembered().unwrap()["instances"][0]["earlier_restarts"].as_array().unwrap().len();
    assert_eq!(kept, 1, "that of more than a day ago is gone");
    connect.delete("orders");
    connect.connector("other");
    let (document, _) = guardian.run_json();
    assert!(!actions(&document).iter().any(|line| line.starts_with("orders/0")), "{document:#}");
}

#[test]
fn the_days_restarts_used_up_the_next_waits_for_a_time() {
    let connect = one_failed();
    let guardian = Guardian::at(&connect.url()).env("GUARDIAN_MAX_RESTARTS_PER_DAY", "3");
    restarted_before(&guardian, &[600, 400]);
    assert_eq!(actions(&guardian.run_json().0), ["orders/0 restarted"]);
    connect.fail_task("orders", 0, Failure::always());
    for arguments in [&["run", "--once"][..], &["status"], &["run", "--once", "--dry-run"]] {
        let (document, code) = guardian.json(arguments);
        let line = instance(&document, "orders", Some(0));
        assert_eq!((line["action"].as_str(), code), (Some("waiting"), 0), "{document:#}");
        assert_eq!(line["reason"], "it has had its restarts of the day (3, --max-restarts-per-day)");
        let next = humantime::parse_rfc3339(line["next"]["at"].as_str().unwrap()).unwrap();
        let wait = next.duration_since(SystemTime::now()).unwrap().as_secs();
        assert!((14 * 3600 - 120..=14 * 3600 + 2).contains(&wait), "the first of them leaves: {wait} s");
    }
    assert_eq!(connect.count_restarts_of("orders", Some(0)), 1);
    let refused = guardian.with(&["run", "--once", "--max-restarts-per-day", "33"]).exits(2);
    assert!(
        refused.stderr.contains("--max-restarts-per-day takes a whole number from 1 to 32, or unlimited")
    );
}

#[test]
fn a_member_of_a_group_that_had_its_restarts_waits_for_its_own_time() {
    let connect = Connect::start(Profile::V3_9);
    for name in ["a", "b", "c"] {
        connect.connector(name).tasks(1);
        connect.fail_task(name, 0, Failure::always());
    }
    let guardian =
        guardian(&connect).env("GUARDIAN_GROUP_FROM", "3").env("GUARDIAN_MAX_RESTARTS_PER_DAY", "1");
    guardian.run().exits(0);
    let (document, _) = guardian.run_json();
    let next = |name| &instance(&document, name, Some(0))["next"];
    assert!(next("a")["at"].is_string() && next("b")["runs"].is_u64(), "{document:#}");
    assert_eq!(document["groups"][0]["next"], *next("b"), "the group goes when the first of the others may");
    for _ in 0..4 {
        guardian.run().exits(0);
    }
    let (document, _) = guardian.run_json();
    assert_eq!(connect.restarts().len(), 3, "one of each");
    assert!(document["groups"][0]["next"]["at"].is_string(), "nobody may go today: {document:#}");
}

/// The keys of a state line that has none of this are those of before.
#[test]
fn a_state_without_counted_restarts_is_read_and_a_first_restart_adds_none() {
    let connect = one_failed();
    let guardian = Guardian::at(&connect.url());
    guardian.run().exits(0);
    let line: Value = guardian.remembered().unwrap()["instances"][0].clone();
    assert_eq!(line["earlier_restarts"], Value::Null, "{line}");
    for version in [1, 2, 3] {
        let connect = one_failed();
        let episode = json!({"attempts": 1, "first_failed_at": "2026-11-22T09:40:00.000Z", "first_failed_run": 3,
            "last_attempt": {"run": 3, "at": "2026-11-22T09:40:00.000Z", "answered_at": "2026-11-22T09:40:00.000Z"}});
        let line = json!({"connector": "orders", "task": 0, "episode": episode});
        let state = json!({"version": version, "cluster": "test", "run": 9, "instances": [line]});
        let guardian = Guardian::at(&connect.url());
        std::fs::write(guardian.state(), state.to_string()).unwrap();
        let (document, code) = guardian.run_json();
        assert_eq!((instance(&document, "orders", Some(0))["attempts"].as_u64(), code), (Some(2), 0));
        assert_eq!(guardian.remembered().unwrap()["version"], 3);
    }
}
