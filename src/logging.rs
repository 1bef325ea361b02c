//! The log on stderr: level, format, and what `--quiet` leaves of it. Only this
//! program's own messages; those of the HTTP libraries are for their developers
//! and might show a header.

use std::ffi::OsStr;
use std::fmt;
use std::fs::File;
use std::io::{IsTerminal, stderr};
use std::os::fd::AsFd;
use std::os::unix::fs::MetadataExt;

use anstream::{AutoStream, ColorChoice};
use tracing::level_filters::LevelFilter;
use tracing::{Event, Level, Subscriber};
use tracing_subscriber::filter::Targets;
use tracing_subscriber::fmt::format::{Format as Formatter, JsonFields, Writer};
use tracing_subscriber::fmt::time::SystemTime;
use tracing_subscriber::fmt::{FmtContext, FormatEvent, FormatFields};
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::registry::LookupSpan;
use tracing_subscriber::util::SubscriberInitExt;
use tracing_subscriber::{Layer, fmt as lines};

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
    // As the table on stdout does: NO_COLOR, and a terminal that knows no colour.
    let colour = terminal && AutoStream::choice(&stderr()) != ColorChoice::Never;
    let plain = lines::layer().with_writer(stderr).with_ansi(colour);
    let formatter = Formatter::default().with_target(false);
    let (timeless, journal) =
        (settings.format == Format::Auto && (terminal || settings.journal), settings.journal);
    let layer = match settings.format {
        Format::Json => {
            let formatter = formatter.json().flatten_event(true);
            plain.fmt_fields(JsonFields::new()).event_format(Prefixed { journal, formatter }).boxed()
        }
        Format::Auto | Format::Text if timeless => {
            plain.event_format(Prefixed { journal, formatter: formatter.without_time() }).boxed()
        }
        Format::Auto | Format::Text => {
            plain.event_format(Prefixed { journal, formatter: formatter.with_timer(SystemTime) }).boxed()
        }
    };
    let _ = tracing_subscriber::registry().with(layer.with_filter(filter)).try_init();
}

/// A line whose priority a journal can read off it (sd-daemon(3)): `journalctl -p err` then shows what is an error.
struct Prefixed<F> {
    journal: bool,
    formatter: F,
}

impl<S, N, F> FormatEvent<S, N> for Prefixed<F>
where
    S: Subscriber + for<'a> LookupSpan<'a>,
    N: for<'a> FormatFields<'a> + 'static,
    F: FormatEvent<S, N>,
{
    fn format_event(
        &self,
        context: &FmtContext<'_, S, N>,
        mut writer: Writer<'_>,
        event: &Event<'_>,
    ) -> fmt::Result {
        if self.journal {
            let priority = match *event.metadata().level() {
                Level::ERROR => 3,
                Level::WARN => 4,
                Level::INFO => 6,
                _ => 7,
            };
            write!(writer, "<{priority}>")?;
        }
        self.formatter.format_event(context, writer, event)
    }
}
