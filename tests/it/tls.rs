//! What can be wrong between guardian and a worker before Connect answers: certificates, names, ports, proxies,
//! credentials. Each has a message of its own, and none of them changes the state.

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};

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
    assert!(!text.contains("TLS") || !text.contains("that the worker runs"), "it does run: {text}");
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

    let rows = vec![
        (
            Leaf::WrongHost,
            &files,
            "the server's certificate is for another host name than the one in the URL",
        ),
        (Leaf::Expired, &files, "the server's certificate expired "),
        (Leaf::NotYetValid, &files, "the server's certificate is not valid yet (it is 20"),
        (Leaf::Good, &others, "signed by a CA that is not trusted here (KAFKA_CONNECT_CA_FILE adds one) ()"),
        // `openssl req -x509` and `keytool -ext bc=ca:true` make it so, whether it is trusted or not.
        (Leaf::TheAuthority, &files, THE_CA),
        (Leaf::TheAuthority, &others, THE_CA),
        (
            Leaf::NoNames,
            &files,
            "TLS: the server's certificate has no subjectAltName, and its common name does not count: issue it anew with the host name of the URL as subjectAltName ()",
        ),
        (
            Leaf::ForClients,
            &files,
            "TLS: the server's certificate may not be used by a server: issue it anew with the extended key usage serverAuth ()",
        ),
    ];
    each(rows, |(leaf, files, says)| {
        let connect = with(*leaf);
        fails(&trusting(&connect.url(), files), &connect, "unreachable", says);
        assert_eq!(connect.requests().len(), 0);
    });
}

const THE_CA: &str =
    "TLS: the server's certificate is a CA's own: issue a server certificate signed by it ()";

/// A file that `certificates/make` made.
macro_rules! made {
    ($file:literal) => {
        concat!(env!("CARGO_MANIFEST_DIR"), "/tests/it/certificates/", $file)
    };
}

fn contents(path: &str) -> String {
    std::fs::read_to_string(path).unwrap()
}

#[test]
fn certificates_of_old_instructions_are_told_with_what_mends_them() {
    let der = |path: &str| CertificateDer::from_pem_file(path).unwrap().to_vec();
    let (key, ca) = (contents(made!("leaf.key")), made!("ca.pem"));
    // The same name, another key: a CA that was made anew, while the old one is trusted.
    let (old, new) = (Authority::new(), Authority::new());
    let folder = tempfile::tempdir().unwrap();
    let old = old.write_pem_files(folder.path());
    let signature = "TLS: a signature of the server does not hold: its CA is not the one of that name that is trusted here, or a key is RSA of less than 2048 bits (KAFKA_CONNECT_CA_FILE adds one) ()";
    let showing = |certificate| Connect::with(Profile::V3_9).tls_showing(certificate, &key);
    let rows = vec![
        (
            // openssl x509 -req without -extfile, until OpenSSL 3.4.
            worker(showing(der(made!("v1.pem")))),
            ca,
            "TLS: the server's certificate is an X.509 v1 certificate: issue it anew as v3, with a subjectAltName ()",
        ),
        (
            // The default of OpenSSL until 1.1.0.
            worker(showing(der(made!("sha1.pem")))),
            ca,
            "TLS: the server's certificate is signed with SHA-1, which is not secure: issue it anew with SHA-256 ()",
        ),
        (worker(showing(der(made!("small.pem")))), made!("small-ca.pem"), signature),
        (worker(Connect::with(Profile::V3_9).tls(&new, Leaf::Good)), path(&old.ca), signature),
        (
            worker(showing(b"\x30\x03\x02\x01\x05".to_vec())),
            ca,
            "TLS: the server's certificate is broken: issue it anew ()",
        ),
    ];
    each(rows, |(connect, ca, says)| {
        let guardian = Guardian::at(&connect.url()).env("KAFKA_CONNECT_CA_FILE", ca);
        fails(&guardian, connect, "unreachable", says);
        assert_eq!(connect.requests().len(), 0);
    });
}

/// A server that answers every ClientHello with these bytes, and the URL.
fn answering_hello(bytes: &'static [u8]) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("https://{}", listener.local_addr().unwrap());
    std::thread::spawn(move || {
        for mut client in listener.incoming().flatten() {
            let _ = client.read(&mut [0; 4096]);
            let _ = client.write_all(bytes);
        }
    });
    url
}

#[test]
fn a_handshake_that_the_server_ends_is_told_in_words() {
    let too_old = "TLS: the server speaks only an old TLS version: it must speak TLS 1.2 or 1.3 ()";
    let nothing_in_common = "TLS: the server found no TLS version and cipher in common with guardian (it needs TLS 1.2 or 1.3 with ECDHE and AES-GCM or ChaCha20), or it wants a client certificate (KAFKA_CONNECT_CERT_FILE and KAFKA_CONNECT_KEY_FILE) ()";
    let rows: Vec<(&'static [u8], &str)> = vec![
        // protocol_version: Java with ssl.enabled.protocols=TLSv1, and OpenSSL.
        (&[0x15, 3, 1, 0, 2, 2, 70], too_old),
        // A ServerHello of TLS 1.0 with TLS_RSA_WITH_AES_128_CBC_SHA, which OpenSSL 0.9.8 sends.
        (SERVER_HELLO_1_0, too_old),
        // handshake_failure: Java without a common cipher; OpenSSL without one, and without a client certificate in 1.2.
        (&[0x15, 3, 3, 0, 2, 2, 40], nothing_in_common),
        (&[0x15, 3, 3, 0, 2, 2, 71], nothing_in_common),
        // unrecognized_name: Java when the SNI matches no certificate.
        (
            &[0x15, 3, 3, 0, 2, 2, 112],
            "TLS: the server does not know the host name of the URL: use the one in its certificate ()",
        ),
        // internal_error: Java when a keystore has no key that fits.
        (&[0x15, 3, 3, 0, 2, 2, 80], "TLS: the server had an error of its own: its log may say more ()"),
        (
            &[0x15, 3, 3, 0, 2, 2, 45],
            "TLS: the server finds the client certificate expired (that of KAFKA_CONNECT_CERT_FILE) ()",
        ),
        (&[0x15, 3, 3, 0, 2, 2, 123], "TLS: the server ended the handshake: its log may say why ()"),
        // A Finished in place of a ServerHello.
        (&[0x16, 3, 3, 0, 4, 20, 0, 0, 0], "TLS: the server does not keep to the protocol ()"),
        // A load balancer with nobody behind it.
        (&[], "TLS: the server ended the connection within the handshake (something listens there"),
    ];
    let connect = worker(Connect::with(Profile::V3_9));
    each(rows, |(bytes, says)| {
        let url = answering_hello(bytes);
        fails(
            &Guardian::at(&url).env("KAFKA_CONNECT_CA_FILE", made!("ca.pem")),
            &connect,
            "unreachable",
            says,
        );
    });
}

const SERVER_HELLO_1_0: &[u8] = &[
    0x16, 3, 1, 0, 42, 2, 0, 0, 38, 3, 1, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16, 17, 18, 19,
    20, 21, 22, 23, 24, 25, 26, 27, 28, 29, 30, 31, 32, 0, 0, 0x2f, 0,
];

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
    let rows = vec![
        (guardian(), "the server wants a client certificate"),
        (with_certificate(guardian(), &stranger.1), "the server does not trust the client certificate"),
    ];
    each(rows, |(guardian, says)| fails(guardian, &connect, "unreachable", says));
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
    let rows = vec![
        (
            plaintext_server(),
            "the server does not speak TLS on this port (is it http? then KAFKA_CONNECT_PROTO=http, or http in KAFKA_CONNECT_URL)",
        ),
        (
            secure.url().replace("https:", "http:"),
            "is this port https? then KAFKA_CONNECT_PROTO=https, or https in KAFKA_CONNECT_URL",
        ),
        (plain.closed_url(), "Connection refused (os error 111) ("),
        (plain.closed_url().replace("http:", "https:"), "Connection refused"),
        ("http://connect.invalid:8083".to_owned(), "the name connect.invalid cannot be resolved"),
        (format!("{}/nowhere", plain.url()), "HTTP 404"),
    ];
    each(rows, |(url, says)| {
        let kind = if *says == "HTTP 404" { "not_connect" } else { "unreachable" };
        fails(&trusting(url, &files), &plain, kind, says);
    });
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
    let rows = vec![("GUARDIAN_TIMEOUT", "within 1s"), ("GUARDIAN_DEADLINE", "before the run's deadline")];
    each(rows, |(setting, says)| {
        fails(&trusting(&stalled.url(), &files).env(setting, "1s"), &stalled, "unreachable", says);
    });
}

#[test]
fn a_client_certificate_that_cannot_be_used_is_told_by_its_settings() {
    let (authority, folder) = (Authority::new(), tempfile::tempdir().unwrap());
    let files = authority.write_pem_files(folder.path());
    let broken = folder.path().join("broken");
    std::fs::write(&broken, "-----BEGIN CERTIFICATE-----\nMAMCAQU=\n-----END CERTIFICATE-----\n").unwrap();
    let broken = path(&broken);
    let reversed = folder.path().join("reversed");
    std::fs::write(&reversed, contents(path(&files.ca)) + &contents(path(&files.client_cert))).unwrap();
    let reversed = path(&reversed);
    let pkcs12 = folder.path().join("pkcs12");
    std::fs::write(&pkcs12, PKCS12).unwrap();
    let der_key = folder.path().join("der");
    std::fs::write(&der_key, PrivateKeyDer::from_pem_file(&files.client_key).unwrap().secret_der()).unwrap();
    let (cert, key) = (path(&files.client_cert), path(&files.client_key));
    let both = "KAFKA_CONNECT_CERT_FILE and KAFKA_CONNECT_KEY_FILE: ";
    let encrypted = "the private key is encrypted, and guardian cannot ask for its passphrase: openssl pkey -in KEY -out NEW writes it without one";
    let rows = [
        (cert, made!("encrypted.key"), encrypted),
        (cert, made!("encrypted-traditional.key"), encrypted),
        (cert, made!("leaf.key"), "the certificate and the private key do not belong together"),
        // briansmith/webpki#35: the CA before the client's own certificate.
        (
            reversed,
            key,
            "the private key belongs to a later certificate of the file: the client's own must be the first, its CAs behind it",
        ),
        (
            made!("v1.pem"),
            made!("leaf.key"),
            "the certificate is an X.509 v1 certificate: issue it anew as v3, with a subjectAltName",
        ),
        (broken, key, "the certificate is broken: issue it anew"),
        (
            cert,
            made!("small.key"),
            "the private key cannot be used: it must be RSA of at least 2048 bits, ECDSA P-256 or P-384, or Ed25519",
        ),
        // rustls/rustls#2536.
        (
            cert,
            made!("p521.key"),
            "the private key cannot be used: it must be RSA of at least 2048 bits, ECDSA P-256 or P-384, or Ed25519",
        ),
        (
            path(&pkcs12),
            key,
            "the certificate's file is a PKCS#12 keystore, not PEM: openssl pkcs12 -in FILE -nokeys -out NEW converts it",
        ),
        (
            cert,
            path(&pkcs12),
            "the key's file is a PKCS#12 keystore, not PEM: openssl pkcs12 -in FILE -nocerts -nodes -out NEW converts it",
        ),
        (
            cert,
            path(&der_key),
            "the key's file is binary (DER), not PEM: openssl pkey -inform DER -in FILE -out NEW converts it",
        ),
    ];
    for (cert, key, says) in rows {
        // Also where http makes them useless.
        for url in ["https://localhost:1", "http://localhost:1"] {
            let guardian = Guardian::at(url).env("KAFKA_CONNECT_CERT_FILE", cert);
            let ended = guardian.env("KAFKA_CONNECT_KEY_FILE", key).run().exits(2);
            assert!(ended.stderr.ends_with(&format!("{both}{says}\n")), "{ended:#?}");
        }
    }
    let ended = Guardian::at("https://localhost:1").env("KAFKA_CONNECT_CA_FILE", broken).run().exits(2);
    assert!(
        ended.stderr.ends_with(&format!("KAFKA_CONNECT_CA_FILE: {broken} holds a broken certificate\n")),
        "{ended:#?}"
    );
}

/// How one that `openssl pkcs12 -export` or keytool has made begins.
const PKCS12: &[u8] = b"\x30\x82\x04\xdc\x02\x01\x03\x30\x82\x04\x92";

/// What people have in place of a PEM file, and what they are told: each converts with one command.
#[test]
fn a_file_of_cas_in_another_form_is_told_with_the_command_that_converts_it() {
    let folder = tempfile::tempdir().unwrap();
    let der = CertificateDer::from_pem_file(made!("ca.pem")).unwrap().to_vec();
    let (ca, key) = (contents(made!("ca.pem")), contents(made!("leaf.key")));
    let trusted = ca.replace("CERTIFICATE-----", "TRUSTED CERTIFICATE-----");
    let openssl_s_own = "holds a certificate in OpenSSL's own form (-----BEGIN TRUSTED CERTIFICATE-----): openssl x509 -in FILE -out NEW converts it";
    let rows: [(&[u8], &str); 9] = [
        (&der, "is binary (DER), not PEM: openssl x509 -inform DER -in FILE -out NEW converts it"),
        (PKCS12, "is a PKCS#12 keystore, not PEM: openssl pkcs12 -in FILE -nokeys -out NEW converts it"),
        (
            b"\xfe\xed\xfe\xed\0\0\0\x02",
            "is a Java keystore (JKS), not PEM: first keytool -importkeystore -srckeystore FILE -destkeystore FILE.p12 -deststoretype PKCS12, then openssl pkcs12 -in FILE.p12 -nokeys -out NEW",
        ),
        // rustls/rustls#2079.
        (trusted.as_bytes(), openssl_s_own),
        // Of two CAs the second would silently not be trusted.
        (&[ca.as_bytes(), trusted.as_bytes()].concat(), openssl_s_own),
        (key.as_bytes(), "holds a private key and no certificate: the CA's certificate belongs there"),
        (b"0 is no certificate", "holds no PEM certificate"),
        (b"0", "holds no PEM certificate"),
        (b"", "holds no PEM certificate"),
    ];
    let file = folder.path().join("ca");
    let file = path(&file);
    for (bytes, says) in rows {
        std::fs::write(file, bytes).unwrap();
        let ended = Guardian::at("https://localhost:1").env("KAFKA_CONNECT_CA_FILE", file).run().exits(2);
        assert!(ended.stderr.ends_with(&format!("KAFKA_CONNECT_CA_FILE: {file} {says}\n")), "{ended:#?}");
    }
}

/// A byte-order mark (vshulcz/deja-vu#3696), also between two files that were joined; the indentation of YAML
/// (rustls/pemfile#40); line ends of every sort and text between (rustls/pemfile#30, rustls-native-certs#48).
#[test]
fn a_pem_file_is_read_whatever_stands_around_its_lines() {
    let (authority, other, folder) =
        (Authority::new(), Authority::named("Another CA"), tempfile::tempdir().unwrap());
    let files = authority.write_pem_files(folder.path());
    let ca = contents(path(&files.ca));
    let another = other.ca_pem();
    let indented: String = ca.lines().map(|line| format!("    {line}\r\n")).collect();
    let forms: Vec<Vec<u8>> = vec![
        format!("\u{feff}{ca}").into(),
        format!("{another}\u{feff}{ca}").into(),
        format!("ca: |\n{indented}").into(),
        ca.replace('\n', "\r").into(),
        [b"0 s:/CN=Z\xfcrich\n", ca.as_bytes(), another.as_bytes()].concat(),
        ca.trim_end().into(),
    ];
    for form in forms {
        let connect = worker(Connect::with(Profile::V3_9).tls(&authority, Leaf::Good));
        std::fs::write(&files.ca, &form).unwrap();
        restarts(&trusting(&connect.url(), &files), &connect);
    }
    // And those of a client.
    let connect = worker(Connect::with(Profile::V3_9).mutual_tls(&authority, &authority));
    for file in [&files.ca, &files.client_cert, &files.client_key] {
        let text = if *file == files.ca { ca.clone() } else { contents(path(file)) };
        let indented: String = text.lines().map(|line| format!("  {line}\n")).collect();
        std::fs::write(file, format!("\u{feff}{indented}")).unwrap();
    }
    restarts(&with_certificate(trusting(&connect.url(), &files), &files), &connect);
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

// === Addresses ===

#[test]
fn a_connection_that_is_dropped_is_told_with_who_may_drop_it() {
    // A full backlog drops every further SYN, as a NetworkPolicy and most firewalls do.
    let runtime = tokio::runtime::Builder::new_current_thread().enable_io().build().unwrap();
    let full = runtime.block_on(async {
        let socket = tokio::net::TcpSocket::new_v4().unwrap();
        socket.bind("127.0.0.1:0".parse().unwrap()).unwrap();
        socket.listen(1).unwrap()
    });
    let address = full.local_addr().unwrap();
    let _queued: Vec<TcpStream> =
        (0..8).map_while(|_| TcpStream::connect_timeout(&address, Duration::from_millis(200)).ok()).collect();
    let connect = worker(Connect::with(Profile::V3_9));
    fails(
        &Guardian::at(&format!("http://{address}")),
        &connect,
        "unreachable",
        "timed out while connecting (does a firewall or a NetworkPolicy drop it? Strimzi's lets only its operator and the Connect pods in: add one that lets in guardian's pod)",
    );
}

#[test]
fn in_a_container_localhost_is_told_to_be_the_container() {
    let connect = worker(Connect::with(Profile::V3_9));
    let closed = connect.closed_url();
    let localhost = "Connection refused (os error 111) (in a container localhost is the container or pod itself: KAFKA_CONNECT_URL must name the worker's host)";
    let rows = vec![
        (closed.clone(), localhost),
        (closed.replace("127.0.0.1", "localhost"), localhost),
        (closed.replace("127.0.0.1", "[::1]"), "(in a container localhost is"),
        (closed.replace("127.0.0.1", "0.0.0.0"), "(in a container localhost is"),
        ("http://connect.invalid:8083".to_owned(), "cannot be resolved (check KAFKA_CONNECT_URL"),
    ];
    each(rows, |(url, says)| {
        let guardian = Guardian::at(url).env("KUBERNETES_SERVICE_HOST", "10.96.0.1");
        fails(&guardian, &connect, "unreachable", says);
    });
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
    if refusal == Some("") {
        return None; // a close without an answer
    }
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
    let forbidding = Proxy::start(Some("403 Forbidden"));
    let silent = Proxy::start(Some(""));
    let connect = worker(Connect::with(Profile::V3_9));
    let secure = worker(Connect::with(Profile::V3_9).tls(&authority, Leaf::Good));
    let closed = connect.closed_url();
    let (unknown, plaintext) = ("http://proxy.invalid:3128", plaintext_server());
    let credentials = "the proxy wants a user and a password, or others than it got (they go into the URL of GUARDIAN_PROXY)";
    let refused = "the proxy cannot be reached: tcp connect error: Connection refused (os error 111) (GUARDIAN_PROXY) ()";
    let nameless = "the proxy cannot be reached: its name cannot be resolved (GUARDIAN_PROXY) ()";
    let not_let_through = "the proxy refused to connect to the worker (GUARDIAN_PROXY) ()";
    let rows = vec![
        (&connect, &*refusing.url, "not_connect", credentials),
        (&secure, &refusing.url, "unreachable", credentials),
        (&connect, &broken.url, "not_connect", "HTTP 502"),
        (&secure, &broken.url, "unreachable", not_let_through),
        // Squid for a port that is not among its SSL_ports.
        (&secure, &forbidding.url, "unreachable", not_let_through),
        (&connect, &closed, "unreachable", refused),
        (&secure, &closed, "unreachable", refused),
        (&connect, unknown, "unreachable", nameless),
        (&secure, unknown, "unreachable", nameless),
        (&secure, &silent.url, "unreachable", "the proxy ended the connection (GUARDIAN_PROXY) ()"),
        // A proxy of which somebody thought that it speaks TLS.
        (
            &secure,
            &plaintext,
            "unreachable",
            "the proxy cannot be reached: the server does not speak TLS on this port (GUARDIAN_PROXY) ()",
        ),
    ];
    // The run with this proxy; what it logs; the run with this proxy from the environment.
    let cases = rows.iter().flat_map(|row| [0, 1, 2].map(|variant| (row, variant)));
    each(cases.collect(), |((connect, proxy, kind, says), variant)| {
        let proxy = proxy.replace("://", "://bob:pr0xy@");
        let guardian = trusting(&connect.url(), &files).env("GUARDIAN_PROXY", &proxy);
        let stderr = match variant {
            0 => return fails(&guardian, connect, kind, says),
            1 => guardian.with(&["status", "--log-level", "trace"]).exits(1).stderr,
            _ => {
                let names = ["HTTP_PROXY", "HTTPS_PROXY"];
                let guardian = names.iter().fold(guardian, |it, name| it.env(name, &proxy));
                guardian.env("GUARDIAN_PROXY", "env").run().exits(1).stderr
            }
        };
        assert!(stderr.contains(if *says == "HTTP 502" { "a proxy" } else { "GUARDIAN_PROXY" }), "{stderr}");
        assert!(!stderr.contains("pr0xy"), "{stderr}");
    });
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
    each(vec![Answer::reset(), Answer::normal().reset_after(30), Answer::normal().cut_after(30)], |answer| {
        let connect = worker(Connect::with(Profile::V3_9).tls(&authority, Leaf::Good));
        connect.on_listing().answers(answer.clone());
        fails(&trusting(&connect.url(), &files), &connect, "unreachable", "");
    });
}
