//! `guardian notify --test`: a marked message to each sink, and what it answered. It reads no state and asks Connect nothing.

use std::collections::BTreeMap;
use std::time::Duration;

use futures_util::future::join_all;
use tokio::time::{Instant, timeout};

use super::tell::{client, speaker};
use super::{fail, print, system_clock};
use crate::cli::{Command, Typed};
use crate::config::{Config, Notify, Output};
use crate::decide::tell::Digest;
use crate::exit::{Exit, Failure, Kind};
use crate::report::json;
use crate::tell::{Answer, Message, Sink, Speaker};

/// Tests the sinks that were named, or all.
pub(super) async fn notify(config: &Config, typed: &Typed) -> Exit {
    let sinks = match chosen(config, typed) {
        Ok(sinks) => sinks,
        Err(failure) => return fail(Some(Command::Notify), config.reporting.output, failure),
    };
    let client = match client(&config.notify, sinks.iter().any(|sink| sink.is_https())) {
        Ok(client) => client,
        Err(why) => {
            let failure =
                Failure::new(Kind::Usage, why).hint("see GUARDIAN_NOTIFY_PROXY and GUARDIAN_NOTIFY_CA_FILE");
            return fail(Some(Command::Notify), config.reporting.output, failure);
        }
    };
    let url = config.connect.urls.first().map(ToString::to_string).unwrap_or_default();
    let now = system_clock();
    let digest = Digest { run: 0, at: now, first_at: now, bullets: Vec::new(), open: BTreeMap::new() };
    let speaker = Speaker { test: true, ..speaker(config, url.trim_end_matches('/')) };
    let message = Message { speaker, digest: &digest, before: &[], after: &[] };
    let tests = sinks.iter().map(|sink| async {
        let started = Instant::now();
        let told = timeout(Notify::TIME, sink.tell(message, &client)).await;
        let answer = told.unwrap_or_else(|_| Answer::unknown("no answer within 15 s"));
        Tested { sink, answer, took: started.elapsed() }
    });
    report(config, &join_all(tests).await)
}

struct Tested<'a> {
    sink: &'a Sink,
    answer: Answer,
    took: Duration,
}

fn chosen<'a>(config: &'a Config, typed: &Typed) -> Result<Vec<&'a Sink>, Failure> {
    let wrong = |message: String| Failure::new(Kind::Usage, message);
    if !typed.tests() {
        return Err(wrong("notify takes --test, and the names of sinks if only some are meant".to_owned()));
    }
    let all = &config.notify.sinks;
    if all.is_empty() {
        let hint = "set GUARDIAN_NOTIFY or GUARDIAN_NOTIFY_FILE: KIND NAME WHERE a line";
        return Err(wrong("no sink is set, so that nobody can be told".to_owned()).hint(hint));
    }
    let names = typed.names();
    let known = || all.iter().map(|sink| &*sink.name).collect::<Vec<_>>().join(", ");
    if let Some(unknown) = names.iter().find(|name| !all.iter().any(|sink| *sink.name == ***name)) {
        return Err(wrong(format!("no sink is called {unknown:?}; there is {}", known())));
    }
    Ok(all.iter().filter(|sink| names.is_empty() || names.iter().any(|name| *name == *sink.name)).collect())
}

fn report(config: &Config, tested: &[Tested<'_>]) -> Exit {
    let failed: Vec<&str> =
        tested.iter().filter(|one| !one.answer.is_ok()).map(|one| &*one.sink.name).collect();
    let failure =
        (!failed.is_empty()).then(|| Failure::new(Kind::Tell, format!("not told: {}", failed.join(", "))));
    if let Some(failure) = &failure {
        tracing::error!("{failure}");
    }
    let exit = failure.as_ref().map_or(Exit::Done, |failure| Exit::Failed(failure.kind));
    match config.reporting.output {
        Output::Json => print(exit, |stdout| {
            let rows = tested.iter().map(|Tested { sink, answer, took }| json::TestedKey {
                kind: sink.kind(),
                sink: &sink.name,
                host: sink.shown(),
                ok: answer.is_ok(),
                answer: &answer.text,
                duration_ms: u64::try_from(took.as_millis()).unwrap_or(u64::MAX),
            });
            json::write_notify(&config.cluster, rows.collect(), failure.as_ref(), stdout)
        }),
        Output::Text => print(exit, |stdout| {
            tested.iter().try_for_each(|Tested { sink, answer, took }| {
                let ok = if answer.is_ok() { "told" } else { "NOT TOLD" };
                let (kind, name, place) = (sink.kind(), &sink.name, sink.shown());
                writeln!(stdout, "{kind}  {name}  {place}  {ok}: {} ({} ms)", answer.text, took.as_millis())
            })
        }),
    }
}
