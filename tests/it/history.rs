//! What happened, as `guardian history` tells it: which runs write what, what a death leaves behind, how an outage stays
//! small, and what is asked for. On the real program.

use std::time::{Duration, SystemTime};

use serde_json::{Value, json};

use crate::kubernetes::FakeApi;
use crate::sim::{Connect, Failure, Profile};
use crate::support::{Ended, Guardian};

fn guardian(connect: &Connect) -> Guardian {
    Guardian::at(&connect.url()).env("GUARDIAN_WATCH", "300ms").env("USER", "anna").env("HOSTNAME", "ops1")
}

/// So many connectors of so many tasks, all of which have failed for one cause.
fn outage(connectors: usize, tasks: u32, failure: &Failure) -> Connect {
    let connect = Connect::start(Profile::V3_9);
    for number in 0..connectors {
        let name = format!("sink-{number:02}");
        connect.connector(&name).tasks(tasks);
        connect.fail_all_tasks(&name, failure);
    }
    connect
}

fn asked(guardian: &Guardian, arguments: &[&str]) -> Vec<Value> {
    let (document, code) = guardian.json(&[&["history"], arguments].concat());
    assert_eq!((code, &document["ok"]), (0, &json!(true)), "{document:#}");
    document["entries"].as_array().expect("entries").clone()
}

/// Each entry as `event instances/connectors`.
fn told(entries: &[Value]) -> Vec<String> {
    let one = |entry: &Value| {
        format!("{} {}/{}", entry["event"].as_str().unwrap(), entry["instances"], entry["connectors"])
    };
    entries.iter().map(one).collect()
}

#[test]
fn an_outage_is_told_from_its_first_failure_to_its_forgiveness() {
    let connect = outage(6, 2, &Failure::healing_after(1));
    connect.connector("audit").tasks(1);
    connect.fail_task("audit", 0, Failure::always().caused_by("java.io.IOException: disk full on pay"));
    let guardian = guardian(&connect).env("GUARDIAN_GROUP_FROM", "3").env("MAX_RESTART", "1");
    guardian.run().exits(0);
    let entries = asked(&guardian, &[]);
    let mut first = told(&entries);
    first.sort();
    assert_eq!(
        first,
        ["failed 1/1", "failed 12/6", "restarted 1/1", "restarted 2/1", "restarted 4/2", "restarted 6/3"],
        "one entry for each cause, and one for each wave"
    );
    let wave = entries.iter().find(|entry| entry["instances"] == 4).unwrap();
    // Nobody waits for what becomes of the last.
    assert_eq!(wave["fates"], json!({"taken": 4, "running": 0, "failed_again": 0, "unknown": 0}));
    let wave = entries.iter().find(|entry| entry["instances"] == 6).unwrap();
    assert_eq!(wave["fates"], json!({"taken": 0, "running": 6, "failed_again": 0, "unknown": 0}));
    assert_eq!(wave["cause"], "java.net.ConnectException: Connection refused (db1:5432)");
    guardian.run().exits(0);
    guardian.run().exits(0);
    let entries = asked(&guardian, &[]);
    assert_eq!(told(&entries)[6..], ["recovered 12/6", "gave_up 1/1", "forgiven 12/6"]);
    let recovered = &entries[6];
    assert_eq!(recovered["restarts"], json!({"least": 1, "most": 1}));
    assert!(recovered["down_seconds"]["most"].as_u64().unwrap() < 60, "{recovered:#}");
    // What is as it was is no event.
    guardian.run().exits(0);
    assert_eq!(told(&asked(&guardian, &[])).len(), 9);

    let text = guardian.with(&["history"]).exits(0).stdout;
    let lines: Vec<&str> = text.lines().collect();
    assert!(lines[0].starts_with("test  history in UTC, from its beginning at 20"), "{text}");
    for says in [
        "Z  failed     12 tasks of 6 connectors: sink-00/0-1, sink-01/0-1, sink-02/0-1 and 3 more | java.net.ConnectException: ",
        "Z  restarted  2 tasks: sink-00/0-1 | all run again | java.net.",
        "Z  restarted  audit/0 | taken | org.apache.kafka.connect.errors.RetriableException: write failed (IOException: disk full on pay)",
        "Z  recovered  12 tasks of 6 connectors: sink-00/0-1, sink-01/0-1, sink-02/0-1 and 3 more | down ",
        ", 1 restart | java.net.ConnectException: ",
        "Z  gave up    audit/0 | 1 restart, failed since 20",
        "Z  forgiven   12 tasks of 6 connectors: ",
        "\n\n13 failed, 13 restarted, 12 recovered, 1 gave up, 1 failed now\n",
    ] {
        assert!(text.contains(says), "{says:?} is not in {text}");
    }
    assert!(lines[2..lines.len() - 2].iter().all(|line| line.starts_with("20")), "one line an event: {text}");
}

#[test]
fn a_bad_wave_and_a_relapse_are_told() {
    let connect = outage(4, 1, &Failure::always());
    let guardian = guardian(&connect).env("GUARDIAN_GROUP_FROM", "3");
    guardian.run().exits(0);
    let entries = asked(&guardian, &[]);
    assert_eq!(told(&entries), ["failed 4/4", "restarted 1/1"]);
    assert_eq!(entries[1]["fates"]["failed_again"], 1);

    // It comes back within its episode: that is no first failure, and it was not down in between.
    let connect = Connect::start(Profile::V3_9);
    connect.connector("orders").tasks(1);
    connect.fail_task("orders", 0, Failure::healing_after(1));
    let guardian = Guardian::at(&connect.url()).env("EXPONENTIAL_RATIO", "9");
    guardian.run().exits(0);
    std::thread::sleep(Duration::from_millis(2100));
    guardian.run().exits(0);
    connect.fail_task("orders", 0, Failure::healing_after(1));
    guardian.run().exits(0);
    guardian.with(&["retry", "orders", "--watch", "100ms"]).exits(0);
    guardian.run().exits(0);
    let entries = asked(&guardian, &[]);
    assert_eq!(
        told(&entries),
        ["failed 1/1", "restarted 1/1", "recovered 1/1", "failed_again 1/1", "retried 1/1", "recovered 1/1"]
    );
    let down: Vec<u64> =
        [2, 5].map(|number| entries[number]["down_seconds"]["most"].as_u64().unwrap()).to_vec();
    assert!(down[0] >= 2 && down[1] < down[0], "{down:?}");
}

#[test]
fn persons_are_named_and_a_crash_loop_is_told_with_its_restart() {
    let connect = Connect::start(Profile::V3_9);
    connect.connector("orders").tasks(2);
    connect.fail_task("orders", 0, Failure::always());
    let guardian = guardian(&connect).env("EXPONENTIAL_RATIO", "1").env("SUDO_USER", "bert");
    for _ in 0..6 {
        guardian.run().exits(0);
    }
    guardian.with(&["retry", "orders"]).exits(3);
    guardian.with(&["reset", "orders"]).exits(0);
    guardian.with(&["reset", "--all"]).exits(0);
    let entries = asked(&guardian, &[]);
    let told = told(&entries);
    assert_eq!(told[..2], ["failed 1/1", "restarted 1/1"]);
    assert_eq!(told[6..], ["restarted 1/1", "crash_loop 1/1", "retried 1/1", "reset 1/1"]);
    assert_eq!((&entries[8]["by"], &entries[9]["by"]), (&json!("bert@ops1"), &json!("bert@ops1")));
    assert_eq!(entries[8]["fates"]["failed_again"], 1);
    assert_eq!(entries[9]["names"], json!([{"connector": "orders", "own": false, "tasks": "0"}]));
}

/// Charge, restart, death: what the restart came to is not known, and the next run does not tell the failure again.
#[test]
fn a_run_that_dies_leaves_what_it_knew() {
    let connect = Connect::start(Profile::V3_9);
    connect.connector("orders").tasks(1);
    connect.fail_task("orders", 0, Failure::always());
    let guardian = guardian(&connect).env("EXPONENTIAL_RATIO", "1");
    let (arrived, posted) = std::sync::mpsc::channel();
    let (_hold, held) = std::sync::mpsc::channel::<()>();
    connect.on_any_restart().times(1).runs(move |_| {
        arrived.send(()).unwrap();
        let _ = held.recv_timeout(Duration::from_secs(60));
    });
    let mut run = guardian.start(&["run", "--once"]);
    posted.recv().unwrap();
    run.kill().unwrap();
    Ended::of(run);
    let entries = asked(&guardian, &[]);
    assert_eq!(told(&entries), ["failed 1/1", "restarted 1/1"]);
    assert_eq!(entries[1]["fates"], json!({"taken": 0, "running": 0, "failed_again": 0, "unknown": 1}));
    guardian.run().exits(0);
    let entries = asked(&guardian, &[]);
    assert_eq!(told(&entries), ["failed 1/1", "restarted 1/1", "restarted 1/1"]);
    assert_eq!(entries[2]["fates"]["taken"], 1);
    assert_eq!((&entries[1]["run"], &entries[2]["run"]), (&json!(1), &json!(2)));
}

#[test]
fn what_connect_did_not_take_is_no_restart() {
    use crate::sim::Answer;
    let connect = Connect::start(Profile::V3_9);
    connect.connector("orders").tasks(1);
    connect.fail_task("orders", 0, Failure::always());
    connect.on_restart("orders").answers(Answer::error(403, "password=hunter2 is not allowed"));
    let guardian = guardian(&connect);
    guardian.run().exits(1);
    guardian.run().exits(1);
    let entries = asked(&guardian, &[]);
    assert_eq!(told(&entries), ["failed 1/1", "refused 1/1"], "and refused once a day");
    let why = entries[1]["text"].as_str().unwrap();
    assert!(why.contains("password=*** is not allowed"), "{why}");
}

#[test]
fn what_comes_back_without_its_restart_was_not_restarted() {
    use crate::sim::Answer;
    let connect = Connect::start(Profile::V2_8);
    connect.connector("orders").tasks(1);
    connect.fail_task("orders", 0, Failure::always());
    // A rebalance mends it.
    connect
        .on_restart("orders")
        .runs(|connect| {
            connect.heal("orders", Some(0));
            connect.set_state("orders", Some(0), "RUNNING");
        })
        .answers(Answer::error(409, "a rebalance is under way"))
        .times(1);
    let guardian = guardian(&connect);
    let (document, _) = guardian.json(&["retry", "orders"]);
    assert_eq!(document["instances"][0]["action"], "recovered", "{document:#}");
    assert_eq!(told(&asked(&guardian, &[])), ["failed 1/1"]);
}

#[test]
fn a_healthy_cluster_writes_nothing_and_nothing_happened() {
    let connect = Connect::start(Profile::V3_9);
    connect.connector("orders").tasks(1);
    let guardian = guardian(&connect);
    for _ in 0..2 {
        let ended = guardian.with(&["history", "--since", "8h"]).exits(0);
        assert!(ended.stdout.starts_with("test  history in UTC from 20"), "{ended:?}");
        assert!(
            ended.stdout.ends_with("\n\nnothing happened; runs that find nothing wrong are not recorded\n"),
            "{ended:?}"
        );
        assert_eq!(asked(&guardian, &[]).len(), 0);
        guardian.run().exits(0);
        assert_eq!(guardian.remembered(), None);
    }
}

#[test]
fn a_storm_is_few_entries_of_few_names() {
    let connect = outage(60, 3, &Failure::healing_after(1));
    let guardian = guardian(&connect);
    guardian.run().exits(0);
    guardian.run().exits(0);
    let entries = asked(&guardian, &[]);
    assert_eq!(told(&entries), ["failed 180/60", "restarted 180/60", "recovered 180/60"]);
    for entry in &entries {
        assert_eq!((entry["names"].as_array().unwrap().len(), &entry["left_out"]), (20, &json!(40)));
        assert_eq!((&entry["names"][0]["tasks"], &entry["tasks"]), (&json!("0-2"), &json!(180)));
    }
    let state = std::fs::read_to_string(guardian.state()).unwrap();
    let lines: Vec<&str> = state.lines().filter(|line| line.starts_with("{\"at\"")).collect();
    assert!(lines.len() == 3 && lines.iter().all(|line| line.len() < 2048), "{lines:#?}");
    // One of the forty is among them, perhaps.
    assert_eq!(asked(&guardian, &["--connector", "sink-59"]).len(), 3);
    let text = guardian.with(&["history", "--connector", "sink-59"]).exits(0).stdout;
    assert!(text.contains(" and 57 more (perhaps with what was asked for) | "), "{text}");
    let text = guardian.with(&["history", "--connector", "sink-0?"]).exits(0).stdout;
    assert!(text.contains(" and 57 more | "), "{text}");
}

/// An entry of that age, of the connector.
fn entry(minutes_ago: u64, connector: &str) -> Value {
    let at = SystemTime::now() - Duration::from_secs(60 * minutes_ago);
    json!({"at": humantime::format_rfc3339_millis(at).to_string(), "run": 1, "event": "failed", "connectors": 1,
        "instances": 1, "tasks": 1, "names": [{"connector": connector, "tasks": [[0, 0]]}]})
}

fn state_with(entries: &[Value]) -> Value {
    json!({"version": 3, "cluster": "test", "run": 9, "history": entries, "instances": []})
}

#[test]
fn it_shows_what_was_asked_for() {
    let connect = Connect::start(Profile::V3_9);
    let guardian = guardian(&connect);
    let entries = [entry(600, "old"), entry(90, "orders"), entry(30, "pay"), entry(1, "orders")];
    std::fs::write(guardian.state(), state_with(&entries).to_string()).unwrap();
    let names = |arguments: &[&str]| {
        let entries = asked(&guardian, arguments);
        let name = |entry: &Value| entry["names"][0]["connector"].as_str().unwrap().to_owned();
        entries.iter().map(name).collect::<Vec<_>>().join(" ")
    };
    for (arguments, expected) in [
        (&[][..], "old orders pay orders"),
        (&["--since", "2h"], "orders pay orders"),
        (&["--since", "2h", "--until", "10m"], "orders pay"),
        (&["--until", "1h"], "old orders"),
        (&["--connector", "o*"], "old orders orders"),
        (&["--connector", "ORDERS"], ""),
        (&["--since", "2000-01-01", "--connector", "pay"], "pay"),
        (&["--since", "2000-01-01T00:00:00Z", "--until", "2000-01-02"], ""),
    ] {
        assert_eq!(names(arguments), expected, "{arguments:?}");
    }
    let ended = guardian.with(&["history", "--since", "1h"]).exits(0);
    assert!(ended.stdout.starts_with("test  history in UTC from 20"), "{ended:?}");
    let ended = guardian.with(&["history", "--since", "tomorrow"]).exits(2);
    assert!(
        ended.stderr.contains(
            r#"--since takes a duration (8h is eight hours ago), a time of day (02:00, in UTC) or RFC 3339, not "tomorrow""#
        ),
        "{ended:?}"
    );
    let ended = guardian.with(&["history", "--since", "1h", "--until", "2h"]).exits(2);
    assert!(ended.stderr.contains(" is before --since "), "{ended:?}");
    // It only looks: no lock, no request, no write.
    assert_eq!(connect.requests().len(), 0);
    let names = std::fs::read_dir(guardian.folder()).unwrap().count();
    assert_eq!(names, 1, "no lock beside the state");
}

/// 96 KiB in a ConfigMap, and none where there is no room for more than the attempts.
#[test]
fn a_configmap_keeps_the_newest_and_gives_way_to_the_attempts() {
    let (api, connect) = (FakeApi::start(), outage(1, 1, &Failure::always()));
    let guardian = crate::configmap::pod(&api, &connect.url()).env("EXPONENTIAL_RATIO", "1");
    let many: Vec<Value> = (0..2_000).map(|number| entry(3_000 - number, &format!("c{number}"))).collect();
    api.edit(|object| object["data"] = json!({"state.json": state_with(&many).to_string()}));
    guardian.run().exits(0);
    let kept = api.state()["history"].as_array().unwrap().clone();
    let bytes: usize = kept.iter().map(|entry| entry.to_string().len() + 2).sum();
    assert!(bytes <= 96 * 1024 && bytes > 95 * 1024, "{bytes} bytes in {} entries", kept.len());
    assert_eq!(kept.last().unwrap()["event"], "restarted");
    assert_eq!(asked(&guardian, &["--since", "1m"]).len(), 2);
    // Whatever else is in the object leaves room for the attempts only.
    api.edit(|object| object["data"]["notes"] = "x".repeat(880 * 1024).into());
    guardian.run().exits(0);
    assert_eq!(api.state()["instances"][0]["episode"]["attempts"], 2);
}
