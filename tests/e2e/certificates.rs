//! Certificates of a private CA, made when they are needed and so never expired.
//!
//! It owns the files: PEM for guardian and nginx, PKCS12 for a worker, since Jetty reads no PEM. Java takes a
//! trusted certificate only from a store that `keytool` wrote, and a private key only from one that
//! `openssl` wrote, so both are needed.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, DnType, ExtendedKeyUsagePurpose, IsCa, KeyPair,
};

use crate::jvm;

pub const STORE_PASSWORD: &str = "changeit";

/// A private CA with a folder for what it issues.
pub struct Authority {
    issuer: CertifiedIssuer<'static, KeyPair>,
    folder: PathBuf,
    pub pem: PathBuf,
}

/// A certificate and its private key, both PEM.
pub struct Pair {
    pub certificate: PathBuf,
    pub key: PathBuf,
}

impl Authority {
    pub fn new(name: &str) -> Authority {
        let mut params = CertificateParams::default();
        params.distinguished_name.push(DnType::CommonName, name);
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let key = KeyPair::generate().expect("a key");
        let issuer = CertifiedIssuer::self_signed(params, key).expect("a CA certificate");
        let folder = jvm::new_folder("certificates");
        let pem = folder.join("ca.pem");
        fs::write(&pem, issuer.pem()).expect("write the CA's certificate");
        Authority { issuer, folder, pem }
    }

    /// A server at 127.0.0.1, and at no other name.
    pub fn server(&self) -> Pair {
        let mut params = CertificateParams::new(["127.0.0.1".to_owned()]).expect("an address");
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
        self.issue("server", params)
    }

    pub fn client(&self) -> Pair {
        let mut params = CertificateParams::default();
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
        self.issue("client", params)
    }

    fn issue(&self, name: &str, mut params: CertificateParams) -> Pair {
        params.distinguished_name.push(DnType::CommonName, name);
        let key = KeyPair::generate().expect("a key");
        let certificate = params.signed_by(&key, &self.issuer).expect("a certificate");
        let pair = Pair {
            certificate: self.folder.join(format!("{name}.pem")),
            key: self.folder.join(format!("{name}.key")),
        };
        fs::write(&pair.certificate, certificate.pem()).expect("write a certificate");
        fs::write(&pair.key, key.serialize_pem()).expect("write a key");
        pair
    }

    /// The server's certificate and key, as a worker wants them.
    pub fn key_store(&self) -> PathBuf {
        let server = self.server();
        let store = self.folder.join("server.p12");
        let mut openssl = Command::new("openssl");
        openssl.args(["pkcs12", "-export", "-name", "server", "-passout"]);
        openssl.arg(format!("pass:{STORE_PASSWORD}"));
        openssl.arg("-in").arg(&server.certificate).arg("-inkey").arg(&server.key).arg("-out").arg(&store);
        must_succeed(openssl, "Debian: apt-get install openssl");
        store
    }

    /// This CA as the one whose clients a worker trusts.
    pub fn trust_store(&self) -> PathBuf {
        let store = self.folder.join("trust.p12");
        let mut keytool = Command::new("keytool");
        keytool.args(["-importcert", "-noprompt", "-alias", "ca", "-storetype", "PKCS12", "-storepass"]);
        keytool.arg(STORE_PASSWORD).arg("-keystore").arg(&store).arg("-file").arg(&self.pem);
        must_succeed(keytool, "it comes with the JDK");
        store
    }
}

impl Pair {
    /// Lines of `KAFKA_CONNECT_CERT_FILE` and `KAFKA_CONNECT_KEY_FILE`.
    pub fn settings(&self) -> [(&'static str, &Path); 2] {
        [("KAFKA_CONNECT_CERT_FILE", &self.certificate), ("KAFKA_CONNECT_KEY_FILE", &self.key)]
    }
}

fn must_succeed(mut command: Command, remedy: &str) {
    let tool = command.get_program().display().to_string();
    let output = command
        .output()
        .unwrap_or_else(|error| panic!("cannot start `{tool}` ({error}), which makes a key store: {remedy}"));
    assert!(
        output.status.success(),
        "`{tool}` failed:\n{}{}",
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    );
}
