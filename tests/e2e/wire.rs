//! The wire between guardian and a worker: a TCP proxy that writes down each request and may act when it sees
//! one.
//!
//! It owns the record of what guardian really sent, which owes nothing to guardian nor to the worker (workers
//! before 3.3 write no access log, KAFKA-14099). It also makes "between the read and the restart" a moment
//! that a test can hit: the act is done before the request is passed on. It relays bytes and never changes an
//! answer of the worker's.

use std::io::{Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;

use crate::wait;

/// What happens with a request that was seen.
#[derive(Clone, Copy, PartialEq)]
pub enum Then {
    PassOn,
    /// This status with this JSON comes back: Connect never saw the request.
    Answer(u16, &'static str),
}

type Act = Box<dyn FnMut(&str) -> Then + Send>;

pub struct Wire {
    port: u16,
    heads: Arc<Mutex<Vec<String>>>,
    clients: Arc<Mutex<Clients>>,
}

/// Whom it serves; nobody any more after its death.
#[derive(Default)]
struct Clients {
    is_dead: bool,
    streams: Vec<TcpStream>,
}

impl Wire {
    pub fn to(port: u16) -> Wire {
        Wire::acting(port, |_| Then::PassOn)
    }

    /// `act` gets each request as "METHOD TARGET". It is called for one request at a time.
    pub fn acting(port: u16, act: impl FnMut(&str) -> Then + Send + 'static) -> Wire {
        let listener = TcpListener::bind(("127.0.0.1", 0)).expect("a free port on loopback");
        let wire = Wire {
            port: listener.local_addr().expect("a bound port").port(),
            heads: Arc::default(),
            clients: Arc::default(),
        };
        let act: Arc<Mutex<Act>> = Arc::new(Mutex::new(Box::new(act)));
        let (heads, clients) = (Arc::clone(&wire.heads), Arc::clone(&wire.clients));
        // It ends with the tests' process: a listener on loopback that nobody calls costs nothing.
        thread::spawn(move || {
            for client in listener.incoming().flatten() {
                let mut clients = clients.lock().unwrap_or_else(PoisonError::into_inner);
                if clients.is_dead {
                    break;
                }
                clients.streams.extend(client.try_clone());
                let (act, heads) = (Arc::clone(&act), Arc::clone(&heads));
                thread::spawn(move || relay(client, port, &act, &heads));
            }
        });
        wire
    }

    pub fn url(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }

    /// Ends as a killed process does, but in an order that a test can rely on: first its port refuses, then its
    /// connections break.
    pub fn die(&self) {
        self.clients.lock().unwrap_or_else(PoisonError::into_inner).is_dead = true;
        wait::until("the wire's port to refuse", || match TcpStream::connect(("127.0.0.1", self.port)) {
            Ok(_) => Err("it accepts".to_owned()), // and has thereby noticed
            Err(_) => Ok(()),
        });
        for stream in &self.clients.lock().unwrap_or_else(PoisonError::into_inner).streams {
            let _ = stream.shutdown(Shutdown::Both);
        }
    }

    /// All requests so far, "METHOD TARGET", in their order.
    pub fn requests(&self) -> Vec<String> {
        self.heads().iter().map(|head| request_of(head)).collect()
    }

    fn heads(&self) -> Vec<String> {
        self.heads.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// The targets of the restart requests among them.
    pub fn restarts(&self) -> Vec<String> {
        self.requests()
            .iter()
            .filter_map(|request| request.strip_prefix("POST "))
            .map(str::to_owned)
            .collect()
    }

    /// The `Content-Length` of each restart request, "" for one without it.
    pub fn lengths_of_restarts(&self) -> Vec<String> {
        let heads = self.heads();
        let posts = heads.iter().filter(|head| head.starts_with("POST "));
        let length = |head: &String| {
            let mut headers = head.lines().filter_map(|line| line.split_once(':'));
            let found = headers.find(|(name, _)| name.eq_ignore_ascii_case("content-length"));
            found.map_or("", |(_, value)| value.trim()).to_owned()
        };
        posts.map(length).collect()
    }
}

/// "METHOD TARGET" of the first line.
fn request_of(head: &str) -> String {
    let line = head.lines().next().unwrap_or_default();
    line.rsplit_once(' ').map_or(line, |(request, _)| request).to_owned()
}

fn relay(client: TcpStream, port: u16, act: &Mutex<Act>, heads: &Mutex<Vec<String>>) {
    // A worker that is gone looks to guardian as it would without the wire, but for the moment: accepted,
    // then closed.
    let Ok(worker) = TcpStream::connect(("127.0.0.1", port)) else {
        return;
    };
    let (Ok(mut answers), Ok(mut back)) = (worker.try_clone(), client.try_clone()) else {
        return;
    };
    thread::spawn(move || {
        let _ = std::io::copy(&mut answers, &mut back);
        let _ = back.shutdown(Shutdown::Both);
    });
    let _ = pass_requests_on(&client, &worker, act, heads);
    let _ = worker.shutdown(Shutdown::Both);
    let _ = client.shutdown(Shutdown::Both);
}

/// Guardian's requests have no body, so each one ends with its head.
fn pass_requests_on(
    mut client: &TcpStream,
    mut worker: &TcpStream,
    act: &Mutex<Act>,
    heads: &Mutex<Vec<String>>,
) -> std::io::Result<()> {
    let mut pending = Vec::new();
    let mut chunk = [0; 4096];
    loop {
        let count = client.read(&mut chunk)?;
        if count == 0 {
            return Ok(());
        }
        pending.extend_from_slice(&chunk[..count]);
        while let Some(end) = pending.windows(4).position(|four| four == b"\r\n\r\n") {
            let head: Vec<u8> = pending.drain(..end + 4).collect();
            let text = String::from_utf8_lossy(&head);
            let request = request_of(&text);
            heads.lock().unwrap_or_else(PoisonError::into_inner).push(text.clone().into_owned());
            let then = (act.lock().unwrap_or_else(PoisonError::into_inner))(&request);
            match then {
                Then::PassOn => worker.write_all(&head)?,
                Then::Answer(status, json) => {
                    let length = json.len();
                    let head = format!("HTTP/1.1 {status} Put off\r\nContent-Type: application/json");
                    write!(client, "{head}\r\nContent-Length: {length}\r\n\r\n{json}")?;
                }
            }
        }
    }
}
