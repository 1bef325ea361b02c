//! The state in a file: replaced as a whole (temporary file in the same folder,
//! fsync, rename, fsync of the folder), so that whatever kills guardian leaves
//! the old state or the new one. What cannot be read is set aside, never
//! overwritten.

use std::fs::{self, File, OpenOptions};
use std::io::{self, BufWriter, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use super::format::{self, Refusal};
use super::lock::{self, Lock};
use super::{Found, Loaded, Store, refused, state_failure, with_suffix};
use crate::decide::ledger::Ledger;
use crate::decide::text::sanitize;
use crate::decide::time::Timestamp;
use crate::exit::{Failure, Kind};

pub(super) const FOLDER_HINT: &str = "GUARDIAN_STATE names a file in a folder that guardian may write";
const MOUNT_HINT: &str =
    "a mounted file cannot be replaced: mount the folder and let GUARDIAN_STATE name a file in it";

/// As many symbolic links, one leading to the next, as the kernel follows.
const MOST_LINKS: usize = 40;

/// The state of one cluster in a file, locked.
#[derive(Debug)]
pub struct FileStore {
    path: PathBuf,
    cluster: String,
    lock: Lock,
}

impl FileStore {
    /// Creates the folder if need be and takes the lock.
    pub(super) async fn open(path: &Path, cluster: &str, wait: Duration) -> Result<Self, Failure> {
        let path = resolve_links(path)?;
        refuse_other_than_file(&path)?;
        let unusable = |error: &io::Error| {
            state_failure(format!("the state {} cannot be written: {error}", path.display()), FOLDER_HINT)
        };
        fs::create_dir_all(folder_of(&path)).map_err(|error| unusable(&error))?;
        let lock = with_suffix(&path, ".lock");
        match lock::take(&lock, wait).await {
            Ok(Ok(lock)) => {
                lock.say(&me());
                Ok(Self { path, cluster: cluster.to_owned(), lock })
            }
            Ok(Err(holder)) => {
                let who = sanitize(holder.trim()).into_owned();
                let who = if who.is_empty() { who } else { format!(": {who}") };
                let held = Failure::new(
                    Kind::Locked,
                    format!("another run holds the state {}{who}", path.display()),
                );
                Err(held.hint("it ends by itself; start this one again then"))
            }
            Err(error) if error.kind() == io::ErrorKind::PermissionDenied && lock.exists() => {
                Err(state_failure(
                    format!("the state's lock {} cannot be opened: {error}", lock.display()),
                    "another user may have made it, by a run by hand: give it and the state to the user that runs guardian",
                ))
            }
            Err(error) => Err(unusable(&error)),
        }
    }

    fn write(&self, ledger: &Ledger) -> Result<(), Failure> {
        let temporary = self.temporary();
        let saved = self.replace(&temporary, ledger);
        saved.map_err(|error| {
            let _ = fs::remove_file(&temporary);
            let message = format!("the state {} cannot be written: {error}", self.path.display());
            match error.kind() {
                // EBUSY: a single file that is mounted into a container.
                io::ErrorKind::ResourceBusy => state_failure(message, MOUNT_HINT),
                io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => {
                    state_failure(message, "make room on that file system; the old state is intact")
                }
                _ => state_failure(message, FOLDER_HINT),
            }
        })
    }

    fn replace(&self, temporary: &Path, ledger: &Ledger) -> io::Result<()> {
        // What an earlier run left behind when it was killed; the lock says that it is dead.
        if let Err(error) = fs::remove_file(temporary)
            && error.kind() != io::ErrorKind::NotFound
        {
            return Err(error);
        }
        let file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(temporary)?;
        let mut writer = BufWriter::new(file);
        format::write(&mut writer, &self.cluster, ledger, None)?;
        writer.flush()?;
        writer.get_ref().sync_all()?;
        fs::rename(temporary, &self.path)?;
        match File::open(folder_of(&self.path))?.sync_all() {
            // Network and FUSE file systems that cannot sync a folder say so like this (EINVAL, EOPNOTSUPP, ENOSYS).
            Err(error)
                if matches!(error.kind(), io::ErrorKind::InvalidInput | io::ErrorKind::Unsupported) =>
            {
                Ok(())
            }
            synced => synced,
        }
    }

    fn temporary(&self) -> PathBuf {
        with_suffix(&self.path, ".tmp")
    }

    fn set_aside(&self, why: &str) -> Result<Loaded, Failure> {
        // A stamp without colons, for file systems that refuse them.
        let stamp = Timestamp::from(SystemTime::now()).to_string().replace([':', '-'], "");
        let mut aside = with_suffix(&self.path, &format!(".corrupt-{stamp}"));
        // A second one within the second must not replace the first.
        for number in 2_u32.. {
            if fs::symlink_metadata(&aside).is_err() {
                break;
            }
            aside = with_suffix(&self.path, &format!(".corrupt-{stamp}-{number}"));
        }
        fs::rename(&self.path, &aside).map_err(|error| {
            let message = format!(
                "the state {} cannot be understood ({why}) nor set aside: {error}",
                self.path.display()
            );
            let hint = match error.kind() {
                io::ErrorKind::ResourceBusy => MOUNT_HINT,
                _ => "move it away by hand; what it remembers is then lost",
            };
            state_failure(message, hint)
        })?;
        Ok(Loaded {
            ledger: Ledger::default(),
            warning: Some(format!(
                "the state could not be understood ({why}): it is kept as {}, and every failure counts as new",
                aside.display()
            )),
        })
    }
}

impl Store for FileStore {
    async fn load(&mut self) -> Result<Loaded, Failure> {
        match read(&self.path, &self.cluster)? {
            Found::Ledger(ledger, _) => Ok(Loaded { ledger: *ledger, warning: None }),
            Found::Corrupt(why) => self.set_aside(&why),
        }
    }

    async fn charge(&mut self, ledger: &Ledger, until: Timestamp) -> Result<(), Failure> {
        self.lock.say(&format!("{}, until {until} at the latest", me()));
        self.write(ledger)
    }

    async fn save(&mut self, ledger: &Ledger) -> Result<(), Failure> {
        self.write(ledger)
    }
}

/// This process, for a person.
fn me() -> String {
    format!("pid {}", std::process::id())
}

/// Reads without a lock: a rename replaces the file at once, so that one state or the other is seen, never half of one.
pub(super) fn peek(path: &Path, cluster: &str) -> Result<Loaded, Failure> {
    refuse_other_than_file(path)?;
    Ok(match read(path, cluster)? {
        Found::Ledger(ledger, _) => Loaded { ledger: *ledger, warning: None },
        Found::Corrupt(why) => Loaded {
            ledger: Ledger::default(),
            warning: Some(format!(
                "the state {} cannot be understood ({why}); the next run sets it aside",
                path.display()
            )),
        },
    })
}

/// What the file holds. No file is an empty ledger, and so is a file of no bytes: guardian never leaves one, but `touch`
/// does, and an `install` or a mount that makes the file beforehand.
fn read(path: &Path, cluster: &str) -> Result<Found, Failure> {
    if fs::metadata(path).is_ok_and(|found| found.len() == 0) {
        tracing::info!("the state {} is empty: nothing is remembered yet", path.display());
        return Ok(Found::Ledger(Box::default(), None));
    }
    match format::read(|| File::open(path), cluster) {
        Ok((ledger, lease)) => Ok(Found::Ledger(Box::new(ledger), lease)),
        Err(Refusal::Unreadable(error)) if error.kind() == io::ErrorKind::NotFound => {
            Ok(Found::Ledger(Box::default(), None))
        }
        Err(refusal) => refused(&path.display().to_string(), cluster, refusal),
    }
}

/// A folder, a pipe or a device: reading may never end, and none of them is to
/// be renamed or replaced.
fn refuse_other_than_file(path: &Path) -> Result<(), Failure> {
    let (what, hint) = match fs::metadata(path) {
        Ok(found) if found.is_dir() => {
            ("a folder", "GUARDIAN_STATE must name a file in it, for example state.json")
        }
        Ok(found) if !found.is_file() => ("not a file", FOLDER_HINT),
        _ => return Ok(()),
    };
    Err(state_failure(format!("the state {} is {what}", path.display()), hint))
}

/// The file that the path leads to, which may not exist yet: a rename would
/// replace a symbolic link, not what it names.
fn resolve_links(path: &Path) -> Result<PathBuf, Failure> {
    let mut end = path.to_owned();
    for _ in 0..MOST_LINKS {
        match fs::read_link(&end) {
            Ok(target) => end = folder_of(&end).join(target),
            Err(_) => return Ok(fs::canonicalize(&end).unwrap_or(end)),
        }
    }
    Err(state_failure(
        format!("the state {} cannot be written: its symbolic links lead to no file", path.display()),
        FOLDER_HINT,
    ))
}

fn folder_of(path: &Path) -> &Path {
    match path.parent() {
        Some(folder) if !folder.as_os_str().is_empty() => folder,
        _ => Path::new("."),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::decide::model::InstanceId;
    use std::os::unix::fs::PermissionsExt;

    fn some_ledger() -> Ledger {
        let mut ledger = Ledger { run: 3, ..Ledger::default() };
        ledger.charge(&InstanceId::task("orders", 1), Timestamp::from_millis(1000));
        ledger
    }

    async fn open(path: &Path) -> Result<FileStore, Failure> {
        FileStore::open(path, "c", Duration::ZERO).await
    }

    #[tokio::test]
    async fn what_is_saved_is_loaded_and_private() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("new/folder/state.json");
        open(&path).await.unwrap().save(&some_ledger()).await.unwrap();
        assert_eq!(open(&path).await.unwrap().load().await.unwrap().ledger, some_ledger());
        assert_eq!(peek(&path, "c").unwrap().ledger, some_ledger());
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        let mut names: Vec<_> =
            fs::read_dir(path.parent().unwrap()).unwrap().map(|e| e.unwrap().file_name()).collect();
        names.sort();
        assert_eq!(names, ["state.json", "state.json.lock"]);
    }

    #[tokio::test]
    async fn a_folder_is_no_state_and_a_link_is_followed() {
        let folder = tempfile::tempdir().unwrap();
        let refused = open(folder.path()).await.unwrap_err();
        assert!(refused.message().contains("is a folder"), "{refused:?}");
        let (real, link) = (folder.path().join("real.json"), folder.path().join("link.json"));
        open(&real).await.unwrap().save(&Ledger::default()).await.unwrap();
        std::os::unix::fs::symlink(&real, &link).unwrap();
        open(&link).await.unwrap().save(&some_ledger()).await.unwrap();
        assert_eq!(peek(&real, "c").unwrap().ledger, some_ledger());
        assert!(fs::symlink_metadata(&link).unwrap().is_symlink());
    }

    #[tokio::test]
    async fn a_link_to_a_file_that_is_yet_to_be_written_stays_one() {
        use std::os::unix::fs::symlink;
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str| folder.path().join(name);
        fs::create_dir(at("links")).unwrap();
        symlink("links", at("folder")).unwrap();
        symlink("../real/state.json", at("links/state.json")).unwrap();
        symlink(at("folder/state.json"), at("links/first")).unwrap();
        let first = open(&at("folder/first")).await.unwrap();
        assert_eq!(open(&at("real/state.json")).await.unwrap_err().kind, Kind::Locked);
        drop(first);
        open(&at("folder/first")).await.unwrap().save(&some_ledger()).await.unwrap();
        for name in ["links/first", "links/state.json"] {
            assert!(fs::symlink_metadata(at(name)).unwrap().is_symlink(), "{name}");
            assert_eq!(peek(&at(name), "c").unwrap().ledger, some_ledger());
        }
        assert!(fs::symlink_metadata(at("real/state.json")).unwrap().is_file());
        assert_eq!(fs::read_dir(at("links")).unwrap().count(), 2, "no lock or anything else beside a link");
    }

    #[tokio::test]
    async fn a_link_to_itself_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("state.json");
        std::os::unix::fs::symlink("state.json", &path).unwrap();
        let refused = open(&path).await.unwrap_err();
        assert!(refused.message().contains("its symbolic links lead to no file"), "{refused:?}");
        assert!(peek(&path, "c").is_err());
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
    }
}
