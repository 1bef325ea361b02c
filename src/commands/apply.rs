//! Sending the plan's restart calls: in parallel over connectors, in order
//! within one, until all are sent or something says stop. It knows no status
//! code and changes no record; it collects outcomes.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep, sleep_until};

use super::Clock;
use super::run::Cluster;
use crate::connect::Reply;
use crate::decide::model::InstanceId;
use crate::decide::outcome::{Outcome, Outcomes};
use crate::decide::plan::{Batch, Call};
use crate::signal::Interrupt;

/// "Not now" is asked again after these waits: four tries within ten seconds. A
/// rebalance takes two to eight; a task of a stopped connector answers so for ever.
const AGAIN_AFTER: [Duration; 3] = [Duration::from_secs(1), Duration::from_secs(2), Duration::from_secs(4)];
/// ... also when Connect takes its time for each answer.
const TRIED_FOR: Duration = Duration::from_secs(10);
/// A status older than this is read again before a plain restart goes out:
/// meanwhile a rebalance or a person may have brought the instance back, and
/// the restart would take it down again. Long enough that a healthy cluster is
/// never asked twice, shorter than any wait of [`AGAIN_AFTER`].
const STALE_AFTER: Duration = Duration::from_secs(1);
/// After a signal, requests in flight get this long: Kubernetes and systemd
/// send SIGKILL later.
const GRACE: Duration = Duration::from_secs(8);

/// Why nothing more is sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Halt {
    /// The run's time is over.
    Deadline,
    /// A signal came: its number.
    Signal(u8),
    /// A restart was not allowed: no other will be.
    Unauthorized,
    /// No worker accepts a connection.
    NoWorker,
}

impl Halt {
    /// Why a due instance got no request.
    pub(super) fn reason(self) -> &'static str {
        match self {
            Self::Deadline => "the run's deadline came first (GUARDIAN_DEADLINE)",
            Self::Signal(_) => "the run was interrupted",
            Self::Unauthorized => "not sent, because another restart was not allowed",
            Self::NoWorker => "not sent, because no worker could be reached",
        }
    }
}

/// What the senders share.
struct Progress {
    outcomes: Mutex<Outcomes>,
    halt: watch::Sender<Option<Halt>>,
    /// An old worker has answered a KIP-745 call: none is sent any more.
    one_by_one: AtomicBool,
    clock: Clock,
}

impl Progress {
    fn note(&self, outcomes: impl IntoIterator<Item = (InstanceId, Outcome)>) {
        let now = (self.clock)();
        self.known().note(outcomes, now);
    }

    /// As if nothing had been sent for these.
    fn forget(&self, ids: &[InstanceId]) {
        self.known().forget(ids);
    }

    fn known(&self) -> MutexGuard<'_, Outcomes> {
        self.outcomes.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn halted(&self) -> Option<Halt> {
        *self.halt.borrow()
    }

    async fn halting(&self) {
        // It cannot fail while `self` keeps the sender.
        let _ = self.halt.subscribe().wait_for(Option::is_some).await;
    }

    /// The first reason stays.
    fn stop(&self, reason: Halt) {
        self.halt.send_if_modified(|halt| halt.is_none() && halt.replace(reason).is_none());
    }
}

/// Sends all batches, at most `parallel` at a time, and returns what became of
/// them and why it stopped early, if it did. What has no outcome was not sent.
/// `read_at` is when the status was asked for that the plan was made of.
pub(super) async fn apply<C: Cluster>(
    cluster: &Arc<C>,
    batches: Vec<Batch>,
    read_at: Instant,
    parallel: usize,
    end: Instant,
    clock: &Clock,
    interrupt: &mut Interrupt,
) -> (Outcomes, Option<Halt>) {
    let progress = Arc::new(Progress {
        outcomes: Mutex::default(),
        halt: watch::Sender::new(None),
        one_by_one: AtomicBool::new(false),
        clock: Arc::clone(clock),
    });
    let mut batches = batches.into_iter();
    let mut sending = JoinSet::new();
    let mut end = end;
    // A signal or the deadline that came before the first request leaves nothing to be sent.
    let early = *interrupt.borrow();
    let mut once_more = interrupt.clone();
    let mut signalled = early.is_some();
    if let Some(signalled) = early {
        progress.stop(Halt::Signal(signalled.number));
    } else if Instant::now() >= end {
        progress.stop(Halt::Deadline);
    }
    loop {
        while progress.halted().is_none()
            && sending.len() < parallel.max(1)
            && let Some(batch) = batches.next()
        {
            sending.spawn(send_all(Arc::clone(cluster), batch, read_at, Arc::clone(&progress)));
        }
        tokio::select! {
            sent = sending.join_next() => if sent.is_none() { break },
            () = sleep_until(end) => {
                progress.stop(Halt::Deadline);
                break;
            }
            number = interrupted(interrupt), if !signalled => {
                signalled = true;
                progress.stop(Halt::Signal(number));
                tracing::warn!(
                    "interrupted: waiting for requests in flight, for {} at most; a second signal ends that",
                    humantime::format_duration(GRACE)
                );
                end = Instant::now().checked_add(GRACE).map_or(end, |grace| grace.min(end));
            }
            () = interrupted_again(&mut once_more), if signalled => break,
        }
    }
    // What is still in flight stays noted as unknown.
    sending.shutdown().await;
    let outcomes = std::mem::take(&mut *progress.known());
    (outcomes, progress.halted())
}

/// Waits for a signal and returns its number.
pub(super) async fn interrupted(interrupt: &mut Interrupt) -> u8 {
    match interrupt.wait_for(Option::is_some).await.map(|signalled| *signalled) {
        Ok(Some(signalled)) => signalled.number,
        // Nobody can send one any more.
        _ => std::future::pending().await,
    }
}

async fn interrupted_again(interrupt: &mut Interrupt) {
    let urgent = interrupt.wait_for(|signalled| signalled.is_some_and(|signalled| signalled.urgent));
    if urgent.await.is_err() {
        std::future::pending::<()>().await;
    }
}

async fn send_all<C: Cluster>(cluster: Arc<C>, batch: Batch, read_at: Instant, progress: Arc<Progress>) {
    let mut calls: VecDeque<Call> = batch.calls.into();
    while let Some(call) = calls.pop_front() {
        if progress.halted().is_some() {
            return;
        }
        let one_by_one = |ids: Vec<InstanceId>| ids.into_iter().map(|id| Call::One { id, stuck: false });
        let call = match call {
            Call::Together { expected, .. } if progress.one_by_one.load(Ordering::Relaxed) => {
                calls.extend(one_by_one(expected));
                continue;
            }
            call => call,
        };
        if send(&*cluster, &call, read_at, &progress).await {
            continue;
        }
        // An old worker restarted only the connector's own instance.
        progress.one_by_one.store(true, Ordering::Relaxed);
        let Call::Together { expected, .. } = call else { continue };
        let (tasks, own): (Vec<_>, Vec<_>) = expected.into_iter().partition(|id| id.task.is_some());
        progress.note(own.into_iter().map(|id| (id, Outcome::Taken)));
        calls.extend(one_by_one(tasks));
    }
}

/// Sends one call, again for as long as the answer is "not now". `false` when
/// an old worker did not understand it.
async fn send<C: Cluster>(cluster: &C, call: &Call, read_at: Instant, progress: &Progress) -> bool {
    let started = Instant::now();
    let (mut read_at, mut waits) = (read_at, AGAIN_AFTER.iter());
    loop {
        let unwanted = if matches!(call, Call::Together { .. }) || read_at.elapsed() < STALE_AFTER {
            None
        } else {
            read_at = Instant::now();
            tokio::select! {
                unwanted = look_again(cluster, call) => unwanted,
                () = progress.halting() => return true,
            }
        };
        let reply = if let Some(reply) = unwanted {
            reply
        } else {
            progress.note(Outcome::Unknown("it was under way when the run ended".into()).of(call));
            cluster.restart(call).await
        };
        match reply {
            Reply::Done(outcomes) => {
                for (_, outcome) in &outcomes {
                    match outcome {
                        Outcome::Unauthorized(_) => progress.stop(Halt::Unauthorized),
                        Outcome::NotSent(_) => progress.stop(Halt::NoWorker),
                        _ => {}
                    }
                }
                progress.note(outcomes);
                return true;
            }
            Reply::ConnectorOnly => {
                progress.forget(call.ids());
                return false;
            }
            Reply::NotNow(text) => {
                progress.note(Outcome::NotNow(text).of(call));
                let wait = waits.next().filter(|wait| started.elapsed().saturating_add(**wait) <= TRIED_FOR);
                let Some(wait) = wait else { return true };
                tokio::select! {
                    () = sleep(*wait) => {}
                    () = progress.halting() => return true,
                }
            }
        }
    }
}

/// Reads the connector's status once more. The reply says why the call is not
/// sent; `None` that it still is what it was planned to be.
async fn look_again<C: Cluster>(cluster: &C, call: &Call) -> Option<Reply> {
    match cluster.status(call.connector()).await {
        Ok(now) => Some(Reply::Done(Outcome::NotNow(call.overtaken(&now)?).of(call))),
        Err(Outcome::NotNow(text)) => Some(Reply::NotNow(text)),
        Err(outcome) => Some(Reply::Done(outcome.of(call))),
    }
}
