//! Somebody who is told: a server that keeps what it gets and answers as its script says.

use std::net::TcpListener;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use serde_json::Value;

use crate::sim::answers;
use crate::sim::http::{Content, Delivery, Head, Listen, Reply, Server, lock};

/// How a message is answered.
#[derive(Clone, Debug)]
pub(crate) enum Say {
    Status(u16, &'static str),
    /// 429 or 503 with a `Retry-After`.
    Later(u16, &'static str),
    Redirect(String),
    Hang,
    /// Closed before the first byte of the answer.
    Cut,
}

type Meanwhile = Box<dyn FnOnce() + Send>;

pub(crate) struct Receiver {
    url: String,
    got: Arc<Mutex<Vec<Head>>>,
    script: Arc<Mutex<Vec<Say>>>,
    usual: Arc<Mutex<Say>>,
    meanwhile: Arc<Mutex<Option<Meanwhile>>>,
    _server: Server,
}

impl Receiver {
    pub(crate) fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let url = format!("http://{}", listener.local_addr().expect("an address"));
        let (got, script) = (Arc::<Mutex<Vec<Head>>>::default(), Arc::<Mutex<Vec<Say>>>::default());
        let usual = Arc::new(Mutex::new(Say::Status(200, "ok")));
        let meanwhile = Arc::<Mutex<Option<Meanwhile>>>::default();
        let respond = {
            let meanwhile = Arc::clone(&meanwhile);
            let (got, script, usual) = (Arc::clone(&got), Arc::clone(&script), Arc::clone(&usual));
            move |head: &Head| {
                lock(&got).push(head.clone());
                if let Some(happens) = lock(&meanwhile).take() {
                    happens();
                }
                let mut script = lock(&script);
                reply(&if script.is_empty() { lock(&usual).clone() } else { script.remove(0) })
            }
        };
        let server = Server::start(listener, Listen::default(), Arc::new(respond));
        Self { url, got, script, usual, meanwhile, _server: server }
    }

    pub(crate) fn url(&self, path: &str) -> String {
        format!("{}{path}", self.url)
    }

    /// What happens while the next message is on its way.
    pub(crate) fn meanwhile(&self, happens: impl FnOnce() + Send + 'static) {
        *lock(&self.meanwhile) = Some(Box::new(happens));
    }

    /// Answers the next requests like this, one by one.
    pub(crate) fn then(&self, says: &[Say]) {
        lock(&self.script).extend_from_slice(says);
    }

    /// Answers all others like this.
    pub(crate) fn always(&self, say: Say) {
        *lock(&self.usual) = say;
    }

    /// What it got since it was last asked.
    pub(crate) fn take(&self) -> Vec<Head> {
        std::mem::take(&mut *lock(&self.got))
    }

    /// The same, as the text of a chat.
    pub(crate) fn texts(&self) -> Vec<String> {
        let text = |head: Head| {
            let body: Value = serde_json::from_slice(&head.body).expect("JSON");
            body["text"].as_str().expect("a text").to_owned()
        };
        self.take().into_iter().map(text).collect()
    }
}

fn reply(say: &Say) -> Reply {
    let whole = |response| Reply {
        content: Content::Http(response),
        wait: Duration::ZERO,
        delivery: Delivery::Whole,
    };
    match say {
        Say::Status(status, body) => whole(answers::text(*status, "text/plain", *body)),
        Say::Later(status, seconds) => {
            let mut response = answers::text(*status, "text/plain", "slow down");
            response.headers.push(("Retry-After".to_owned(), (*seconds).to_owned()));
            whole(response)
        }
        Say::Redirect(url) => {
            let mut response = answers::empty(302);
            response.headers.push(("Location".to_owned(), url.clone()));
            whole(response)
        }
        Say::Hang => Reply { delivery: Delivery::Hang, ..whole(answers::empty(200)) },
        Say::Cut => Reply { delivery: Delivery::Close, ..whole(answers::empty(200)) },
    }
}
