//! Settings that are wrong in a way that nothing refuses: a pattern that matches nobody, a variable that nobody reads, a
//! password with a newline too many. Each is said where a person looks, and nothing is said of settings that are right.

use crate::sim::{Answer, Connect, Profile};
use crate::support::{Guardian, each};

// === Patterns ===

/// A mistake, and what is said of it.
struct Mistake {
    settings: &'static [(&'static str, &'static str)],
    arguments: &'static [&'static str],
    says: &'static [&'static str],
}

fn mistake(settings: &'static [(&'static str, &'static str)], says: &'static [&'static str]) -> Mistake {
    Mistake { settings, arguments: &[], says }
}

fn typed(arguments: &'static [&'static str], says: &'static [&'static str]) -> Mistake {
    Mistake { settings: &[], arguments, says }
}

fn mistakes() -> Vec<Mistake> {
    vec![
        // Regular expressions, as Debezium's lists and `topics.regex` take them.
        mistake(
            &[("GUARDIAN_EXCLUDE", "^debezium.*$")],
            &[
                "GUARDIAN_EXCLUDE: no connector matches \"^debezium.*$\" (it takes the wildcards * and ?, not regular expressions)",
            ],
        ),
        mistake(
            &[("GUARDIAN_INCLUDE", r"orders|payments,debezium-\w+,(a),[ab]")],
            &[concat!(
                "GUARDIAN_INCLUDE: no connector matches \"orders|payments\", \"debezium-\\w+\", \"(a)\", \"[ab]\" ",
                "(it takes the wildcards * and ?, not regular expressions)"
            )],
        ),
        // Upper and lower case.
        mistake(
            &[("GUARDIAN_EXCLUDE", "Debezium-*")],
            &[
                "GUARDIAN_EXCLUDE: no connector matches \"Debezium-*\" (upper and lower case count: there is debezium-orders)",
            ],
        ),
        // A typing error, beside a pattern that is right.
        mistake(
            &[("GUARDIAN_EXCLUDE", "debezuim-*,orders*")],
            &["GUARDIAN_EXCLUDE: no connector matches \"debezuim-*\""],
        ),
        typed(&["--exclude", "oders"], &["--exclude: no connector matches \"oders\""]),
        typed(
            &["--include", "orders,payments", "--exclude", "Orders"],
            &[
                "--include: no connector matches \"orders,payments\" (commas separate only in the environment: give --include once for each)",
                "--exclude: no connector matches \"Orders\" (upper and lower case count: there is orders)",
            ],
        ),
        // Many are not all named, and what nobody could see is.
        typed(
            &[
                "--exclude=1",
                "--exclude=2",
                "--exclude=3",
                "--exclude=4",
                "--exclude=5",
                "--exclude=6",
                "--exclude=ord\u{200b}ers",
            ],
            &["--exclude: no connector matches \"1\", \"2\", \"3\", \"4\", \"5\" and 2 more"],
        ),
        typed(&["--exclude=ord\u{200b}ers"], &[r#"--exclude: no connector matches "ord\u{200b}ers""#]),
        // The flag counts, not the variable.
        Mistake {
            settings: &[("GUARDIAN_EXCLUDE", "nobody")],
            arguments: &["--exclude", "orders"],
            says: &[],
        },
        mistake(&[("GUARDIAN_INCLUDE", "*"), ("GUARDIAN_EXCLUDE", "debezium-?rders,a.*+b,payments")], &[]),
    ]
}

fn three_kinds(profile: Profile) -> Connect {
    let connect = Connect::start(profile);
    for name in ["orders", "debezium-orders", "payments", "a.x+b"] {
        connect.connector(name).tasks(1);
    }
    connect
}

#[test]
fn a_pattern_that_matches_no_connector_is_said() {
    // 2.2 has no listing of statuses: each is asked for by itself.
    let cases = [Profile::V3_9, Profile::V2_2]
        .into_iter()
        .flat_map(|profile| mistakes().into_iter().map(move |mistake| (profile, mistake)));
    each(cases.collect(), |(profile, Mistake { settings, arguments, says })| {
        let connect = three_kinds(*profile);
        let guardian =
            settings.iter().fold(Guardian::at(&connect.url()), |it, (name, value)| it.env(name, value));
        let guardian = arguments.iter().fold(guardian, |it, argument| it.arg(argument));
        for command in [&["run", "--once"][..], &["run", "--dry-run"], &["status"]] {
            let json = guardian.with(&[command, &["--output", "json"]].concat()).exits(0);
            let document: serde_json::Value = serde_json::from_str(&json.stdout).unwrap();
            assert_eq!(document["warnings"], serde_json::json!(says), "{command:?}");
            let text = guardian.with(command).exits(0).stdout;
            let told = text.lines().filter_map(|line| line.strip_prefix("warning: "));
            assert_eq!(told.collect::<Vec<_>>(), *says, "{command:?}");
            for warning in *says {
                let logged =
                    json.stderr.lines().filter(|line| line.contains("WARN") && line.ends_with(warning));
                assert_eq!(logged.count(), 1, "{command:?}: {}", json.stderr);
            }
        }
        // It is no news: cron would send it every five minutes.
        for output in ["text", "json"] {
            let quiet = guardian.with(&["run", "--quiet", "--output", output]).exits(0);
            assert!(quiet.stderr.is_empty() && (output == "json" || quiet.stdout.is_empty()), "{quiet:?}");
        }
    });
}

/// What it does not see whole, it does not judge.
#[test]
fn no_pattern_is_judged_by_a_listing_that_may_not_be_whole() {
    let listings = [
        ("of a worker that has just started", Answer::json(200, "{}")),
        (
            "with an entry that cannot be understood",
            Answer::normal().edited(|body| [&body[..body.len() - 1], b",\"x\":{}}"].concat()),
        ),
    ];
    each(listings.to_vec(), |(why, listing)| {
        let connect = three_kinds(Profile::V3_9);
        connect.on_listing().answers(listing.clone());
        let document = Guardian::at(&connect.url()).arg("--exclude=nobody").run_json().0;
        assert!(!document["warnings"].to_string().contains("nobody"), "{why}: {document:#}");
    });
}

// === Variables ===

/// Variables that somebody sets in good faith, and what is said of each.
const VARIABLES: [(&str, &str); 19] = [
    // A letter too many, too few, or in another place.
    ("MAX_RESTARTS", "did you mean MAX_RESTART?"),
    ("EXPONENTIAL_RATION", "did you mean EXPONENTIAL_RATIO?"),
    ("ENABLE_BACK_OFF", "did you mean ENABLE_BACKOFF?"),
    ("GAURDIAN_STATE", "did you mean GUARDIAN_STATE?"), // as chart 1.0.0 spelt it
    ("GUARDIAN_DRYRUN", "did you mean GUARDIAN_DRY_RUN?"),
    ("KAFKACONNECT_URL", "did you mean KAFKA_CONNECT_URL?"),
    ("max_restart", "did you mean MAX_RESTART?"),
    // The word in full, as most other programs have it.
    ("KAFKA_CONNECT_PASSWORD", "did you mean KAFKA_CONNECT_PASS?"),
    ("KAFKA_CONNECT_PASSWORD_FILE", "did you mean KAFKA_CONNECT_PASS_FILE?"),
    ("KAFKA_CONNECT_USERNAME", "did you mean KAFKA_CONNECT_USER?"),
    ("KAFKA_CONNECT_HOSTNAME", "did you mean KAFKA_CONNECT_HOST?"),
    ("KAFKA_CONNECT_URLS", "did you mean KAFKA_CONNECT_URL?"),
    ("KAFKA_CONNECT_TOKEN", "did you mean KAFKA_CONNECT_TOKEN_FILE?"),
    // Another family.
    ("GUARDIAN_MAX_RESTART", "did you mean MAX_RESTART?"),
    ("GUARDIAN_LOG_LEVEL", "did you mean LOG_LEVEL?"),
    ("GUARDIAN_URL", "did you mean KAFKA_CONNECT_URL?"),
    ("GUARDIAN_PASSWORD", "did you mean KAFKA_CONNECT_PASS?"),
    ("GUARDIAN_EXCLUDES", "did you mean GUARDIAN_EXCLUDE?"),
    ("GUARDIAN_WHATEVER", "see --help"),
];

/// What other programs set: Kubernetes for its Services (names and `tcp://` values), docker for links, Strimzi and the
/// images of Confluent, Debezium and Bitnami for workers, shells and schedulers for everybody.
const OF_OTHERS: [(&str, &str); 42] = [
    ("KAFKA_CONNECT_SERVICE_HOST", "10.0.0.1"),
    ("KAFKA_CONNECT_SERVICE_PORT", "8083"),
    ("KAFKA_CONNECT_SERVICE_PORT_REST_API", "8083"),
    ("KAFKA_CONNECT_PORT_8083_TCP", "tcp://10.0.0.1:8083"),
    ("KAFKA_CONNECT_PORT_8083_TCP_ADDR", "10.0.0.1"),
    ("KAFKA_CONNECT_PORT_8083_TCP_PORT", "8083"),
    ("KAFKA_CONNECT_PORT_8083_TCP_PROTO", "tcp"),
    ("KAFKA_CONNECT_A_PORT", "tcp://10.0.0.2:8083"), // a Service called kafka-connect-a
    ("KAFKA_CONNECT_A_SERVICE_HOST", "10.0.0.2"),
    ("KAFKA_CONNECT_CONNECT_API_PORT", "tcp://10.0.0.3:8083"),
    ("GUARDIAN_PORT", "tcp://10.0.0.4:80"),
    ("GUARDIAN_PORT_80_TCP", "tcp://10.0.0.4:80"),
    ("GUARDIAN_SERVICE_HOST", "10.0.0.4"),
    ("KUBERNETES_PORT", "tcp://10.0.0.5:443"),
    ("KAFKA_CONNECT_NAME", "/guardian/kafka-connect"),
    ("KAFKA_CONNECT_ENV_CONNECT_GROUP_ID", "1"),
    ("KAFKA_CONNECT_BOOTSTRAP_SERVERS", "kafka:9092"),
    ("KAFKA_CONNECT_CONFIGURATION", "group.id=connect"),
    ("KAFKA_CONNECT_METRICS_ENABLED", "true"),
    ("KAFKA_CONNECT_TLS", "true"),
    ("KAFKA_CONNECT_TLS_AUTH_CERT", "tls.crt"),
    ("KAFKA_CONNECT_TRUSTED_CERTS", "ca.crt"),
    ("KAFKA_CONNECT_SASL_MECHANISM", "plain"),
    ("KAFKA_CONNECT_SASL_USERNAME", "connect"),
    ("KAFKA_CONNECT_SASL_PASSWORD_FILE", "connect/password"),
    ("KAFKA_CONNECT_LOG_LEVEL", "INFO"),
    ("KAFKA_CONNECT_PLUGIN_PATH", "/plugins"),
    ("KAFKA_CONNECT_HEAP_OPTS", "-Xmx1g"),
    ("KAFKA_CONNECT_TIMEOUT", "30"),
    ("KAFKA_CONNECT_CLUSTER", "orders"),
    ("CONNECT_REST_PORT", "8083"),
    ("CONNECT_URL", "http://x"),
    ("CONNECT_PASSWORD", "hunter2"),
    ("KAFKA_HEAP_OPTS", "-Xmx1g"),
    ("HOST_NAME", "x"),
    ("LOGLEVEL", "INFO"),
    ("LOG_LEVELS", "INFO"),
    ("MAX_RETRIES", "3"),
    ("RESTART", "1"),
    ("USER", "guardian"),
    ("KAFKA_CONNECT_PASSWORD", ""),
    ("http_proxy", "http://proxy:3128"),
];

#[test]
fn a_variable_that_was_meant_to_be_a_setting_is_said_and_its_value_is_not() {
    let connect = three_kinds(Profile::V3_9);
    let warnings = |guardian: &Guardian| -> Vec<String> {
        let stderr = guardian.with(&["status"]).exits(0).stderr;
        stderr.lines().map(|line| line.split_once(" WARN ").unwrap_or(("", line)).1.to_owned()).collect()
    };
    for (name, hint) in VARIABLES {
        let guardian = Guardian::at(&connect.url()).env(name, "hunter2");
        assert_eq!(warnings(&guardian), [format!("{name} is no setting and is ignored ({hint})")]);
    }
    for (name, value) in OF_OTHERS {
        assert_eq!(warnings(&Guardian::at(&connect.url()).env(name, value)), [""; 0], "{name}");
    }
    // For two programs that name it differently; with another value it is a mistake.
    let url = connect.url();
    assert_eq!(warnings(&Guardian::at(&url).env("KAFKA_CONNECT_URI", &url)), [""; 0]);
    assert_eq!(warnings(&Guardian::at(&url).env("KAFKA_CONNECT_URI", "http://x")).len(), 1);
}
