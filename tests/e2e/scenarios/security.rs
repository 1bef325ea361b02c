//! Real security set-ups, each on a worker of its own.

use std::fs;
use std::path::Path;

use crate::connect::{Setup, Worker};
use crate::guardian::Guardian;
use crate::jars::Version;
use crate::jvm;
use crate::scene::scenario;

const USER: &str = "alice";
/// With what a careless encoding would break.
const PASSWORD: &str = "s3cret: ü+%";

scenario!(alone basic_authentication_by_the_workers_own_extension on V2_8 V3_9 V4_3);

fn basic_authentication_by_the_workers_own_extension(version: &'static Version) {
    const NAME: &str = "guarded";
    let worker = with_basic_authentication(version);
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
}

fn with_basic_authentication(version: &'static Version) -> Worker {
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
