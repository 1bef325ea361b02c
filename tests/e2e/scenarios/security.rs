//! Real security set-ups, each on a worker of its own.

use std::fs;
use std::path::Path;

use crate::certificates::Authority;
use crate::connect::{Setup, Worker};
use crate::guardian::{Guardian, Run};
use crate::jars::Version;
use crate::jvm;
use crate::scene::scenario;

const USER: &str = "alice";
/// With what a careless encoding would break.
const PASSWORD: &str = "s3cret: ü+%";

scenario!(alone basic_authentication_over_http_and_https on V2_8 V3_9 V4_3);

fn basic_authentication_over_http_and_https(version: &'static Version) {
    const NAME: &str = "guarded";
    let authority = Authority::new("Private CA");
    let worker = with_basic_authentication(version, &authority);
    let guardian = |user: &str, password: &str| {
        Guardian::new(&worker.url(), &jvm::new_folder("guardian"))
            .env("KAFKA_CONNECT_USER", user)
            .env("KAFKA_CONNECT_PASS", password)
    };
    let flaky = worker.failing(NAME, 1, &["task-0"]);
    flaky.heal("task-0");

    let refused = [
        Guardian::new(&worker.url(), &jvm::new_folder("guardian")).once(&[]),
        guardian(USER, "wrong").once(&[]),
        guardian("bob", PASSWORD).once(&[]),
    ];
    for run in &refused {
        assert_eq!(run.code, Some(1));
        assert_eq!(run.json["error"]["kind"], "unauthorized", "{}", run.json);
        assert!(!run.stderr.contains("s3cret") && !run.stdout.contains("s3cret"));
    }
    assert_eq!(flaky.starts("task 0"), 1);

    let run = guardian(USER, PASSWORD).once(&["--log-level", "trace"]);
    run.assert_ok();
    assert_eq!(run.action(NAME, Some(0)), "restarted");
    assert!(!run.stderr.contains("s3cret") && !run.stdout.contains("s3cret"));
    worker.await_task(NAME, 0, "RUNNING");

    https_with_a_private_ca(&worker, &authority);
}

/// The same worker's other listener.
fn https_with_a_private_ca(worker: &Worker, authority: &Authority) {
    const NAME: &str = "guarded and encrypted";
    let guardian = |url: &str| {
        Guardian::new(url, &jvm::new_folder("guardian"))
            .env("KAFKA_CONNECT_USER", USER)
            .env("KAFKA_CONNECT_PASS", PASSWORD)
    };
    let flaky = worker.failing(NAME, 1, &["task-0"]);
    flaky.heal("task-0");
    let by_name = worker.https_url().replace("127.0.0.1", "localhost");
    let in_clear = worker.https_url().replace("https", "http");
    let stranger = Authority::new("Another CA");
    let trusted = |url: &str| guardian(url).env("KAFKA_CONNECT_CA_FILE", &authority.pem);
    let refused = [
        (guardian(&worker.https_url()), "signed by a CA that is not trusted here"),
        (
            guardian(&worker.https_url()).env("KAFKA_CONNECT_CA_FILE", &stranger.pem),
            "signed by a CA that is not trusted here",
        ),
        (trusted(&by_name), "for another host name"),
        (trusted(&in_clear), "KAFKA_CONNECT_PROTO=https"),
        (trusted(&worker.url().replace("http", "https")), "does not speak TLS"),
    ];
    for (guardian, says) in refused {
        let run = guardian.once(&[]);
        assert_unreachable(&run, says);
    }
    assert_eq!(flaky.starts("task 0"), 1);

    let run = trusted(&worker.https_url()).env("KAFKA_CONNECT_PASS", "wrong").once(&[]);
    assert_eq!((run.code, &run.json["error"]["kind"]), (Some(1), &"unauthorized".into()), "{}", run.json);
    let run = trusted(&worker.https_url()).once(&["--log-level", "trace"]);
    assert_eq!(run.assert_ok().action(NAME, Some(0)), "restarted");
    assert!(!run.stderr.contains("s3cret") && !run.stdout.contains("s3cret"));
    worker.await_task(NAME, 0, "RUNNING");
}

scenario!(alone mutual_tls on V3_9 V4_3);

/// Under TLS 1.3 a client learns only at its first read that it should have shown a certificate.
fn mutual_tls(version: &'static Version) {
    const NAME: &str = "for those who are known";
    let authority = Authority::new("Private CA");
    let worker = Setup::distributed(version)
        .https(&authority.key_store(), &authority.trust_store(), "required")
        .start();
    let guardian = || {
        Guardian::new(&worker.https_url(), &jvm::new_folder("guardian"))
            .env("KAFKA_CONNECT_CA_FILE", &authority.pem)
    };
    let flaky = worker.failing(NAME, 1, &["task-0"]);
    flaky.heal("task-0");

    assert_unreachable(&guardian().once(&[]), "wants a client certificate");
    let stranger = Authority::new("Another CA").client();
    let [certificate, key] = stranger.settings();
    assert_unreachable(
        &guardian().env(certificate.0, certificate.1).env(key.0, key.1).once(&[]),
        "does not trust the client certificate",
    );
    assert_eq!(flaky.starts("task 0"), 1);

    let known = authority.client();
    let [certificate, key] = known.settings();
    let run = guardian().env(certificate.0, certificate.1).env(key.0, key.1).once(&[]);
    assert_eq!(run.assert_ok().action(NAME, Some(0)), "restarted");
    worker.await_task(NAME, 0, "RUNNING");
    assert_eq!(flaky.starts("task 0"), 2);
}

/// No HTTP answer, and the reason in words.
fn assert_unreachable(run: &Run, says: &str) {
    assert_eq!((run.code, &run.json["error"]["kind"]), (Some(1), &"unreachable".into()), "{}", run.json);
    let message = run.json["error"]["message"].as_str().unwrap_or_default();
    assert!(message.contains(says), "{says:?} is not in {message:?}");
}

fn with_basic_authentication(version: &'static Version, authority: &Authority) -> Worker {
    let folder = jvm::new_folder("login");
    let credentials = folder.join("credentials.properties");
    // Java reads .properties as Latin-1 with escapes.
    let escaped: String = PASSWORD
        .chars()
        .map(|one| match one {
            ':' | ' ' => format!("\\{one}"),
            one if one.is_ascii() => one.to_string(),
            one => format!("\\u{:04x}", u32::from(one)),
        })
        .collect();
    fs::write(&credentials, format!("{USER}={escaped}\n")).expect("write the credentials");
    Setup::distributed(version)
        .https(&authority.key_store(), &authority.trust_store(), "none")
        .set(
            "rest.extension.classes",
            "org.apache.kafka.connect.rest.basic.auth.extension.BasicAuthSecurityRestExtension",
        )
        .jvm_option(login_configuration(&folder, &credentials))
        .header(format!("Authorization: Basic {}", base64(&format!("{USER}:{PASSWORD}"))))
        .start()
}

fn login_configuration(folder: &Path, credentials: &Path) -> String {
    let file = folder.join("jaas.conf");
    let module = "org.apache.kafka.connect.rest.basic.auth.extension.PropertyFileLoginModule";
    let text = format!("KafkaConnect {{\n  {module} required\n  file=\"{}\";\n}};\n", credentials.display());
    fs::write(&file, text).expect("write the login configuration");
    format!("-Djava.security.auth.login.config={}", file.display())
}

/// By hand: the one thing that the tests would need another crate for.
fn base64(text: &str) -> String {
    const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    text.as_bytes()
        .chunks(3)
        .flat_map(|three| {
            let bits =
                three.iter().fold(0u32, |bits, &byte| bits << 8 | u32::from(byte)) << (8 * (3 - three.len()));
            (0..4).map(move |place| {
                if place > three.len() {
                    '='
                } else {
                    char::from(ALPHABET[(bits >> (18 - 6 * place) & 63) as usize])
                }
            })
        })
        .collect()
}
