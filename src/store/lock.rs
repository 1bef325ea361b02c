//! Keeping two runs apart: a lock on a sidecar file that is never renamed or
//! deleted (a lock on the state itself would be lost with its rename). The
//! kernel lets go of it when the process ends, however it ends. The file says
//! who has it, for a person: that is no part of the lock.

use std::fs::{self, File, OpenOptions, TryLockError};
use std::io;
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::path::Path;
use std::time::Duration;

/// How often a held lock is looked at again.
const AGAIN: Duration = Duration::from_millis(100);

/// The lock, until it is dropped.
#[derive(Debug)]
pub(super) struct Lock {
    file: File,
}

impl Lock {
    /// Writes down who has it. It is held all the same when the disk is full.
    pub(super) fn say(&self, who: &str) {
        let _ = self.file.set_len(0).and_then(|()| self.file.write_all_at(who.as_bytes(), 0));
    }
}

/// Takes the lock, waiting for at most `wait`; else says who has it, if that is known.
pub(super) async fn take(path: &Path, wait: Duration) -> io::Result<Result<Lock, String>> {
    // NFS emulates flock by byte-range locks, which need a file open for writing.
    let file =
        OpenOptions::new().read(true).write(true).create(true).truncate(false).mode(0o600).open(path)?;
    let waited_enough = tokio::time::Instant::now().checked_add(wait);
    loop {
        match file.try_lock() {
            Ok(()) => return Ok(Ok(Lock { file })),
            Err(TryLockError::WouldBlock)
                if waited_enough.is_some_and(|end| tokio::time::Instant::now() >= end) =>
            {
                return Ok(Err(fs::read_to_string(path).unwrap_or_default()));
            }
            Err(TryLockError::WouldBlock) => tokio::time::sleep(AGAIN).await,
            // Some network file systems have no locks: a scheduler that never
            // starts two runs is then the only protection.
            Err(TryLockError::Error(error)) => {
                tracing::warn!("{}: locks do not work here ({error}); going on without", path.display());
                return Ok(Ok(Lock { file }));
            }
        }
    }
}
