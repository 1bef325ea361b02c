//! What is shipped beside the program is made of the program's own table: the shells' completions, the man pages, and
//! what `--version` says. `GUARDIAN_README=write` writes the files instead of comparing them.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::process::Command;

use clap::builder::PossibleValuesParser;
use clap::{Arg, ValueHint};
use clap_complete::{Shell, generate};
use clap_mangen::Man;
use clap_mangen::roff::{Roff, bold, italic, roman};
use connector_guardian::cli;

use crate::support::Guardian;

#[test]
fn version_names_the_commit_and_the_target() {
    let said = Guardian::at("http://nobody.invalid").with(&["--version"]).exits(0).stdout;
    // The tests are built for this machine.
    let cargo = Command::new(env!("CARGO")).arg("-vV").output().expect("cargo runs");
    let cargo = String::from_utf8(cargo.stdout).expect("text");
    let host = cargo.lines().find_map(|line| line.strip_prefix("host: ")).expect("a host");
    let commit = option_env!("GUARDIAN_COMMIT").filter(|commit| !commit.is_empty());
    let commit = commit.map(|commit| format!("{}, ", &commit[..commit.len().min(12)])).unwrap_or_default();
    assert_eq!(said, format!("guardian {} ({commit}{host})\n", env!("CARGO_PKG_VERSION")));
}

#[test]
fn completions_are_those_of_the_program() {
    let shells = [(Shell::Bash, "guardian.bash"), (Shell::Zsh, "_guardian"), (Shell::Fish, "guardian.fish")];
    let files = shells.map(|(shell, name)| {
        let mut text = Vec::new();
        generate(shell, &mut completed(), "guardian", &mut text);
        (name.to_owned(), text)
    });
    holds("deploy/completions", files.into());
}

#[test]
fn man_pages_are_those_of_the_program() {
    let mut command = cli::command().disable_help_subcommand(true);
    command.build();
    let pages = command.get_subcommands().chain([&command]);
    let files: BTreeMap<_, _> = pages.map(|command| (page_name(command) + ".1", page(command))).collect();
    let secrets = cli::SETTINGS.iter().flat_map(|setting| setting.env);
    let whole = String::from_utf8(files["guardian.1"].clone()).expect("text");
    none_missing(secrets.filter(|name| !whole.contains(&format!("\\fB{name}\\fR"))));
    holds("deploy/man", files);
}

/// With the values that an option takes when they are few words, and with file names where it takes a file.
fn completed() -> clap::Command {
    let taking = |arg: Arg| {
        let takes = cli::SETTINGS.iter().find(|setting| setting.flag == Some(arg.get_id().as_str()));
        let Some(setting) = takes.filter(|setting| !setting.is_switch()) else { return arg };
        let words: Vec<&'static str> = setting.takes.split('|').collect();
        let word = |word: &&str| word.chars().all(|c| c.is_ascii_lowercase() || c == '-');
        match words.as_slice() {
            words if words.iter().all(word) => arg.value_parser(PossibleValuesParser::new(words)),
            ["FILE", ..] => arg.value_hint(ValueHint::FilePath),
            _ => arg,
        }
    };
    cli::command().mut_subcommands(|command| command.mut_args(taking))
}

/// One man page: what clap says of the command, then what it cannot know.
fn page(command: &clap::Command) -> Vec<u8> {
    let usage = command.clone().render_usage().to_string();
    let command = &command.clone().override_usage(usage.trim_start_matches("Usage: ").to_owned());
    let man = Man::new(command.clone());
    let mut text = Vec::new();
    // Without a date, which would change a page that says the same.
    let mut title = Roff::new();
    title.control("TH", [page_name(command).as_str(), "1"]);
    title.to_writer(&mut text).expect("memory takes everything");
    let parts = [
        Man::render_name_section,
        Man::render_synopsis_section,
        Man::render_description_section,
        Man::render_options_section,
    ];
    for part in parts {
        part(&man, &mut text).expect("memory takes everything");
    }
    let whole = command.has_subcommands();
    if whole {
        man.render_subcommands_section(&mut text).expect("memory takes everything");
    }
    let mut roff = Roff::new();
    environment(&mut roff, command);
    if whole {
        files(&mut roff);
    }
    exit_status(&mut roff);
    roff.control("SH", ["SEE ALSO"]);
    let mut others = Vec::new();
    let root = cli::command();
    for other in
        root.get_subcommands().map(|it| format!("guardian-{}", it.get_name())).chain(["guardian".to_owned()])
    {
        if other != page_name(command) {
            others.extend([roman(if others.is_empty() { "" } else { ", " }), bold(other), roman("(1)")]);
        }
    }
    roff.text(others);
    roff.to_writer(&mut text).expect("memory takes everything");
    text
}

fn page_name(command: &clap::Command) -> String {
    if command.has_subcommands() { "guardian".to_owned() } else { format!("guardian-{}", command.get_name()) }
}

/// Every variable of the program; on a command's own page those that are no options, the others stand with theirs.
fn environment(roff: &mut Roff, command: &clap::Command) {
    let whole = command.has_subcommands();
    let has = |setting: &&cli::Setting| {
        let of_the_command = setting.commands.iter().any(|it| it.as_str() == command.get_name());
        !setting.env.is_empty() && (whole || setting.flag.is_none() && of_the_command)
    };
    roff.control("SH", ["ENVIRONMENT"]);
    roff.text([roman(if whole {
        "An option beats its variable. A variable that is empty counts as not set."
    } else {
        "Each option names its variable, and beats it; guardian(1) has them all."
    })]);
    for setting in cli::SETTINGS.iter().filter(has) {
        roff.control("TP", []);
        let mut names = Vec::new();
        for name in setting.env {
            names.extend([roman(if names.is_empty() { "" } else { ", " }), bold(*name)]);
        }
        let takes = if setting.is_switch() { "0|1" } else { setting.takes };
        roff.text([names, vec![roman(" "), italic(takes)]].concat());
        let option = setting.flag.map(|flag| format!(" (--{flag})")).unwrap_or_default();
        let default = setting.default.as_str();
        let default = if default.is_empty() { String::new() } else { format!(" [default: {default}]") };
        roff.text([roman(format!("{}{option}{default}", setting.help))]);
    }
}

fn files(roff: &mut Roff) {
    roff.control("SH", ["FILES"]);
    for (name, what) in [
        (
            "/etc/guardian/NAME.env",
            "Settings of the unit NAME.service (guardian, unless you copied it), NAME=value a line",
        ),
        ("/etc/credstore/NAME.password", "Its password, for root only"),
        ("/var/lib/NAME/state.json", "What it remembers between runs; to see it: guardian-for NAME status"),
    ] {
        roff.control("TP", []);
        roff.text([italic(name)]);
        roff.text([roman(what)]);
    }
}

fn exit_status(roff: &mut Roff) {
    roff.control("SH", ["EXIT STATUS"]);
    roff.control("nf", []);
    for line in cli::EXIT_CODES.lines().skip(1) {
        roff.text([roman(line.strip_prefix("  ").unwrap_or(line))]);
    }
    roff.control("fi", []);
}

/// Holds the files of a folder equal to these, and the folder to no others.
fn holds(folder: &str, expected: BTreeMap<String, Vec<u8>>) {
    let folder = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join(folder);
    if std::env::var_os("GUARDIAN_README").is_some_and(|value| value == "write") {
        std::fs::create_dir_all(&folder).expect("the folder is made");
        for (name, text) in &expected {
            std::fs::write(folder.join(name), text).expect("the file is written");
        }
    }
    let there = std::fs::read_dir(&folder).expect("the folder").map(|entry| entry.expect("an entry"));
    let there: BTreeMap<String, Vec<u8>> = there
        .map(|entry| {
            let name = entry.file_name().into_string().expect("a name in UTF-8");
            (name, std::fs::read(entry.path()).expect("the file"))
        })
        .collect();
    let names = |files: &BTreeMap<String, Vec<u8>>| files.keys().cloned().collect::<Vec<_>>();
    assert_eq!(names(&there), names(&expected), "in {}", folder.display());
    none_missing(expected.iter().filter(|(name, text)| there[*name] != **text).map(|(name, _)| name));
}

#[track_caller]
fn none_missing<T: std::fmt::Display>(wrong: impl Iterator<Item = T>) {
    let wrong: Vec<String> = wrong.map(|it| it.to_string()).collect();
    assert!(wrong.is_empty(), "GUARDIAN_README=write updates: {}", wrong.join(", "));
}
