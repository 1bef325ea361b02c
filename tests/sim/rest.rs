//! The REST resources of a worker: which call a request is, and what this version answers to it.
//!
//! It owns codes, routing between workers and the differences between versions. It must not know sockets, and leaves
//! what a restart does to an instance to `state`.

use std::sync::Arc;
use std::time::{Duration, Instant};

use super::answers::{self, empty, error, json, quoted};
use super::http::{Body, Head, Response};
use super::state::{After, Alive, Connector, FAILED, Path, Target, UNASSIGNED, World, label, status_json};
use super::{Huge, Profile};

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Call {
    Root,
    Health,
    Names,
    Listing { status: bool, info: bool },
    Info(String),
    Status(String),
    TaskStatus(String, i64),
    Restart(Restart),
    Pause(String),
    Resume(String),
    Stop(String),
    Delete(String),
    WrongMethod,
    Unmatched,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Restart {
    pub connector: String,
    pub task: Option<i64>,
    pub include_tasks: bool,
    pub only_failed: bool,
    forwardable: bool,
}

impl Restart {
    /// "orders", "orders/3", "orders?includeTasks&onlyFailed".
    pub fn label(&self) -> String {
        let asked = [(self.include_tasks, "includeTasks"), (self.only_failed, "onlyFailed")];
        let asked: Vec<&str> = asked.into_iter().filter(|(on, _)| *on).map(|(_, name)| name).collect();
        let task = self.task.map(|id| format!("/{id}")).unwrap_or_default();
        let query = if asked.is_empty() { String::new() } else { format!("?{}", asked.join("&")) };
        format!("{}{task}{query}", self.connector)
    }
}

/// The call that a request is.
pub fn call(head: &Head) -> Call {
    let (path, query) = head.target.split_once('?').unwrap_or((&head.target, ""));
    let parameters: Vec<(String, String)> = query
        .split('&')
        .filter(|pair| !pair.is_empty())
        .map(|pair| pair.split_once('=').unwrap_or((pair, "")))
        .map(|(name, value)| (decoded(name), decoded(&value.replace('+', " "))))
        .collect();
    // Jersey takes matrix parameters off before it decodes a segment.
    let segments: Vec<String> = path
        .split('/')
        .filter(|segment| !segment.is_empty())
        .map(|segment| decoded(segment.split(';').next().unwrap_or_default()))
        .collect();
    let segments: Vec<&str> = segments.iter().map(String::as_str).collect();
    let (method, resource) = match segments.as_slice() {
        [] => ("GET", Call::Root),
        ["health"] => ("GET", Call::Health),
        ["connectors"] => ("GET", listing(&parameters)),
        ["connectors", name] if head.method == "DELETE" => ("DELETE", Call::Delete((*name).to_owned())),
        ["connectors", name] => ("GET", Call::Info((*name).to_owned())),
        ["connectors", name, "status"] => ("GET", Call::Status((*name).to_owned())),
        ["connectors", name, "restart"] => ("POST", Call::Restart(restart(name, None, &parameters))),
        ["connectors", name, "pause"] => ("PUT", Call::Pause((*name).to_owned())),
        ["connectors", name, "resume"] => ("PUT", Call::Resume((*name).to_owned())),
        ["connectors", name, "stop"] => ("PUT", Call::Stop((*name).to_owned())),
        ["connectors", name, "tasks", id, verb @ ("status" | "restart")] => match (id.parse(), *verb) {
            (Ok(id), "status") => ("GET", Call::TaskStatus((*name).to_owned(), id)),
            (Ok(id), _) => ("POST", Call::Restart(restart(name, Some(id), &parameters))),
            (Err(_), _) => return Call::Unmatched,
        },
        _ => return Call::Unmatched,
    };
    if head.method == method { resource } else { Call::WrongMethod }
}

fn listing(parameters: &[(String, String)]) -> Call {
    let wanted: Vec<&str> =
        parameters.iter().filter(|(name, _)| name == "expand").map(|(_, v)| v.as_str()).collect();
    if wanted.is_empty() {
        return Call::Names;
    }
    Call::Listing { status: wanted.contains(&"status"), info: wanted.contains(&"info") } // others are ignored
}

fn restart(name: &str, task: Option<i64>, parameters: &[(String, String)]) -> Restart {
    let value =
        |wanted: &str| parameters.iter().find(|(name, _)| name == wanted).map(|(_, value)| value.as_str());
    let is_true = |name: &str| value(name).is_some_and(|value| value.eq_ignore_ascii_case("true")); // Boolean.valueOf
    Restart {
        connector: name.to_owned(),
        task,
        include_tasks: is_true("includeTasks"),
        only_failed: is_true("onlyFailed"),
        forwardable: value("forward") != Some("false"),
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

/// What one worker is to the resources.
#[derive(Clone)]
pub struct Here {
    pub worker: usize,
    pub profile: Profile,
    pub version: String,
    pub standalone: bool,
    pub request_timeout: Duration,
    pub forward_timeout: Duration,
}

/// An answer that is only due after a while, as that of a synchronous restart.
pub struct Outcome {
    pub response: Response,
    pub wait: Duration,
}

impl From<Response> for Outcome {
    fn from(response: Response) -> Self {
        Self { response, wait: Duration::ZERO }
    }
}

/// What comes before any resource sees the request: Jetty's rules for paths, and a worker that is still starting.
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

/// Jetty 12 refuses what could be read in two ways (`UriCompliance.DEFAULT`); 9.4 lets it pass.
fn bad_path(profile: Profile, target: &str) -> Option<&'static str> {
    let path = target.split('?').next().unwrap_or_default().to_ascii_uppercase();
    if !profile.is_jetty_12() {
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

/// The time that a request must first wait for a busy worker, and the answer if that is longer than a worker waits.
pub fn held_up(
    world: &mut World,
    here: &Here,
    call: &Call,
    now: Instant,
) -> Option<(Duration, Option<Response>)> {
    let until = world.busy_until.filter(|until| *until > now)?;
    let wait = until - now;
    let stage = "generating task configs for connector busy";
    match call {
        Call::Restart(request) if wait > here.request_timeout => {
            // The request stays in the herder's queue and is carried out once the tick thread is free.
            let (request, later) = (request.clone(), here.clone());
            world.late.push((until, Box::new(move |world| drop(restarted(world, &later, &request, until)))));
            Some((here.request_timeout, Some(answers::timed_out(here.profile, stage))))
        }
        Call::Restart(_) => Some((wait, None)),
        Call::Health if here.profile.has_health() => {
            let body = format!(
                r#"{{"status":"unhealthy","message":"Worker was unable to handle this request and may be unable to handle other requests. The worker is currently {stage}, which began at 2026-11-22T11:26:42.100Z."}}"#
            );
            Some((wait.min(Duration::from_secs(10)), Some(json(500, body))))
        }
        _ => None, // everything else is served from memory, past the herder's queue
    }
}

/// The normal answer.
pub fn answer(world: &mut World, here: &Here, head: &Head, call: &Call, now: Instant) -> Outcome {
    if head.header("accept").is_some_and(|accept| accept.starts_with("text/html")) {
        return answers::unmatched(406).into();
    }
    if head.method == "POST" && head.header("content-type").is_some_and(|it| it.starts_with("text/plain")) {
        return answers::unmatched(415).into();
    }
    match call {
        Call::Root => root(here).into(),
        Call::Health => health(world, here).into(),
        Call::Names => names(world, here).into(),
        Call::Listing { .. } if here.profile < Profile::V2_8 => names(world, here).into(), // KIP-465 came with 2.3
        Call::Listing { status, info } => expanded(world, here, *status, *info).into(),
        Call::Info(name) => match world.connectors.get(name) {
            Some(connector) => json(200, info_json(connector)),
            None => error(404, &format!("Connector {name} not found")),
        }
        .into(),
        Call::Status(name) => status(world, here, name).into(),
        Call::TaskStatus(name, id) => task_status(world, here, name, *id).into(),
        Call::Restart(request) => restarted(world, here, request, now),
        Call::Pause(name) => managed(world, name, 202, |world| world.pause(name)).into(),
        Call::Resume(name) => managed(world, name, 202, |world| world.resume(name)).into(),
        Call::Stop(_) if !here.profile.has_stop() => answers::unmatched(404).into(),
        Call::Stop(name) => managed(world, name, 204, |world| world.stop(name, false)).into(),
        Call::Delete(name) => managed(world, name, 204, |world| drop(world.connectors.remove(name))).into(),
        Call::WrongMethod => answers::unmatched(405).into(),
        Call::Unmatched => answers::unmatched(404).into(),
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

fn health(world: &World, here: &Here) -> Response {
    if !here.profile.has_health() {
        return answers::unmatched(404);
    }
    let (_, empty, _) = world.workers[here.worker].start_up;
    if empty > 0 {
        return json(503, r#"{"status":"starting","message":"Worker is still starting up."}"#);
    }
    json(
        200,
        r#"{"status":"healthy","message":"Worker has completed startup and is ready to handle requests."}"#,
    )
}

fn managed(world: &mut World, name: &str, status: u16, act: impl FnOnce(&mut World)) -> Response {
    if !world.connectors.contains_key(name) {
        return error(404, &format!("Unknown connector {name}"));
    }
    act(world);
    empty(status)
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

/// Just started, a worker answers as if the cluster had no connectors.
fn reads_its_topics(world: &mut World, here: &Here) -> bool {
    let (_, empty, _) = &mut world.workers[here.worker].start_up;
    let reads = *empty > 0;
    *empty = empty.saturating_sub(1);
    reads
}

fn expanded(world: &mut World, here: &Here, status: bool, info: bool) -> Response {
    if let Some(huge) = world.huge.clone().filter(|_| status) {
        return streamed(200, move |out| huge.write_listing(out));
    }
    if reads_its_topics(world, here) {
        return json(200, "{}");
    }
    if status
        && here.profile < Profile::V3_6
        && let Some(broken) = world.connectors.values().find(|connector| connector.no_plugin)
    {
        return no_plugin(broken); // one broken connector failed the whole listing before 3.4
    }
    let (.., unassigned) = &mut world.workers[here.worker].start_up;
    let restored = *unassigned == 0;
    *unassigned = unassigned.saturating_sub(1);
    let mut entries = Vec::new();
    for connector in world.connectors.values().filter(|connector| connector.has_status || !status) {
        let mut parts = Vec::new();
        if info {
            parts.push(format!(r#""info":{}"#, info_json(connector)));
        }
        if status && restored {
            parts.push(format!(r#""status":{}"#, status_json(connector, here.profile, &[])));
        } else if status {
            parts.push(format!(r#""status":{}"#, status_json(&not_restored(connector), here.profile, &[])));
        }
        entries.push(format!("{}:{{{}}}", quoted(&connector.name), parts.join(",")));
    }
    if status && restored {
        let names: Vec<String> = world.connectors.keys().cloned().collect();
        for name in &names {
            world.listed(name);
        }
    }
    json(200, format!("{{{}}}", entries.join(",")))
}

/// As a starting worker shows it once the names are read but their statuses are not.
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

fn no_plugin(connector: &Connector) -> Response {
    let class = connector.config.get("connector.class").map_or("com.example.connect.Missing", String::as_str);
    let message = format!(
        "Failed to find any class that implements Connector and which name matches {class}, available connectors are: \
         PluginDesc{{klass=class org.apache.kafka.connect.mirror.MirrorSourceConnector, name='MirrorSourceConnector'}}"
    );
    error(500, &message)
}

fn info_json(connector: &Connector) -> String {
    let mut config = connector.config.clone();
    config.insert("name".to_owned(), connector.name.clone());
    let name = quoted(&connector.name);
    let tasks: Vec<String> =
        connector.tasks.keys().map(|id| format!(r#"{{"connector":{name},"task":{id}}}"#)).collect();
    format!(
        r#"{{"name":{name},"config":{},"tasks":[{}],"type":{}}}"#,
        serde_json::to_string(&config).expect("text is JSON"),
        tasks.join(","),
        quoted(&connector.kind),
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
    if connector.no_plugin && here.profile < Profile::V3_6 {
        return no_plugin(connector);
    }
    let body = status_json(connector, here.profile, &[]);
    world.listed(name);
    json(200, body)
}

fn task_status(world: &mut World, here: &Here, name: &str, id: i64) -> Response {
    let task = u32::try_from(id).ok();
    let connector = world.connectors.get(name);
    let status = connector.zip(task).and_then(|(connector, id)| {
        let body: serde_json::Value =
            serde_json::from_str(&status_json(connector, here.profile, &[])).ok()?;
        body["tasks"].as_array()?.iter().find(|task| task["id"] == id).map(ToString::to_string)
    });
    match status {
        Some(status) => json(200, status),
        None => error(404, &format!("No status found for task {name}-{id}")),
    }
}

fn restarted(world: &mut World, here: &Here, request: &Restart, now: Instant) -> Outcome {
    let name = &request.connector;
    if let Some(huge) = &mut world.huge
        && let Some(index) = huge.index_of(name)
    {
        return restarted_in_huge(huge, index, request).into();
    }
    let Some(connector) = world.connectors.get(name) else {
        if here.standalone {
            let message = r#"Cannot invoke "java.util.Map.get(Object)" because "connProps" is null"#;
            return error(500, message).into(); // the code does not return after its own 404
        }
        return error(404, &format!("Unknown connector: {name}")).into();
    };
    let owner = connector.instance.worker;
    let asks_for_more = request.include_tasks || request.only_failed;
    if let Some(id) = request.task {
        restarted_task(world, here, request, id, now)
    } else if asks_for_more && here.profile.knows_restart_parameters() {
        restarted_all(world, here, request, now)
    } else {
        restarted_connector(world, here, request, owner, now)
    }
}

fn restarted_connector(
    world: &mut World,
    here: &Here,
    request: &Restart,
    owner: usize,
    now: Instant,
) -> Outcome {
    let name = &request.connector;
    let forwarded = match route(world, here, request, owner) {
        Ok(forwarded) => forwarded,
        Err(response) => return response.into(),
    };
    let started = world.restart(name, None, Path::Connector, now);
    let connector = &world.connectors[name];
    // The call returns after `start()` did. A start that is slow by listings has no length in time.
    let wait = if let After::Time(time) = connector.slow { time } else { Duration::ZERO };
    if forwarded && here.profile.is_jetty_12() && wait > here.forward_timeout {
        return Outcome { response: error(500, answers::IDLE_TIMEOUT), wait: here.forward_timeout };
    }
    if wait > here.request_timeout {
        let response = answers::timed_out(here.profile, "starting the connector");
        return Outcome { response, wait: here.request_timeout };
    }
    let response = if connector.no_secret {
        error(500, answers::NO_SECRET)
    } else if started {
        empty(204)
    } else if here.standalone {
        error(500, &format!("Failed to transition connector {name} to state STARTED"))
    } else {
        error(500, &format!("Failed to start connector: {name}"))
    };
    Outcome { response: passed_on(here, forwarded, response), wait }
}

fn restarted_task(world: &mut World, here: &Here, request: &Restart, id: i64, now: Instant) -> Outcome {
    let name = &request.connector;
    let connector = &world.connectors[name];
    let Some(task) = u32::try_from(id).ok().filter(|id| connector.has_task(*id)) else {
        if !here.standalone {
            return error(404, &format!("Unknown task: {name}-{id}")).into();
        }
        if let Ok(id) = u32::try_from(id) {
            world.add_task(name, id);
            world.set(name, Some(id), FAILED); // a phantom, for good
        }
        return error(404, &format!("Task {name}-{id} not found")).into();
    };
    if connector.target == Target::Stopped {
        return error(409, answers::NO_LEADER).into(); // its tasks belong to nobody, every time
    }
    let owner = connector.tasks.get(&task).map_or(here.worker, |task| task.worker);
    let forwarded = match route(world, here, request, owner) {
        Ok(forwarded) => forwarded,
        Err(response) => return response.into(),
    };
    let started = world.restart(name, Some(task), Path::Task, now);
    let response = if world.connectors[name].no_secret {
        error(500, answers::NO_SECRET)
    } else if started {
        empty(204)
    } else {
        error(500, &format!("Failed to start task: {name}-{id}"))
    };
    passed_on(here, forwarded, response).into()
}

/// KIP-745: the leader writes the request down and answers with a plan; whether anything comes of it is not known.
fn restarted_all(world: &mut World, here: &Here, request: &Restart, now: Instant) -> Outcome {
    let name = &request.connector;
    let leader = world.leader();
    let forwarded = match route_to(world, here, request, leader) {
        Ok(forwarded) => forwarded,
        Err(response) => return response.into(),
    };
    let profile = world.workers[leader].profile;
    let connector = &world.connectors[name];
    let plan = connector.restart_plan(request.include_tasks, request.only_failed);
    let before = status_json(connector, profile, &plan);
    let has_status = connector.has_status;
    world.restart_planned(name, &plan, now);
    let response = if !has_status {
        error(404, &format!("Status for connector {name} not found"))
    } else if profile.status_has_version() && !here.profile.status_has_version() {
        error(500, answers::UNRECOGNIZED_VERSION) // an old follower cannot read its leader's answer
    } else if here.standalone {
        json(202, status_json(&world.connectors[name], profile, &[])) // only sent once it is done
    } else {
        json(202, before)
    };
    passed_on(here, forwarded, response).into()
}

fn restarted_in_huge(huge: &mut Huge, connector: u32, request: &Restart) -> Response {
    let task = request.task.map(u32::try_from);
    match task {
        None if request.include_tasks => {
            huge.count(connector, None);
            let huge = huge.clone();
            streamed(202, move |out| huge.write_one(connector, true, out))
        }
        None => empty(204),
        Some(Ok(task)) if huge.has_task(task) => {
            huge.count(connector, Some(task));
            empty(204)
        }
        Some(_) => error(404, &format!("Unknown task: {}", label(&request.connector, None))),
    }
}

/// Whether the request must go to another worker, or why it does not get there.
fn route(world: &World, here: &Here, request: &Restart, owner: usize) -> Result<bool, Response> {
    if world.connectors.get(&request.connector).is_some_and(|connector| connector.unassigned) {
        return Err(nobodys(world, here));
    }
    route_to(world, here, request, owner)
}

fn route_to(world: &World, here: &Here, request: &Restart, owner: usize) -> Result<bool, Response> {
    if owner == here.worker {
        return Ok(false);
    }
    if !request.forwardable {
        return Err(error(409, answers::CONFLICT));
    }
    match world.workers[owner].alive {
        Alive::Up => {}
        Alive::Missed => return Err(error(500, answers::REFUSED)),
        Alive::Gone => return Err(nobodys(world, here)),
    }
    match garbled(&request.connector) {
        None => Ok(true),
        Some(response) => Err(passed_on(here, true, response)),
    }
}

/// Said by the leader, which a follower has to ask first.
fn nobodys(world: &World, here: &Here) -> Response {
    passed_on(here, here.worker != world.leader(), error(409, answers::NO_LEADER))
}

/// The decoded name goes into the forwarded URL once more: as a path, as a template, as an escape.
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

/// Before KAFKA-13702 (3.4.0) every error that came back from a forwarded request became a 500.
fn passed_on(here: &Here, forwarded: bool, response: Response) -> Response {
    if !forwarded || here.profile >= Profile::V3_6 || response.status < 400 {
        return response;
    }
    let Body::Bytes(body) = &response.body else { return response };
    let body: serde_json::Value = serde_json::from_slice(body).unwrap_or_default();
    let message = body["message"].as_str().unwrap_or_default();
    error(500, &format!("IO Error trying to forward REST request: {message}"))
}

fn streamed(
    status: u16,
    write: impl Fn(&mut dyn std::io::Write) -> std::io::Result<()> + Send + Sync + 'static,
) -> Response {
    Response { body: Body::Stream(Arc::new(write)), ..json(status, "") }
}
