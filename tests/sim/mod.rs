//! A simulated Kafka Connect: workers on loopback whose connectors fail, whose answers are scripted, and which can be
//! killed.
//!
//! It owns the methods by which a test sets up a cluster and reads what happened (`connect.fail_task(..)`,
//! `connect.on_restart(..).answers(409)`, `connect.restarts()`). It must not know the program under test. Every worker
//! and thread ends when the [`Connect`] is dropped.
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

#![allow(
    dead_code,
    unused_imports,
    unreachable_pub,
    reason = "each program that includes it needs another part"
)]
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::arithmetic_side_effects,
    clippy::must_use_candidate,
    clippy::missing_panics_doc,
    reason = "a mistake in it must fail the test, loudly"
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

use self::http::{Content, Head, Listen, Reply, Response, Server, lock};
use self::rest::{Call, Here};
use self::rules::Rule;
use self::state::{Connector, LeftBehind, Worker, World, label};

pub use self::huge::Huge;
pub use self::rules::{Answer, Script};
pub use self::state::{Executed, Failure};
pub use self::tls::{Authority, Leaf, PemFiles};

/// The version of a worker: those between which a restarter can tell a difference.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Profile {
    /// No `?expand`: an array in place of the object.
    V2_2,
    /// Restart parameters are ignored: 204, and only the connector instance was restarted.
    V2_8,
    /// KIP-745. One connector without its plugin fails the whole listing; forwarded errors become 500 (both to 3.3).
    V3_0,
    V3_3,
    /// Forwarded codes are kept (since 3.4).
    V3_9,
    /// Jetty 12 (since 4.0): no `/`, `%`, `\` in names; the 202 is unsorted. `version` in the status (since 4.1).
    V4_3,
}

impl Profile {
    pub fn version(self) -> &'static str {
        match self {
            Self::V2_2 => "2.2.2",
            Self::V2_8 => "2.8.2",
            Self::V3_0 => "3.0.2",
            Self::V3_3 => "3.3.2",
            Self::V3_9 => "3.9.1",
            Self::V4_3 => "4.3.0",
        }
    }

    fn knows_restart_parameters(self) -> bool {
        self >= Self::V3_0
    }

    fn has_fragile_listing(self) -> bool {
        self <= Self::V3_3
    }

    fn is_4(self) -> bool {
        self >= Self::V4_3
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

    /// Every request must have this `Authorization`; others get what the Basic authentication extension answers.
    pub fn authorization(self, header: &str) -> Self {
        Self { authorization: Some(header.to_owned()), ..self }
    }

    pub fn tls(mut self, authority: &Authority, leaf: Leaf) -> Self {
        self.listen.tls = Some(authority.server(leaf, None));
        self
    }

    /// TLS with this certificate, in DER, whatever is wrong with it.
    pub fn tls_showing(mut self, certificate: Vec<u8>, key_pem: &str) -> Self {
        self.listen.tls = Some(tls::showing(certificate, key_pem));
        self
    }

    /// TLS, and clients must show a certificate of `clients`.
    pub fn mutual_tls(mut self, authority: &Authority, clients: &Authority) -> Self {
        self.listen.tls = Some(authority.server(Leaf::Good, Some(clients)));
        self
    }

    /// The wait between accepting a connection and the TLS handshake; `Duration::MAX` is for ever.
    pub fn handshake_delay(mut self, delay: Duration) -> Self {
        self.listen.handshake_delay = delay;
        self
    }

    /// Standalone mode: other texts, and a 202 that is sent once the restarts are done.
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
            up: true,
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

/// A running cluster; its methods are those of [`Cluster`]. Dropping it ends every worker and thread, and fails the
/// test if a callback of a rule has panicked.
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
    pub at: Instant,
    /// Method, target as sent, headers, number of the connection.
    pub head: Head,
    /// Whether it carried the expected `Authorization`; `true` where none is asked for.
    pub authorized: bool,
    call: Call,
}

struct Inner {
    world: World,
    requests: Vec<Request>,
    restarts_taken: usize,
    rules: Vec<Rule>,
}

/// The workers and what they share. The callbacks of rules get it as an argument.
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

/// Addresses.
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

    /// A port that refuses every connection, and that nobody else can get meanwhile.
    pub fn closed_url(&self) -> String {
        format!("http://127.0.0.1:{}", self.closed.port())
    }
}

/// The connectors, and what goes wrong.
impl Cluster {
    /// The connector of this name; a new one is RUNNING and has no tasks.
    pub fn connector(&self, name: &str) -> ConnectorSetup<'_> {
        self.world(|world| world.connector(name).name.clone());
        ConnectorSetup { cluster: self, name: name.to_owned() }
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

    /// Takes the fault away; the next restart finds it gone.
    pub fn heal(&self, name: &str, task: Option<u32>) {
        self.world(|world| world.heal(name, task));
    }

    /// Sets any state at all, in truth and in the status, without a trace.
    pub fn set_state(&self, name: &str, task: Option<u32>, state: &str) {
        self.world(|world| world.set(name, task, state));
    }

    /// Sets the `worker_id` of its status.
    pub fn show_worker_id(&self, name: &str, task: Option<u32>, worker_id: &str) {
        self.world(|world| world.show_worker_id(name, task, worker_id));
    }

    pub fn pause(&self, name: &str) {
        self.world(|world| world.pause(name));
    }

    /// STOPPED, while its FAILED tasks are still in the status.
    pub fn stop_leaving_failed_tasks(&self, name: &str) {
        self.world(|world| world.stop_leaving_failed_tasks(name));
    }

    pub fn delete(&self, name: &str) {
        self.world(|world| drop(world.connectors.remove(name)));
    }

    /// Replaces the listing by this one.
    pub fn huge(&self, huge: Huge) {
        self.world(|world| world.huge = Some(huge));
    }

    /// Makes the worker one that has just started: so many requests get Jetty's 404, then so many listings are `{}`,
    /// then so many show every instance as UNASSIGNED and every type as unknown.
    pub fn starts_up(&self, worker: usize, not_found: u32, empty: u32, unassigned: u32) {
        self.world(|world| world.workers[worker].start_up = (not_found, empty, unassigned));
    }

    /// SIGKILL: its port closes, its connections end, nothing is written. The other workers do not notice.
    pub fn kill_worker(&self, worker: usize) {
        self.close(worker);
        self.world(|world| world.workers[worker].up = false);
    }

    /// Starts it again at the same port, with its instances.
    pub fn revive_worker(&self, worker: usize) {
        let address = (Ipv4Addr::LOCALHOST, self.ports[worker]);
        let listener = (0..1000).find_map(|_| {
            let listener = TcpListener::bind(address).ok();
            if listener.is_none() {
                thread::sleep(Duration::from_millis(10)); // someone's outgoing connection may have the port
            }
            listener
        });
        self.world(|world| world.workers[worker].up = true);
        self.serve(worker, listener.expect("the port is free again"));
    }
}

/// Scripted answers. Rules are tried in the order in which they were made.
impl Cluster {
    pub fn on_any(&self) -> Script<'_> {
        self.on(|_| true)
    }

    pub fn on_root(&self) -> Script<'_> {
        self.on(|call| *call == Call::Root)
    }

    pub fn on_health(&self) -> Script<'_> {
        self.on(|call| *call == Call::Health)
    }

    /// `GET /connectors?expand=...`
    pub fn on_listing(&self) -> Script<'_> {
        self.on(|call| *call == Call::Listing)
    }

    /// `GET /connectors`
    pub fn on_names(&self) -> Script<'_> {
        self.on(|call| *call == Call::Names)
    }

    pub fn on_status(&self, name: &str) -> Script<'_> {
        let wanted = Call::Status(name.to_owned());
        self.on(move |call| *call == wanted)
    }

    /// Any restart call for the connector: its own, that of a task, or KIP-745.
    pub fn on_restart(&self, name: &str) -> Script<'_> {
        let name = name.to_owned();
        self.on(move |call| matches!(call, Call::Restart(request) if request.connector == name))
    }

    /// The call that `restarts()` shows like this: "orders/2", "orders", "orders?includeTasks&onlyFailed".
    pub fn on_this_restart(&self, shown: &str) -> Script<'_> {
        let shown = shown.to_owned();
        self.on(move |call| matches!(call, Call::Restart(request) if request.label() == shown))
    }

    pub fn on_any_restart(&self) -> Script<'_> {
        self.on(|call| matches!(call, Call::Restart(_)))
    }

    fn on(&self, wanted: impl Fn(&Call) -> bool + Send + Sync + 'static) -> Script<'_> {
        let mut inner = lock(&self.inner);
        inner.rules.push(Rule::new(Arc::new(wanted)));
        Script { cluster: self, index: inner.rules.len() - 1 }
    }

    pub fn forget_rules(&self) {
        for rule in &mut lock(&self.inner).rules {
            *rule = Rule::new(Arc::new(|_| false)); // a script may still hold its index
        }
    }
}

/// What was asked and done.
impl Cluster {
    pub fn requests(&self) -> Vec<Request> {
        lock(&self.inner).requests.clone()
    }

    /// All requests in order, as "GET /connectors?expand=status".
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

    /// The restart calls since this was called last: what one run sent.
    pub fn take_restarts(&self) -> Vec<String> {
        let restarts = self.restarts();
        let taken = std::mem::replace(&mut lock(&self.inner).restarts_taken, restarts.len());
        restarts[taken..].to_vec()
    }

    pub fn listings(&self) -> usize {
        lock(&self.inner).requests.iter().filter(|request| request.call == Call::Listing).count()
    }

    /// Connections that the living workers accepted, also those whose TLS handshake failed.
    pub fn connections(&self) -> usize {
        lock(&self.servers).iter().flatten().map(Server::accepted).sum()
    }

    /// The restarts that instances really got, in order, by whichever call and whatever it answered.
    pub fn executed(&self) -> Vec<Executed> {
        self.world(|world| world.executed.clone())
    }

    /// How many restarts this instance got; task `None` is the connector's own instance.
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

    /// Waits until it is so, at most 10 s.
    pub fn wait_for(&self, what: &str, is_so: impl Fn(&Self) -> bool) {
        let end = Instant::now() + Duration::from_secs(10);
        while !is_so(self) {
            assert!(Instant::now() < end, "waited in vain for {what}; calls so far: {:?}", self.calls());
            thread::sleep(Duration::from_millis(2));
        }
    }
}

/// Serving.
impl Cluster {
    fn world<T>(&self, act: impl FnOnce(&mut World) -> T) -> T {
        act(&mut lock(&self.inner).world)
    }

    fn serve(&self, worker: usize, listener: TcpListener) {
        let cluster = self.itself.upgrade().expect("it exists");
        let respond = move |head: &Head| cluster.respond(worker, head);
        let server = Server::start(listener, self.setup.listen.clone(), Arc::new(respond));
        lock(&self.servers)[worker] = Some(server);
    }

    fn close(&self, worker: usize) {
        let server = lock(&self.servers)[worker].take();
        if let Some(server) = server {
            lock(&self.left_over).extend(server.kill());
        }
    }

    fn respond(&self, worker: usize, head: &Head) -> Reply {
        let _on_panic = OnPanic(&self.failed);
        let call = rest::call(head);
        let expected = self.setup.authorization.as_deref();
        let authorized = expected.is_none_or(|expected| head.header("authorization") == Some(expected));
        let rule = {
            let mut inner = lock(&self.inner);
            let (at, head, call) = (Instant::now(), head.clone(), call.clone());
            inner.requests.push(Request { at, head, authorized, call: call.clone() });
            rules::choose(&mut inner.rules, worker, &call)
        };
        let mut answer = Answer::normal();
        if let Some((index, scripted, callback)) = rule {
            if let Some(mut callback) = callback {
                callback(self);
                rules::put_back(&mut lock(&self.inner).rules, index, callback);
            }
            answer = scripted;
        }
        let normal = answer.needs_normal().then(|| self.normal(worker, head, &call, authorized));
        answer.reply(normal)
    }

    fn normal(&self, worker: usize, head: &Head, call: &Call, authorized: bool) -> Response {
        let mut inner = lock(&self.inner);
        let here = self.here(worker, inner.world.workers[worker].profile);
        if let Some(response) = rest::refused(&mut inner.world, &here, head) {
            return response;
        }
        // The filter comes after the matching, so unknown paths are 404 for everybody.
        if !authorized && *call != Call::Unmatched {
            return answers::not_authenticated();
        }
        rest::answer(&mut inner.world, &here, call)
    }

    fn here(&self, worker: usize, profile: Profile) -> Here {
        let version = self.setup.version.clone().unwrap_or_else(|| profile.version().to_owned());
        Here { worker, profile, version, standalone: self.setup.standalone }
    }
}

/// Further settings of one connector.
#[derive(Clone)]
pub struct ConnectorSetup<'a> {
    cluster: &'a Cluster,
    name: String,
}

impl ConnectorSetup<'_> {
    /// Tasks 0 to n-1, RUNNING, spread over the workers.
    pub fn tasks(self, n: u32) -> Self {
        self.cluster.world(|world| world.set_tasks(&self.name, n));
        self
    }

    /// Its own instance and its tasks are on this worker.
    pub fn on_worker(self, worker: usize) -> Self {
        self.cluster.world(|world| world.assign(&self.name, worker));
        self
    }

    /// After a restart the next so many listings still show the old status.
    pub fn status_lag(self, listings: u32) -> Self {
        self.change(|connector| connector.lag = listings)
    }

    /// `start()` returns only after the next so many listings.
    pub fn slow_start(self, listings: u32) -> Self {
        self.change(|connector| connector.slow = listings)
    }

    /// Among the names, but absent from `?expand=status`: no status record yet.
    pub fn without_status(self) -> Self {
        self.change(|connector| connector.has_status = false)
    }

    /// A config provider cannot resolve its secret: a plain restart leaves it UNASSIGNED, KIP-745 RESTARTING, for good.
    pub fn secret_missing(self) -> Self {
        self.change(|connector| connector.no_secret = true)
    }

    /// The worker lacks its class: type unknown, and before 3.4 a 500 for the whole listing.
    pub fn plugin_missing(self) -> Self {
        self.change(|connector| connector.no_plugin = true)
    }

    /// No living worker has it: a 202 without effect, a 409 for the other calls.
    pub fn assigned_to_nobody(self) -> Self {
        self.change(|connector| connector.unassigned = true)
    }

    /// This task is no more, but its status was left behind (KAFKA-9472): it is listed, and unknown when it is restarted, for
    /// the connector was deleted and made anew.
    pub fn left_behind(self, task: u32) -> Self {
        self.change(|connector| connector.left_behind.extend([(task, LeftBehind::Nothing)]))
    }

    /// The same after the connector was scaled down: it is nobody's, at every restart.
    pub fn scaled_down(self, task: u32) -> Self {
        self.change(|connector| connector.left_behind.extend([(task, LeftBehind::Configuration)]))
    }

    fn change(self, change: impl FnOnce(&mut Connector)) -> Self {
        self.cluster.world(|world| change(world.connector(&self.name)));
        self
    }
}

/// Sets the flag when the thread panics while it holds this.
struct OnPanic<'a>(&'a AtomicBool);

impl Drop for OnPanic<'_> {
    fn drop(&mut self) {
        if thread::panicking() {
            self.0.store(true, Ordering::SeqCst);
        }
    }
}

/// The local end of an outgoing connection: nothing listens on its port, and while it lives nobody else gets the port.
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
