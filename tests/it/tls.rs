//! What can be wrong between guardian and a worker before Connect answers: certificates, names, ports, proxies,
//! credentials. Each has a message of its own, and none of them changes the state.

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use crate::sim::{Answer, Authority, Connect, Failure, Leaf, PemFiles, Profile};
use crate::support::{Guardian, actions, each};

/// A worker behind TLS with one failed task.
fn worker(setup: crate::sim::Setup) -> Connect {
    let connect = setup.start();
    connect.connector("orders").tasks(1);
    connect.fail_task("orders", 0, Failure::always());
    connect
}

fn path(path: &std::path::Path) -> &str {
    path.to_str().expect("a path in UTF-8")
}

fn trusting(url: &str, files: &PemFiles) -> Guardian {
    Guardian::at(url).env("KAFKA_CONNECT_CA_FILE", path(&files.ca))
}

fn with_certificate(guardian: Guardian, files: &PemFiles) -> Guardian {
    guardian
        .env("KAFKA_CONNECT_CERT_FILE", path(&files.client_cert))
        .env("KAFKA_CONNECT_KEY_FILE", path(&files.client_key))
}

fn restarts(guardian: &Guardian, connect: &Connect) {
    let (document, code) = guardian.run_json();
    assert_eq!((actions(&document), code), (vec!["orders/0 restarted".to_owned()], 0), "{document:#}");
    assert_eq!(connect.take_restarts(), ["orders/0"]);
}

/// Fails the run for this reason, in these words, with nothing sent and nothing remembered.
fn fails(guardian: &Guardian, connect: &Connect, kind: &str, says: &str) {
    let (document, code) = guardian.run_json();
    let error = &document["error"];
    let text =
        format!("{} ({})", error["message"].as_str().unwrap(), error["hint"].as_str().unwrap_or_default());
    assert!(text.contains(says), "{says}: {text}");
    assert_eq!((error["kind"].as_str(), code), (Some(kind), 1), "{text}");
    assert_eq!((connect.restarts(), guardian.remembered()), (Vec::new(), None), "{text}");
}

#[test]
fn tls_with_a_private_ca_works_and_every_bad_certificate_is_told_apart() {
    let (authority, other) = (Authority::new(), Authority::named("Another CA"));
    let (folder, elsewhere) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let (files, others) = (authority.write_pem_files(folder.path()), other.write_pem_files(elsewhere.path()));
    let with = |leaf| worker(Connect::with(Profile::V3_9).tls(&authority, leaf));

    let good = with(Leaf::Good);
    restarts(&trusting(&good.url(), &files), &good);
    let connect = with(Leaf::Good);
    restarts(&trusting(&connect.url().replace("127.0.0.1", "localhost"), &files), &connect);

    for (leaf, says) in [
        (Leaf::WrongHost, "the server's certificate is for another host name than the one in the URL"),
        (Leaf::Expired, "the server's certificate expired "),
        (Leaf::NotYetValid, "the server's certificate is not valid yet (it is 20"),
    ] {
        let connect = with(leaf);
        fails(&trusting(&connect.url(), &files), &connect, "unreachable", says);
        assert_eq!(connect.requests().len(), 0);
    }
    let unknown = "signed by a CA that is not trusted here (KAFKA_CONNECT_CA_FILE adds one)";
    fails(
        &trusting(&good.url(), &others).env("GUARDIAN_CLUSTER", "x"),
        &with(Leaf::Good),
        "unreachable",
        unknown,
    );
}

#[test]
fn mutual_tls_works_and_every_bad_client_certificate_is_told_apart() {
    let (authority, clients, strangers) =
        (Authority::new(), Authority::named("Clients"), Authority::named("Strangers"));
    let [server, client, stranger] = [&authority, &clients, &strangers].map(|authority| {
        let folder = tempfile::tempdir().unwrap();
        let files = authority.write_pem_files(folder.path());
        (folder, files)
    });
    let connect = worker(Connect::with(Profile::V3_9).mutual_tls(&authority, &clients));
    let guardian = || trusting(&connect.url(), &server.1);
    restarts(&with_certificate(guardian(), &client.1), &connect);
    let connect = worker(Connect::with(Profile::V3_9).mutual_tls(&authority, &clients));
    let guardian = || trusting(&connect.url(), &server.1);
    fails(&guardian(), &connect, "unreachable", "the server wants a client certificate");
    fails(
        &with_certificate(guardian(), &stranger.1),
        &connect,
        "unreachable",
        "the server does not trust the client certificate",
    );
}

/// What Jetty says to a client that begins with a TLS handshake on its plain port.
fn plaintext_server() -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("https://{}", listener.local_addr().unwrap());
    std::thread::spawn(move || {
        for mut client in listener.incoming().flatten() {
            let _ = client.read(&mut [0; 1024]);
            let _ =
                client.write_all(b"HTTP/1.1 400 Illegal character CNTL=0x16\r\nConnection: close\r\n\r\n");
        }
    });
    url
}

#[test]
fn the_wrong_port_and_the_wrong_protocol_are_told() {
    let authority = Authority::new();
    let folder = tempfile::tempdir().unwrap();
    let files = authority.write_pem_files(folder.path());
    let (plain, secure) = (
        worker(Connect::with(Profile::V3_9)),
        worker(Connect::with(Profile::V3_9).tls(&authority, Leaf::Good)),
    );
    let rows = [
        (
            plaintext_server(),
            "the server does not speak TLS on this port (is it http? then KAFKA_CONNECT_PROTO=http, or http in KAFKA_CONNECT_URL)",
        ),
        (
            secure.url().replace("https:", "http:"),
            "is this port https? then KAFKA_CONNECT_PROTO=https, or https in KAFKA_CONNECT_URL",
        ),
        (plain.closed_url(), "Connection refused"),
        (plain.closed_url().replace("http:", "https:"), "Connection refused"),
        ("http://connect.invalid:8083".to_owned(), "the name connect.invalid cannot be resolved"),
        (format!("{}/nowhere", plain.url()), "HTTP 404"),
    ];
    for (url, says) in rows {
        let kind = if says == "HTTP 404" { "not_connect" } else { "unreachable" };
        fails(&trusting(&url, &files), &plain, kind, says);
    }
    assert_eq!(secure.requests().len(), 0);
}

#[test]
fn a_handshake_that_never_comes_is_not_waited_for_longer_than_said() {
    let authority = Authority::new();
    let folder = tempfile::tempdir().unwrap();
    let files = authority.write_pem_files(folder.path());
    let setup = || Connect::with(Profile::V3_9).tls(&authority, Leaf::Good);
    let slow = worker(setup().handshake_delay(Duration::from_secs(1)));
    restarts(&trusting(&slow.url(), &files), &slow);
    let stalled = worker(setup().handshake_delay(Duration::MAX));
    fails(
        &trusting(&stalled.url(), &files).env("GUARDIAN_TIMEOUT", "1s"),
        &stalled,
        "unreachable",
        "within 1s",
    );
    let deadline = trusting(&stalled.url(), &files).env("GUARDIAN_DEADLINE", "1s");
    fails(&deadline, &stalled, "unreachable", "before the run's deadline");
}

#[test]
fn files_that_hold_no_pem_are_usage_errors_that_name_their_setting() {
    let (authority, folder) = (Authority::new(), tempfile::tempdir().unwrap());
    let files = authority.write_pem_files(folder.path());
    let nonsense = folder.path().join("nonsense");
    std::fs::write(&nonsense, "nonsense").unwrap();
    let (nonsense, missing) = (path(&nonsense), "/nonexistent/x.pem");
    let [ca, cert, key] = ["KAFKA_CONNECT_CA_FILE", "KAFKA_CONNECT_CERT_FILE", "KAFKA_CONNECT_KEY_FILE"];
    let (good_cert, good_key) = (path(&files.client_cert), path(&files.client_key));
    for settings in [
        vec![(ca, nonsense)],
        vec![(ca, missing)],
        vec![(cert, missing), (key, good_key)],
        vec![(cert, nonsense), (key, good_key)],
        vec![(cert, good_cert), (key, nonsense)],
        vec![(cert, good_cert), (key, good_cert)],
        vec![(key, good_key)],
        vec![(cert, good_cert)],
    ] {
        let guardian = settings
            .iter()
            .fold(Guardian::at("https://localhost:1"), |it, (name, value)| it.env(name, value));
        let (document, code) = guardian.run_json();
        let message = document["error"]["message"].as_str().unwrap();
        assert_eq!((document["error"]["kind"].as_str(), code), (Some("usage"), 2), "{settings:?}: {message}");
        assert!(settings.iter().any(|(name, _)| message.contains(name)), "{settings:?}: {message}");
        assert!(!message.contains("PRIVATE KEY"), "{message}");
    }
}

// === Credentials ===

#[test]
fn basic_authentication_and_tokens_are_sent_with_every_request_and_told_when_wrong() {
    let folder = tempfile::tempdir().unwrap();
    let file = |name: &str, text: &str| {
        let path = folder.path().join(name);
        std::fs::write(&path, text).unwrap();
        path.to_str().unwrap().to_owned()
    };
    let (password, token, bad) =
        (file("password", "s3cret:ü\n"), file("token", "abc.def\n"), file("bad", "wrong"));
    let basic = || worker(Connect::with(Profile::V4_3).authorization("Basic YWxpY2U6czNjcmV0OsO8"));
    let bearer = || worker(Connect::with(Profile::V4_3).authorization("Bearer abc.def"));
    let user = |guardian: Guardian| guardian.env("KAFKA_CONNECT_USER", "alice");
    type Rows<'a> = Vec<(Connect, Box<dyn Fn(Guardian) -> Guardian + Send + Sync + 'a>, bool)>;
    let rows: Rows<'_> = vec![
        (basic(), Box::new(|it| user(it).env("KAFKA_CONNECT_PASS", "s3cret:ü")), true),
        (basic(), Box::new(|it| user(it).env("KAFKA_CONNECT_PASS_FILE", &password)), true),
        (bearer(), Box::new(|it| it.env("KAFKA_CONNECT_TOKEN_FILE", &token)), true),
        (basic(), Box::new(|it| it), false),
        (basic(), Box::new(|it| user(it).env("KAFKA_CONNECT_PASS_FILE", &bad)), false),
        (basic(), Box::new(|it| it.env("KAFKA_CONNECT_TOKEN_FILE", &token)), false),
        (bearer(), Box::new(|it| it.env("KAFKA_CONNECT_TOKEN_FILE", &bad)), false),
    ];
    each(rows, |(connect, set, right)| {
        let guardian = set(Guardian::at(&connect.url()));
        if *right {
            restarts(&guardian, connect);
            assert!(connect.requests().iter().all(|request| request.authorized));
        } else {
            fails(&guardian, connect, "unauthorized", "HTTP 401: not allowed without other credentials");
            assert_eq!(connect.requests().len(), 1);
        }
    });
}

// === Proxies ===

/// A forward proxy that notes what it is asked for. It does what a proxy does with a plain request and with CONNECT,
/// unless it refuses.
pub(crate) struct Proxy {
    pub(crate) url: String,
    heads: Arc<Mutex<Vec<String>>>,
}

impl Proxy {
    pub(crate) fn start(refusal: Option<&'static str>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let heads: Arc<Mutex<Vec<String>>> = Arc::default();
        let noted = Arc::clone(&heads);
        std::thread::spawn(move || {
            for client in listener.incoming().flatten() {
                let noted = Arc::clone(&noted);
                std::thread::spawn(move || pass(client, refusal, &noted));
            }
        });
        Self { url, heads }
    }

    pub(crate) fn heads(&self) -> Vec<String> {
        self.heads.lock().unwrap().clone()
    }
}

/// One request to one connection, which is all that this proxy does.
fn pass(mut client: TcpStream, refusal: Option<&str>, noted: &Mutex<Vec<String>>) -> Option<()> {
    let mut head = Vec::new();
    let mut byte = [0];
    while !head.ends_with(b"\r\n\r\n") {
        client.read_exact(&mut byte).ok()?;
        head.push(byte[0]);
    }
    let head = String::from_utf8(head).ok()?;
    noted.lock().unwrap().push(head.clone());
    if let Some(refusal) = refusal {
        return client.write_all(format!("HTTP/1.1 {refusal}\r\nContent-Length: 0\r\n\r\n").as_bytes()).ok();
    }
    let target = head.split(' ').nth(1)?;
    let server = if head.starts_with("CONNECT ") {
        client.write_all(b"HTTP/1.1 200 OK\r\n\r\n").ok()?;
        TcpStream::connect(target).ok()?
    } else {
        let (authority, path) = target.strip_prefix("http://")?.split_once('/')?;
        let mut server = TcpStream::connect(authority).ok()?;
        let head =
            head.replacen(target, &format!("/{path}"), 1).replacen("\r\n", "\r\nConnection: close\r\n", 1);
        server.write_all(head.as_bytes()).ok()?;
        server
    };
    let (mut from_client, mut to_server) = (client.try_clone().ok()?, server.try_clone().ok()?);
    std::thread::spawn(move || {
        let _ = std::io::copy(&mut from_client, &mut to_server);
        let _ = to_server.shutdown(std::net::Shutdown::Write);
    });
    let _ = std::io::copy(&mut { server }, &mut client);
    let _ = client.shutdown(std::net::Shutdown::Both);
    Some(())
}

#[test]
fn a_proxy_is_used_only_when_it_is_asked_for() {
    let authority = Authority::new();
    let folder = tempfile::tempdir().unwrap();
    let files = authority.write_pem_files(folder.path());
    for secure in [false, true] {
        let setup = Connect::with(Profile::V3_9).authorization("Basic YWxpY2U6czNjcmV0");
        let setup = if secure { setup.tls(&authority, Leaf::Good) } else { setup };
        let connect = worker(setup);
        let proxy = Proxy::start(None);
        let with_password = proxy.url.replace("http://", "http://bob:pr0xy@");
        let guardian = || {
            let guardian = trusting(&connect.url(), &files).env("EXPONENTIAL_RATIO", "1");
            guardian.env("KAFKA_CONNECT_USER", "alice").env("KAFKA_CONNECT_PASS", "s3cret")
        };
        let in_environment = |it: Guardian| {
            ["http_proxy", "HTTP_PROXY", "https_proxy", "ALL_PROXY"]
                .iter()
                .fold(it, |it, name| it.env(name, &proxy.url))
        };
        restarts(&in_environment(guardian()), &connect);
        assert_eq!(proxy.heads(), Vec::<String>::new(), "the environment's proxy is a trap in a pod");
        restarts(
            &in_environment(guardian()).env("GUARDIAN_PROXY", "env").env("NO_PROXY", "127.0.0.1"),
            &connect,
        );
        assert_eq!(proxy.heads(), Vec::<String>::new());
        restarts(&in_environment(guardian()).env("GUARDIAN_PROXY", "env"), &connect);
        let plain = proxy.heads();
        assert!(
            !plain.is_empty()
                && plain.iter().all(|head| !head.to_lowercase().contains("proxy-authorization"))
        );
        restarts(&guardian().env("GUARDIAN_PROXY", &with_password), &connect);
        let heads = proxy.heads().split_off(plain.len());
        assert!(
            !heads.is_empty()
                && heads.iter().all(|head| head.to_lowercase().contains("proxy-authorization: basic"))
        );
        // The proxy sees what is in a plain request anyway; through a tunnel it must not see the worker's credentials.
        assert!(
            heads.iter().all(|head| head.to_lowercase().contains("\r\nauthorization:") != secure),
            "{heads:?}"
        );
    }
}

#[test]
fn what_is_wrong_with_a_proxy_is_told_without_its_password() {
    let authority = Authority::new();
    let folder = tempfile::tempdir().unwrap();
    let files = authority.write_pem_files(folder.path());
    let refusing = Proxy::start(Some("407 Proxy Authentication Required"));
    let broken = Proxy::start(Some("502 Bad Gateway"));
    let connect = worker(Connect::with(Profile::V3_9));
    let secure = worker(Connect::with(Profile::V3_9).tls(&authority, Leaf::Good));
    let closed = connect.closed_url();
    for (connect, proxy, kind, says) in [
        (&connect, &refusing.url, "not_connect", "HTTP 407"),
        (&secure, &refusing.url, "unreachable", "proxy"),
        (&connect, &broken.url, "not_connect", "HTTP 502"),
        (&secure, &broken.url, "unreachable", "tunnel"),
        (&connect, &closed, "unreachable", "Connection refused"),
        (&secure, &closed, "unreachable", "Connection refused"),
    ] {
        let proxy = proxy.replace("http://", "http://bob:pr0xy@");
        let guardian = trusting(&connect.url(), &files).env("GUARDIAN_PROXY", &proxy);
        fails(&guardian, connect, kind, says);
        assert!(!guardian.with(&["status", "--log-level", "trace"]).stderr.contains("pr0xy"));
    }
    assert_eq!((connect.requests().len(), secure.requests().len()), (0, 0));
}

#[test]
fn a_restart_that_tls_refuses_was_not_taken() {
    // The certificate is replaced between the listing and the restart: the connection is new, and nothing is sent on it.
    let authority = Authority::new();
    let folder = tempfile::tempdir().unwrap();
    let files = authority.write_pem_files(folder.path());
    let bad = worker(Connect::with(Profile::V3_9).tls(&authority, Leaf::Expired));
    let connect = Connect::with(Profile::V3_9).tls(&authority, Leaf::Good).start();
    connect.connector("orders").tasks(2);
    connect.fail_all_tasks("orders", &Failure::always());
    connect.on_root().runs(|connect| connect.kill_worker(0));
    let guardian = trusting(&format!("{},{}", connect.url(), bad.url()), &files);
    let (document, code) = guardian.run_json();
    assert_eq!((actions(&document), code), (vec!["orders/0 deferred".into(), "orders/1 deferred".into()], 1));
    assert!(
        document["instances"][0]["error"].as_str().unwrap().contains("certificate expired "),
        "{document:#}"
    );
    assert_eq!([0, 1].map(|task| guardian.attempts("orders", Some(task))), [Some(0); 2]);
    assert_eq!(bad.requests().len(), 0);
}

#[test]
fn a_listing_over_tls_that_is_cut_is_no_listing() {
    let authority = Authority::new();
    let folder = tempfile::tempdir().unwrap();
    let files = authority.write_pem_files(folder.path());
    let connect = worker(Connect::with(Profile::V3_9).tls(&authority, Leaf::Good));
    for answer in [Answer::reset(), Answer::normal().reset_after(30), Answer::normal().cut_after(30)] {
        connect.forget_rules();
        connect.on_listing().answers(answer);
        fails(&trusting(&connect.url(), &files), &connect, "unreachable", "");
    }
}
