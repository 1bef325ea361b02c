//! The state in a ConfigMap, as whole runs live through it: two runs at once, a run that is killed, a reset in
//! between, and an API server that refuses, fails, hangs or is somebody else.

use std::net::{TcpListener, TcpStream};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, mpsc};
use std::time::{Duration, Instant, SystemTime};

use serde_json::{Value, json};

use crate::kubernetes::{FakeApi, Fault, TOKEN};
use crate::receiver::Receiver;
use crate::sim::{Answer, Authority, Connect, Failure, Profile};
use crate::support::{Ended, Guardian, actions, each, instance};

/// A pod with this state, this Connect, and a proxy in its environment that must not be used.
pub(crate) fn pod(api: &FakeApi, url: &str) -> Guardian {
    Guardian::at(url)
        .env("GUARDIAN_STATE", "configmap:guardian-state")
        .env("KUBERNETES_SERVICE_HOST", "127.0.0.1")
        .env("KUBERNETES_SERVICE_PORT", &api.port().to_string())
        .env("GUARDIAN_SERVICEACCOUNT_DIR", &api.folder().display().to_string())
        .env("HOSTNAME", "guardian-29381-x7k2p")
        .env("HTTPS_PROXY", "http://127.0.0.1:9")
        .env("ALL_PROXY", "http://127.0.0.1:9")
}

/// A Connect with a task that never heals, and one that does.
fn failing() -> Connect {
    let connect = Connect::start(Profile::V3_9);
    connect.connector("orders").tasks(2);
    connect.fail_task("orders", 1, Failure::always());
    connect
}

/// Restarts get no answer until a word, or the end of its sender, comes.
fn hold_restarts(connect: &Connect) -> mpsc::Sender<()> {
    let (release, held) = mpsc::channel();
    connect.on_any_restart().runs(move |_| {
        let _ = held.recv_timeout(Duration::from_secs(60));
    });
    release
}

fn attempts(state: &Value, connector: &str) -> Option<u64> {
    let instances = state["instances"].as_array().expect("instances");
    instances.iter().find(|line| line["connector"] == connector)?["episode"]["attempts"].as_u64()
}

fn remembered(api: &FakeApi) -> Vec<String> {
    let names = api.state()["instances"].as_array().expect("instances").clone();
    names.iter().map(|line| line["connector"].as_str().expect("a name").to_owned()).collect()
}

#[test]
fn a_healthy_cluster_costs_one_get_and_no_write() {
    let (api, connect) = (FakeApi::start(), Connect::start(Profile::V3_9));
    connect.connector("orders").tasks(2);
    let before = api.object();
    let guardian = pod(&api, &connect.url());
    for _ in 0..2 {
        assert_eq!(guardian.run().exits(0).stdout, "test: nothing failed: 1 connector, 2 tasks\n");
        assert_eq!(api.requests(), ["GET"]);
    }
    assert_eq!(api.object(), before);
}

#[test]
fn runs_remember_and_leave_alone_what_is_not_theirs() {
    let (api, connect) = (FakeApi::start(), failing());
    api.edit(|object| object["data"]["notes"] = "not guardian's".into());
    let before = api.object();
    let guardian = pod(&api, &connect.url());
    let mut restarted = Vec::new();
    for run in 0..7 {
        let (document, code) = guardian.run_json();
        assert_eq!(code, 0, "{document:#}");
        if actions(&document) == ["orders/1 restarted"] {
            restarted.push(run);
            assert_eq!(api.requests(), ["GET", "PUT", "PUT"]);
        } else {
            assert_eq!(actions(&document), ["orders/1 waiting"]);
            assert_eq!(api.requests(), ["GET", "PUT"]);
        }
        assert_eq!(api.state()["claim"], Value::Null, "a claim ends with its run");
    }
    assert_eq!(restarted, [0, 2, 6]);
    assert_eq!((api.state()["run"].as_u64(), attempts(&api.state(), "orders")), (Some(7), Some(3)));
    assert!(api.data("state.json").unwrap().lines().count() > 2, "a person reads it by kubectl");
    let mut after = api.object();
    after["metadata"]["resourceVersion"] = before["metadata"]["resourceVersion"].clone();
    after["data"].as_object_mut().unwrap().remove("state.json");
    assert_eq!(after, before);
}

/// What was told is written down by a write of its own, over whatever somebody else wrote meanwhile.
#[test]
fn what_people_were_told_is_remembered_here_too() {
    let (api, connect, chat) = (FakeApi::start(), failing(), Receiver::start());
    let guardian = pod(&api, &connect.url())
        .env("GUARDIAN_NOTIFY_AFTER", "0s")
        .env("GUARDIAN_NOTIFY", &format!("slack chat {}", chat.url("/")));
    let edit = api.editor();
    chat.meanwhile(move || edit(|object: &mut Value| object["data"]["notes"] = "somebody else's".into()));
    guardian.run().exits(0);
    assert_eq!(chat.texts().len(), 1);
    assert_eq!(api.requests(), ["GET", "PUT", "PUT", "PUT", "GET", "PUT"]);
    let open = api.state()["told"][0]["open"][0].clone();
    assert_eq!((&open["what"], open.get("unsure")), (&json!("failing"), None));
    assert_eq!(api.data("notes").as_deref(), Some("somebody else's"));
    guardian.run().exits(0);
    assert_eq!(api.requests(), ["GET", "PUT"]);
    // Restarted, and seen to run twice.
    connect.heal("orders", Some(1));
    for _ in 0..3 {
        guardian.run().exits(0);
    }
    assert_eq!(chat.texts().len(), 1, "it runs again");
}

#[test]
fn a_state_that_nobody_needs_to_change_is_not_written() {
    let (api, connect) = (FakeApi::start(), failing());
    let guardian = pod(&api, &connect.url());
    guardian.run().exits(0);
    let before = api.object();
    api.requests();
    guardian.with(&["status"]).exits(0);
    guardian.with(&["run", "--once", "--dry-run"]).exits(0);
    guardian.with(&["reset", "nobody"]).exits(1);
    assert_eq!(api.requests(), ["GET", "GET", "GET"]);
    assert_eq!(api.object(), before);
}

#[test]
fn status_says_where_the_state_is() {
    let (api, connect) = (FakeApi::start(), failing());
    let guardian = pod(&api, &connect.url());
    assert_eq!(guardian.json(&["status"]).0["state"], "configmap:guardian-state/connect");
    let elsewhere = guardian.env("GUARDIAN_STATE", "configmap:guardian-state/elsewhere");
    let (document, code) = elsewhere.json(&["status"]);
    assert_eq!(code, 1);
    assert!(document["error"]["message"].as_str().unwrap().contains("in the namespace elsewhere"));
}

#[test]
fn what_recovers_is_forgiven_here_too() {
    let (api, connect) = (FakeApi::start(), Connect::start(Profile::V3_9));
    connect.connector("orders").tasks(1);
    connect.fail_task("orders", 0, Failure::healing_after(1));
    let guardian = pod(&api, &connect.url());
    for expected in [vec!["orders/0 restarted".to_owned()], vec!["orders/0 recovered".to_owned()], vec![]] {
        assert_eq!(actions(&guardian.run_json().0), expected);
    }
    let line = api.state()["instances"][0].clone();
    assert_eq!(line["episode"], Value::Null, "its restart stays counted for a day: {line}");
    api.requests();
    guardian.run().exits(0);
    assert_eq!(api.requests(), ["GET"], "and then nothing is written any more");
}

// === Two at once ===

#[test]
fn a_second_run_meets_the_claim_of_the_first_and_sends_nothing() {
    let (api, connect) = (FakeApi::start(), failing());
    let held = hold_restarts(&connect);
    let guardian = pod(&api, &connect.url());
    let first = guardian.start(&["run", "--once"]);
    connect.wait_for("the restart", |connect| connect.restarts().len() == 1);
    let claim = api.state()["claim"].clone();
    assert!(claim["by"].as_str().unwrap().starts_with("guardian-29381-x7k2p (pid "), "{claim}");
    let (second, code) = guardian.run_json();
    assert_eq!((second["error"]["kind"].as_str(), code), (Some("locked"), 75));
    let message = second["error"]["message"].as_str().unwrap();
    assert!(message.contains("configmap:guardian-state/connect: guardian-29381-x7k2p (pid "), "{message}");
    assert_eq!(guardian.with(&["status"]).exits(0).code, 0, "a look needs no lock");
    drop(held);
    Ended::of(first).exits(0);
    assert_eq!(connect.restarts(), ["orders/1"]);
    assert_eq!((attempts(&api.state(), "orders"), &api.state()["claim"]), (Some(1), &Value::Null));
}

#[test]
fn of_two_runs_that_read_the_same_state_only_one_restarts() {
    let (api, connect) = (FakeApi::start(), failing());
    let guardian = pod(&api, &connect.url());
    let mut other = guardian.command(&["run", "--once"]);
    api.next("PUT", Fault::After(Box::new(move || assert!(other.status().unwrap().success()))));
    let (document, code) = guardian.run_json();
    assert_eq!((document["error"]["kind"].as_str(), code), (Some("locked"), 75));
    assert_eq!(actions(&document), ["orders/1 deferred"]);
    assert_eq!(connect.restarts(), ["orders/1"], "the other's");
    assert_eq!(attempts(&api.state(), "orders"), Some(1));
}

#[test]
fn a_retry_waits_for_the_run_that_changed_the_state_under_it_and_for_one_that_claims_it() {
    let (api, connect) = (FakeApi::start(), failing());
    let guardian = pod(&api, &connect.url()).env("GUARDIAN_WATCH", "300ms");
    let mut other = guardian.command(&["run", "--once"]);
    api.next("PUT", Fault::After(Box::new(move || assert!(other.status().unwrap().success()))));
    let (document, code) = guardian.json(&["retry", "orders"]);
    assert_eq!((actions(&document), code), (vec!["orders/1 failed".to_owned()], 3));
    assert_eq!(
        (connect.restarts().len(), attempts(&api.state(), "orders")),
        (2, Some(2)),
        "the other's, and its own"
    );

    let held = hold_restarts(&connect);
    let run = guardian.env("EXPONENTIAL_RATIO", "1").start(&["run", "--once"]);
    connect.wait_for("the restart", |connect| connect.restarts().len() == 3);
    let retry = pod(&api, &connect.url()).env("GUARDIAN_WATCH", "300ms").start(&["retry", "orders"]);
    api.requests();
    connect.wait_for("a look at the claim", |_| !api.requests().is_empty());
    drop(held);
    Ended::of(run).exits(0);
    let ended = Ended::of(retry).exits(3);
    let says = "at the latest: waiting for it to end (Ctrl-C ends the wait)";
    assert!(ended.stderr.contains("guardian-29381-x7k2p (pid ") && ended.stderr.contains(says), "{ended:?}");
    assert_eq!(attempts(&api.state(), "orders"), Some(4));
}

#[test]
fn a_run_that_was_killed_has_its_attempt_counted_and_holds_others_up_for_its_deadline_only() {
    let (api, connect) = (FakeApi::start(), failing());
    connect.on_any_restart().answers(Answer::hang()).times(1);
    let guardian = pod(&api, &connect.url()).env("EXPONENTIAL_RATIO", "1").env("GUARDIAN_DEADLINE", "8s");
    let mut killed = guardian.start(&["run", "--once"]);
    connect.wait_for("the restart", |connect| connect.restarts().len() == 1);
    killed.kill().unwrap();
    killed.wait().unwrap();
    guardian.run().exits(75);
    assert_eq!(attempts(&api.state(), "orders"), Some(1));
    let until = humantime::parse_rfc3339(api.state()["claim"]["until"].as_str().unwrap()).unwrap();
    std::thread::sleep(until.duration_since(SystemTime::now()).unwrap_or_default());
    let (document, code) = guardian.run_json();
    assert_eq!((actions(&document), code), (vec!["orders/1 restarted".to_owned()], 0));
    assert_eq!(instance(&document, "orders", Some(1))["attempts"], 2);
    assert_eq!((attempts(&api.state(), "orders"), &api.state()["claim"]), (Some(2), &Value::Null));
}

#[test]
fn a_claim_by_a_clock_that_is_wrong_is_ignored() {
    for (until, code) in [
        (Duration::from_secs(60), 75),
        (Duration::from_secs(59 * 60), 75),
        (Duration::from_secs(2 * 60 * 60), 0),
        (Duration::from_secs(10 * 365 * 24 * 60 * 60), 0),
    ] {
        let (api, connect) = (FakeApi::start(), failing());
        let until = humantime::format_rfc3339_millis(SystemTime::now() + until).to_string();
        let claim = json!({"by": "elsewhere\u{1b}[31m", "until": until});
        let state = json!({"version": 1, "cluster": "test", "run": 1, "claim": claim, "instances": []});
        api.edit(|object| object["data"]["state.json"] = state.to_string().into());
        let ended = pod(&api, &connect.url()).run().exits(code);
        let says = if code == 0 { "too far away to be true" } else { "another run holds the state" };
        assert!(ended.stderr.contains(says) && !ended.stderr.contains('\u{1b}'), "{ended:?}");
        assert_eq!(connect.restarts().len(), usize::from(code == 0));
    }
}

#[test]
fn a_deadline_beyond_an_hour_claims_an_hour() {
    let (api, connect) = (FakeApi::start(), failing());
    let held = hold_restarts(&connect);
    let guardian = pod(&api, &connect.url()).env("GUARDIAN_DEADLINE", "5h");
    let run = guardian.start(&["run", "--once"]);
    connect.wait_for("the restart", |connect| connect.restarts().len() == 1);
    let until = api.state()["claim"]["until"].as_str().unwrap().to_owned();
    let left = humantime::parse_rfc3339(&until).unwrap().duration_since(SystemTime::now()).unwrap();
    assert!(left <= Duration::from_secs(60 * 60) && left > Duration::from_secs(59 * 60), "{left:?}");
    guardian.run().exits(75);
    drop(held);
    Ended::of(run).exits(0);
}

// === Reset, and others who write ===

#[test]
fn a_reset_waits_for_a_run_to_end() {
    let (api, connect) = (FakeApi::start(), failing());
    let held = hold_restarts(&connect);
    let guardian = pod(&api, &connect.url());
    let run = guardian.start(&["run", "--once"]);
    connect.wait_for("the restart", |connect| connect.restarts().len() == 1);
    api.requests();
    let reset = guardian.start(&["reset", "orders"]);
    connect.wait_for("a look at the claim", |_| !api.requests().is_empty());
    drop(held);
    assert_eq!(Ended::of(reset).exits(0).stdout, "forgotten: orders/1\n");
    Ended::of(run).exits(0);
    assert_eq!(remembered(&api), [""; 0]);
}

#[test]
fn a_reset_waits_for_a_claim_until_it_is_interrupted() {
    let (api, connect) = (FakeApi::start(), failing());
    let held = hold_restarts(&connect);
    let guardian = pod(&api, &connect.url());
    let run = guardian.start(&["run", "--once"]);
    connect.wait_for("the restart", |connect| connect.restarts().len() == 1);
    api.requests();
    let reset = guardian.start(&["reset", "orders"]);
    // The first look finds the claim, the others wait for its end.
    let looks = std::cell::Cell::new(0);
    connect.wait_for("looks at the claim", |_| {
        looks.set(looks.get() + api.requests().len());
        looks.get() >= 2
    });
    let kill = std::process::Command::new("kill").args(["-INT", &reset.id().to_string()]).status();
    assert!(kill.unwrap().success());
    let ended = Ended::of(reset).exits(75);
    assert!(ended.stderr.contains("waiting for it to end (Ctrl-C ends the wait)"), "{ended:?}");
    drop(held);
    Ended::of(run).exits(0);
    assert_eq!(attempts(&api.state(), "orders"), Some(1));
}

/// `orders` and `payments` have failed and been restarted once; the next run has both of them wait.
fn two_that_wait(api: &FakeApi) -> (Connect, Guardian) {
    let connect = failing();
    connect.connector("payments").tasks(1);
    connect.fail_task("payments", 0, Failure::always());
    let guardian = pod(api, &connect.url());
    guardian.run().exits(0);
    assert_eq!(remembered(api), ["orders", "payments"]);
    (connect, guardian)
}

#[test]
fn a_run_does_not_bring_back_what_was_reset_after_it_had_read() {
    let api = FakeApi::start();
    let (_connect, guardian) = two_that_wait(&api);
    let mut reset = guardian.command(&["reset", "payments"]);
    api.requests();
    api.next("PUT", Fault::After(Box::new(move || assert!(reset.status().unwrap().success()))));
    assert_eq!(actions(&guardian.run_json().0), ["orders/1 waiting", "payments/0 waiting"]);
    assert_eq!(api.requests(), ["GET", "PUT", "GET", "PUT", "GET", "PUT"]);
    assert_eq!(remembered(&api), ["orders"]);
    assert_eq!(api.state()["run"], 2, "and what the run saw is kept");
}

#[test]
fn a_reset_that_meets_a_newer_state_reads_it_again() {
    let (api, connect) = (FakeApi::start(), failing());
    let guardian = pod(&api, &connect.url()).env("EXPONENTIAL_RATIO", "1");
    guardian.run().exits(0);
    let mut run = guardian.command(&["run", "--once"]);
    api.next("PUT", Fault::After(Box::new(move || assert!(run.status().unwrap().success()))));
    api.requests();
    guardian.with(&["reset", "orders"]).exits(0);
    assert_eq!(api.requests()[..2], ["GET", "PUT"]);
    assert_eq!(api.requests().len(), 0);
    assert_eq!(remembered(&api), [""; 0]);
}

#[test]
fn what_a_person_edits_during_the_restarts_is_kept() {
    let api = FakeApi::start();
    let (connect, guardian) = two_that_wait(&api);
    connect.connector("late").tasks(1);
    connect.fail_task("late", 0, Failure::always());
    let edit = api.editor();
    let story = move |object: &mut Value| {
        let mut state: Value = serde_json::from_str(object["data"]["state.json"].as_str().unwrap()).unwrap();
        assert_ne!(state["claim"], Value::Null);
        state["instances"].as_array_mut().unwrap().retain(|line| line["connector"] != "payments");
        object["data"]["state.json"] = state.to_string().into();
        object["metadata"]["labels"]["team"] = "data".into();
    };
    // The first PUT is the charge.
    api.next("PUT", Fault::After(Box::new(|| {})));
    api.next("PUT", Fault::After(Box::new(move || edit(story))));
    let (document, code) = guardian.run_json();
    assert_eq!((instance(&document, "late", Some(0))["action"].as_str(), code), (Some("restarted"), 0));
    assert_eq!(remembered(&api), ["late", "orders"]);
    assert_eq!((attempts(&api.state(), "late"), &api.state()["claim"]), (Some(1), &Value::Null));
    assert_eq!(api.object()["metadata"]["labels"]["team"], "data");
}

#[test]
fn each_wave_of_an_outage_is_charged_and_an_edit_between_two_ends_them() {
    for edited in [false, true] {
        let (api, connect) = (FakeApi::start(), Connect::start(Profile::V3_9));
        for name in ["a", "b", "c", "d", "e"] {
            connect.connector(name).tasks(1);
            connect.fail_task(name, 0, Failure::healing_after(1));
        }
        let edit = api.editor();
        api.next("PUT", Fault::After(Box::new(|| {})));
        if edited {
            let label = |object: &mut Value| object["metadata"]["labels"]["team"] = "data".into();
            api.next("PUT", Fault::After(Box::new(move || edit(label))));
        }
        let guardian =
            pod(&api, &connect.url()).env("GUARDIAN_GROUP_FROM", "3").env("GUARDIAN_WATCH", "300ms");
        let (document, code) = guardian.run_json();
        let restarted = if edited { 1 } else { 5 };
        assert_eq!((connect.restarts().len(), code), (restarted, i32::from(edited)), "{document:#}");
        let warned = document["warnings"].to_string().contains("no further wave in this run");
        assert_eq!(warned, edited, "{document:#}");
        assert_eq!((attempts(&api.state(), "a"), &api.state()["claim"]), (Some(1), &Value::Null));
        let others = [Some(u64::from(!edited)); 2];
        assert_eq!(["b", "e"].map(|name| attempts(&api.state(), name)), others, "who waits is not charged");
    }
}

#[test]
fn a_claim_of_another_run_outlives_a_settle_that_comes_late() {
    let api = FakeApi::start();
    let (_connect, guardian) = two_that_wait(&api);
    let until = humantime::format_rfc3339_millis(SystemTime::now() + Duration::from_secs(99));
    let claim = json!({"by": "another", "until": until.to_string()});
    let (edit, others) = (api.editor(), claim.clone());
    let story = move |object: &mut Value| {
        let mut state: Value = serde_json::from_str(object["data"]["state.json"].as_str().unwrap()).unwrap();
        state["claim"] = others;
        state["instances"][0]["episode"]["attempts"] = 2.into();
        object["data"]["state.json"] = state.to_string().into();
    };
    api.next("PUT", Fault::After(Box::new(move || edit(story))));
    guardian.run().exits(0);
    assert_eq!(api.state()["claim"], claim);
    assert_eq!((attempts(&api.state(), "orders"), attempts(&api.state(), "payments")), (Some(2), Some(1)));
}

#[test]
fn one_settle_after_another_is_merged() {
    let api = FakeApi::start();
    let (_connect, guardian) = two_that_wait(&api);
    for gone in ["payments", "orders"] {
        let edit = api.editor();
        let story = move |object: &mut Value| {
            let mut state: Value =
                serde_json::from_str(object["data"]["state.json"].as_str().unwrap()).unwrap();
            let kept = |line: &Value| line["connector"] != gone;
            state["instances"].as_array_mut().unwrap().retain(kept);
            // And then it is back, which is a change too.
            if gone == "orders" {
                let back = json!({"connector": "payments", "task": 0, "in_transition": {"runs": 1, "since": "2026-11-22T10:00:00Z"}});
                state["instances"].as_array_mut().unwrap().push(back);
            }
            object["data"]["state.json"] = state.to_string().into();
        };
        api.next("PUT", Fault::After(Box::new(move || edit(story))));
    }
    guardian.run().exits(0);
    assert_eq!(remembered(&api), ["payments"]);
    assert_eq!(attempts(&api.state(), "payments"), None);
}

#[test]
fn a_state_that_keeps_changing_fails_the_run() {
    let api = FakeApi::start();
    let (_connect, guardian) = two_that_wait(&api);
    for _ in 0..9 {
        let edit = api.editor();
        let story = |object: &mut Value| {
            object["metadata"]["labels"]["n"] = object["metadata"]["resourceVersion"].clone()
        };
        api.next("PUT", Fault::After(Box::new(move || edit(story))));
    }
    let (document, code) = guardian.run_json();
    assert_eq!((document["error"]["kind"].as_str(), code), (Some("state"), 1));
    assert!(
        document["error"]["message"].as_str().unwrap().contains("changed by others 5 times"),
        "{document:#}"
    );
}

// === Requests whose fate is unknown ===

#[test]
fn a_write_that_was_done_but_not_answered_is_not_taken_for_a_conflict() {
    for fault in [|| Fault::DoneBut(500), || Fault::DoneBut(504), || Fault::DoneButCut] {
        for (before, requests) in
            [(0, ["GET", "PUT", "PUT", "GET", "PUT"]), (1, ["GET", "PUT", "PUT", "PUT", "GET"])]
        {
            let (api, connect) = (FakeApi::start(), failing());
            for _ in 0..before {
                api.next("PUT", Fault::After(Box::new(|| {})));
            }
            api.next("PUT", fault());
            let (document, code) = pod(&api, &connect.url()).run_json();
            assert_eq!((actions(&document), code), (vec!["orders/1 restarted".to_owned()], 0));
            assert_eq!(connect.restarts(), ["orders/1"]);
            assert_eq!((attempts(&api.state(), "orders"), &api.state()["claim"]), (Some(1), &Value::Null));
            assert_eq!(api.requests(), requests);
            let counted = &api.state()["counters"]["task"];
            assert_eq!((&counted["failures"], &counted["restarted"]), (&1.into(), &1.into()), "once");
        }
    }
}

#[test]
fn a_write_that_failed_twice_and_was_another_s_is_a_conflict() {
    let (api, connect) = (FakeApi::start(), failing());
    let edit = api.editor();
    let story = |object: &mut Value| {
        object["data"]["state.json"] = r#"{"version":1,"cluster":"test","run":9,"instances":[]}"#.into();
    };
    api.next("PUT", Fault::Answers(503, "etcdserver: leader changed"));
    api.next("PUT", Fault::After(Box::new(move || edit(story))));
    pod(&api, &connect.url()).run().exits(75);
    assert_eq!(connect.restarts(), [""; 0]);
    assert_eq!(api.state()["run"], 9);
}

#[test]
fn an_api_error_that_passes_is_retried() {
    for (code, message) in
        [(429, "too many requests"), (500, "etcdserver: request timed out"), (503, "apiserver not ready")]
    {
        let (api, connect) = (FakeApi::start(), failing());
        api.next("GET", Fault::Answers(code, message));
        api.next("PUT", Fault::Answers(code, message));
        let (document, exit) = pod(&api, &connect.url()).run_json();
        assert_eq!((actions(&document), exit), (vec!["orders/1 restarted".to_owned()], 0));
        assert_eq!(api.requests(), ["GET", "GET", "PUT", "PUT", "PUT"]);
    }
}

// === Refusals, each in its own words ===

/// The run's error, when nothing was sent, nothing was written, and no output holds the token.
fn refusal(api: &FakeApi, connect: &Connect, guardian: &Guardian, exit: i32) -> String {
    let before = api.object();
    let (document, code) = guardian.run_json();
    assert_eq!(code, exit, "{document:#}");
    let kind = if exit == 2 { "usage" } else { "state" };
    assert_eq!(document["error"]["kind"], kind, "{document:#}");
    assert_eq!(connect.restarts(), [""; 0], "{document:#}");
    assert_eq!(api.object(), before);
    let text = |key: &str| document["error"][key].as_str().unwrap_or_default().to_owned();
    format!("{} | {}", text("message"), text("hint"))
}

fn says(told: &str, words: &[&str]) {
    for word in words {
        assert!(told.contains(word), "{told:?} does not say {word:?}");
    }
}

#[test]
fn each_refusal_of_the_api_has_its_own_words() {
    let forbidden = r#"configmaps "guardian-state" is forbidden: User "system:serviceaccount:connect:guardian" cannot get resource"#;
    for (method, code, message, words) in [
        (
            "GET",
            401,
            "Unauthorized",
            &["does not accept the service account's token (HTTP 401)", "/token is read at every run"][..],
        ),
        (
            "GET",
            403,
            forbidden,
            &[
                "may not get the ConfigMap guardian-state/connect (HTTP 403)",
                "cannot get resource",
                "resourceNames [\"guardian-state\"], verbs [\"get\", \"update\"]",
            ],
        ),
        ("PUT", 403, forbidden, &["may not update the ConfigMap", "RoleBinding in connect"]),
        (
            "GET",
            404,
            "not found",
            &[
                "there is no ConfigMap guardian-state in the namespace connect",
                "the Helm chart does, or kubectl create configmap guardian-state --namespace connect",
            ],
        ),
        ("PUT", 404, "not found", &["there is no ConfigMap guardian-state"]),
        (
            "PUT",
            413,
            "Request entity too large: limit is 3145728",
            &["too large for the Kubernetes API (HTTP 413): Request entity", "is intact"],
        ),
        (
            "PUT",
            422,
            "field is immutable when `immutable` is set",
            &["invalid (HTTP 422): field is immutable", "immutable: true"],
        ),
        ("GET", 302, "elsewhere", &["HTTP 302 to get", "KUBERNETES_SERVICE_HOST"]),
        ("GET", 400, "bad\u{1b}[31m request", &["HTTP 400 to get"]),
    ] {
        let (api, connect) = (FakeApi::start(), failing());
        api.next(method, Fault::Answers(code, message));
        let told = refusal(&api, &connect, &pod(&api, &connect.url()), 1);
        says(&told, words);
        assert!(!told.contains('\u{1b}'), "{told:?}");
    }
}

#[test]
fn an_api_error_that_stays_is_said_to_be_the_api_s_fault() {
    for (method, code, word) in [
        ("GET", 429, "overloaded"),
        ("GET", 500, "fault (HTTP 500, twice): a"),
        ("PUT", 503, "fault (HTTP 503, twice): b"),
    ] {
        let (api, connect) = (FakeApi::start(), failing());
        api.next(method, Fault::Answers(code, "c"));
        api.next(method, Fault::Answers(code, if code == 500 { "a" } else { "b" }));
        let told = refusal(&api, &connect, &pod(&api, &connect.url()), 1);
        says(&told, &[word, "next run tries again"]);
        assert_eq!(api.requests().iter().filter(|request| *request == method).count(), 2);
    }
}

#[test]
fn a_200_of_somebody_else_is_not_the_kubernetes_api() {
    for body in [
        "<html>welcome</html>",
        "{}",
        r#"{"kind":"ConfigMap","metadata":{"name":"another","resourceVersion":"1"}}"#,
        r#"{"kind":"Secret","metadata":{"name":"guardian-state","resourceVersion":"1"}}"#,
        r#"{"kind":"ConfigMap","metadata":{"name":"guardian-state"}}"#,
        r#"{"kind":"ConfigMap","metadata":{"name":"guardian-state","resourceVersion":""}}"#,
    ] {
        let (api, connect) = (FakeApi::start(), failing());
        api.next("GET", Fault::Says(body));
        says(&refusal(&api, &connect, &pod(&api, &connect.url()), 1), &["is not the Kubernetes API"]);
    }
}

#[test]
fn an_answer_without_end_is_not_read_to_it() {
    let (api, connect) = (FakeApi::start(), failing());
    api.next("GET", Fault::Endless);
    let started = Instant::now();
    says(&refusal(&api, &connect, &pod(&api, &connect.url()), 1), &["is not the Kubernetes API"]);
    assert!(started.elapsed().as_secs() < 9, "{:?}", started.elapsed());
}

#[test]
fn a_silent_api_is_left_after_ten_seconds_and_asked_once() {
    let (api, connect) = (FakeApi::start(), failing());
    api.next("GET", Fault::Hangs);
    let started = Instant::now();
    let told = refusal(&api, &connect, &pod(&api, &connect.url()), 1);
    says(&told, &["timed out while waiting for the answer", "it gets 10 s", "NetworkPolicy"]);
    assert!((9..20).contains(&started.elapsed().as_secs()), "{:?}", started.elapsed());
    assert_eq!(api.requests(), ["GET"]);
}

#[test]
fn only_the_cluster_s_own_ca_is_trusted() {
    let (api, connect) = (FakeApi::start(), failing());
    let system = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(system.path(), api.ca_pem()).unwrap();
    // The system would trust this server.
    let guardian = pod(&api, &connect.url()).env("SSL_CERT_FILE", &system.path().display().to_string());
    api.account("ca.crt", &Authority::named("another").ca_pem());
    let told = refusal(&api, &connect, &guardian, 1);
    says(&told, &["signed by a CA that is not trusted here", "ca.crt is trusted", "only the CA of"]);
    assert!(!told.contains("KAFKA_CONNECT"), "{told}");
    assert_eq!(api.requests(), [""; 0]);
}

#[test]
fn a_refused_connection_names_the_settings_of_the_address() {
    let (api, connect) = (FakeApi::start(), failing());
    let closed = connect.closed_url();
    let port = closed.trim_end_matches('/').rsplit(':').next().unwrap();
    let told = refusal(&api, &connect, &pod(&api, &connect.url()).env("KUBERNETES_SERVICE_PORT", port), 1);
    says(
        &told,
        &["Connection refused", "KUBERNETES_SERVICE_HOST and _PORT say where it is", "NetworkPolicy"],
    );
}

/// In front of an API server, something that drops the first connections.
fn dropping(api: &FakeApi, first: usize) -> (u16, Arc<AtomicUsize>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let (port, server) = (listener.local_addr().unwrap().port(), api.port());
    let count = Arc::new(AtomicUsize::new(0));
    let connections = Arc::clone(&count);
    std::thread::spawn(move || {
        for client in listener.incoming().flatten() {
            if connections.fetch_add(1, Ordering::SeqCst) < first {
                continue;
            }
            let server = TcpStream::connect(("127.0.0.1", server)).unwrap();
            for (mut from, mut to) in [
                (client.try_clone().unwrap(), server.try_clone().unwrap()),
                (server.try_clone().unwrap(), client.try_clone().unwrap()),
            ] {
                std::thread::spawn(move || {
                    let _ = std::io::copy(&mut from, &mut to);
                    let _ = to.shutdown(std::net::Shutdown::Write);
                });
            }
        }
    });
    (port, count)
}

/// A sidecar lets nothing out for some seconds (istio/istio#11130, #32439): the state is waited for as Connect is.
#[test]
fn an_api_that_is_not_reached_at_first_is_waited_for() {
    let commands = [&["run", "--once"][..], &["status"], &["run", "--once", "--dry-run"]];
    each(commands.to_vec(), |command| {
        let (api, connect) = (FakeApi::start(), failing());
        let (port, connections) = dropping(&api, 3);
        let guardian = pod(&api, &connect.url()).env("KUBERNETES_SERVICE_PORT", &port.to_string());
        let ended = guardian.with(command).exits(0);
        assert_eq!(api.requests()[0], "GET", "{ended:?}");
        assert!(connections.load(Ordering::SeqCst) >= 4);
        let last = ended.stderr.lines().rfind(|line| line.contains(" INFO the Kubernetes API: "));
        assert!(last.is_some_and(|line| line.ends_with("; asking again in 5s")), "{ended:?}");
    });
    // But not for ever.
    let (api, connect) = (FakeApi::start(), failing());
    let (port, connections) = dropping(&api, 4);
    let guardian = pod(&api, &connect.url()).env("KUBERNETES_SERVICE_PORT", &port.to_string());
    says(&refusal(&api, &connect, &guardian, 1), &["the Kubernetes API at https://127.0.0.1:"]);
    assert_eq!(connections.load(Ordering::SeqCst), 4);
}

#[test]
fn outside_of_a_pod_and_wrong_names_are_usage_errors() {
    let (api, connect) = (FakeApi::start(), failing());
    let with =
        |name: &str, value: &str| refusal(&api, &connect, &pod(&api, &connect.url()).env(name, value), 2);
    says(
        &with("KUBERNETES_SERVICE_HOST", ""),
        &["GUARDIAN_STATE", "this is none (KUBERNETES_SERVICE_HOST is not set)"],
    );
    says(&with("KUBERNETES_SERVICE_PORT", "https"), &["make no address"]);
    says(&with("KUBERNETES_SERVICE_HOST", "user@host/x"), &["make no address"]);
    says(
        &with("GUARDIAN_SERVICEACCOUNT_DIR", "/nowhere"),
        &["/nowhere/namespace cannot be read", "automountServiceAccountToken"],
    );
    for name in ["", "Guardian", "a_b", "../secrets/x", "a/b/c", "a/", "/b", "-a", "a.", "a/b.c"] {
        says(&with("GUARDIAN_STATE", &format!("configmap:{name}")), &["configmap:NAME[/NAMESPACE]"]);
    }
    api.account("token", "\n");
    says(&with("HOSTNAME", "x"), &["/token holds no token"]);
    api.account("token", "two\nlines");
    says(&with("HOSTNAME", "x"), &["/token holds no token"]);
    api.account("token", TOKEN);
    api.account("ca.crt", "nothing");
    says(&with("HOSTNAME", "x"), &["/ca.crt holds no PEM certificate"]);
    assert_eq!(api.requests(), [""; 0]);
}

#[test]
fn the_token_is_never_printed() {
    let (api, connect) = (FakeApi::start(), failing());
    api.next("PUT", Fault::Answers(503, "x"));
    for code in [0, 1] {
        let guardian = pod(&api, &connect.url()).env("LOG_LEVEL", "trace");
        let ended = guardian.run().exits(code);
        assert!(!format!("{ended:?}").contains(TOKEN), "{ended:?}");
        api.next("GET", Fault::Answers(401, "Unauthorized"));
    }
}

/// The API server says so when it gets them.
#[test]
fn headers_for_a_gateway_are_for_connect_only() {
    let (api, connect) = (FakeApi::start(), failing());
    let guardian = pod(&api, &connect.url());
    let file = guardian.folder().join("headers");
    std::fs::write(&file, "X-Api-Key: hunter2").unwrap();
    guardian.env("KAFKA_CONNECT_HEADERS_FILE", file.to_str().unwrap()).run().exits(0);
    assert_eq!(api.requests(), ["GET", "PUT", "PUT"]);
    assert!(connect.requests().iter().all(|request| request.head.header("x-api-key") == Some("hunter2")));
}

#[test]
fn a_token_that_was_renewed_is_read_by_the_next_run_of_a_loop() {
    let (api, connect) = (FakeApi::start(), failing());
    api.account("token", "an old one");
    let guardian = pod(&api, &connect.url()).arg("--every").arg("1s");
    api.account("token", "an-old-one");
    let running = guardian.start(&["run"]);
    std::thread::sleep(Duration::from_millis(1500));
    assert_eq!(connect.restarts(), [""; 0]);
    api.account("token", &format!("{TOKEN}\n"));
    connect.wait_for("the restart", |connect| connect.restarts().len() == 1);
    let stopped =
        std::process::Command::new("sh").args(["-c", &format!("kill {}", running.id())]).status().unwrap();
    assert!(stopped.success());
    let ended = Ended::of(running);
    assert!([0, 143].contains(&ended.code), "{ended:?}");
}

// === What does not fit, and what cannot be understood ===

#[test]
fn a_state_that_would_fill_the_configmap_is_refused_before_anything_is_sent() {
    for (kib, fits) in [(898, true), (900, false)] {
        let (api, connect) = (FakeApi::start(), failing());
        api.edit(|object| object["data"]["other"] = "x".repeat(kib * 1024).into());
        let guardian = pod(&api, &connect.url());
        if fits {
            guardian.run().exits(0);
            assert_eq!(connect.restarts(), ["orders/1"]);
            continue;
        }
        let told = refusal(&api, &connect, &guardian, 1);
        says(
            &told,
            &[
                "would hold 901 KiB (the state 1 of them), and 900 KiB is the most that fits",
                "remove its state.corrupt-",
            ],
        );
        assert_eq!(api.requests(), ["GET"]);
    }
}

#[test]
fn a_full_configmap_can_be_reset() {
    let (api, connect) = (FakeApi::start(), failing());
    let guardian = pod(&api, &connect.url());
    guardian.run().exits(0);
    api.edit(|object| object["data"]["other"] = "x".repeat(1000 * 1024).into());
    guardian.with(&["reset", "--all"]).exits(0);
    assert_eq!(remembered(&api), [""; 0]);
    assert_eq!(api.state()["claim"], Value::Null);
}

#[test]
fn what_was_spoilt_during_the_restarts_is_kept_and_the_run_s_own_ledger_is_saved() {
    let (api, connect) = (FakeApi::start(), failing());
    let edit = api.editor();
    let story = |object: &mut Value| object["data"]["state.json"] = "spoilt".into();
    api.next("PUT", Fault::After(Box::new(|| {})));
    api.next("PUT", Fault::After(Box::new(move || edit(story))));
    pod(&api, &connect.url()).run().exits(0);
    assert_eq!(attempts(&api.state(), "orders"), Some(1));
    assert!(api.object()["data"].as_object().unwrap().values().any(|text| text == "spoilt"));
}

#[test]
fn a_state_that_another_run_sets_aside_first_is_left_to_it() {
    let (api, connect) = (FakeApi::start(), Connect::start(Profile::V3_9));
    connect.connector("orders").tasks(1);
    api.edit(|object| object["data"]["state.json"] = "spoilt".into());
    let edit = api.editor();
    let story = |object: &mut Value| object["data"] = json!({"state.corrupt-1": "spoilt"});
    api.next("PUT", Fault::After(Box::new(move || edit(story))));
    pod(&api, &connect.url()).run().exits(75);
    assert_eq!(api.object()["data"], json!({"state.corrupt-1": "spoilt"}));
}

#[test]
fn a_configmap_that_is_deleted_during_the_restarts_is_said_and_not_created() {
    let (api, connect) = (FakeApi::start(), failing());
    let held = hold_restarts(&connect);
    let guardian = pod(&api, &connect.url());
    let run = guardian.start(&["run", "--once"]);
    connect.wait_for("the restart", |connect| connect.restarts().len() == 1);
    api.delete();
    drop(held);
    let ended = Ended::of(run).exits(1);
    assert!(ended.stderr.contains("there is no ConfigMap guardian-state"), "{ended:?}");
}
