//! The log on stderr: level, format, and what `--quiet` leaves of it. Only this
//! program's own messages; those of the HTTP libraries are for their developers
//! and might show a header.

use std::ffi::OsStr;
use std::fs::File;
use std::io::{IsTerminal, stderr};
use std::os::fd::AsFd;
use std::os::unix::fs::MetadataExt;

use tracing::Level;
use tracing::level_filters::LevelFilter;
use tracing_subscriber::filter::Targets;
use tracing_subscriber::fmt::time::SystemTime;
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;
use tracing_subscriber::{Layer, fmt};

/// The target of the one line that is printed also under `--quiet`.
pub const NEWS: &str = "guardian";

/// How to write a line.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Format {
    /// Text; without the time on a terminal and in a journal, which has its own.
    #[default]
    Auto,
    /// Text with the time.
    Text,
    /// One JSON object a line.
    Json,
}

/// What to log, and how.
#[derive(Clone, Copy, Debug)]
pub struct Settings {
    /// The least important level.
    pub level: Level,
    pub format: Format,
    /// Errors and news only.
    pub quiet: bool,
    /// stderr goes to a journal (`$JOURNAL_STREAM` says so).
    pub journal: bool,
}

impl Default for Settings {
    fn default() -> Self {
        Self { level: Level::INFO, format: Format::Auto, quiet: false, journal: false }
    }
}

/// Whether stderr is this stream, `DEVICE:INODE` as `$JOURNAL_STREAM` has it
/// (systemd.exec(5)): a shell in between may have sent stderr elsewhere, and
/// whatever it starts inherits the variable all the same.
pub fn is_stderr(stream: &OsStr) -> bool {
    let found = stderr().as_fd().try_clone_to_owned().and_then(|fd| File::from(fd).metadata());
    found.is_ok_and(|found| stream == OsStr::new(&format!("{}:{}", found.dev(), found.ino())))
}

/// Starts logging. A second call in the same process changes nothing.
pub fn start(settings: Settings) {
    let level = if settings.quiet { Level::ERROR } else { settings.level };
    let filter = Targets::new()
        .with_target("connector_guardian", LevelFilter::from_level(level))
        .with_target(NEWS, LevelFilter::INFO);
    let terminal = stderr().is_terminal();
    let colour = terminal && std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty());
    let plain = fmt::layer().with_writer(stderr).with_target(false).with_ansi(colour);
    let timeless = settings.format == Format::Auto && (terminal || settings.journal);
    let layer = match settings.format {
        Format::Json => {
            fmt::layer().json().flatten_event(true).with_target(false).with_writer(stderr).boxed()
        }
        Format::Auto | Format::Text if timeless => plain.without_time().boxed(),
        Format::Auto | Format::Text => plain.with_timer(SystemTime).boxed(),
    };
    let _ = tracing_subscriber::registry().with(layer.with_filter(filter)).try_init();
}
