//! Certificates, made when a test runs: an authority, good and bad certificates of a worker, client certificates.
//!
//! It owns certificates and the server's TLS settings. It must not touch the system's trust store or any socket.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, DnType, ExtendedKeyUsagePurpose, IsCa, KeyPair,
    date_time_ymd,
};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::WebPkiClientVerifier;
use rustls::sign::{CertifiedKey, SingleCertAndKey};
use rustls::{RootCertStore, ServerConfig};

/// A private CA, as a company runs it.
pub struct Authority {
    issuer: CertifiedIssuer<'static, KeyPair>,
}

/// The worker's certificate, and what is wrong with it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Leaf {
    /// For localhost and 127.0.0.1.
    Good,
    /// For `connect.elsewhere.example`.
    WrongHost,
    /// Ended in 2021.
    Expired,
    /// Begins in 2090.
    NotYetValid,
    /// With a common name only: no subjectAltName.
    NoNames,
    /// Its extended key usage is clientAuth.
    ForClients,
    /// The authority's own, in place of one that it signed.
    TheAuthority,
}

/// PEM files, for a client's `--ca-file`, `--cert-file` and `--key-file`.
pub struct PemFiles {
    pub ca: PathBuf,
    pub client_cert: PathBuf,
    pub client_key: PathBuf,
}

impl Authority {
    pub fn new() -> Self {
        Self::named("Simulated Connect CA")
    }

    pub fn named(name: &str) -> Self {
        let mut params = CertificateParams::default();
        params.distinguished_name.push(DnType::CommonName, name);
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let key = KeyPair::generate().expect("a key");
        Self { issuer: CertifiedIssuer::self_signed(params, key).expect("a CA certificate") }
    }

    pub fn ca_pem(&self) -> String {
        self.issuer.pem()
    }

    /// The certificate, signed by this authority, and the key of a client.
    pub fn client_pem(&self) -> (String, String) {
        let mut params = CertificateParams::default();
        params.distinguished_name.push(DnType::CommonName, "guardian");
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
        let key = KeyPair::generate().expect("a key");
        let certificate = params.signed_by(&key, &self.issuer).expect("a client certificate");
        (certificate.pem(), key.serialize_pem())
    }

    /// `ca.pem`, `client.pem` and `client.key` in the folder.
    pub fn write_pem_files(&self, folder: &Path) -> PemFiles {
        let (certificate, key) = self.client_pem();
        let write = |name: &str, text: String| {
            let path = folder.join(name);
            fs::write(&path, text).expect("a writable folder");
            path
        };
        PemFiles {
            ca: write("ca.pem", self.ca_pem()),
            client_cert: write("client.pem", certificate),
            client_key: write("client.key", key),
        }
    }

    /// With `clients`, a client must have a certificate of that authority. Under TLS 1.3 others are refused only at their
    /// first read, as by a real worker.
    pub fn server(&self, leaf: Leaf, clients: Option<&Self>) -> Arc<ServerConfig> {
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let (certificate, key) = match leaf {
            Leaf::TheAuthority => (self.issuer.der().clone(), private(self.issuer.key())),
            _ => self.leaf(leaf),
        };
        let builder = ServerConfig::builder_with_provider(Arc::clone(&provider))
            .with_safe_default_protocol_versions()
            .expect("the default TLS versions");
        let builder = match clients {
            None => builder.with_no_client_auth(),
            Some(clients) => {
                let mut roots = RootCertStore::empty();
                roots.add(clients.issuer.der().clone()).expect("a CA certificate");
                let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider).build();
                builder.with_client_cert_verifier(verifier.expect("a verifier"))
            }
        };
        Arc::new(builder.with_single_cert(vec![certificate], key).expect("a certificate with its key"))
    }

    fn leaf(&self, leaf: Leaf) -> (CertificateDer<'static>, PrivateKeyDer<'static>) {
        let names = match leaf {
            Leaf::WrongHost => vec!["connect.elsewhere.example".to_owned()],
            Leaf::NoNames => Vec::new(),
            _ => vec!["localhost".to_owned(), "127.0.0.1".to_owned()],
        };
        let mut params = CertificateParams::new(names).expect("names");
        params.distinguished_name.push(DnType::CommonName, "worker");
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
        match leaf {
            Leaf::Expired => params.not_after = date_time_ymd(2021, 1, 1),
            Leaf::NotYetValid => params.not_before = date_time_ymd(2090, 1, 1),
            Leaf::ForClients => params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth],
            Leaf::Good | Leaf::WrongHost | Leaf::NoNames | Leaf::TheAuthority => {}
        }
        let key = KeyPair::generate().expect("a key");
        let certificate = params.signed_by(&key, &self.issuer).expect("a certificate");
        (certificate.der().clone(), private(&key))
    }
}

fn private(key: &KeyPair) -> PrivateKeyDer<'static> {
    PrivateKeyDer::try_from(key.serialize_der()).expect("a PKCS #8 key")
}

/// Shows this certificate, whatever it is like: a Java keystore checks as little.
pub fn showing(certificate: Vec<u8>, key_pem: &str) -> Arc<ServerConfig> {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let key = PrivateKeyDer::from_pem_slice(key_pem.as_bytes()).expect("a PEM key");
    let key = provider.key_provider.load_private_key(key).expect("a key that ring knows");
    let shown = SingleCertAndKey::from(CertifiedKey::new(vec![certificate.into()], key));
    let builder = ServerConfig::builder_with_provider(provider).with_safe_default_protocol_versions();
    let builder = builder.expect("the default TLS versions").with_no_client_auth();
    Arc::new(builder.with_cert_resolver(Arc::new(shown)))
}
