//! Whatever takes CloudEvents 1.0 over HTTP, in structured mode. The token goes into a header, never into the URL.

use reqwest::Client;

use super::post::send;
use super::{Address, Answer, Message, event};
use crate::http::Secret;

pub(super) async fn tell(
    url: &Address,
    token: Option<&Secret>,
    name: &str,
    message: Message<'_>,
    http: &Client,
) -> Answer {
    let request = http.post(url.expose().clone()).header("Content-Type", "application/cloudevents+json");
    let request = request.body(event::of(message, name));
    let request = match token {
        Some(token) => request.bearer_auth(token.expose()),
        None => request,
    };
    let secret: Vec<String> = token.map(|token| token.expose().to_owned()).into_iter().collect();
    send(request, url, &secret).await
}
