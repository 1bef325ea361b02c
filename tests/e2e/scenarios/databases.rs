//! Connectors that people run, on a real database: what their failures are said to be, and that they come back.

use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::connect::{Setup, Worker, await_one_group};
use crate::guardian::{Guardian, Run};
use crate::jars::{self, Version};
use crate::jvm;
use crate::postgres::{self, Postgres};
use crate::scene::scenario;
use crate::wait;

scenario!(alone a_database_that_goes_and_comes_back_takes_its_connectors_along on V3_9 V4_3);

scenario!(alone a_dozen_sinks_of_one_database_come_back_in_one_run on V3_9 V4_3);

const SOURCE: &str = "pg-source";
const SINK: &str = "jdbc-sink";
const POISONED: &str = "jdbc-poisoned";

fn a_database_that_goes_and_comes_back_takes_its_connectors_along(version: &'static Version) {
    let database = Postgres::start();
    database.sql("src", "create role dbz superuser login replication password 'first'");
    database.sql("src", "create table orders (id int primary key, item text)");
    database.sql("src", "insert into orders values (1, 'one')");
    let worker = worker(version);
    let guardian = Guardian::new(&worker.url(), &jvm::new_folder("guardian"));
    let topics = format!("t{}", database.port);
    worker.create(SOURCE, source(&database, &topics));
    worker.await_task(SOURCE, 0, "RUNNING");
    worker.create(SINK, sink(&database, &format!("{topics}.public.orders")));
    await_copied(&database, 1);

    // Gone: the cause names the database and the refusal.
    database.down();
    worker.await_task(SOURCE, 0, "FAILED");
    worker.demand("POST", &format!("/connectors/{SOURCE}/tasks/0/restart"), "", 204);
    let (port, refused) = (format!("127.0.0.1:{}", database.port), "Connection refused");
    await_cause(&worker, &format!("{port} refused"));
    let run = guardian.once(&[]);
    shows(&run, SOURCE, &[port.as_str(), refused], "passes");

    // Back, with another password: a person is needed.
    database.up();
    database.sql("src", "alter role dbz password 'second'");
    worker.demand("POST", &format!("/connectors/{SOURCE}/tasks/0/restart"), "", 204);
    await_cause(&worker, "password authentication failed");
    let run = guardian.once(&[]);
    shows(&run, SOURCE, &["password authentication failed for user \"dbz\""], "needs_person");

    // The right password again: guardian brings back all that failed, and rows flow.
    database.sql("src", "alter role dbz password 'first'");
    database.sql("src", "insert into orders values (2, 'two')");
    wait::until_within(Duration::from_secs(240), "both connectors and the second row", || {
        guardian.once(&[]);
        std::thread::sleep(Duration::from_secs(3));
        let copied = copied(&database);
        if copied == "2" { Ok(()) } else { Err(format!("{copied} rows")) }
    });
    worker.await_task(SOURCE, 0, "RUNNING");
    worker.await_task(SINK, 0, "RUNNING");

    a_poisoned_record(&worker, &database, &guardian, &topics);
}

/// A record that cannot be read fails at every restart, until the sink is told to skip it.
fn a_poisoned_record(worker: &Worker, database: &Postgres, guardian: &Guardian, topics: &str) {
    let topic = format!("{topics}.poison");
    let file = jvm::new_folder("poison").join("in.txt");
    std::fs::write(&file, "{\"schema\": oops\n").expect("write the record");
    worker.create(
        "poison-source",
        json!({
            "connector.class": "org.apache.kafka.connect.file.FileStreamSourceConnector",
            "file": file.display().to_string(), "topic": topic,
            "value.converter": "org.apache.kafka.connect.storage.StringConverter",
        }),
    );
    let config = sink(database, &topic);
    worker.create(POISONED, config.clone());
    worker.await_task(POISONED, 0, "FAILED");
    let run = guardian.once(&[]);
    shows(&run, POISONED, &["JsonParseException", "Unrecognized token 'oops'"], "needs_person");
    // The restart ends as the first start did.
    worker.await_task(POISONED, 0, "FAILED");

    let mut skips = config;
    skips["errors.tolerance"] = "all".into();
    worker.demand("PUT", &format!("/connectors/{POISONED}/config"), &skips.to_string(), 200);
    wait::until_within(Duration::from_secs(60), "the sink to run again", || {
        guardian.once(&[]);
        let state = worker.status(POISONED)?["tasks"][0]["state"].clone();
        if state == "RUNNING" { Ok(()) } else { Err(state.to_string()) }
    });
}

/// Debezium's JDBC sink tries for 30 s to get a connection before it fails again. Meanwhile it is RESTARTING, so that the
/// default look must outlast it.
fn a_dozen_sinks_of_one_database_come_back_in_one_run(version: &'static Version) {
    let database = Postgres::start();
    database.sql("src", "create role dbz superuser login replication password 'first'");
    let setup = setup(version);
    let workers = [setup.start(), setup.start()];
    await_one_group(&[&workers[0], &workers[1]]);
    let names: Vec<String> = (1..=12).map(|number| format!("sink-{number:02}")).collect();
    for name in &names {
        workers[0].create(name, sink(&database, &format!("t{}.nothing", database.port)));
    }
    names.iter().for_each(|name| workers[0].await_task(name, 0, "RUNNING"));
    database.down();
    for name in &names {
        workers[0].demand("POST", &format!("/connectors/{name}/tasks/0/restart"), "", 204);
    }
    wait::until_within(Duration::from_secs(120), "all of them to fail", || {
        let states = names.iter().map(|name| Ok(workers[0].status(name)?["tasks"][0]["state"].to_string()));
        let states: Vec<String> = states.collect::<Result<_, String>>()?;
        if states.iter().all(|state| state == "\"FAILED\"") { Ok(()) } else { Err(states.join(" ")) }
    });

    let guardian =
        Guardian::new(&workers[1].url(), &jvm::new_folder("guardian")).env("GUARDIAN_GROUP_FROM", "3");
    let began = Instant::now();
    let run = guardian.once(&[]);
    let lasted = began.elapsed();
    assert_eq!((run.count("restarted"), run.count("waiting")), (1, 11), "{:#}", run.json);
    assert_eq!(run.json["groups"][0]["bad_waves"], 1, "{:#}", run.json);
    assert!((28..=65).contains(&lasted.as_secs()), "{lasted:?}");

    database.up();
    assert_eq!(guardian.once(&[]).count("waiting"), 12);
    let run = guardian.once(&["--watch", "5s"]);
    assert_eq!(run.count("restarted"), 12, "{:#}", run.json);
    names.iter().for_each(|name| workers[0].await_task(name, 0, "RUNNING"));
    assert_eq!(guardian.once(&[]).count("recovered"), 12);
}

fn worker(version: &'static Version) -> Worker {
    setup(version).start()
}

fn setup(version: &'static Version) -> Setup {
    let folder = jvm::new_folder("plugins");
    postgres::plugins(&jars::debezium(), &folder);
    let converter = "org.apache.kafka.connect.json.JsonConverter";
    Setup::distributed(version)
        .set("plugin.path", folder.display().to_string())
        .set("key.converter", converter)
        .set("value.converter", converter)
}

fn source(database: &Postgres, topics: &str) -> Value {
    json!({
        "connector.class": "io.debezium.connector.postgresql.PostgresConnector",
        "tasks.max": "1", "plugin.name": "pgoutput", "slot.name": topics, "topic.prefix": topics,
        "database.hostname": "127.0.0.1", "database.port": database.port.to_string(),
        "database.user": "dbz", "database.password": "first", "database.dbname": "src",
        "table.include.list": "public.orders", "errors.max.retries": "0",
    })
}

fn sink(database: &Postgres, topic: &str) -> Value {
    json!({
        "connector.class": "io.debezium.connector.jdbc.JdbcSinkConnector",
        "tasks.max": "1", "topics": topic,
        "connection.url": format!("jdbc:postgresql://127.0.0.1:{}/src", database.port),
        "connection.username": "dbz", "connection.password": "first",
        "connection.pool.min_size": "1", "connection.pool.max_size": "2",
        "insert.mode": "upsert", "primary.key.mode": "record_key", "schema.evolution": "basic",
        "collection.name.format": "copied", "consumer.override.auto.offset.reset": "earliest",
    })
}

fn await_copied(database: &Postgres, rows: u32) {
    wait::until_within(Duration::from_secs(60), "the rows to be copied", || {
        let copied = copied(database);
        if copied == rows.to_string() { Ok(()) } else { Err(format!("{copied} rows")) }
    });
}

/// How many rows came through; 0 as long as the sink has not made its table.
fn copied(database: &Postgres) -> String {
    let there = database.sql("src", "select to_regclass('copied') is not null");
    if there == "t" { database.sql("src", "select count(*) from copied") } else { "0".to_owned() }
}

fn await_cause(worker: &Worker, text: &str) {
    worker.await_status(SOURCE, &format!("FAILED with {text:?}"), |status| {
        let task = &status["tasks"][0];
        task["state"] == "FAILED" && task["trace"].as_str().is_some_and(|trace| trace.contains(text))
    });
}

/// What guardian says of a connector's task: these words, this advice, and a group.
fn shows(run: &Run, connector: &str, words: &[&str], advice: &str) {
    let line = run.instance(connector, Some(0));
    let cause = line["cause"].as_str().unwrap_or_default();
    assert!(words.iter().all(|word| cause.contains(word)), "{line}");
    assert_eq!(line["advice"], advice, "{line}");
    assert_eq!(line["group"].as_str().map(str::len), Some(8), "{line}");
    assert!(!line.to_string().contains("first\""), "{line}");
}
