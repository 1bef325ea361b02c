//! A door between a worker and the broker: it lets the first connection in and holds the others until it is
//! opened.
//!
//! A worker asks the broker who it is, binds its REST port, and only then reads its topics, each by another
//! client. So a worker behind this door answers over REST, but knows no connector yet, for as long as the test
//! wants to look: a moment that is else over too soon to be seen.

use std::io;
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::thread;

pub struct Gate {
    port: u16,
    open: Arc<Opening>,
}

#[derive(Default)]
struct Opening {
    is_open: Mutex<bool>,
    changed: Condvar,
}

impl Gate {
    pub fn before(broker: &str) -> Gate {
        let listener = TcpListener::bind(("127.0.0.1", 0)).expect("a free port on loopback");
        let gate = Gate { port: listener.local_addr().expect("a bound port").port(), open: Arc::default() };
        let (broker, open) = (broker.to_owned(), Arc::clone(&gate.open));
        // It ends with the tests' process: a listener on loopback that nobody calls costs nothing.
        thread::spawn(move || {
            for (number, client) in listener.incoming().flatten().enumerate() {
                let (broker, open) = (broker.clone(), Arc::clone(&open));
                thread::spawn(move || {
                    if number > 0 {
                        open.wait();
                    }
                    relay(&client, &broker)
                });
            }
        });
        gate
    }

    pub fn address(&self) -> String {
        format!("127.0.0.1:{}", self.port)
    }

    pub fn open(&self) {
        *self.open.is_open.lock().unwrap_or_else(PoisonError::into_inner) = true;
        self.open.changed.notify_all();
    }
}

impl Opening {
    fn wait(&self) {
        let is_open = self.is_open.lock().unwrap_or_else(PoisonError::into_inner);
        drop(self.changed.wait_while(is_open, |is_open| !*is_open));
    }
}

/// A connection that broke is the client's to notice.
fn relay(client: &TcpStream, broker: &str) -> io::Result<()> {
    let broker = TcpStream::connect(broker)?;
    let (mut answers, mut back) = (broker.try_clone()?, client.try_clone()?);
    thread::spawn(move || {
        let _ = io::copy(&mut answers, &mut back);
        back.shutdown(Shutdown::Both)
    });
    let (mut client, mut broker) = (client, &broker);
    let _ = io::copy(&mut client, &mut broker);
    broker.shutdown(Shutdown::Both)
}
