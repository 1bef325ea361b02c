//! Where the ledger is kept between runs: in a file or in a ConfigMap. It owns
//! what keeps two runs apart, the format and what can go wrong with both. It must
//! not decide about a record: a ledger comes out as it went in.

mod configmap;
mod file;
pub mod format;
mod kubernetes;
mod lock;

use std::fmt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use self::format::{Lease, Refusal};
use crate::decide::ledger::Ledger;
use crate::decide::time::Timestamp;
use crate::exit::{Failure, Kind};

pub use configmap::ConfigMapStore;
pub use file::FileStore;
pub use kubernetes::{ConfigMap, ServiceAccount};

/// Where the state is.
#[derive(Clone, Debug)]
pub enum Place {
    /// A file; its folder is created.
    File(PathBuf),
    /// A ConfigMap; it is not created.
    ConfigMap(Box<ConfigMap>),
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File(path) => path.display().fmt(f),
            Self::ConfigMap(map) => write!(f, "configmap:{map}"),
        }
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

/// A state that nobody else should change while this process has it open.
#[expect(async_fn_in_trait, reason = "everything runs on one thread, so that no future has to be Send")]
pub trait Store {
    /// Reads the ledger.
    ///
    /// # Errors
    /// When it cannot be read, is of another cluster or from a newer version.
    async fn load(&mut self) -> Result<Loaded, Failure>;

    /// Writes the ledger with the attempts of this run charged, before the first of them goes out, and only over what was
    /// loaded. The run ends by `until`, and takes a lease until then where there is no lock; pass a time in the past to
    /// take none.
    ///
    /// # Errors
    /// When it cannot be written, or was changed after it was loaded; then nothing may be sent.
    async fn charge(&mut self, ledger: &Ledger, until: Timestamp) -> Result<(), Failure>;

    /// Writes the ledger as it is at the end. Where it was changed by others all the same, both changes are kept.
    ///
    /// # Errors
    /// When it cannot be written.
    async fn save(&mut self, ledger: &Ledger) -> Result<(), Failure>;
}

/// Opens the state for changing, waiting for at most `wait` until another run lets go of it.
///
/// # Errors
/// When another run holds it, or its folder cannot be used.
pub async fn open(place: &Place, cluster: &str, wait: Duration) -> Result<Opened, Failure> {
    Ok(match place {
        Place::File(path) => Opened::File(FileStore::open(path, cluster, wait).await?),
        Place::ConfigMap(map) => Opened::ConfigMap(Box::new(ConfigMapStore::open(map, cluster, wait).await?)),
    })
}

/// A state of either sort.
#[derive(Debug)]
pub enum Opened {
    File(FileStore),
    ConfigMap(Box<ConfigMapStore>),
}

impl Store for Opened {
    async fn load(&mut self) -> Result<Loaded, Failure> {
        match self {
            Self::File(store) => store.load().await,
            Self::ConfigMap(store) => store.load().await,
        }
    }

    async fn charge(&mut self, ledger: &Ledger, until: Timestamp) -> Result<(), Failure> {
        match self {
            Self::File(store) => store.charge(ledger, until).await,
            Self::ConfigMap(store) => store.charge(ledger, until).await,
        }
    }

    async fn save(&mut self, ledger: &Ledger) -> Result<(), Failure> {
        match self {
            Self::File(store) => store.save(ledger).await,
            Self::ConfigMap(store) => store.save(ledger).await,
        }
    }
}

/// Reads the ledger without locking or changing anything.
///
/// # Errors
/// When it cannot be read, is of another cluster or from a newer version.
pub async fn peek(place: &Place, cluster: &str) -> Result<Loaded, Failure> {
    match place {
        Place::File(path) => file::peek(path, cluster),
        Place::ConfigMap(map) => configmap::peek(map, cluster).await,
    }
}

/// What was found where the state is kept.
enum Found {
    /// A ledger, and whose it is for a while.
    Ledger(Box<Ledger>, Option<Lease>),
    /// Something that cannot be understood, and why: it is set aside.
    Corrupt(String),
}

/// What a refusal means at this place. What was understood but belongs to somebody else is a failure: it stays untouched.
fn refused(place: &str, cluster: &str, refusal: Refusal) -> Result<Found, Failure> {
    match refusal {
        Refusal::Unreadable(error) => {
            Err(state_failure(format!("the state {place} cannot be read: {error}"), file::FOLDER_HINT))
        }
        Refusal::Corrupt(why) => Ok(Found::Corrupt(why)),
        Refusal::Newer(version) => Err(state_failure(
            format!("the state {place} was written by a newer guardian (format {version})"),
            "run that version, or give this one another GUARDIAN_STATE",
        )),
        Refusal::OtherCluster(other) => {
            let text = format!("the state {place} is of the cluster {other:?}, not of {cluster:?}");
            Err(Failure::new(Kind::Usage, text).hint(
                "GUARDIAN_CLUSTER (--cluster) gives a cluster whose URLs change one name; each cluster needs its own GUARDIAN_STATE",
            ))
        }
    }
}

/// The state cannot be read or written.
fn state_failure(message: impl fmt::Display, hint: impl fmt::Display) -> Failure {
    Failure::new(Kind::State, message).hint(hint)
}

/// `orders.json` and `.lock` make `orders.json.lock`.
fn with_suffix(path: &Path, suffix: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(suffix);
    PathBuf::from(name)
}
