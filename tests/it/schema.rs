//! The documents for scripts against `src/report/schema/`: whatever any test lets the program print in JSON is held to its
//! schema (`hold`), and here a few runs that have everything in them. A key that no schema has fails.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::LazyLock;

use boon::{Compiler, SchemaIndex, Schemas};
use serde_json::{Value, json};

use crate::sim::{Answer, Connect, Failure, Profile};
use crate::support::{Guardian, actions, each};

const SCHEMAS: [(&str, &str); 9] = [
    ("run", include_str!("../../src/report/schema/run.json")),
    ("status", include_str!("../../src/report/schema/status.json")),
    ("reset", include_str!("../../src/report/schema/reset.json")),
    ("hold", include_str!("../../src/report/schema/hold.json")),
    ("release", include_str!("../../src/report/schema/release.json")),
    ("history", include_str!("../../src/report/schema/history.json")),
    ("notify", include_str!("../../src/report/schema/notify.json")),
    ("schedule", include_str!("../../src/report/schema/schedule.json")),
    ("failure", include_str!("../../src/report/schema/failure.json")),
];

struct Compiled {
    schemas: Schemas,
    by_name: BTreeMap<&'static str, SchemaIndex>,
}

static COMPILED: LazyLock<Compiled> = LazyLock::new(|| {
    let (mut compiler, mut schemas) = (Compiler::new(), Schemas::new());
    compiler.enable_format_assertions();
    let address = |name: &str| format!("https://schema.example/{name}.json");
    for (name, text) in SCHEMAS {
        let schema = serde_json::from_str(text).unwrap_or_else(|error| panic!("{name}.json: {error}"));
        compiler.add_resource(&address(name), schema).expect("a resource");
    }
    let by_name = SCHEMAS.map(|(name, _)| {
        let compiled = compiler.compile(&address(name), &mut schemas);
        (name, compiled.unwrap_or_else(|error| panic!("{name}.json: {error:#}")))
    });
    Compiled { schemas, by_name: by_name.into() }
});

/// Fails unless this is what its schema says.
pub(crate) fn hold(document: &Value) {
    if let Err(breach) = check(document) {
        panic!("{breach}\n{document:#}");
    }
}

fn check(document: &Value) -> Result<(), String> {
    // A command that failed before it had anything to say.
    let failed = document.get("cluster") == Some(&Value::Null);
    let name = if failed { "failure" } else { document["command"].as_str().unwrap_or("failure") };
    let name = if name == "retry" { "run" } else { name };
    let schema = COMPILED.by_name.get(name).ok_or_else(|| format!("{name} has no schema"))?;
    COMPILED.schemas.validate(document, *schema).map_err(|error| error.to_string())
}

fn schemas() -> impl Iterator<Item = (&'static str, Value)> {
    SCHEMAS.into_iter().map(|(name, text)| (name, serde_json::from_str(text).expect("JSON")))
}

/// All parts of a schema that describe an object, with where they are.
fn objects(at: &str, schema: &Value, found: &mut Vec<(String, Value)>) {
    if let Some(parts) = schema.as_object() {
        // What only narrows an object that is described elsewhere has no type.
        if schema.get("properties").is_some() && schema.get("type").is_some() {
            found.push((at.to_owned(), schema.clone()));
        }
        parts.iter().for_each(|(key, part)| objects(&format!("{at}/{key}"), part, found));
    }
    schema.as_array().into_iter().flatten().for_each(|part| objects(at, part, found));
}

#[test]
fn every_key_of_a_document_is_in_its_schema_and_always_there() {
    let mut found = Vec::new();
    schemas().for_each(|(name, schema)| objects(name, &schema, &mut found));
    assert!(found.len() > 10, "{found:#?}");
    for (at, object) in found {
        assert_eq!(object["additionalProperties"], false, "{at}");
        let keys: BTreeSet<&str> =
            object["properties"].as_object().unwrap().keys().map(String::as_str).collect();
        let required: BTreeSet<&str> =
            object["required"].as_array().unwrap().iter().filter_map(Value::as_str).collect();
        assert_eq!(keys, required, "{at}");
    }
}

/// One connector for each thing that can be done about an instance, after the run that makes it remember.
fn everything() -> (Connect, Guardian) {
    let connect = Connect::start(Profile::V3_9);
    for name in [
        "absent",
        "deferred",
        "excluded",
        "failed",
        "gone",
        "gave-up",
        "held",
        "parked",
        "recovered",
        "unknown",
    ] {
        connect.connector(name).tasks(1);
    }
    connect.connector("restarted").tasks(1);
    connect.connector("waiting").tasks(2);
    connect.connector("no-tasks");
    connect.connector("in-transition").tasks(1);
    connect.fail_task("absent", 0, Failure::always());
    connect.fail_task("gave-up", 0, Failure::always());
    connect.fail_task("recovered", 0, Failure::healing_after(1));
    connect.fail_task("waiting", 0, Failure::always());
    let guardian = Guardian::at(&connect.url()).env("MAX_RESTART", "1").env("GUARDIAN_EXCLUDE", "excluded");
    guardian.run_json();
    (connect, guardian)
}

#[test]
fn documents_with_every_action_hold_to_their_schema() {
    let (connect, guardian) = everything();
    // By now one of its tasks may have two restarts, and has had one.
    let guardian = guardian.env("MAX_RESTART", "2");
    connect.delete("absent");
    guardian.json(&["hold", "he*", "--for", "2h", "--reason", "a migration"]);
    for name in ["deferred", "held", "excluded", "failed", "gone", "restarted", "unknown"] {
        connect.fail_task(name, 0, Failure::always());
    }
    connect.fail_task("parked", 0, Failure::always());
    connect.pause("parked");
    connect.set_state("in-transition", Some(0), "RESTARTING");
    connect.on_restart("deferred").answers(Answer::error(409, "a rebalance is under way")).times(4);
    connect.on_restart("failed").answers(Answer::error(500, "Failed to start task failed-0"));
    connect.on_restart("gone").answers(Answer::error(404, "Unknown task: gone-0"));
    connect.on_restart("unknown").answers(Answer::reset());
    let mut seen = BTreeSet::new();
    let mut add = |document: &Value| {
        seen.extend(actions(document).iter().filter_map(|line| Some(line.rsplit_once(' ')?.1.to_owned())));
    };
    let (document, code) = guardian.json(&["run", "--once", "--dry-run"]);
    assert_eq!(code, 0);
    add(&document);
    add(&guardian.json(&["status"]).0);
    let (document, code) = guardian.run_json();
    assert_eq!(code, 1, "one is of unknown fate");
    add(&document);
    let guardian = guardian.env("MAX_RESTART", "1");
    add(&guardian.run_json().0);
    let all = schemas().next().unwrap().1["$defs"]["instance"]["properties"]["action"]["enum"].clone();
    let all: BTreeSet<String> = serde_json::from_value(all).unwrap();
    assert_eq!(seen, all);
    for arguments in [
        &["status"][..],
        &["reset", "waiting"],
        &["reset", "nobody"],
        &["reset", "--all"],
        &["history"],
        &["history", "--since", "8h", "--until", "0s", "--connector", "he*"],
        &["release", "nobody"],
        &["release", "he*"],
        &["release", "--all"],
        &["schedule"],
        &["schedule", "--max-restart", "unlimited"],
        &["schedule", "--backoff-step", "5m"],
    ] {
        guardian.json(arguments);
    }
}

#[test]
fn documents_of_failures_hold_to_their_schema() {
    let connect = Connect::start(Profile::V3_9);
    let nobody = Guardian::at(&connect.closed_url());
    let wrong = Guardian::at(&connect.url()).env("MAX_RESTART", "none");
    let cases = vec![
        (&nobody, &["run"][..], "unreachable"),
        (&nobody, &["status"], "unreachable"),
        (&wrong, &["run"], "usage"),
        (&wrong, &["status"], "usage"),
        (&wrong, &["reset", "--all"], "usage"),
        (&wrong, &["schedule"], "usage"),
        (&wrong, &["history"], "usage"),
        (&nobody, &["history", "--since", "yesterday"], "usage"),
        (&nobody, &["history", "--since", "1h", "--until", "2h"], "usage"),
        (&nobody, &["hold", "a"], "usage"),
        (&nobody, &["hold", "a", "--for", "31days"], "usage"),
        (&nobody, &["release"], "usage"),
        (&nobody, &["run", "--nonsense"], "usage"),
    ];
    each(cases, |(guardian, arguments, kind)| {
        let (document, _) = guardian.json(arguments);
        assert_eq!(
            (&document["ok"], &document["error"]["kind"]),
            (&json!(false), &json!(kind)),
            "{arguments:?}"
        );
    });
}

/// Six connectors that fail for one cause, in waves that do not keep a test waiting.
fn outage(failure: &Failure) -> (Connect, Guardian) {
    let connect = Connect::start(Profile::V3_9);
    for number in 0..6 {
        let name = format!("sink-{number}");
        connect.connector(&name).tasks(2);
        connect.fail_all_tasks(&name, failure);
    }
    let guardian =
        Guardian::at(&connect.url()).env("GUARDIAN_GROUP_FROM", "3").env("GUARDIAN_WATCH", "200ms");
    (connect, guardian)
}

#[test]
fn documents_with_a_group_hold_to_their_schema() {
    for step in ["run", "5m"] {
        let (connect, guardian) = outage(&Failure::always());
        let guardian = guardian.env("GUARDIAN_BACKOFF_STEP", step);
        let (document, _) = guardian.json(&["run", "--once", "--dry-run"]);
        assert_eq!(document["groups"][0]["canaries"], json!(["sink-0"]), "who would go first");
        let (document, code) = guardian.run_json();
        let group = &document["groups"][0];
        assert_eq!((code, document["groups"].as_array().map(Vec::len)), (0, Some(1)));
        assert_eq!(
            (&group["connectors"], &group["tasks"], &group["bad_waves"]),
            (&json!(6), &json!(12), &json!(1))
        );
        assert_eq!(group["canaries"], json!(["sink-0"]));
        assert_eq!(group["key"], document["instances"][0]["group"]);
        assert_eq!(group["next"]["runs"].is_u64(), step == "run");
        // A member that waits does not go before its group does.
        let last = document["instances"].as_array().unwrap().last().unwrap();
        assert_eq!((&last["action"], &last["next"]), (&json!("waiting"), &group["next"]));
        let (status, _) = guardian.json(&["status"]);
        assert_eq!(status["groups"][0]["canaries"], json!(["sink-0"]), "who went first");
        assert_eq!(connect.restarts().len(), 1);
    }
    let (_connect, guardian) = outage(&Failure::healing_after(1));
    let (document, _) = guardian.run_json();
    assert_eq!(
        (&document["groups"][0]["bad_waves"], &document["summary"]["restarted"]),
        (&json!(0), &json!(12))
    );
}

#[test]
fn a_key_that_the_schema_does_not_have_fails() {
    let (_connect, guardian) = outage(&Failure::always());
    let (good, _) = guardian.run_json();
    assert_eq!(check(&good), Ok(()));
    for at in ["", "/connectors", "/instances/0", "/instances/0/next", "/groups/0", "/summary"] {
        let mut more = good.clone();
        more.pointer_mut(at).unwrap().as_object_mut().unwrap().insert("new".to_owned(), Value::Null);
        assert!(check(&more).unwrap_err().contains("new"), "{at}");
    }
    let mut wrong = good;
    wrong["started_at"] = json!("yesterday");
    assert!(check(&wrong).unwrap_err().contains("/started_at"));
}
