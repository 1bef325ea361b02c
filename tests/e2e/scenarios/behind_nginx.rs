//! A real nginx in front of the worker: TLS and Basic authentication there, plain HTTP behind it, Connect
//! under a path. And what nginx says by itself when nobody is behind it.

use std::fs;
use std::net::TcpListener;
use std::process::Command;

use crate::certificates::Authority;
use crate::guardian::Guardian;
use crate::jvm;
use crate::nginx::Nginx;
use crate::scene::{Scene, scenario};

const USER: &str = "alice";
const PASSWORD: &str = "s3cret: ü+%";

scenario!(https_and_basic_authentication_through_nginx on V3_9 V4_3);

fn https_and_basic_authentication_through_nginx(scene: &mut Scene) {
    const NAME: &str = "behind a door";
    let worker = scene.worker();
    let authority = Authority::new("Private CA");
    let nginx = nginx_with_a_login(&authority, worker.port);
    let base = format!("https://127.0.0.1:{}", nginx.port);
    let stranger = |url: &str| {
        Guardian::new(url, scene.home())
            .env("GUARDIAN_CLUSTER", "behind-nginx")
            .env("KAFKA_CONNECT_CA_FILE", &authority.pem)
    };
    let guardian =
        |url: &str| stranger(url).env("KAFKA_CONNECT_USER", USER).env("KAFKA_CONNECT_PASS", PASSWORD);
    let url = format!("{base}/connect");
    let flaky = worker.failing(NAME, 2, &["task-0", "task-1"]);
    flaky.heal("task-0");
    flaky.heal("task-1");

    for refused in [stranger(&url), guardian(&url).env("KAFKA_CONNECT_PASS", "wrong")] {
        let run = refused.once(&[]);
        assert_eq!((run.code, &run.json["error"]["kind"]), (Some(1), &"unauthorized".into()), "{}", run.json);
    }
    let run = guardian(&url.replace("https", "http")).once(&[]);
    assert_eq!((run.code, &run.json["error"]["kind"]), (Some(1), &"not_connect".into()), "{}", run.json);
    assert_eq!((scene.state().as_str(), flaky.starts("task 0")), ("", 1));

    let run = guardian(&url).once(&["--log-level", "trace"]);
    run.assert_ok();
    assert!(!run.stderr.contains("s3cret") && !run.stdout.contains("s3cret"));
    for task in [0, 1] {
        assert_eq!(run.action(NAME, Some(task)), "restarted");
        worker.await_task(NAME, task, "RUNNING");
        assert_eq!(flaky.starts(&format!("task {task}")), 2);
    }

    // Nobody is behind it, or somebody who does not answer, or a page: nothing is charged nor forgotten.
    let remembered = scene.state();
    assert!(remembered.contains(NAME));
    for (path, says) in [
        ("nobody", "HTTP 502"),
        ("silent", "HTTP 504"),
        ("maintenance", "a web page, not JSON"),
        ("elsewhere", "HTTP 404"),
    ] {
        let run = guardian(&format!("{base}/{path}")).once(&[]);
        assert_eq!((run.code, &run.json["error"]["kind"]), (Some(1), &"not_connect".into()), "{}", run.json);
        let message = run.json["error"]["message"].as_str().unwrap_or_default();
        assert!(message.contains(says), "{says:?} is not in {message:?}");
        assert_eq!(scene.state(), remembered, "after {path}");
    }
    let run = guardian(&format!("{base}/nobody,{url}")).once(&[]);
    assert_eq!(run.assert_ok().count("recovered"), 2, "the next URL is tried: {}", run.json);
}

scenario!(a_restart_that_nginx_gives_up_on_is_of_unknown_fate on V3_9 V4_3);

/// nginx answers 504 while Connect is still starting the connector, and Connect then does it: charged once, not
/// repeated, and healthy in the next run.
fn a_restart_that_nginx_gives_up_on_is_of_unknown_fate(scene: &mut Scene) {
    const NAME: &str = "slow";
    let worker = scene.worker();
    let authority = Authority::new("Private CA");
    let nginx = nginx_with_a_login(&authority, worker.port);
    let guardian = Guardian::new(&format!("https://127.0.0.1:{}/connect", nginx.port), scene.home())
        .env("KAFKA_CONNECT_CA_FILE", &authority.pem)
        .env("KAFKA_CONNECT_USER", USER)
        .env("KAFKA_CONNECT_PASS", PASSWORD);
    let flaky = worker.failing(NAME, 1, &["connector"]);
    flaky.heal("connector");
    flaky.block("connector", 5000); // longer than nginx waits

    let run = guardian.once(&[]);
    assert_eq!((run.code, &run.json["error"]["kind"]), (Some(1), &"restart".into()), "{}", run.json);
    let line = run.instance(NAME, None);
    assert_eq!((&line["action"], &line["attempts"]), (&"unknown".into(), &1.into()), "{line}");
    assert!(line["error"].as_str().is_some_and(|error| error.contains("HTTP 504")), "{line}");
    worker.await_connector(NAME, "RUNNING");
    worker.await_task(NAME, 0, "RUNNING");
    assert_eq!(guardian.once(&[]).assert_ok().action(NAME, None), "recovered");
    assert_eq!(flaky.starts("connector"), 2);
}

/// As its documentation shows it. `proxy_read_timeout` is 60 s by default; 2 s here, not to wait for it.
fn nginx_with_a_login(authority: &Authority, worker: u16) -> Nginx {
    let folder = jvm::new_folder("login");
    let users = folder.join("users");
    fs::write(&users, format!("{USER}:{}\n", hash(PASSWORD))).expect("write the users");
    let server = authority.server();
    // A free port might be another test's by the time it is asked; a socket's file that nobody makes is nobody's.
    let nobody = folder.join("nobody").display().to_string();
    // It accepts, as the kernel does for a process that hangs, and is open for as long as the tests run.
    let silent = Box::leak(Box::new(TcpListener::bind(("127.0.0.1", 0)).expect("a free port on loopback")));
    let silent = silent.local_addr().expect("a bound port").port();
    Nginx::start(
        "ssl",
        &format!(
            "    ssl_certificate {};\n    ssl_certificate_key {};\n\
             \x20   auth_basic \"Kafka Connect\";\n    auth_basic_user_file {};\n\
             \x20   proxy_read_timeout 2s;\n\
             \x20   location /connect/ {{ proxy_pass http://127.0.0.1:{worker}/; }}\n\
             \x20   location /nobody/ {{ proxy_pass http://unix:{nobody}:/; }}\n\
             \x20   location /silent/ {{ proxy_pass http://127.0.0.1:{silent}/; }}\n\
             \x20   location /maintenance/ {{ default_type text/html; return 200 '<h1>Back soon</h1>'; }}",
            server.certificate.display(),
            server.key.display(),
            users.display(),
        ),
    )
}

/// As `htpasswd` writes it.
fn hash(password: &str) -> String {
    let output = Command::new("openssl").args(["passwd", "-apr1", password]).output().expect("run openssl");
    assert!(output.status.success(), "openssl passwd: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8_lossy(&output.stdout).trim().to_owned()
}
