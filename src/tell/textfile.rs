//! A file of metrics for the textfile collector of Prometheus' `node_exporter`. It owns how the file is replaced: the
//! collector must never see half of one, and reads it as another user.

use std::fs::{self, OpenOptions};
use std::io::{self, Read, Write};
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::path::Path;

/// For everybody to read: neither the umask of a unit nor of a person decides it.
const MODE: u32 = 0o644;
/// What guardian writes has some kilobytes for every hundred connectors.
const LONGEST: u64 = 16 * 1024 * 1024;

/// What the file holds; nothing where it is not there, not to be read, or no text.
pub fn read(path: &Path) -> String {
    let mut text = String::new();
    // A pipe would not end.
    let is_file = fs::metadata(path).is_ok_and(|found| found.is_file());
    let read = is_file.then(|| fs::File::open(path)).and_then(Result::ok);
    match read.map(|file| file.take(LONGEST).read_to_string(&mut text)) {
        Some(Ok(_)) => text,
        _ => String::new(),
    }
}

/// Replaces the file. It survives no power cut, and need not: the next run writes it again.
///
/// # Errors
/// Those of the file system; then the file is as it was.
pub fn replace(path: &Path, text: &str) -> io::Result<()> {
    // Another name than one that ends in .prom, or the collector would read it; not that of another run's.
    let mut temporary = path.as_os_str().to_owned();
    temporary.push(format!(".{}.tmp", std::process::id()));
    let temporary = Path::new(&temporary);
    let written = write(temporary, text).and_then(|()| fs::rename(temporary, path));
    if written.is_err() {
        let _ = fs::remove_file(temporary);
    }
    written
}

fn write(path: &Path, text: &str) -> io::Result<()> {
    // Left behind by a run that was killed, or a link that somebody laid.
    let _ = fs::remove_file(path);
    let mut file = OpenOptions::new().write(true).create_new(true).mode(MODE).open(path)?;
    file.set_permissions(fs::Permissions::from_mode(MODE))?;
    file.write_all(text.as_bytes())
}
