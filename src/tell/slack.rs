//! Slack's incoming webhook, with `text` only: Mattermost shows no blocks, Google Chat refuses keys that it does not know,
//! and Discord takes 2,000 characters. One text fits them all.

use reqwest::Client;
use serde_json::json;

use super::post::send;
use super::words::LONGEST;
use super::{Address, Answer, Message};

pub(super) async fn tell(url: &Address, message: Message<'_>, http: &Client) -> Answer {
    let body = json!({"text": message.text(LONGEST, escape)}).to_string();
    let request = http.post(url.expose().clone()).header("Content-Type", "application/json").body(body);
    send(request, url, &[]).await
}

/// A cause or a name must neither ring everybody (`@channel`, `@everyone`, `<!here>`) nor become a link.
pub(super) fn escape(text: &str) -> String {
    let text = text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;");
    text.replace('@', "@\u{200b}")
}
