//! Precedence, refusals and secrets, through the whole of the configuration.

use std::ffi::OsString;
use std::time::Duration;

use reqwest::Url;
use tracing::Level;

use super::connect::in_container;
use super::{Config, Environment};
use crate::cli::{self, Parsed};
use crate::decide::policy::Pace;
use crate::exit::{Failure, Kind};
use crate::http::Authorization;
use crate::store::Place;

fn config(args: &[&str], environment: &[(&str, &str)]) -> Result<Config, Failure> {
    let args = ["guardian", "run"].iter().chain(args).map(OsString::from);
    let Parsed::Typed(typed) = cli::parse(args) else { panic!("wrong command line") };
    let home = [("HOME", "/h")];
    let environment =
        home.iter().chain(environment).map(|(name, value)| ((*name).to_owned(), OsString::from(value)));
    Config::new(&typed, &environment.collect())
}

fn url(args: &[&str], environment: &[(&str, &str)]) -> String {
    let urls = config(args, environment).unwrap().connect.urls;
    urls.iter().map(Url::as_str).collect::<Vec<_>>().join(" ")
}

#[test]
fn the_defaults_are_the_documented_ones() {
    let config = config(&[], &[]).unwrap();
    assert_eq!(config.connect.urls, [Url::parse("http://localhost:8083").unwrap()]);
    assert_eq!(config.cluster, "localhost_8083");
    assert_eq!(config.state.to_string(), "/h/.local/state/connector-guardian/localhost_8083.json");
    assert_eq!((config.policy.max_restart, config.policy.ratio, config.policy.backoff), (Some(7), 1, true));
    assert_eq!(
        (config.policy.settle, config.policy.pace),
        (Duration::from_secs(60), Pace::Runs { cap: None })
    );
    assert_eq!((config.run.deadline, config.run.parallel), (Duration::from_secs(210), 4));
    assert!(config.run.every.is_none() && config.warnings.is_empty());
}

#[test]
fn the_names_of_the_origin_keep_working() {
    let config = config(
        &[],
        &[
            ("KAFKA_CONNECT_HOST", "connect.example"),
            ("KAFKA_CONNECT_PORT", "18083"),
            ("KAFKA_CONNECT_PROTOCOL", "https"),
            ("KAFKA_CONNECT_PROTO", "https"),
            ("KAFKA_CONNECT_USER", "u"),
            ("KAFKA_CONNECT_PASS", "p"),
            ("MAX_RESTART", "3"),
            ("EXPONENTIAL_RATIO", "2"),
            ("ENABLE_BACKOFF", "0"),
            ("LOG_LEVEL", "CRITICAL"),
        ],
    )
    .unwrap();
    assert_eq!(config.connect.urls[0].as_str(), "https://connect.example:18083/");
    assert!(
        matches!(&config.connect.credentials.authorization, Authorization::Basic { user, .. } if user == "u")
    );
    assert_eq!((config.policy.max_restart, config.policy.ratio, config.policy.backoff), (Some(3), 2, false));
    assert_eq!(config.reporting.log.level, Level::ERROR);
    assert!(!format!("{config:?}").contains("\"p\""), "{config:?}");
}

#[test]
fn a_flag_beats_the_environment_also_of_the_other_kind() {
    let environment = [("KAFKA_CONNECT_URL", "https://a:1/x, http://b:2"), ("KAFKA_CONNECT_HOST", "c")];
    assert_eq!(url(&[], &environment), "https://a:1/x http://b:2/");
    assert_eq!(url(&["--host", "d"], &environment), "http://d:8083/");
    assert_eq!(url(&["--url", "http://e"], &environment), "http://e/");
    assert_eq!(url(&["--host", "::1"], &[]), "http://[::1]:8083/");
    assert_eq!(url(&[], &[("KAFKA_CONNECT_HOST", "")]), "http://localhost:8083/");
}

#[test]
fn a_port_of_a_service_link_is_ignored_with_a_warning() {
    let config = config(&[], &[("KAFKA_CONNECT_PORT", "tcp://10.0.0.1:8083")]).unwrap();
    assert_eq!(config.connect.urls[0].as_str(), "http://localhost:8083/");
    assert!(config.warnings[0].contains("KAFKA_CONNECT_PORT"), "{:?}", config.warnings);
}

#[test]
fn a_container_is_known_by_a_file_or_a_variable() {
    let root = tempfile::tempdir().unwrap();
    let environment = |name: &str| Environment::from([(name.to_owned(), OsString::from("10.96.0.1"))]);
    assert!(!in_container(&environment("HOME"), root.path()));
    assert!(in_container(&environment("KUBERNETES_SERVICE_HOST"), root.path()));
    std::fs::create_dir(root.path().join("run")).unwrap();
    for file in [".dockerenv", "run/.containerenv"] {
        std::fs::write(root.path().join(file), "").unwrap();
        assert!(in_container(&environment("HOME"), root.path()), "{file}");
        std::fs::remove_file(root.path().join(file)).unwrap();
    }
}

#[test]
fn once_overrules_every() {
    assert!(config(&["--every", "5m"], &[]).unwrap().run.every.is_some());
    assert!(config(&["--every", "5m", "--once"], &[("GUARDIAN_EVERY", "1m")]).unwrap().run.every.is_none());
    assert!(config(&["--once"], &[("GUARDIAN_EVERY", "1m")]).unwrap().run.every.is_none());
}

#[test]
fn what_cannot_be_used_is_refused_by_name() {
    for (args, environment, says) in [
        (
            &[][..],
            &[("MAX_RESTART", "0")][..],
            "MAX_RESTART takes a whole number from 1, or unlimited, not \"0\"",
        ),
        (&[], &[("EXPONENTIAL_RATIO", "abc")], "EXPONENTIAL_RATIO takes a whole number from 1, not \"abc\""),
        (
            &["--exponential-ratio", "1.5"],
            &[],
            "--exponential-ratio takes a whole number from 1, not \"1.5\"",
        ),
        (&[], &[("KAFKA_CONNECT_PROTO", "ftp")], "KAFKA_CONNECT_PROTO takes http or https, not \"ftp\""),
        (
            &[],
            &[("KAFKA_CONNECT_HOST", "http://x")],
            "KAFKA_CONNECT_HOST takes a host name or address, without scheme, port or path, not \"http://x\"",
        ),
        (&[], &[("KAFKA_CONNECT_HOST", "x:8083")], "KAFKA_CONNECT_HOST takes a host name"),
        (
            &[],
            &[("KAFKA_CONNECT_HOST", "u:secret@x")],
            "KAFKA_CONNECT_HOST takes a host name or address, without scheme, port or path",
        ),
        (
            &[],
            &[("KAFKA_CONNECT_HOST", "fe80::1%eth0")],
            "KAFKA_CONNECT_HOST: an IPv6 address cannot have a zone (%...) here: use",
        ),
        (
            &[],
            &[("KAFKA_CONNECT_URL", "http://a:1,http://[fe80::1%25eth0]:8083")],
            "KAFKA_CONNECT_URL: an IPv6 address cannot have a zone",
        ),
        (&["--proxy", "http://[fe80::1%eth0]:3128"], &[], "--proxy: an IPv6 address cannot have a zone"),
        (&[], &[("KAFKA_CONNECT_PORT", "0")], "KAFKA_CONNECT_PORT takes a port number from 1 to 65535"),
        (&[], &[("KAFKA_CONNECT_USER", "u")], "KAFKA_CONNECT_USER needs a password"),
        (&[], &[("KAFKA_CONNECT_PASS", "p")], "KAFKA_CONNECT_PASS needs a user"),
        (&[], &[("KAFKA_CONNECT_PASS", "p"), ("KAFKA_CONNECT_PASS_FILE", "/x")], "exclude each other"),
        (&[], &[("KAFKA_CONNECT_PROTO", "http"), ("KAFKA_CONNECT_PROTOCOL", "https")], "differ"),
        (
            &[],
            &[("KAFKA_CONNECT_URL", "http://u:secret@x")],
            "KAFKA_CONNECT_URL: no user or password in a URL",
        ),
        (&[], &[("KAFKA_CONNECT_URL", "connect:8083")], "KAFKA_CONNECT_URL takes worker URLs"),
        (&[], &[("KAFKA_CONNECT_URL", ",")], "KAFKA_CONNECT_URL takes worker URLs"),
        (&["--url", "http://a", "--host", "b"], &[], "--url and --host exclude each other"),
        (&["--backoff-cap", "1h"], &[], "--backoff-cap takes none or a whole number of runs"),
        (&["--backoff-step", "5m", "--backoff-cap", "12"], &[], "--backoff-cap takes none or a duration"),
        (&["--backoff-step", "0s"], &[], "--backoff-step takes run, or a duration"),
        (&["--parallel", "0"], &[], "--parallel takes a whole number from 1 to 100"),
        (&["--proxy", "http://u:p@h"], &[], "no password on a command line"),
        (&["--host", ""], &[], "--host is empty"),
        (&["--include", "a", "--include", ""], &[], "--include is empty"),
        (&["--exclude", ""], &[], "--exclude is empty"),
        (&[], &[("GUARDIAN_INCLUDE", " ,")], "GUARDIAN_INCLUDE is empty"),
        (&[], &[("LOG_LEVEL", "loud")], "LOG_LEVEL takes error, warn, info, debug or trace"),
        (
            &[],
            &[("ENABLE_BACKOFF", "maybe")],
            "ENABLE_BACKOFF takes 1 or 0 (true or false, yes or no, on or off), not \"maybe\"",
        ),
        (
            &[],
            &[("GUARDIAN_STATE", "~/guardian.json")],
            "GUARDIAN_STATE begins with ~, which only a shell replaces",
        ),
        (&["--state", "~/guardian.json"], &[], "--state begins with ~"),
        (&[], &[("GUARDIAN_DEADLINE", "5")], "GUARDIAN_DEADLINE takes a duration"),
        (
            &[],
            &[("KAFKA_CONNECT_CA_FILE", "/nowhere/ca.pem")],
            "KAFKA_CONNECT_CA_FILE: /nowhere/ca.pem cannot be read",
        ),
        (&[], &[("KAFKA_CONNECT_CA_FILE", "/a\n\u{1b}[31mb")], "/a[31mb cannot be read"),
        (
            &[],
            &[("KAFKA_CONNECT_CERT_FILE", "/dev/null")],
            "KAFKA_CONNECT_CERT_FILE needs KAFKA_CONNECT_KEY_FILE too",
        ),
    ] {
        let refused = config(args, environment).expect_err(says);
        assert_eq!(refused.kind, Kind::Usage);
        let refused = refused.message();
        assert!(refused.contains(says), "{refused:?} does not say {says:?}");
        assert!(!refused.contains('\n') && !refused.contains("secret"), "{refused}");
    }
}

#[test]
fn a_variable_that_is_no_setting_is_not_ignored_in_silence() {
    let names =
        ["GUARDIAN_DRYRUN", "GUARDIAN_SERVICE_HOST", "GUARDIAN_PORT_80_TCP", "GUARDIAN_QUIET", "HOME"];
    let warnings = config(&[], &names.map(|name| (name, "1"))).unwrap().warnings;
    assert_eq!(warnings, ["GUARDIAN_DRYRUN is no setting and is ignored (did you mean GUARDIAN_DRY_RUN?)"]);
}

#[test]
fn secrets_come_from_files_without_their_newline() {
    let folder = tempfile::tempdir().unwrap();
    let file = |name: &str, text: &str| {
        let path = folder.path().join(name);
        std::fs::write(&path, text).unwrap();
        path.to_str().unwrap().to_owned()
    };
    let (user, password, token) =
        (file("u", "bob\n"), file("connect-password", "\u{feff}p w\n\n"), file("t", "abc\n"));
    let basic = |environment: &[(&str, &str)]| match config(&[], environment)
        .unwrap()
        .connect
        .credentials
        .authorization
    {
        Authorization::Basic { user, password } => (user, password.expose().to_owned()),
        other => panic!("{other:?}"),
    };
    let expected = ("bob".to_owned(), "p w\n".to_owned());
    assert_eq!(
        basic(&[("KAFKA_CONNECT_USER_FILE", &user), ("KAFKA_CONNECT_PASS_FILE", &password)]),
        expected
    );
    let credentials = folder.path().to_str().unwrap();
    assert_eq!(basic(&[("KAFKA_CONNECT_USER", "bob"), ("CREDENTIALS_DIRECTORY", credentials)]), expected);
    let both = [
        ("KAFKA_CONNECT_TOKEN_FILE", token.as_str()),
        ("KAFKA_CONNECT_USER", "bob"),
        ("KAFKA_CONNECT_PASS", "p"),
    ];
    assert!(config(&[], &both).unwrap_err().message().contains("exclude each other"));
    let typed = config(&["--token-file", &token], &both[1..]).unwrap();
    assert!(
        matches!(typed.connect.credentials.authorization, Authorization::Bearer(token) if token.expose() == "abc")
    );
    let typed = config(&["--user", "bob"], &[both[0], ("KAFKA_CONNECT_PASS", "p")]).unwrap();
    assert!(matches!(typed.connect.credentials.authorization, Authorization::Basic { .. }));
}

#[test]
fn no_secret_is_in_the_configuration_s_own_words() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("headers");
    std::fs::write(&file, "X-Api-Key: hunter2\nCookie: 'hunter3'").unwrap();
    let environment = [
        ("KAFKA_CONNECT_HEADERS_FILE", file.to_str().unwrap()),
        ("KAFKA_CONNECT_USER", "bob"),
        ("KAFKA_CONNECT_PASS", "hunter4 "),
        ("GUARDIAN_PROXY", "http://u:hunter5@proxy:1"),
    ];
    let config = config(&[], &environment).unwrap();
    assert_eq!(config.connect.credentials.headers.len(), 2);
    assert_eq!(config.connect.credentials.doubts.len(), 2);
    assert!(!format!("{config:?}").contains("hunter"), "{config:?}");
}

#[test]
fn a_configmap_is_reached_as_the_pod_s_service_account() {
    let folder = tempfile::tempdir().unwrap();
    let certificate = rcgen::generate_simple_self_signed(vec!["kubernetes".to_owned()]).unwrap().cert;
    for (file, text) in
        [("token", "abc\n"), ("namespace", "connect\n"), ("ca.crt", certificate.pem().as_str())]
    {
        std::fs::write(folder.path().join(file), text).unwrap();
    }
    let pod = [
        ("GUARDIAN_SERVICEACCOUNT_DIR", folder.path().to_str().unwrap()),
        ("KUBERNETES_SERVICE_HOST", "fd00::1"),
        ("HOSTNAME", "guardian-1"),
    ];
    let map = |args: &[&str], more: &[(&str, &str)]| {
        let environment: Vec<_> = pod.iter().chain(more).copied().collect();
        match config(args, &environment).unwrap().state {
            Place::ConfigMap(map) => map,
            Place::File(path) => panic!("{}", path.display()),
        }
    };
    let own = map(&["--state", "configmap:guardian-state"], &[]);
    assert_eq!(own.to_string(), "guardian-state/connect");
    assert_eq!(own.account.server.as_str(), "https://[fd00::1]/");
    assert_eq!(own.account.holder, format!("guardian-1 (pid {})", std::process::id()));
    assert!(matches!(&own.account.authorization, Authorization::Bearer(token) if token.expose() == "abc"));
    assert!(!format!("{own:?}").contains("abc"));
    let other = map(&[], &[("GUARDIAN_STATE", "configmap:a.b-c/d-9"), ("KUBERNETES_SERVICE_PORT", "6443")]);
    assert_eq!(other.to_string(), "a.b-c/d-9");
    assert_eq!(other.account.server.as_str(), "https://[fd00::1]:6443/");
    assert_eq!(
        config(&["--state", "./configmap:x"], &[]).unwrap().state.to_string(),
        "./configmap:x",
        "a file of such a name"
    );
}

#[test]
fn the_state_follows_the_cluster() {
    let state =
        |args: &[&str], environment: &[(&str, &str)]| config(args, environment).unwrap().state.to_string();
    assert_eq!(state(&[], &[("STATE_DIRECTORY", "/var/lib/a:/b")]), "/var/lib/a/localhost_8083.json");
    assert_eq!(
        state(&["--cluster", "a/b c"], &[("XDG_STATE_HOME", "/x")]),
        "/x/connector-guardian/a_b_c.json"
    );
    assert_eq!(
        state(&["--url", "https://[::1]/connect"], &[("XDG_STATE_HOME", "/x")]),
        "/x/connector-guardian/--1_443_connect.json"
    );
    assert_eq!(state(&["--state", "s.json"], &[("STATE_DIRECTORY", "/a")]), "s.json");
    assert!(config(&[], &[("HOME", "")]).unwrap_err().message().contains("GUARDIAN_STATE"));
}
