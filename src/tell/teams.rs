//! Microsoft Teams: an adaptive card for a Workflows URL. Its 202 says only that the flow has started.

use reqwest::Client;
use serde_json::{Value, json};

use super::post::send;
use super::words::LONGEST;
use super::{Address, Answer, Message};

pub(super) async fn tell(url: &Address, message: Message<'_>, http: &Client) -> Answer {
    let body = card(message).to_string();
    let request = http.post(url.expose().clone()).header("Content-Type", "application/json").body(body);
    send(request, url, &[]).await
}

fn card(message: Message<'_>) -> Value {
    let blocks = (0..).zip(message.lines(LONGEST, escape)).map(|(number, text)| {
        let weight = if number == 0 { "Bolder" } else { "Default" };
        json!({"type": "TextBlock", "text": text, "wrap": true, "weight": weight})
    });
    let blocks: Vec<Value> = blocks.collect();
    json!({
        "type": "message",
        "attachments": [{
            "contentType": "application/vnd.microsoft.card.adaptive",
            "contentUrl": null,
            "content": {
                "$schema": "http://adaptivecards.io/schemas/adaptive-card.json",
                "type": "AdaptiveCard",
                "version": "1.2",
                "msteams": {"width": "full"},
                "body": blocks,
            },
        }],
    })
}

/// A text block is Markdown, in which a connector called `__a__` would lose its name.
fn escape(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for c in text.chars() {
        if matches!(c, '\\' | '*' | '_' | '[' | ']' | '~' | '`') {
            escaped.push('\\');
        }
        escaped.push(c);
        if c == '@' {
            escaped.push('\u{200b}');
        }
    }
    // One line end is none in Markdown.
    escaped.replace('\n', "\n\n")
}
