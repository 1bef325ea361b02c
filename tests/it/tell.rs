//! People are told: a night as each sink gets it, what is said of answers of every kind, and that no message costs a run.
//! Times are shortened (`GUARDIAN_NOTIFY_AFTER=0s`): when something is told is played through in `decide::tell`.

use std::path::Path;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::receiver::{Receiver, Say};
use crate::sim::{Connect, Failure, Profile};
use crate::support::{Ended, Guardian, each};

const SECRET: &str = "hunter7SECRETHOOK";
const POISON: &str = "org.apache.kafka.connect.errors.DataException: <!channel> & @everyone: bad record";

/// One task of `orders` that fails for ever.
fn failing() -> Connect {
    let connect = Connect::start(Profile::V3_9);
    connect.connector("orders").tasks(2);
    connect.fail_task("orders", 1, Failure::always());
    connect
}

fn guardian(connect: &Connect, sinks: &str) -> Guardian {
    Guardian::at(&connect.url())
        .env("GUARDIAN_NOTIFY_AFTER", "0s")
        .env("GUARDIAN_NOTIFY", sinks)
        .env("LOG_LEVEL", "trace")
}

fn slack(receiver: &Receiver) -> String {
    format!("slack chat {}", receiver.url(&format!("/services/T0000000/{SECRET}")))
}

fn no_secret(ended: &Ended) {
    for text in [&ended.stdout, &ended.stderr] {
        assert!(!text.contains(SECRET) && !text.contains("T0000000") && !text.contains("hunter8"), "{text}");
        assert!(!text.contains("panicked"), "{text}");
    }
}

#[test]
fn a_failure_is_told_once_and_its_end_once() {
    let (connect, chat) = (failing(), Receiver::start());
    let guardian = guardian(&connect, &slack(&chat));
    no_secret(&guardian.run().exits(0));
    let told = chat.texts();
    assert_eq!(told.len(), 1, "{told:?}");
    assert!(told[0].starts_with("test: 1 task of 1 connector failing for "), "{told:?}");
    assert!(told[0].contains(
        "• java.net.ConnectException: Connection refused (db1:5432): 1 task of 1 connector failing since 20"
    ));
    assert!(
        told[0].ends_with(" UTC: orders; 1 restart; it passes by itself; next restart in 2 runs"),
        "{told:?}"
    );
    guardian.run().exits(0);
    connect.heal("orders", Some(1));
    // Restarted, and seen to run.
    guardian.run().exits(0);
    guardian.run().exits(0);
    assert_eq!(chat.texts(), Vec::<String>::new());
    let (document, code) = guardian.run_json();

    assert_eq!((code, &document["told"]), (0, &json!([{"sink": "chat", "ok": true, "error": null}])));
    let told = chat.texts();
    assert_eq!(told.len(), 1, "{told:?}");
    assert!(told[0].starts_with("test: 1 task of 1 connector recovered after "), "{told:?}");
    guardian.run().exits(0);
    assert_eq!(chat.texts(), Vec::<String>::new());
    let text = std::fs::read_to_string(guardian.state()).unwrap();
    assert!(!text.contains(SECRET), "{text}");
}

#[test]
fn whatever_is_answered_costs_no_run_and_what_was_surely_not_heard_is_said_again() {
    let cases = vec![
        // The answer, requests in one run, what is said of it, and whether it may have been heard.
        (Say::Status(200, "ok"), 1, None),
        (Say::Status(202, ""), 1, None),
        (Say::Status(400, "invalid_payload"), 1, Some("400 invalid_payload")),
        (Say::Status(404, "no hook hunter7SECRETHOOK here"), 1, Some("404 no hook *** here")),
        (Say::Status(410, "channel_is_archived"), 1, Some("410 channel_is_archived")),
        (Say::Status(413, "<html>too large</html>"), 1, Some("413")),
        (Say::Later(429, "1"), 2, Some("429 slow down")),
        (Say::Later(429, "60"), 1, Some("429 slow down")),
        (Say::Status(500, "rollup_error"), 2, Some("500 rollup_error")),
        (
            Say::Redirect("http://127.0.0.1:1/elsewhere".to_owned()),
            1,
            Some("302: it redirects, which is not followed: set the address that it leads to"),
        ),
        (Say::Hang, 1, Some("timed out while waiting for the answer")),
        (Say::Cut, 1, Some("connection closed before message completed")),
    ];
    each(cases, |(say, requests, error)| {
        let (connect, chat) = (failing(), Receiver::start());
        chat.always(say.clone());
        let guardian = guardian(&connect, &slack(&chat));
        let ended = guardian.with(&["run", "--once", "--output", "json"]).exits(0);
        no_secret(&ended);
        let document: Value = serde_json::from_str(&ended.stdout).unwrap();
        let expected = json!([{"sink": "chat", "ok": error.is_none(), "error": error}]);
        assert_eq!(document["told"], expected, "{say:?}");
        assert_eq!(chat.take().len(), *requests, "{say:?}");
        let warned = "chat (http://127.0.0.1:";
        assert_eq!(
            ended.stderr.matches("cannot be told anything").count(),
            usize::from(error.is_some()),
            "{say:?}"
        );
        assert!(error.is_none() || ended.stderr.contains(warned), "{say:?}: {}", ended.stderr);
        let again = guardian.run().exits(0);
        assert!(!again.stderr.contains("cannot be told"), "{say:?}: warned twice: {}", again.stderr);
        // What may have been heard is not said again within a minute.
        let unsure = matches!(say, Say::Hang | Say::Cut);
        let said_again = usize::from(error.is_some() && !unsure);
        assert_eq!(chat.take().len(), said_again * requests, "{say:?}");
        let state = std::fs::read_to_string(guardian.state()).unwrap();
        assert_eq!(state.contains(r#""unsure":"failing""#), unsure, "{say:?}: {state}");
        assert_eq!(state.contains(r#""what":"failing""#), error.is_none() || unsure, "{say:?}: {state}");
    });
}

#[test]
fn a_sink_that_is_not_there_is_warned_of_once_and_its_address_is_not_shown() {
    let connect = failing();
    let closed = connect.closed_url();
    let sinks = format!(
        "slack chat {closed}/services/{SECRET}\nteams hall https://127.0.0.1:1/{SECRET}\n\
         webhook bus http://{SECRET}.invalid/x token-file={}\n",
        file("token", "hunter8token").display()
    );
    let guardian = guardian(&connect, &sinks);
    let first = guardian.run().exits(0);
    assert_eq!(first.stderr.matches("cannot be told anything").count(), 3, "{}", first.stderr);
    assert!(
        first.stderr.contains(&format!("chat ({closed}) cannot be told anything: tcp connect error")),
        "{}",
        first.stderr
    );
    assert!(!first.stderr.contains("hunter8"), "{}", first.stderr);
    let second = guardian.run().exits(0);
    assert_eq!(second.stderr.matches("cannot be told anything").count(), 0, "{}", second.stderr);
}

/// A file that stays.
fn file(name: &str, text: &str) -> std::path::PathBuf {
    let folder = tempfile::tempdir().unwrap().keep();
    let path = folder.join(name);
    std::fs::write(&path, text).unwrap();
    path
}

fn script(text: &str) -> std::path::PathBuf {
    use std::os::unix::fs::PermissionsExt;
    let path = file("hook", &format!("#!/bin/sh\n{text}\n"));
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o755)).unwrap();
    path
}

#[test]
fn many_failures_are_one_message_that_rings_nobody() {
    let (connect, chat) = (Connect::start(Profile::V3_9), Receiver::start());
    for number in 0..50 {
        let name = format!("{}-{number}", "a-rather-long-name-of-a-connector");
        connect.connector(&name).tasks(10);
        let cause = format!("{POISON} {}", "x".repeat(200));
        connect.fail_all_tasks(
            &name,
            &Failure::always().caused_by(&format!("{}{cause}", char::from(b'a' + number % 9))),
        );
    }
    let guardian =
        guardian(&connect, &slack(&chat)).env("GUARDIAN_NOTIFY_LINK", "https://ui.example/c/{connector}");
    guardian.run().exits(0);
    let told = chat.texts();
    assert_eq!(told.len(), 1);
    let text = &told[0];
    assert!(text.starts_with("test: 500 tasks of 50 connectors failing"), "{text}");
    assert!(text.chars().count() <= 1_900, "{}", text.chars().count());
    assert!(
        !text.contains("<!")
            && !text.contains("@e")
            && text.contains("&lt;!channel&gt; &amp; @\u{200b}everyone"),
        "{text}"
    );
    assert!(text.contains(" more causes") && text.contains("https://ui.example/c/a-rather"), "{text}");
    println!("{text}");
}

#[test]
fn the_report_does_not_wait_for_a_sink_and_a_signal_ends_the_telling() {
    use std::io::{BufRead, BufReader};
    let (connect, chat) = (failing(), Receiver::start());
    chat.always(Say::Hang);
    let guardian = guardian(&connect, &slack(&chat));
    let started = Instant::now();
    let mut child = guardian.start(&["run", "--once"]);
    let mut line = String::new();
    BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
    assert!(line.starts_with("test"), "{line}");
    while chat.take().is_empty() {
        assert!(started.elapsed() < Duration::from_secs(9), "it is told");
        std::thread::sleep(Duration::from_millis(10));
    }
    // It holds the state until it has written down what became of the message.
    guardian.run().exits(75);
    std::process::Command::new("kill").arg(child.id().to_string()).status().unwrap();
    assert_eq!(child.wait().unwrap().code(), Some(0), "its work was done");
    assert!(started.elapsed() < Duration::from_secs(9), "it waits for nobody");
    let state = std::fs::read_to_string(guardian.state()).unwrap();
    assert!(state.contains(r#""unsure":"failing""#), "{state}");
}

#[test]
fn a_plan_and_a_look_and_a_state_that_cannot_be_written_tell_nobody() {
    let (connect, chat, heart) = (failing(), Receiver::start(), Receiver::start());
    let guardian =
        guardian(&connect, &slack(&chat)).env("GUARDIAN_HEARTBEAT_URL", &heart.url("/ping/{code}"));
    guardian.with(&["run", "--dry-run"]).exits(0);
    guardian.with(&["status"]).exits(0);
    guardian.with(&["retry", "nobody"]).exits(1);
    assert!(chat.take().is_empty() && heart.take().is_empty());
    // In place of the state there is a folder.
    std::fs::create_dir(guardian.state()).unwrap();
    guardian.run().exits(1);
    assert!(chat.take().is_empty());
    assert_eq!(heart.take().iter().map(|head| head.target.clone()).collect::<Vec<_>>(), ["/ping/1"]);
}

#[test]
fn the_heart_beats_after_runs_that_worked_or_with_their_code() {
    let (connect, heart) = (failing(), Receiver::start());
    let beats = |guardian: &Guardian, code: i32| {
        guardian.run().exits(code);
        let got = heart.take();
        got.into_iter()
            .map(|head| format!("{} {} {}", head.method, head.target, String::from_utf8(head.body).unwrap()))
            .collect::<Vec<_>>()
    };
    let plain = Guardian::at(&connect.url()).env("GUARDIAN_HEARTBEAT_URL", &heart.url("/uuid"));
    assert_eq!(beats(&plain, 0), ["POST /uuid test: 1 connectors, 2 tasks, 1 failed, restarted 1"]);
    assert_eq!(beats(&plain.arg("--fail-on").arg("failed"), 3).len(), 1);
    let nowhere = Guardian::at(&connect.closed_url());
    assert_eq!(beats(&nowhere.env("GUARDIAN_HEARTBEAT_URL", &heart.url("/uuid")), 1).len(), 0);
    let nowhere = Guardian::at(&connect.closed_url());
    assert_eq!(
        beats(&nowhere.env("GUARDIAN_HEARTBEAT_URL", &heart.url("/uuid/{code}")), 1),
        ["POST /uuid/1 test: unreachable"]
    );
    // One that takes nothing but a GET.
    heart.then(&[Say::Status(404, "Cannot POST /uuid")]);
    let url = file("heart", &heart.url("/uuid?status=up&msg=OK"));
    let file = Guardian::at(&connect.url()).env("GUARDIAN_HEARTBEAT_URL_FILE", url.to_str().unwrap());
    let got = beats(&file, 0);
    assert_eq!((got.len(), &got[1][..]), (2, "GET /uuid?status=up&msg=OK "));
    // It does not answer: one word, and the run is what it was.
    heart.always(Say::Status(404, "no such check hunter7SECRETHOOK"));
    let silent =
        Guardian::at(&connect.url()).env("GUARDIAN_HEARTBEAT_URL", &heart.url(&format!("/{SECRET}")));
    let first = silent.run().exits(0);
    no_secret(&first);
    assert!(first.stderr.contains("heartbeat (http://127.0.0.1:"), "{}", first.stderr);
    assert!(!silent.run().exits(0).stderr.contains("cannot be told"), "once");
    // A healthy run writes nothing: but it remembers that it warned.
    heart.always(Say::Status(200, "OK"));
    silent.run().exits(0);
}

#[test]
fn that_connect_cannot_be_reached_is_told_and_healthy_runs_write_nothing() {
    let (connect, chat) = (Connect::start(Profile::V3_9), Receiver::start());
    connect.connector("orders").tasks(1);
    let guardian = guardian(&connect, &slack(&chat));
    guardian.run().exits(0);
    assert!(!guardian.state().exists());
    let away = guardian.env("KAFKA_CONNECT_URL", &connect.closed_url());
    away.run().exits(1);
    let told = chat.texts();
    assert_eq!(told.len(), 1, "{told:?}");
    assert!(told[0].starts_with("test: guardian cannot work since 20"), "{told:?}");
    assert!(
        told[0].contains("• no run could do its work since 20")
            && told[0].contains("(1 run): no answer from Kafka Connect at "),
        "{told:?}"
    );
    assert_eq!(away.remembered().unwrap()["trouble"]["kind"], "unreachable");
    away.run().exits(1);
    assert_eq!(chat.texts().len(), 0);
    let back = away.env("KAFKA_CONNECT_URL", &connect.url());
    back.run().exits(0);
    let told = chat.texts();
    assert!(told.len() == 1 && told[0].starts_with("test: guardian works again after "), "{told:?}");
    assert!(told[0].contains("no run could do its work"), "{told:?}");
    let state = back.remembered().unwrap();
    assert_eq!((state.get("trouble"), &state["told"][0]["open"]), (None, &Value::Null));
    let story = back.with(&["history"]).exits(0).stdout;
    let rows: Vec<&str> = story.lines().filter_map(|line| line.split_once("Z  ").map(|row| row.1)).collect();
    let [away_told, unreachable, back_told] = &rows[..] else { panic!("{story}") };
    assert!(away_told.starts_with("told         chat | guardian cannot work since 20"), "{story}");
    assert!(unreachable.starts_with("unreachable  ") && unreachable.contains("2 runs"), "{story}");
    assert!(back_told.starts_with("told         chat | guardian works again after "), "{story}");
    let before = std::fs::metadata(back.state()).unwrap().modified().unwrap();
    back.run().exits(0);
    assert_eq!(std::fs::metadata(back.state()).unwrap().modified().unwrap(), before);
    // Without anybody to tell nothing is written.
    let alone = Guardian::at(&connect.closed_url());
    alone.run().exits(1);
    assert!(!alone.state().exists());
}

#[test]
fn a_state_that_was_lost_is_told() {
    let (connect, chat) = (Connect::start(Profile::V3_9), Receiver::start());
    connect.connector("orders").tasks(1);
    let guardian = guardian(&connect, &slack(&chat));
    std::fs::write(guardian.state(), "broken").unwrap();
    chat.then(&[Say::Status(400, "")]);
    guardian.run().exits(0);
    assert_eq!(chat.take().len(), 1);
    guardian.run().exits(0);
    let told = chat.texts();
    assert!(
        told.len() == 1
            && told[0].starts_with("test: the state was lost\n• the state could not be understood"),
        "{told:?}"
    );
    guardian.run().exits(0);
    assert_eq!(chat.texts().len(), 0);
}

/// What a program was given.
fn given(name: &Path) -> String {
    std::fs::read_to_string(name).unwrap_or_default()
}

#[test]
fn a_program_gets_the_event_and_none_of_our_credentials() {
    let connect = failing();
    let out = file("out", "");
    let hook = script(&format!("env > {0}.env; cat > {0}; exit 0", out.display()));
    let guardian = guardian(&connect, &format!("exec mail {}", hook.display()))
        .env("KAFKA_CONNECT_USER", "alice")
        .env("KAFKA_CONNECT_PASS", "hunter8")
        .env("PATH", "/usr/bin:/bin");
    no_secret(&guardian.run().exits(0));
    let event: Value = serde_json::from_str(&given(&out)).expect("the event");
    assert_eq!(event["type"], "io.github.connector-guardian.digest.v1");
    let env = given(&out.with_extension("env"));
    let names: Vec<&str> = env
        .lines()
        .filter_map(|line| line.split_once('='))
        .map(|(name, _)| name)
        .filter(|name| name.chars().all(|c| c.is_ascii_uppercase() || c == '_'))
        .collect();
    let allowed = [
        "PATH",
        "HOME",
        "LANG",
        "TZ",
        "TMPDIR",
        "PWD",
        "OLDPWD",
        "SHLVL",
        "_",
        "GUARDIAN_TITLE",
        "GUARDIAN_TEXT",
        "GUARDIAN_CLUSTER",
        "GUARDIAN_SEVERITY",
    ];
    assert!(names.iter().all(|name| allowed.contains(name)), "{names:?}");
    assert!(
        env.contains("GUARDIAN_SEVERITY=warning")
            && env.contains("GUARDIAN_CLUSTER=test")
            && !env.contains("hunter8"),
        "{env}"
    );
}

#[test]
fn a_program_may_read_nothing_fail_leave_a_child_or_hang() {
    let cases = vec![
        ("exit 0", None, 5),
        ("exec 0<&-; exit 0", None, 5),
        // A child keeps the pipes open after its exit.
        ("sleep 30 & exit 0", None, 5),
        ("echo 'no such user' >&2; exit 67", Some("exit code 67: no such user"), 5),
        ("kill -9 $$", Some("signal: 9 (SIGKILL)"), 5),
        ("sleep 61 & sleep 62", Some("no answer within 15 s"), 20),
    ];
    each(cases, |(text, error, seconds)| {
        let connect = failing();
        let guardian =
            guardian(&connect, &format!("exec mail {}", script(text).display())).env("PATH", "/usr/bin:/bin");
        let started = Instant::now();
        let (document, code) = guardian.run_json();
        assert_eq!(
            (code, &document["told"]),
            (0, &json!([{"sink": "mail", "ok": error.is_none(), "error": error}])),
            "{text}"
        );
        assert!(started.elapsed() < Duration::from_secs(*seconds), "{text}: {:?}", started.elapsed());
        if text.contains("61") {
            // With all that it started.
            let listing = std::process::Command::new("ps").args(["-eo", "args"]).output();
            let listing = String::from_utf8(listing.map(|it| it.stdout).unwrap_or_default()).unwrap();
            assert!(!listing.lines().any(|line| line == "sleep 61" || line == "sleep 62"), "{listing}");
        }
    });
}

#[test]
fn a_sink_that_is_written_wrongly_is_told_by_its_line_and_not_shown() {
    let connect = failing();
    let cases = vec![
        (
            "pager x https://h/hunter7SECRETHOOK",
            "line 1 begins with no kind of sink: it takes slack, teams, alertmanager, webhook or exec",
        ),
        (
            "# a comment\n\nslack chat https://h/a\nslack chat https://h/b",
            "line 4 has the name of a line before it",
        ),
        ("slack chat", "line 1 is not of the form KIND NAME WHERE"),
        ("slack chat hooks.example/hunter7SECRETHOOK", "line 1 has no URL"),
        ("slack chat \"https://h/hunter7SECRETHOOK\"", "line 1 has quotes in it"),
        ("exec mail bin/mail", "line 1 names a program by a relative path"),
        ("alertmanager am http://a:9093,nonsense", "line 1 has something else than URLs"),
        ("alertmanager am http://a:9093 labels=severity=x", "line 1 sets a label that guardian sets itself"),
        ("alertmanager am http://a:9093 labels=a", "line 1 has labels that are not of the form"),
        ("slack chat https://h/x labels=a=b", "line 1 has an option that its kind does not take"),
        ("slack chat https://h/x hunter7SECRETHOOK", "line 1 has something behind its address"),
        ("slack chat https://h/x only=", "line 1 has an empty only="),
        (
            "webhook bus https://h/x token-file=/nowhere/token",
            "line 1 has a token-file: /nowhere/token cannot be read",
        ),
        ("slack ch!at https://h/x", "line 1 has no name behind its kind"),
        ("#", "holds no sink"),
    ];
    each(cases, |(text, expected)| {
        let ended = guardian(&connect, text).run().exits(2);
        assert!(
            ended.stderr.contains("GUARDIAN_NOTIFY") && ended.stderr.contains(expected),
            "{text}: {}",
            ended.stderr
        );
        no_secret(&ended);
    });
    for (name, value, expected) in [
        ("GUARDIAN_NOTIFY_AFTER", "soon", "GUARDIAN_NOTIFY_AFTER takes a duration"),
        ("GUARDIAN_NOTIFY_REMIND", "never", "GUARDIAN_NOTIFY_REMIND takes off, or a duration"),
        ("GUARDIAN_NOTIFY_CAUSE", "some", "GUARDIAN_NOTIFY_CAUSE takes full, class or none"),
        ("GUARDIAN_NOTIFY_LINK", "ui", "GUARDIAN_NOTIFY_LINK takes a URL"),
        ("GUARDIAN_HEARTBEAT_URL", "hunter7SECRETHOOK", "GUARDIAN_HEARTBEAT_URL takes a URL"),
        ("GUARDIAN_NOTIFY_FILE", "/nowhere", "GUARDIAN_NOTIFY_FILE: /nowhere cannot be read"),
    ] {
        let ended = Guardian::at(&connect.url()).env(name, value).run().exits(2);
        assert!(ended.stderr.contains(expected), "{}", ended.stderr);
        no_secret(&ended);
    }
    // A command that tells nobody needs none of it.
    guardian(&connect, "nonsense").with(&["status"]).exits(0);
}

#[test]
fn the_sinks_may_stand_in_a_file_or_among_the_credentials() {
    let connect = failing();
    let chat = Receiver::start();
    let path = file("notify", &format!("{}\n", slack(&chat)));
    for (name, value) in
        [("GUARDIAN_NOTIFY_FILE", path.clone()), ("CREDENTIALS_DIRECTORY", path.parent().unwrap().to_owned())]
    {
        let guardian = Guardian::at(&connect.url())
            .env("GUARDIAN_NOTIFY_AFTER", "0s")
            .env(name, value.to_str().unwrap());
        guardian.run().exits(0);
        assert_eq!(chat.take().len(), 1, "{name}");
    }
}

#[test]
fn a_test_says_what_each_sink_answered() {
    let (connect, chat) = (failing(), Receiver::start());
    let hook = script("echo nobody is there >&2; exit 1");
    let sinks = format!(
        "{}\nteams hall {}\nwebhook bus {} token-file={}\nalertmanager am {}\nexec mail {}\n",
        slack(&chat),
        chat.url("/hall"),
        chat.url("/bus"),
        file("token", "hunter8token").display(),
        chat.url("/am"),
        hook.display()
    );
    let guardian = guardian(&connect, &sinks);
    let ended = guardian.with(&["notify", "--test"]).exits(1);
    no_secret(&ended);
    let lines: Vec<&str> = ended.stdout.lines().collect();
    assert_eq!(lines.len(), 5, "{lines:#?}");
    assert!(
        lines[0].starts_with("slack  chat  http://127.0.0.1:") && lines[0].contains("  told: 200 ok ("),
        "{lines:#?}"
    );
    assert!(lines[4].contains("  NOT TOLD: exit code 1: nobody is there ("), "{lines:#?}");
    assert!(ended.stderr.contains("not told: mail"), "{}", ended.stderr);
    let got = chat.take();
    assert_eq!(got.len(), 4);
    for head in &got {
        let body = String::from_utf8_lossy(&head.body);
        assert!(body.contains("TEST: test: guardian can tell you here"), "{body}");
        let has_token = head.header("authorization") == Some("Bearer hunter8token");
        assert_eq!(has_token, head.target == "/bus");
    }
    let (document, code) = guardian.json(&["notify", "--test", "chat"]);
    assert_eq!(
        (code, &document["told"][0]["answer"], document["told"].as_array().map(Vec::len)),
        (0, &json!("200 ok"), Some(1))
    );
    assert_eq!(chat.take().len(), 1);
    for (arguments, expected) in [
        (&["notify"][..], "notify takes --test"),
        (&["notify", "--test", "nobody"], "no sink is called \"nobody\"; there is chat, hall, bus, am, mail"),
    ] {
        let ended = guardian.with(arguments).exits(2);
        assert!(ended.stderr.contains(expected), "{}", ended.stderr);
    }
    let ended = Guardian::at(&connect.url()).with(&["notify", "--test"]).exits(2);
    assert!(ended.stderr.contains("no sink is set"), "{}", ended.stderr);
}

#[test]
fn what_a_killed_run_may_have_said_is_said_again_by_the_same_name() {
    let (connect, bus) = (failing(), Receiver::start());
    let guardian = guardian(&connect, &format!("webhook bus {}", bus.url("/")));
    bus.then(&[Say::Hang]);
    let mut child = guardian.start(&["run", "--once"]);
    let started = Instant::now();
    let first = loop {
        assert!(started.elapsed() < Duration::from_secs(30), "it is told");
        if let Some(head) = bus.take().pop() {
            break head;
        }
        std::thread::sleep(Duration::from_millis(10));
    };
    child.kill().unwrap();
    child.wait().unwrap();
    guardian.run().exits(0);
    assert!(bus.take().is_empty(), "the run that sent it might still be waiting");
    // A minute later.
    let mut state = guardian.remembered().unwrap();
    let then = state["told"][0]["unsure"].as_str().expect("it is unsure").to_owned();
    let earlier = humantime::parse_rfc3339(&then).unwrap() - Duration::from_secs(61);
    state["told"][0]["unsure"] = humantime::format_rfc3339_millis(earlier).to_string().into();
    std::fs::write(guardian.state(), state.to_string()).unwrap();
    guardian.run().exits(0);
    let second = bus.take().pop().expect("it is said again");
    let event = |body: &[u8]| serde_json::from_slice::<Value>(body).unwrap();
    let (first, second) = (event(&first.body), event(&second.body));
    let id = format!("test/{}/bus", humantime::format_rfc3339_millis(earlier));
    assert_eq!(second["id"], id, "the name of the first: {}", first["id"]);
    assert_eq!((&first["data"]["repeat"], &second["data"]["repeat"]), (&json!(false), &json!(true)));
    guardian.run().exits(0);
    assert!(bus.take().is_empty());
}

#[test]
fn a_sink_may_have_a_ca_of_its_own_and_no_proxy_of_connects() {
    use crate::sim::{Authority, Leaf};
    let authority = Authority::new();
    let files = tempfile::tempdir().unwrap();
    let ca = authority.write_pem_files(files.path());
    let hook = Connect::with(Profile::V3_9).tls(&authority, Leaf::Good).start();
    let connect = failing();
    let told = |more: &[(&str, &str)]| {
        let mut guardian = guardian(&connect, &format!("slack chat {}/hook", hook.url()))
            .env("HTTPS_PROXY", "http://127.0.0.1:9")
            .env("GUARDIAN_PROXY", "env")
            .env("NO_PROXY", "127.0.0.1")
            .env("HTTP_PROXY", "http://127.0.0.1:9");
        for (name, value) in more {
            guardian = guardian.env(name, value);
        }
        guardian.run_json().0["told"][0]["error"].as_str().unwrap_or_default().to_owned()
    };
    assert!(told(&[]).contains("certificate"), "{}", told(&[]));
    // It answers as Connect does: with a 404, which only somebody who was reached can.
    let ca = ca.ca.to_str().unwrap().to_owned();
    assert!(told(&[("GUARDIAN_NOTIFY_CA_FILE", &ca)]).starts_with("404"));
    let through = told(&[("GUARDIAN_NOTIFY_CA_FILE", &ca), ("GUARDIAN_NOTIFY_PROXY", "http://127.0.0.1:9")]);
    assert!(through.contains("tunnel error") || through.contains("tcp connect error"), "{through}");
}

/// A night in which twenty connectors lose their database and one task its record, as every sink gets it.
#[test]
fn a_night_as_it_is_told() {
    let connect = Connect::start(Profile::V3_9);
    for number in 0..20 {
        let name = format!("sink-{number:02}");
        connect.connector(&name).tasks(3);
        connect.fail_all_tasks(&name, &Failure::always());
    }
    connect.connector("poisoned").tasks(2);
    connect.fail_task("poisoned", 1, Failure::always().caused_by(POISON));
    let (chat, hall, bus, am) = (Receiver::start(), Receiver::start(), Receiver::start(), Receiver::start());
    let sinks = format!(
        "slack chat {}\nteams hall {} only=sink-0*\nwebhook bus {}\nalertmanager am {} labels=namespace=kafka\n",
        chat.url("/chat"),
        hall.url("/hall"),
        bus.url("/bus"),
        am.url("/prefix")
    );
    let guardian = guardian(&connect, &sinks)
        .env("GUARDIAN_GROUP_FROM", "3")
        .env("GUARDIAN_WATCH", "100ms")
        .env("EXPONENTIAL_RATIO", "1")
        .env("MAX_RESTART", "2")
        .env("GUARDIAN_NOTIFY_LINK", "https://ui.example/connectors/{connector}");
    // The canary fails; the poisoned one is restarted twice and given up.
    for _ in 0..3 {
        guardian.run().exits(0);
    }
    for number in 0..20 {
        connect.fail_all_tasks(&format!("sink-{number:02}"), &Failure::healing_after(1));
    }
    for _ in 0..5 {
        guardian.run().exits(0);
    }
    let told = chat.texts();
    println!("--- slack\n{}", told.join("\n---\n"));
    assert!(told.len() <= 5, "{told:#?}");
    assert!(told[0].starts_with("test: 61 tasks of 21 connectors failing for "), "{told:#?}");
    assert!(
        told.iter().any(|text| text.contains("1 task of 1 connector given up, needs a person")),
        "{told:#?}"
    );
    assert!(told.last().unwrap().contains("recovered after "), "{told:#?}");
    for head in hall.take() {
        let card: Value = serde_json::from_slice(&head.body).unwrap();
        println!("--- teams\n{card:#}");
        let text = card["attachments"][0]["content"]["body"].to_string();
        assert!(text.contains("of 10 connectors") && !text.contains("poisoned"), "{text}");
    }
    let mut ids = std::collections::BTreeSet::new();
    for head in bus.take() {
        assert_eq!(head.header("content-type"), Some("application/cloudevents+json"));
        let event: Value = serde_json::from_slice(&head.body).unwrap();
        println!("--- webhook\n{event:#}");
        assert!(ids.insert(event["id"].to_string()), "{event:#}");
    }
    let posts = am.take();
    assert_eq!(posts.len(), 8, "at every run");
    let alerts = |post: usize| -> Vec<Value> { serde_json::from_slice(&posts[post].body).unwrap() };
    assert_eq!(posts[0].target, "/prefix/api/v2/alerts");
    println!("--- alertmanager\n{:#}", alerts(0)[0]);
    let over = |alert: &Value| alert["startsAt"] == alert["endsAt"];
    assert_eq!((alerts(0).len(), alerts(0).iter().filter(|alert| over(alert)).count()), (21, 0));
    let last = alerts(7);
    assert_eq!(last.len(), 1, "{last:#?}");
    assert_eq!(
        last[0]["labels"],
        json!({"alertname": "KafkaConnectorNeedsPerson", "connect_cluster": "test", "connector": "poisoned", "namespace": "kafka", "severity": "critical", "source": "guardian"})
    );
    let ended: usize = (0..8).map(|post| alerts(post).iter().filter(|alert| over(alert)).count()).sum();
    assert_eq!(ended, 21, "twenty recovered, and one is no longer only failing");
}
