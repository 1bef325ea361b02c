//! `guardian hold` and `guardian release`: a person's word that some connectors are not to be touched for a time, and that
//! they may be again. They ask Connect nothing, so a pattern may match what is yet to come.

use std::time::Duration;

use super::edit::edit;
use super::{fail, print, system_clock};
use crate::cli::{Command, Typed};
use crate::config::{Config, Output};
use crate::decide::hold::{Hold, LONGEST_HOLD};
use crate::decide::ledger::Ledger;
use crate::decide::shared::SharedStr;
use crate::decide::text::{name_some, one_line, read_name, sanitize, show_name};
use crate::exit::{Exit, Failure, Kind};
use crate::report::json::{self, HoldDocument};

const NAMED: usize = 10;
const EVERYTHING: &str = "*";

/// What was released, what is still held, and what was not held at all.
type Released = (Vec<Hold>, Vec<Hold>, Option<Failure>);

/// Holds what was named.
pub async fn hold(config: &Config, typed: &Typed) -> Exit {
    match hold_all(config, typed).await {
        Ok((held, all)) => publish(config, Command::Hold, &held, &all, None),
        Err(failure) => fail(Some(Command::Hold), config.reporting.output, failure),
    }
}

/// Releases what was named.
pub async fn release(config: &Config, typed: &Typed) -> Exit {
    let patterns = match patterns(typed, "release takes PATTERN or --all") {
        Ok(patterns) => patterns,
        Err(failure) => return fail(Some(Command::Release), config.reporting.output, failure),
    };
    match edit(config, |ledger| let_go(config, typed, ledger, &patterns)).await {
        Ok((released, left, failure)) => {
            publish(config, Command::Release, &released, &left, failure.as_ref())
        }
        Err(failure) => fail(Some(Command::Release), config.reporting.output, failure),
    }
}

async fn hold_all(config: &Config, typed: &Typed) -> Result<(Vec<Hold>, Vec<Hold>), Failure> {
    let patterns = patterns(typed, "hold takes PATTERN or --all, and --for DURATION")?;
    let lasts = duration(&typed.lasting())?;
    let reason: Option<SharedStr> = typed.reason().map(|reason| one_line(&reason).into());
    edit(config, |ledger| {
        let now = system_clock();
        ledger.end_holds(now);
        let new = |pattern: &SharedStr| Hold {
            pattern: SharedStr::clone(pattern),
            by: SharedStr::clone(&config.person),
            reason: reason.clone().filter(|reason| !reason.is_empty()),
            since: now,
            until: now.plus(lasts),
        };
        let new: Vec<Hold> = patterns.iter().map(new).collect();
        ledger.hold(new.clone());
        ((new, ledger.holds.clone()), true)
    })
    .await
}

fn let_go(config: &Config, typed: &Typed, ledger: &mut Ledger, patterns: &[SharedStr]) -> (Released, bool) {
    let now = system_clock();
    ledger.end_holds(now);
    let held: Vec<SharedStr> = ledger.holds.iter().map(|hold| SharedStr::clone(&hold.pattern)).collect();
    let meant = if typed.everything() { held.clone() } else { patterns.to_vec() };
    let unknown: Vec<&SharedStr> = meant.iter().filter(|pattern| !held.contains(pattern)).collect();
    let failure = (!unknown.is_empty()).then(|| {
        let unknown = name_some(unknown.iter().map(|pattern| show_name(pattern)), NAMED);
        let held = match held.as_slice() {
            [] => "nothing is held".to_owned(),
            held => format!("held: {}", name_some(held.iter().map(|pattern| show_name(pattern)), NAMED)),
        };
        Failure::new(Kind::State, format!("not held: {unknown}; {held} (state {})", config.state))
    });
    let released = ledger.release(&meant, &config.person, now);
    let has_changed = !released.is_empty();
    ((released, ledger.holds.clone(), failure), has_changed)
}

fn patterns(typed: &Typed, takes: &str) -> Result<Vec<SharedStr>, Failure> {
    if typed.everything() {
        return Ok(vec![EVERYTHING.into()]);
    }
    let mut patterns: Vec<SharedStr> = Vec::new();
    for name in typed.names() {
        // An empty variable in a script would hold nothing, unseen.
        if name.is_empty() {
            return Err(Failure::new(Kind::Usage, format!("{takes}, and a pattern is not empty")));
        }
        let pattern: SharedStr = read_name(&name).into();
        if !patterns.contains(&pattern) {
            patterns.push(pattern);
        }
    }
    if patterns.is_empty() { Err(Failure::new(Kind::Usage, takes)) } else { Ok(patterns) }
}

fn duration(text: &str) -> Result<Duration, Failure> {
    let parsed = humantime::parse_duration(text.trim()).ok();
    parsed.filter(|lasts| !lasts.is_zero() && *lasts <= LONGEST_HOLD).ok_or_else(|| {
        let text = sanitize(text);
        Failure::new(
            Kind::Usage,
            format!("--for takes a duration such as 2h or 1day, at most 30days, not {text:?}"),
        )
        .hint("what is to be left alone for good: --exclude")
    })
}

fn publish(
    config: &Config,
    command: Command,
    done: &[Hold],
    holds: &[Hold],
    failure: Option<&Failure>,
) -> Exit {
    if let Some(failure) = failure {
        tracing::error!("{failure}");
    }
    let exit = failure.map_or(Exit::Done, |failure| Exit::Failed(failure.kind));
    let (cluster, state) = (&config.cluster, config.state.to_string());
    match config.reporting.output {
        Output::Json => print(exit, |stdout| {
            let command = command.as_str();
            json::write_holds(&HoldDocument { command, cluster, state: &state, done, holds, failure }, stdout)
        }),
        Output::Text => print(exit, |stdout| {
            let word = if command == Command::Hold { "held" } else { "released" };
            done.iter().try_for_each(|hold| writeln!(stdout, "{word}: {hold}"))?;
            match done.len() {
                0 if failure.is_none() => writeln!(stdout, "nothing was held"),
                _ => Ok(()),
            }
        }),
    }
}
