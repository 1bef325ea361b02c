//! Alertmanager, API v2, for a client that runs now and then: all that is wrong is posted at every run.
//!
//! `startsAt` is now in every post (the first one is kept by Alertmanager; left out it would be `endsAt`, in the past it
//! would skip `group_wait`), `endsAt` is an hour away (without one an alert resolves after five minutes), and now once for
//! what is over. Labels never change: a number or a cause in them would make another alert of the same.

use std::collections::BTreeMap;
use std::time::{Duration, SystemTime};

use futures_util::future::join_all;
use reqwest::Client;
use serde_json::{Map, Value, json};

use super::post::send;
use super::{Address, Answer, Message};
use crate::decide::shared::SharedStr;
use crate::decide::tell::{Delivery, Key, Mark};
use crate::decide::text::show_name;
use crate::decide::time::Timestamp;
use crate::http::Secret;

/// An alert ends by itself after this time: longer than a few runs that are missed, or a clock that is late.
const LASTS: Duration = Duration::from_secs(60 * 60);

/// What makes it the same alert: its name, and its connector if it is about one.
type Identity = (&'static str, Option<SharedStr>);

pub(super) async fn tell(
    urls: &[Address],
    labels: &[(String, String)],
    token: Option<&Secret>,
    message: Message<'_>,
    http: &Client,
) -> Answer {
    let body = alerts(labels, message).to_string();
    let secret: Vec<String> = token.map(|token| token.expose().to_owned()).into_iter().collect();
    let posts = urls.iter().map(|url| {
        let mut path = url.expose().clone();
        let base = path.path().trim_end_matches('/').to_owned();
        path.set_path(&format!("{base}/api/v2/alerts"));
        let request = http.post(path).header("Content-Type", "application/json").body(body.clone());
        let request = match token {
            Some(token) => request.bearer_auth(token.expose()),
            None => request,
        };
        send(request, url, &secret)
    });
    let answers = join_all(posts).await;
    let text = |answer: &Answer, url: &Address| {
        if urls.len() > 1 { format!("{url}: {}", answer.text) } else { answer.text.clone() }
    };
    let all: Vec<String> = answers.iter().zip(urls).map(|(answer, url)| text(answer, url)).collect();
    let delivery = if answers.iter().any(Answer::is_ok) {
        Delivery::Arrived
    } else if answers.iter().any(|answer| answer.delivery == Delivery::Unknown) {
        Delivery::Unknown
    } else {
        Delivery::Failed
    };
    Answer { delivery, text: all.join("; ") }
}

fn alerts(labels: &[(String, String)], message: Message<'_>) -> Value {
    // The start of a run may be minutes ago, and then it would skip `group_wait`.
    let now = Timestamp::from(SystemTime::now());
    let (before, open) = (by_identity(message.before), by_identity(message.after));
    let over = before.iter().filter(|(identity, _)| !open.contains_key(*identity));
    let over = over.map(|(identity, marks)| alert(labels, message, identity, marks, (now, now)));
    let ends = now.plus(if message.speaker.test { Duration::from_secs(60) } else { LASTS });
    let open = open.iter().map(|(identity, marks)| alert(labels, message, identity, marks, (now, ends)));
    let test =
        message.speaker.test.then(|| alert(labels, message, &("GuardianTest", None), &[], (now, ends)));
    open.chain(over).chain(test).collect()
}

/// The alerts that these marks are: one for each connector, the more pressing where there are two.
fn by_identity(marks: &[Mark]) -> BTreeMap<Identity, Vec<&Mark>> {
    let mut all: BTreeMap<Identity, Vec<&Mark>> = BTreeMap::new();
    for mark in marks {
        match mark.what {
            Key::StateLost => {}
            Key::Unreachable => all.entry(("KafkaConnectUnreachable", None)).or_default().push(mark),
            what => {
                let name = if what == Key::GaveUp { NEEDS_PERSON } else { FAILING };
                for connector in mark.members.keys() {
                    all.entry((name, Some(SharedStr::clone(connector)))).or_default().push(mark);
                }
            }
        }
    }
    let pressing: Vec<SharedStr> =
        all.keys().filter(|(name, _)| *name == NEEDS_PERSON).filter_map(|(_, it)| it.clone()).collect();
    for connector in pressing {
        all.remove(&(FAILING, Some(connector)));
    }
    all
}

const FAILING: &str = "KafkaConnectorFailing";
const NEEDS_PERSON: &str = "KafkaConnectorNeedsPerson";

fn alert(
    fixed: &[(String, String)],
    message: Message<'_>,
    (name, connector): &Identity,
    marks: &[&Mark],
    (starts, ends): (Timestamp, Timestamp),
) -> Value {
    let speaker = message.speaker;
    let severity = if *name == FAILING || speaker.test { "warning" } else { "critical" };
    let mut labels: Map<String, Value> =
        fixed.iter().map(|(name, value)| (name.clone(), value.as_str().into())).collect();
    labels.extend([
        ("alertname".to_owned(), Value::from(*name)),
        ("connect_cluster".to_owned(), speaker.cluster.into()),
        ("severity".to_owned(), severity.into()),
        ("source".to_owned(), "guardian".into()),
    ]);
    let mut annotations = Map::new();
    let mut note = |name: &str, value: String| annotations.insert(name.to_owned(), value.into());
    if let Some(connector) = connector {
        labels.insert("connector".to_owned(), show_name(connector).into());
        let tasks = marks.iter().filter_map(|mark| mark.members.get(connector));
        let count: usize = tasks.map(Vec::len).sum();
        note(
            "summary",
            format!("{} on {}: {count} not running as they should", show_name(connector), speaker.cluster),
        );
        note("instances", count.to_string());
    } else {
        note("summary", message.title());
    }
    let since = marks.iter().map(|mark| mark.since).min();
    if let Some(since) = since {
        note("since", since.to_string());
    }
    let restarts = marks.iter().map(|mark| mark.restarts).max().unwrap_or_default();
    if connector.is_some() {
        note("restarts", restarts.to_string());
    }
    let mut causes = marks.iter().filter_map(|mark| message.cause(mark.cause.as_deref()?));
    if let Some(cause) = causes.next() {
        note("cause", cause);
    }
    let link = message.link_of(connector.as_deref()).or_else(|| message.link_of(None));
    json!({
        "labels": labels,
        "annotations": annotations,
        "startsAt": starts.to_string(),
        "endsAt": ends.to_string(),
        "generatorURL": link.unwrap_or_else(|| speaker.url.to_owned()),
    })
}
