//! What became of the restart of one instance, and what that means: how it is counted and told. It changes no record
//! (`recording` does).

use std::sync::Arc;

use super::action::Action;
use super::event::Event;

/// What became of the restart of one instance. The text says why.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// Connect took it (202 or 204); that is not yet a recovery.
    Taken,
    /// Connect did it, and it failed again at once (500 "Failed to start").
    FailedAgain(Arc<str>),
    /// 404 as Connect's JSON: deleted meanwhile, or a name that the worker cannot forward. The second in a row is charged.
    NotFound(Arc<str>),
    /// Not now: a rebalance, a busy worker. Surely not taken.
    NotNow(Arc<str>),
    /// No worker got the request.
    NotSent(Arc<str>),
    /// Connect cannot address this name, ever.
    Unaddressable(Arc<str>),
    Refused(Arc<str>),
    /// 401 or 403: nothing else will be allowed either.
    Unauthorized(Arc<str>),
    /// Sent; Connect may have done it, or do it later.
    Unknown(Arc<str>),
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
    /// The verdict on an instance whose last restart was answered 404, or was not.
    pub fn verdict(&self, not_found_before: bool) -> Verdict {
        let (action, counts, incomplete, event) = match self {
            Self::Taken => (Action::Restarted, true, false, Some(Event::Restarted)),
            Self::FailedAgain(_) => (Action::Failed, true, false, Some(Event::FailedAgain)),
            Self::NotFound(_) if not_found_before => (Action::Failed, true, true, Some(Event::Refused)),
            Self::NotFound(_) => (Action::Gone, false, false, None),
            Self::NotNow(_) => (Action::Deferred, false, false, None),
            Self::NotSent(_) => (Action::Deferred, false, true, None),
            Self::Unaddressable(_) => (Action::Failed, true, true, Some(Event::Refused)),
            Self::Refused(_) | Self::Unauthorized(_) => (Action::Failed, false, true, Some(Event::Refused)),
            Self::Unknown(_) => (Action::Unknown, true, true, Some(Event::Unknown)),
        };
        Verdict { action, counts, incomplete, event }
    }

    /// Why, where there is a reason to give.
    pub fn text(&self) -> Option<&Arc<str>> {
        match self {
            Self::Taken => None,
            Self::FailedAgain(text)
            | Self::NotFound(text)
            | Self::NotNow(text)
            | Self::NotSent(text)
            | Self::Unaddressable(text)
            | Self::Refused(text)
            | Self::Unauthorized(text)
            | Self::Unknown(text) => Some(text),
        }
    }
}
