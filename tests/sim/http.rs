//! HTTP/1.1 by hand over plain sockets or TLS: accepting, reading one request head, sending one answer.
//!
//! It owns every way in which an answer can go wrong on the wire (cut, reset, stalled, dribbled, endless) and the
//! threads, all of which end with the server. It must not know what Kafka Connect is: `Respond` decides the answer.

use std::io::{self, Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::os::fd::OwnedFd;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError, Weak};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use rustls::{ServerConfig, ServerConnection, StreamOwned};

/// Jetty gives bodies above its 8 kB buffer no `Content-Length`.
const CHUNKED_ABOVE: usize = 8 * 1024;
const LONGEST_HEAD: usize = 64 * 1024;

/// Makes the answer to a request; called with no lock held.
pub type Respond = dyn Fn(&Head) -> Reply + Send + Sync;

/// The head of a request, and its body.
#[derive(Clone, Debug)]
pub struct Head {
    /// The number of the connection; the first of a worker is 1.
    pub connection: usize,
    pub method: String,
    /// Path and query as they came, still percent-encoded.
    pub target: String,
    pub headers: Vec<(String, String)>,
    /// Calls of Kafka Connect have none; those of the Kubernetes API do.
    pub body: Vec<u8>,
}

/// A whole HTTP answer. `content_type` is apart because Connect's 404 and 405 for unknown paths have none.
#[derive(Clone)]
pub struct Response {
    pub status: u16,
    pub reason: Option<String>,
    pub content_type: Option<String>,
    pub headers: Vec<(String, String)>,
    pub body: Body,
}

/// Writes a body that is too large to be held.
pub type BodyWriter = dyn Fn(&mut dyn Write) -> io::Result<()> + Send + Sync;

#[derive(Clone)]
pub enum Body {
    Bytes(Vec<u8>),
    /// Sent chunked.
    Stream(Arc<BodyWriter>),
}

/// An answer and the way in which it goes out.
pub struct Reply {
    pub content: Content,
    pub wait: Duration,
    pub delivery: Delivery,
}

#[derive(Clone)]
pub enum Content {
    Http(Response),
    /// Sent as they are, then the connection is closed.
    Raw(Vec<u8>),
}

/// How the answer is sent. Numbers of bytes count the body, or everything of raw content.
#[derive(Clone, Debug)]
pub enum Delivery {
    Whole,
    Chunked,
    CutAfter(usize),
    /// RST in place of FIN. Under TLS the connection is only dropped without `close_notify`.
    ResetAfter(usize),
    /// RST before the head.
    Reset,
    /// A clean close before the head.
    Close,
    ByteEvery(Duration),
    /// The body, then this for ever, chunked.
    Endless(Vec<u8>),
    Hang,
}

/// How one worker listens.
#[derive(Clone, Default)]
pub struct Listen {
    pub tls: Option<Arc<ServerConfig>>,
    /// The wait before the first byte of the TLS handshake.
    pub handshake_delay: Duration,
}

/// Tells every thread of a server to end, also one that sleeps.
struct Stop {
    stopped: Mutex<bool>,
    changed: Condvar,
}

impl Stop {
    /// Sleeps; `false` as soon as the server was stopped.
    fn sleep(&self, time: Duration) -> bool {
        let Some(end) = Instant::now().checked_add(time) else { return self.sleep_until_stopped() };
        let mut stopped = lock(&self.stopped);
        while !*stopped {
            let left = end.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return true;
            }
            stopped = self.changed.wait_timeout(stopped, left).unwrap_or_else(PoisonError::into_inner).0;
        }
        false
    }

    fn sleep_until_stopped(&self) -> bool {
        let mut stopped = lock(&self.stopped);
        while !*stopped {
            stopped = self.changed.wait(stopped).unwrap_or_else(PoisonError::into_inner);
        }
        false
    }

    fn is_stopped(&self) -> bool {
        *lock(&self.stopped)
    }

    fn stop(&self) {
        *lock(&self.stopped) = true;
        self.changed.notify_all();
    }
}

/// A listening socket and its threads: one that accepts, one for each connection.
pub struct Server {
    /// The listening socket. Closing it is not enough to close the port: a program that another test is just
    /// starting holds a copy for a moment, and would let connections in.
    listening: TcpStream,
    shared: Arc<Shared>,
    acceptor: Option<JoinHandle<()>>,
}

struct Shared {
    stop: Stop,
    listen: Listen,
    respond: Arc<Respond>,
    accepted: AtomicUsize,
    connections: Mutex<Vec<Connection>>,
}

/// The socket is weak: the thread that serves it must hold the last reference, or a drop would not reset it.
struct Connection {
    socket: Weak<TcpStream>,
    thread: JoinHandle<()>,
}

impl Server {
    pub fn start(listener: TcpListener, listen: Listen, respond: Arc<Respond>) -> Self {
        let copy = listener.try_clone().expect("one more descriptor");
        let listening = TcpStream::from(OwnedFd::from(copy));
        let shared = Arc::new(Shared {
            stop: Stop { stopped: Mutex::new(false), changed: Condvar::new() },
            listen,
            respond,
            accepted: AtomicUsize::new(0),
            connections: Mutex::default(),
        });
        let acceptor = thread::spawn({
            let shared = Arc::clone(&shared);
            move || accept(&listener, &shared)
        });
        Self { listening, shared, acceptor: Some(acceptor) }
    }

    /// How many connections were accepted, also those on which nothing was ever asked.
    pub fn accepted(&self) -> usize {
        self.shared.accepted.load(Ordering::SeqCst)
    }

    /// Closes the port and every connection, as SIGKILL would. It may be called by a connection's own thread, so it
    /// waits for the port only; the connection threads that are left are to be joined by the caller, later.
    #[must_use]
    pub fn kill(mut self) -> Vec<JoinHandle<()>> {
        self.shared.stop.stop();
        let _ = self.listening.shutdown(Shutdown::Both); // which also wakes `accept`
        if let Some(acceptor) = self.acceptor.take() {
            let _ = acceptor.join();
        }
        let connections = std::mem::take(&mut *lock(&self.shared.connections));
        for connection in &connections {
            if let Some(socket) = connection.socket.upgrade() {
                let _ = socket.shutdown(Shutdown::Both);
            }
        }
        connections.into_iter().map(|connection| connection.thread).collect()
    }
}

fn accept(listener: &TcpListener, shared: &Arc<Shared>) {
    for socket in listener.incoming() {
        if shared.stop.is_stopped() {
            return;
        }
        let Ok(socket) = socket else { continue };
        let number = shared.accepted.fetch_add(1, Ordering::SeqCst) + 1;
        let socket = Arc::new(socket);
        let weak = Arc::downgrade(&socket);
        let mut connections = lock(&shared.connections);
        connections.retain(|connection| !connection.thread.is_finished());
        let thread = thread::spawn({
            let shared = Arc::clone(shared);
            move || {
                let _ = serve(socket, number, &shared); // the client going away is no fault of ours
            }
        });
        connections.push(Connection { socket: weak, thread });
    }
}

fn serve(socket: Arc<TcpStream>, connection: usize, shared: &Shared) -> io::Result<()> {
    socket.set_nodelay(true)?;
    if !shared.stop.sleep(shared.listen.handshake_delay) {
        return Ok(());
    }
    let mut wire = match &shared.listen.tls {
        None => Wire::Plain(socket),
        Some(tls) => {
            let session = ServerConnection::new(Arc::clone(tls)).map_err(io::Error::other)?;
            Wire::Tls(Box::new(StreamOwned::new(session, Socket(socket))))
        }
    };
    while let Some((mut head, mut length, body)) = wire.read_head(connection, &shared.stop)? {
        if body > 0 {
            wire.consume(length - body)?;
            head.body = vec![0; body];
            wire.read_exact(&mut head.body)?;
            length = 0;
        }
        let reply = (shared.respond)(&head);
        let wants_reset = matches!(reply.delivery, Delivery::Reset | Delivery::ResetAfter(_));
        if !wants_reset {
            wire.consume(length)?; // a socket that is closed with unread bytes sends RST
        }
        let last = head.header("connection").is_some_and(|value| value.eq_ignore_ascii_case("close"));
        let keep = shared.stop.sleep(reply.wait) && deliver(&mut wire, &reply, &shared.stop)?;
        if last || !keep {
            wire.close(wants_reset);
            break;
        }
    }
    Ok(())
}

/// `false` when the connection must be closed after it.
fn deliver(wire: &mut Wire, reply: &Reply, stop: &Stop) -> io::Result<bool> {
    match &reply.delivery {
        Delivery::Hang => return Ok(stop.sleep_until_stopped()),
        Delivery::Close | Delivery::Reset => return Ok(false),
        _ => {}
    }
    let response = match &reply.content {
        Content::Raw(bytes) => {
            send_damaged(wire, bytes, false, &reply.delivery, stop)?;
            return Ok(false);
        }
        Content::Http(response) => response,
    };
    let body = match &response.body {
        Body::Bytes(body) => body,
        Body::Stream(body) => {
            wire.write_all(&head_of(response, None))?;
            let mut chunks = Chunks { wire, buffer: Vec::with_capacity(CHUNK) };
            body(&mut chunks)?;
            chunks.finish()?;
            return Ok(true);
        }
    };
    let chunked = match reply.delivery {
        Delivery::Chunked | Delivery::Endless(_) => true,
        _ => body.len() > CHUNKED_ABOVE,
    };
    let mut bytes = head_of(response, (!chunked).then_some(body.len()));
    if chunked && !body.is_empty() {
        bytes.extend_from_slice(format!("{:x}\r\n", body.len()).as_bytes());
    }
    if !matches!(reply.delivery, Delivery::Whole | Delivery::Chunked) {
        wire.write_all(&bytes)?;
        send_damaged(wire, body, chunked, &reply.delivery, stop)?;
        return Ok(matches!(reply.delivery, Delivery::ByteEvery(_)) && !chunked);
    }
    bytes.extend_from_slice(body);
    if chunked {
        bytes.extend_from_slice(if body.is_empty() { b"0\r\n\r\n" } else { b"\r\n0\r\n\r\n" });
    }
    wire.write_all(&bytes)?;
    Ok(true)
}

fn send_damaged(
    wire: &mut Wire,
    bytes: &[u8],
    chunked: bool,
    delivery: &Delivery,
    stop: &Stop,
) -> io::Result<()> {
    match delivery {
        Delivery::CutAfter(n) | Delivery::ResetAfter(n) => wire.write_all(&bytes[..(*n).min(bytes.len())]),
        Delivery::ByteEvery(pause) => {
            for byte in bytes {
                if !stop.sleep(*pause) {
                    break;
                }
                wire.write_all(&[*byte])?;
            }
            Ok(())
        }
        Delivery::Endless(filler) => {
            wire.write_all(bytes)?;
            let mut piece = filler.repeat(CHUNK / filler.len().max(1));
            if chunked {
                wire.write_all(if bytes.is_empty() { b"" } else { b"\r\n" })?;
                piece = [format!("{:x}\r\n", piece.len()).as_bytes(), &piece, b"\r\n"].concat();
            }
            while !stop.is_stopped() {
                wire.write_all(&piece)?;
            }
            Ok(())
        }
        _ => wire.write_all(bytes),
    }
}

fn head_of(response: &Response, length: Option<usize>) -> Vec<u8> {
    let reason = response.reason.as_deref().unwrap_or_else(|| reason_of(response.status));
    let mut lines = vec![format!("HTTP/1.1 {} {reason}", response.status)];
    lines.extend(response.content_type.iter().map(|value| format!("Content-Type: {value}")));
    lines.extend(response.headers.iter().map(|(name, value)| format!("{name}: {value}")));
    match length {
        _ if response.status == 204 => {}
        Some(length) => lines.push(format!("Content-Length: {length}")),
        None => lines.push("Transfer-Encoding: chunked".to_owned()),
    }
    (lines.join("\r\n") + "\r\n\r\n").into_bytes()
}

pub fn reason_of(status: u16) -> &'static str {
    match status {
        200 => "OK",
        202 => "Accepted",
        204 => "No Content",
        301 => "Moved Permanently",
        302 => "Found",
        307 => "Temporary Redirect",
        400 => "Bad Request",
        401 => "Unauthorized",
        403 => "Forbidden",
        404 => "Not Found",
        405 => "Method Not Allowed",
        406 => "Not Acceptable",
        409 => "Conflict",
        415 => "Unsupported Media Type",
        429 => "Too Many Requests",
        500 => "Server Error",
        502 => "Bad Gateway",
        503 => "Service Unavailable",
        504 => "Gateway Timeout",
        _ => "Unknown",
    }
}

const CHUNK: usize = 64 * 1024;

struct Chunks<'a> {
    wire: &'a mut Wire,
    buffer: Vec<u8>,
}

impl Chunks<'_> {
    fn finish(mut self) -> io::Result<()> {
        self.flush()?;
        self.wire.write_all(b"0\r\n\r\n")
    }
}

impl Write for Chunks<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.buffer.extend_from_slice(bytes);
        if self.buffer.len() >= CHUNK {
            self.flush()?;
        }
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        if self.buffer.is_empty() {
            return Ok(());
        }
        self.wire.write_all(format!("{:x}\r\n", self.buffer.len()).as_bytes())?;
        self.buffer.extend_from_slice(b"\r\n");
        self.wire.write_all(&self.buffer)?;
        self.buffer.clear();
        Ok(())
    }
}

enum Wire {
    Plain(Arc<TcpStream>),
    Tls(Box<StreamOwned<ServerConnection, Socket>>),
}

impl Wire {
    /// The next head, the length of what is still to be consumed, and how much of that is the body. A plain socket is
    /// only peeked at, so that it can still be reset; `None` is the client's close.
    fn read_head(&mut self, connection: usize, stop: &Stop) -> io::Result<Option<(Head, usize, usize)>> {
        let bytes = match self {
            Self::Plain(socket) => peek_head(socket, stop)?,
            Self::Tls(stream) => read_bytes_of_head(stream)?,
        };
        let Some(bytes) = bytes else { return Ok(None) };
        let head = parse_head(&bytes, connection)?;
        let body = head.header("content-length").and_then(|length| length.parse().ok()).unwrap_or(0);
        let consumed = if matches!(self, Self::Plain(_)) { bytes.len() } else { 0 };
        Ok(Some((head, consumed + body, body)))
    }

    fn consume(&mut self, length: usize) -> io::Result<()> {
        io::copy(&mut self.take(length as u64), &mut io::sink()).map(drop)
    }

    fn close(&mut self, abruptly: bool) {
        if let Self::Tls(stream) = self
            && !abruptly
        {
            stream.conn.send_close_notify();
            let _ = stream.flush();
        }
    }
}

impl Read for Wire {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        match self {
            Self::Plain(socket) => (&**socket).read(buffer),
            Self::Tls(stream) => stream.read(buffer),
        }
    }
}

impl Write for Wire {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match self {
            Self::Plain(socket) => (&**socket).write(bytes),
            Self::Tls(stream) => stream.write(bytes),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        match self {
            Self::Plain(_) => Ok(()),
            Self::Tls(stream) => stream.flush(),
        }
    }
}

/// `Read` and `Write` over the shared socket, which is what rustls asks for.
struct Socket(Arc<TcpStream>);

impl Read for Socket {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        (&*self.0).read(buffer)
    }
}

impl Write for Socket {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        (&*self.0).write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

fn peek_head(socket: &TcpStream, stop: &Stop) -> io::Result<Option<Vec<u8>>> {
    let mut buffer = vec![0; LONGEST_HEAD];
    // Peeking does not wait for more bytes, and does not see a close behind them.
    for _ in 0..5_000 {
        let length = socket.peek(&mut buffer)?;
        if length == 0 {
            return Ok(None);
        }
        if let Some(end) = end_of_head(&buffer[..length]) {
            buffer.truncate(end);
            return Ok(Some(buffer));
        }
        if length == LONGEST_HEAD || !stop.sleep(Duration::from_millis(1)) {
            break;
        }
    }
    Err(io::Error::other("a request head without end"))
}

fn read_bytes_of_head(stream: &mut impl Read) -> io::Result<Option<Vec<u8>>> {
    let mut bytes = Vec::new();
    let mut byte = [0];
    while end_of_head(&bytes).is_none() {
        if bytes.len() == LONGEST_HEAD {
            return Err(io::Error::other("a request head without end"));
        }
        if stream.read(&mut byte)? == 0 {
            return Ok(None);
        }
        bytes.push(byte[0]);
    }
    Ok(Some(bytes))
}

fn end_of_head(bytes: &[u8]) -> Option<usize> {
    bytes.windows(4).position(|window| window == b"\r\n\r\n").map(|start| start + 4)
}

fn parse_head(bytes: &[u8], connection: usize) -> io::Result<Head> {
    let text = String::from_utf8_lossy(bytes);
    let mut lines = text.split("\r\n");
    let mut words = lines.next().unwrap_or_default().split(' ');
    let (Some(method), Some(target)) = (words.next(), words.next()) else {
        return Err(io::Error::other("not a request line"));
    };
    let headers = lines
        .filter_map(|line| line.split_once(':'))
        .map(|(name, value)| (name.to_ascii_lowercase(), value.trim().to_owned()))
        .collect();
    Ok(Head { connection, method: method.to_owned(), target: target.to_owned(), headers, body: Vec::new() })
}

impl Head {
    /// Names in lower case.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(key, _)| key == name).map(|(_, value)| value.as_str())
    }
}

/// A test that panics with a lock held must fail with its own message, not with that of a poisoned lock.
pub fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
