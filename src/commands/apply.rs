//! Sending the plan's restart calls: in parallel over connectors, in order within one, until all are sent or something
//! says stop. It knows no status code and changes no record; it notes outcomes on the receipts of the charges.

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::time::Duration;

use futures_util::stream::{self, StreamExt};
use tokio::sync::{OnceCell, watch};
use tokio::time::{Instant, sleep, sleep_until};

use super::Clock;
use crate::connect::{Cluster, Sent};
use crate::decide::calls::{Batch, Call};
use crate::decide::ledger::Charge;
use crate::decide::model::InstanceId;
use crate::decide::outcome::Outcome;
use crate::decide::table::ByInstance;
use crate::signal::{Interrupt, interrupted, interrupted_again};

/// "Not now" is asked again after these waits: four tries within [`TRIED_FOR`]. A rebalance takes two to eight seconds; a
/// task of a stopped connector answers so for ever.
const AGAIN_AFTER: [Duration; 3] = [Duration::from_secs(1), Duration::from_secs(2), Duration::from_secs(4)];
/// No further try begins later than this after the first, also when Connect takes its time for each answer.
const TRIED_FOR: Duration = Duration::from_secs(10);
/// A status older than this is read again before a plain restart goes out: meanwhile a rebalance or a person may have
/// brought the instance back, and the restart would take it down again. Long enough that a healthy cluster is never asked
/// twice, shorter than any wait of [`AGAIN_AFTER`].
const RECHECK_AFTER: Duration = Duration::from_secs(1);
/// After a signal, requests in flight get this long: Kubernetes and systemd send SIGKILL later.
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
    /// Connect itself looks sick: it leaves fates unknown, or takes nothing.
    Sick,
}

impl Halt {
    /// Why a due instance got no request.
    pub(super) fn reason(self) -> &'static str {
        match self {
            Self::Deadline => "the run's deadline came first (GUARDIAN_DEADLINE)",
            Self::Signal(_) => "the run was interrupted",
            Self::Unauthorized => "not sent, because another restart was not allowed",
            Self::NoWorker => "not sent, because no worker could be reached",
            Self::Sick => "not sent, because Connect does not do what it is asked for",
        }
    }
}

/// What the senders share; all of them run on one thread.
struct Sending<'a, C> {
    cluster: &'a C,
    charges: RefCell<&'a mut ByInstance<Charge>>,
    /// When the status was asked for that the plan was made of.
    read_at: Instant,
    clock: &'a Clock<'a>,
    halt: watch::Sender<Option<Halt>>,
    /// Whether Connect can restart all failed instances of a connector in one call; asked when the first such call comes up.
    kip_745: OnceCell<bool>,
    /// An old worker has answered such a call: none is sent any more.
    old_worker: Cell<bool>,
    /// Answers in a row that left a fate unknown.
    unknown: Cell<u32>,
    /// Connectors in a row whose "not now" did not pass.
    not_now: Cell<u32>,
}

/// After so many answers in a row that are unknown nothing more is sent: a herder that is stuck answers each call with 500
/// "Request timed out", after 90 s.
const UNKNOWN_IN_A_ROW: u32 = 2;
/// After so many connectors in a row whose "not now" did not pass nothing more is sent.
const NOT_NOW_IN_A_ROW: u32 = 3;

/// Within what the calls are sent.
#[derive(Clone, Copy, Debug)]
pub(super) struct Bounds {
    /// Connectors restarted at the same time.
    pub parallel: usize,
    /// When the status was asked for that the plan was made of.
    pub read_at: Instant,
    /// When the run ends.
    pub end: Instant,
}

/// How the sending ended.
#[derive(Clone, Copy, Debug)]
pub(super) struct Applied {
    /// Why it stopped early, if it did.
    pub halt: Option<Halt>,
    /// The call for several was sent, and only a connector's own instance was restarted.
    pub one_by_one: bool,
}

/// Sends all batches, when `careful` one before the others, and notes on the charges what became of them. A charge without an outcome was not sent.
pub(super) async fn apply<C: Cluster>(
    cluster: &C,
    batches: impl Iterator<Item = Batch>,
    careful: bool,
    charges: &mut ByInstance<Charge>,
    Bounds { parallel, read_at, mut end }: Bounds,
    clock: &Clock<'_>,
    interrupt: &Interrupt,
) -> Applied {
    let sending = Sending {
        cluster,
        charges: RefCell::new(charges),
        read_at,
        clock,
        halt: watch::Sender::new(None),
        kip_745: OnceCell::new(),
        old_worker: Cell::new(false),
        // When careful, the first such answer is one too many.
        unknown: Cell::new(if careful { UNKNOWN_IN_A_ROW.saturating_sub(1) } else { 0 }),
        not_now: Cell::new(if careful { NOT_NOW_IN_A_ROW.saturating_sub(1) } else { 0 }),
    };
    // A signal or the deadline that came before the first request leaves nothing to be sent.
    let early = *interrupt.borrow();
    if let Some(signalled) = early {
        sending.stop(Halt::Signal(signalled.number));
    } else if Instant::now() >= end {
        sending.stop(Halt::Deadline);
    }
    let mut all = std::pin::pin!(sending.send(batches, careful, parallel));
    let (mut first, mut second) = (interrupt.clone(), interrupt.clone());
    let mut signalled = early.is_some();
    loop {
        tokio::select! {
            () = &mut all => break,
            () = sleep_until(end) => {
                sending.stop(Halt::Deadline);
                break;
            }
            number = interrupted(&mut first), if !signalled => {
                signalled = true;
                sending.stop(Halt::Signal(number));
                tracing::warn!(
                    "interrupted: waiting for requests in flight, for {} at most; a second signal ends that",
                    humantime::format_duration(GRACE)
                );
                end = Instant::now().checked_add(GRACE).map_or(end, |grace| grace.min(end));
            }
            () = interrupted_again(&mut second), if signalled => break,
        }
    }
    // What is still in flight stays noted as unknown.
    Applied { halt: sending.halted(), one_by_one: sending.old_worker.get() }
}

impl<C: Cluster> Sending<'_, C> {
    /// In parallel over connectors; when `careful`, one first and the others after its answer.
    async fn send(&self, mut batches: impl Iterator<Item = Batch>, careful: bool, parallel: usize) {
        let first = if careful { batches.next() } else { None };
        if let Some(batch) = first {
            self.send_all(batch).await;
        }
        stream::iter(batches).for_each_concurrent(parallel.max(1), |batch| self.send_all(batch)).await;
    }

    async fn send_all(&self, batch: Batch) {
        let mut calls: VecDeque<Call> = batch.into();
        let mut read_at = Some(self.read_at);
        while let Some(call) = calls.pop_front() {
            if self.halted().is_some() {
                return;
            }
            if let Call::FailedOf { expected, .. } = &call
                && !self.supports_kip_745().await
            {
                calls.extend(Call::one_by_one(expected.iter().cloned()));
                continue;
            }
            match self.send_one(&call, read_at).await {
                Understood::Whole if matches!(call, Call::ConnectorFirst { .. }) => {
                    if !self.tasks_may_follow(&call) {
                        return; // What depends on it comes behind it, and nothing else does.
                    }
                    read_at = None;
                }
                Understood::Whole => {}
                Understood::ConnectorOnly => {
                    self.old_worker.set(true);
                    let (tasks, own): (Vec<_>, Vec<_>) =
                        call.ids().iter().cloned().partition(|id| id.task.is_some());
                    self.note(own.into_iter().map(|id| (id, Outcome::Taken)));
                    calls.extend(Call::one_by_one(tasks));
                }
            }
        }
    }

    /// Whether the tasks for whose sake a connector was to be restarted are restarted now: it was, or that is refused. What
    /// passes is waited for, and what became of the connector is what becomes of them.
    fn tasks_may_follow(&self, call: &Call) -> bool {
        let mut charges = self.charges.borrow_mut();
        let mut may = true;
        for id in call.ids() {
            let Some(charge) = charges.get_mut(id) else { continue };
            match charge.outcome {
                Some(Outcome::Taken | Outcome::FailedAgain(_)) => charge.connector_restarted = true,
                Some(Outcome::Refused(_) | Outcome::NotFound(_) | Outcome::Unaddressable(_)) => {}
                _ => {
                    may = false;
                    continue;
                }
            }
            charge.forget();
        }
        may
    }

    /// Sends one call, again for as long as the answer is "not now". `read_at` is when its status was asked for; `None`
    /// when something has changed since.
    async fn send_one(&self, call: &Call, mut read_at: Option<Instant>) -> Understood {
        let started = Instant::now();
        let mut waits = AGAIN_AFTER.iter();
        loop {
            let mut unwanted = None;
            let is_old = read_at.is_none_or(|read_at| read_at.elapsed() >= RECHECK_AFTER);
            if is_old && !matches!(call, Call::FailedOf { .. }) {
                read_at = Some(Instant::now());
                tokio::select! {
                    found = self.recheck(call) => unwanted = found,
                    () = self.halting() => return Understood::Whole,
                }
            }
            let sent = if let Some(sent) = unwanted {
                sent
            } else {
                self.note(call.all(&Outcome::Unknown("it was under way when the run ended".into())));
                self.cluster.restart(call).await
            };
            match sent {
                Sent::Done(outcomes) => {
                    for (_, outcome) in &outcomes {
                        match outcome {
                            Outcome::Unauthorized(_) => self.stop(Halt::Unauthorized),
                            Outcome::NotSent(_) => self.stop(Halt::NoWorker),
                            _ => {}
                        }
                    }
                    let is_unknown = outcomes.iter().any(|(_, it)| matches!(it, Outcome::Unknown(_)));
                    self.note(outcomes);
                    if matches!(call, Call::FailedOf { .. }) {
                        self.by_several(call.ids());
                    }
                    self.unknown.set(if is_unknown { self.unknown.get().saturating_add(1) } else { 0 });
                    self.not_now.set(0);
                    if self.unknown.get() >= UNKNOWN_IN_A_ROW {
                        self.stop(Halt::Sick);
                    }
                    return Understood::Whole;
                }
                Sent::OldWorker => {
                    self.forget(call.ids());
                    return Understood::ConnectorOnly;
                }
                Sent::Retry(outcome) => {
                    self.note(call.all(&outcome));
                    let wait =
                        waits.next().filter(|wait| started.elapsed().saturating_add(**wait) <= TRIED_FOR);
                    let Some(wait) = wait else {
                        self.not_now.set(self.not_now.get().saturating_add(1));
                        if self.not_now.get() >= NOT_NOW_IN_A_ROW {
                            self.stop(Halt::Sick);
                        }
                        return Understood::Whole;
                    };
                    tokio::select! {
                        () = sleep(*wait) => {}
                        () = self.halting() => return Understood::Whole,
                    }
                }
            }
        }
    }

    /// Reads the connector's status once more. `Some` says why the call is not sent; `None` that it still is what it was
    /// planned to be.
    async fn recheck(&self, call: &Call) -> Option<Sent> {
        match self.cluster.status(call).await {
            Ok(now) => call.no_longer_due(&now).map(|why| Sent::Done(call.all(&Outcome::NoLongerDue(why)))),
            Err(sent) => Some(sent),
        }
    }

    /// Asked only when it matters; a run that ends meanwhile needs no answer.
    async fn supports_kip_745(&self) -> bool {
        !self.old_worker.get()
            && *self
                .kip_745
                .get_or_init(|| async {
                    tokio::select! {
                        can = self.cluster.supports_kip_745() => can,
                        () = self.halting() => false,
                    }
                })
                .await
    }

    fn note(&self, outcomes: impl IntoIterator<Item = (InstanceId, Outcome)>) {
        let now = (self.clock)();
        let mut charges = self.charges.borrow_mut();
        for (id, outcome) in outcomes {
            if let Some(charge) = charges.get_mut(&id) {
                charge.note(outcome, now);
            }
        }
    }

    fn by_several(&self, ids: &[InstanceId]) {
        let mut charges = self.charges.borrow_mut();
        for id in ids {
            if let Some(charge) = charges.get_mut(id) {
                charge.by_several = true;
            }
        }
    }

    /// As if nothing had been sent for these.
    fn forget(&self, ids: &[InstanceId]) {
        let mut charges = self.charges.borrow_mut();
        for id in ids {
            if let Some(charge) = charges.get_mut(id) {
                charge.forget();
            }
        }
    }

    fn halted(&self) -> Option<Halt> {
        *self.halt.borrow()
    }

    async fn halting(&self) {
        // It cannot fail while `self` keeps the sender.
        let _ = self.halt.subscribe().wait_for(Option::is_some).await;
    }

    /// Lets nothing more be sent. Of several reasons the first is kept.
    fn stop(&self, reason: Halt) {
        self.halt.send_if_modified(|halt| halt.is_none() && halt.replace(reason).is_none());
    }
}

/// How much of a call the worker understood.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Understood {
    Whole,
    /// An old worker ignored the query and restarted only the connector's own instance.
    ConnectorOnly,
}
