//! Scripted answers: which requests they are for, how often, and what they say in place of the normal answer.
//!
//! It owns the choice of a rule and the description of an answer. Sending it is the business of `http`.

use std::sync::Arc;
use std::time::Duration;

use super::answers;
use super::http::{Body, Content, Delivery, Reply, Response};
use super::rest::Call;
use super::{Cluster, http};

type Edit = dyn Fn(Vec<u8>) -> Vec<u8> + Send + Sync;
type Wanted = dyn Fn(&Call) -> bool + Send + Sync;
pub type Callback = Box<dyn FnMut(&Cluster) + Send>;

/// A scripted answer: the normal one in another form, or another one in its place.
#[derive(Clone)]
pub struct Answer {
    /// `None` is the normal answer.
    content: Option<Content>,
    executed: bool,
    wait: Duration,
    delivery: Delivery,
    edit: Option<Arc<Edit>>,
    headers: Vec<(String, String)>,
}

impl Answer {
    /// The normal answer, to be delayed, edited, cut or sent byte by byte.
    pub fn normal() -> Self {
        Self {
            content: None,
            executed: false,
            wait: Duration::ZERO,
            delivery: Delivery::Whole,
            edit: None,
            headers: Vec::new(),
        }
    }

    fn http(response: Response) -> Self {
        Self { content: Some(Content::Http(response)), ..Self::normal() }
    }

    /// The most likely answer with this status: 401 as the Basic authentication extension words it, 400 as
    /// Jetty 12 does, an empty 2xx, and Connect's JSON for the others (409 is "rebalance", 500 "Request timed out").
    pub fn status(status: u16) -> Self {
        Self::http(match status {
            200..=299 => answers::empty(status),
            400 => answers::html(400, "Ambiguous URI path separator"),
            401 => answers::not_authenticated(),
            _ => answers::error(status, &answers::usual_message(status)),
        })
    }

    /// Connect's own error JSON.
    pub fn error(status: u16, message: &str) -> Self {
        Self::http(answers::error(status, message))
    }

    pub fn json(status: u16, body: impl Into<Vec<u8>>) -> Self {
        Self::http(answers::json(status, body))
    }

    pub fn text(status: u16, content_type: &str, body: impl Into<Vec<u8>>) -> Self {
        Self::http(answers::text(status, content_type, body))
    }

    /// An error page as Jetty makes it, or a proxy's page when the status is 200.
    pub fn html(status: u16, message: &str) -> Self {
        Self::http(answers::html(status, message))
    }

    pub fn redirect(status: u16, url: &str) -> Self {
        Self::http(answers::empty(status)).header("Location", url)
    }

    /// These bytes from the status line on (or no HTTP at all), then a close.
    pub fn raw(bytes: impl Into<Vec<u8>>) -> Self {
        Self { content: Some(Content::Raw(bytes.into())), ..Self::normal() }
    }

    /// Takes the request and never answers.
    pub fn hang() -> Self {
        Self::status(200).delivered(Delivery::Hang)
    }

    /// RST instead of an answer.
    pub fn reset() -> Self {
        Self::status(200).delivered(Delivery::Reset)
    }

    /// A close instead of an answer.
    pub fn close() -> Self {
        Self::status(200).delivered(Delivery::Close)
    }

    pub fn header(mut self, name: &str, value: &str) -> Self {
        self.headers.push((name.to_owned(), value.to_owned()));
        self
    }

    /// Connect carries out the request all the same.
    pub fn but_executed(self) -> Self {
        Self { executed: true, ..self }
    }

    pub fn delayed(self, wait: Duration) -> Self {
        Self { wait, ..self }
    }

    /// Changes the body, with a `Content-Length` to match: truncated JSON, invalid UTF-8, odd states.
    pub fn edited(self, edit: impl Fn(Vec<u8>) -> Vec<u8> + Send + Sync + 'static) -> Self {
        Self { edit: Some(Arc::new(edit)), ..self }
    }

    /// Replaces every `from` in the body by `to`.
    pub fn replacing(self, from: &str, to: &str) -> Self {
        let (from, to) = (from.to_owned(), to.to_owned());
        self.edited(move |body| String::from_utf8_lossy(&body).replace(&from, &to).into_bytes())
    }

    pub fn chunked(self) -> Self {
        self.delivered(Delivery::Chunked)
    }

    /// The head promises the whole body, so many bytes of it come, then a clean close.
    pub fn cut_after(self, bytes: usize) -> Self {
        self.delivered(Delivery::CutAfter(bytes))
    }

    /// The same with RST.
    pub fn reset_after(self, bytes: usize) -> Self {
        self.delivered(Delivery::ResetAfter(bytes))
    }

    /// Sends the body byte by byte, with this pause.
    pub fn byte_every(self, pause: Duration) -> Self {
        self.delivered(Delivery::ByteEvery(pause))
    }

    /// Sends this filler for ever after the body: `" "` is JSON that never ends, `","` is none.
    pub fn then_endlessly(self, filler: &str) -> Self {
        self.delivered(Delivery::Endless(filler.as_bytes().to_vec()))
    }

    fn delivered(self, delivery: Delivery) -> Self {
        Self { delivery, ..self }
    }

    /// Whether the request must be carried out.
    pub fn needs_normal(&self) -> bool {
        self.content.is_none() || self.executed
    }

    /// The reply, made of the normal answer where that is needed.
    pub fn reply(&self, normal: Option<Response>) -> Reply {
        let (wait, delivery) = (self.wait, self.delivery.clone());
        let mut response = match self.content.clone() {
            Some(raw @ Content::Raw(_)) => return Reply { content: raw, wait, delivery },
            Some(Content::Http(response)) => response,
            None => normal.unwrap_or_else(|| answers::empty(200)),
        };
        if self.edit.is_some() || !matches!(self.delivery, Delivery::Whole) {
            response.body = Body::Bytes(held(response.body)); // only bytes can be cut or edited
        }
        if let (Some(edit), Body::Bytes(body)) = (&self.edit, &mut response.body) {
            *body = edit(std::mem::take(body));
        }
        response.headers.extend(self.headers.clone());
        Reply { content: Content::Http(response), wait, delivery }
    }
}

fn held(body: Body) -> Vec<u8> {
    match body {
        Body::Bytes(bytes) => bytes,
        Body::Stream(write) => {
            let mut bytes = Vec::new();
            write(&mut bytes).expect("memory takes everything");
            bytes
        }
    }
}

impl From<u16> for Answer {
    fn from(status: u16) -> Self {
        Self::status(status)
    }
}

/// A rule. The first that wants a request and is not used up decides.
pub struct Rule {
    wanted: Arc<Wanted>,
    worker: Option<usize>,
    skip: u32,
    left: Option<u32>,
    answer: Answer,
    callback: Option<Callback>,
}

impl Rule {
    pub fn new(wanted: Arc<Wanted>) -> Self {
        Self { wanted, worker: None, skip: 0, left: None, answer: Answer::normal(), callback: None }
    }
}

/// The rule for this request: its index, its answer, and its callback, which must run with no lock held.
pub fn choose(rules: &mut [Rule], worker: usize, call: &Call) -> Option<(usize, Answer, Option<Callback>)> {
    for (index, rule) in rules.iter_mut().enumerate() {
        let wanted =
            rule.worker.is_none_or(|only| only == worker) && rule.left != Some(0) && (rule.wanted)(call);
        if !wanted {
            continue;
        }
        if rule.skip > 0 {
            rule.skip -= 1;
            continue;
        }
        rule.left = rule.left.map(|left| left - 1);
        return Some((index, rule.answer.clone(), rule.callback.take()));
    }
    None
}

/// Puts the callback back after it was called.
pub fn put_back(rules: &mut [Rule], index: usize, callback: Callback) {
    if let Some(rule) = rules.get_mut(index) {
        rule.callback = Some(callback);
    }
}

/// Builds a rule, which is in force from `on_...` on; without `answers` its requests get the normal answer.
pub struct Script<'a> {
    pub(super) cluster: &'a Cluster,
    pub(super) index: usize,
}

impl Script<'_> {
    pub fn answers(self, answer: impl Into<Answer>) -> Self {
        let answer = answer.into();
        self.change(|rule| rule.answer = answer)
    }

    /// Decides only the first n requests.
    pub fn times(self, n: u32) -> Self {
        self.change(|rule| rule.left = Some(n))
    }

    /// Does not decide the first n requests.
    pub fn after(self, n: u32) -> Self {
        self.change(|rule| rule.skip = n)
    }

    /// Only at this worker.
    pub fn at_worker(self, worker: usize) -> Self {
        self.change(|rule| rule.worker = Some(worker))
    }

    /// Calls this when a request has arrived, before it is carried out.
    pub fn runs(self, callback: impl FnMut(&Cluster) + Send + 'static) -> Self {
        self.change(|rule| rule.callback = Some(Box::new(callback)))
    }

    /// Answers the same requests once this rule is used up.
    pub fn then(self, answer: impl Into<Answer>) -> Self {
        let mut inner = http::lock(&self.cluster.inner);
        let Rule { wanted, worker, .. } = &inner.rules[self.index];
        let next = Rule { worker: *worker, answer: answer.into(), ..Rule::new(Arc::clone(wanted)) };
        inner.rules.push(next);
        Self { cluster: self.cluster, index: inner.rules.len() - 1 }
    }

    fn change(self, change: impl FnOnce(&mut Rule)) -> Self {
        change(&mut http::lock(&self.cluster.inner).rules[self.index]);
        self
    }
}
