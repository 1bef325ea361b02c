//! The metrics of runs: what stands in the file for node_exporter and what reaches a Pushgateway, run after run, and that
//! nothing of it can harm a run. That real Prometheus, node_exporter and Pushgateway take them is tested in tests/deploy.

use std::io::{Read, Write};
use std::net::TcpListener;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::sync::mpsc::{Receiver, channel};
use std::time::{Duration, Instant};

use crate::sim::{Answer, Connect, Failure, Profile};
use crate::support::{Ended, Guardian, each};

/// The value of a sample of the cluster `test`; its other labels as they stand there.
fn value(text: &str, name: &str, labels: &str) -> Option<f64> {
    let comma = if labels.is_empty() { "" } else { "," };
    let series = format!("{name}{{connect_cluster=\"test\"{comma}{labels}}} ");
    let mut found = text.lines().filter_map(|line| line.strip_prefix(&series));
    let value = found.next().map(|value| value.parse().expect("a number"));
    assert_eq!(found.next(), None, "{series} is there twice:\n{text}");
    value
}

fn task_restarts(text: &str) -> Option<f64> {
    value(text, "guardian_restarts_total", "kind=\"task\",result=\"restarted\"")
}

fn failing_task() -> Connect {
    let connect = Connect::start(Profile::V3_9);
    connect.connector("orders").tasks(2);
    connect.fail_task("orders", 1, Failure::always().caused_by("java.io.IOException: hunter2disk"));
    connect
}

/// Guardian with a file of metrics, and that file.
fn with_file(url: &str) -> (Guardian, std::path::PathBuf) {
    let guardian = Guardian::at(url);
    let file = guardian.folder().join("guardian.prom");
    (guardian.env("GUARDIAN_METRICS_FILE", file.to_str().unwrap()), file)
}

fn read(file: &Path) -> String {
    std::fs::read_to_string(file).expect("the metrics")
}

// === The file ===

#[test]
fn the_file_follows_a_failure_from_its_first_run_to_its_end() {
    let connect = Connect::start(Profile::V3_9);
    connect.connector("orders").tasks(2);
    let (guardian, file) = with_file(&connect.url());
    guardian.run().exits(0);
    let text = read(&file);
    assert_eq!(value(&text, "guardian_failures_total", "kind=\"task\""), Some(0.0), "zero first");
    assert_eq!(value(&text, "guardian_tasks", "state=\"running\""), Some(2.0));
    assert_eq!(guardian.remembered(), None, "a healthy run writes no state");

    connect.fail_task("orders", 1, Failure::healing_after(2));
    let of_connector = "connector=\"orders\"";
    let mut seen = Vec::new();
    for _ in 0..6 {
        guardian.run().exits(0);
        let text = read(&file);
        let failures = value(&text, "guardian_failures_total", "kind=\"task\"").unwrap();
        let recovered = value(&text, "guardian_recovery_seconds_count", "kind=\"task\"").unwrap();
        let attempts = value(&text, "guardian_connector_attempts", of_connector);
        let since = value(&text, "guardian_connector_failed_timestamp_seconds", of_connector);
        assert_eq!(attempts.is_some(), since.is_some());
        seen.push((failures, task_restarts(&text).unwrap(), recovered, attempts));
    }
    assert_eq!(
        seen,
        [
            (1.0, 1.0, 0.0, Some(1.0)),
            (1.0, 1.0, 0.0, Some(1.0)),
            (1.0, 2.0, 0.0, Some(2.0)),
            // Healthy, though not yet forgiven.
            (1.0, 2.0, 1.0, None),
            (1.0, 2.0, 1.0, None),
            (1.0, 2.0, 1.0, None),
        ]
    );
    let text = read(&file);
    let down = value(&text, "guardian_recovery_seconds_sum", "kind=\"task\"").unwrap();
    assert!(down > 0.0 && down < 60.0, "{down}");
    let ended = value(&text, "guardian_last_run_timestamp_seconds", "").unwrap();
    let now = std::time::UNIX_EPOCH.elapsed().unwrap().as_secs_f64();
    assert!((now - ended).abs() < 60.0, "{ended}");
}

#[test]
fn what_is_given_up_is_counted_once_and_shown_until_it_is_reset() {
    let connect = failing_task();
    let (guardian, file) = with_file(&connect.url());
    let guardian = guardian.env("MAX_RESTART", "1").env("EXPONENTIAL_RATIO", "1");
    for _ in 0..4 {
        guardian.run().exits(0);
    }
    let text = read(&file);
    assert_eq!(value(&text, "guardian_gave_up_total", "kind=\"task\""), Some(1.0));
    assert_eq!(value(&text, "guardian_gave_up_total", "kind=\"connector\""), Some(0.0));
    assert_eq!(value(&text, "guardian_connector_gave_up", "connector=\"orders\""), Some(1.0));
    assert_eq!(value(&text, "guardian_instances", "action=\"gave_up\""), Some(1.0));
    guardian.with(&["reset", "orders"]).exits(0);
    guardian.run().exits(0);
    let text = read(&file);
    assert_eq!(value(&text, "guardian_connector_gave_up", "connector=\"orders\""), Some(0.0));
    assert_eq!(
        (value(&text, "guardian_failures_total", "kind=\"task\""), task_restarts(&text)),
        (Some(2.0), Some(2.0)),
        "a reset forgets failures, not what was counted"
    );
}

/// The node_exporter runs as another user, and reads a file while guardian writes it.
#[test]
fn the_file_is_for_everybody_and_replaced_at_once() {
    let connect = failing_task();
    let (guardian, file) = with_file(&connect.url());
    let umask = |guardian: &Guardian| {
        let command = guardian.command(&["run", "--once"]);
        let mut shell = std::process::Command::new("sh");
        shell.args(["-c", "umask 0077; exec \"$0\" run --once"]).arg(command.get_program()).env_clear();
        shell.envs(command.get_envs().filter_map(|(name, value)| Some((name, value?))));
        assert!(shell.output().expect("a shell").status.success());
    };
    umask(&guardian);
    let mode = std::fs::metadata(&file).unwrap().permissions().mode() & 0o777;
    assert_eq!(mode, 0o644);
    // Who has the old one open goes on reading the old one: it was replaced, not written over.
    let mut old = std::fs::File::open(&file).unwrap();
    let before = read(&file);
    umask(&guardian);
    let mut still = String::new();
    old.read_to_string(&mut still).unwrap();
    assert_eq!(still, before);
    assert_ne!(read(&file), before);
    let beside = std::fs::read_dir(guardian.folder()).unwrap();
    let names = beside.map(|entry| entry.unwrap().file_name().into_string().unwrap());
    assert_eq!(names.filter(|name| name.contains("prom")).collect::<Vec<_>>(), ["guardian.prom"]);
}

#[test]
fn a_run_that_cannot_look_keeps_what_is_known() {
    let connect = failing_task();
    let (guardian, file) = with_file(&connect.url());
    guardian.run().exits(0);
    let before = read(&file);
    let guardian = guardian.env("KAFKA_CONNECT_URL", &connect.closed_url());
    guardian.run().exits(1);
    let after = read(&file);
    assert_eq!(value(&before, "guardian_last_run_success", ""), Some(1.0));
    assert_eq!(value(&after, "guardian_last_run_success", ""), Some(0.0));
    let ended = |text| value(text, "guardian_last_run_timestamp_seconds", "").unwrap();
    assert!(ended(&after) > ended(&before));
    let success = |text| value(text, "guardian_last_success_timestamp_seconds", "").unwrap();
    assert_eq!(success(&after), success(&before));
    assert_eq!(value(&after, "guardian_connector_attempts", "connector=\"orders\""), Some(1.0));
    assert_eq!(task_restarts(&after), Some(1.0));
    // What cannot be read is ignored.
    std::fs::write(&file, b"\xff\xfe not metrics").unwrap();
    guardian.run().exits(1);
    let text = read(&file);
    assert_eq!((value(&text, "guardian_last_run_success", ""), task_restarts(&text)), (Some(0.0), None));
}

#[test]
fn what_is_no_run_writes_no_metrics() {
    let connect = failing_task();
    let (guardian, file) = with_file(&connect.url());
    let guardian = guardian.env("GUARDIAN_WATCH", "200ms");
    for (arguments, code) in [
        (&["run", "--once", "--dry-run"][..], 0),
        (&["status"], 0),
        // It knows of nothing but what it was asked for.
        (&["retry", "orders"], 3),
        (&["reset", "--all"], 0),
    ] {
        guardian.with(arguments).exits(code);
        assert!(!file.exists(), "{arguments:?}");
    }
    // Another run holds the state.
    let lock = guardian.folder().join("state.json.lock");
    let held = std::fs::File::options().create(true).append(true).open(lock).unwrap();
    held.lock().unwrap();
    guardian.run().exits(75);
    assert!(!file.exists());
    drop(held);
    guardian.run().exits(0);
    let text = read(&file);
    assert_eq!(task_restarts(&text), Some(2.0), "that of the retry is counted");
}

#[test]
fn a_file_that_cannot_be_written_costs_one_warning() {
    let connect = failing_task();
    let folder = Guardian::at("http://nobody.invalid").folder().to_owned();
    for (path, why) in [
        (folder.join("missing/guardian.prom"), "No such file or directory"),
        (folder.join("folder.prom"), "directory"),
    ] {
        if path.ends_with("folder.prom") {
            std::fs::create_dir_all(path.join("not-empty")).unwrap();
        }
        let guardian = Guardian::at(&connect.url()).env("GUARDIAN_METRICS_FILE", path.to_str().unwrap());
        let Ended { code, stderr, .. } = guardian.env("LOG_LEVEL", "warn").run();
        assert_eq!((code, stderr.lines().count()), (0, 1), "{stderr}");
        assert!(stderr.contains("GUARDIAN_METRICS_FILE") && stderr.contains(why), "{stderr}");
    }
    std::fs::remove_dir_all(folder).unwrap();
}

/// To everything but what was asked for, a retry is no run: it has the number of the run before it.
#[test]
fn a_failure_is_counted_once_however_often_it_is_looked_at() {
    let connect = failing_task();
    let (guardian, file) = with_file(&connect.url());
    let guardian = guardian.env("GUARDIAN_WATCH", "200ms");
    for arguments in [&["run", "--once"][..], &["retry", "orders"], &["retry", "orders"], &["run", "--once"]]
    {
        guardian.with(arguments);
    }
    let text = read(&file);
    assert_eq!(value(&text, "guardian_failures_total", "kind=\"task\""), Some(1.0));
    assert_eq!(task_restarts(&text), Some(3.0));
    assert_eq!(value(&text, "guardian_recovery_seconds_count", "kind=\"task\""), Some(0.0));
}

/// Killed between the charge and the end, a run loses the count of its last results, and counts nothing twice.
#[test]
fn whatever_kills_a_run_nothing_is_counted_twice() {
    let connect = failing_task();
    let (guardian, file) = with_file(&connect.url());
    connect.on_any_restart().answers(Answer::hang());
    let mut child = guardian.start(&["run", "--once"]);
    connect.wait_for("a restart", |connect| !connect.calls().iter().all(|call| call.starts_with("GET")));
    child.kill().unwrap();
    child.wait().unwrap();
    connect.forget_rules();
    for _ in 0..3 {
        guardian.run().exits(0);
    }
    let text = read(&file);
    assert_eq!(value(&text, "guardian_failures_total", "kind=\"task\""), Some(1.0));
    assert_eq!(guardian.attempts("orders", Some(1)), Some(2));
    assert_eq!(task_restarts(&text), Some(1.0), "that of the killed run is lost");
}

// === Pushgateway ===

/// A Pushgateway that answers as it is told, and what it got: the head and the body.
struct Gateway {
    url: String,
    got: Receiver<(String, String)>,
}

impl Gateway {
    /// Every request is answered like this; by nothing where it is empty.
    fn answering(answer: &str) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://127.0.0.1:{}", listener.local_addr().unwrap().port());
        let (answer, (sender, got)) = (answer.to_owned(), channel());
        std::thread::spawn(move || {
            let mut silent = Vec::new();
            for stream in listener.incoming() {
                let mut stream = stream.unwrap();
                let mut bytes = Vec::new();
                let (head, length) = loop {
                    let mut piece = [0; 4096];
                    let read = stream.read(&mut piece).unwrap();
                    bytes.extend_from_slice(&piece[..read]);
                    let text = String::from_utf8_lossy(&bytes).into_owned();
                    let Some((head, _)) = text.split_once("\r\n\r\n") else { continue };
                    let length = head.lines().find_map(|line| line.strip_prefix("content-length: "));
                    break (head.to_owned(), length.unwrap().parse::<usize>().unwrap());
                };
                while bytes.len() < head.len() + 4 + length {
                    let mut piece = [0; 4096];
                    let read = stream.read(&mut piece).unwrap();
                    bytes.extend_from_slice(&piece[..read]);
                }
                let body = String::from_utf8(bytes.split_off(head.len() + 4)).unwrap();
                if sender.send((head, body)).is_err() {
                    return;
                }
                if answer.is_empty() {
                    silent.push(stream);
                } else {
                    stream.write_all(answer.as_bytes()).unwrap();
                }
            }
        });
        Self { url, got }
    }

    fn next(&self) -> (String, String) {
        self.got.recv_timeout(Duration::from_secs(10)).expect("a push")
    }
}

const TAKEN: &str = "HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n";

#[test]
fn a_run_pushes_all_and_one_that_cannot_look_only_its_own() {
    let connect = failing_task();
    let gateway = Gateway::answering(TAKEN);
    let guardian =
        Guardian::at(&connect.url()).env("GUARDIAN_PUSHGATEWAY_URL", &format!("{}/base/", gateway.url));
    let ended = guardian.run().exits(0);
    let (head, body) = gateway.next();
    assert!(head.starts_with("PUT /base/metrics/job/guardian/connect_cluster/test HTTP/1.1\r\n"), "{head}");
    assert!(head.contains("\r\ncontent-type: text/plain; version=0.0.4; charset=utf-8"), "{head}");
    assert_eq!(task_restarts(&body), Some(1.0));
    assert!(body.ends_with('\n') && !body.contains("hunter2"), "{body}");
    assert!(!ended.stderr.contains("metrics"), "{}", ended.stderr);

    // A run that looked, but could not do its work, leaves the time of the last one that could.
    connect.on_any_restart().answers(Answer::status(405));
    let guardian = guardian.env("EXPONENTIAL_RATIO", "1");
    guardian.run().exits(1);
    let (head, body) = gateway.next();
    assert!(head.starts_with("POST "), "{head}");
    assert_eq!(value(&body, "guardian_last_success_timestamp_seconds", ""), None);
    assert_eq!(value(&body, "guardian_connector_gave_up", "connector=\"orders\""), Some(0.0));
    assert_eq!(task_restarts(&body), Some(1.0), "what was refused is no restart");

    guardian.env("KAFKA_CONNECT_URL", &connect.closed_url()).run().exits(1);
    let (head, body) = gateway.next();
    assert!(head.starts_with("POST /base/metrics/job/guardian/connect_cluster/test "), "{head}");
    let names = body.lines().filter(|line| !line.starts_with('#')).filter_map(|line| line.split_once('{'));
    assert_eq!(
        names.map(|(name, _)| name).collect::<Vec<_>>(),
        [
            "guardian_build_info",
            "guardian_last_run_timestamp_seconds",
            "guardian_last_run_success",
            "guardian_last_run_duration_seconds"
        ]
    );
}

#[test]
fn a_name_with_a_slash_is_pushed_in_base64() {
    let connect = failing_task();
    let gateway = Gateway::answering(TAKEN);
    let guardian = Guardian::at(&connect.url()).env("GUARDIAN_PUSHGATEWAY_URL", &gateway.url);
    guardian.env("GUARDIAN_CLUSTER", "eu/orders").run().exits(0);
    let (head, body) = gateway.next();
    assert!(head.starts_with("PUT /metrics/job/guardian/connect_cluster@base64/ZXUvb3JkZXJz "), "{head}");
    assert!(body.contains("{connect_cluster=\"eu/orders\"}"), "{body}");
}

/// A Pushgateway's own answers; a proxy's page and redirect; nobody; one that never answers.
#[test]
fn a_push_that_fails_costs_one_warning_and_nothing_else() {
    let page =
        format!("HTTP/1.1 502 Bad Gateway\r\ncontent-length: 9000\r\n\r\n{}", "<html>\r\n".repeat(1125));
    let cases = vec![
        (
            "HTTP/1.1 400 Bad Request\r\ncontent-length: 44\r\n\r\npushed metrics are invalid or inconsistent:\n\n",
            "HTTP 400: pushed metrics are invalid or inconsistent:",
        ),
        ("HTTP/1.1 302 Found\r\nlocation: http://127.0.0.1:1/\r\ncontent-length: 0\r\n\r\n", "HTTP 302"),
        (page.as_str(), "HTTP 502: <html> <html>"),
        ("closed", "Connection refused"),
        ("", "timed out while waiting for the answer"),
    ];
    each(cases, |(answer, says)| {
        let connect = failing_task();
        let gateway = Gateway::answering(answer);
        let url = if *answer == "closed" { connect.closed_url() } else { gateway.url.clone() };
        let guardian = Guardian::at(&connect.url());
        let secret = url.replace("http://", "http://hunter:hunter2@");
        std::fs::write(guardian.folder().join("url"), format!("{secret}\n")).unwrap();
        let file = guardian.folder().join("url");
        let guardian =
            guardian.env("GUARDIAN_PUSHGATEWAY_URL_FILE", file.to_str().unwrap()).env("LOG_LEVEL", "warn");
        let since = Instant::now();
        let Ended { code, stdout, stderr } = guardian.run();
        assert!(since.elapsed() < Duration::from_secs(30), "{says}");
        assert_eq!((code, stderr.lines().count()), (0, 1), "{stderr}");
        assert!(stdout.contains("1 restarted"), "{stdout}");
        assert!(stderr.contains(says) && stderr.contains("GUARDIAN_PUSHGATEWAY_URL"), "{stderr}");
        assert!(stderr.contains(url.trim_end_matches('/')) && stderr.len() < 500, "{stderr}");
        assert!(!stderr.contains("hunter"), "{stderr}");
        // A password in the URL goes out as a header (RFC 7617).
        if *answer != "closed" {
            let (head, _) = gateway.next();
            assert!(head.contains("authorization: Basic aHVudGVyOmh1bnRlcjI="), "{head}");
        }
    });
}

#[test]
fn who_asks_guardian_to_end_does_not_wait_for_a_gateway() {
    let connect = failing_task();
    let gateway = Gateway::answering("");
    let (guardian, file) = with_file(&connect.url());
    let guardian = guardian.env("GUARDIAN_PUSHGATEWAY_URL", &gateway.url);
    let child = guardian.start(&["run", "--every", "1h"]);
    gateway.next();
    let since = Instant::now();
    assert!(std::process::Command::new("kill").arg(child.id().to_string()).status().unwrap().success());
    let ended = Ended::of(child);
    // Between two runs a signal is no failure.
    assert_eq!(ended.code, 0, "{ended:#?}");
    assert!(since.elapsed() < Duration::from_secs(5));
    assert_eq!(task_restarts(&read(&file)), Some(1.0), "the file is there before");
}

#[test]
fn wrong_settings_are_refused_in_one_line_without_what_they_hold() {
    for (name, value, says) in [
        (
            "GUARDIAN_METRICS_FILE",
            "/tmp/guardian.txt",
            "GUARDIAN_METRICS_FILE takes a file whose name ends in .prom",
        ),
        (
            "GUARDIAN_METRICS_CONNECTORS",
            "-1",
            "GUARDIAN_METRICS_CONNECTORS takes a whole number from 0 to 10000",
        ),
        (
            "GUARDIAN_PUSHGATEWAY_URL",
            "hunter2:9091",
            "GUARDIAN_PUSHGATEWAY_URL takes a URL such as http://pushgateway:9091",
        ),
        (
            "GUARDIAN_PUSHGATEWAY_URL",
            "http://u:hunter2@push/metrics/job/guardian",
            "without /metrics/job/... or a query",
        ),
        (
            "GUARDIAN_PUSHGATEWAY_URL_FILE",
            "/nowhere/url",
            "GUARDIAN_PUSHGATEWAY_URL_FILE: /nowhere/url cannot be read",
        ),
    ] {
        let guardian = Guardian::at("http://nobody.invalid").env(name, value);
        let Ended { stderr, .. } = guardian.run().exits(2);
        assert!(stderr.contains(says) && !stderr.contains("hunter2"), "{name}: {stderr}");
    }
    let both = Guardian::at("http://nobody.invalid").env("GUARDIAN_PUSHGATEWAY_URL", "http://push");
    let Ended { stderr, .. } = both.env("GUARDIAN_PUSHGATEWAY_URL_FILE", "/nowhere").run().exits(2);
    assert!(
        stderr.contains("GUARDIAN_PUSHGATEWAY_URL and GUARDIAN_PUSHGATEWAY_URL_FILE exclude each other"),
        "{stderr}"
    );
}
