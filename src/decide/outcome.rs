//! What became of the restart of one instance, and what that means: how it is counted and told. It changes no record
//! (`recording` does).

use super::action::Action;
use super::event::Event;
use super::record::{NotTaken, Reply};
use super::shared::SharedStr;

/// What became of the restart of one instance. The text says why.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// Connect took it; that is not yet a recovery.
    Taken,
    /// Connect did it, and it failed again at once (500 "Failed to start").
    FailedAgain(SharedStr),
    /// 404 as Connect's JSON: deleted meanwhile, or a name that the worker cannot forward. The second in a row is charged.
    NotFound(SharedStr),
    /// 404 "Unknown task" of a task that is listed: deleted meanwhile, or its status was left behind (KAFKA-9472).
    UnknownTask(SharedStr),
    /// Not now: a rebalance, a busy worker. Surely not taken.
    NotNow(SharedStr),
    /// The worker or proxy that was asked could not reach the worker that has to do it. Surely not taken.
    NotReached(SharedStr, Unreached),
    /// Not sent: by now it is no longer what made it due.
    NoLongerDue(SharedStr),
    /// No worker got the request.
    NotSent(SharedStr),
    /// Connect cannot address this name, ever.
    Unaddressable(SharedStr),
    /// Not this one; another connector's may be allowed.
    Refused(SharedStr),
    /// 401, or 403 of a proxy: nothing else will be allowed either.
    Unauthorized(SharedStr),
    /// Sent; Connect may have done it, or do it later.
    Unknown(SharedStr),
}

/// What a person can do where workers do not reach each other. A small value: an outage has a hundred thousand outcomes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unreached {
    /// The address by which the workers know each other.
    Advertised,
    WorkerTls,
    NoUpstream,
}

impl Unreached {
    /// What to check.
    pub fn hint(self) -> &'static str {
        match self {
            Self::Advertised => {
                "the workers cannot reach each other: check rest.advertised.host.name, rest.advertised.port and \
                 rest.advertised.listener of each"
            }
            Self::WorkerTls => {
                "the workers cannot talk TLS to each other: check listeners.https.ssl.* (or ssl.*) of each"
            }
            Self::NoUpstream => {
                "the proxy passed it to no worker: is one up, or are these too many requests at once \
                 (GUARDIAN_PARALLEL)?"
            }
        }
    }
}

/// What an outcome makes of an instance.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Verdict {
    pub action: Action,
    /// The attempt counts; else it is refunded.
    pub counts: bool,
    /// The run could not do all its work.
    pub incomplete: bool,
    /// What there is to tell.
    pub event: Option<Event>,
}

impl Outcome {
    /// The verdict on an instance whose last restarts were answered like this.
    pub fn verdict(&self, before: Option<&NotTaken>) -> Verdict {
        let again = self.reply().and_then(|reply| before.filter(|before| before.reply == reply));
        let (action, counts, incomplete, event) = match self {
            Self::Taken => (Action::Restarted, true, false, Some(Event::Restarted)),
            Self::FailedAgain(_) => (Action::Failed, true, false, Some(Event::FailedAgain)),
            Self::NotFound(_) if again.is_some() => (Action::Failed, true, true, Some(Event::Refused)),
            Self::UnknownTask(_) if again.is_some() => (Action::Gone, false, false, Some(Event::Phantom)),
            Self::NotFound(_) | Self::UnknownTask(_) => (Action::Gone, false, false, None),
            Self::NotNow(_) if again.is_some_and(NotTaken::becomes_lasting) => {
                (Action::Deferred, false, true, Some(Event::Refused))
            }
            Self::NotNow(_) | Self::NoLongerDue(_) => (Action::Deferred, false, false, None),
            Self::NotReached(..) => (Action::Deferred, false, true, Some(Event::Refused)),
            Self::NotSent(_) => (Action::Deferred, false, true, None),
            Self::Unaddressable(_) => (Action::Failed, true, true, Some(Event::Refused)),
            Self::Refused(_) | Self::Unauthorized(_) => (Action::Failed, false, true, Some(Event::Refused)),
            Self::Unknown(_) => (Action::Unknown, true, true, Some(Event::Unknown)),
        };
        Verdict { action, counts, incomplete, event }
    }

    /// What is remembered of Connect's reply, where it did not take the restart.
    pub fn reply(&self) -> Option<Reply> {
        match self {
            Self::NotNow(_) | Self::NotReached(..) | Self::Refused(_) | Self::Unauthorized(_) => {
                Some(Reply::No)
            }
            Self::NotFound(_) => Some(Reply::NotFound),
            Self::UnknownTask(_) => Some(Reply::UnknownTask),
            _ => None,
        }
    }

    /// Why, where there is a reason to give.
    pub fn text(&self) -> Option<&SharedStr> {
        match self {
            Self::Taken => None,
            Self::FailedAgain(text)
            | Self::NotFound(text)
            | Self::UnknownTask(text)
            | Self::NotNow(text)
            | Self::NotReached(text, _)
            | Self::NoLongerDue(text)
            | Self::NotSent(text)
            | Self::Unaddressable(text)
            | Self::Refused(text)
            | Self::Unauthorized(text)
            | Self::Unknown(text) => Some(text),
        }
    }
}
