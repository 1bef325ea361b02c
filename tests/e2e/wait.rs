//! Waiting for a condition: with a deadline, and with what was last seen when it passes.
//!
//! Nothing here sleeps "long enough": a caller names what it awaits and how to look. A condition that does
//! not come is a failure that says so, never a retry.

use std::time::{Duration, Instant};

/// Far above what any condition here needs (most take under a second, a rebalance a few), because CI shares
/// two cores.
pub const PATIENCE: Duration = Duration::from_secs(90);

/// How often to look. A look is one request to loopback or one small file.
const EVERY: Duration = Duration::from_millis(50);

/// Looks until `look` returns `Ok`, which is returned. `Err` says what was seen instead.
pub fn until<T>(awaited: &str, look: impl FnMut() -> Result<T, String>) -> T {
    until_within(PATIENCE, awaited, look)
}

pub fn until_within<T>(patience: Duration, awaited: &str, mut look: impl FnMut() -> Result<T, String>) -> T {
    let started = Instant::now();
    loop {
        match look() {
            Ok(found) => return found,
            Err(seen) if started.elapsed() > patience => {
                panic!("waited {} s for: {awaited}\nlast seen: {seen}", patience.as_secs())
            }
            Err(_) => std::thread::sleep(EVERY),
        }
    }
}
