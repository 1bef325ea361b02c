//! The settings that decide about restarts.

use anyhow::Result;

use super::sources::{DURATION, Inputs, at_least, or_word, positive_duration};
use crate::cli;
use crate::decide::policy::{Pace, Policy};

pub(super) fn read(inputs: &Inputs<'_>) -> Result<Policy> {
    Ok(Policy {
        backoff: !inputs.typed.has(&cli::NO_BACKOFF) && inputs.switch(&cli::NO_BACKOFF)?,
        max_restart: inputs.parsed(
            &cli::MAX_RESTART,
            "a whole number from 1, or unlimited",
            or_word("unlimited", at_least(1)),
        )?,
        ratio: inputs.parsed(&cli::EXPONENTIAL_RATIO, "a whole number from 1", at_least(1))?,
        pace: pace(inputs)?,
        settle: inputs.parsed(&cli::SETTLE, DURATION, |text| humantime::parse_duration(text).ok())?,
        stuck_after: inputs.parsed(
            &cli::STUCK_AFTER,
            "a whole number from 1, or off",
            or_word("off", at_least(1)),
        )?,
        max_per_run: inputs.parsed(
            &cli::MAX_RESTARTS_PER_RUN,
            "a whole number, or unlimited",
            or_word("unlimited", at_least(0)),
        )?,
    })
}

fn pace(inputs: &Inputs<'_>) -> Result<Pace> {
    let step = inputs.parsed(
        &cli::BACKOFF_STEP,
        "run, or a duration such as 5m",
        or_word("run", positive_duration),
    )?;
    let cap = inputs.value(&cli::BACKOFF_CAP)?;
    Ok(match step {
        None => {
            let takes = "none or a whole number of runs, because --backoff-step counts runs";
            Pace::Runs { cap: cap.parse(takes, or_word("none", at_least(1)))? }
        }
        Some(step) => {
            let takes = "none or a duration such as 1h, because --backoff-step counts the clock";
            Pace::Clock { step, cap: cap.parse(takes, or_word("none", positive_duration))? }
        }
    })
}
