//! A stand-in for the Kubernetes API with one ConfigMap in it: GET and PUT over TLS, versions, conflicts, limits, and
//! the ways in which they can go wrong. Where it matters it answers as a real kube-apiserver was seen to.
//!
//! It must not know the program under test: what that writes is a text to it.

use std::net::{Ipv4Addr, TcpListener};
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use serde_json::{Value, json};

use crate::sim::http::{Body, Content, Delivery, Head, Listen, Reply, Response, Server, lock};
use crate::sim::{Authority, Leaf};

pub(crate) const TOKEN: &str = "the-token-of-the-service-account";
const PATH: &str = "/api/v1/namespaces/connect/configmaps/guardian-state";
const MIB: usize = 1024 * 1024;

/// The API server, and the folder of a pod's service account for it.
pub(crate) struct FakeApi {
    server: Option<Server>,
    world: Arc<Mutex<World>>,
    folder: tempfile::TempDir,
    authority: Authority,
    port: u16,
}

#[derive(Default)]
struct World {
    object: Option<Value>,
    version: u64,
    requests: Vec<String>,
    faults: Vec<(String, Fault)>,
    mistakes: Vec<String>,
}

/// What goes wrong with one request, the next of its method.
pub(crate) enum Fault {
    /// This status, as a `Status` object with a message.
    Answers(u16, &'static str),
    /// 200 and this body.
    Says(&'static str),
    /// 200 and blanks without end.
    Endless,
    /// It is carried out, and answered with this status.
    DoneBut(u16),
    /// It is carried out, and the connection is closed without an answer.
    DoneButCut,
    /// No answer, ever.
    Hangs,
    /// Something happens first; then it is answered as usual.
    After(Box<dyn FnOnce() + Send>),
}

impl FakeApi {
    /// With an empty ConfigMap `guardian-state` in the namespace `connect`, as Helm makes one.
    pub(crate) fn start() -> Self {
        let authority = Authority::named("kubernetes");
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("loopback");
        let port = listener.local_addr().expect("it is bound").port();
        let object = json!({
            "apiVersion": "v1", "kind": "ConfigMap",
            "metadata": {
                "name": "guardian-state", "namespace": "connect", "uid": "0d3a", "resourceVersion": "1",
                "creationTimestamp": "2026-11-22T10:00:00Z",
                "labels": {"app.kubernetes.io/managed-by": "Helm"},
                "annotations": {"helm.sh/resource-policy": "keep", "meta.helm.sh/release-name": "guardian"},
                "ownerReferences": [{"apiVersion": "v1", "kind": "Release", "name": "guardian", "uid": "77"}],
                "managedFields": [{"manager": "helm", "operation": "Update", "fieldsV1": {"f:metadata": {}}}]
            }
        });
        let world = Arc::new(Mutex::new(World { object: Some(object), version: 1, ..World::default() }));
        let listen = Listen { tls: Some(authority.server(Leaf::Good, None)), ..Listen::default() };
        let server = Server::start(listener, listen, {
            let world = Arc::clone(&world);
            Arc::new(move |head| respond(&world, head))
        });
        let folder = tempfile::tempdir().expect("a folder for the service account");
        let api = Self { server: Some(server), world, folder, authority, port };
        api.account("token", TOKEN);
        api.account("namespace", "connect");
        api.account("ca.crt", &api.authority.ca_pem());
        api
    }

    pub(crate) fn port(&self) -> u16 {
        self.port
    }

    /// Where token, ca.crt and namespace are.
    pub(crate) fn folder(&self) -> &Path {
        self.folder.path()
    }

    pub(crate) fn ca_pem(&self) -> String {
        self.authority.ca_pem()
    }

    /// Writes a file of the service account.
    pub(crate) fn account(&self, file: &str, text: &str) {
        std::fs::write(self.folder.path().join(file), text).expect("a writable folder");
    }

    /// The next request of this method goes wrong so; several are used up in the order in which they were told.
    pub(crate) fn next(&self, method: &str, fault: Fault) {
        lock(&self.world).faults.push((method.to_owned(), fault));
    }

    /// The methods that came since this was asked last.
    pub(crate) fn requests(&self) -> Vec<String> {
        std::mem::take(&mut lock(&self.world).requests)
    }

    pub(crate) fn object(&self) -> Value {
        lock(&self.world).object.clone().expect("the ConfigMap is there")
    }

    /// One of its data keys.
    pub(crate) fn data(&self, key: &str) -> Option<String> {
        Some(self.object().get("data")?.get(key)?.as_str()?.to_owned())
    }

    /// The document that is kept under `state.json`.
    pub(crate) fn state(&self) -> Value {
        serde_json::from_str(&self.data("state.json").expect("a state")).expect("it is JSON")
    }

    /// Changes the object as another client of the API would.
    pub(crate) fn edit(&self, edit: impl FnOnce(&mut Value)) {
        self.editor()(edit);
    }

    /// To change the object from within a fault.
    pub(crate) fn editor<E: FnOnce(&mut Value)>(&self) -> impl FnOnce(E) + Send + use<E> {
        let world = Arc::clone(&self.world);
        move |edit| {
            let mut world = lock(&world);
            let mut object = world.object.clone().expect("the ConfigMap is there");
            edit(&mut object);
            world.write(object);
        }
    }

    pub(crate) fn delete(&self) {
        lock(&self.world).object = None;
    }
}

impl Drop for FakeApi {
    fn drop(&mut self) {
        for thread in self.server.take().map(Server::kill).unwrap_or_default() {
            let _ = thread.join();
        }
        let mistakes = std::mem::take(&mut lock(&self.world).mistakes);
        assert!(std::thread::panicking() || mistakes.is_empty(), "{mistakes:?}");
    }
}

impl World {
    fn write(&mut self, mut object: Value) {
        self.version += 1;
        object["metadata"]["resourceVersion"] = self.version.to_string().into();
        self.object = Some(object);
    }

    fn carry_out(&mut self, head: &Head) -> Reply {
        let Some(object) = self.object.clone().filter(|_| head.target == PATH) else {
            return status(404, "configmaps \"guardian-state\" not found");
        };
        match head.method.as_str() {
            "GET" => answer(200, object.to_string()),
            "PUT" => self.replace(&object, &head.body),
            _ => status(405, "the server does not allow this method on the requested resource"),
        }
    }

    fn replace(&mut self, before: &Value, body: &[u8]) -> Reply {
        if body.len() > 3 * MIB {
            return status(413, "Request entity too large: limit is 3145728");
        }
        let mut after: Value = serde_json::from_slice(body).expect("what is put is JSON");
        let version = after["metadata"]["resourceVersion"].as_str().unwrap_or_default().to_owned();
        if version.is_empty() {
            // The real one lets the last writer win here.
            self.mistakes.push("a PUT without resourceVersion".to_owned());
        }
        if version != before["metadata"]["resourceVersion"] {
            return status(
                409,
                "Operation cannot be fulfilled on configmaps \"guardian-state\": the object has been modified",
            );
        }
        let values = after["data"].as_object().into_iter().flat_map(|data| data.values());
        let size: usize = values.map(|value| value.as_str().expect("values are texts").len()).sum();
        if size > MIB {
            return status(
                422,
                "ConfigMap \"guardian-state\" is invalid: []: Too long: must have at most 1048576 bytes",
            );
        }
        after["metadata"]["creationTimestamp"] = before["metadata"]["creationTimestamp"].clone();
        if after != *before {
            self.write(after);
        }
        answer(200, self.object.as_ref().expect("it was just there").to_string())
    }
}

fn respond(world: &Mutex<World>, head: &Head) -> Reply {
    let fault = {
        let mut world = lock(world);
        world.requests.push(head.method.clone());
        let meant = ["accept", "authorization", "content-length", "content-type", "host", "user-agent"];
        for (name, _) in head.headers.iter().filter(|(name, _)| !meant.contains(&name.as_str())) {
            world.mistakes.push(format!("a header that is not for it: {name}"));
        }
        if head.header("authorization") != Some(&format!("Bearer {TOKEN}")) {
            return status(401, "Unauthorized");
        }
        let next = world.faults.iter().position(|(method, _)| *method == head.method);
        next.map(|next| world.faults.remove(next).1)
    };
    match fault {
        None => lock(world).carry_out(head),
        Some(Fault::Answers(code, message)) => status(code, message),
        Some(Fault::Says(body)) => answer(200, body.to_owned()),
        Some(Fault::DoneBut(code)) => {
            let _ = lock(world).carry_out(head);
            status(code, "etcdserver: request timed out")
        }
        Some(Fault::DoneButCut) => Reply { delivery: Delivery::Close, ..lock(world).carry_out(head) },
        Some(Fault::Endless) => {
            Reply { delivery: Delivery::Endless(b" ".to_vec()), ..answer(200, String::new()) }
        }
        Some(Fault::Hangs) => Reply { delivery: Delivery::Hang, ..status(200, "") },
        Some(Fault::After(story)) => {
            story();
            lock(world).carry_out(head)
        }
    }
}

/// As the API server words a refusal.
fn status(code: u16, message: &str) -> Reply {
    let body = json!({
        "kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Failure", "message": message, "code": code
    });
    answer(code, body.to_string())
}

fn answer(code: u16, body: String) -> Reply {
    Reply {
        content: Content::Http(Response {
            status: code,
            reason: None,
            content_type: Some("application/json".to_owned()),
            headers: Vec::new(),
            body: Body::Bytes(body.into_bytes()),
        }),
        wait: Duration::ZERO,
        delivery: Delivery::Whole,
    }
}
