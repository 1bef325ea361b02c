//! Two workers of one cluster, shared by the scenarios that need them, one scenario at a time.
//!
//! It owns that the next scenario finds two live workers in one group, whatever the last one did to them.

use std::sync::{Mutex, MutexGuard, PoisonError};

use crate::connect::{Setup, Worker, await_quiet_group};
use crate::jars::{self, Version};

pub struct Cluster {
    /// For one more worker of the same group.
    pub setup: Setup,
    /// Whom the other forwards to: it takes KIP-745's calls, and knows who owns what.
    pub leader: Worker,
    pub follower: Worker,
}

/// The cluster of this version: whole, and with no connectors on it.
pub fn lend(version: &'static Version) -> MutexGuard<'static, Option<Cluster>> {
    static CLUSTERS: [Mutex<Option<Cluster>>; jars::ALL.len()] =
        [const { Mutex::new(None) }; jars::ALL.len()];
    let index =
        jars::ALL.iter().position(|known| known.number == version.number).expect("a version of the table");
    let mut lent = CLUSTERS[index].lock().unwrap_or_else(PoisonError::into_inner);
    let cluster = match lent.take() {
        None => {
            let setup = Setup::distributed(version);
            let (one, other) = (setup.start(), setup.start());
            Cluster::of(setup, one, other)
        }
        Some(Cluster { setup, leader, follower }) => {
            let [one, other] = [leader, follower]
                .map(|mut worker| if worker.jvm.has_ended() { setup.start() } else { worker });
            Cluster::of(setup, one, other)
        }
    };
    cluster.leader.delete_all_connectors();
    cluster.await_quiet();
    *lent = Some(cluster);
    lent
}

impl Cluster {
    fn of(setup: Setup, one: Worker, other: Worker) -> Cluster {
        match await_quiet_group(&[&one, &other]) {
            0 => Cluster { setup, leader: one, follower: other },
            _ => Cluster { setup, leader: other, follower: one },
        }
    }

    /// Waits until work is no longer moved between the two.
    pub fn await_quiet(&self) {
        await_quiet_group(&[&self.leader, &self.follower]);
    }
}
