//! TLS: which CAs are trusted, who the client is, and a certificate error in
//! words. The crypto provider is chosen here and nowhere else: ring, because
//! aws-lc-rs costs every new process 22 ms of CPU for entropy and can abort in
//! a freshly started container, which is all that a one-shot ever is.

use std::error::Error;
use std::time::{Duration, SystemTime};

use anyhow::{anyhow, bail, ensure};
use reqwest::{Certificate, ClientBuilder};
use rustls::crypto::ring;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::sign::CertifiedKey;
use rustls::{AlertDescription, CertificateError, PeerIncompatible, RootCertStore};

use super::{Reason, Remedy, Settings};

/// CA certificates to trust besides the system's.
#[derive(Clone, Debug)]
pub struct TrustedCas(Vec<Certificate>);

/// The client's certificate and private key.
#[derive(Clone)]
pub struct Identity(reqwest::Identity);

impl std::fmt::Debug for Identity {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Identity(not shown)")
    }
}

impl TrustedCas {
    /// The certificates of a PEM file.
    ///
    /// # Errors
    /// In words, when it holds none or a broken one.
    pub fn from_pem(pem: &[u8]) -> anyhow::Result<Self> {
        let pem = read_pem(pem, &CERTIFICATES)?;
        let certificates = Certificate::from_pem_bundle(pem.as_bytes()).unwrap_or_default();
        ensure!(
            !certificates.is_empty() || !pem.contains("PRIVATE KEY-----"),
            "holds a private key and no certificate: the CA's certificate belongs there"
        );
        ensure!(!certificates.is_empty(), "holds no PEM certificate");
        for certificate in CertificateDer::pem_slice_iter(pem.as_bytes()).flatten() {
            let added = RootCertStore::empty().add(certificate);
            ensure!(added.is_ok(), "holds a broken certificate");
        }
        Ok(Self(certificates))
    }
}

impl Identity {
    /// A certificate (with its chain) and its private key, both PEM.
    ///
    /// # Errors
    /// In words, when one of them is missing, encrypted or of no use, or they do not belong together.
    pub fn from_pem(certificate: &[u8], key: &[u8]) -> anyhow::Result<Self> {
        let certificate =
            read_pem(certificate, &CERTIFICATES).map_err(|why| anyhow!("the certificate's file {why}"))?;
        let key = read_pem(key, &KEYS).map_err(|why| anyhow!("the key's file {why}"))?;
        let both = [certificate, key].join("\n");
        ensure!(
            !["BEGIN ENCRYPTED PRIVATE KEY", "4,ENCRYPTED"].iter().any(|mark| both.contains(mark)),
            "the private key is encrypted, and guardian cannot ask for its passphrase: openssl pkey -in KEY -out NEW writes it without one"
        );
        let both = both.as_bytes();
        let identity = reqwest::Identity::from_pem(both)
            .map_err(|_| anyhow!("a PEM certificate and an unencrypted PEM private key are needed"))?;
        // As the identity has taken them: all certificates, and the last key.
        let chain: Vec<_> = CertificateDer::pem_slice_iter(both).flatten().collect();
        if let Some(key) = PrivateKeyDer::pem_slice_iter(both).flatten().last() {
            let with = |chain| CertifiedKey::from_der(chain, key.clone_key(), &ring::default_provider());
            let own = |certificate: &CertificateDer<'static>| with(vec![certificate.clone()]).is_ok();
            let is_later = chain.iter().skip(1).any(own);
            with(chain).map_err(|error| match error {
                rustls::Error::InconsistentKeys(_) if is_later => anyhow!(
                    "the private key belongs to a later certificate of the file: the client's own must be the first, its CAs behind it"
                ),
                error => anyhow!(about_identity(&error)),
            })?;
        }
        Ok(Self(identity))
    }
}

/// How openssl makes PEM of what is none.
struct Conversions {
    der: &'static str,
    pkcs12: &'static str,
}

const CERTIFICATES: Conversions = Conversions {
    der: "openssl x509 -inform DER -in FILE -out NEW",
    pkcs12: "openssl pkcs12 -in FILE -nokeys -out NEW",
};
const KEYS: Conversions = Conversions {
    der: "openssl pkey -inform DER -in FILE -out NEW",
    pkcs12: "openssl pkcs12 -in FILE -nocerts -nodes -out NEW",
};

/// The text of a PEM file without what hides its lines: byte-order marks, and the indentation of the YAML that it was
/// pasted from. What comes as something else is told by its first bytes.
fn read_pem(bytes: &[u8], conversions: &Conversions) -> anyhow::Result<String> {
    const JKS: &[u8] = &[0xfe, 0xed, 0xfe, 0xed];
    let Conversions { der, pkcs12 } = conversions;
    ensure!(
        !bytes.starts_with(JKS),
        "is a Java keystore (JKS), not PEM: first keytool -importkeystore -srckeystore FILE -destkeystore FILE.p12 -deststoretype PKCS12, then {}",
        pkcs12.replace("FILE", "FILE.p12")
    );
    if let Some(content) = der_content(bytes) {
        // The version of a PFX (RFC 7292, 4).
        ensure!(!content.starts_with(&[2, 1, 3]), "is a PKCS#12 keystore, not PEM: {pkcs12} converts it");
        bail!("is binary (DER), not PEM: {der} converts it");
    }
    let text = String::from_utf8_lossy(bytes).replace('\u{feff}', "");
    let lines: Vec<&str> = text.lines().map(str::trim).collect();
    // OpenSSL reads these; whoever passes over them trusts less than the file seems to say.
    let foreign = |line: &&str| {
        ["-----BEGIN TRUSTED CERTIFICATE-----", "-----BEGIN X509 CERTIFICATE-----"].contains(line)
    };
    if let Some(line) = lines.iter().find(|line| foreign(line)) {
        bail!(
            "holds a certificate in OpenSSL's own form ({line}): openssl x509 -in FILE -out NEW converts it"
        );
    }
    Ok(lines.join("\n"))
}

/// What is in the SEQUENCE that a certificate, a key and a keystore all are, in DER and in BER. Each begins with another
/// SEQUENCE or with an INTEGER, which a text that begins with a zero does not.
fn der_content(bytes: &[u8]) -> Option<&[u8]> {
    let (length, rest) = bytes.strip_prefix(&[0x30])?.split_first()?;
    let content = match length {
        0..=0x80 => rest,
        0x81..=0x84 => rest.get(usize::from(length & 0x7f)..)?,
        _ => return None,
    };
    matches!(content, [0x30 | 0x02, ..]).then_some(content)
}

fn about_identity(error: &rustls::Error) -> String {
    match error {
        rustls::Error::InconsistentKeys(_) => {
            "the certificate and the private key do not belong together".to_owned()
        }
        rustls::Error::InvalidCertificate(certificate) => {
            format!("the certificate {}", about_certificate(certificate))
        }
        _ => "the private key cannot be used: it must be RSA of at least 2048 bits, ECDSA P-256 or P-384, or Ed25519"
            .to_owned(),
    }
}

/// Chooses ring for this process. A second call changes nothing.
pub(super) fn install_provider() {
    let _ = ring::default_provider().install_default();
}

/// Sets up what the client trusts and who it is.
pub(super) fn secure(builder: ClientBuilder, settings: &Settings) -> ClientBuilder {
    let builder = match (&settings.trusted, settings.https) {
        // Without this, the system's CAs are loaded even for http.
        (_, false) => builder.tls_certs_only(Vec::<Certificate>::new()),
        (Some(TrustedCas(own)), true) if settings.only_trusted => builder.tls_certs_only(own.iter().cloned()),
        (Some(TrustedCas(own)), true) => builder.tls_certs_merge(own.iter().cloned()),
        (None, true) => builder,
    };
    match (&settings.identity, settings.https) {
        (Some(Identity(identity)), true) => builder.identity(identity.clone()),
        _ => builder,
    }
}

/// What TLS did not like; `None` when TLS was not the problem.
pub(super) fn explain(error: &reqwest::Error) -> Option<Reason> {
    let mut source: Option<&(dyn Error + 'static)> = Some(error);
    while let Some(cause) = source {
        if let Some(tls) = within(cause) {
            return Some(in_words(tls));
        }
        source = cause.source();
    }
    None
}

/// The TLS error that this error is. An I/O error hides what it was made of
/// from `source()`, and the connector wraps one into another.
fn within<'a>(mut cause: &'a (dyn Error + 'static)) -> Option<&'a rustls::Error> {
    while let Some(hidden) = cause.downcast_ref::<std::io::Error>().and_then(std::io::Error::get_ref) {
        cause = hidden;
    }
    cause.downcast_ref()
}

const TOO_OLD: &str = "TLS: the server speaks only an old TLS version: it must speak TLS 1.2 or 1.3";

fn in_words(error: &rustls::Error) -> Reason {
    use rustls::Error as Tls;
    let (what, remedy) = match error {
        Tls::InvalidCertificate(CertificateError::UnknownIssuer) => (
            "TLS: the server's certificate is signed by a CA that is not trusted here".to_owned(),
            Some(Remedy::TrustCa),
        ),
        Tls::InvalidCertificate(CertificateError::BadSignature) => (
            "TLS: a signature of the server does not hold: its CA is not the one of that name that is trusted here, or a key is RSA of less than 2048 bits".to_owned(),
            Some(Remedy::TrustCa),
        ),
        Tls::InvalidCertificate(certificate) => {
            (format!("TLS: the server's certificate {}", about_certificate(certificate)), None)
        }
        Tls::AlertReceived(alert) => about_alert(*alert),
        Tls::PeerIncompatible(
            PeerIncompatible::ServerDoesNotSupportTls12Or13
            | PeerIncompatible::ServerTlsVersionIsDisabledByOurConfig,
        ) => (TOO_OLD.to_owned(), None),
        Tls::PeerIncompatible(_) => (
            "TLS: the server has no cipher in common with guardian: it needs one with ECDHE and AES-GCM or ChaCha20".to_owned(),
            None,
        ),
        Tls::InvalidMessage(_) => {
            ("the server does not speak TLS on this port".to_owned(), Some(Remedy::UseHttp))
        }
        _ => ("TLS: the server does not keep to the protocol".to_owned(), None),
    };
    Reason { what, remedy }
}

/// What is wrong with a certificate and what mends it: the words after "the certificate".
fn about_certificate(error: &CertificateError) -> String {
    let ago = |seconds: u64| humantime::format_duration(Duration::from_secs(seconds)).to_string();
    let text = match error {
        CertificateError::NotValidForNameContext { presented, .. } if presented.is_empty() => {
            "has no subjectAltName, and its common name does not count: issue it anew with the host name of the URL as subjectAltName"
        }
        CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. } => {
            "is for another host name than the one in the URL"
        }
        CertificateError::Expired => "has expired",
        CertificateError::ExpiredContext { time, not_after } => {
            return format!("expired {} ago", ago(time.as_secs().saturating_sub(not_after.as_secs())));
        }
        CertificateError::NotValidYet | CertificateError::NotValidYetContext { .. } => {
            let now = humantime::format_rfc3339_seconds(SystemTime::now());
            return format!("is not valid yet (it is {now} on this machine)");
        }
        CertificateError::UnsupportedSignatureAlgorithmContext { signature_algorithm_id: id, .. }
            if SHA_1.iter().any(|sha_1| id.starts_with(sha_1)) =>
        {
            "is signed with SHA-1, which is not secure: issue it anew with SHA-256"
        }
        CertificateError::UnsupportedSignatureAlgorithmContext { .. }
        | CertificateError::UnsupportedSignatureAlgorithmForPublicKeyContext { .. } => {
            "is signed in a way that is not supported here: issue it anew with RSA or ECDSA P-256 and SHA-256"
        }
        CertificateError::InvalidPurpose | CertificateError::InvalidPurposeContext { .. } => NOT_FOR_SERVERS,
        CertificateError::BadEncoding => "is broken: issue it anew",
        CertificateError::Revoked => "was revoked",
        // Their types are private to webpki and to the verifier; webpki's text is the name of its variant.
        CertificateError::Other(error) => match error.0.to_string().as_str() {
            "CaUsedAsEndEntity" => "is a CA's own: issue a server certificate signed by it",
            "UnsupportedCertVersion" => {
                "is an X.509 v1 certificate: issue it anew as v3, with a subjectAltName"
            }
            "EndEntityUsedAsCa" => "is signed by a certificate that is no CA's: issue it anew by a CA",
            "certificate had invalid extensions" => NOT_FOR_SERVERS,
            _ => "breaks a rule for certificates (RFC 5280): issue it anew",
        },
        _ => "is not accepted: issue it anew",
    };
    text.to_owned()
}

const NOT_FOR_SERVERS: &str =
    "may not be used by a server: issue it anew with the extended key usage serverAuth";

/// The object identifiers of RSA with MD5 and with SHA-1, and of ECDSA with SHA-1, in DER.
const SHA_1: [&[u8]; 3] = [
    &[0x06, 0x09, 0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x01, 0x04],
    &[0x06, 0x09, 0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x01, 0x05],
    &[0x06, 0x07, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x04, 0x01],
];

/// What the server said when it refused.
fn about_alert(alert: AlertDescription) -> (String, Option<Remedy>) {
    let (text, remedy) = match alert {
        AlertDescription::CertificateRequired | AlertDescription::BadCertificate => {
            ("TLS: the server wants a client certificate that it trusts", Some(Remedy::ShowCertificate))
        }
        AlertDescription::UnknownCA | AlertDescription::CertificateUnknown => {
            ("TLS: the server does not trust the client certificate", Some(Remedy::ShowOtherCertificate))
        }
        AlertDescription::CertificateExpired => {
            ("TLS: the server finds the client certificate expired", Some(Remedy::ShowOtherCertificate))
        }
        AlertDescription::CertificateRevoked
        | AlertDescription::UnsupportedCertificate
        | AlertDescription::DecryptError
        | AlertDescription::AccessDenied => {
            ("TLS: the server does not accept the client certificate", Some(Remedy::ShowOtherCertificate))
        }
        AlertDescription::ProtocolVersion => (TOO_OLD, None),
        // OpenSSL says so too when TLS 1.2 lacks a client certificate.
        AlertDescription::HandshakeFailure | AlertDescription::InsufficientSecurity => (
            "TLS: the server found no TLS version and cipher in common with guardian (it needs TLS 1.2 or 1.3 with ECDHE and AES-GCM or ChaCha20), or it wants a client certificate",
            Some(Remedy::ShowCertificate),
        ),
        AlertDescription::UnrecognisedName => {
            ("TLS: the server does not know the host name of the URL: use the one in its certificate", None)
        }
        AlertDescription::InternalError => {
            ("TLS: the server had an error of its own: its log may say more", None)
        }
        _ => ("TLS: the server ended the handshake: its log may say why", None),
    };
    (text.to_owned(), remedy)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Our own `rustls` entry exists only to choose the provider. If it drifted
    /// from the version that reqwest uses, the choice would go to another crate
    /// and building a client would panic.
    #[test]
    fn our_rustls_is_the_one_that_reqwest_uses() {
        install_provider();
        assert!(reqwest::Client::builder().tls_certs_only(Vec::<Certificate>::new()).build().is_ok());
    }

    #[test]
    fn what_is_no_pem_is_said() {
        assert_eq!(TrustedCas::from_pem(b"nonsense").unwrap_err().to_string(), "holds no PEM certificate");
        assert!(Identity::from_pem(b"x", b"y").unwrap_err().to_string().contains("unencrypted"));
    }
}
