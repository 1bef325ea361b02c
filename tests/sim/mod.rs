//! A simulated Kafka Connect: workers on loopback that fail, lag, lie and die on command.
//!
//! It owns the words in which a test tells its story (`connect.fail_task(..)`, `connect.on_restart(..).answers(409)`,
//! `connect.restarts()`). It must not know the program under test. Everything ends when the [`Connect`] is dropped.
//!
//! ```text
//! let connect = Connect::start(Profile::V3_9);
//! connect.connector("orders").tasks(3);
//! connect.fail_task("orders", 2, Failure::healing_after(2));
//! connect.on_restart("orders").answers(409).times(2);
//! ...
//! assert_eq!(connect.restarts(), ["orders/2"; 4]);
//! assert_eq!(connect.count_restarts_of("orders", Some(2)), 2);
//! ```
//!
//! In reading order: `state` is the status machine, `rest` the resources over it, `rules` the scripted answers,
//! `answers` the texts, `huge` a listing that is never held, `http` and `tls` the wire.

#![allow(dead_code, unused_imports, unreachable_pub, reason = "each of its users needs another part of it")]
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::arithmetic_side_effects,
    clippy::must_use_candidate,
    clippy::missing_panics_doc,
    reason = "a stand-in for tests: a mistake in it must fail the test, loudly"
)]

pub mod answers;
pub mod http;
mod huge;
mod rest;
mod rules;
mod state;
mod tls;

use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, Weak};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use self::http::{Content, Head, Life, Listen, Reply, Response, Server, lock};
use self::rest::{Call, Here};
use self::rules::Rule;
use self::state::{Alive, Connector, Target, Worker, World, label};

pub use self::huge::Huge;
pub use self::rules::{Answer, Script};
pub use self::state::{After, Executed, Failure};
pub use self::tls::{Authority, Leaf, PemFiles};

/// The version of a worker, in as far as a restarter can tell versions apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Profile {
    /// No `?expand`: an array in place of the object.
    V2_2,
    /// Restart parameters are ignored: 204, and only the connector instance was restarted.
    V2_8,
    /// KIP-745. One connector without its plugin fails the whole listing; forwarded errors become 500 (both to 3.3).
    V3_0,
    V3_3,
    /// STOPPED (KIP-875), forwarded codes are kept.
    V3_6,
    /// `/health`, a time-out names the stage.
    V3_9,
    /// Jetty 12: no `/`, `%`, `\` in names; a forwarded call is cut after 30 s; the 202 is unsorted.
    V4_0,
    /// `version` in the status, also as null.
    V4_3,
}

impl Profile {
    pub const ALL: [Self; 8] =
        [Self::V2_2, Self::V2_8, Self::V3_0, Self::V3_3, Self::V3_6, Self::V3_9, Self::V4_0, Self::V4_3];

    pub fn version(self) -> &'static str {
        match self {
            Self::V2_2 => "2.2.2",
            Self::V2_8 => "2.8.2",
            Self::V3_0 => "3.0.2",
            Self::V3_3 => "3.3.2",
            Self::V3_6 => "3.6.2",
            Self::V3_9 => "3.9.1",
            Self::V4_0 => "4.0.0",
            Self::V4_3 => "4.3.0",
        }
    }

    pub fn knows_restart_parameters(self) -> bool {
        self >= Self::V3_0
    }

    fn has_stop(self) -> bool {
        self >= Self::V3_6
    }

    fn has_health(self) -> bool {
        self >= Self::V3_9
    }

    fn is_jetty_12(self) -> bool {
        self >= Self::V4_0
    }

    fn status_has_version(self) -> bool {
        self >= Self::V4_3
    }

    fn server_header(self) -> Option<&'static str> {
        (!self.is_jetty_12()).then_some("Jetty(9.4.56.v20240826)")
    }
}

/// How the workers are set up, before they start.
#[must_use]
pub struct Setup {
    profiles: Vec<Profile>,
    version: Option<String>,
    authorization: Option<String>,
    listen: Listen,
    standalone: bool,
}

impl Setup {
    /// So many workers of the same version in place of one.
    pub fn workers(mut self, n: usize) -> Self {
        self.profiles = vec![self.profiles[0]; n];
        self
    }

    /// One more worker, of another version. The first is the leader.
    pub fn and_worker(mut self, profile: Profile) -> Self {
        self.profiles.push(profile);
        self
    }

    /// What `GET /` says, such as "7.4.0-ccs".
    pub fn version(self, version: &str) -> Self {
        Self { version: Some(version.to_owned()), ..self }
    }

    /// Answers as the worker's own Basic authentication extension does.
    pub fn basic_auth(self, user: &str, password: &str) -> Self {
        let credentials = base64(format!("{user}:{password}").as_bytes());
        Self { authorization: Some(format!("Basic {credentials}")), ..self }
    }

    pub fn bearer_token(self, token: &str) -> Self {
        Self { authorization: Some(format!("Bearer {token}")), ..self }
    }

    pub fn tls(mut self, authority: &Authority, leaf: Leaf) -> Self {
        self.listen.tls = Some(authority.server(leaf, None));
        self
    }

    /// TLS, and clients must show a certificate of `clients`.
    pub fn mutual_tls(mut self, authority: &Authority, clients: &Authority) -> Self {
        self.listen.tls = Some(authority.server(Leaf::Good, Some(clients)));
        self
    }

    /// A stall after the connection is accepted, before TLS or HTTP begins; `Duration::MAX` is for ever.
    pub fn handshake_delay(mut self, delay: Duration) -> Self {
        self.listen.handshake_delay = delay;
        self
    }

    /// Standalone mode: other texts, and a phantom task for a restart of one that is not there.
    pub fn standalone(self) -> Self {
        Self { standalone: true, ..self }
    }

    pub fn start(self) -> Connect {
        let listeners: Vec<TcpListener> = self
            .profiles
            .iter()
            .map(|_| TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("loopback"))
            .collect();
        let ports: Vec<u16> =
            listeners.iter().map(|it| it.local_addr().expect("it is bound").port()).collect();
        let worker = |(profile, port): (&Profile, &u16)| Worker {
            profile: *profile,
            id: format!("127.0.0.1:{port}"),
            alive: Alive::Up,
            start_up: (0, 0, 0),
        };
        let workers = self.profiles.iter().zip(&ports).map(worker).collect();
        let cluster = Arc::new_cyclic(|itself| Cluster {
            itself: Weak::clone(itself),
            inner: Mutex::new(Inner {
                world: World { workers, ..World::default() },
                requests: Vec::new(),
                restarts_taken: 0,
                rules: Vec::new(),
                request_timeout: Duration::from_secs(90),
                forward_timeout: Duration::from_secs(30),
            }),
            servers: Mutex::new(ports.iter().map(|_| None).collect()),
            left_over: Mutex::default(),
            failed: AtomicBool::new(false),
            closed: ClosedPort::new(),
            ports,
            setup: self,
        });
        for (worker, listener) in listeners.into_iter().enumerate() {
            cluster.serve(worker, listener);
        }
        Connect(cluster)
    }
}

/// A running cluster. All that can be said to it is on [`Cluster`]; dropping it ends every worker and thread, and
/// fails the test if a story told by a rule has panicked.
pub struct Connect(Arc<Cluster>);

impl Connect {
    /// One worker over plain HTTP.
    pub fn start(profile: Profile) -> Self {
        Self::with(profile).start()
    }

    pub fn with(profile: Profile) -> Setup {
        Setup {
            profiles: vec![profile],
            version: None,
            authorization: None,
            listen: Listen::default(),
            standalone: false,
        }
    }
}

impl std::ops::Deref for Connect {
    type Target = Cluster;

    fn deref(&self) -> &Cluster {
        &self.0
    }
}

impl Drop for Connect {
    fn drop(&mut self) {
        for worker in 0..self.ports.len() {
            self.close(worker);
        }
        for thread in std::mem::take(&mut *lock(&self.left_over)) {
            let _ = thread.join();
        }
        assert!(
            thread::panicking() || !self.failed.load(Ordering::SeqCst),
            "a thread of the simulated Connect has panicked; its message is above"
        );
    }
}

/// One request, as it arrived.
#[derive(Clone, Debug)]
pub struct Request {
    pub worker: usize,
    pub at: Instant,
    /// Method, target as sent, headers, number of the connection.
    pub head: Head,
    /// Whether it carried the expected `Authorization`; `true` where none is asked for.
    pub authorized: bool,
    /// The status that was sent; `None` for a hang, a reset, raw bytes.
    pub answered: Option<u16>,
    call: Call,
}

struct Inner {
    world: World,
    requests: Vec<Request>,
    restarts_taken: usize,
    rules: Vec<Rule>,
    request_timeout: Duration,
    forward_timeout: Duration,
}

/// The workers and what they share. Rules that tell a story get it as an argument.
pub struct Cluster {
    itself: Weak<Self>,
    inner: Mutex<Inner>,
    servers: Mutex<Vec<Option<Server>>>,
    left_over: Mutex<Vec<JoinHandle<()>>>,
    failed: AtomicBool,
    closed: ClosedPort,
    ports: Vec<u16>,
    setup: Setup,
}

/// Where it is.
impl Cluster {
    /// The first worker's.
    pub fn url(&self) -> String {
        self.url_of(0)
    }

    pub fn url_of(&self, worker: usize) -> String {
        let scheme = if self.setup.listen.tls.is_some() { "https" } else { "http" };
        format!("{scheme}://127.0.0.1:{}", self.ports[worker])
    }

    /// Of all workers, with commas.
    pub fn urls(&self) -> String {
        let urls: Vec<String> = (0..self.ports.len()).map(|worker| self.url_of(worker)).collect();
        urls.join(",")
    }

    pub fn port(&self) -> u16 {
        self.ports[0]
    }

    /// A port at which every connection is refused, and which nobody else can get meanwhile.
    pub fn closed_url(&self) -> String {
        format!("http://127.0.0.1:{}", self.closed.port())
    }
}

/// What is in it, and what goes wrong.
impl Cluster {
    /// The connector of this name; a new one is RUNNING and has no tasks.
    pub fn connector(&self, name: &str) -> ConnectorStory<'_> {
        self.world(|world| world.connector(name).name.clone());
        ConnectorStory { cluster: self, name: name.to_owned() }
    }

    pub fn fail_connector(&self, name: &str, failure: Failure) {
        self.world(|world| world.fail(name, None, failure));
    }

    pub fn fail_task(&self, name: &str, task: u32, failure: Failure) {
        self.world(|world| world.fail(name, Some(task), failure));
    }

    /// Every task of it, each with a script of its own.
    pub fn fail_all_tasks(&self, name: &str, failure: &Failure) {
        self.world(|world| {
            let tasks: Vec<u32> = world.connector(name).tasks.keys().copied().collect();
            for task in tasks {
                world.fail(name, Some(task), failure.clone());
            }
        });
    }

    /// The fault is gone; the next restart shows it.
    pub fn heal(&self, name: &str, task: Option<u32>) {
        self.world(|world| world.heal(name, task));
    }

    /// Any state at all, in truth and in the status, without a trace. A failure's script stays in force.
    pub fn set_state(&self, name: &str, task: Option<u32>, state: &str) {
        self.world(|world| world.set(name, task, state));
    }

    /// What the last status says about its writer, who may be dead.
    pub fn show_worker_id(&self, name: &str, task: Option<u32>, worker_id: &str) {
        self.world(|world| world.show_worker_id(name, task, worker_id));
    }

    pub fn pause(&self, name: &str) {
        self.world(|world| world.pause(name));
    }

    pub fn resume(&self, name: &str) {
        self.world(|world| world.resume(name));
    }

    pub fn stop(&self, name: &str) {
        self.world(|world| world.stop(name, false));
    }

    /// STOPPED, while its FAILED tasks are still in the status.
    pub fn stop_leaving_failed_tasks(&self, name: &str) {
        self.world(|world| world.stop(name, true));
    }

    pub fn delete(&self, name: &str) {
        self.world(|world| drop(world.connectors.remove(name)));
    }

    /// From now on the listing is this one.
    pub fn huge(&self, huge: Huge) {
        self.world(|world| world.huge = Some(huge));
    }

    /// The tick thread is stuck this long: restart calls wait, and after 90 s answer 500 but stay queued.
    pub fn busy_for(&self, time: Duration) {
        self.world(|world| world.busy_until = Some(Instant::now() + time));
    }

    /// Connect's 90 s for a request, and the 30 s of 4.x for a forwarded one, shortened for a test.
    pub fn time_limits(&self, request: Duration, forward: Duration) {
        let mut inner = lock(&self.inner);
        (inner.request_timeout, inner.forward_timeout) = (request, forward);
    }

    /// A worker that has just started: so many requests get Jetty's 404, then so many listings are `{}`, then so many
    /// show every instance as UNASSIGNED and every type as unknown.
    pub fn starts_up(&self, worker: usize, not_found: u32, empty: u32, unassigned: u32) {
        self.world(|world| world.workers[worker].start_up = (not_found, empty, unassigned));
    }

    /// SIGKILL: its port closes, its connections end, nothing is written. The others have not noticed yet.
    pub fn kill_worker(&self, worker: usize) {
        self.close(worker);
        self.world(|world| world.workers[worker].alive = Alive::Missed);
    }

    /// The others notice: its instances now belong to nobody (409), until reassigned.
    pub fn notice_death_of(&self, worker: usize) {
        self.world(|world| world.workers[worker].alive = Alive::Gone);
    }

    /// The rebalance after a death: its instances start elsewhere, also the FAILED ones, without any call.
    pub fn reassign_from(&self, worker: usize) {
        self.world(|world| world.reassign(worker));
    }

    /// At the same port, with its instances if nobody took them.
    pub fn revive_worker(&self, worker: usize) {
        let address = (Ipv4Addr::LOCALHOST, self.ports[worker]);
        let listener = (0..200).find_map(|_| {
            let listener = TcpListener::bind(address).ok();
            if listener.is_none() {
                thread::sleep(Duration::from_millis(10)); // someone's outgoing connection may have the port
            }
            listener
        });
        self.world(|world| world.workers[worker].alive = Alive::Up);
        self.serve(worker, listener.expect("the port is free again"));
    }
}

/// Scripted answers. Rules are tried in the order in which they were made.
impl Cluster {
    pub fn on_any(&self) -> Script<'_> {
        self.on(|_, _| true)
    }

    /// Method and target as sent; `*` stands for anything.
    pub fn on_request(&self, method: &str, target: &str) -> Script<'_> {
        let (method, target) = (method.to_owned(), target.to_owned());
        self.on(move |_, head| head.method == method && matches(&target, &head.target))
    }

    pub fn on_root(&self) -> Script<'_> {
        self.on(|call, _| *call == Call::Root)
    }

    /// `GET /connectors?expand=...`
    pub fn on_listing(&self) -> Script<'_> {
        self.on(|call, _| matches!(call, Call::Listing { .. }))
    }

    /// `GET /connectors`
    pub fn on_names(&self) -> Script<'_> {
        self.on(|call, _| *call == Call::Names)
    }

    pub fn on_status(&self, name: &str) -> Script<'_> {
        let wanted = Call::Status(name.to_owned());
        self.on(move |call, _| *call == wanted)
    }

    /// Any restart call for the connector, its own, that of a task, or KIP-745.
    pub fn on_restart(&self, name: &str) -> Script<'_> {
        let name = name.to_owned();
        self.on(move |call, _| matches!(call, Call::Restart(request) if request.connector == name))
    }

    /// The call that `restarts()` would show so: "orders/2", "orders", "orders?includeTasks&onlyFailed".
    pub fn on_this_restart(&self, shown: &str) -> Script<'_> {
        let shown = shown.to_owned();
        self.on(move |call, _| matches!(call, Call::Restart(request) if request.label() == shown))
    }

    pub fn on_any_restart(&self) -> Script<'_> {
        self.on(|call, _| matches!(call, Call::Restart(_)))
    }

    fn on(&self, wanted: impl Fn(&Call, &Head) -> bool + Send + Sync + 'static) -> Script<'_> {
        let mut inner = lock(&self.inner);
        inner.rules.push(Rule::new(Arc::new(wanted)));
        Script { cluster: self, index: inner.rules.len() - 1 }
    }

    pub fn forget_rules(&self) {
        for rule in &mut lock(&self.inner).rules {
            *rule = Rule::new(Arc::new(|_, _| false)); // a script may still hold its index
        }
    }
}

/// What happened.
impl Cluster {
    pub fn requests(&self) -> Vec<Request> {
        lock(&self.inner).requests.clone()
    }

    /// "GET /connectors?expand=status", in order.
    pub fn calls(&self) -> Vec<String> {
        self.requests()
            .iter()
            .map(|request| format!("{} {}", request.head.method, request.head.target))
            .collect()
    }

    /// The restart calls that arrived, in order and whatever the answer was, by their decoded names.
    pub fn restarts(&self) -> Vec<String> {
        let label = |request: &Request| match &request.call {
            Call::Restart(restart) => Some(restart.label()),
            _ => None,
        };
        lock(&self.inner).requests.iter().filter_map(label).collect()
    }

    /// Those since it was asked last: what one run sent.
    pub fn take_restarts(&self) -> Vec<String> {
        let restarts = self.restarts();
        let taken = std::mem::replace(&mut lock(&self.inner).restarts_taken, restarts.len());
        restarts[taken..].to_vec()
    }

    pub fn listings(&self) -> usize {
        lock(&self.inner)
            .requests
            .iter()
            .filter(|request| matches!(request.call, Call::Listing { .. }))
            .count()
    }

    /// Connections accepted by the living workers, also those whose TLS handshake failed.
    pub fn connections(&self) -> usize {
        lock(&self.servers).iter().flatten().map(Server::accepted).sum()
    }

    /// The restarts that instances really got, in order, whichever call brought them and whatever it answered.
    pub fn executed(&self) -> Vec<Executed> {
        self.world(|world| world.executed.clone())
    }

    /// How many restarts this very instance got; `None` is the connector's own.
    pub fn count_restarts_of(&self, name: &str, task: Option<u32>) -> usize {
        self.world(|world| {
            let huge =
                world.huge.as_ref().and_then(|huge| Some(huge.restarts_of(huge.index_of(name)?, task?)));
            huge.unwrap_or_else(|| {
                world.executed.iter().filter(|it| it.connector == name && it.task == task).count()
            })
        })
    }

    /// In a huge cluster: how many tasks were restarted at all, and the highest count among them.
    pub fn huge_restarts(&self) -> (usize, usize) {
        self.world(|world| world.huge.as_ref().map_or((0, 0), Huge::restarted_tasks))
    }

    /// The invariant: the restarts that hit an instance which was not FAILED at that moment, as "orders/2 was RUNNING".
    pub fn restarts_of_unfailed(&self) -> Vec<String> {
        let unfailed = self.executed().into_iter().filter(|it| it.was != state::FAILED);
        unfailed.map(|it| format!("{} was {}", label(&it.connector, it.task), it.was)).collect()
    }

    /// What the status shows now, without being a listing.
    pub fn shown_state(&self, name: &str, task: Option<u32>) -> String {
        let shown = |world: &mut World| Some(world.connectors.get(name)?.instance(task)?.shown.state.clone());
        self.world(shown).unwrap_or_else(|| "absent".to_owned())
    }

    /// Waits for it, at most 10 s.
    pub fn wait_for(&self, what: &str, is_so: impl Fn(&Self) -> bool) {
        let end = Instant::now() + Duration::from_secs(10);
        while !is_so(self) {
            assert!(Instant::now() < end, "waited in vain for {what}; calls so far: {:?}", self.calls());
            thread::sleep(Duration::from_millis(2));
        }
    }
}

/// How it works.
impl Cluster {
    fn world<T>(&self, act: impl FnOnce(&mut World) -> T) -> T {
        let mut inner = lock(&self.inner);
        inner.world.catch_up(Instant::now());
        act(&mut inner.world)
    }

    fn serve(&self, worker: usize, listener: TcpListener) {
        let cluster = self.itself.upgrade().expect("it exists");
        let respond = move |head: &Head, life: &Life| cluster.respond(worker, head, life);
        let server = Server::start(listener, self.setup.listen.clone(), Arc::new(respond));
        lock(&self.servers)[worker] = Some(server);
    }

    fn close(&self, worker: usize) {
        let server = lock(&self.servers)[worker].take();
        if let Some(server) = server {
            lock(&self.left_over).extend(server.kill());
        }
    }

    fn respond(&self, worker: usize, head: &Head, life: &Life) -> Reply {
        let _alarm = Alarm(&self.failed);
        let call = rest::call(head);
        let expected = self.setup.authorization.as_deref();
        let authorized = expected.is_none_or(|expected| head.header("authorization") == Some(expected));
        let (number, scripted) = {
            let mut inner = lock(&self.inner);
            let request = Request {
                worker,
                at: Instant::now(),
                head: head.clone(),
                authorized,
                answered: None,
                call: call.clone(),
            };
            inner.requests.push(request);
            (inner.requests.len() - 1, rules::choose(&mut inner.rules, worker, &call, head))
        };
        let mut answer = Answer::normal();
        if let Some((index, scripted, story)) = scripted {
            if let Some(mut story) = story {
                story(self);
                rules::put_back(&mut lock(&self.inner).rules, index, story);
            }
            answer = scripted;
        }
        let mut wait = Duration::ZERO;
        let normal = answer.needs_normal().then(|| {
            let outcome = self.normal(worker, head, &call, authorized, life);
            wait = outcome.wait;
            outcome.response
        });
        let mut reply = answer.reply(normal);
        reply.wait += wait;
        if let Content::Http(response) = &reply.content
            && !matches!(reply.delivery, http::Delivery::Hang | http::Delivery::Reset | http::Delivery::Close)
            && let Some(request) = lock(&self.inner).requests.get_mut(number)
        {
            request.answered = Some(response.status);
        }
        reply
    }

    fn normal(
        &self,
        worker: usize,
        head: &Head,
        call: &Call,
        authorized: bool,
        life: &Life,
    ) -> rest::Outcome {
        let here = self.here(worker);
        let held_up = {
            let mut inner = lock(&self.inner);
            if let Some(response) = rest::refused(&mut inner.world, &here, head) {
                return response.into();
            }
            // The filter comes after the matching, so unknown paths are 404 for everybody.
            if !authorized && !matches!(call, Call::Unmatched) {
                return answers::not_authenticated().into();
            }
            rest::held_up(&mut inner.world, &here, call, Instant::now())
        };
        if let Some((wait, timed_out)) = held_up {
            life.sleep(wait);
            if let Some(response) = timed_out {
                return response.into();
            }
        }
        self.world(|world| {
            let mut outcome = rest::answer(world, &here, head, call, Instant::now());
            if let Some(server) = here.profile.server_header() {
                outcome.response.headers.push(("Server".to_owned(), server.to_owned()));
            }
            outcome
        })
    }

    fn here(&self, worker: usize) -> Here {
        let inner = lock(&self.inner);
        let profile = inner.world.workers[worker].profile;
        Here {
            worker,
            profile,
            version: self.setup.version.clone().unwrap_or_else(|| profile.version().to_owned()),
            standalone: self.setup.standalone,
            request_timeout: inner.request_timeout,
            forward_timeout: inner.forward_timeout,
        }
    }
}

/// Further words about one connector.
#[derive(Clone)]
pub struct ConnectorStory<'a> {
    cluster: &'a Cluster,
    name: String,
}

impl ConnectorStory<'_> {
    /// Tasks 0 to n-1, RUNNING, spread over the workers.
    pub fn tasks(self, n: u32) -> Self {
        self.task_ids(0..n)
    }

    /// Exactly these, as when there are gaps.
    pub fn task_ids(self, ids: impl IntoIterator<Item = u32>) -> Self {
        self.cluster.world(|world| world.set_tasks(&self.name, ids));
        self
    }

    /// "source", "sink" (the default), or what a newer Connect may invent.
    pub fn of_type(self, kind: &str) -> Self {
        self.change(|connector| kind.clone_into(&mut connector.kind))
    }

    /// The worker that its own instance and its tasks are on.
    pub fn on_worker(self, worker: usize) -> Self {
        self.cluster.world(|world| {
            let tasks: Vec<u32> = world.connector(&self.name).tasks.keys().copied().collect();
            world.assign(&self.name, None, worker);
            for task in tasks {
                world.assign(&self.name, Some(task), worker);
            }
        });
        self
    }

    /// After a restart the old status stays visible so long.
    pub fn status_lag(self, lag: impl Into<After>) -> Self {
        let lag = lag.into();
        self.change(|connector| connector.lag = lag)
    }

    /// `start()` takes so long. By the clock, a plain restart also answers only then.
    pub fn slow_start(self, slow: impl Into<After>) -> Self {
        let slow = slow.into();
        self.change(|connector| connector.slow = slow)
    }

    /// Among the names, but absent from `?expand=status`: no status record yet.
    pub fn without_status(self) -> Self {
        self.change(|connector| connector.has_status = false)
    }

    pub fn with_status(self) -> Self {
        self.change(|connector| connector.has_status = true)
    }

    /// A config provider cannot resolve its secret: a plain restart leaves it UNASSIGNED, KIP-745 RESTARTING, for good.
    pub fn secret_missing(self) -> Self {
        self.change(|connector| connector.no_secret = true)
    }

    pub fn secret_back(self) -> Self {
        self.change(|connector| connector.no_secret = false)
    }

    /// The worker lacks its class: type unknown, and before 3.4 a 500 for the whole listing.
    pub fn plugin_missing(self) -> Self {
        self.change(|connector| connector.no_plugin = true)
    }

    /// No living worker has it: a 202 without effect, a 409 for the other calls.
    pub fn assigned_to_nobody(self) -> Self {
        self.change(|connector| connector.unassigned = true)
    }

    /// What 4.1 and newer show; `None` is null.
    pub fn plugin_version(self, version: Option<&str>) -> Self {
        let version = version.map(str::to_owned);
        self.change(|connector| connector.version = version)
    }

    pub fn config(self, key: &str, value: &str) -> Self {
        self.change(|connector| drop(connector.config.insert(key.to_owned(), value.to_owned())))
    }

    fn change(self, change: impl FnOnce(&mut Connector)) -> Self {
        self.cluster.world(|world| change(world.connector(&self.name)));
        self
    }
}

/// Remembers that a thread died of a panic.
struct Alarm<'a>(&'a AtomicBool);

impl Drop for Alarm<'_> {
    fn drop(&mut self) {
        if thread::panicking() {
            self.0.store(true, Ordering::SeqCst);
        }
    }
}

/// The local end of an outgoing connection: nothing listens there, and while it lives nobody else is given the port.
struct ClosedPort {
    stream: TcpStream,
    _listener: TcpListener,
}

impl ClosedPort {
    fn new() -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("loopback");
        let stream = TcpStream::connect(listener.local_addr().expect("it is bound")).expect("loopback");
        Self { stream, _listener: listener }
    }

    fn port(&self) -> u16 {
        self.stream.local_addr().expect("it is connected").port()
    }
}

/// `*` stands for anything, also for nothing.
fn matches(pattern: &str, text: &str) -> bool {
    match pattern.split_once('*') {
        None => pattern == text,
        Some((start, rest)) => text.strip_prefix(start).is_some_and(|left| {
            (0..=left.len()).filter(|at| left.is_char_boundary(*at)).any(|at| matches(rest, &left[at..]))
        }),
    }
}

fn base64(bytes: &[u8]) -> String {
    const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut text = String::new();
    for group in bytes.chunks(3) {
        let bits =
            group.iter().fold(0_u32, |bits, byte| (bits << 8) | u32::from(*byte)) << (8 * (3 - group.len()));
        for digit in 0..4 {
            let index = (bits >> (18 - 6 * digit)) & 63;
            text.push(if digit <= group.len() { DIGITS[index as usize] as char } else { '=' });
        }
    }
    text
}
