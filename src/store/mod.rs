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

use self::format::Refusal;
use crate::decide::ledger::Ledger;
use crate::decide::model::Timestamp;

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

/// A state that nobody else should change while this process has it open.
pub trait Store: Send {
    /// Reads the ledger.
    ///
    /// # Errors
    /// When it cannot be read, is of another cluster or from a newer version.
    fn load(&mut self) -> impl Future<Output = Result<Loaded, Trouble>> + Send;

    /// Writes the ledger with the attempts of this run charged, before the first
    /// of them goes out, and only over what was loaded. The run ends by `until`;
    /// a time that has passed is for who needs the state no longer.
    ///
    /// # Errors
    /// When it cannot be written, or was changed after it was loaded; then
    /// nothing may be sent.
    fn charge(
        &mut self,
        ledger: &Ledger,
        until: Timestamp,
    ) -> impl Future<Output = Result<(), Trouble>> + Send;

    /// Writes the ledger as it is at the end. Where it was changed by others all
    /// the same, both changes are kept.
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
pub async fn open(place: &Place, cluster: &str, wait: Duration) -> Result<Opened, Trouble> {
    Ok(match place {
        Place::File(path) => Opened::File(FileStore::open(path, cluster, wait).await?),
        Place::ConfigMap(map) => Opened::ConfigMap(Box::new(ConfigMapStore::open(map, cluster, wait).await?)),
    })
}

/// A state of either sort.
#[derive(Debug)]
pub enum Opened {
    /// In a file.
    File(FileStore),
    /// In a ConfigMap.
    ConfigMap(Box<ConfigMapStore>),
}

impl Store for Opened {
    async fn load(&mut self) -> Result<Loaded, Trouble> {
        match self {
            Self::File(store) => store.load().await,
            Self::ConfigMap(store) => store.load().await,
        }
    }

    async fn charge(&mut self, ledger: &Ledger, until: Timestamp) -> Result<(), Trouble> {
        match self {
            Self::File(store) => store.charge(ledger, until).await,
            Self::ConfigMap(store) => store.charge(ledger, until).await,
        }
    }

    async fn settle(&mut self, ledger: &Ledger) -> Result<(), Trouble> {
        match self {
            Self::File(store) => store.settle(ledger).await,
            Self::ConfigMap(store) => store.settle(ledger).await,
        }
    }
}

/// Reads the ledger without locking or changing anything.
///
/// # Errors
/// When it cannot be read, is of another cluster or from a newer version.
pub async fn peek(place: &Place, cluster: &str) -> Result<Loaded, Trouble> {
    match place {
        Place::File(path) => file::peek(path, cluster),
        Place::ConfigMap(map) => configmap::peek(map, cluster).await,
    }
}

/// What was understood but belongs to somebody else: it stays untouched.
/// `Err` is why it was not understood.
fn not_ours(place: &str, cluster: &str, refusal: Refusal) -> Result<Trouble, String> {
    match refusal {
        Refusal::Corrupt(why) => Err(why),
        Refusal::Newer(version) => Ok(Trouble::new(
            Kind::State,
            format!("the state {place} was written by a newer guardian (format {version})"),
            "run that version, or give this one another GUARDIAN_STATE",
        )),
        Refusal::OtherCluster(other) => Ok(Trouble::new(
            Kind::OtherCluster,
            format!("the state {place} is of the cluster {other:?}, not of {cluster:?}"),
            "GUARDIAN_CLUSTER (--cluster) gives a cluster whose URLs change one name; each cluster needs its own GUARDIAN_STATE",
        )),
    }
}

/// `orders.json` and `.lock` make `orders.json.lock`.
fn beside(path: &Path, ending: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(ending);
    PathBuf::from(name)
}
