//! The two requests that a state in a ConfigMap needs of the Kubernetes API,
//! and what their answers mean in words. It knows no ledger.
//!
//! A small client over the HTTP client that is here anyway, and not kube-rs:
//! measured with kube 5.0 and k8s-openapi 0.29, kube-rs adds 54 crates to 89,
//! 3.7 MB to a binary of 2.4 MB and 40 ms to a run of 10 ms, for one GET and one
//! PUT of one object by its name; this adds 0.1 MB and no crate. What kube-rs
//! would give beyond that (kubeconfig, exec plugins, watches, typed objects) has
//! no use here, and what is hard (when a PUT may be repeated, what a conflict
//! means) would still have to be written.

use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

use anyhow::anyhow;
use reqwest::{Client, StatusCode, Url};
use serde_json::Value;
use tokio::time::{Instant, sleep};

use super::state_failure;
use crate::decide::text::{cut, sanitize};
use crate::exit::Failure;
use crate::http::{self, Authorization, Remedy, TrustedCas};

/// For one whole answer.
const TIMEOUT: Duration = Duration::from_secs(10);
/// Before a request is sent a second time. The API server asks for this long
/// (`Retry-After: 1`) when it is overloaded.
const AGAIN_AFTER: Duration = Duration::from_secs(1);
/// The same for the first request of all: the sidecar of a mesh lets nothing out
/// for some seconds. As patient as with the workers (`connect/listing.rs`).
const FIRST_AGAIN_AFTER: [Duration; 3] = [AGAIN_AFTER, Duration::from_secs(2), Duration::from_secs(5)];
/// No try begins later than this after the first one.
const LAST_TRY: Duration = Duration::from_secs(10);
/// The API server takes objects of up to 3 MiB; nothing longer is one.
const LONGEST_ANSWER: usize = 4 * 1024 * 1024;

/// A ConfigMap, and how to reach it.
#[derive(Clone, Debug)]
pub struct ConfigMap {
    pub name: String,
    pub namespace: String,
    /// As whom to reach it.
    pub account: ServiceAccount,
}

/// The service account of a pod.
#[derive(Clone, Debug)]
pub struct ServiceAccount {
    /// The API server.
    pub server: Url,
    /// The account's token.
    pub authorization: Authorization,
    /// The cluster's own CA: the only one that is trusted.
    pub trusted: TrustedCas,
    /// Where both were read, for a person.
    pub folder: PathBuf,
    /// The pod and the process, as they sign a lease.
    pub holder: String,
}

/// `NAME/NAMESPACE`, as in the setting.
impl fmt::Display for ConfigMap {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.name, self.namespace)
    }
}

/// The API server's word on a replacement.
#[derive(Debug)]
pub(super) enum Replaced {
    /// It was; this is the object now.
    Now(Value),
    /// Another version is there than the one that was read.
    Conflict {
        /// The request was sent twice: the other version may be the first one's.
        perhaps_ours: bool,
    },
}

/// A client for one ConfigMap.
#[derive(Debug)]
pub(super) struct Api {
    http: Client,
    url: Url,
    map: ConfigMap,
}

/// An answer, read to its end.
struct Answer {
    status: StatusCode,
    body: Vec<u8>,
}

impl Api {
    pub(super) fn new(map: &ConfigMap) -> Result<Self, Failure> {
        let wrong = |error: anyhow::Error| {
            let message = format!("the client for the Kubernetes API cannot be set up: {error:#}");
            state_failure(message, "KUBERNETES_SERVICE_HOST and _PORT say where the API server is")
        };
        let mut url = map.account.server.clone();
        url.path_segments_mut().map_err(|()| wrong(anyhow!("its URL has no path")))?.extend([
            "api",
            "v1",
            "namespaces",
            &map.namespace,
            "configmaps",
            &map.name,
        ]);
        let http = http::client(&http::Settings {
            https: true,
            trusted: Some(map.account.trusted.clone()),
            only_trusted: true,
            ..http::Settings::default()
        });
        Ok(Self { http: http.map_err(|reason| wrong(anyhow!(reason)))?, url, map: map.clone() })
    }

    pub(super) fn map(&self) -> &ConfigMap {
        &self.map
    }

    /// The whole object, with patience for a network that is not there yet.
    pub(super) async fn first_get(&self) -> Result<Value, Failure> {
        self.get_after(&FIRST_AGAIN_AFTER).await
    }

    /// The whole object.
    pub(super) async fn get(&self) -> Result<Value, Failure> {
        self.get_after(&[AGAIN_AFTER]).await
    }

    async fn get_after(&self, waits: &[Duration]) -> Result<Value, Failure> {
        let (answer, _) = self.ask(None, waits).await?;
        match answer.status {
            StatusCode::OK => self.object(&answer),
            _ => Err(self.refused("get", &answer)),
        }
    }

    /// Puts this object in the place of the version that it was read as: its
    /// `metadata.resourceVersion`, without which the last writer would win.
    pub(super) async fn replace(&self, object: &Value) -> Result<Replaced, Failure> {
        let body = object.to_string().into_bytes();
        let (answer, repeated) = self.ask(Some(&body), &[AGAIN_AFTER]).await?;
        match answer.status {
            StatusCode::OK | StatusCode::CREATED => self.object(&answer).map(Replaced::Now),
            StatusCode::CONFLICT => Ok(Replaced::Conflict { perhaps_ours: repeated }),
            _ => Err(self.refused("update", &answer)),
        }
    }

    /// Sends a request, again when the API server is overloaded, has a fault or
    /// cut the connection: it may have a neighbour that has not. The
    /// resourceVersion makes that safe for a PUT too, which is answered 409 if
    /// the first was carried out. An answer is asked for twice at most. After a
    /// time-out there is no other time: with the ten seconds that it took, a pod
    /// that is told to end has too few left.
    ///
    /// Returns whether it was sent more than once.
    async fn ask(&self, body: Option<&[u8]>, waits: &[Duration]) -> Result<(Answer, bool), Failure> {
        let (began, mut repeated) = (Instant::now(), false);
        let mut waits = waits.iter();
        loop {
            let asked = self.ask_once(body).await;
            let (may_pass, why) = match &asked {
                Ok(answer) => (passing(answer.status) && !repeated, format!("HTTP {}", answer.status)),
                Err(error) => (!error.is_timeout(), http::explain(error).to_string()),
            };
            let in_time = |wait: &&Duration| began.elapsed().saturating_add(**wait) <= LAST_TRY;
            let Some(wait) = waits.next().filter(in_time).filter(|_| may_pass) else {
                return asked.map(|answer| (answer, repeated)).map_err(|error| self.unanswered(&error));
            };
            let again = humantime::format_duration(*wait);
            tracing::info!("the Kubernetes API: {why}; asking again in {again}");
            sleep(*wait).await;
            repeated = true;
        }
    }

    async fn ask_once(&self, body: Option<&[u8]>) -> Result<Answer, reqwest::Error> {
        let request = match body {
            None => self.http.get(self.url.clone()),
            Some(body) => {
                self.http.put(self.url.clone()).header("content-type", "application/json").body(body.to_vec())
            }
        };
        let request = request.header("accept", "application/json").timeout(TIMEOUT);
        let mut response = self.map.account.authorization.authorize(request).send().await?;
        let mut body = Vec::new();
        while let Some(chunk) = response.chunk().await? {
            body.extend_from_slice(&chunk);
            if body.len() > LONGEST_ANSWER {
                break;
            }
        }
        Ok(Answer { status: response.status(), body })
    }

    /// The object of an answer, if it is the one that was asked for and has the
    /// version that the next PUT needs.
    fn object(&self, answer: &Answer) -> Result<Value, Failure> {
        let object: Option<Value> = serde_json::from_slice(&answer.body).ok();
        let is = |object: &Value, pointer: &str, text: &str| {
            object.pointer(pointer).and_then(Value::as_str) == Some(text)
        };
        object
            .filter(|object| is(object, "/kind", "ConfigMap") && is(object, "/metadata/name", &self.map.name))
            .filter(|object| {
                let version = object.pointer("/metadata/resourceVersion").and_then(Value::as_str);
                version.is_some_and(|version| !version.is_empty())
            })
            .ok_or_else(|| {
                state_failure(
                    format!(
                        "what answers at {} is not the Kubernetes API: no ConfigMap in a 200",
                        self.server()
                    ),
                    "KUBERNETES_SERVICE_HOST and _PORT say where the API server is",
                )
            })
    }

    fn server(&self) -> &str {
        self.map.account.server.as_str().trim_end_matches('/')
    }

    /// A request without an answer.
    fn unanswered(&self, error: &reqwest::Error) -> Failure {
        let reason = http::explain(error);
        let message = format!("the Kubernetes API at {}: {reason}", self.server());
        let hint = if error.is_timeout() {
            format!("it gets {} s; a NetworkPolicy must let this pod out to it", TIMEOUT.as_secs())
        } else if reason.remedy == Some(Remedy::TrustCa) {
            format!("only the CA of {} is trusted", self.map.account.folder.join("ca.crt").display())
        } else {
            "KUBERNETES_SERVICE_HOST and _PORT say where it is; a NetworkPolicy must let this pod out to it"
                .to_owned()
        };
        state_failure(message, hint)
    }

    /// An answer that refuses, in words: each with its next step.
    fn refused(&self, verb: &str, answer: &Answer) -> Failure {
        let (name, namespace) = (&self.map.name, &self.map.namespace);
        let suffix = message_suffix(&answer.body);
        let code = answer.status.as_u16();
        let (what, hint) = match code {
            401 => (
                format!("the Kubernetes API does not accept the service account's token (HTTP 401){suffix}"),
                format!(
                    "{} is read at every run and ends with its pod",
                    self.map.account.folder.join("token").display()
                ),
            ),
            403 => (
                format!("the service account may not {verb} the ConfigMap {} (HTTP 403){suffix}", self.map),
                format!(
                    "it needs a RoleBinding in {namespace} to a Role with apiGroups [\"\"], resources [\"configmaps\"], resourceNames [{name:?}], verbs [\"get\", \"update\"]"
                ),
            ),
            404 => (
                format!("there is no ConfigMap {name} in the namespace {namespace} (HTTP 404)"),
                format!(
                    "guardian does not create it: the Helm chart does, or kubectl create configmap {name} --namespace {namespace}"
                ),
            ),
            413 => (
                format!("the ConfigMap {} is too large for the Kubernetes API (HTTP 413){suffix}", self.map),
                "remove what else it holds; what is there now is intact".to_owned(),
            ),
            422 => (
                format!("the Kubernetes API finds the ConfigMap {} invalid (HTTP 422){suffix}", self.map),
                "a ConfigMap holds 1 MiB at most, and one with immutable: true cannot be changed".to_owned(),
            ),
            429 => (
                format!("the Kubernetes API is overloaded (HTTP 429, twice){suffix}"),
                "this passes; the next run tries again".to_owned(),
            ),
            500..=599 => (
                format!("the Kubernetes API has a fault (HTTP {code}, twice){suffix}"),
                "this should pass; the next run tries again".to_owned(),
            ),
            _ => (
                format!(
                    "the Kubernetes API answers HTTP {code} to {verb} the ConfigMap {}{suffix}",
                    self.map
                ),
                "KUBERNETES_SERVICE_HOST and _PORT say where the API server is".to_owned(),
            ),
        };
        state_failure(what, hint)
    }
}

/// Whether an answer may be another one a second later.
fn passing(status: StatusCode) -> bool {
    status == StatusCode::TOO_MANY_REQUESTS || status.is_server_error()
}

/// `: ` and the `message` of a `Status` object; empty when the body is none.
fn message_suffix(body: &[u8]) -> String {
    let status: Option<Value> = serde_json::from_slice(body).ok();
    let message = status.as_ref().and_then(|status| status.get("message")).and_then(Value::as_str);
    message
        .filter(|text| !text.is_empty())
        .map_or_else(String::new, |text| format!(": {}", cut(&sanitize(text), 300)))
}
