//! The house rules that no compiler checks, read off the committed files: the deciding half is pure, the arrows
//! between the folders hold, every file says what it owns, every dependency has its reason.
//!
//! A checker takes one file and returns its breaches as `path:line: rule`; the tests at the top run the checkers over
//! the tree, those in `the_rules_can_fail` over small bad snippets. Sources are judged by their tokens: comments and
//! the contents of string literals never count. Test modules are judged like the code around them.

use std::collections::BTreeMap;
use std::fmt;
use std::path::Path;
use std::process::Command;

use self::rust::{paths, tokens};

mod rust;

/// The modules at the root of the crate, and which others each may name; every module may name itself.
const ARROWS: &[(&str, Arrows)] = &[
    ("lib", Arrows::Anywhere),
    ("main", Arrows::AllBut(&["decide", "http", "connect", "store", "report"])),
    ("commands", Arrows::Anywhere),
    ("cli", Arrows::AllBut(&["commands"])),
    ("config", Arrows::AllBut(&["commands"])),
    ("exit", Arrows::AllBut(&["commands"])),
    ("logging", Arrows::AllBut(&["commands"])),
    ("signal", Arrows::AllBut(&["commands"])),
    ("connect", Arrows::Only(&["decide", "http"])),
    ("store", Arrows::Only(&["decide", "http"])),
    ("report", Arrows::Only(&["decide", "http", "exit"])),
    ("http", Arrows::Only(&[])),
    ("decide", Arrows::Only(&[])),
];

enum Arrows {
    Anywhere,
    AllBut(&'static [&'static str]),
    Only(&'static [&'static str]),
}

/// What `decide` may take from the standard library; of `time`, the reading of a clock is a rule of its own.
const PURE_STD: &[&str] = &[
    "any",
    "array",
    "ascii",
    "borrow",
    "char",
    "cmp",
    "collections",
    "convert",
    "error",
    "fmt",
    "hash",
    "iter",
    "marker",
    "mem",
    "num",
    "ops",
    "option",
    "primitive",
    "rc",
    "result",
    "slice",
    "str",
    "string",
    "sync",
    "time",
    "vec",
];

/// The dependencies that `decide` may name: data, patterns and the spelling of times, and the two that test it.
const PURE_CRATES: &[&str] = &["humantime", "serde", "wildmatch", "insta", "proptest"];

/// Macros that print, log, or bring in what is outside the source.
const IMPURE_MACROS: &[&str] = &[
    "debug",
    "env",
    "eprint",
    "eprintln",
    "error",
    "event",
    "include",
    "include_bytes",
    "include_str",
    "info",
    "log",
    "option_env",
    "print",
    "println",
    "span",
    "trace",
    "warn",
];

/// What the top level holds besides dotfiles.
const TOP_LEVEL: &[&str] = &["Cargo.lock", "Cargo.toml", "Dockerfile", "README.md", "deploy", "src", "tests"];

// === The rules, over the tree ===

#[test]
fn decide_is_pure() {
    let manifest = Cargo::read();
    let sources: Vec<File> = tree().into_iter().filter(|file| file.path.starts_with("src/decide/")).collect();
    assert!(!sources.is_empty(), "src/decide/ has moved, and this rule with it");
    none(sources.iter().flat_map(|file| impurities(file, &manifest.names)));
}

#[test]
fn arrows_between_folders_hold() {
    none(sources("src/").iter().flat_map(against_the_arrows));
}

#[test]
fn files_say_what_they_own() {
    none(tree().iter().filter_map(without_opening));
}

#[test]
fn nothing_is_left_behind() {
    none(sources("").iter().flat_map(leftovers));
    none(tree().iter().flat_map(markers));
}

#[test]
fn no_machine_is_named() {
    none(tree().iter().filter(|file| file.path != "Cargo.lock").flat_map(machine_names));
}

#[test]
fn top_level_is_fixed() {
    none(tree().iter().filter_map(strays));
}

#[test]
fn dependencies_have_reasons_and_features() {
    let cargo = Cargo::read();
    assert!(!cargo.names.is_empty());
    none(unexplained(&cargo.manifest, &cargo.with_defaults).into_iter());
}

// === Files and breaches ===

/// A committed text file; `path` is relative to the top level, with `/` between its parts.
struct File {
    path: String,
    text: String,
}

struct Breach {
    path: String,
    line: usize,
    rule: String,
}

impl fmt::Display for Breach {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}: {}", self.path, self.line, self.rule)
    }
}

impl File {
    fn is_rust(&self) -> bool {
        Path::new(&self.path).extension().is_some_and(|extension| extension == "rs")
    }

    fn breach(&self, line: usize, rule: impl Into<String>) -> Breach {
        Breach { path: self.path.clone(), line, rule: rule.into() }
    }
}

#[track_caller]
fn none(breaches: impl Iterator<Item = Breach>) {
    let lines: Vec<String> = breaches.map(|breach| breach.to_string()).collect();
    assert!(lines.is_empty(), "the house rules are broken:\n{}", lines.join("\n"));
}

/// What git would commit of this tree: tracked files and new ones that are not ignored.
fn tree() -> Vec<File> {
    let top = Path::new(env!("CARGO_MANIFEST_DIR"));
    let output = Command::new("git")
        .args(["ls-files", "-z", "--cached", "--others", "--exclude-standard"])
        .current_dir(top)
        .env_remove("GIT_DIR")
        .env_remove("GIT_INDEX_FILE")
        .env_remove("GIT_WORK_TREE")
        .output()
        .expect("the rules are read off what git lists");
    assert!(output.status.success(), "git ls-files: {}", String::from_utf8_lossy(&output.stderr));
    let mut paths: Vec<String> = String::from_utf8(output.stdout)
        .expect("paths are UTF-8")
        .split_terminator('\0')
        .map(String::from)
        .collect();
    paths.sort_unstable();
    paths.dedup();
    let files: Vec<File> = paths
        .into_iter()
        .filter_map(|path| {
            // Removed but not yet committed so, or not text: there is nothing to read.
            let text = std::fs::read_to_string(top.join(&path)).ok()?;
            Some(File { path, text })
        })
        .collect();
    assert!(files.iter().any(|file| file.path == "src/lib.rs"), "git lists no src/lib.rs");
    files
}

/// The Rust files under a folder.
fn sources(folder: &str) -> Vec<File> {
    tree().into_iter().filter(|file| file.path.starts_with(folder) && file.is_rust()).collect()
}

// === Purity and arrows ===

/// `decide` reads no clock, network, file or environment, waits for nothing, logs nothing, and knows nobody.
fn impurities(file: &File, dependencies: &[String]) -> Vec<Breach> {
    let tokens = tokens(&file.text);
    let mut breaches = Vec::new();
    let mut refuse =
        |line: usize, what: &str| breaches.push(file.breach(line, format!("decide is pure: {what}")));
    for (at, token) in tokens.iter().enumerate() {
        let before = at.checked_sub(1).and_then(|at| tokens.get(at)).map_or("", |token| token.text.as_str());
        let after = tokens.get(at + 1).map_or("", |token| token.text.as_str());
        match token.text.as_str() {
            word @ ("async" | "await" | "extern" | "unsafe") => refuse(token.line, &format!("`{word}`")),
            "Instant" => refuse(token.line, "`Instant` is a clock; times are arguments"),
            "elapsed" if before == "." || before == "::" => refuse(token.line, "`elapsed` reads a clock"),
            word if after == "!" && IMPURE_MACROS.contains(&word) && before != "::" => {
                // `a != b` is one token, so this is a call.
                refuse(token.line, &format!("`{word}!`"));
            }
            _ => {}
        }
    }
    for path in paths(&tokens) {
        let name = path.name();
        match path.segments.first().map(String::as_str) {
            Some("std" | "core" | "alloc") => match path.segments.get(1).map(String::as_str) {
                Some(part) if PURE_STD.contains(&part) => {}
                Some(part) if primitive(part) => {}
                _ => refuse(path.line, &format!("`{name}` is not among the parts of std that it may use")),
            },
            Some(first) if dependencies.iter().any(|name| name == first) && !PURE_CRATES.contains(&first) => {
                refuse(path.line, &format!("`{name}` is not among the crates that it may use"));
            }
            _ => {}
        }
        if let [_, .., "now" | "now_utc" | "now_local"] = path.parts().as_slice() {
            refuse(path.line, &format!("`{name}` reads a clock; `now` is an argument"));
        }
    }
    breaches.extend(against_the_arrows(file));
    breaches
}

/// A module under `src/` names only those that [`ARROWS`] lets it name.
fn against_the_arrows(file: &File) -> Vec<Breach> {
    let home = module_of(&file.path);
    // A file of the root is its own module, except that `lib.rs` and `main.rs` are the root itself.
    let own = match home.first() {
        Some(first) => first.as_str(),
        None if file.path == "src/main.rs" => "main",
        None => "lib",
    };
    let Some((_, arrows)) = ARROWS.iter().find(|(name, _)| *name == own) else {
        return vec![file.breach(
            1,
            format!("`{own}` is not in the layout: give it a place among the ARROWS of tidy.rs"),
        )];
    };
    let tokens = tokens(&file.text);
    let mut breaches = Vec::new();
    for (at, token) in tokens.iter().enumerate() {
        let next: Vec<&str> = tokens.iter().skip(at).take(3).map(|token| token.text.as_str()).collect();
        if next == ["#", "[", "path"] {
            breaches.push(file.breach(token.line, "`#[path]` hides where a module lives"));
        }
    }
    for path in paths(&tokens) {
        let Some(target) = path.target(&home) else { continue };
        let allowed = match (arrows, target.first().map(String::as_str)) {
            (Arrows::Anywhere, _) => true,
            (_, Some(module)) if module == own => true,
            (Arrows::AllBut(barred), Some(module)) => !barred.contains(&module) && module != "*",
            (Arrows::Only(known), Some(module)) => known.contains(&module),
            // `use crate as x`, `use super::{self as x}`: anything could follow.
            (_, None) => false,
        };
        if !allowed {
            breaches.push(file.breach(path.line, format!("`{own}` may not name `{}`", path.name())));
        }
    }
    breaches
}

/// The module that a file under `src/` is, from the root.
fn module_of(path: &str) -> Vec<String> {
    let inner = path.strip_prefix("src/").unwrap_or(path);
    let inner = inner.strip_suffix(".rs").unwrap_or(inner);
    let inner = inner.strip_suffix("/mod").unwrap_or(inner);
    if matches!(inner, "main" | "lib") { Vec::new() } else { inner.split('/').map(String::from).collect() }
}

fn primitive(name: &str) -> bool {
    matches!(name, "f32" | "f64" | "bool")
        || name
            .strip_prefix(['u', 'i'])
            .is_some_and(|bits| matches!(bits, "8" | "16" | "32" | "64" | "128" | "size"))
}

// === Small rules ===

/// A Rust file opens with `//!` and a sentence, a script with a comment below its interpreter line.
fn without_opening(file: &File) -> Option<Breach> {
    let mut lines = file.text.lines();
    let first = lines.next().unwrap_or("");
    let (opening, mark) = if file.is_rust() {
        (first, "//!")
    } else if first.starts_with("#!") {
        (lines.next().unwrap_or(""), "#")
    } else {
        return None;
    };
    let says = opening.strip_prefix(mark).is_some_and(|words| words.split_whitespace().count() >= 2);
    (!says).then(|| {
        file.breach(1, format!("the file does not open with a `{mark}` paragraph saying what it owns"))
    })
}

/// Debugging and unfinished work, and tests that are switched off without a word.
fn leftovers(file: &File) -> Vec<Breach> {
    let tokens = tokens(&file.text);
    let mut breaches = Vec::new();
    for (at, token) in tokens.iter().enumerate() {
        let after: Vec<&str> = tokens.iter().skip(at + 1).take(2).map(|token| token.text.as_str()).collect();
        match (token.text.as_str(), after.as_slice()) {
            (word @ ("dbg" | "todo" | "unimplemented"), ["!", ..]) => {
                breaches.push(file.breach(token.line, format!("`{word}!` is for unfinished work")));
            }
            ("[", ["ignore", "]"]) => {
                breaches
                    .push(file.breach(token.line, "an ignored test needs its reason: `#[ignore = \"...\"]`"));
            }
            _ => {}
        }
    }
    breaches
}

/// Notes to oneself, in any file and in comments too.
fn markers(file: &File) -> Vec<Breach> {
    // In two halves, so that this file does not name them.
    let words = [concat!("FIX", "ME"), concat!("XX", "X")];
    let mut breaches = Vec::new();
    for (line, text) in numbered(&file.text) {
        for word in text.split(|c: char| !c.is_ascii_alphanumeric() && c != '_') {
            if words.contains(&word) {
                breaches.push(file.breach(line, format!("`{word}`: write an issue instead")));
            }
        }
    }
    breaches
}

/// Paths of one machine and hosts of registries: what is committed must work on any other.
fn machine_names(file: &File) -> Vec<Breach> {
    // In two halves, so that this file does not name them.
    let folders = [
        concat!("/ro", "ot/"),
        concat!("/wo", "rk/"),
        concat!("/ho", "me/"),
        concat!("/Us", "ers/"),
        concat!("C:", "\\"),
    ];
    let hosts = [
        concat!("index.crates", ".io"),
        concat!("static.crates", ".io"),
        concat!("static.rust-lang", ".org"),
        concat!("pypi", ".org"),
        concat!("pythonhosted", ".org"),
        concat!("registry.npmjs", ".org"),
        concat!("repo.maven.apache", ".org"),
        concat!("repo1.maven", ".org"),
        concat!("deb.debian", ".org"),
        concat!("proxy.golang", ".org"),
    ];
    let mut breaches = Vec::new();
    for (line, text) in numbered(&file.text) {
        for folder in folders {
            // Only at the start of a path: `$dir/tmp/` and `a/opt/` are somewhere else.
            let starts = text.match_indices(folder).any(|(at, _)| {
                !text[..at].ends_with(|c: char| {
                    c.is_alphanumeric() || matches!(c, '.' | '_' | '-' | '}' | ')' | '~' | '*')
                })
            });
            if starts {
                breaches.push(file.breach(line, format!("`{folder}` is a path of one machine")));
            }
        }
        for host in hosts {
            if text.contains(host) {
                breaches.push(
                    file.breach(line, format!("`{host}`: registries are reached through their clients")),
                );
            }
        }
    }
    breaches
}

/// Anything at the top level that is neither in the fixed set nor a dotfile.
fn strays(file: &File) -> Option<Breach> {
    let top = file.path.split('/').next().unwrap_or("");
    let stray = !top.starts_with('.') && !TOP_LEVEL.contains(&top);
    stray.then(|| file.breach(1, format!("`{top}` is not in the fixed top level")))
}

// === Dependencies ===

/// The manifest, the names of its dependencies as Rust writes them, and those that have default features.
struct Cargo {
    manifest: File,
    names: Vec<String>,
    with_defaults: Vec<String>,
}

impl Cargo {
    /// Asks cargo, which alone knows the default features; offline, for the host's platform is already fetched.
    fn read() -> Self {
        let host = Command::new("rustc").arg("-vV").output().expect("rustc runs");
        let host = String::from_utf8(host.stdout).expect("rustc answers in UTF-8");
        let host = host.lines().find_map(|line| line.strip_prefix("host: ")).expect("rustc names its host");
        let output = Command::new(env!("CARGO"))
            .args(["metadata", "--locked", "--offline", "--format-version", "1", "--filter-platform", host])
            .current_dir(env!("CARGO_MANIFEST_DIR"))
            .output()
            .expect("cargo runs");
        assert!(output.status.success(), "cargo metadata: {}", String::from_utf8_lossy(&output.stderr));
        let metadata: serde_json::Value =
            serde_json::from_slice(&output.stdout).expect("cargo answers in JSON");
        let root = metadata["resolve"]["root"].as_str().expect("the crate is the root");
        let packages: BTreeMap<&str, &serde_json::Value> = items(&metadata["packages"])
            .map(|package| (package["id"].as_str().expect("a package has an id"), package))
            .collect();
        let node = items(&metadata["resolve"]["nodes"])
            .find(|node| node["id"] == root)
            .expect("the root is resolved");
        let mut names = Vec::new();
        let mut with_defaults = Vec::new();
        for dependency in items(&node["deps"]) {
            names.extend(dependency["name"].as_str().map(String::from));
            let package = packages[dependency["pkg"].as_str().expect("a dependency is a package")];
            if items(&package["features"]["default"]).next().is_some() {
                with_defaults.extend(package["name"].as_str().map(String::from));
            }
        }
        let path = "Cargo.toml";
        let text =
            std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join(path)).expect("the manifest");
        Self { manifest: File { path: path.into(), text }, names, with_defaults }
    }
}

fn items(list: &serde_json::Value) -> impl Iterator<Item = &serde_json::Value> {
    list.as_array().map(Vec::as_slice).unwrap_or_default().iter()
}

/// Every dependency has its reason, beside it, in the comment right above, or above its kin (`serde`, `serde_json`);
/// and it lists the features that it takes where leaving them out would take whatever the crate calls its default.
fn unexplained(manifest: &File, with_defaults: &[String]) -> Vec<Breach> {
    let mut breaches = Vec::new();
    let mut within = false;
    let mut above = false;
    let mut open: Option<Entry> = None;
    // The first letters of the entry right above, when that has its reason.
    let mut kin: Option<String> = None;
    for (line, text) in numbered(&manifest.text) {
        let (code, comment) = split_comment(text);
        let code = code.trim();
        if let Some(entry) = &mut open {
            entry.code.push_str(code);
            entry.reason |= comment;
        } else if let Some(table) = code.strip_prefix('[') {
            let table = table.trim_end_matches(']');
            within = table.ends_with("dependencies");
            if let Some((_, name)) = table.split_once("dependencies.") {
                breaches.push(
                    manifest.breach(line, format!("`{name}`: write a dependency as one entry of its table")),
                );
            }
        } else if within && !code.is_empty() {
            open = Some(Entry { line, code: code.to_string(), reason: above || comment });
        }
        above = code.is_empty() && comment;
        if code.is_empty() {
            kin = None;
        }
        if let Some(entry) = open.take_if(|entry| entry.complete()) {
            let name = entry.code.split(['=', '.']).next().unwrap_or("").trim().trim_matches('"').to_string();
            let family: String = name.chars().take(4).collect();
            if entry.reason || kin.as_ref() == Some(&family) {
                kin = Some(family);
            } else {
                breaches.push(manifest.breach(entry.line, format!("`{name}` has no reason beside it")));
            }
            let settings: String = entry.code.split_whitespace().collect();
            let package =
                settings.split("package=\"").nth(1).and_then(|rest| rest.split('"').next()).unwrap_or(&name);
            let default = with_defaults.iter().any(|other| other == package);
            if default && !settings.contains("default-features=false") {
                breaches.push(manifest.breach(
                    entry.line,
                    format!("`{name}` takes default features: `default-features = false` and the list of what is used"),
                ));
            }
        }
    }
    breaches
}

struct Entry {
    line: usize,
    code: String,
    reason: bool,
}

impl Entry {
    fn complete(&self) -> bool {
        let count = |wanted: [char; 2]| self.code.chars().filter(|c| wanted.contains(c)).count();
        count(['{', '[']) == count(['}', ']'])
    }
}

/// A line of TOML without its comment, and whether it has one that says something.
fn split_comment(line: &str) -> (&str, bool) {
    let mut quoted = false;
    for (at, c) in line.char_indices() {
        match c {
            '"' => quoted = !quoted,
            '#' if !quoted => return (&line[..at], line[at..].split_whitespace().count() >= 2),
            _ => {}
        }
    }
    (line, false)
}

fn numbered(text: &str) -> impl Iterator<Item = (usize, &str)> {
    text.lines().enumerate().map(|(at, line)| (at + 1, line))
}

// === Each rule fails on what it forbids, and only on that ===

mod the_rules_can_fail {
    use super::*;

    fn file(path: &str, text: &str) -> File {
        File { path: path.into(), text: text.into() }
    }

    /// `line: rule` of each breach.
    fn lines(breaches: impl IntoIterator<Item = Breach>) -> Vec<String> {
        breaches.into_iter().map(|breach| format!("{}: {}", breach.line, breach.rule)).collect()
    }

    #[track_caller]
    fn impure(code: &str, expected: &str) {
        let dependencies = ["tokio", "tracing", "reqwest", "serde", "proptest"].map(String::from);
        let breaches = lines(impurities(&file("src/decide/plan.rs", code), &dependencies));
        assert!(breaches.iter().any(|breach| breach.contains(expected)), "{code}\n{breaches:?}");
    }

    #[test]
    fn decide_and_what_is_outside() {
        impure("fn f() {\n SystemTime::now() }", "2: decide is pure: `SystemTime::now` reads a clock");
        impure("use std::time::{Duration, Instant};", "`Instant` is a clock");
        impure("fn f(t: SystemTime) { t.elapsed() }", "`elapsed` reads a clock");
        impure("use std::{fmt, fs};", "`std::fs`");
        impure(
            "use std::{fmt, collections::BTreeMap,\n io::{self, Write}};",
            "2: decide is pure: `std::io::self`",
        );
        impure("fn f() { std::env::var(\"A\") }", "`std::env::var`");
        impure("use std as s;", "`std` is not");
        impure("use std::*;", "`std::*`");
        impure("const A: &str = env!(\"A\");", "`env!`");
        impure("async fn f() {}", "`async`");
        impure("use tokio::time::sleep;", "`tokio::time::sleep`");
        impure("fn f() { tracing::info!(\"a\") }", "`tracing::info`");
        impure("fn f() { warn!(\"a\") }", "`warn!`");
        impure("fn f() { println!() }", "`println!`");
        impure("#[cfg(test)] mod tests { use std::net::TcpStream; }", "`std::net::TcpStream`");
        impure("use reqwest;", "`reqwest`");
    }

    #[test]
    fn decide_and_its_siblings() {
        impure("use crate::connect::Client;", "`crate::connect::Client`");
        impure("use crate::{decide::model::State, store};", "`crate::store`");
        impure("fn f() { crate::report::text() }", "`crate::report::text`");
        impure("use super::super::http;", "`super::super::http`");
        impure("mod tests { use super::super::super::http; }", "`super::super::super::http`");
        impure("use crate as g;", "`crate`");
        impure("use crate::*;", "`crate::*`");
        impure("#[path = \"../http/mod.rs\"] mod http;", "#[path]");
        impure("fn f() { crate::exit!() }", "`crate::exit`");
    }

    #[test]
    fn decide_and_what_it_may() {
        let code = r##"
//! Not `std::fs`, not tokio, no println!() here; /* nor here */
use std::{collections::BTreeMap, fmt, sync::Arc, time::{Duration, SystemTime, UNIX_EPOCH}};
use serde::{Deserialize, Serialize as S};
pub(super) use super::model::{State as S2, InstanceId as _, *};
use crate::decide::{cause, policy::Policy};
/* tracing::info! /* std::env */ std::fs */
pub fn plan<'a>(now: SystemTime, text: &'a str) -> Option<char> {
    let said = "std::fs and \" tokio::spawn"; let raw = r#"crate::http " println!()"#;
    let (quote, back, elapsed) = ('"', '\\', now != UNIX_EPOCH);
    if elapsed { writeln!(f, "{now:?}")?; panic!("no") } else { now.duration_since(UNIX_EPOCH) }
}
#[cfg(test)]
mod tests { use super::*; use super::super::model; use proptest::prelude::*; }
"##;
        let dependencies = ["tokio", "serde", "proptest"].map(String::from);
        assert_eq!(lines(impurities(&file("src/decide/plan.rs", code), &dependencies)), [""; 0]);
    }

    #[test]
    fn arrows() {
        let broken = |path: &str, code: &str| lines(against_the_arrows(&file(path, code)));
        let fine = [
            (
                "src/connect/client.rs",
                "use crate::{decide::model::State, http::Client}; use super::wire; use crate::connect::wire; pub(crate) fn f() {} pub(in crate::connect) fn g() {}",
            ),
            ("src/store/mod.rs", "use self::file::File; mod tests { use super::*; }"),
            (
                "src/commands/run.rs",
                "use crate::{config::Config, connect, decide::plan, report, store}; use super::reset;",
            ),
            ("src/main.rs", "use connector_guardian::{cli::Cli, commands, exit};"),
            ("src/lib.rs", "pub mod commands; pub use crate::commands::run;"),
            ("src/config.rs", "use crate::cli::Cli; use crate::{decide::policy::Policy, http::Tls};"),
            (
                "src/http/tls.rs",
                "use super::Client; use rustls::pki_types as p; enum E { A } fn f() { E::A; self::g() }",
            ),
        ];
        for (path, code) in fine {
            assert_eq!(broken(path, code), [""; 0], "{path}: {code}");
        }
        assert_eq!(
            broken("src/connect/client.rs", "\nuse crate::store::Lock;"),
            ["2: `connect` may not name `crate::store::Lock`"]
        );
        assert_eq!(
            broken("src/store/mod.rs", "use super::report;"),
            ["1: `store` may not name `super::report`"]
        );
        assert_eq!(
            broken("src/report/text.rs", "use super::super::config;"),
            ["1: `report` may not name `super::super::config`"]
        );
        assert_eq!(
            broken("src/report/text.rs", "fn f() -> crate::signal::Interrupt {}"),
            ["1: `report` may not name `crate::signal::Interrupt`"]
        );
        assert_eq!(
            broken("src/http/mod.rs", "use crate::decide::model;"),
            ["1: `http` may not name `crate::decide::model`"]
        );
        assert_eq!(
            broken("src/config.rs", "use crate::{cli, commands::run};"),
            ["1: `config` may not name `crate::commands::run`"]
        );
        assert_eq!(
            broken("src/exit.rs", "use super::commands;"),
            ["1: `exit` may not name `super::commands`"]
        );
        assert_eq!(broken("src/store/file.rs", "fn f() { r#crate::connect::f() }").len(), 1);
        assert_eq!(broken("src/main.rs", "use connector_guardian::store::Lock;").len(), 1);
        assert_eq!(broken("src/connect/mod.rs", "use super::{self as root};").len(), 1);
        assert_eq!(broken("src/report/mod.rs", "use crate::{self as root};").len(), 1);
        assert!(broken("src/helper.rs", "")[0].contains("not in the layout"));
    }

    #[test]
    fn openings() {
        let opens = |path: &str, text: &str| without_opening(&file(path, text)).is_none();
        assert!(opens("src/a.rs", "//! What it owns.\n"));
        assert!(opens("tests/run", "#!/bin/sh\n# What it owns.\n"));
        assert!(opens("README.md", "# guardian\n"));
        assert!(!opens("src/a.rs", "\n//! Late.\n"));
        assert!(!opens("src/a.rs", "//!\n"));
        assert!(!opens("tests/it/a.rs", "use std::fmt;\n"));
        assert!(!opens("src/empty.rs", ""));
        assert!(!opens("tests/run", "#!/bin/sh\nset -e\n"));
    }

    #[test]
    fn unfinished_work() {
        let left = |code: &str| lines(leftovers(&file("src/a.rs", code)));
        assert_eq!(left("fn f() {\n dbg!(1); }"), ["2: `dbg!` is for unfinished work"]);
        assert_eq!(left("fn f() { std::todo!() }"), ["1: `todo!` is for unfinished work"]);
        assert_eq!(left("fn f() { unimplemented!() }"), ["1: `unimplemented!` is for unfinished work"]);
        assert_eq!(left("#[test]\n#[ignore]\nfn f() {}").len(), 1);
        assert_eq!(left("#[ignore = \"needs a broker\"] fn f() { (ignore, todo) != dbg }"), [""; 0]);
        assert_eq!(left("// dbg!(1)\nconst A: &str = \"todo!()\";"), [""; 0]);
    }

    #[test]
    fn notes_to_oneself() {
        let marked = |text: &str| lines(markers(&file("deploy/a.yaml", text)));
        assert_eq!(marked(concat!("a\n# FIX", "ME: later")).len(), 1);
        assert_eq!(marked(concat!("# XX", "X")).len(), 1);
        assert_eq!(marked("mktemp guardian.XXXXXX"), [""; 0]);
    }

    #[test]
    fn machines() {
        let named = |text: &str| lines(machine_names(&file("deploy/a.yaml", text)));
        assert_eq!(named(concat!("a\ncd /ro", "ot/x")).len(), 1);
        assert_eq!(named(concat!("path=\"/wo", "rk/x\"")).len(), 1);
        assert_eq!(named(concat!("curl pypi", ".org")).len(), 1);
        assert_eq!(
            named(concat!("$dir/wo", "rk/x ${HOME}/ho", "me/ /var/lib/guardian a/ro", "ot/")),
            [""; 0]
        );
    }

    #[test]
    fn top_level() {
        let stray = |path: &str| strays(&file(path, "")).is_some();
        assert!(stray("examples/demo.rs"));
        assert!(stray("CHANGELOG.md"));
        assert!(!stray("src/main.rs"));
        assert!(!stray(".ci/run"));
        assert!(!stray("deploy/chart/Chart.yaml"));
    }

    #[test]
    fn dependencies() {
        let told =
            |text: &str| lines(unexplained(&file("Cargo.toml", text), &["tokio".into(), "insta".into()]));
        let fine = r#"
[package]
name = "x"
[dependencies]
# waits
tokio = { version = "1", default-features = false, features = [
    "rt", # a comment within
    "net",
] }
humantime = "2" # durations as people write them
a = { version = "1#2" } # why
# the state file
serde = "1"
serde_json = "1"
[dev-dependencies]
insta = { version = "1", default-features=false } # plans as values
[lints.rust]
unsafe_code = "forbid"
"#;
        assert_eq!(told(fine), [""; 0]);
        assert_eq!(told("[dependencies]\nhumantime = \"2\""), ["2: `humantime` has no reason beside it"]);
        assert_eq!(
            told("[dependencies]\n# state\nserde = \"1\"\nring = \"1\""),
            ["4: `ring` has no reason beside it"]
        );
        assert_eq!(told("[dependencies]\nhumantime = \"2\" #"), ["2: `humantime` has no reason beside it"]);
        assert_eq!(
            told("[dependencies]\n# why not\n\nhumantime = \"2#3\""),
            ["4: `humantime` has no reason beside it"]
        );
        assert!(
            told("[dependencies]\ntokio = \"1\" # waits")[0].starts_with("2: `tokio` takes default features")
        );
        assert!(
            told("[dependencies]\nt = { package = \"tokio\", version = \"1\" } # waits")[0]
                .contains("takes default")
        );
        assert!(told("[target.'cfg(unix)'.dependencies]\nlibc = \"1\"")[0].contains("no reason"));
        assert!(told("[dependencies.tokio]\nversion = \"1\"")[0].contains("one entry"));
    }
}
