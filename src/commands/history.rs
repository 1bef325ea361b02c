//! `guardian history`: what happened, out of the state. It locks, sends and writes nothing.

use std::time::SystemTime;

use super::{fail, print, system_clock};
use crate::cli::{Command, Typed};
use crate::config::{Config, Output};
use crate::decide::select::Patterns;
use crate::decide::text::{read_name, sanitize};
use crate::decide::time::Timestamp;
use crate::exit::{Exit, Failure, Kind};
use crate::report::history::{Asked, json, text};
use crate::store;

/// Shows what happened.
pub async fn history(config: &Config, typed: &Typed) -> Exit {
    let asked = match asked(typed, system_clock()) {
        Ok(asked) => asked,
        Err(failure) => return fail(Some(Command::History), config.reporting.output, failure),
    };
    let loaded = match store::peek(&config.state, &config.cluster).await {
        Ok(loaded) => loaded,
        Err(failure) => return fail(Some(Command::History), config.reporting.output, failure),
    };
    if let Some(warning) = loaded.warning {
        tracing::error!("{warning}");
    }
    let (cluster, state) = (&config.cluster, config.state.to_string());
    print(Exit::Done, |stdout| match config.reporting.output {
        Output::Json => json(&loaded.ledger, cluster, &state, &asked, stdout),
        Output::Text => stdout.write_all(text(&loaded.ledger, cluster, &asked).as_bytes()),
    })
}

fn asked(typed: &Typed, now: Timestamp) -> Result<Asked, Failure> {
    let moment = |name, text: Option<String>| match text {
        Some(text) => moment(&text, now).map(Some).ok_or_else(|| wrong(name, &text)),
        None => Ok(None),
    };
    let since = moment("--since", typed.since())?;
    let mut until = moment("--until", typed.until())?;
    // 22:00 to 06:00, and it is not six yet.
    let is_time = typed.until().is_some_and(|text| time_of_day(text.trim()).is_some());
    if is_time && until < since {
        until = until.map(|until| until.plus(DAY));
    }
    if let (Some(since), Some(until)) = (since, until)
        && until < since
    {
        return Err(Failure::new(Kind::Usage, format!("--until {until} is before --since {since}")));
    }
    let connector = typed.connector();
    let connector =
        connector.map(|shown| Patterns::new("--connector", &[read_name(&shown).into_owned(), shown]));
    Ok(Asked { since, until, connector, now })
}

const DAY: std::time::Duration = std::time::Duration::from_secs(24 * 60 * 60);

fn wrong(name: &str, text: &str) -> Failure {
    let text = sanitize(text);
    let takes = "takes a duration (8h is eight hours ago), a time of day (02:00, in UTC) or RFC 3339";
    Failure::new(Kind::Usage, format!("{name} {takes}, not {text:?}"))
}

/// The moment that a person means.
fn moment(text: &str, now: Timestamp) -> Option<Timestamp> {
    let text = text.trim();
    if let Some(time) = time_of_day(text) {
        let midnight =
            Timestamp::from_millis(now.millis().checked_div(DAY_MILLIS)?.saturating_mul(DAY_MILLIS));
        let today = midnight.plus(time);
        let yesterday = Timestamp::from_millis(today.millis().saturating_sub(DAY_MILLIS));
        return Some(if today > now { yesterday } else { today });
    }
    if let Ok(ago) = humantime::parse_duration(text) {
        let millis = u64::try_from(ago.as_millis()).unwrap_or(u64::MAX);
        return Some(Timestamp::from_millis(now.millis().saturating_sub(millis)));
    }
    let rfc_3339 = |text: &str| humantime::parse_rfc3339_weak(text).ok().map(|time: SystemTime| time.into());
    rfc_3339(text).or_else(|| rfc_3339(&format!("{text}T00:00:00Z")))
}

const DAY_MILLIS: u64 = 24 * 60 * 60 * 1000;

/// `02:00` or `02:00:30`, as the time since midnight.
fn time_of_day(text: &str) -> Option<std::time::Duration> {
    let mut parts = text.split(':').map(|part| {
        let is_number = (1..=2).contains(&part.len()) && part.bytes().all(|byte| byte.is_ascii_digit());
        part.parse::<u64>().ok().filter(|_| is_number)
    });
    let (hours, minutes) = (parts.next()??, parts.next()??);
    let seconds = parts.next().unwrap_or(Some(0))?;
    if parts.next().is_some() || hours > 23 || minutes > 59 || seconds > 59 {
        return None;
    }
    let minutes = hours.saturating_mul(60).saturating_add(minutes);
    Some(std::time::Duration::from_secs(minutes.saturating_mul(60).saturating_add(seconds)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_moment_is_what_a_person_means() {
        let at = |text: &str| Timestamp::from(humantime::parse_rfc3339(text).unwrap());
        let now = at("2026-11-27T04:00:00Z");
        for (text, means) in [
            ("8h", Some("2026-11-26T20:00:00Z")),
            ("90m", Some("2026-11-27T02:30:00Z")),
            ("02:00", Some("2026-11-27T02:00:00Z")),
            ("4:00", Some("2026-11-27T04:00:00Z")),
            ("06:00", Some("2026-11-26T06:00:00Z")),
            ("23:59:59", Some("2026-11-26T23:59:59Z")),
            ("2026-11-20T01:02:03Z", Some("2026-11-20T01:02:03Z")),
            ("2026-11-20 01:02:03", Some("2026-11-20T01:02:03Z")),
            ("2026-11-20", Some("2026-11-20T00:00:00Z")),
            ("24:00", None),
            ("+2:00", None),
            ("2:00:00:00", None),
            ("yesterday", None),
            ("", None),
            ("8", None),
        ] {
            assert_eq!(moment(text, now), means.map(at), "{text}");
        }
    }
}
