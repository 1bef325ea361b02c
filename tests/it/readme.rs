//! The README agrees with the program: its tables are the program's, and its
//! commands run. `GUARDIAN_README=write` writes the tables instead of comparing.

use std::path::PathBuf;

use connector_guardian::cli;

use crate::sim::{Connect, Failure, Profile};
use crate::support::{Ended, Guardian};

fn path() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("README.md")
}

fn readme() -> String {
    std::fs::read_to_string(path()).expect("the README")
}

/// Holds what stands below `<!-- mark -->`, up to the next heading or blank
/// line after it, equal to `expected`.
fn holds(mark: &str, expected: &str) {
    let text = readme();
    let mark = format!("<!-- {mark} -->\n");
    let start = text.find(&mark).unwrap_or_else(|| panic!("README.md has no {mark}")) + mark.len();
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
        std::fs::write(path(), written).expect("README.md is written");
    } else {
        assert_eq!(&rest[..end], expected, "GUARDIAN_README=write updates README.md");
    }
}

#[test]
fn tables_are_those_of_the_program() {
    holds("settings", &cli::settings_table());
    holds("exit codes", &format!("```text\n{}\n```\n", cli::EXIT_CODES));
    let guardian = Guardian::at("http://nobody.invalid").env("EXPONENTIAL_RATIO", "2");
    let schedule = guardian.env("GUARDIAN_SETTLE", "30s").with(&["schedule"]).exits(0).stdout;
    holds("schedule", &format!("```text\n{schedule}```\n"));
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
