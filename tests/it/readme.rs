//! The README agrees with the program: its tables are the program's, and its
//! commands run. `GUARDIAN_README=write` writes the tables instead of comparing.

use std::path::PathBuf;

use connector_guardian::cli;
use connector_guardian::report::metrics;

use crate::sim::{Connect, Failure, Profile};
use crate::support::{Ended, Guardian};

fn path(file: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join(file)
}

fn read(file: &str) -> String {
    std::fs::read_to_string(path(file)).expect("a README")
}

fn readme() -> String {
    read("README.md")
}

/// Holds what stands below `<!-- mark -->`, up to the next heading or blank
/// line after it, equal to `expected`.
fn holds(file: &str, mark: &str, expected: &str) {
    let text = read(file);
    let mark = format!("<!-- {mark} -->\n");
    let start = text.find(&mark).unwrap_or_else(|| panic!("{file} has no {mark}")) + mark.len();
    let rest = &text[start..];
    let fenced = rest.starts_with("```");
    let end = if fenced {
        rest[3..].find("```\n").expect("a closing fence") + 7
    } else {
        rest.find("\n\n").expect("a blank line") + 1
    };
    if std::env::var_os("GUARDIAN_README").is_some_and(|value| value == "write") {
        let written =
            format!("{}{expected}{}", &text[..start], &rest[if rest.starts_with('\n') { 0 } else { end }..]);
        std::fs::write(path(file), written).expect("it is written");
    } else {
        assert_eq!(&rest[..end], expected, "GUARDIAN_README=write updates {file}");
    }
}

#[test]
fn tables_are_those_of_the_program() {
    holds("README.md", "settings", &cli::settings_table());
    holds("README.md", "exit codes", &format!("```text\n{}\n```\n", cli::EXIT_CODES));
    holds("deploy/TELLING.md", "told", &connector_guardian::decide::tell::table());
    holds("deploy/TELLING.md", "metrics", &metrics::table());
    let guardian = Guardian::at("http://nobody.invalid").env("EXPONENTIAL_RATIO", "2");
    let schedule = guardian.env("GUARDIAN_SETTLE", "30s").with(&["schedule"]).exits(0).stdout;
    holds("README.md", "schedule", &format!("```text\n{schedule}```\n"));
}

#[test]
fn the_sinks_of_the_example_are_understood() {
    let text = readme();
    let start =
        text.find("<!-- sinks -->\n```text\n").expect("the sinks") + "<!-- sinks -->\n```text\n".len();
    let lines = text[start..].split("```").next().expect("an end");
    let folder = tempfile::tempdir().expect("a folder");
    let token = folder.path().join("token");
    std::fs::write(&token, "t").expect("a token");
    let lines = lines.replace("/etc/guardian/bus.token", token.to_str().expect("a path"));
    let guardian = Guardian::at("http://nobody.invalid").env("GUARDIAN_NOTIFY", &lines);
    let known = guardian.with(&["notify", "--test", "nobody"]).exits(2).stderr;
    assert!(known.contains("there is platform, billing, alerts, bus, mail"), "{known}");
}

#[test]
fn every_setting_is_in_the_help() {
    let guardian = Guardian::at("http://nobody.invalid");
    let help = guardian.with(&["run", "--help"]).exits(0).stdout;
    // The help is wrapped to a width; the words are what counts.
    let words = |text: &str| text.split_whitespace().collect::<Vec<_>>().join(" ");
    let help = words(&help);
    for setting in cli::SETTINGS {
        for text in setting.env.iter().copied().chain([setting.help]) {
            assert!(help.contains(&words(text)), "{text} is not in {help}");
        }
        if let Some(flag) = setting.flag {
            assert!(help.contains(&format!("--{flag} ")), "--{flag}");
        }
    }
    assert!(help.contains(&words(cli::EXIT_CODES)));
}

/// Runs every `guardian ...` line of a shell block, in order, against a
/// simulated Connect with something failed in it.
#[test]
fn commands_run() {
    let connect = Connect::start(Profile::V3_9);
    connect.connector("orders-sink").tasks(2);
    connect.connector("audit-source").tasks(2);
    connect.fail_task("orders-sink", 1, Failure::always());
    connect.fail_task("audit-source", 1, Failure::always());
    let guardian = Guardian::at(&connect.url()).env("GUARDIAN_WATCH", "300ms");
    let text = readme();
    let mut within = false;
    let mut count = 0;
    for line in text.lines() {
        if line.starts_with("```") {
            within = line == "```sh";
        }
        let Some(arguments) = line.strip_prefix("guardian ").filter(|_| within) else { continue };
        if arguments.starts_with("retry") {
            // A person has mended it.
            connect.fail_task("orders-sink", 1, Failure::healing_after(1));
            connect.fail_task("audit-source", 1, Failure::healing_after(1));
        }
        if arguments.starts_with("reset --all") {
            guardian.run().exits(0);
        }
        let url = connect.url();
        let arguments: Vec<&str> = arguments
            .split_whitespace()
            .map(|word| if word == "http://connect.example:8083" { &url } else { word })
            .collect();
        let Ended { code, stderr, .. } = guardian.with(&arguments);
        assert_eq!(code, 0, "{line}: {stderr}");
        count += 1;
    }
    assert!(count >= 11, "only {count} commands were found");
}
