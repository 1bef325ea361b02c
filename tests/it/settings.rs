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
