//! A digest as a CloudEvent: for `webhook`, for `exec`, and for whoever reads it with a program. A key may be added, none
//! renamed or removed, within a type.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use super::Message;
use super::words::encoded;
use crate::decide::policy::Next;
use crate::decide::tell::Bullet;
use crate::decide::text::show_name;

/// A hook that reads nothing must not block us: a pipe holds 64 KiB.
const LARGEST: usize = 32 * 1024;
/// So many groups, members of a group and tasks of a member are told, and fewer where they are too long.
const MOST: [(usize, usize); 4] = [(20, 20), (20, 5), (10, 1), (5, 0)];

/// The event for the sink of this name, as JSON.
pub(super) fn of(message: Message<'_>, sink: &str) -> String {
    let mut text = String::new();
    for (groups, members) in MOST {
        text = event(message, sink, groups, members).to_string();
        if text.len() <= LARGEST {
            break;
        }
    }
    text
}

fn event(message: Message<'_>, sink: &str, groups: usize, members: usize) -> Value {
    let (speaker, digest) = (message.speaker, message.digest);
    // A URI-reference takes no blank, and a slash would look like a part.
    let cluster = encoded(speaker.cluster);
    let open: BTreeMap<&str, usize> = digest.open.iter().map(|(key, count)| (key.as_str(), *count)).collect();
    let kind = if speaker.test { "test" } else { "digest" };
    json!({
        "specversion": "1.0",
        // Who gets it twice knows it by this; two runs within a second are two.
        "id": format!("{cluster}/{}/{sink}", humantime::format_rfc3339_millis(digest.first_at.into())),
        "source": format!("/guardian/{cluster}"),
        "type": format!("io.github.connector-guardian.{kind}.v1"),
        "time": digest.at.to_string(),
        "datacontenttype": "application/json",
        "data": {
            "schema": 1,
            "cluster": speaker.cluster,
            "run": digest.run,
            "url": speaker.url,
            "title": message.title(),
            "severity": digest.severity(),
            "repeat": digest.is_repeat(),
            "test": speaker.test,
            "groups": digest.bullets.iter().take(groups).map(|bullet| group(message, bullet, members)).collect::<Vec<_>>(),
            "groups_left_out": digest.bullets.len().saturating_sub(groups),
            "open": open,
        },
    })
}

fn group(message: Message<'_>, bullet: &Bullet, most: usize) -> Value {
    let next = bullet.next.map(|next| match next {
        Next::Runs(runs) => json!({"runs": runs, "at": null}),
        Next::At(at) => json!({"runs": null, "at": at.to_string()}),
    });
    let members = bullet.members.iter().take(most).map(|(name, instances)| {
        let tasks: Vec<u32> = instances.iter().flatten().copied().take(most).collect();
        json!({"connector": show_name(name), "tasks": tasks, "itself": instances.contains(&None)})
    });
    let is_about_connect = bullet.members.is_empty();
    json!({
        "event": bullet.key.as_str(),
        "repeat": bullet.repeat,
        "cause": bullet.cause.as_deref().and_then(|cause| message.cause(cause)),
        "group": bullet.cause.as_ref().map(|cause| cause.key.to_string()),
        "advice": bullet.cause.as_ref().map(|cause| cause.advice.as_str()),
        "connectors": bullet.members.len(),
        "instances": bullet.instances(),
        "since": bullet.since.to_string(),
        "restarts": if is_about_connect { 0 } else { bullet.restarts },
        "runs": if is_about_connect { Some(bullet.restarts) } else { None },
        "next": next,
        "down_seconds": bullet.lasted.map(|lasted| lasted.as_secs()),
        "why": bullet.why.as_deref(),
        "link": bullet.members.keys().next().and_then(|name| message.link_of(Some(name))),
        "members": members.collect::<Vec<_>>(),
        "members_left_out": bullet.members.len().saturating_sub(most),
    })
}
