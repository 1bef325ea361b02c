//! The settings that decide about restarts.

use std::time::Duration;

use anyhow::Result;

use super::sources::{DURATION, Inputs, at_least, or_word, positive_duration};
use crate::cli;
use crate::decide::policy::{Pace, Policy, TogetherPolicy, Wait};
use crate::decide::record::Record;

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
        max_per_day: inputs.parsed(
            &cli::MAX_RESTARTS_PER_DAY,
            "a whole number from 1 to 32, or unlimited",
            or_word("unlimited", |text| at_least(1)(text).filter(|most| *most <= Record::MOST_COUNTED)),
        )?,
        together: together(inputs)?,
    })
}

fn together(inputs: &Inputs<'_>) -> Result<TogetherPolicy> {
    let keep_trying = inputs.value(&cli::KEEP_TRYING)?;
    Ok(TogetherPolicy {
        group_from: inputs.parsed(
            &cli::GROUP_FROM,
            "a whole number from 2, or off",
            or_word("off", at_least(2)),
        )?,
        watch: inputs.parsed(&cli::WATCH, DURATION, |text| humantime::parse_duration(text).ok())?,
        rest: inputs.parsed(&cli::GROUP_REST, "a whole number of runs from 1", at_least(1))?,
        keep_trying: if let Some(step) = step(inputs)? {
            let takes = "off, a whole number of steps, or a duration such as 3h";
            let steps = |text: &str| step.checked_mul(at_least(1)(text)?);
            keep_trying
                .parse(takes, or_word("off", |text| positive_duration(text).or_else(|| steps(text))))?
                .map(Wait::Time)
        } else {
            let takes = "off or a whole number of runs, because --backoff-step counts runs";
            keep_trying.parse(takes, or_word("off", at_least(1)))?.map(Wait::Runs)
        },
    })
}

/// The length of a step; `None` counts runs.
fn step(inputs: &Inputs<'_>) -> Result<Option<Duration>> {
    inputs.parsed(&cli::BACKOFF_STEP, "run, or a duration such as 5m", or_word("run", positive_duration))
}

fn pace(inputs: &Inputs<'_>) -> Result<Pace> {
    let step = step(inputs)?;
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
