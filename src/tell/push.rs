//! The Prometheus Pushgateway: where a program leaves its metrics that does not live long enough to be asked for them. It
//! owns the URL of a cluster's group and what an answer means. The URL may hold a password: only its scheme and host are
//! ever shown.

use std::fmt;
use std::time::Duration;

use reqwest::header::CONTENT_TYPE;
use reqwest::{Client, Method, Url};

use crate::decide::secrets::mask_secrets;
use crate::decide::text::{cut, sanitize};
use crate::http;

/// For the whole request. Telling comes last, and may not keep the next run waiting.
const TIMEOUT: Duration = Duration::from_secs(10);
/// Bytes of an answer that are looked at, and characters that are shown.
const ANSWER: usize = 2048;
const SHOWN: usize = 200;

/// A Pushgateway.
#[derive(Clone, PartialEq, Eq)]
pub struct Pushgateway(Url);

impl fmt::Debug for Pushgateway {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// Its scheme, host and port.
impl fmt::Display for Pushgateway {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0.origin().ascii_serialization())
    }
}

impl Pushgateway {
    /// The one at this URL, which may have a user, a password and a path.
    pub fn parse(text: &str) -> Option<Self> {
        let url = Url::parse(text).ok()?;
        let is_plain = url.query().is_none() && url.fragment().is_none();
        let is_http = matches!(url.scheme(), "http" | "https") && url.has_host();
        // Who copied it from curl has the path in it already.
        let is_base = !url.path().contains("/metrics/job");
        (is_plain && is_http && is_base).then_some(Self(url))
    }

    /// Whether it speaks TLS.
    pub fn is_https(&self) -> bool {
        self.0.scheme() == "https"
    }

    /// Where the metrics of this cluster are.
    fn group(&self, cluster: &str) -> Url {
        let base = self.0.path().trim_end_matches('/');
        let is_plain = |c: char| c.is_ascii_alphanumeric() || "._-".contains(c);
        let plain = cluster.chars().all(is_plain) && !cluster.trim_matches('.').is_empty();
        // No segment of a path holds every name: not a slash, nor dots alone.
        let name = if plain {
            format!("connect_cluster/{cluster}")
        } else {
            format!("connect_cluster@base64/{}", base64(cluster.as_bytes()))
        };
        let mut url = self.0.clone();
        url.set_path(&format!("{base}/metrics/job/guardian/{name}"));
        url
    }

    /// Leaves `text` there. `whole` replaces all that the cluster has there, else only the metrics of the same names.
    ///
    /// # Errors
    /// In words, without the URL.
    pub async fn push(
        &self,
        client: &Client,
        cluster: &str,
        text: String,
        whole: bool,
    ) -> Result<(), String> {
        let method = if whole { Method::PUT } else { Method::POST };
        let request = client.request(method, self.group(cluster)).timeout(TIMEOUT);
        let request = request.header(CONTENT_TYPE, "text/plain; version=0.0.4; charset=utf-8").body(text);
        let mut answer = request.send().await.map_err(|error| http::explain(&error).what)?;
        let status = answer.status();
        if status.is_success() {
            return Ok(());
        }
        let mut body = Vec::new();
        while body.len() < ANSWER
            && let Ok(Some(piece)) = answer.chunk().await
        {
            body.extend_from_slice(&piece);
        }
        body.truncate(ANSWER);
        let body = String::from_utf8_lossy(&body);
        let says = body.split_whitespace().collect::<Vec<_>>().join(" ");
        let says = cut(&mask_secrets(&sanitize(&says)), SHOWN);
        let says = if says.is_empty() { says } else { format!(": {says}") };
        Err(format!("HTTP {}{says}", status.as_u16()))
    }
}

/// RFC 4648, section 5 (for URLs), with padding: an empty value would be no segment, and is `=` to the Pushgateway.
fn base64(bytes: &[u8]) -> String {
    const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
    let digits = |piece: &[u8]| {
        let byte = |at: usize| u32::from(piece.get(at).copied().unwrap_or_default());
        let bits = byte(0) << 16 | byte(1) << 8 | byte(2);
        let digit =
            move |at: u32| usize::try_from(bits >> (18_u32.saturating_sub(at.saturating_mul(6))) & 63);
        let used = piece.len().saturating_add(1);
        let digits = (0..4_u32).zip(1_usize..).map(move |(at, count)| {
            let digit = digit(at).ok().and_then(|digit| DIGITS.get(digit));
            digit.filter(|_| count <= used).map_or('=', |digit| char::from(*digit))
        });
        digits.collect::<String>()
    };
    if bytes.is_empty() { "=".to_owned() } else { bytes.chunks(3).map(digits).collect() }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn gateway(url: &str) -> Pushgateway {
        Pushgateway::parse(url).unwrap()
    }

    /// RFC 4648, section 10, and the example of the Pushgateway's README.
    #[test]
    fn base64_is_that_of_the_rfc() {
        for (plain, encoded) in [
            ("", "="),
            ("f", "Zg=="),
            ("fo", "Zm8="),
            ("foo", "Zm9v"),
            ("foob", "Zm9vYg=="),
            ("/var/tmp", "L3Zhci90bXA="),
            ("a/b", "YS9i"),
            ("\u{ff}\u{fe}>?", "w7_Dvj4_"),
        ] {
            assert_eq!(base64(plain.as_bytes()), encoded, "{plain}");
        }
    }

    #[test]
    fn a_cluster_has_its_group_whatever_its_name() {
        for (cluster, path) in [
            ("orders", "connect_cluster/orders"),
            ("connect.example_8083", "connect_cluster/connect.example_8083"),
            ("a/b", "connect_cluster@base64/YS9i"),
            ("..", "connect_cluster@base64/Li4="),
            ("a b", "connect_cluster@base64/YSBi"),
            ("ü", "connect_cluster@base64/w7w="),
        ] {
            let url = gateway("http://push.example:9091/prefix/").group(cluster);
            assert_eq!(url.as_str(), format!("http://push.example:9091/prefix/metrics/job/guardian/{path}"));
        }
    }

    #[test]
    fn what_is_no_base_url_is_refused_and_a_password_is_never_shown() {
        for wrong in [
            "push:9091",
            "ftp://push/",
            "http://",
            "http://push/?x",
            "http://push/#x",
            "http://push/metrics/job/other",
        ] {
            assert_eq!(Pushgateway::parse(wrong), None, "{wrong}");
        }
        let shown = format!("{:?} {0}", gateway("https://u:hunter2@push.example/hunter2"));
        assert_eq!(shown, "https://push.example https://push.example");
    }
}
