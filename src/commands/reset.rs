//! `guardian reset`: forget failures, so that the next run starts afresh with
//! them. It asks Connect nothing.

use std::collections::BTreeSet;

use super::edit::edit;
use super::{fail, print, system_clock};
use crate::cli::{Command, Typed};
use crate::config::{Config, Output};
use crate::decide::ledger::Ledger;
use crate::decide::model::InstanceId;
use crate::decide::text::{name_some, read_name, show_name};
use crate::exit::{Exit, Failure, Kind};
use crate::report::json;

/// Forgets what was named.
pub async fn reset(config: &Config, typed: &Typed) -> Exit {
    let names = typed.names();
    if names.is_empty() && !typed.everything() {
        let failure = Failure::new(Kind::Usage, "reset takes NAME, NAME/TASK or --all");
        return fail(Some(Command::Reset), config.reporting.output, failure);
    }
    match edit(config, |ledger| forget(config, ledger, &names)).await {
        Ok((forgotten, failure)) => report(config, &forgotten, failure.as_ref()),
        Err(failure) => fail(Some(Command::Reset), config.reporting.output, failure),
    }
}

/// Forgets the named records, or all; what is not remembered is a failure that
/// does not keep the others from being forgotten.
fn forget(
    config: &Config,
    ledger: &mut Ledger,
    names: &[String],
) -> ((Vec<InstanceId>, Option<Failure>), bool) {
    let all: Vec<InstanceId> = ledger.records.iter().map(|record| record.id.clone()).collect();
    let (forgotten, unknown) = if names.is_empty() { (all, Vec::new()) } else { find(ledger, names) };
    let failure = (!unknown.is_empty()).then(|| not_remembered(config, ledger, &unknown));
    let has_changed = !forgotten.is_empty();
    if has_changed {
        ledger.forget(&forgotten, &config.person, system_clock());
    }
    ((forgotten, failure), has_changed)
}

/// The remembered instances that are named, as they are shown or as they are, and the names that fit none.
fn find<'a>(ledger: &Ledger, names: &'a [String]) -> (Vec<InstanceId>, Vec<&'a str>) {
    let mut found = BTreeSet::new();
    let mut unknown = Vec::new();
    for name in names {
        match ledger.records.named(name) {
            [] => unknown.push(name.as_str()),
            records => found.extend(records.iter().map(|record| record.id.clone())),
        }
    }
    (found.into_iter().collect(), unknown)
}

fn not_remembered(config: &Config, ledger: &Ledger, unknown: &[&str]) -> Failure {
    const NAMED: usize = 10;
    let remembered = if ledger.records.is_empty() {
        "held nothing".to_owned()
    } else {
        format!("held {}", name_some(ledger.records.iter().map(|record| &record.id), NAMED))
    };
    let unknown: Vec<String> = unknown.iter().map(|name| show_name(&read_name(name)).into_owned()).collect();
    let message = format!("not remembered: {}; the state {} {remembered}", unknown.join(", "), config.state);
    Failure::new(Kind::State, message)
}

fn report(config: &Config, forgotten: &[InstanceId], failure: Option<&Failure>) -> Exit {
    if let Some(failure) = failure {
        tracing::error!("{failure}");
    }
    let exit = failure.map_or(Exit::Done, |failure| Exit::Failed(failure.kind));
    match config.reporting.output {
        Output::Json => {
            let state = config.state.to_string();
            print(exit, |stdout| json::write_reset(&config.cluster, &state, forgotten, failure, stdout))
        }
        Output::Text => print(exit, |stdout| {
            forgotten.iter().try_for_each(|id| writeln!(stdout, "forgotten: {id}"))?;
            match forgotten.len() {
                0 if failure.is_none() => writeln!(stdout, "nothing was remembered"),
                _ => Ok(()),
            }
        }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::decide::time::Timestamp;

    #[test]
    fn names_are_connectors_first_and_tasks_second() {
        let mut ledger = Ledger::default();
        for id in [
            InstanceId::connector("a"),
            InstanceId::task("a", 1),
            InstanceId::task("a/1", 0),
            InstanceId::task("b", 2),
        ] {
            ledger.charge(&id, Timestamp::default());
        }
        let found = |names: &[&str]| {
            let names: Vec<String> = names.iter().map(ToString::to_string).collect();
            let (found, unknown) = find(&ledger, &names);
            let found: Vec<String> = found.iter().map(ToString::to_string).collect();
            format!("{} | {}", found.join(" "), unknown.join(" "))
        };
        assert_eq!(found(&["a"]), "a a/1 | ");
        assert_eq!(found(&["a/1"]), "a/1/0 | ");
        assert_eq!(found(&["b/2", "b", "c", "b/3"]), "b/2 | c b/3");
    }
}
