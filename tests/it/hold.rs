//! What a person holds is seen, counted and told, and never restarted; it ends by itself or when somebody releases it, and
//! it survives whatever the state survives. On the real program.

use std::io::{BufRead, BufReader};
use std::process::{Child, Command};
use std::sync::mpsc;
use std::time::Duration;

use serde_json::{Value, json};

use crate::configmap::pod;
use crate::kubernetes::{FakeApi, Fault};
use crate::sim::{Connect, Failure, Profile};
use crate::support::{Ended, Guardian, actions, instance};

fn guardian(connect: &Connect) -> Guardian {
    Guardian::at(&connect.url()).env("GUARDIAN_WATCH", "300ms").env("USER", "anna").env("HOSTNAME", "ops1")
}

/// These connectors of one task, all of which have failed.
fn failed(names: &[&str]) -> Connect {
    let connect = Connect::start(Profile::V3_9);
    for name in names {
        connect.connector(name).tasks(1);
        connect.fail_task(name, 0, Failure::always());
    }
    connect
}

fn events(guardian: &Guardian) -> Vec<String> {
    let (document, _) = guardian.json(&["history"]);
    let entries = document["entries"].as_array().expect("entries").iter();
    entries.map(|entry| entry["event"].as_str().unwrap().to_owned()).collect()
}

#[test]
fn what_is_held_is_shown_and_not_restarted_until_the_hold_ends_by_itself() {
    let connect = failed(&["orders-a", "orders-b", "pay"]);
    let guardian = guardian(&connect).env("EXPONENTIAL_RATIO", "1");
    let (document, code) =
        guardian.json(&["hold", "orders-*", "--for", "4s", "--reason", "password=x moves"]);
    let hold = &document["done"][0];
    assert_eq!((code, &document["holds"]), (0, &document["done"]));
    assert_eq!(
        (&hold["pattern"], &hold["by"], &hold["reason"]),
        (&json!("orders-*"), &json!("anna@ops1"), &json!("password=*** moves"))
    );
    let until = hold["until"].as_str().unwrap();
    let (run, code) = guardian.json(&["run", "--once", "--fail-on", "failed"]);
    assert_eq!(actions(&run), ["orders-a/0 held", "orders-b/0 held", "pay/0 restarted"]);
    assert_eq!(
        (code, &run["summary"]["held"], &run["holds"][0]["pattern"]),
        (3, &json!(2), &json!("orders-*"))
    );
    let why = format!("held until {until} by anna@ops1: password=*** moves");
    assert_eq!(instance(&run, "orders-a", Some(0))["reason"], why);
    assert_eq!(instance(&run, "orders-a", Some(0))["attempts"], 0);
    let (status, _) = guardian.json(&["status"]);
    assert_eq!(actions(&status)[..2], ["orders-a/0 held", "orders-b/0 held"]);
    let text = guardian.with(&["status"]).exits(0).stdout;
    assert!(text.contains("\nheld: orders-* until "), "{text}");
    assert!(text.contains("2 held"), "{text}");
    assert_eq!(connect.restarts(), ["pay/0"]);
    // Nothing but what is held has failed.
    connect.heal("pay", Some(0));
    connect.set_state("pay", Some(0), "RUNNING");
    let (_, code) = guardian.json(&["run", "--once", "--fail-on", "failed"]);
    assert_eq!(code, 0);
    std::thread::sleep(Duration::from_secs(4));
    let (status, _) = guardian.json(&["status"]);
    assert_eq!(
        (&status["holds"], &actions(&status)[..2]),
        (&json!([]), &["orders-a/0 due".to_owned(), "orders-b/0 due".to_owned()][..])
    );
    assert_eq!(actions(&guardian.run_json().0)[..2], ["orders-a/0 restarted", "orders-b/0 restarted"]);
    let events = events(&guardian);
    assert_eq!(events.iter().filter(|event| *event == "hold_ended").count(), 1, "{events:?}");
    assert_eq!(guardian.remembered().unwrap()["holds"], Value::Null);
}

#[test]
fn a_hold_survives_a_healthy_cluster_which_costs_no_write() {
    let connect = Connect::start(Profile::V3_9);
    connect.connector("orders").tasks(1);
    let guardian = guardian(&connect);
    let ended = guardian.with(&["hold", "orders", "ord*", "--for", "2h"]).exits(0);
    assert!(ended.stdout.starts_with("held: orders until 20"), "{ended:?}");
    assert!(ended.stdout.contains("\nheld: ord* until 20"), "{ended:?}");
    let before = std::fs::read(guardian.state()).unwrap();
    let ended = guardian.run().exits(0);
    assert!(
        ended.stdout.starts_with("test: nothing failed: 1 connector, 1 task\nheld: orders until"),
        "{ended:?}"
    );
    assert_eq!((connect.requests().len(), std::fs::read(guardian.state()).unwrap()), (1, before));
    assert_eq!(guardian.with(&["run", "--once", "--quiet"]).exits(0).stdout, "");
    // And what is forgotten.
    connect.fail_task("orders", 0, Failure::healing_after(1));
    guardian.run().exits(0);
    assert_eq!(connect.restarts().len(), 0);
    guardian.with(&["reset", "--all"]).exits(0);
    connect.heal("orders", Some(0));
    connect.set_state("orders", Some(0), "RUNNING");
    guardian.run().exits(0);
    assert_eq!(guardian.remembered().unwrap()["holds"].as_array().unwrap().len(), 2);
    // A second word for the same pattern replaces the first.
    guardian.with(&["hold", "orders", "--for", "1h", "--reason", "later"]).exits(0);
    let (document, _) = guardian.json(&["status"]);
    assert_eq!(document["holds"].as_array().unwrap().len(), 2);
    assert_eq!(document["holds"][0]["reason"], "later");
}

#[test]
fn a_pattern_may_match_what_is_yet_to_come_and_the_next_look_says_so() {
    let connect = failed(&["orders"]);
    let guardian = guardian(&connect);
    guardian.with(&["hold", "nobody*", "orders", "--for", "2h"]).exits(0);
    for command in [&["status"][..], &["run", "--once"]] {
        let (document, code) = guardian.json(command);
        assert_eq!((&document["warnings"], code), (&json!(["hold: no connector matches \"nobody*\""]), 0));
    }
    connect.connector("nobody-yet").tasks(1);
    connect.fail_task("nobody-yet", 0, Failure::always());
    let (document, _) = guardian.run_json();
    assert_eq!((&document["warnings"], &document["summary"]["held"]), (&json!([]), &json!(2)));
}

#[test]
fn that_a_hold_has_ended_is_written_down_once_also_where_all_is_well() {
    let connect = Connect::start(Profile::V3_9);
    connect.connector("orders").tasks(1);
    let guardian = guardian(&connect);
    guardian.with(&["hold", "orders", "--for", "1s"]).exits(0);
    std::thread::sleep(Duration::from_millis(1100));
    guardian.run().exits(0);
    assert_eq!(events(&guardian), ["held", "hold_ended"]);
    let after = std::fs::read(guardian.state()).unwrap();
    guardian.run().exits(0);
    assert_eq!(std::fs::read(guardian.state()).unwrap(), after);
}

#[test]
fn excluded_comes_before_held_and_held_before_all_else() {
    let connect = failed(&["excluded", "gave-up", "held", "waiting"]);
    let guardian = guardian(&connect).env("MAX_RESTART", "1").env("GUARDIAN_EXCLUDE", "excluded");
    guardian.run().exits(0);
    guardian.with(&["hold", "--all", "--for", "2h"]).exits(0);
    assert_eq!(
        actions(&guardian.run_json().0),
        ["excluded/0 excluded", "gave-up/0 held", "held/0 held", "waiting/0 held"]
    );
    guardian.with(&["release", "*"]).exits(0);
    assert_eq!(
        actions(&guardian.run_json().0)[1..],
        ["gave-up/0 gave_up", "held/0 gave_up", "waiting/0 gave_up"]
    );
    guardian.with(&["hold", "--hold-all", "--for", "2h"]).exits(0);
    assert_eq!(actions(&guardian.json(&["status"]).0)[1], "gave-up/0 held");
    // Also while Connect is away.
    connect.on_listing().answers(401);
    assert_eq!(actions(&guardian.json(&["status"]).0)[1], "gave-up/0 held");
}

#[test]
fn what_is_held_is_in_no_group() {
    let connect = failed(&["a", "b", "c", "d"]);
    let guardian = guardian(&connect).env("GUARDIAN_GROUP_FROM", "3");
    guardian.with(&["hold", "a", "--for", "2h"]).exits(0);
    let (document, _) = guardian.run_json();
    assert_eq!(
        (&document["groups"][0]["connectors"], &document["groups"][0]["canaries"]),
        (&json!(3), &json!(["b"]))
    );
    assert_eq!((connect.restarts().len(), connect.restarts()[0].starts_with('b')), (1, true));
    guardian.with(&["hold", "c", "--for", "2h"]).exits(0);
    let (document, _) = guardian.run_json();
    assert_eq!(document["groups"], json!([]), "two are no group");
    assert_eq!((connect.count_restarts_of("a", Some(0)), connect.count_restarts_of("c", Some(0))), (0, 0));
}

#[test]
fn a_retry_overrides_a_hold_and_says_so() {
    let connect = Connect::start(Profile::V3_9);
    for name in ["orders", "pay"] {
        connect.connector(name).tasks(1);
        connect.fail_task(name, 0, Failure::healing_after(1));
    }
    let guardian = guardian(&connect);
    guardian.with(&["hold", "ord*", "--for", "2h", "--reason", "migration"]).exits(0);
    let (document, code) = guardian.json(&["retry", "orders"]);
    assert_eq!((actions(&document), code), (vec!["orders/0 recovered".to_owned()], 0));
    let warning = document["warnings"][0].as_str().unwrap();
    assert!(warning.starts_with("restarted all the same: orders (held until 20"), "{warning}");
    assert!(warning.ends_with("Z by anna@ops1: migration)"), "{warning}");
    assert_eq!(guardian.json(&["retry", "pay"]).0["warnings"], json!([]));
    // It stays held.
    assert_eq!(guardian.json(&["status"]).0["holds"][0]["pattern"], "ord*");
}

#[test]
fn what_is_not_held_is_said_with_what_is_and_keeps_no_other_from_being_released() {
    let connect = failed(&["orders"]);
    let guardian = guardian(&connect);
    guardian.with(&["hold", "orders", "pay*", "--for", "30days"]).exits(0);
    let (document, code) = guardian.json(&["release", "orders", "nobody"]);
    assert_eq!((code, document["done"].as_array().unwrap().len()), (1, 1));
    let says = format!("not held: nobody; held: orders, pay* (state {})", guardian.state().display());
    assert_eq!(document["error"]["message"], says);
    let ended = guardian.with(&["release", "pay"]).exits(1);
    assert!(ended.stderr.contains("not held: pay; held: pay*") && ended.stdout.is_empty(), "{ended:?}");
    let ended = guardian.with(&["release", "--all"]).exits(0);
    assert!(ended.stdout.starts_with("released: pay* until 20"), "{ended:?}");
    assert_eq!(guardian.with(&["release", "--all"]).exits(0).stdout, "nothing was held\n");
    assert!(guardian.with(&["release", "x"]).exits(1).stderr.contains("not held: x; nothing is held"));
    assert_eq!(events(&guardian), ["held", "held", "released", "released"]);
    assert_eq!(connect.requests().len(), 0, "it asks Connect nothing");
}

#[test]
fn a_pattern_is_taken_as_it_is_shown() {
    let connect = failed(&["a\u{200b}b"]);
    let guardian = guardian(&connect);
    let ended = guardian.with(&["hold", r"a\u{200b}b", "--for", "2h"]).exits(0);
    assert!(ended.stdout.starts_with(r"held: a\u{200b}b until "), "{ended:?}");
    assert_eq!(actions(&guardian.run_json().0), [r"a\u{200b}b/0 held"]);
    let (document, _) = guardian.json(&["history", "--connector", r"a\u{200b}b"]);
    assert_eq!(document["entries"].as_array().unwrap().len(), 2, "{document:#}");
    guardian.with(&["release", r"a\u{200b}b"]).exits(0);
}

#[test]
fn a_hold_that_cannot_be_meant_is_wrong_usage() {
    let connect = failed(&["orders"]);
    let guardian = guardian(&connect);
    for (arguments, says) in [
        (&["hold", "orders"][..], "--for <DURATION>"),
        (&["hold", "--for", "2h"], "hold takes PATTERN or --all, and --for DURATION"),
        (&["hold", "", "--for", "2h"], "a pattern is not empty"),
        (&["hold", "--all", "orders", "--for", "2h"], "cannot be used with"),
        (
            &["hold", "orders", "--for", "0s"],
            "--for takes a duration such as 2h or 1day, at most 30days, not \"0s\"",
        ),
        (&["hold", "orders", "--for", "721h"], "at most 30days"),
        (&["hold", "orders", "--for", "2"], "at most 30days"),
        (&["release"], "release takes PATTERN or --all"),
    ] {
        let ended = guardian.with(arguments).exits(2);
        assert!(ended.stderr.contains(says), "{arguments:?}: {ended:?}");
    }
    assert_eq!(guardian.remembered(), None);
}

// === Another run ===

/// A run that hangs in a restart, and goes on when told.
fn run_at_work(connect: &Connect, guardian: &Guardian) -> (Child, mpsc::Sender<()>) {
    let (go, wait) = mpsc::channel::<()>();
    connect
        .on_any_restart()
        .runs(move |_| {
            let _ = wait.recv();
        })
        .times(1);
    let run = guardian.start(&["run", "--once"]);
    connect.wait_for("the restart", |connect| connect.restarts().len() == 1);
    (run, go)
}

#[test]
fn it_waits_for_a_run_at_work_and_stops_at_a_signal() {
    let connect = failed(&["orders"]);
    let guardian = guardian(&connect);
    guardian.with(&["hold", "pay", "--for", "2h"]).exits(0);
    let (run, go) = run_at_work(&connect, &guardian);
    let before = std::fs::read(guardian.state()).unwrap();
    let waiting: [&[&str]; 3] =
        [&["hold", "orders", "--for", "2h"], &["release", "pay"], &["reset", "orders"]];
    let begin = |arguments: &[&str]| {
        let mut child = guardian.start(arguments);
        let mut lines = BufReader::new(child.stderr.take().expect("a pipe"));
        let mut line = String::new();
        lines.read_line(&mut line).expect("a line");
        assert!(
            line.contains("another run holds the state") && line.contains("Ctrl-C ends the wait"),
            "{line}"
        );
        (child, lines)
    };
    for arguments in waiting {
        let (child, _stderr) = begin(arguments);
        assert!(Command::new("kill").args(["-INT", &child.id().to_string()]).status().unwrap().success());
        assert_eq!(Ended::of(child).exits(75).stdout, "");
    }
    assert_eq!(std::fs::read(guardian.state()).unwrap(), before);
    let (hold, _stderr) = begin(waiting[0]);
    go.send(()).unwrap();
    Ended::of(run).exits(0);
    Ended::of(hold).exits(0);
    assert_eq!(guardian.json(&["status"]).0["holds"].as_array().unwrap().len(), 2);
    assert_eq!(guardian.attempts("orders", Some(0)), Some(1), "and what the run did is kept");
    assert_eq!(events(&guardian), ["held", "failed", "restarted", "held"]);
}

#[test]
fn in_a_configmap_a_hold_and_a_run_that_looked_before_it_are_both_kept() {
    let (api, connect) = (FakeApi::start(), failed(&["orders"]));
    let guardian = pod(&api, &connect.url()).env("USER", "anna");
    guardian.run().exits(0);
    // The next run has it wait, so that it takes no claim.
    let mut hold = guardian.command(&["hold", "pay", "--for", "2h"]);
    api.next("PUT", Fault::After(Box::new(move || assert!(hold.status().unwrap().success()))));
    connect.set_state("orders", Some(0), "RUNNING");
    assert_eq!(actions(&guardian.run_json().0), ["orders/0 recovered"]);
    assert_eq!(api.state()["holds"][0]["pattern"], "pay");
    assert_eq!(events(&guardian), ["failed", "restarted", "held", "recovered"]);
    // And one that is released meanwhile stays so.
    let mut release = guardian.command(&["release", "pay"]);
    api.next("PUT", Fault::After(Box::new(move || assert!(release.status().unwrap().success()))));
    guardian.run().exits(0);
    assert_eq!(api.state()["holds"], Value::Null);
    assert_eq!(events(&guardian)[4..], ["released", "forgiven"]);
}
