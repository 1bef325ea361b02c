//! Clusters that behave unlike one worker of one version: statuses that lag behind the truth, slow starts, workers of
//! different versions, a standalone worker.

use std::time::Duration;

use crate::sim::{Answer, Connect, Failure, Profile};
use crate::support::{Guardian, actions, instance};

const ALL_FAILED: &str = "orders?includeTasks&onlyFailed";

/// The actions of so many runs, one after the other, and the restarts of what was not FAILED at that moment.
fn runs(n: usize, connect: &Connect, settle: &str) -> (Vec<String>, Vec<String>) {
    let guardian = Guardian::at(&connect.url()).env("GUARDIAN_SETTLE", settle).env("EXPONENTIAL_RATIO", "1");
    let run = || {
        let (document, code) = guardian.run_json();
        assert_eq!(code, 0, "{document:#}");
        actions(&document).join(", ")
    };
    ((0..n).map(|_| run()).collect(), connect.restarts_of_unfailed())
}

#[test]
fn settle_keeps_a_restart_from_being_repeated_while_the_status_lags() {
    let lagging = || {
        let connect = Connect::start(Profile::V3_9);
        connect.connector("orders").tasks(1).status_lag(2);
        connect.fail_task("orders", 0, Failure::healing_after(1));
        connect
    };
    let settled = ["orders/0 restarted", "orders/0 waiting", "orders/0 waiting", "orders/0 recovered"];
    assert_eq!(runs(4, &lagging(), "1m"), (settled.map(str::to_owned).to_vec(), Vec::new()));
    let (_, unfailed) = runs(2, &lagging(), "0s");
    assert_eq!(unfailed, ["orders/0 was RUNNING"], "without it the second run restarts what runs");
}

#[test]
fn settle_keeps_a_restart_from_being_repeated_during_a_slow_start() {
    let slow = || {
        let connect = Connect::start(Profile::V3_9);
        connect.connector("orders").tasks(1).slow_start(2);
        connect.fail_task("orders", 0, Failure::healing_after(1));
        connect
    };
    let settled = ["orders/0 restarted", "orders/0 waiting", "orders/0 waiting", "orders/0 recovered"];
    assert_eq!(runs(4, &slow(), "1m"), (settled.map(str::to_owned).to_vec(), Vec::new()));
    let (_, unfailed) = runs(2, &slow(), "0s");
    assert_eq!(unfailed, ["orders/0 was STARTING"], "without it the second run restarts what starts");
}

#[test]
fn settle_counts_from_the_answer_to_the_restart() {
    let connect = Connect::start(Profile::V3_9);
    connect.connector("orders");
    connect.fail_connector("orders", Failure::always());
    connect.on_restart("orders").answers(Answer::normal().delayed(Duration::from_millis(2200)));
    let expected = ["orders failed", "orders waiting"].map(str::to_owned).to_vec();
    assert_eq!(runs(2, &connect, "2s"), (expected, Vec::new()));
}

#[test]
fn a_slow_start_that_connect_shows_is_in_transition() {
    let connect = Connect::start(Profile::V3_9);
    connect.connector("orders").tasks(2).slow_start(1);
    connect.fail_all_tasks("orders", &Failure::healing_after(1));
    connect.connector("users").slow_start(1);
    connect.fail_connector("users", Failure::healing_after(1));
    let in_each =
        |action: &str| ["orders/0", "orders/1", "users"].map(|name| format!("{name} {action}")).join(", ");
    let expected = ["restarted", "in_transition", "recovered"].map(in_each).to_vec();
    assert_eq!(runs(3, &connect, "0s"), (expected, Vec::new()));
    let mut restarts = connect.restarts();
    restarts.sort();
    assert_eq!(restarts, [ALL_FAILED, "users"]);
}

/// The follower of a newer leader cannot read what that answers to the call for all. The leader has done it.
#[test]
fn a_follower_older_than_its_leader_leaves_the_fate_unknown_and_nothing_is_restarted_twice() {
    let connect = Connect::with(Profile::V4_3).and_worker(Profile::V3_9).start();
    connect.connector("orders").tasks(2);
    connect.fail_all_tasks("orders", &Failure::healing_after(1));
    let guardian = Guardian::at(&connect.url_of(1)).env("EXPONENTIAL_RATIO", "1");
    let (document, code) = guardian.run_json();
    assert_eq!(actions(&document), ["orders/0 unknown", "orders/1 unknown"]);
    assert_eq!((code, document["error"]["kind"].as_str()), (1, Some("restart")));
    let error = instance(&document, "orders", Some(0))["error"].as_str().unwrap();
    assert!(error.contains("Unrecognized field \"version\""), "{error}");
    let (next, code) = guardian.run_json();
    assert_eq!((actions(&next).join(", "), code), ("orders/0 recovered, orders/1 recovered".into(), 0));
    assert_eq!((connect.restarts(), connect.executed().len()), (vec![ALL_FAILED.to_owned()], 2));
}

#[test]
fn a_standalone_worker_is_understood_in_its_own_words() {
    let connect = Connect::with(Profile::V3_9).standalone().start();
    connect.connector("orders").tasks(3);
    connect.fail_task("orders", 0, Failure::healing_after(1));
    connect.fail_task("orders", 2, Failure::healing_after(1));
    connect.connector("users");
    connect.fail_connector("users", Failure::always());
    connect.connector("deleted");
    connect.fail_connector("deleted", Failure::always());
    connect.on_restart("deleted").runs(|connect| connect.delete("deleted"));
    let guardian = Guardian::at(&connect.url());
    let (document, code) = guardian.run_json();
    // Its 202 comes when all is done, and shows RUNNING already. For a connector that is gone it has no 404.
    assert_eq!(
        actions(&document),
        ["deleted unknown", "orders/0 restarted", "orders/2 restarted", "users failed"]
    );
    assert_eq!((code, document["error"]["kind"].as_str()), (1, Some("restart")));
    let error = instance(&document, "users", None)["error"].as_str().unwrap();
    assert!(error.contains("Failed to transition connector users to state STARTED"), "{error}");
    assert_eq!(guardian.attempts("users", None), Some(1), "it was done, and failed again");
    let (next, code) = guardian.run_json();
    let expected = ["deleted absent", "orders/0 recovered", "orders/2 recovered", "users waiting"];
    assert_eq!((actions(&next), code), (expected.map(str::to_owned).to_vec(), 0));
    assert_eq!(connect.restarts_of_unfailed(), Vec::<String>::new());
}
