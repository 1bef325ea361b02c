//! Settings that are wrong in a way that nothing refuses: a pattern that matches nobody, a variable that nobody reads, a
//! password with a newline too many. Each is said where a person looks, and nothing is said of settings that are right.

use crate::sim::{Answer, Connect, Failure, Profile};
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

/// Nothing will ever be restarted, and `--quiet` hides the warning: it is news once something fails, once for each failure.
#[test]
fn an_include_list_that_matches_nobody_is_news_when_something_fails() {
    let each_one_by_itself = Profile::V2_2;
    each(vec![Profile::V3_9, each_one_by_itself], |profile| {
        let connect = three_kinds(*profile);
        let guardian = Guardian::at(&connect.url());
        let run = |include: &str, exclude: &str| {
            let guardian = guardian.command(&["run", "--once", "--quiet"]);
            let mut guardian = guardian;
            guardian.env("GUARDIAN_INCLUDE", include).env("GUARDIAN_EXCLUDE", exclude);
            let ended = crate::support::Ended::of(guardian.spawn().unwrap()).exits(0);
            assert_eq!(ended.stdout, "");
            ended.stderr
        };
        assert_eq!(run("ordres,orders-?", ""), "", "nothing is to be restarted");
        let told = |name: &str| {
            format!(
                "test: restarts nothing, because GUARDIAN_INCLUDE (--include) matches no connector; failed: {name}/0 ("
            )
        };
        for name in ["orders", "payments"] {
            connect.fail_task(name, 0, Failure::always());
            let line = run("ordres,orders-?", "");
            assert!(line.contains(&told(name)) && line.lines().count() == 1, "{line}");
            assert_eq!(run("ordres,orders-?", ""), "", "told");
        }
        // Left out on purpose.
        connect.fail_task("debezium-orders", 0, Failure::always());
        assert_eq!(run("a.*", "nobody"), "", "one of them matches");
        connect.fail_task("a.x+b", 0, Failure::always());
        assert_eq!(run("", "*"), "", "it is the other list");
        assert_eq!(connect.restarts(), [""; 0]);
    });
}

// === What nobody took away from a value ===

const QUOTED: &str = "is in quotes, and they are part of it (docker's --env-file and a list in a compose file keep them): write it without";
const A_COMMENT: &str = "is a comment (compose takes one behind an empty value for the value): put the comment on a line of its own";
const WITH_A_COMMENT: &str = "has a comment behind it, which is part of it (docker's --env-file and systemd keep it): put the comment on a line of its own";
const CARRIAGE_RETURN: &str = "ends with a carriage return, which would be part of it: its file has the line ends of Windows: sed -i 's/\\r$//' FILE mends it";

/// Each would have been taken as it is: an exclude list that matches nobody, a state in `./"/var/lib"`, a user that is
/// refused with 401.
const LEFTOVERS: [(&str, &str, &str); 21] = [
    // docker/cli#4665, moby/moby#46773: --env-file keeps quotes. docker/compose#2854: so does `- NAME="value"`.
    ("GUARDIAN_EXCLUDE", "\"hunter-*\"", QUOTED),
    ("GUARDIAN_EXCLUDE", "'hunter-*,b'", QUOTED),
    ("GUARDIAN_NO_TASKS_OK", "\"hunter\"", QUOTED),
    ("GUARDIAN_STATE", "\"/var/hunter/state.json\"", QUOTED),
    ("KAFKA_CONNECT_PASS_FILE", "'/run/secrets/hunter'", QUOTED),
    ("KAFKA_CONNECT_USER", "\"hunter\"", QUOTED),
    ("GUARDIAN_CLUSTER", "'hunter'", QUOTED),
    ("KAFKA_CONNECT_URL", "\"http://hunter:8083\"", QUOTED),
    ("GUARDIAN_PROXY", "\"http://u:hunter2@proxy\"", QUOTED),
    // docker/cli#4404 keeps a comment behind the value, and systemd/systemd#36435 too.
    ("GUARDIAN_EXCLUDE", "hunter-*   # never touch", WITH_A_COMMENT),
    ("GUARDIAN_EXCLUDE", "\"hunter-*\" # never touch", WITH_A_COMMENT),
    ("GUARDIAN_STATE", "/var/hunter/state.json\t#here", WITH_A_COMMENT),
    ("KAFKA_CONNECT_USER", "hunter # for the gateway", WITH_A_COMMENT),
    // mtrnix/metronix-memory#458: compose makes `NAME=   # note` the value `# note`.
    ("GUARDIAN_INCLUDE", "# all", A_COMMENT),
    ("KAFKA_CONNECT_CA_FILE", "#none", A_COMMENT),
    // wardenenv/warden#380, jfrog/artifactory-docker-examples#132: a file with the line ends of Windows.
    ("KAFKA_CONNECT_CA_FILE", "/x/hunter.crt\r", CARRIAGE_RETURN),
    ("KAFKA_CONNECT_USER", "hunter\r", CARRIAGE_RETURN),
    ("GUARDIAN_STATE", "/x/hunter.json\r", CARRIAGE_RETURN),
    // A Secret made with echo (kubernetes/website#492).
    ("KAFKA_CONNECT_USER", "hunter\n", "ends with a newline, which would be part of it: write it without"),
    ("GUARDIAN_STATE", " /x/hunter.json", "begins with a blank, which would be part of it: write it without"),
    (
        "KAFKA_CONNECT_HEADERS_FILE",
        "/x/hunter\t",
        "ends with a blank, which would be part of it: write it without",
    ),
];

#[test]
fn what_was_left_in_a_value_is_a_usage_error_that_shows_no_value() {
    let connect = three_kinds(Profile::V3_9);
    let refused = |name: &str, value: &str, says: &str| {
        let guardian = Guardian::at(&connect.url()).env(name, value).arg("--quiet");
        let ended = guardian.run().exits(2);
        assert!(ended.stderr.ends_with(&format!(" ERROR {says}\n")), "{name}={value:?}: {ended:?}");
        assert_eq!(ended.stderr.lines().count(), 1, "{ended:?}");
        assert!(!format!("{ended:?}").contains("hunter"), "{ended:?}");
    };
    for (name, value, says) in LEFTOVERS {
        refused(name, value, &format!("{name} {says}"));
    }
    let one = format!("GUARDIAN_EXCLUDE: one of its values {QUOTED}");
    refused("GUARDIAN_EXCLUDE", "a,\"hunter-*\", b", &one);
    assert_eq!(connect.requests().len(), 0);
}

#[test]
fn a_value_that_only_looks_like_that_is_taken() {
    let folder = tempfile::tempdir().unwrap();
    let state = folder.path().join("it's#1 \"b\".json");
    let state = state.to_str().unwrap();
    for (name, value) in [
        ("GUARDIAN_EXCLUDE", "it's,a#b,\"c,'"),
        // Blanks, and what Windows has at the end of a line, are no part of these.
        ("GUARDIAN_EXCLUDE", " a , b\r"),
        ("GUARDIAN_CLUSTER", " test\r\n"),
        ("MAX_RESTART", " 3\r"),
        ("GUARDIAN_STATE", state),
        // A password is what it is.
        ("KAFKA_CONNECT_PASS", "\"hunter2\" # yes"),
        ("KAFKA_CONNECT_PASS", "#hunter2\r"),
    ] {
        let connect = three_kinds(Profile::V3_9);
        let guardian = Guardian::at(&connect.url()).env(name, value);
        let guardian =
            if name == "KAFKA_CONNECT_PASS" { guardian.env("KAFKA_CONNECT_USER", "alice") } else { guardian };
        guardian.run().exits(0);
        assert!(!connect.requests().is_empty(), "{name}={value:?}");
    }
    // A flag is what was typed: a shell has taken away what it takes. And it beats the variable.
    let connect = three_kinds(Profile::V3_9);
    let guardian = Guardian::at(&connect.url()).env("GUARDIAN_EXCLUDE", "\"a\"");
    guardian.arg("--exclude").arg("\"a\"").run().exits(0);
}

/// People copy the address that they have looked at in a browser (Aiven-Open/http-connector-for-apache-kafka#238).
#[test]
fn a_url_of_the_listing_is_not_the_worker_s() {
    for url in [
        "http://h:8083/connectors",
        "http://h:8083/connectors/",
        "https://h/prefix/connectors",
        "http://a:1,http://h:8083/connectors?expand=status",
    ] {
        let ended = Guardian::at(url).run().exits(2);
        let says = " ERROR KAFKA_CONNECT_URL: leave /connectors out of the URL: guardian adds it itself\n";
        assert!(ended.stderr.ends_with(says), "{url}: {ended:?}");
    }
    let connect = Connect::start(Profile::V3_9);
    let ended = Guardian::at(&format!("{}/my-connectors", connect.url())).run();
    assert!(!ended.stderr.contains("leave /connectors out"), "{ended:?}");
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

// === Credentials ===

/// Where a credential is, its text, and what is said of it when Connect answers 401.
const CREDENTIALS: [(&str, &str, &str); 15] = [
    ("KAFKA_CONNECT_PASS", "hunter2", ""),
    ("KAFKA_CONNECT_PASS", "hun \"ter 2", ""),
    // `echo secret | base64` in a Secret that becomes a variable (kubernetes/website#492).
    ("KAFKA_CONNECT_PASS", "hunter2\n", "KAFKA_CONNECT_PASS holds a password that ends with a newline"),
    // One newline of a file is not part of it, a second is.
    ("KAFKA_CONNECT_PASS_FILE", "hunter2\n", ""),
    ("KAFKA_CONNECT_PASS_FILE", "hunter2\r\n", ""),
    (
        "KAFKA_CONNECT_PASS_FILE",
        "hunter2\n\n",
        "KAFKA_CONNECT_PASS_FILE holds a password that ends with a newline",
    ),
    (
        "KAFKA_CONNECT_PASS",
        "hunter2\r",
        "KAFKA_CONNECT_PASS holds a password that ends with a carriage return",
    ),
    (
        "KAFKA_CONNECT_PASS",
        " hunter2\t",
        "KAFKA_CONNECT_PASS holds a password that begins with a blank and ends with a tab",
    ),
    // `docker run --env-file` keeps the quotes that a shell takes away.
    ("KAFKA_CONNECT_PASS", "\"hunter2\"", "KAFKA_CONNECT_PASS holds a password that is in quotes"),
    ("KAFKA_CONNECT_PASS", "hunter2'", "KAFKA_CONNECT_PASS holds a password that ends with a quote"),
    (
        "KAFKA_CONNECT_PASS",
        "hun\u{200b}ter2",
        "KAFKA_CONNECT_PASS holds a password that has an unprintable character in its middle",
    ),
    ("KAFKA_CONNECT_USER_FILE", "alice ", "KAFKA_CONNECT_USER_FILE holds a user that ends with a blank"),
    ("KAFKA_CONNECT_USER_FILE", "'alice'", "KAFKA_CONNECT_USER_FILE holds a user that is in quotes"),
    ("KAFKA_CONNECT_TOKEN_FILE", "\"hunter2\"\n", "KAFKA_CONNECT_TOKEN_FILE holds a token that is in quotes"),
    (
        "KAFKA_CONNECT_HEADERS_FILE",
        "# a key\nX-Api-Key: 'hunter2'\n",
        "KAFKA_CONNECT_HEADERS_FILE holds a header (line 2) that is in quotes",
    ),
];

const CHECK: &str = "check KAFKA_CONNECT_USER and KAFKA_CONNECT_PASS (or their _FILE), KAFKA_CONNECT_TOKEN_FILE or KAFKA_CONNECT_HEADERS_FILE";

/// Guardian with this credential, in a file where the setting names one, and what else belongs to it.
fn with_credential(url: &str, setting: &str, text: &str) -> Guardian {
    let guardian = Guardian::at(url);
    let value = if setting.ends_with("_FILE") {
        let file = guardian.folder().join("credential");
        std::fs::write(&file, text).unwrap();
        file.display().to_string()
    } else {
        text.to_owned()
    };
    let guardian = guardian.env(setting, &value);
    match setting {
        "KAFKA_CONNECT_PASS" | "KAFKA_CONNECT_PASS_FILE" => guardian.env("KAFKA_CONNECT_USER", "alice"),
        "KAFKA_CONNECT_USER" | "KAFKA_CONNECT_USER_FILE" => guardian.env("KAFKA_CONNECT_PASS", "hunter2"),
        _ => guardian,
    }
}

#[test]
fn what_is_odd_about_credentials_is_said_when_they_are_refused() {
    each(CREDENTIALS.to_vec(), |(setting, text, says)| {
        let refusing = Connect::with(Profile::V3_9).authorization("Basic of-somebody-else").start();
        refusing.connector("orders");
        let guardian = with_credential(&refusing.url(), setting, text).arg("--log-level").arg("trace");
        let (document, code) = guardian.run_json();
        let hint = match *says {
            "" => CHECK.to_owned(),
            odd => format!("{odd}; all of it is sent. If that is right, {CHECK}"),
        };
        assert_eq!((document["error"]["hint"].as_str(), code), (Some(hint.as_str()), 1), "{text:?}");
        let ended = guardian.run();
        for shown in ["hunter2", "hun", "alice"] {
            assert!(!format!("{document}{ended:?}").contains(shown), "{text:?}: {document} {ended:?}");
        }

        // It may be right, after all: nothing is said while nobody refuses it.
        let taking = three_kinds(Profile::V3_9);
        let ended = with_credential(&taking.url(), setting, text).run().exits(0);
        assert_eq!(ended.stderr, "", "{text:?}");
        // Another refusal has another reason.
        taking.on_listing().answers(403);
        let (document, _) = with_credential(&taking.url(), setting, text).run_json();
        assert!(!document["error"]["hint"].as_str().unwrap().contains("KAFKA_CONNECT"), "{document:#}");
    });
}

/// A token with a blank or a newline can be in no header.
#[test]
fn a_token_that_cannot_be_sent_is_refused_with_the_reason() {
    for (text, says) in [
        ("hunter2\n\n", ": it ends with a newline"),
        (" hunter2", ": it begins with a blank"),
        ("hun ter2", ""),
        ("hun\u{e9}ter2", ""),
    ] {
        let guardian = with_credential("http://127.0.0.1:1", "KAFKA_CONNECT_TOKEN_FILE", text);
        let stderr = guardian.run().exits(2).stderr;
        assert!(
            stderr.ends_with(&format!("/credential holds no bearer token{says}\n")),
            "{text:?}: {stderr}"
        );
    }
}

/// Windows' editors begin a file with it; it was never part of what somebody typed.
#[test]
fn a_byte_order_mark_is_no_part_of_a_credential() {
    for (setting, header, text) in [
        ("KAFKA_CONNECT_PASS_FILE", "Basic YWxpY2U6aHVudGVyMg==", "hunter2"),
        ("KAFKA_CONNECT_USER_FILE", "Basic Ym9iOmh1bnRlcjI=", "bob"),
        ("KAFKA_CONNECT_TOKEN_FILE", "Bearer hunter2", "hunter2"),
        ("KAFKA_CONNECT_HEADERS_FILE", "ApiKey hunter2", "authorization: ApiKey hunter2"),
    ] {
        let connect = Connect::with(Profile::V3_9).authorization(header).start();
        with_credential(&connect.url(), setting, &format!("\u{feff}{text}\r\n")).run().exits(0);
        let empty = with_credential(&connect.url(), setting, "\u{feff}").run().exits(2).stderr;
        assert!(empty.contains(&format!("{setting}: the file is empty")), "{empty}");
    }
}

// === Headers for a gateway ===

#[test]
fn headers_go_to_every_worker_with_every_request() {
    let connect = Connect::with(Profile::V3_9).authorization("Bearer hunter2").start();
    for name in ["orders", "payments"] {
        connect.connector(name).tasks(2);
        connect.fail_task(name, 0, Failure::always());
    }
    connect.fail_task("orders", 1, Failure::always());
    let file = "# for the gateway\n\n X-Api-Key : hunter3: with a colon \r\nX-Team: a\nx-team: bü\nUser-Agent: ours\n";
    let guardian = with_credential(&connect.url(), "KAFKA_CONNECT_HEADERS_FILE", file);
    let token = guardian.folder().join("token");
    std::fs::write(&token, "hunter2\n").unwrap();
    let guardian = guardian.env("KAFKA_CONNECT_TOKEN_FILE", token.to_str().unwrap());
    guardian.run().exits(0);
    assert_eq!(connect.restarts().len(), 2, "all failed of one, a task of the other");
    let requests = connect.requests();
    assert!(requests.len() >= 4, "listing, version and restarts: {requests:?}");
    for request in &requests {
        let headers = request.head.headers.iter();
        let all = |wanted: &str| -> Vec<&str> {
            headers
                .clone()
                .filter(|(name, _)| name.eq_ignore_ascii_case(wanted))
                .map(|(_, value)| value.as_str())
                .collect()
        };
        assert_eq!(all("x-api-key"), ["hunter3: with a colon"]);
        assert_eq!(all("x-team"), ["a", "bü"]);
        assert_eq!(all("user-agent"), ["ours"]);
        assert_eq!((all("accept"), all("authorization")), (vec!["application/json"], vec!["Bearer hunter2"]));
    }
}

/// The line is told, never what is in it: any of it may be the secret.
#[test]
fn headers_that_cannot_be_used_are_refused_by_their_line() {
    let token = |guardian: Guardian| {
        let file = guardian.folder().join("token");
        std::fs::write(&file, "hunter2").unwrap();
        guardian.env("KAFKA_CONNECT_TOKEN_FILE", file.to_str().unwrap())
    };
    let basic =
        |guardian: Guardian| guardian.env("KAFKA_CONNECT_USER", "u").env("KAFKA_CONNECT_PASS", "hunter2");
    let none = |guardian: Guardian| guardian;
    type And<'a> = &'a dyn Fn(Guardian) -> Guardian;
    let rows: Vec<(&str, And<'_>, &str)> = vec![
        ("hunter2", &none, "line 1 of FILE is not of the form Name: value"),
        ("# x\n\nX-Key hunter2", &none, "line 3 of FILE is not of the form Name: value"),
        ("hunter2 hunter2: x", &none, "line 1 of FILE has no header's name before its first colon"),
        (": hunter2", &none, "line 1 of FILE has no header's name before its first colon"),
        ("X-Key:  ", &none, "line 1 of FILE has no value"),
        ("X-Key: hunter2\u{1}", &none, "line 1 of FILE has a value with a character that no header may have"),
        ("a: b\nHOST: hunter2", &none, "line 2 of FILE sets host, which guardian sets itself"),
        ("Content-Length: 7", &none, "line 1 of FILE sets content-length, which guardian sets itself"),
        ("Accept: x", &none, "line 1 of FILE sets accept, which guardian sets itself"),
        ("Accept-Encoding: gzip", &none, "line 1 of FILE sets accept-encoding, which guardian sets itself"),
        (
            "Transfer-Encoding: chunked",
            &none,
            "line 1 of FILE sets transfer-encoding, which guardian sets itself",
        ),
        ("Connection: close", &none, "line 1 of FILE sets connection, which guardian sets itself"),
        (
            "Authorization: hunter2",
            &token,
            "line 1 of FILE sets authorization, which user and password or the token set already",
        ),
        (
            "Authorization: hunter2",
            &basic,
            "line 1 of FILE sets authorization, which user and password or the token set already",
        ),
        ("", &none, "the file is empty"),
        ("# hunter2\n\n", &none, "FILE holds no header"),
    ];
    for (text, and, says) in rows {
        let guardian = and(with_credential("http://127.0.0.1:1", "KAFKA_CONNECT_HEADERS_FILE", text));
        let says = says.replace("FILE", guardian.folder().join("credential").to_str().unwrap());
        let ended = guardian.run().exits(2);
        assert!(
            ended.stderr.ends_with(&format!("KAFKA_CONNECT_HEADERS_FILE: {says}\n")),
            "{text:?}: {ended:?}"
        );
        assert!(!format!("{ended:?}").contains("hunter"), "{ended:?}");
    }
    let many: String = (0..101).map(|number| format!("x-{number}: x\n")).collect();
    let guardian = with_credential("http://127.0.0.1:1", "KAFKA_CONNECT_HEADERS_FILE", &many);
    assert!(guardian.run().exits(2).stderr.contains("is one header more than 100"));
    let missing =
        Guardian::at("http://127.0.0.1:1").arg("--headers-file").arg("/nowhere").run().exits(2).stderr;
    assert!(missing.contains("--headers-file: /nowhere cannot be read"), "{missing}");
}

// === Small kindnesses ===

#[test]
fn without_a_command_the_help_is_printed_and_it_is_no_success() {
    let guardian = Guardian::at("http://127.0.0.1:1");
    let ended = guardian.with(&[]).exits(2);
    assert!(ended.stdout.contains("Usage: guardian") && ended.stdout.contains("run"), "{ended:?}");
    assert_eq!(ended.stderr, "");
    let document = guardian.env("GUARDIAN_OUTPUT", "json").with(&[]).exits(2).stdout;
    assert!(document.contains(r#""kind":"usage""#) && document.contains("a command is needed"), "{document}");
}

#[test]
fn a_switch_takes_what_people_write() {
    let connect = Connect::start(Profile::V3_9);
    for (word, quiet) in [
        ("1", true),
        ("TRUE", true),
        ("yes", true),
        ("on", true),
        ("0", false),
        ("False", false),
        ("no", false),
        ("off", false),
    ] {
        let guardian = Guardian::at(&connect.url()).env("GUARDIAN_QUIET", word);
        assert_eq!(guardian.run().exits(0).stdout.is_empty(), quiet, "{word}");
    }
}
