//! The listing: from the first worker that gives one, and connector by connector where a worker cannot list all at once.
//! What its bytes mean is read in `wire`, what an answer means that is no listing in `answers`.

use std::time::Duration;

use futures_util::stream::{self, StreamExt};
use reqwest::{Method, StatusCode, Url};
use tokio::time::{Instant, sleep};

use super::body::read_json;
use super::wire::{self, Document, Known};
use super::{Connect, LONGEST_BODY, address, answers, read_status};
use crate::decide::listing::Listing;
use crate::decide::text::show_name;
use crate::exit::{Failure, Kind};

/// After a look at all workers that gave no listing, the waits before the next ones: a sidecar, a name server or a rolling
/// worker may need some seconds.
const AGAIN_AFTER: [Duration; 2] = [Duration::from_secs(2), Duration::from_secs(5)];
/// No look begins later than this after the first one.
const LAST_LOOK: Duration = Duration::from_secs(10);

/// What one connector's status was: `None` when it has none, an error when it could not be read.
type Status = Result<Option<Listing>, String>;

impl Connect {
    pub(super) async fn first_listing(&self, known: &Known) -> Result<Listing, Failure> {
        let began = Instant::now();
        let mut waits = AGAIN_AFTER.into_iter();
        let mut told = String::new();
        loop {
            let failure = match self.look(known).await {
                Err(failure) if failure.kind != Kind::Unauthorized => failure,
                done => return done,
            };
            let wait = waits.next().filter(|wait| began.elapsed().saturating_add(*wait) <= LAST_LOOK);
            let Some(wait) = wait else { return Err(failure) };
            let (message, again) = (failure.message(), humantime::format_duration(wait));
            if message == told {
                tracing::info!("still no answer; asking again in {again}");
            } else {
                tracing::info!("{message}; asking again in {again}");
            }
            told = message;
            sleep(wait).await;
        }
    }

    /// Asks one worker after the other until one lists connectors and is well. When none is, the first listing says so. `{}` counts only when no other lists any: a worker that
    /// starts, or a stray one, says so too.
    async fn look(&self, known: &Known) -> Result<Listing, Failure> {
        let (mut failures, mut empty, mut unwell) = (Vec::new(), None, None);
        for (index, url) in self.in_turn(self.first.get()) {
            self.current.set(index);
            match self.within_timeout(url, self.listing_from(url, known)).await {
                Ok(listing) if listing.connectors.total == 0 => {
                    empty.get_or_insert((index, listing));
                }
                Ok(listing) if known.needs_health(&listing) => match self.illness(url).await {
                    None => return Ok(listing),
                    illness @ Some(_) => {
                        unwell.get_or_insert((index, Listing { illness, ..listing }));
                    }
                },
                Ok(listing) => return Ok(listing),
                Err(failure) if failure.kind == Kind::Unauthorized => return Err(failure),
                Err(failure) => {
                    tracing::debug!("{}", failure.message());
                    failures.push(failure);
                }
            }
        }
        let (index, listing) = unwell.or(empty).ok_or_else(|| {
            self.current.set(self.first.get());
            answers::no_listing(failures)
        })?;
        self.current.set(index);
        Ok(listing)
    }

    async fn listing_from(&self, url: &Url, known: &Known) -> Result<Listing, Failure> {
        let response = self.get(url, "/connectors?expand=status").await?;
        let names = match response.status() {
            StatusCode::OK => {
                let known = known.clone();
                let document =
                    read_json(response, LONGEST_BODY, move |body| wire::read_document(body, &known)).await;
                match document.map_err(|error| answers::bad_body(url, &error))? {
                    Document::Listing(listing) => return Ok(*listing),
                    Document::Foreign => {
                        return Err(answers::not_connect(url, "its JSON is not a listing of connectors"));
                    }
                    Document::Names(names) => {
                        tracing::debug!(
                            "{url} does not know expand=status (Connect < 2.3); asking for each connector by itself"
                        );
                        names
                    }
                }
            }
            // Up to Connect 3.3 one broken connector fails the whole listing.
            status @ StatusCode::INTERNAL_SERVER_ERROR => {
                let text = self.text(response).await;
                if answers::connect_message(&text).is_none() {
                    return Err(self.bad_status(url, status, &text));
                }
                tracing::warn!(
                    "{} cannot list all statuses at once{}; asking for each connector by itself",
                    answers::display_url(url),
                    answers::message_suffix(&text)
                );
                self.names(url).await?
            }
            status => return Err(self.bad_status(url, status, &self.text(response).await)),
        };
        self.one_by_one(url, names, known).await
    }

    async fn names(&self, url: &Url) -> Result<Vec<String>, Failure> {
        let response = self.get(url, "/connectors").await?;
        if response.status() != StatusCode::OK {
            let status = response.status();
            return Err(self.bad_status(url, status, &self.text(response).await));
        }
        let read = |body| wire::read_document(body, &Known::default());
        let document = read_json(response, LONGEST_BODY, read).await;
        match document.map_err(|error| answers::bad_body(url, &error))? {
            Document::Names(names) => Ok(names),
            _ => Err(answers::not_connect(url, "its JSON is not a list of names")),
        }
    }

    /// Asks for each connector's status by itself. One that answers badly costs itself a warning; no answer at all, or none
    /// that is a status, ends the attempt with this worker.
    async fn one_by_one(&self, url: &Url, names: Vec<String>, known: &Known) -> Result<Listing, Failure> {
        let (mut listings, mut understood, mut problem) = (Vec::new(), false, None);
        let mut unmatched = known.unmatched();
        for name in &names {
            unmatched.note(name);
        }
        let ask = async |name: String| Ok((self.one_status(url, &name, known).await?, name));
        let mut answers = stream::iter(names).map(ask).buffer_unordered(self.workers.parallel.max(1));
        while let Some(answer) = answers.next().await {
            let (status, name): (Status, String) = answer?;
            understood |= status.is_ok();
            match status {
                Ok(listing) => listings.extend(listing),
                Err(why) => {
                    listings.push(Listing::not_understood(&name, &why));
                    problem.get_or_insert_with(|| format!("{}: {why}", show_name(&name)));
                }
            }
        }
        match problem {
            Some(first) if !understood => {
                let text = format_args!("no connector's status can be read ({first})");
                Err(answers::not_connect(url, text))
            }
            _ => {
                let mut listing = Listing::join(listings);
                listing.warn_of(unmatched);
                Ok(listing)
            }
        }
    }

    async fn one_status(&self, url: &Url, name: &str, known: &Known) -> Result<Status, Failure> {
        let Ok(path) = address(name) else { return Ok(Err("a URL cannot hold this name".to_owned())) };
        let request = self.request(Method::GET, url, &format!("{path}/status")).timeout(self.workers.timeout);
        let response = request.send().await.map_err(|error| self.unreachable(url, &error))?;
        Ok(match response.status() {
            StatusCode::OK => match read_status(response, name, known.clone()).await {
                Ok(listing) => Ok(Some(listing)),
                Err(error) => Err(error.to_string()),
            },
            status @ (StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN) => {
                return Err(self.bad_status(url, status, &self.text(response).await));
            }
            // No status record yet, or deleted meanwhile: the listing omits such a connector too.
            StatusCode::NOT_FOUND if answers::connect_message(&self.text(response).await).is_some() => {
                Ok(None)
            }
            status => Err(format!("HTTP {}", status.as_u16())),
        })
    }
}
