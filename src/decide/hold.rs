//! A hold: a person's word that guardian must not touch some connectors for a time. What it is and
//! how it is told; what it matches and when it ends is told in `holding`.

use std::fmt;
use std::time::Duration;

use super::shared::SharedStr;
use super::text::show_name;
use super::time::Timestamp;

/// No hold lasts longer: what is left alone for good is excluded.
pub const LONGEST_HOLD: Duration = Duration::from_secs(30 * 24 * 60 * 60);

/// One hold.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Hold {
    /// Connectors by name, with `*` and `?`.
    pub pattern: SharedStr,
    /// `user@host`.
    pub by: SharedStr,
    pub reason: Option<SharedStr>,
    pub since: Timestamp,
    pub until: Timestamp,
}

/// For a person: `orders-* until 2026-11-22T10:00:00Z by anna@ops: migration`.
impl fmt::Display for Hold {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", show_name(&self.pattern), Terms(self))
    }
}

/// Until when, by whom and why.
pub(super) struct Terms<'a>(pub(super) &'a Hold);

impl fmt::Display for Terms<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Hold { by, until, reason, .. } = self.0;
        write!(f, "until {until} by {by}")?;
        reason.as_ref().map_or(Ok(()), |reason| write!(f, ": {reason}"))
    }
}

/// The holds of this side and of theirs, both grown from `base`, by pattern. A run only ends them: where they changed, a
/// person's word stands.
pub(super) fn merge(ours: &[Hold], base: &[Hold], theirs: &[Hold]) -> Vec<Hold> {
    let of =
        |holds: &[Hold], pattern: &SharedStr| holds.iter().find(|hold| hold.pattern == *pattern).cloned();
    let mut patterns: Vec<SharedStr> = theirs.iter().map(|hold| SharedStr::clone(&hold.pattern)).collect();
    for hold in ours {
        if !patterns.contains(&hold.pattern) {
            patterns.push(SharedStr::clone(&hold.pattern));
        }
    }
    let pick = |pattern: &SharedStr| {
        let theirs = of(theirs, pattern);
        if theirs == of(base, pattern) { of(ours, pattern) } else { theirs }
    };
    patterns.iter().filter_map(pick).collect()
}
