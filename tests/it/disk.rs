//! A state that cannot be read or written because of a disk, a mount, an owner or a person. Each test asserts that
//! nothing is restarted that could not be written down before, that the old state is still there, that the message
//! names the reason and the remedy, and that the next run works once the trouble is over.
//!
//! Mounts are made in a mount namespace of the one process (`unshare`), as root or as a user that is root in its own
//! user namespace. Where neither is allowed, and where only root can play somebody else, the test says SKIPPED and why;
//! `every_error_of_every_call_on_the_state` shows the same errors there too, by `strace`.

use std::collections::BTreeMap;
use std::fs;
use std::io::Write;
use std::os::unix::fs::{FileTypeExt, MetadataExt, PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::process::{Child, Command};

use serde_json::Value;

use crate::death::{strace, wrapped};
use crate::sim::{Connect, Failure, Profile};
use crate::support::{Ended, Guardian};

/// A Connect with one task that fails for ever, and guardian.
struct Scene {
    connect: Connect,
    guardian: Guardian,
}

impl Scene {
    fn new() -> Self {
        let connect = Connect::start(Profile::V3_9);
        connect.connector("orders").tasks(1);
        connect.fail_task("orders", 0, Failure::always());
        let guardian = Guardian::at(&connect.url())
            .env("EXPONENTIAL_RATIO", "1")
            .env("MAX_RESTART", "unlimited")
            .env("GUARDIAN_OUTPUT", "json");
        Self { connect, guardian }
    }

    /// The same with a state of one attempt and about 15 kB, so that writing it takes more than one system call.
    fn remembering() -> Self {
        let scene = Self::new();
        scene.connect.connector("parked").tasks(60);
        scene.connect.fail_all_tasks("parked", &Failure::always());
        scene.works();
        scene.connect.take_restarts();
        scene.connect.pause("parked");
        scene
    }

    fn state(&self) -> PathBuf {
        self.guardian.state()
    }

    fn bytes(&self) -> Option<Vec<u8>> {
        fs::read(self.state()).ok()
    }

    fn attempts(&self) -> u64 {
        self.guardian.attempts("orders", Some(0)).unwrap_or(0)
    }

    fn reached(&self) -> u64 {
        self.connect.count_restarts_of("orders", Some(0)) as u64
    }

    fn command(&self) -> Command {
        self.guardian.command(&["run", "--once"])
    }

    /// Asserts that the run fails because of its state, sends nothing, and says these in its message or hint.
    fn is_refused(&self, child: Child, says: &[&str]) {
        let before = self.reached();
        refused(Ended::of(child), 1, "state", says);
        assert_eq!(self.reached(), before, "nothing may be sent that was not written down");
        assert_eq!(self.connect.take_restarts(), [""; 0]);
    }

    fn works(&self) -> Value {
        let (document, code) = self.guardian.run_json();
        assert_eq!(code, 0, "{document:#}");
        assert!(self.connect.take_restarts().contains(&"orders/0".to_owned()));
        document
    }

    /// The names in the state's folder.
    fn names(&self) -> Vec<String> {
        let entries = fs::read_dir(self.guardian.folder()).expect("the folder");
        let mut names: Vec<String> = entries
            .map(|entry| entry.expect("an entry").file_name().to_string_lossy().into_owned())
            .collect();
        names.sort();
        names
    }
}

fn refused(ended: Ended, code: i32, kind: &str, says: &[&str]) {
    let ended = ended.exits(code);
    let document: Value =
        serde_json::from_str(&ended.stdout).unwrap_or_else(|error| panic!("{error}: {ended:#?}"));
    assert_eq!(document["error"]["kind"], kind, "{document:#}");
    let (message, hint) = (&document["error"]["message"], &document["error"]["hint"]);
    for text in says {
        let said = [message, hint].iter().any(|part| part.as_str().is_some_and(|part| part.contains(text)));
        assert!(said, "{text:?} is not said: {document:#}");
    }
    assert!(hint.is_string(), "no remedy: {document:#}");
}

fn spawn(mut command: Command) -> Child {
    command.spawn().expect("it starts")
}

// === Full ===

#[test]
fn on_a_full_disk_nothing_is_sent_and_the_old_state_stays() {
    let Some(mounting) = mounting() else { return };
    let scene = Scene::remembering();
    let before = scene.bytes().expect("a state");
    let mountpoint = scene.guardian.folder().join("small");
    fs::create_dir(&mountpoint).expect("a folder");
    // Room for the state that is there, the lock, and half of another state.
    let script = r#"mount -t tmpfs -o size=24k none "$F/small" && cp "$F/state.json" "$F/small/" && : >"$F/small/state.json.lock"
        (head -c 100000 /dev/zero >"$F/small/filler") 2>/dev/null
        "$@"; code=$?
        cp "$F/small/state.json" "$F/after.json"; ls "$F/small" >"$F/names"; exit $code"#;
    let mut command = scene.command();
    command.env("GUARDIAN_STATE", mountpoint.join("state.json")).env("F", scene.guardian.folder());
    scene.is_refused(
        spawn(mounting.around(script, &command)),
        &["No space left", "make room", "old state is intact"],
    );
    let after = |name: &str| fs::read(scene.guardian.folder().join(name)).expect("the script left it");
    assert_eq!(after("after.json"), before);
    assert_eq!(String::from_utf8_lossy(&after("names")), "filler\nstate.json\nstate.json.lock\n");
    scene.works();
}

#[test]
fn a_limit_on_file_sizes_is_a_full_disk_or_a_death_in_mid_write() {
    let scene = Scene::remembering();
    let before = scene.bytes().expect("a state");
    let limited = |script: &str| wrapped("sh", &["-c", script, "sh"], &scene.command());
    scene.is_refused(
        spawn(limited("trap '' XFSZ; ulimit -f 4; exec \"$@\"")),
        &["cannot be written", "File too large"],
    );
    assert_eq!(scene.bytes().as_ref(), Some(&before));
    assert_eq!(scene.names(), ["state.json", "state.json.lock"]);

    const XFSZ: i32 = 25;
    Ended::of(spawn(limited("ulimit -c 0; ulimit -f 4; exec \"$@\""))).exits(-XFSZ);
    assert_eq!(scene.bytes(), Some(before));
    assert_eq!(scene.names(), ["state.json", "state.json.lock", "state.json.tmp"], "half a state was left");
    assert_eq!(scene.connect.take_restarts(), [""; 0]);
    scene.works();
    assert_eq!(scene.names(), ["state.json", "state.json.lock"]);
    assert_eq!(scene.attempts(), 2);
}

// === Not allowed ===

#[test]
fn a_read_only_folder_is_found_out_before_anything_is_sent() {
    let Some(mounting) = mounting() else { return };
    for scene in [Scene::new(), Scene::remembering()] {
        let before = scene.bytes();
        let read_only = |arguments: &[&str]| {
            let mut command = scene.guardian.command(arguments);
            command.env("F", scene.guardian.folder());
            let script = r#"mount --bind "$F" "$F" && mount -o remount,bind,ro "$F" && exec "$@""#;
            spawn(mounting.around(script, &command))
        };
        scene.is_refused(read_only(&["run", "--once"]), &["Read-only file system", "GUARDIAN_STATE"]);
        assert_eq!(scene.bytes(), before);
        // Looking needs no writing.
        Ended::of(read_only(&["status"])).exits(0);
        Ended::of(read_only(&["run", "--once", "--dry-run"])).exits(0);
        scene.works();
    }
}

#[test]
fn a_state_of_another_user_is_refused_and_left_untouched() {
    let Some(nobody) = somebody_else() else { return };
    let scene = Scene::remembering();
    // The program must be where somebody else may run it.
    let folder = tempfile::tempdir().expect("a folder");
    let program = folder.path().join("guardian");
    let command = scene.command();
    // By another process: a file that this one has open for writing cannot be run while some other test forks (ETXTBSY).
    let copied = Command::new("cp").arg(command.get_program()).arg(&program).status();
    assert!(copied.expect("cp").success());
    let mode = |path: &Path, mode: u32| {
        fs::set_permissions(path, fs::Permissions::from_mode(mode)).expect("it is ours");
    };
    mode(folder.path(), 0o755);
    let as_nobody = |arguments: &[&str]| {
        let command = scene.guardian.command(arguments);
        let mut moved = Command::new(&program);
        moved.args(command.get_args()).envs(command.get_envs().filter_map(|(k, v)| Some((k, v?))));
        spawn(wrapped("setpriv", &nobody, &moved))
    };
    let run = ["run", "--once"];
    let (state, lock) = (scene.state(), scene.guardian.folder().join("state.json.lock"));
    let before = scene.bytes();

    // The folder cannot even be entered.
    scene.is_refused(as_nobody(&run), &["Permission denied", "state.json"]);
    // Folder and state can be read but not written.
    mode(scene.guardian.folder(), 0o755);
    mode(&state, 0o644);
    scene.is_refused(as_nobody(&run), &["Permission denied", "state.json"]);
    Ended::of(as_nobody(&["status"])).exits(0);
    // The folder can be written, state and lock belong to us, as after `sudo guardian reset`.
    mode(scene.guardian.folder(), 0o777);
    scene.is_refused(as_nobody(&run), &["Permission denied", "state.json.lock", "another user"]);
    mode(&lock, 0o666);
    mode(&state, 0o600);
    scene.is_refused(as_nobody(&run), &["cannot be read", "Permission denied", "state.json"]);
    assert_eq!(scene.bytes(), before);
    // The folder is sticky: everyone may write, and nobody may replace the file of another user.
    mode(&state, 0o644);
    mode(scene.guardian.folder(), 0o1777);
    scene.is_refused(as_nobody(&run), &["Operation not permitted", "state.json"]);
    assert_eq!(scene.bytes(), before);
    assert_eq!(scene.names(), ["state.json", "state.json.lock"]);
    scene.works();
    assert_eq!(fs::metadata(&state).expect("a state").mode() & 0o777, 0o600, "private again");
}

// === Not a file ===

#[test]
fn a_state_that_is_not_a_file_is_refused_and_left_untouched() {
    let scene = Scene::new();
    fs::create_dir(scene.state()).expect("a folder");
    scene.is_refused(spawn(scene.command()), &["is a folder", "must name a file in it"]);
    fs::remove_dir(scene.state()).expect("it is empty");

    assert!(Command::new("mkfifo").arg(scene.state()).status().expect("mkfifo").success());
    scene.is_refused(spawn(scene.command()), &["is not a file"]);
    assert!(fs::symlink_metadata(scene.state()).expect("it is there").file_type().is_fifo());
    refused(Ended::of(spawn(scene.guardian.command(&["status"]))), 1, "state", &["is not a file"]);
    fs::remove_file(scene.state()).expect("it is there");

    // A device must not be renamed or replaced either. The link keeps /dev/full safe when this fails as root.
    let device = scene.guardian.folder().join("device");
    symlink("/dev/full", &device).expect("a link");
    let mut command = scene.command();
    command.env("GUARDIAN_STATE", &device);
    scene.is_refused(spawn(command), &["is not a file"]);
    assert!(fs::metadata("/dev/full").expect("it is there").file_type().is_char_device());

    symlink("state.json", scene.state()).expect("a link to itself");
    scene.is_refused(spawn(scene.command()), &["cannot be", "state.json"]);
    fs::remove_file(scene.state()).expect("it is there");

    // A folder stands where the temporary file is to be.
    let temporary = scene.guardian.folder().join("state.json.tmp");
    fs::create_dir(&temporary).expect("a folder");
    scene.is_refused(spawn(scene.command()), &["cannot be written", "state.json"]);
    fs::remove_dir(&temporary).expect("it is empty");
    scene.works();
}

#[test]
fn a_single_file_that_is_mounted_is_refused_with_the_remedy() {
    let Some(mounting) = mounting() else { return };
    let mounted = |scene: &Scene| {
        let mut command = scene.command();
        command.env("F", scene.guardian.folder());
        let script = r#"mount --bind "$F/state.json" "$F/state.json" && exec "$@""#;
        spawn(mounting.around(script, &command))
    };
    let scene = Scene::remembering();
    let before = scene.bytes();
    scene.is_refused(mounted(&scene), &["cannot be written", "mount the folder"]);
    assert_eq!(scene.bytes(), before);
    assert_eq!(scene.names(), ["state.json", "state.json.lock"]);
    scene.works();

    // Docker mounts an empty file, in which nothing is remembered yet. One that cannot be understood cannot be set aside.
    for (text, says) in [("", "cannot be written"), ("[", "nor set aside")] {
        let scene = Scene::new();
        fs::write(scene.state(), text).expect("a file");
        scene.is_refused(mounted(&scene), &[says, "mount the folder"]);
        assert_eq!(scene.bytes(), Some(text.into()));
    }
}

/// `touch` makes one, and so does what prepares a file for a user who may not create it.
#[test]
fn a_state_of_no_bytes_is_an_empty_one() {
    let scene = Scene::new();
    fs::write(scene.state(), "").expect("a file");
    for command in [&["status"][..], &["run", "--once", "--dry-run"], &["reset", "--all"]] {
        let (document, code) = scene.guardian.json(command);
        assert_eq!((code, &document["error"]), (0, &Value::Null), "{command:?}: {document:#}");
        assert_eq!(scene.bytes(), Some(Vec::new()), "{command:?}");
    }
    let ended = scene.guardian.with(&["status"]).exits(0);
    assert!(ended.stderr.contains("INFO the state") && !ended.stderr.contains("ERROR"), "{ended:?}");
    let document = scene.works();
    assert_eq!((&document["warnings"], scene.attempts()), (&Value::Array(Vec::new()), 1));
    assert_eq!(scene.names(), ["state.json", "state.json.lock"], "nothing was set aside");
}

// === Damaged ===

#[test]
fn a_damaged_state_is_read_set_aside_or_refused_wherever_the_damage_is() {
    let scene = Scene::new();
    scene.works();
    let good = scene.bytes().expect("a state");
    let cuts = (0..good.len() - 1).step_by(13).map(|at| good[..at].to_vec());
    let flips = (0..good.len()).step_by(7).map(|at| {
        let mut bytes = good.clone();
        bytes[at] ^= 1 << (at % 8);
        bytes
    });
    let replaced = |from: &str, to: &str| String::from_utf8_lossy(&good).replacen(from, to, 1).into_bytes();
    let known = [replaced("\"version\":1", "\"version\":3"), replaced("\"test\"", "\"tesu\"")];
    let mut seen: BTreeMap<&str, usize> = BTreeMap::new();
    for damaged in cuts.chain(flips).chain(known) {
        fs::write(scene.state(), &damaged).expect("the state");
        let shown = String::from_utf8_lossy(&damaged).into_owned();
        let (document, code) = scene.guardian.run_json();
        let aside: Vec<String> =
            scene.names().into_iter().filter(|name| name.contains(".corrupt-")).collect();
        let what = match (code, aside.as_slice()) {
            (0, []) => "read",
            (0, [aside]) => {
                let aside = scene.guardian.folder().join(aside);
                assert_eq!(fs::read(&aside).expect("it is kept"), damaged);
                assert!(
                    document["warnings"][0].as_str().is_some_and(|text| text.contains(".corrupt-")),
                    "{shown}"
                );
                // The attempts of the lost state do not count.
                assert_eq!((document["run"].as_u64(), scene.attempts()), (Some(1), 1), "{shown}");
                fs::remove_file(aside).expect("it is there");
                "set aside"
            }
            (1 | 2, []) => {
                assert!(
                    ["state", "usage"].contains(&document["error"]["kind"].as_str().unwrap_or("")),
                    "{document:#}"
                );
                assert_eq!(scene.bytes().as_ref(), Some(&damaged), "it is refused, and untouched");
                "refused"
            }
            _ => panic!("exit {code}, {aside:?} for {shown}"),
        };
        *seen.entry(what).or_default() += 1;
    }
    assert!(seen.len() == 3 && seen["set aside"] > 50, "{seen:?}");
}

// === Every error of every call ===

#[test]
#[ignore = "needs strace: run with --ignored"]
fn every_error_of_every_call_on_the_state() {
    let cases = [
        ("openat", "EACCES"),
        ("openat", "EMFILE"),
        ("openat", "EROFS"),
        ("read", "EIO"),
        ("write", "ENOSPC"),
        ("write", "EIO"),
        ("fsync", "EIO"),
        ("fsync", "EDQUOT"),
        ("rename", "EBUSY"),
        ("rename", "EXDEV"),
        ("unlink", "EPERM"),
    ];
    for (call, error) in cases {
        let mut hits = 0;
        for nth in 1.. {
            let scene = Scene::remembering();
            let before = scene.attempts();
            let trace = scene.guardian.folder().join("trace");
            let paths = ["", ".tmp", ".lock"].map(|ending| format!("{}{ending}", scene.state().display()));
            let folder = scene.guardian.folder().display().to_string();
            let mut options = vec!["-f", "-qq", "-o", trace.to_str().expect("text"), "-P", &folder];
            paths.iter().for_each(|path| options.extend(["-P", path]));
            let trace_these = format!("trace={call}");
            let inject = format!("inject={call}:error={error}:when={nth}");
            options.extend(["-e", &trace_these, "-e", &inject, "--"]);
            let ended = Ended::of(spawn(strace(&options, &scene.command())));
            let told = format!("{call} {nth} {error}: {ended:#?}");
            let injected = fs::read_to_string(&trace).expect("a trace").contains("(INJECTED)");
            if !injected {
                ended.exits(0);
                break;
            }
            hits += 1;
            let document: Value = serde_json::from_str(&ended.stdout).expect("a document");
            assert_eq!((ended.code, &document["error"]["kind"]), (1, &Value::from("state")), "{told}");
            assert!(document["error"]["hint"].is_string(), "{told}");
            let sent = scene.connect.take_restarts().len() as u64;
            assert!(sent <= 1 && scene.reached() == before + sent, "{told}");
            assert!([before + sent, before + 1].contains(&scene.attempts()), "{told}");
            assert!(!scene.names().contains(&"state.json.tmp".to_owned()) || call == "unlink", "{told}");
            scene.works();
        }
        assert!(hits > 0, "no {call} was hit");
    }
}

#[test]
#[ignore = "needs strace: run with --ignored"]
fn a_run_goes_on_without_locks_and_without_a_synced_folder() {
    for (inject, said) in [
        ("flock:error=ENOLCK", true),
        // CIFS before Linux 4.17, gocryptfs#587, FUSE without fsyncdir: a charge that failed cost an attempt, and sent nothing.
        ("fsync:error=EINVAL:when=2+2", false),
        ("fsync:error=EOPNOTSUPP:when=2+2", false),
        ("fsync:error=ENOSYS:when=2+2", false),
    ] {
        let scene = Scene::remembering();
        let inject = format!("inject={inject}");
        let options = ["-f", "-qq", "-o", "/dev/null", "-e", "trace=flock,fsync", "-e", &inject, "--"];
        let ended = Ended::of(spawn(strace(&options, &scene.command()))).exits(0);
        assert_eq!(ended.stderr.contains("locks do not work here"), said, "{ended:#?}");
        assert_eq!((scene.attempts(), scene.reached()), (2, 2));
    }
}

// === Mounts and users ===

/// The options of `unshare` with which a process can have its own mounts here.
struct Mounting(&'static [&'static str]);

/// `None` where none work; stderr says why.
fn mounting() -> Option<Mounting> {
    const WAYS: [&[&str]; 2] = [&["--mount"], &["--user", "--map-root-user", "--mount"]];
    let folder = tempfile::tempdir().expect("a folder");
    let mut why = String::new();
    for way in WAYS {
        let mut command = Command::new("unshare");
        command.args(way).args(["sh", "-c", "mount -t tmpfs none \"$0\""]).arg(folder.path());
        match command.output() {
            Ok(output) if output.status.success() => return Some(Mounting(way)),
            Ok(output) => why = String::from_utf8_lossy(&output.stderr).trim().to_owned(),
            Err(error) => why = format!("unshare: {error}"),
        }
    }
    skipped(&format!("no mounts can be made here ({why}); root, or a user namespace, can make them"));
    None
}

impl Mounting {
    /// Runs the script with the command as its arguments; its mounts end with it.
    fn around(&self, script: &str, command: &Command) -> Command {
        wrapped("unshare", &[self.0, &["sh", "-c", script, "sh"]].concat(), command)
    }
}

/// The options of `setpriv` that run a command as another user; `None` where that is not possible.
fn somebody_else() -> Option<[&'static str; 4]> {
    const NOBODY: [&str; 4] = ["--reuid=65534", "--regid=65534", "--clear-groups", "--"];
    let probe = Command::new("setpriv").args(NOBODY).arg("true").output();
    match probe {
        Ok(output) if output.status.success() => Some(NOBODY),
        Ok(output) => {
            let why = String::from_utf8_lossy(&output.stderr).trim().to_owned();
            skipped(&format!("only root can be somebody else ({why})"));
            None
        }
        Err(error) => {
            skipped(&format!("setpriv: {error}"));
            None
        }
    }
}

/// Writes to stderr itself, because the test harness hides the output of a test that passes.
fn skipped(why: &str) {
    let name = std::thread::current().name().unwrap_or("a test").to_owned();
    let _ = writeln!(std::io::stderr(), "SKIPPED {name}: {why}");
}
