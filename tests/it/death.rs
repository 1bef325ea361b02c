//! Any death of guardian: kill -9 before every system call from its first look at the state to its last, at random
//! points of run after run until everything is given up, and two runs at once. Nothing outside a process changes
//! between two of its system calls, so these are all the points there are.
//!
//! `strace` makes the kills, so the program needs no hook for them. `GUARDIAN_DEATHS` is how many random deaths are
//! died (the default keeps a test run short; 20000 take some ten minutes) and `GUARDIAN_SEED` where their dice start:
//! `GUARDIAN_DEATHS=20000 GUARDIAN_SEED=7 cargo test --locked --test it death:: -- --ignored`.
//!
//! A kill cannot show a missing fsync, for the kernel survives it: `what_is_charged_is_on_the_disk_before_the_first_post`
//! reads the order off a trace instead.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Mutex;
use std::sync::mpsc;

use connector_guardian::decide::cause::Cause;
use connector_guardian::decide::history::Happened;
use connector_guardian::decide::ledger::Ledger;
use connector_guardian::decide::model::InstanceId;
use connector_guardian::decide::record::{Attempt, Episode, Record};
use connector_guardian::decide::time::Timestamp;
use connector_guardian::store::format;

use crate::sim::{Connect, Failure, Profile};
use crate::support::{Dice, Ended, Guardian, quick_folder, told as events};

const MAX_RESTART: u32 = 3;
/// They fail whatever is done, and are to be restarted.
const VICTIMS: [(&str, Option<u32>); 4] =
    [("orders", Some(0)), ("orders", Some(1)), ("orders", Some(2)), ("users", None)];
const KILLED: i32 = -9;
/// They change nothing outside the process, so that dying before one of them is dying before the next call.
const UNSEEN: [&str; 19] = [
    "brk",
    "epoll_wait",
    "fcntl",
    "futex",
    "getpeername",
    "getrandom",
    "getsockname",
    "getsockopt",
    "gettid",
    "madvise",
    "mmap",
    "mprotect",
    "munmap",
    "prctl",
    "rseq",
    "rt_sigaction",
    "rt_sigprocmask",
    "sched_getaffinity",
    "sigaltstack",
];

#[test]
#[ignore = "needs strace: run with --ignored"]
fn a_run_killed_before_any_system_call_leaves_a_state_that_the_next_run_can_use() {
    let mut places = Vec::new();
    for start in Start::ALL {
        let mut calls = BTreeMap::new();
        for point in points(start).into_iter().filter(|point| !UNSEEN.contains(&point.call.as_str())) {
            calls.entry(point.call).or_insert(point.nth);
        }
        places.extend(calls.into_iter().map(|(call, first)| (start, call, first)));
    }
    let places = Mutex::new(places.into_iter());
    let deaths = in_two_threads(|| {
        let mut deaths = 0;
        while let Some((start, call, first)) = next(&places) {
            for nth in first.. {
                let mut story = Story::new(start);
                let point = Point { call: call.clone(), nth };
                let ended = story.run_until(&point);
                if ended.code != KILLED {
                    ended.exits(0);
                    break;
                }
                deaths += 1;
                story.goes_on(&format!("{start:?}, {point:?}"));
            }
        }
        deaths
    });
    assert!(deaths > 250, "only {deaths} places to die at: the kills do not reach the run");
}

#[test]
#[ignore = "needs strace: run with --ignored"]
fn runs_killed_at_random_never_restart_more_than_the_limit() {
    let number = |name: &str, default: u64| {
        std::env::var(name)
            .map_or(default, |text| text.parse().unwrap_or_else(|_| panic!("{name} is a number")))
    };
    let (wanted, seed) = (number("GUARDIAN_DEATHS", 2000), number("GUARDIAN_SEED", 1));
    let all: Vec<(Start, Vec<Point>)> = Start::ALL.iter().map(|start| (*start, points(*start))).collect();
    let stories = Mutex::new((seed << 32.., 0_u64));
    in_two_threads(|| {
        loop {
            let number = {
                let mut stories = stories.lock().expect("no other thread has failed");
                if stories.1 >= wanted {
                    return 0;
                }
                stories.0.next().expect("numbers do not end")
            };
            let mut dice = Dice(number);
            let (start, points) = dice.pick(&all);
            let mut story = Story::new(*start);
            let deaths_at_most = dice.below(24);
            let mut died_at = Vec::new();
            while u64::from(story.deaths) < deaths_at_most && !story.is_exhausted() {
                let point = dice.pick(points);
                let ended = story.run_until(point);
                // What it leaves behind must not stop the next, even when that one is to die as well.
                assert!(
                    [KILLED, 0].contains(&ended.code),
                    "story {number}, {died_at:?}, {point:?}: {ended:#?}"
                );
                if ended.code == KILLED {
                    died_at.push(point.clone());
                }
                story.check(&format!("story {number} ({start:?}), {died_at:?}"));
            }
            story.is_told_to_its_end(&format!("story {number} ({start:?}), {died_at:?}"));
            stories.lock().expect("no other thread has failed").1 += u64::from(story.deaths);
        }
    });
}

#[test]
#[ignore = "needs strace: run with --ignored"]
fn what_is_charged_is_on_the_disk_before_the_first_post() {
    let story = Story::new(Start::Remembering);
    let trace = story.traced();
    let folder = story.state.parent().expect("the state is in a folder").display().to_string();
    let (state, temporary) = (story.state.display().to_string(), format!("{}.tmp", story.state.display()));
    let mut descriptors: BTreeMap<&str, &str> = BTreeMap::new();
    let mut steps: Vec<&str> = Vec::new();
    for Line { call, arguments, result } in &trace {
        let of = |path: &str| arguments.contains(&format!("\"{path}\""));
        let descriptor = arguments.split([',', ')']).next().unwrap_or_default();
        let step = match call.as_str() {
            "openat" if of(&temporary) => {
                assert!(arguments.contains("O_EXCL") && arguments.ends_with("0600"), "{arguments}");
                descriptors.insert(result, "temporary");
                "create"
            }
            "openat" => {
                descriptors.insert(result, if of(&folder) { "folder" } else { "" });
                continue;
            }
            "write" if descriptors.get(descriptor) == Some(&"temporary") => "write",
            "fsync" | "fdatasync" => match descriptors.get(descriptor) {
                Some(&"temporary") => "sync file",
                Some(&"folder") => "sync folder",
                _ => continue,
            },
            "rename" if of(&temporary) && of(&state) => "rename",
            "writev" | "sendto" | "write" | "sendmsg" if arguments.contains("\"POST ") => "post",
            _ => continue,
        };
        if steps.last() != Some(&step) {
            steps.push(step);
        }
    }
    let save = ["create", "write", "sync file", "rename", "sync folder"];
    assert_eq!(steps, [&save[..], &["post"], &save[..]].concat());
}

#[test]
fn runs_at_the_same_time_are_all_counted_and_never_overlap() {
    let connect = Connect::start(Profile::V3_9);
    connect.connector("orders").tasks(1);
    connect.fail_task("orders", 0, Failure::always());
    let guardian = Guardian::at(&connect.url()).env("MAX_RESTART", "unlimited").env("EXPONENTIAL_RATIO", "1");
    let mut worked = 0;
    for _ in 0..8 {
        let children: Vec<_> = (0..5).map(|_| guardian.start(&["run", "--once"])).collect();
        let codes: Vec<i32> = children.into_iter().map(|child| Ended::of(child).code).collect();
        assert!(codes.iter().all(|code| [0, 75].contains(code)) && codes.contains(&0), "{codes:?}");
        worked += codes.iter().filter(|code| **code == 0).count();
    }
    assert_eq!(connect.count_restarts_of("orders", Some(0)), worked);
    assert_eq!(guardian.attempts("orders", Some(0)), u64::try_from(worked).ok());
    assert_eq!(guardian.remembered().expect("a state")["run"], worked);
}

#[test]
fn a_killed_run_lets_go_of_the_state_and_its_attempt_counts() {
    let connect = Connect::start(Profile::V3_9);
    connect.connector("orders").tasks(1);
    connect.fail_task("orders", 0, Failure::always());
    let guardian = Guardian::at(&connect.url()).env("EXPONENTIAL_RATIO", "1");
    let (arrived, posted) = mpsc::channel();
    connect.on_any_restart().times(1).runs(move |_| arrived.send(()).expect("the test waits"));
    let mut child = guardian.start(&["run", "--once"]);
    posted.recv().expect("the restart arrives");
    child.kill().expect("it still runs, or has just ended");
    Ended::of(child);
    connect.wait_for("the restart", |connect| connect.count_restarts_of("orders", Some(0)) == 1);
    assert_eq!(guardian.attempts("orders", Some(0)), Some(1));

    let (next, code) = guardian.run_json();
    assert_eq!((code, next["run"].as_u64()), (0, Some(2)), "{next:#}");
    assert_eq!(guardian.attempts("orders", Some(0)), Some(2));
}

#[test]
fn a_stale_temporary_file_is_harmless_whatever_it_is() {
    let connect = Connect::start(Profile::V3_9);
    connect.connector("orders").tasks(1);
    connect.fail_task("orders", 0, Failure::always());
    let guardian = Guardian::at(&connect.url()).env("EXPONENTIAL_RATIO", "1");
    let temporary = guardian.folder().join("state.json.tmp");
    let precious = guardian.folder().join("precious");
    fs::write(&precious, "precious").expect("a file");
    let leave: [&dyn Fn() -> std::io::Result<()>; 3] = [
        &|| fs::write(&temporary, "{\"version\":1,\"clu"),
        &|| std::os::unix::fs::symlink(&precious, &temporary),
        &|| fs::hard_link(&precious, &temporary),
    ];
    for (runs_before, leave) in leave.iter().enumerate() {
        leave().expect("something is left behind");
        guardian.run().exits(0);
        assert!(!temporary.exists());
        assert_eq!(guardian.attempts("orders", Some(0)), u64::try_from(runs_before + 1).ok());
        assert_eq!(fs::read_to_string(&precious).expect("it is still there"), "precious");
    }
}

/// Kills this command at each of its calls in turn, and lets what it left be checked; `true` is that of one that lived.
fn at_every_call(arguments: &[&str], check: impl Fn(&Story, &Ledger, bool, &str)) {
    let fresh = || Story::new(Start::Remembering);
    let calls: BTreeSet<String> = points_of(&fresh(), arguments).into_iter().map(|it| it.call).collect();
    let mut deaths = 0;
    for call in
        calls.iter().filter(|call| !["mmap", "munmap", "brk", "close", "fcntl"].contains(&call.as_str()))
    {
        for nth in 1.. {
            let story = fresh();
            let ended = story.killed_at(&Point { call: call.clone(), nth }, arguments);
            let lived = ended.code != KILLED;
            check(&story, &story.load(), lived, &format!("{call} {nth}"));
            if lived {
                ended.exits(0);
                break;
            }
            deaths += 1;
        }
    }
    assert!(deaths > 20, "only {deaths} places to die at");
}

#[test]
#[ignore = "needs strace: run with --ignored"]
fn a_killed_reset_forgets_everything_or_nothing() {
    at_every_call(&["reset", "parked"], |story, ledger, lived, told| {
        let left = ledger.records.of_connector("parked").len();
        assert!([0, PARKED as usize].contains(&left), "{told}: {left} are left");
        let resets = events(ledger, Happened::Reset, &InstanceId::task("parked", 0)).count();
        assert_eq!(resets, usize::from(left == 0), "{told}");
        let others = |ledger: &Ledger| {
            let others =
                ledger.records.clone().into_iter().filter(|record| &*record.id.connector != "parked");
            others.collect::<Vec<_>>()
        };
        assert_eq!(others(ledger), others(&story.before), "{told}");
        assert!(left == 0 || !lived, "{told}");
    });
}

#[test]
#[ignore = "needs strace: run with --ignored"]
fn a_killed_hold_holds_everything_or_nothing() {
    at_every_call(&["hold", "orders", "us*", "--for", "2h"], |story, ledger, lived, told| {
        let held = ledger.holds.len();
        assert!([0, 2].contains(&held) && (held == 2 || !lived), "{told}: {held} are held");
        let events = ledger.history.entries().iter().filter(|entry| entry.event == Happened::Held).count();
        assert_eq!(events, held, "{told}");
        assert_eq!(ledger.records, story.before.records, "{told}");
    });
}

// === One story: a cluster in trouble, a state, and runs that die ===

/// How a story begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Start {
    /// A state with other records, on a Connect where each task has a call of its own.
    Remembering,
    /// The same, where one call restarts all that failed.
    Together,
    /// No state, and no folder for it.
    Empty,
    /// A state that cannot be understood.
    Corrupt,
}

impl Start {
    const ALL: [Self; 4] = [Self::Remembering, Self::Together, Self::Empty, Self::Corrupt];

    fn remembers(self) -> bool {
        matches!(self, Self::Remembering | Self::Together)
    }
}

const CORRUPT: &str = "{\"version\":1,\"cluster\":\"test\",\"run\":40,\"inst";
/// So many tasks of a paused connector have records: enough for the state to need more than one `write`.
const PARKED: u32 = 50;

struct Story {
    connect: Connect,
    guardian: Guardian,
    start: Start,
    state: PathBuf,
    folder: tempfile::TempDir,
    before: Ledger,
    deaths: u32,
    known: BTreeMap<InstanceId, u32>,
}

impl Story {
    fn new(start: Start) -> Self {
        let connect = Connect::start(if start == Start::Together { Profile::V3_9 } else { Profile::V2_8 });
        connect.connector("orders").tasks(4);
        for task in 0..3 {
            connect.fail_task("orders", task, Failure::always());
        }
        connect.connector("users").tasks(1);
        connect.fail_connector("users", Failure::always());
        let folder = quick_folder();
        let state = folder.path().join("its own/state.json");
        let guardian = Guardian::at(&connect.url())
            .env("GUARDIAN_STATE", &state.display().to_string())
            .env("MAX_RESTART", &MAX_RESTART.to_string())
            .env("EXPONENTIAL_RATIO", "1");
        let mut before = Ledger::default();
        if start.remembers() {
            before = remember(&connect);
            let mut text = Vec::new();
            format::write(&mut text, "test", &before, None).expect("memory takes everything");
            write_state(&state, &text);
        } else if start == Start::Corrupt {
            write_state(&state, CORRUPT.as_bytes());
        }
        Self { connect, guardian, start, state, folder, before, deaths: 0, known: BTreeMap::new() }
    }

    /// A run that is killed at this point, if it comes there.
    fn run_until(&mut self, point: &Point) -> Ended {
        let ended = self.killed_at(point, &["run", "--once"]);
        self.deaths += u32::from(ended.code == KILLED);
        ended
    }

    fn killed_at(&self, point: &Point, arguments: &[&str]) -> Ended {
        let Point { call, nth } = point;
        let inject = format!("inject={call}:signal=KILL:when={nth}");
        let options = ["-f", "-qq", "-o", "/dev/null", "-e", &format!("trace={call}"), "-e", &inject, "--"];
        Ended::of(strace(&options, &self.guardian.command(arguments)).spawn().expect("strace starts"))
    }

    /// What an undisturbed run does, call by call.
    fn traced(&self) -> Vec<Line> {
        trace(&self.guardian, self.folder.path(), &["run", "--once"])
    }

    fn load(&self) -> Ledger {
        let loaded = crate::store::look(&self.state);
        let loaded = loaded.unwrap_or_else(|trouble| panic!("the state does not load: {trouble:?}"));
        assert_eq!(loaded.warning, None);
        loaded.ledger
    }

    /// What must be true after every death.
    fn check(&mut self, told: &str) {
        if self.start == Start::Corrupt {
            let kept = self.files().into_iter().filter(|(_, text)| text == CORRUPT.as_bytes()).count();
            assert_eq!(kept, 1, "{told}: what could not be understood is there once");
            if fs::read(&self.state).is_ok_and(|text| text == CORRUPT.as_bytes()) {
                return;
            }
        }
        let ledger = self.load();
        let victims: BTreeSet<InstanceId> = VICTIMS
            .iter()
            .map(|(name, task)| InstanceId { connector: (*name).into(), task: *task })
            .collect();
        let mut others = ledger.records.clone();
        others.retain(|record| !victims.contains(&record.id));
        // That what was given up is still failed may be remembered.
        for episode in others.iter_mut().filter_map(|record| record.episode.as_mut()) {
            episode.last_failed_run = episode.first_failed_run;
        }
        assert_eq!(others, self.before.records, "{told}: the other records");
        for id in &victims {
            let attempts = ledger.episode(id).map_or(0, |episode| episode.attempts);
            // In this order: a request that is still on its way must not be missed by the second.
            let reached = self.reached(id);
            assert!(reached <= attempts, "{told}: {id} was restarted {reached} times, known are {attempts}");
            assert!(attempts <= MAX_RESTART, "{told}: {id} has {attempts} attempts");
            // What happened is told once, whatever died in between, and nothing that did not happen.
            let begun = usize::from(ledger.episode(id).is_some());
            assert_eq!(events(&ledger, Happened::Failed, id).count(), begun, "{told}: {id} has failed");
            let restarts = events(&ledger, Happened::Restarted, id).count();
            assert_eq!(restarts, attempts as usize, "{told}: the restarts of {id}");
            let gave_up = usize::from(ledger.episode(id).is_some_and(|episode| episode.gave_up));
            assert_eq!(events(&ledger, Happened::GaveUp, id).count(), gave_up, "{told}: {id} given up");
            let known = self.known.insert(id.clone(), attempts).unwrap_or(0);
            assert!(
                [known, known + 1].contains(&attempts),
                "{told}: {id} from {known} to {attempts} in one run"
            );
        }
    }

    /// Whether all attempts are used up.
    fn is_exhausted(&self) -> bool {
        let Ok(loaded) = crate::store::look(&self.state) else { return false };
        let attempts = |id: &InstanceId| loaded.ledger.episode(id).map_or(0, |episode| episode.attempts);
        victims().iter().all(|id| attempts(id) == MAX_RESTART)
    }

    fn reached(&self, id: &InstanceId) -> u32 {
        u32::try_from(self.connect.count_restarts_of(&id.connector, id.task)).expect("few")
    }

    /// The next run works, and keeps all promises.
    fn goes_on(&mut self, told: &str) {
        self.check(told);
        self.guardian.run().exits(0);
        self.check(told);
        let names: Vec<String> = self.files().into_keys().filter(|name| name.ends_with(".tmp")).collect();
        assert_eq!(names, [""; 0], "{told}");
    }

    /// Undisturbed runs until all is given up: that takes as many as there may be restarts, and one.
    fn is_told_to_its_end(&mut self, told: &str) {
        for _ in 0..=MAX_RESTART {
            if !self.is_exhausted() {
                self.goes_on(told);
            }
        }
        let (document, code) = self.guardian.run_json();
        assert_eq!(code, 0, "{told}: {document:#}");
        let given_up = VICTIMS.len()
            + self.before.records.iter().filter(|record| &*record.id.connector != "parked").count();
        assert_eq!(document["summary"]["gave_up"], given_up, "{told}: {document:#}");
        self.check(told);
        // Before the last restart of its tasks a connector's own instance, once in their episode, whoever dies when.
        let unfailed = self.connect.restarts_of_unfailed();
        let once_each: BTreeSet<&String> = unfailed.iter().collect();
        assert!(
            once_each.len() == unfailed.len() && unfailed.iter().all(|it| !it.contains('/')),
            "{told}: {unfailed:?}"
        );
        let mut all = 0;
        for id in victims() {
            let reached = self.reached(&id);
            // A death costs at most the one attempt that it left in the air.
            assert!(reached + self.deaths >= MAX_RESTART, "{told}: {id} only {reached} times");
            all += reached;
        }
        let executed = u32::try_from(self.connect.executed().len() - unfailed.len()).expect("few");
        assert_eq!(executed, all, "{told}: restarts of others");
    }

    /// The files beside the state and itself.
    fn files(&self) -> BTreeMap<String, Vec<u8>> {
        let Ok(entries) = fs::read_dir(self.state.parent().expect("a folder")) else {
            return BTreeMap::new();
        };
        let file = |entry: fs::DirEntry| {
            let text = fs::read(entry.path()).expect("it can be read");
            (entry.file_name().to_string_lossy().into_owned(), text)
        };
        entries.map(|entry| file(entry.expect("it can be listed"))).collect()
    }
}

fn victims() -> BTreeSet<InstanceId> {
    VICTIMS.iter().map(|(name, task)| InstanceId { connector: (*name).into(), task: *task }).collect()
}

fn write_state(path: &Path, text: &[u8]) {
    fs::create_dir_all(path.parent().expect("a folder")).expect("it can be made");
    fs::write(path, text).expect("it can be written");
}

/// Others that fail or have failed, all of which a run must leave as they are: a task that was given up, on the
/// connector of victims and on another, and many of a connector that is paused.
fn remember(connect: &Connect) -> Ledger {
    connect.fail_task("orders", 3, Failure::always());
    connect.connector("given-up").tasks(1);
    connect.fail_task("given-up", 0, Failure::always());
    connect.connector("parked").tasks(PARKED);
    connect.pause("parked");
    let mut ledger = Ledger { run: 40, ..Ledger::default() };
    let mut add = |id: InstanceId, attempts: u32| {
        let at = Timestamp::from_millis(1_700_000_000_000);
        let record = Record {
            episode: Some(Episode {
                attempts,
                last_attempt: Some(Attempt { run: 39, at, answered: at }),
                gave_up: attempts == MAX_RESTART,
                cause: Some(
                    Cause::of("java.net.ConnectException: Connection refused (db1:5432)").unwrap().into(),
                ),
                worker: Some(format!("127.0.0.1:{}", connect.port()).into()),
                ..Episode::starting(30, at)
            }),
            ..Record::new(id)
        };
        ledger.records.insert(record);
    };
    add(InstanceId::task("orders", 3), MAX_RESTART);
    add(InstanceId::task("given-up", 0), MAX_RESTART);
    (0..PARKED).for_each(|task| add(InstanceId::task("parked", task), 2));
    ledger
}

// === Dying ===

/// Before the n-th call of this name.
#[derive(Clone, Debug)]
struct Point {
    call: String,
    nth: u32,
}

/// One system call of a trace.
struct Line {
    call: String,
    arguments: String,
    result: String,
}

/// Where a run can die, from its first look at the state on.
fn points(start: Start) -> Vec<Point> {
    points_of(&Story::new(start), &["run", "--once"])
}

fn points_of(story: &Story, arguments: &[&str]) -> Vec<Point> {
    let mut counts: BTreeMap<String, u32> = BTreeMap::new();
    let mut points = Vec::new();
    let state = story.state.display().to_string();
    for Line { call, arguments, .. } in trace(&story.guardian, story.folder.path(), arguments) {
        let nth = counts.entry(call.clone()).or_default();
        *nth += 1;
        if !points.is_empty() || arguments.contains(&state) {
            points.push(Point { call, nth: *nth });
        }
    }
    points
}

fn trace(guardian: &Guardian, folder: &Path, arguments: &[&str]) -> Vec<Line> {
    let file = folder.join("trace");
    let options = ["-f", "-qq", "-o", &file.display().to_string(), "-s", "64", "-e", "signal=none", "--"];
    Ended::of(strace(&options, &guardian.command(arguments)).spawn().expect("strace starts")).exits(0);
    let text = fs::read_to_string(&file).expect("a trace");
    fs::remove_file(&file).expect("it was there");
    // A call during which another thread made one is in two parts: `openat(... <unfinished ...>`, `<... openat resumed>`.
    let mut calls: Vec<String> = Vec::new();
    let mut unfinished: BTreeMap<&str, usize> = BTreeMap::new();
    for (thread, call) in text.lines().filter_map(|line| line.split_once(char::is_whitespace)) {
        let call = call.trim_start();
        if let Some((_, rest)) = call.strip_prefix("<... ").and_then(|call| call.split_once(" resumed>")) {
            if let Some(begun) = unfinished.remove(thread) {
                calls[begun].push_str(rest);
            }
            continue;
        }
        if call.ends_with(" <unfinished ...>") {
            unfinished.insert(thread, calls.len());
        }
        calls.push(call.trim_end_matches(" <unfinished ...>").to_owned());
    }
    let line = |call: &String| {
        let (call, rest) = call.split_once('(')?;
        let (arguments, result) = rest.rsplit_once(" = ").unwrap_or((rest, ""));
        let arguments = arguments.trim_end().trim_end_matches(')').to_owned();
        let result = result.split(' ').next().unwrap_or_default().to_owned();
        // `+++ exited with 0 +++` is no call, and execve came before there was a guardian.
        (call.chars().all(|c| c.is_ascii_alphanumeric() || c == '_') && call != "execve").then(|| Line {
            call: call.to_owned(),
            arguments,
            result,
        })
    };
    calls.iter().filter_map(line).collect()
}

/// `command` under strace; fails with the remedy where that cannot be had.
pub(crate) fn strace(options: &[&str], command: &Command) -> Command {
    static WORKS: std::sync::OnceLock<Result<(), String>> = std::sync::OnceLock::new();
    let works = WORKS.get_or_init(|| {
        let probe = Command::new("strace").args(["-qq", "-o", "/dev/null", "--", "true"]).output();
        match probe {
            Ok(output) if output.status.success() => Ok(()),
            Ok(output) => Err(format!(
                "strace may not trace a process here (in a container: --cap-add SYS_PTRACE): {}",
                String::from_utf8_lossy(&output.stderr)
            )),
            Err(error) => Err(format!("strace is missing ({error}): apt-get install strace, or its like")),
        }
    });
    if let Err(remedy) = works {
        panic!("{remedy}");
    }
    wrapped("strace", options, command)
}

/// `program options... command arguments...`, in the environment of the command.
pub(crate) fn wrapped(program: &str, options: &[&str], command: &Command) -> Command {
    let mut wrapped = Command::new(program);
    wrapped.args(options).arg(command.get_program()).args(command.get_args()).env_clear();
    wrapped.envs(command.get_envs().filter_map(|(name, value)| Some((name, value?))));
    wrapped.env("PATH", std::env::var_os("PATH").unwrap_or_default());
    wrapped.stdin(std::process::Stdio::null());
    wrapped.stdout(std::process::Stdio::piped()).stderr(std::process::Stdio::piped());
    wrapped
}

/// Runs the same in two threads and adds up what they return.
fn in_two_threads(work: impl Fn() -> usize + Sync) -> usize {
    std::thread::scope(|scope| {
        let threads = [scope.spawn(&work), scope.spawn(&work)];
        threads
            .into_iter()
            .map(|thread| thread.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic)))
            .sum()
    })
}

fn next<T>(items: &Mutex<impl Iterator<Item = T>>) -> Option<T> {
    items.lock().expect("no other thread has failed").next()
}
