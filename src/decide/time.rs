//! Moments, as the deciding half knows them: values that come in from outside. There is no clock here.

use std::fmt;
use std::num::NonZeroU64;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// A moment, in milliseconds since 1970 (UTC), at most the year 9999: the last
/// one that RFC 3339 can write.
///
/// Stored as milliseconds + 1 in a `NonZeroU64`, so that `Option<Timestamp>` is 8 bytes: an outage remembers six of them
/// for each of a hundred thousand tasks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Timestamp(NonZeroU64);

/// 1970-01-01T00:00:00Z.
impl Default for Timestamp {
    fn default() -> Self {
        Self(NonZeroU64::MIN)
    }
}

/// 9999-12-31T23:59:59.999Z.
const LAST_MILLI: u64 = 253_402_300_799_999;

impl Timestamp {
    /// The moment this many milliseconds after 1970 began.
    pub fn from_millis(millis: u64) -> Self {
        Self(NonZeroU64::MIN.saturating_add(millis.min(LAST_MILLI)))
    }

    /// Milliseconds since 1970 began.
    pub fn millis(self) -> u64 {
        self.0.get().saturating_sub(1)
    }

    /// The moment so many seconds after 1970 began.
    pub fn from_seconds(seconds: u32) -> Self {
        Self::from_millis(u64::from(seconds).saturating_mul(1000))
    }

    /// The first whole second since 1970 that is not before this moment, up to the year 2106.
    pub fn seconds(self) -> u32 {
        u32::try_from(self.millis().div_ceil(1000)).unwrap_or(u32::MAX)
    }

    /// This moment and `wait` more.
    pub fn plus(self, wait: Duration) -> Self {
        Self::from_millis(self.millis().saturating_add(whole_millis(wait)))
    }

    /// The time from `earlier` to this moment; zero when `earlier` is later.
    pub fn since(self, earlier: Self) -> Duration {
        Duration::from_millis(self.millis().saturating_sub(earlier.millis()))
    }
}

impl From<SystemTime> for Timestamp {
    fn from(time: SystemTime) -> Self {
        Self::from_millis(time.duration_since(UNIX_EPOCH).map_or(0, whole_millis))
    }
}

impl From<Timestamp> for SystemTime {
    fn from(time: Timestamp) -> Self {
        UNIX_EPOCH.checked_add(Duration::from_millis(time.millis())).unwrap_or(UNIX_EPOCH)
    }
}

/// RFC 3339 in UTC, whole seconds.
impl fmt::Display for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        humantime::format_rfc3339_seconds((*self).into()).fmt(f)
    }
}

fn whole_millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_timestamp_prints_as_rfc_3339_at_both_ends() {
        assert_eq!(Timestamp::from_millis(0).to_string(), "1970-01-01T00:00:00Z");
        assert_eq!(Timestamp::from_millis(u64::MAX).to_string(), "9999-12-31T23:59:59Z");
        assert_eq!(Timestamp::default().plus(Duration::MAX), Timestamp::from_millis(u64::MAX));
    }
}
