//! Telling: after the state is saved, all sinks side by side and the heartbeat beside them, within a time of its own. It
//! can neither fail a run nor delay a restart; what became of each message is saved last.

use std::time::Duration;

use futures_util::StreamExt;
use futures_util::stream::FuturesUnordered;
use reqwest::Client;
use tokio::time::sleep;

use super::{Clock, system_clock};
use crate::config::{Config, Notify};
use crate::decide::history::Entry;
use crate::decide::ledger::Ledger;
use crate::decide::tell::{Delivery, Telling};
use crate::http;
use crate::report::ToldOne;
use crate::signal::{Interrupt, interrupted};
use crate::store::Store;
use crate::tell::heartbeat::Heartbeat;
use crate::tell::{Answer, Message, Sink, Speaker};

/// A sink that does not accept a connection within this time is not there.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(3);
/// The heartbeat's name, where a sink's would stand.
pub(super) const HEARTBEAT: &str = "heartbeat";

/// What a run has to say besides its messages.
pub(super) struct Pulse {
    pub(super) code: u8,
    pub(super) summary: String,
}

/// Tells all that are to be told, and writes down what became of it. Without a state (`store`) nothing is remembered, and
/// nobody but the heartbeat is told anything.
pub(super) async fn tell<S: Store>(
    config: &Config,
    url: &str,
    store: Option<&mut S>,
    (ledger, tellings): (&mut Ledger, Vec<Telling>),
    pulse: Pulse,
    interrupt: &Interrupt,
) -> Vec<ToldOne> {
    let notify = &config.notify;
    let heartbeat = notify.heartbeat.as_ref().filter(|heartbeat| heartbeat.beats(pulse.code));
    let tellings = if store.is_some() { tellings } else { Vec::new() };
    if heartbeat.is_none() && tellings.is_empty() {
        return Vec::new();
    }
    let sinks = || tellings.iter().filter_map(|telling| Some((telling, find(notify, telling)?)));
    let https = sinks().any(|(_, sink)| sink.is_https()) || heartbeat.is_some_and(Heartbeat::is_https);
    let speaker = speaker(config, url);
    let client = match client(notify, https) {
        Ok(client) => client,
        Err(why) => {
            // Nobody was told: what is true is said as soon as it can be.
            let failed = sinks().map(|(telling, sink)| {
                (Some(telling), sink.name.to_string(), sink.shown(), Answer::nobody(&why))
            });
            let failed = failed.collect();
            return conclude(store, ledger, failed, speaker, &system_clock).await;
        }
    };
    let mut messages = FuturesUnordered::new();
    for (telling, sink) in sinks() {
        let message =
            Message { speaker, digest: &telling.digest, before: &telling.before, after: &telling.after };
        let client = &client;
        messages.push(Box::pin(async move {
            let answer = sink.tell(message, client).await;
            (Some(telling), sink.name.to_string(), sink.shown(), answer)
        }) as Pending<'_>);
    }
    if let Some(heartbeat) = heartbeat {
        let (client, pulse) = (&client, &pulse);
        messages.push(Box::pin(async move {
            let answer = heartbeat.beat(pulse.code, &pulse.summary, client).await;
            (None, HEARTBEAT.to_owned(), heartbeat.shown(), answer)
        }));
    }
    let mut told: Vec<Told<'_>> = Vec::new();
    let mut interrupt = interrupt.clone();
    let all = async {
        while let Some(one) = messages.next().await {
            told.push(one);
        }
    };
    let ended = tokio::select! {
        () = all => "",
        () = sleep(Notify::TIME) => "no answer within 15 s",
        _ = interrupted(&mut interrupt) => "interrupted while it was told",
    };
    drop(messages);
    for (telling, sink) in sinks() {
        if !told.iter().any(|(other, ..)| other.is_some_and(|other| other.sink == telling.sink)) {
            told.push((Some(telling), sink.name.to_string(), sink.shown(), Answer::unknown(ended)));
        }
    }
    if let Some(heartbeat) = heartbeat
        && !told.iter().any(|(telling, ..)| telling.is_none())
    {
        told.push((None, HEARTBEAT.to_owned(), heartbeat.shown(), Answer::unknown(ended)));
    }
    conclude(store, ledger, told, speaker, &system_clock).await
}

/// Whom it was for, his name, where he is, and what he answered.
type Told<'a> = (Option<&'a Telling>, String, String, Answer);
type Pending<'a> = std::pin::Pin<Box<dyn Future<Output = Told<'a>> + 'a>>;

/// Writes down what became of each message, and warns of who cannot be told: once, and once a day.
async fn conclude<S: Store>(
    store: Option<&mut S>,
    ledger: &mut Ledger,
    told: Vec<Told<'_>>,
    speaker: Speaker<'_>,
    clock: &Clock<'_>,
) -> Vec<ToldOne> {
    let (now, before) = (clock(), ledger.told.clone());
    let mut ones = Vec::new();
    for (telling, name, place, Answer { delivery, text }) in told {
        if let Some(telling) = telling {
            ledger.told.conclude(telling, delivery);
        }
        let works = delivery == Delivery::Arrived;
        if let Some(Telling { digest, before, after, .. }) = telling
            && !digest.bullets.is_empty()
        {
            let what = Message { speaker, digest, before, after }.what();
            ledger.history.push(Entry::told(&name, &what, works, ledger.run, now));
        }
        if ledger.told.warns(&name.as_str().into(), works, now) {
            tracing::warn!(
                "{name} ({place}) cannot be told anything: {text} (said once a day; guardian notify --test tries it)"
            );
        } else {
            tracing::debug!("{name} ({place}): {text}");
        }
        if telling.is_some() {
            ones.push(ToldOne { sink: name, error: (!works).then_some(text) });
        }
    }
    ones.sort_by(|one, other| one.sink.cmp(&other.sink));
    ledger.told.tidy(now);
    if let Some(store) = store
        && ledger.told != before
        && let Err(failure) = store.save(ledger).await
    {
        tracing::warn!(
            "what people were told cannot be written down, so it may be said once more: {failure}"
        );
    }
    ones
}

fn find<'a>(notify: &'a Notify, telling: &Telling) -> Option<&'a Sink> {
    notify.sinks.iter().find(|sink| sink.name == telling.sink)
}

/// Who speaks.
pub(super) fn speaker<'a>(config: &'a Config, url: &'a str) -> Speaker<'a> {
    let Notify { link, show, .. } = &config.notify;
    Speaker { cluster: &config.cluster, url, link: link.as_deref(), show: *show, test: false }
}

/// A client of its own: Connect's proxy and CAs are not theirs.
pub(super) fn client(notify: &Notify, https: bool) -> Result<Client, String> {
    let client = http::client(&http::Settings {
        https,
        trusted: notify.trusted.clone(),
        only_trusted: false,
        identity: None,
        proxy: notify.proxy.clone(),
        patience: Some(CONNECT_TIMEOUT),
    });
    client.map_err(|why| format!("the HTTP client cannot be set up: {why}"))
}
