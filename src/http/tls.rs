//! TLS: which CAs are trusted, who the client is, and a certificate error in
//! words. The crypto provider is chosen here and nowhere else: ring, because
//! aws-lc-rs costs every new process 22 ms of CPU for entropy and can abort in
//! a freshly started container, which is all that a one-shot ever is.

use std::error::Error;
use std::time::SystemTime;

use anyhow::{anyhow, bail};
use reqwest::{Certificate, ClientBuilder};
use rustls::{AlertDescription, CertificateError};

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
        match Certificate::from_pem_bundle(pem) {
            Ok(certificates) if !certificates.is_empty() => Ok(Self(certificates)),
            _ => bail!("holds no PEM certificate"),
        }
    }
}

impl Identity {
    /// A certificate (with its chain) and its private key, both PEM.
    ///
    /// # Errors
    /// In words, when one of them is missing or encrypted.
    pub fn from_pem(certificate: &[u8], key: &[u8]) -> anyhow::Result<Self> {
        let both = [certificate, b"\n", key].concat();
        reqwest::Identity::from_pem(&both)
            .map(Self)
            .map_err(|_| anyhow!("a PEM certificate and an unencrypted PEM private key are needed"))
    }
}

/// Chooses ring for this process. A second call changes nothing.
pub(super) fn install_provider() {
    let _ = rustls::crypto::ring::default_provider().install_default();
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

fn in_words(error: &rustls::Error) -> Reason {
    use rustls::Error as Tls;
    let (what, remedy) = match error {
        Tls::InvalidCertificate(CertificateError::UnknownIssuer) => (
            "TLS: the server's certificate is signed by a CA that is not trusted here".to_owned(),
            Some(Remedy::TrustCa),
        ),
        Tls::InvalidCertificate(certificate) => (about_certificate(certificate), None),
        Tls::AlertReceived(AlertDescription::CertificateRequired | AlertDescription::BadCertificate) => (
            "TLS: the server wants a client certificate that it trusts".to_owned(),
            Some(Remedy::ShowCertificate),
        ),
        Tls::AlertReceived(AlertDescription::UnknownCA | AlertDescription::CertificateUnknown) => (
            "TLS: the server does not trust the client certificate".to_owned(),
            Some(Remedy::ShowOtherCertificate),
        ),
        Tls::AlertReceived(alert) => (format!("TLS: the server refused with the alert {alert:?}"), None),
        Tls::InvalidMessage(_) => {
            ("the server does not speak TLS on this port".to_owned(), Some(Remedy::UseHttp))
        }
        other => (format!("TLS: {other}"), None),
    };
    Reason { what, remedy }
}

fn about_certificate(error: &CertificateError) -> String {
    let ago = |seconds: u64| humantime::format_duration(std::time::Duration::from_secs(seconds)).to_string();
    match error {
        CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. } => {
            "TLS: the server's certificate is for another host name than the one in the URL".to_owned()
        }
        CertificateError::Expired => "TLS: the server's certificate has expired".to_owned(),
        CertificateError::ExpiredContext { time, not_after } => format!(
            "TLS: the server's certificate expired {} ago",
            ago(time.as_secs().saturating_sub(not_after.as_secs()))
        ),
        CertificateError::NotValidYet | CertificateError::NotValidYetContext { .. } => {
            format!(
                "TLS: the server's certificate is not valid yet (it is {} on this machine)",
                humantime::format_rfc3339_seconds(SystemTime::now())
            )
        }
        other => format!("TLS: the server's certificate is not accepted: {other}"),
    }
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
