//! The rules of this repository that no compiler checks, by plain searches over the committed files: the deciding half
//! is pure, the folders name each other in one direction only, every file says what it owns, every dependency has its
//! reason. The searches are for accidents; whoever wants to get around them can.

use std::collections::BTreeSet;
use std::path::Path;
use std::process::Command;

const TOP_LEVEL: [&str; 7] =
    ["Cargo.lock", "Cargo.toml", "Dockerfile", "README.md", "deploy", "src", "tests"];

/// What `decide` may not have: a clock, the network, files, the environment, threads, a log, anything async, errors.
const IMPURE_STD: [&str; 6] = ["env", "fs", "io", "net", "process", "thread"];
const IMPURE_WORDS: [&str; 12] = [
    "Instant",
    "anyhow",
    "async",
    "await",
    "elapsed",
    "eprintln!",
    "now(",
    "println!",
    "reqwest",
    "tokio",
    "tracing",
    "unsafe",
];

/// Which modules at the root of the crate may name which others.
fn may_name(own: &str, other: &str) -> bool {
    match own {
        "lib" | "commands" => true,
        "main" => other == "commands",
        "cli" | "config" => other != "commands",
        "connect" | "store" | "report" | "tell" => ["decide", "exit", "http"].contains(&other),
        "decide" | "exit" | "http" | "logging" | "signal" => false,
        _ => panic!("src/{own} has no place in the layout: give it one here"),
    }
}

#[test]
fn decide_is_pure() {
    let decide = rust_files("src/decide/");
    assert!(!decide.is_empty(), "src/decide has moved, and this rule with it");
    none(decide.iter().flat_map(|file| {
        let words = IMPURE_WORDS.into_iter().filter(|word| has_word(&file.code(), word)).map(str::to_owned);
        let std = file.paths("std").into_iter().filter(|path| IMPURE_STD.contains(&path[0].as_str()));
        words.chain(std.map(|path| format!("std::{}", path[0]))).map(|what| format!("{}: {what}", file.path))
    }));
}

#[test]
fn folders_name_each_other_in_one_direction_only() {
    let files = rust_files("src/");
    let modules: BTreeSet<String> = files.iter().map(|file| file.module()[0].clone()).collect();
    for module in &modules {
        may_name(module, ""); // which it says when it is in no place
    }
    none(files.iter().flat_map(|file| {
        let own = file.module()[0].clone();
        let named = file.names().into_iter().map(|path| path[0].clone());
        let named: BTreeSet<String> =
            named.filter(|other| *other != own && modules.contains(other)).collect();
        let wrong = named.into_iter().filter(move |other| !may_name(&own, other));
        wrong.map(|other| format!("{} may not name {other}", file.path))
    }));
}

#[test]
fn no_two_files_import_each_other() {
    let files = rust_files("src/");
    let imports = |one: &File, other: &File| one.names().iter().any(|path| path.starts_with(&other.module()));
    let circle = |one: &File, other: &File| {
        // A file and the files in its own folder are one module.
        let kin = one.module().starts_with(&other.module()) || other.module().starts_with(&one.module());
        one.path < other.path && !kin && imports(one, other) && imports(other, one)
    };
    let pairs = files.iter().flat_map(|one| files.iter().map(move |other| (one, other)));
    let circles =
        pairs.filter(|(one, other)| circle(one, other)).map(|(one, other)| (&*one.path, &*other.path));
    none(circles.map(|(one, other)| format!("{one} and {other}")));
}

#[test]
fn files_say_what_they_own() {
    none(tree().into_iter().filter_map(|file| {
        let mut lines = file.text.lines();
        let (opening, mark) = match lines.next() {
            first if file.is_rust() => (first, "//!"),
            Some(first) if first.starts_with("#!") => (lines.next(), "#"),
            _ => return None,
        };
        let says = opening.and_then(|line| line.strip_prefix(mark)).unwrap_or_default();
        (says.split_whitespace().count() < 2)
            .then(|| format!("{} does not open with a {mark} paragraph", file.path))
    }));
}

#[test]
fn nothing_is_left_behind_and_no_machine_is_named() {
    // This file must not hold them itself.
    let whole = |halves: &str| halves.split_whitespace().map(|it| it.replace('@', "")).collect::<Vec<_>>();
    let words = whole("FIX@ME TO@DO XX@X");
    let ignored = whole("#[ign@ore]");
    let folders = whole("/ro@ot/ /wo@rk/ /ho@me/ /Us@ers/ C:@\\");
    let hosts = whole(
        "index.crates@.io static.crates@.io static.rust-lang@.org pypi@.org pythonhosted@.org registry.npmjs@.org \
         repo.maven.apache@.org repo1.maven@.org deb.debian@.org proxy.golang@.org",
    );
    // `$dir/tmp/` and `a/opt/` are somewhere else.
    let within = |c: char| c.is_alphanumeric() || "._-})~*".contains(c);
    none(tree().iter().filter(|file| file.path != "Cargo.lock").flat_map(|file| {
        let words = words.iter().filter(|word| has_word(&file.text, word));
        let folders = folders.iter().filter(|folder| {
            file.text.match_indices(*folder).any(|(at, _)| !file.text[..at].ends_with(within))
        });
        let hosts = hosts.iter().filter(|host| file.text.contains(*host));
        let ignored = ignored.iter().filter(|it| file.is_rust() && file.code().contains(*it));
        let found = words.chain(folders).chain(hosts).chain(ignored);
        found.map(|what| format!("{}: {what}", file.path)).collect::<Vec<_>>()
    }));
}

#[test]
fn top_level_is_fixed() {
    let tops: BTreeSet<String> =
        tree().iter().filter_map(|file| Some(file.path.split('/').next()?.to_owned())).collect();
    none(tops.into_iter().filter(|top| !top.starts_with('.') && !TOP_LEVEL.contains(&top.as_str())));
}

#[test]
fn dependencies_have_reasons_and_no_default_features() {
    let metadata = output(Command::new(env!("CARGO")).args([
        "metadata",
        "--locked",
        "--offline",
        "--no-deps",
        "--format-version",
        "1",
    ]));
    let metadata: serde_json::Value = serde_json::from_str(&metadata).expect("cargo answers in JSON");
    let dependencies = metadata["packages"][0]["dependencies"].as_array().expect("a list");
    assert!(!dependencies.is_empty());
    let manifest = std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("Cargo.toml"))
        .expect("a manifest");
    let lines: Vec<&str> = manifest.lines().collect();
    // The reason stands in the line above, or above the next of kin: `serde` and `serde_json` have one.
    let unexplained = |name: &str| {
        let entries = lines.windows(2).filter(|two| two[1].starts_with(&format!("{name} = ")));
        let mut explained = entries.map(|two| two[0].starts_with("# ") || two[0].starts_with(&name[..4]));
        !explained.next().is_some_and(|first| first && explained.all(|other| other))
    };
    none(dependencies.iter().flat_map(|dependency| {
        let name = dependency["name"].as_str().expect("a name");
        let reason = unexplained(name).then(|| format!("{name} has no reason above it"));
        let features = dependency["uses_default_features"] == true;
        reason.into_iter().chain(features.then(|| format!("{name} lacks default-features = false")))
    }));
}

// === Files and searches ===

/// A committed text file; its path is relative to the top level.
struct File {
    path: String,
    text: String,
}

impl File {
    fn is_rust(&self) -> bool {
        Path::new(&self.path).extension().is_some_and(|extension| extension == "rs")
    }

    /// Without the lines that are comments.
    fn code(&self) -> String {
        self.text.lines().filter(|line| !line.trim_start().starts_with("//")).collect::<Vec<_>>().join("\n")
    }

    /// The module that a file under `src` is; `lib` and `main` for the roots.
    fn module(&self) -> Vec<String> {
        let inner = self.path.trim_start_matches("src/").trim_end_matches(".rs").trim_end_matches("/mod");
        inner.split('/').map(str::to_owned).collect()
    }

    /// What it names of the crate, from the root.
    fn names(&self) -> Vec<Vec<String>> {
        let module = self.module();
        let inner =
            |up: usize, path: Vec<String>| [&module[..module.len().saturating_sub(up)], &path].concat();
        let above = |path: Vec<String>| match path.first().map(String::as_str) {
            Some("super") => inner(2, path[1..].to_vec()),
            _ => inner(1, path),
        };
        let from_root = ["crate", "connector_guardian"].into_iter().flat_map(|root| self.paths(root));
        from_root.chain(self.paths("super").into_iter().map(above)).collect()
    }

    /// The paths in its code that begin with this word, without it; those in braces one by one.
    fn paths(&self, root: &str) -> Vec<Vec<String>> {
        let (code, root) = (self.code(), format!("{root}::"));
        let begins =
            |at: &usize| !code[..*at].ends_with(|c: char| c.is_alphanumeric() || c == '_' || c == ':');
        let found = code.match_indices(&root).filter(|(at, _)| begins(at));
        let paths = found.flat_map(|(at, _)| unfold(&code[at + root.len()..]));
        paths.map(|path| path.split("::").map(str::to_owned).collect()).collect()
    }
}

/// The paths that the text begins with: one, or those in its braces.
fn unfold(text: &str) -> Vec<String> {
    let (mut paths, mut open, mut path, mut renamed) = (Vec::new(), Vec::new(), String::new(), false);
    for c in text.chars() {
        let before: String = open.last().cloned().unwrap_or_default();
        match c {
            '{' if path.is_empty() || path.ends_with("::") => open.push(path.clone()),
            ',' | '}' if !open.is_empty() => {
                if path != before {
                    paths.push(path);
                }
                if c == '}' {
                    open.pop();
                    if open.is_empty() {
                        return paths;
                    }
                }
                (path, renamed) = (open.last().cloned().unwrap_or_default(), false);
            }
            // What follows a path is ` as other`.
            _ if c.is_whitespace() && !open.is_empty() => renamed |= path != before,
            _ if renamed => {}
            _ if c.is_alphanumeric() || "_:*".contains(c) => path.push(c),
            _ => break,
        }
    }
    paths.push(path);
    paths
}

/// Whether the text has this word, not as a part of a longer one.
fn has_word(text: &str, word: &str) -> bool {
    let letter = |c: char| c.is_alphanumeric() || c == '_';
    text.match_indices(word).any(|(at, _)| {
        let after = &text[at + word.len()..];
        let goes_on = word.ends_with(letter) && after.starts_with(letter);
        !text[..at].ends_with(letter) && !goes_on
    })
}

/// What git would commit of this tree: tracked files and new ones that are not ignored.
fn tree() -> Vec<File> {
    let mut git = Command::new("git");
    git.args(["ls-files", "-z", "--cached", "--others", "--exclude-standard"]);
    git.env_remove("GIT_DIR").env_remove("GIT_INDEX_FILE").env_remove("GIT_WORK_TREE");
    let paths: BTreeSet<String> = output(&mut git).split_terminator('\0').map(str::to_owned).collect();
    let files = paths.into_iter().filter_map(|path| {
        // Removed but not yet committed so, or not text: there is nothing to read.
        let text = std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join(&path)).ok()?;
        Some(File { path, text })
    });
    let files: Vec<File> = files.collect();
    assert!(files.iter().any(|file| file.path == "src/lib.rs"), "git lists no src/lib.rs");
    files
}

fn rust_files(folder: &str) -> Vec<File> {
    tree().into_iter().filter(|file| file.path.starts_with(folder) && file.is_rust()).collect()
}

fn output(command: &mut Command) -> String {
    let output = command.current_dir(env!("CARGO_MANIFEST_DIR")).output().expect("it runs");
    assert!(output.status.success(), "{command:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).expect("it answers in UTF-8")
}

#[track_caller]
fn none(breaches: impl Iterator<Item = String>) {
    let breaches: Vec<String> = breaches.collect();
    assert!(breaches.is_empty(), "{}", breaches.join("\n"));
}
