//! The REST resources of a worker that a restarter calls: which of them a request is, and what this version answers.
//!
//! It owns codes, routing between workers and the differences between versions. It must not know sockets, and leaves
//! what a restart does to an instance to `state`.

use std::sync::Arc;

use super::answers::{self, empty, error, json, quoted};
use super::http::{Body, Head, Response};
use super::state::{Connector, LeftBehind, Path, UNASSIGNED, World, label, status_json};
use super::{Huge, Profile};

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Call {
    Root,
    Health,
    Names,
    Listing,
    Status(String),
    Restart(Restart),
    /// No resource has this path and method.
    Unmatched,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Restart {
    pub connector: String,
    pub task: Option<u32>,
    pub include_tasks: bool,
    pub only_failed: bool,
}

impl Restart {
    /// "orders", "orders/3", "orders?includeTasks&onlyFailed".
    pub fn label(&self) -> String {
        let asked = [(self.include_tasks, "includeTasks"), (self.only_failed, "onlyFailed")];
        let asked: Vec<&str> = asked.into_iter().filter(|(on, _)| *on).map(|(_, name)| name).collect();
        let query = if asked.is_empty() { String::new() } else { format!("?{}", asked.join("&")) };
        label(&self.connector, self.task) + &query
    }
}

/// The call that a request is.
pub fn call(head: &Head) -> Call {
    let (path, query) = head.target.split_once('?').unwrap_or((&head.target, ""));
    let has = |parameter: &str| query.split('&').any(|given| given == parameter);
    // Jersey takes matrix parameters off before it decodes a segment.
    let segments: Vec<String> = path
        .split('/')
        .filter(|segment| !segment.is_empty())
        .map(|segment| decoded(segment.split(';').next().unwrap_or_default()))
        .collect();
    let segments: Vec<&str> = segments.iter().map(String::as_str).collect();
    let restart = |connector: &str, task| {
        let (include_tasks, only_failed) = (has("includeTasks=true"), has("onlyFailed=true"));
        Call::Restart(Restart { connector: connector.to_owned(), task, include_tasks, only_failed })
    };
    match (head.method.as_str(), segments.as_slice()) {
        ("GET", []) => Call::Root,
        ("GET", ["health"]) => Call::Health,
        ("GET", ["connectors"]) if has("expand=status") => Call::Listing,
        ("GET", ["connectors"]) => Call::Names,
        ("GET", ["connectors", name, "status"]) => Call::Status((*name).to_owned()),
        ("POST", ["connectors", name, "restart"]) => restart(name, None),
        ("POST", ["connectors", name, "tasks", id, "restart"]) => {
            id.parse().map_or(Call::Unmatched, |id| restart(name, Some(id)))
        }
        _ => Call::Unmatched,
    }
}

/// Percent-decoding as UTF-8; what is no valid escape stays.
fn decoded(text: &str) -> String {
    let bytes = text.as_bytes();
    let mut out = Vec::with_capacity(bytes.len());
    let mut at = 0;
    while at < bytes.len() {
        let escape = text.get(at + 1..at + 3).and_then(|hex| u8::from_str_radix(hex, 16).ok());
        match escape {
            Some(byte) if bytes[at] == b'%' => {
                out.push(byte);
                at += 3;
            }
            _ => {
                out.push(bytes[at]);
                at += 1;
            }
        }
    }
    String::from_utf8_lossy(&out).into_owned()
}

/// The worker that answers.
pub struct Here {
    pub worker: usize,
    pub profile: Profile,
    pub version: String,
    pub standalone: bool,
}

/// The answer where no resource sees the request: by Jetty's rules for paths, and while the worker is starting.
pub fn refused(world: &mut World, here: &Here, head: &Head) -> Option<Response> {
    if let Some(message) = bad_path(here.profile, &head.target) {
        return Some(answers::html(400, message));
    }
    let (not_yet, ..) = &mut world.workers[here.worker].start_up;
    if *not_yet > 0 {
        *not_yet -= 1;
        let wants_json = head.header("accept").is_some_and(|accept| accept.contains("application/json"));
        return Some(answers::not_started_yet(&head.target, wants_json));
    }
    None
}

/// Jetty 12 refuses an ambiguous path (`UriCompliance.DEFAULT`); Jetty 9.4 accepts it.
fn bad_path(profile: Profile, target: &str) -> Option<&'static str> {
    let path = target.split('?').next().unwrap_or_default().to_ascii_uppercase();
    if !profile.is_4() {
        return None;
    }
    if path.split('/').any(|segment| matches!(segment, "%2E" | "%2E%2E" | ".%2E" | "%2E.")) {
        return Some("Ambiguous URI path segment");
    }
    let rules = [
        ("%2F", "Ambiguous URI path separator"),
        ("%25", "Ambiguous URI path encoding"),
        ("%5C", "Suspicious Path Character"),
    ];
    rules.into_iter().find(|(escape, _)| path.contains(escape)).map(|(_, message)| message)
}

/// The normal answer.
pub fn answer(world: &mut World, here: &Here, call: &Call) -> Response {
    match call {
        Call::Root => root(here),
        // KIP-1017 came with 3.9.
        Call::Health if here.profile < Profile::V3_9 => answers::unmatched(),
        Call::Health => json(200, answers::HEALTHY),
        Call::Names => names(world, here),
        Call::Listing if here.profile < Profile::V2_8 => names(world, here), // KIP-465 came with 2.3
        Call::Listing => listing(world, here),
        Call::Status(name) => status(world, here, name),
        Call::Restart(request) => restarted(world, here, request),
        Call::Unmatched => answers::unmatched(),
    }
}

fn root(here: &Here) -> Response {
    let version = quoted(&here.version);
    json(
        200,
        format!(
            r#"{{"version":{version},"commit":"84caaa6e9da06435","kafka_cluster_id":"5L6g3nShT-eMCtK--X86sw"}}"#
        ),
    )
}

fn names(world: &mut World, here: &Here) -> Response {
    if let Some(huge) = &world.huge {
        return json(200, huge.names_json());
    }
    if reads_its_topics(world, here) {
        return json(200, "[]");
    }
    let names: Vec<&String> = world.connectors.keys().collect();
    json(200, serde_json::to_vec(&names).expect("names are JSON"))
}

/// Whether the worker still reads its topics, and so answers as if the cluster had no connectors.
fn reads_its_topics(world: &mut World, here: &Here) -> bool {
    let (_, empty, _) = &mut world.workers[here.worker].start_up;
    let reads = *empty > 0;
    *empty = empty.saturating_sub(1);
    reads
}

fn listing(world: &mut World, here: &Here) -> Response {
    if let Some(huge) = world.huge.clone() {
        return streamed(200, move |out| huge.write_listing(out));
    }
    if reads_its_topics(world, here) {
        return json(200, "{}");
    }
    if here.profile.has_fragile_listing() && world.connectors.values().any(|connector| connector.no_plugin) {
        return no_plugin(); // one broken connector fails the whole listing
    }
    let (.., unassigned) = &mut world.workers[here.worker].start_up;
    let restored = *unassigned == 0;
    *unassigned = unassigned.saturating_sub(1);
    let entry = |connector: &Connector| {
        let status = if restored {
            status_json(connector, here.profile, &[])
        } else {
            status_json(&not_restored(connector), here.profile, &[])
        };
        format!(r#"{}:{{"status":{status}}}"#, quoted(&connector.name))
    };
    let entries: Vec<String> =
        world.connectors.values().filter(|connector| connector.has_status).map(entry).collect();
    if restored {
        let names: Vec<String> = world.connectors.keys().cloned().collect();
        names.iter().for_each(|name| world.listed(name));
    }
    json(200, format!("{{{}}}", entries.join(",")))
}

/// The connector as a starting worker shows it: its name is read, its status is not.
fn not_restored(connector: &Connector) -> Connector {
    let mut shown = connector.clone();
    shown.no_plugin = true; // `"type":"unknown"`
    for status in std::iter::once(&mut shown.instance).chain(shown.tasks.values_mut()).map(|it| &mut it.shown)
    {
        UNASSIGNED.clone_into(&mut status.state);
        status.trace = None;
    }
    shown
}

fn no_plugin() -> Response {
    error(
        500,
        "Failed to find any class that implements Connector and which name matches com.example.connect.Missing, \
         available connectors are: PluginDesc{klass=class org.apache.kafka.connect.mirror.MirrorSourceConnector, \
         name='MirrorSourceConnector'}",
    )
}

fn status(world: &mut World, here: &Here, name: &str) -> Response {
    if let Some(huge) = world.huge.clone()
        && let Some(index) = huge.index_of(name)
    {
        return streamed(200, move |out| huge.write_one(index, false, out));
    }
    let Some(connector) = world.connectors.get(name).filter(|connector| connector.has_status) else {
        return error(404, &format!("No status found for connector {name}"));
    };
    if connector.no_plugin && here.profile.has_fragile_listing() {
        return no_plugin();
    }
    let body = status_json(connector, here.profile, &[]);
    world.listed(name);
    json(200, body)
}

fn restarted(world: &mut World, here: &Here, request: &Restart) -> Response {
    let name = &request.connector;
    if let Some(huge) = &mut world.huge
        && let Some(index) = huge.index_of(name)
    {
        return restarted_in_huge(huge, index, request);
    }
    if !world.connectors.contains_key(name) {
        if here.standalone {
            let message = r#"Cannot invoke "java.util.Map.get(Object)" because "connProps" is null"#;
            return error(500, message); // the code does not return after its own 404
        }
        return error(404, &format!("Unknown connector: {name}"));
    }
    let asks_for_more = request.include_tasks || request.only_failed;
    if let Some(task) = request.task {
        restarted_task(world, here, request, task)
    } else if asks_for_more && here.profile.knows_restart_parameters() {
        restarted_all(world, here, request)
    } else {
        restarted_connector(world, here, request)
    }
}

fn restarted_connector(world: &mut World, here: &Here, request: &Restart) -> Response {
    let name = &request.connector;
    let owner = world.connectors[name].instance.worker;
    let hops = match route(world, here, request, owner) {
        Ok(hops) => hops,
        Err(response) => return response,
    };
    let started = world.restart(name, None, Path::Connector);
    let response = if world.connectors[name].no_secret {
        error(500, answers::NO_SECRET)
    } else if started {
        empty(204)
    } else if here.standalone {
        error(500, &format!("Failed to transition connector {name} to state STARTED"))
    } else {
        error(500, &format!("Failed to start connector: {name}"))
    };
    passed_on(here, hops, response)
}

fn restarted_task(world: &mut World, here: &Here, request: &Restart, id: u32) -> Response {
    let name = &request.connector;
    let connector = &world.connectors[name];
    if connector.is_stopped() {
        return error(409, answers::NO_LEADER); // no worker has its tasks, so the retry gets the same
    }
    let there = match connector.left_behind.get(&id) {
        Some(LeftBehind::Configuration) if here.profile < Profile::V2_8 => {
            return error(500, answers::NO_LEADER_OF_OLD);
        }
        Some(LeftBehind::Configuration) => return nobodys(here),
        Some(LeftBehind::Nothing) => None,
        None => connector.tasks.get(&id),
    };
    let Some(task) = there else {
        if here.standalone {
            world.make_up_task(name, id);
            return error(404, &format!("Task {name}-{id} not found"));
        }
        return error(404, &format!("Unknown task: {name}-{id}"));
    };
    let hops = match route(world, here, request, task.worker) {
        Ok(hops) => hops,
        Err(response) => return response,
    };
    let started = world.restart(name, Some(id), Path::Task);
    passed_on(here, hops, if started { empty(204) } else { error(500, answers::NO_SECRET) })
}

/// KIP-745: the leader publishes the request and answers with its plan, whatever comes of it.
fn restarted_all(world: &mut World, here: &Here, request: &Restart) -> Response {
    let name = &request.connector;
    let hops = match route_to(world, here, request, LEADER) {
        Ok(hops) => hops,
        Err(response) => return response,
    };
    let leader = world.workers[LEADER].profile;
    let connector = &world.connectors[name];
    let plan = connector.restart_plan(request.include_tasks, request.only_failed);
    let before = status_json(connector, leader, &plan);
    world.restart_planned(name, &plan);
    let response = if leader.is_4() && !here.profile.is_4() {
        error(500, answers::UNRECOGNIZED_VERSION) // an old follower cannot read its leader's answer
    } else if here.standalone {
        json(202, status_json(&world.connectors[name], leader, &[])) // only sent once it is done
    } else {
        json(202, before)
    };
    passed_on(here, hops, response)
}

fn restarted_in_huge(huge: &mut Huge, connector: u32, request: &Restart) -> Response {
    huge.count(connector, request.task);
    if request.include_tasks {
        let huge = huge.clone();
        return streamed(202, move |out| huge.write_one(connector, true, out));
    }
    empty(204)
}

const LEADER: usize = 0;

/// How often the request is forwarded to another worker, or the answer when it cannot be.
fn route(world: &World, here: &Here, request: &Restart, owner: usize) -> Result<usize, Response> {
    if world.connectors[&request.connector].unassigned {
        return Err(nobodys(here));
    }
    route_to(world, here, request, owner)
}

/// The leader says it, and a follower has to ask the leader.
fn nobodys(here: &Here) -> Response {
    passed_on(here, usize::from(here.worker != LEADER), error(409, answers::NO_LEADER))
}

/// A follower knows only its leader, and the leader whose the instance is.
fn route_to(world: &World, here: &Here, request: &Restart, owner: usize) -> Result<usize, Response> {
    if owner == here.worker {
        return Ok(0);
    }
    let hops = if here.worker == LEADER || owner == LEADER { 1 } else { 2 };
    match garbled(&request.connector) {
        Some(response) => Err(passed_on(here, 1, response)),
        None if !world.workers[owner].up => Err(passed_on(here, hops - 1, error(500, answers::REFUSED))),
        None => Ok(hops),
    }
}

/// The answer when forwarding changes the name: it goes into the URL decoded, as path, template and escape.
fn garbled(name: &str) -> Option<Response> {
    if let Some((_, rest)) = name.split_once('{')
        && let Some((variable, _)) = rest.split_once('}')
    {
        return Some(error(500, &format!("The template variable '{variable}' has no value")));
    }
    if let Some((start, _)) = name.split_once(';') {
        return Some(error(404, &format!("Unknown connector: {start}")));
    }
    if name.contains('/') {
        return Some(error(404, "HTTP 404 Not Found"));
    }
    let read_again = decoded(name);
    (read_again != name).then(|| error(404, &format!("Unknown connector: {read_again}")))
}

/// In 2.8.1, 2.8.2, 3.0.1, 3.0.2 and 3.1.0 to 3.3.2 every error that came back from a forwarded request became a 500
/// (KAFKA-9747 brought it, KAFKA-13702 ended it), at each worker on its way back.
fn passed_on(here: &Here, hops: usize, response: Response) -> Response {
    let wraps = (Profile::V2_8..=Profile::V3_3).contains(&here.profile);
    if hops == 0 || !wraps || response.status < 400 {
        return response;
    }
    let Body::Bytes(body) = &response.body else { return response };
    let body: serde_json::Value = serde_json::from_slice(body).unwrap_or_default();
    let message = body["message"].as_str().unwrap_or_default();
    error(500, &("Error trying to forward REST request: ".repeat(hops) + message))
}

fn streamed(
    status: u16,
    write: impl Fn(&mut dyn std::io::Write) -> std::io::Result<()> + Send + Sync + 'static,
) -> Response {
    Response { body: Body::Stream(Arc::new(write)), ..json(status, "") }
}
