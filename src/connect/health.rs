//! Whether a worker is well: it says so itself (`GET /health`, KIP-1017, Connect 3.9). A worker whose broker is away goes
//! on serving the statuses that it knew last, and hangs on every restart for 90 s.

use std::time::Duration;

use reqwest::{Method, StatusCode, Url};
use serde::Deserialize;

use super::{Connect, answers};
use crate::decide::text::one_line;

/// Connect itself takes up to 10 s to find out (`DEFAULT_HEALTH_CHECK_TIMEOUT_MS`).
const HEALTH_TIMEOUT: Duration = Duration::from_secs(15);
/// A worker that is only slow is not told from a sick one: it must answer something else within this time.
const ROOT_TIMEOUT: Duration = Duration::from_secs(2);

#[derive(Deserialize)]
struct Health {
    status: String,
    message: String,
}

impl Connect {
    /// What this worker says is wrong with it. Only its own word counts, or its silence while it answers `GET /`; anything
    /// else (404 before 3.9, a proxy's answer) says nothing.
    pub(super) async fn illness(&self, url: &Url) -> Option<String> {
        let asked = self.request(Method::GET, url, "/health").timeout(HEALTH_TIMEOUT).send().await;
        let text = match asked {
            Ok(answer)
                if matches!(
                    answer.status(),
                    StatusCode::INTERNAL_SERVER_ERROR | StatusCode::SERVICE_UNAVAILABLE
                ) =>
            {
                let health: Health = serde_json::from_str(&self.text(answer).await).ok()?;
                format!("{}: {}", health.status, health.message)
            }
            Err(error) if error.is_timeout() && !error.is_connect() => {
                let root = self.request(Method::GET, url, "/").timeout(ROOT_TIMEOUT).send().await;
                root.ok()?;
                let waited = humantime::format_duration(HEALTH_TIMEOUT);
                format!("it does not answer GET /health within {waited}, and GET / at once")
            }
            _ => return None,
        };
        Some(format!("{}: {}", answers::display_url(url), one_line(&text)))
    }
}
