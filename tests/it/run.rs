//! What runs do, one after another: restart, wait, forgive, give up, and leave
//! alone what is not theirs.

use std::collections::BTreeSet;

use crate::sim::{Connect, Failure, Profile};
use crate::support::{Guardian, actions, instance};

#[test]
fn a_healthy_cluster_costs_one_request_and_no_write() {
    let connect = Connect::start(Profile::V3_9);
    connect.connector("orders").tasks(2);
    let guardian = Guardian::at(&connect.url());
    for _ in 0..2 {
        let ended = guardian.run().exits(0);
        assert_eq!(ended.stdout, "test: nothing failed: 1 connector, 2 tasks\n");
        assert_eq!(ended.stderr, "");
    }
    assert_eq!(connect.requests().len(), 2);
    assert_eq!(guardian.remembered(), None);
}

#[test]
fn every_request_has_a_connection_of_its_own() {
    let connect = Connect::start(Profile::V3_9);
    for name in ["a", "b", "c"] {
        connect.connector(name).tasks(2);
        connect.fail_all_tasks(name, &Failure::always());
    }
    Guardian::at(&connect.url()).env("GUARDIAN_PARALLEL", "1").run().exits(0);
    let connections: BTreeSet<usize> =
        connect.requests().iter().map(|request| request.head.connection).collect();
    assert_eq!(
        (connect.restarts().len(), connections.len()),
        (3, 6),
        "the listing, the health, the version, three restarts"
    );
}

#[test]
fn a_failed_task_is_restarted_recovers_and_is_forgiven() {
    let connect = Connect::start(Profile::V3_9);
    connect.connector("orders").tasks(3);
    connect.fail_task("orders", 2, Failure::healing_after(1).caused_by("java.io.IOException: disk"));
    let guardian = Guardian::at(&connect.url());

    let (first, code) = guardian.run_json();
    assert_eq!((actions(&first), code), (vec!["orders/2 restarted".to_owned()], 0));
    assert_eq!(
        instance(&first, "orders", Some(2))["cause"],
        "org.apache.kafka.connect.errors.RetriableException: write failed (IOException: disk)"
    );
    assert_eq!(instance(&first, "orders", Some(2))["next"]["runs"], 2);
    assert_eq!(connect.take_restarts(), ["orders/2"]);

    let (second, _) = guardian.run_json();
    assert_eq!(actions(&second), ["orders/2 recovered"]);
    assert_eq!(guardian.attempts("orders", Some(2)), Some(1));
    let (third, _) = guardian.run_json();
    assert_eq!((actions(&third).len(), third["run"].as_u64()), (0, Some(3)));
    assert_eq!(guardian.attempts("orders", Some(2)), None, "forgiven by the second healthy run");
    assert_eq!(connect.restarts_of_unfailed(), Vec::<String>::new());
}

#[test]
fn what_never_heals_follows_the_timetable_and_is_given_up() {
    let connect = Connect::start(Profile::V3_9);
    connect.connector("orders").tasks(1);
    connect.fail_task("orders", 0, Failure::always());
    let guardian = Guardian::at(&connect.url()).env("MAX_RESTART", "4");
    let mut restarted = Vec::new();
    for run in 0..20 {
        let (document, code) = guardian.run_json();
        assert_eq!(code, 0);
        let action = instance(&document, "orders", Some(0))["action"].as_str().unwrap().to_owned();
        match action.as_str() {
            "restarted" => restarted.push(run),
            "waiting" => assert!(run < 14),
            "gave_up" => assert!(run > 14),
            other => panic!("{other}"),
        }
    }
    assert_eq!(restarted, [0, 2, 6, 14]);
    assert_eq!(connect.count_restarts_of("orders", Some(0)), 4);
}

#[test]
fn several_failed_tasks_go_in_one_call_where_connect_can() {
    for (profile, calls) in [
        (Profile::V4_3, vec!["orders?includeTasks&onlyFailed"]),
        (Profile::V3_0, vec!["orders/0", "orders/2"]),
        (Profile::V2_8, vec!["orders/0", "orders/2"]),
    ] {
        let connect = Connect::start(profile);
        connect.connector("orders").tasks(3);
        connect.fail_task("orders", 0, Failure::always());
        connect.fail_task("orders", 2, Failure::always());
        let guardian = Guardian::at(&connect.url());
        let (document, code) = guardian.run_json();
        assert_eq!(
            (actions(&document), code),
            (vec!["orders/0 restarted".into(), "orders/2 restarted".into()], 0)
        );
        assert_eq!(connect.restarts(), calls, "{profile:?}");
        assert_eq!(connect.restarts_of_unfailed(), Vec::<String>::new());
    }
}

/// A script reads the same keys from every document, also from that of a run
/// which never began.
#[test]
fn every_document_has_the_same_keys() {
    let connect = Connect::start(Profile::V3_9);
    connect.connector("orders").tasks(1);
    connect.fail_task("orders", 0, Failure::always());
    let keys = |document: &serde_json::Value| -> Vec<String> {
        document.as_object().expect("an object").keys().cloned().collect()
    };
    let (good, code) = Guardian::at(&connect.url()).run_json();
    assert_eq!((code, good["ok"].as_bool()), (0, Some(true)));
    let (unreachable, code) = Guardian::at(&connect.closed_url()).run_json();
    assert_eq!((code, &unreachable["error"]["kind"]), (1, &"unreachable".into()));
    let (usage, code) = Guardian::at(&connect.url()).env("MAX_RESTART", "0").run_json();
    assert_eq!((code, &usage["error"]["kind"]), (2, &"usage".into()));
    for document in [&unreachable, &usage] {
        assert_eq!(keys(document), keys(&good));
        assert_eq!((document["ok"].as_bool(), &document["tasks"]), (Some(false), &serde_json::Value::Null));
    }
}
