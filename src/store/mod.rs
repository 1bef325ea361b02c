//! Where the ledger is kept between runs: in a file. It owns locking, the format on
//! disk and what can go wrong with both. It must not decide about a record: a
//! ledger comes out as it went in.

mod file;
pub mod format;
mod lock;

use std::fmt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::decide::ledger::Ledger;
use crate::decide::model::Timestamp;

pub use file::FileStore;

/// Where the state is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Place {
    /// A file; its folder is created.
    File(PathBuf),
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File(path) => path.display().fmt(f),
        }
    }
}

/// Which sort of trouble with the state.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Another run holds it.
    Locked,
    /// It belongs to another cluster.
    OtherCluster,
    /// It cannot be read or written.
    State,
}

/// What is wrong with the state, and what to do about it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Trouble {
    /// Which sort of trouble.
    pub kind: Kind,
    /// What happened, and where.
    pub message: String,
    /// The next step.
    pub hint: Option<String>,
}

impl Trouble {
    fn new(kind: Kind, message: String, hint: &str) -> Self {
        Self { kind, message, hint: Some(hint.to_owned()) }
    }
}

/// A ledger as it was found.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Loaded {
    /// What is remembered; empty if there was nothing yet, or nothing readable.
    pub ledger: Ledger,
    /// The state could not be read and was set aside, as this says.
    pub warning: Option<String>,
}

/// A state that this process alone may change.
pub trait Store: Send {
    /// Reads the ledger.
    ///
    /// # Errors
    /// When it cannot be read, is of another cluster or from a newer version.
    fn load(&mut self) -> impl Future<Output = Result<Loaded, Trouble>> + Send;

    /// Writes the ledger with the attempts of this run charged, before the first
    /// of them goes out. The run ends by `until`.
    ///
    /// # Errors
    /// When it cannot be written; then nothing may be sent.
    fn charge(
        &mut self,
        ledger: &Ledger,
        until: Timestamp,
    ) -> impl Future<Output = Result<(), Trouble>> + Send;

    /// Writes the ledger as it is at the end.
    ///
    /// # Errors
    /// When it cannot be written.
    fn settle(&mut self, ledger: &Ledger) -> impl Future<Output = Result<(), Trouble>> + Send;
}

/// Opens the state for changing, waiting for at most `wait` until another run
/// lets go of it.
///
/// # Errors
/// When another run holds it, or its folder cannot be used.
pub async fn open(place: &Place, cluster: &str, wait: Duration) -> Result<FileStore, Trouble> {
    match place {
        Place::File(path) => FileStore::open(path, cluster, wait).await,
    }
}

/// Reads the ledger without locking or changing anything.
///
/// # Errors
/// When it cannot be read, is of another cluster or from a newer version.
pub fn peek(place: &Place, cluster: &str) -> Result<Loaded, Trouble> {
    match place {
        Place::File(path) => file::peek(path, cluster),
    }
}

/// `orders.json` and `.lock` make `orders.json.lock`.
fn beside(path: &Path, ending: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(ending);
    PathBuf::from(name)
}
