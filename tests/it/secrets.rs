//! No credential is ever printed, logged or remembered: every command, at the most talkative log level, with every
//! kind of credential set, while everything fails that can fail.

use std::path::Path;
use std::time::Duration;

use crate::sim::{Answer, Authority, Connect, Failure, Leaf, Profile};
use crate::support::{Ended, Guardian, each};
use crate::tls::Proxy;

const PASSWORD: &str = "hunter2basic";
const TOKEN: &str = "hunter3.bearer-token";
const PROXY_PASSWORD: &str = "hunter4proxy";
const GATEWAY_KEY: &str = "hunter6.gateway-key";
const PUSH_PASSWORD: &str = "hunter7push";
/// `alice:hunter2basic`, `bob:hunter4proxy` and `carol:hunter7push`, as they go over the wire.
const ENCODED: [&str; 3] = ["YWxpY2U6aHVudGVyMmJhc2lj", "Ym9iOmh1bnRlcjRwcm94eQ", "Y2Fyb2w6aHVudGVyN3B1c2g"];
/// What a connector's own trace may hold.
const OF_A_CONNECTOR: &str = "hunter5jdbc";

/// The ways to pass credentials.
#[derive(Clone, Copy, Debug)]
enum Credentials {
    Variables,
    Files,
    Systemd,
    Token,
}

/// Files with secrets in them, and a client's certificate and key.
struct Safe {
    folder: tempfile::TempDir,
    authority: Authority,
    key_lines: Vec<String>,
}

impl Safe {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let authority = Authority::new();
        let files = authority.write_pem_files(folder.path());
        let write = |name: &str, text: &str| std::fs::write(folder.path().join(name), text).unwrap();
        write("user", "alice\n");
        write("password", &format!("{PASSWORD}\n"));
        write("connect-password", PASSWORD);
        write("token", TOKEN);
        write("headers", &format!("# the gateway's\nX-Api-Key: {GATEWAY_KEY}\n"));
        // Nobody listens there.
        write("push-url", &format!("http://carol:{PUSH_PASSWORD}@127.0.0.1:1/\n"));
        write("broken-headers", &format!("X-Api-Key: {GATEWAY_KEY}\n{GATEWAY_KEY}"));
        write("headers-of-ours", &format!("Host: {GATEWAY_KEY}\n"));
        write("broken-token", &format!("{TOKEN}\n{PASSWORD} x"));
        let key = std::fs::read_to_string(files.client_key).unwrap();
        let key_lines = key.lines().filter(|line| !line.starts_with("---")).map(str::to_owned).collect();
        Self { folder, authority, key_lines }
    }

    fn file(&self, name: &str) -> String {
        self.folder.path().join(name).to_str().unwrap().to_owned()
    }

    /// Guardian with as many secrets as can be set together.
    fn guardian(&self, url: &str, credentials: Credentials) -> Guardian {
        let guardian = Guardian::at(url)
            .env("LOG_LEVEL", "trace")
            .env("GUARDIAN_TIMEOUT", "1s")
            .env("EXPONENTIAL_RATIO", "1")
            .env("KAFKA_CONNECT_CA_FILE", &self.file("ca.pem"))
            .env("KAFKA_CONNECT_CERT_FILE", &self.file("client.pem"))
            .env("KAFKA_CONNECT_KEY_FILE", &self.file("client.key"))
            .env("KAFKA_CONNECT_HEADERS_FILE", &self.file("headers"))
            .env("GUARDIAN_PUSHGATEWAY_URL_FILE", &self.file("push-url"))
            .env("GUARDIAN_METRICS_FILE", "/nowhere/guardian.prom");
        match credentials {
            Credentials::Variables => {
                guardian.env("KAFKA_CONNECT_USER", "alice").env("KAFKA_CONNECT_PASS", PASSWORD)
            }
            Credentials::Files => guardian
                .env("KAFKA_CONNECT_USER_FILE", &self.file("user"))
                .env("KAFKA_CONNECT_PASS_FILE", &self.file("password")),
            Credentials::Systemd => guardian
                .env("KAFKA_CONNECT_USER", "alice")
                .env("CREDENTIALS_DIRECTORY", self.folder.path().to_str().unwrap()),
            Credentials::Token => guardian.env("KAFKA_CONNECT_TOKEN_FILE", &self.file("token")),
        }
    }

    /// Fails when one of the secrets is in the text.
    fn none_in(&self, text: &str, whose: &str) {
        let needles = [PASSWORD, TOKEN, GATEWAY_KEY, PROXY_PASSWORD, PUSH_PASSWORD, OF_A_CONNECTOR];
        for needle in needles.into_iter().chain(ENCODED).chain(self.key_lines.iter().map(String::as_str)) {
            assert!(!text.contains(needle), "{needle} in {whose}: {text}");
        }
    }

    fn none_printed(&self, ended: &Ended, whose: &str) {
        self.none_in(&ended.stdout, whose);
        self.none_in(&ended.stderr, whose);
        assert!(!ended.stderr.contains("panicked"), "{whose}: {ended:?}");
    }

    /// Every file beside the state, whatever its name.
    fn none_remembered(&self, guardian: &Guardian) {
        for entry in std::fs::read_dir(guardian.folder()).unwrap() {
            let path = entry.unwrap().path();
            self.none_in(
                &String::from_utf8_lossy(&std::fs::read(&path).unwrap()),
                &path.display().to_string(),
            );
        }
    }

    /// Runs every command, in every form of output.
    fn tell_all(&self, guardian: &Guardian, whose: &str) {
        for arguments in [
            &["run", "--once", "--output", "json"][..],
            &["run", "--once", "--log-format", "json"],
            &["run", "--quiet"],
            &["run", "--dry-run"],
            &["status"],
            &["status", "--output", "json"],
            &["schedule"],
            &["reset", "nobody"],
            &["history"],
            &["history", "--output", "json"],
            &["reset", "--all", "--output", "json"],
        ] {
            self.none_printed(&guardian.with(arguments), &format!("{whose}, {arguments:?}"));
            self.none_remembered(guardian);
        }
    }
}

/// An answer of a careless server, with the credentials that it was sent.
fn echo() -> String {
    format!(
        "Authorization: Basic {}; Proxy-Authorization: Basic {}; Bearer {TOKEN}; http://bob:{PROXY_PASSWORD}@proxy; \
         X-Api-Key: {GATEWAY_KEY}; password={PASSWORD}",
        ENCODED[0], ENCODED[1]
    )
}

#[test]
fn what_a_gateway_quotes_of_the_credentials_is_not_repeated() {
    // AWS API Gateway and OpenSearch quote the header of a request that they do not route (AstronomyAPI/Samples#20,
    // HumanCellAtlas/data-store#328): here also as a text that no rule for secrets knows.
    let safe = Safe::new();
    let sent = [
        (Credentials::Variables, [ENCODED[0], PASSWORD, GATEWAY_KEY]),
        (Credentials::Files, [ENCODED[0], PASSWORD, GATEWAY_KEY]),
        (Credentials::Token, [TOKEN, TOKEN, GATEWAY_KEY]),
    ];
    let quoted = sent.into_iter().flat_map(|(credentials, quoted)| {
        let text =
            format!("'{}' is no key=value pair, nor is {}, nor is {}.", quoted[0], quoted[1], quoted[2]);
        let answers =
            [Answer::error(500, &text), Answer::error(403, &text), Answer::text(400, "text/plain", text)];
        answers.map(|answer| (credentials, answer))
    });
    each(quoted.collect(), |(credentials, answer)| {
        let connect = Connect::start(Profile::V3_9);
        connect.connector("orders").tasks(1);
        connect.fail_task("orders", 0, Failure::always());
        let guardian = safe.guardian(&connect.url(), *credentials);
        connect.on_any_restart().answers(answer.clone());
        let of_a_restart = guardian.run();
        connect.forget_rules();
        connect.on_any().answers(answer.clone());
        for ended in [of_a_restart, guardian.run()] {
            safe.none_printed(&ended, "run");
            safe.none_remembered(&guardian);
            assert!(ended.stderr.contains("***"), "not even shown: {ended:?}");
        }
    });
}

/// The ways in which a listing or a restart can fail, of every sort.
fn failures() -> Vec<(bool, Answer)> {
    let of_listing = [
        Answer::text(401, "text/plain", echo()),
        Answer::error(403, &echo()),
        Answer::error(500, &echo()),
        Answer::text(502, "text/plain", echo()),
        Answer::text(200, "text/html", format!("<html>{}", echo())),
        Answer::text(200, "text/plain", echo()),
        Answer::redirect(302, "/elsewhere"),
        Answer::raw(format!("NOT HTTP {}\r\n\r\n", echo())),
        Answer::normal().cut_after(50),
        Answer::reset(),
        Answer::hang(),
    ];
    let of_restart = [
        Answer::normal(),
        Answer::error(500, &format!("Failed to start task: {}", echo())),
        Answer::error(500, &echo()),
        Answer::error(404, &echo()),
        Answer::text(400, "text/html", format!("<html>{}", echo())),
        Answer::text(401, "text/plain", echo()),
        Answer::error(405, &echo()),
        Answer::text(503, "text/plain", echo()),
        Answer::redirect(307, "/elsewhere"),
        Answer::reset(),
        Answer::hang(),
    ];
    let of_listing = of_listing.into_iter().map(|answer| (true, answer));
    of_listing.chain(of_restart.into_iter().map(|answer| (false, answer))).collect()
}

fn a_failed_task(connect: &Connect) {
    connect.connector("orders").tasks(1);
    let trace = format!(
        "a.B: x\nCaused by: java.sql.SQLException: jdbc:x://app:{OF_A_CONNECTOR}@db password={OF_A_CONNECTOR}\n"
    );
    connect.fail_task("orders", 0, Failure::always().with_trace(&trace));
}

#[test]
fn no_credential_is_printed_logged_or_remembered_whatever_fails() {
    let safe = Safe::new();
    let kinds = [Credentials::Variables, Credentials::Files, Credentials::Systemd, Credentials::Token];
    let stories =
        failures().into_iter().enumerate().map(|(number, failure)| (failure, kinds[number % kinds.len()]));
    let told = std::sync::Mutex::new(std::collections::VecDeque::from_iter(stories));
    // A few at a time: each starts nine processes, one after another.
    each((0..12).collect(), |_| {
        while let Some(((of_listing, answer), credentials)) = { told.lock().unwrap().pop_front() } {
            let connect = Connect::start(Profile::V3_9);
            a_failed_task(&connect);
            let script = if of_listing { connect.on_listing() } else { connect.on_any_restart() };
            script.answers(answer);
            let proxy = Proxy::start(None);
            let guardian = safe
                .guardian(&connect.url(), credentials)
                .env("GUARDIAN_PROXY", &proxy.url.replace("//", &format!("//bob:{PROXY_PASSWORD}@")))
                .env("GUARDIAN_DEADLINE", "1s");
            safe.tell_all(&guardian, &format!("{credentials:?}"));
            let sent = match credentials {
                Credentials::Token => TOKEN,
                _ => ENCODED[0],
            };
            let heads = proxy.heads().concat();
            for sent in [sent, ENCODED[1], GATEWAY_KEY] {
                assert!(heads.contains(sent), "the secrets were in use: {heads}");
            }
        }
    });
}

#[test]
fn no_credential_is_in_the_errors_of_tls_and_proxies() {
    let safe = Safe::new();
    let strangers = Authority::named("Strangers");
    let secure = |leaf| Connect::with(Profile::V3_9).tls(&safe.authority, leaf).start();
    let mutual =
        |clients: &Authority| Connect::with(Profile::V3_9).mutual_tls(&safe.authority, clients).start();
    let workers = [
        secure(Leaf::Good),
        secure(Leaf::Expired),
        secure(Leaf::WrongHost),
        mutual(&safe.authority),
        mutual(&strangers),
    ];
    let refusing = Proxy::start(Some("407 Proxy Authentication Required"));
    let proxies = [Proxy::start(None).url, refusing.url, workers[0].closed_url(), "none".to_owned()];
    each(workers.iter().enumerate().collect(), |(number, worker)| {
        a_failed_task(worker);
        let proxy = proxies[*number % proxies.len()].replace("//", &format!("//bob:{PROXY_PASSWORD}@"));
        let guardian = safe.guardian(&worker.url(), Credentials::Variables).env("GUARDIAN_PROXY", &proxy);
        let guardian = guardian.env("GUARDIAN_DEADLINE", "2s");
        safe.tell_all(&guardian, &format!("worker {number}"));
    });
    assert!(!workers[3].restarts().is_empty(), "the client's key was in use");
}

#[test]
fn no_credential_is_in_the_errors_of_settings() {
    let safe = Safe::new();
    let wrong: Vec<Vec<(&str, String)>> = vec![
        vec![("KAFKA_CONNECT_URL", format!("http://alice:{PASSWORD}@connect:8083"))],
        vec![("KAFKA_CONNECT_URL", format!("http://alice:{PASSWORD}@:x"))],
        vec![("KAFKA_CONNECT_URL", format!("alice:{PASSWORD}@connect"))],
        vec![
            ("KAFKA_CONNECT_URL", String::new()),
            ("KAFKA_CONNECT_HOST", format!("alice:{PASSWORD}@connect")),
        ],
        vec![("GUARDIAN_PROXY", format!("socks5://bob:{PROXY_PASSWORD}@proxy:1"))],
        vec![("GUARDIAN_PROXY", format!("bob:{PROXY_PASSWORD}@proxy:1"))],
        vec![("GUARDIAN_PROXY", format!("http://bob:{PROXY_PASSWORD}@:0:0"))],
        vec![("GUARDIAN_PROXY", "env".into()), ("HTTP_PROXY", format!("http://bob:{PROXY_PASSWORD}@:0:0"))],
        vec![("KAFKA_CONNECT_USER", String::new())],
        vec![("KAFKA_CONNECT_USER", "a:b".into())],
        vec![("KAFKA_CONNECT_PASS_FILE", safe.file("password"))],
        vec![("KAFKA_CONNECT_TOKEN_FILE", safe.file("token"))],
        vec![
            ("KAFKA_CONNECT_USER", String::new()),
            ("KAFKA_CONNECT_PASS", String::new()),
            ("KAFKA_CONNECT_TOKEN_FILE", safe.file("broken-token")),
        ],
        vec![("KAFKA_CONNECT_HEADERS_FILE", safe.file("broken-headers"))],
        vec![("KAFKA_CONNECT_HEADERS_FILE", safe.file("headers-of-ours"))],
        vec![("KAFKA_CONNECT_HEADERS_FILE", safe.file("token"))],
        vec![("KAFKA_CONNECT_HEADERS_FILE", safe.file("client.key"))],
        vec![("KAFKA_CONNECT_CA_FILE", safe.file("client.key"))],
        vec![("KAFKA_CONNECT_CERT_FILE", safe.file("client.key"))],
        vec![("KAFKA_CONNECT_KEY_FILE", safe.file("client.pem"))],
        vec![("KAFKA_CONNECT_KEY_FILE", safe.file("token"))],
        vec![("MAX_RESTART", format!("password={PASSWORD}"))],
    ];
    let forms = ["run", "status", "schedule"].into_iter().flat_map(|it| [(it, "text"), (it, "json")]);
    let cases = wrong.iter().flat_map(|settings| forms.clone().map(move |form| (settings, form)));
    each(cases.collect(), |(settings, (command, output))| {
        let guardian = safe.guardian("http://localhost:1", Credentials::Variables);
        let guardian = settings.iter().fold(guardian, |it, (name, value)| it.env(name, value));
        let ended = guardian.with(&[command, "--output", output]);
        assert!(ended.code != 0 || *command == "schedule", "{settings:?} {command}: {ended:?}");
        safe.none_printed(&ended, &format!("{settings:?} {command}"));
    });
    // A password on the command line would be seen by everybody: there is no flag for one.
    for arguments in [
        vec!["run".to_owned(), "--password".to_owned(), PASSWORD.to_owned()],
        vec!["run".to_owned(), format!("--password={PASSWORD}")],
        vec!["run".to_owned(), "--proxy".to_owned(), format!("http://bob:{PROXY_PASSWORD}@proxy:1")],
        vec!["run".to_owned(), "--url".to_owned(), format!("http://alice:{PASSWORD}@connect:8083")],
    ] {
        let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
        let ended = Guardian::at("http://localhost:1").with(&arguments).exits(2);
        safe.none_printed(&ended, arguments[1]);
    }
}

#[test]
fn no_credential_is_on_the_command_line_of_a_running_guardian() {
    let safe = Safe::new();
    let connect = Connect::start(Profile::V3_9);
    connect.on_listing().answers(Answer::normal().delayed(Duration::from_secs(60)));
    let guardian = safe.guardian(&connect.url(), Credentials::Files);
    let mut child = guardian.start(&["run", "--every", "1m"]);
    connect.wait_for("the listing", |connect| connect.listings() > 0);
    let tasks = Path::new("/proc").join(child.id().to_string()).join("task");
    for entry in std::fs::read_dir(tasks).unwrap() {
        let task = entry.unwrap().path();
        for file in ["cmdline", "comm"] {
            let text = std::fs::read(task.join(file))
                .map(|bytes| String::from_utf8_lossy(&bytes).replace('\0', " "));
            safe.none_in(&text.unwrap_or_default(), file);
        }
        let environment = std::fs::read(task.join("environ")).unwrap_or_default();
        safe.none_in(&String::from_utf8_lossy(&environment), "the environment, when files are used");
    }
    child.kill().unwrap();
    safe.none_printed(&Ended::of(child), "the loop");
}
