//! The state in a ConfigMap, for pods: they have no disk that outlives them.
//! One data key holds what a file would; whatever else is in the object (labels
//! and annotations that Helm checks, other keys, owners) goes back as it came.
//!
//! There is no lock, so two things stand in for one:
//!
//! - every PUT names the `resourceVersion` that it replaces, so that a charge
//!   fails, and nothing is sent, when anybody wrote since this run looked;
//! - the charge leaves a lease in the state, for as long as the run may take,
//!   and the save after the restarts removes it: a run that looks meanwhile does not begin.
//!
//! That save must not fail for a conflict (restarts have been sent): it reads
//! again and merges (`decide/merge.rs`). A lease is advice, and clocks differ:
//! should two runs get past it, attempts are still counted, by the first.

use std::io;
use std::time::{Duration, SystemTime};

use serde_json::{Map, Value};
use tokio::time::{Instant, sleep};

use super::format::{self, Lease};
use super::kubernetes::{Api, ConfigMap, Replaced};
use super::{Found, Loaded, Store, refused, state_failure};
use crate::decide::ledger::Ledger;
use crate::decide::text::sanitize;
use crate::decide::time::Timestamp;
use crate::exit::{Failure, Kind};

/// The data key that holds the state.
const KEY: &str = "state.json";
/// A lease ends within this time, whatever the run's deadline is; one that ends
/// later than that was written by a clock that is wrong, and is ignored: it
/// could keep guardian away for days.
const LONGEST_LEASE: Duration = Duration::from_secs(60 * 60);
/// So much may the clocks of two nodes differ without harm to a lease of the
/// longest sort.
const CLOCK_SKEW: Duration = Duration::from_secs(5 * 60);
/// How often a lease in force is looked at again.
const AGAIN: Duration = Duration::from_secs(1);
/// The API server's limit: the values, without their keys (measured).
const FULL: usize = 1024 * 1024;
/// A charge leaves room: the save after it must not fail for what it adds.
const FULL_FOR_CHARGES: usize = 900 * 1024;
/// So much of it is history: an object is read by people, and as a whole at every run.
const HISTORY: usize = 96 * 1024;
/// More conflicts in a row than this are no accident.
const MERGES: usize = 5;

/// The state of one cluster in a ConfigMap.
#[derive(Debug)]
pub struct ConfigMapStore {
    api: Api,
    cluster: String,
    /// The object as it was last seen.
    object: Value,
    /// What it remembered then.
    base: Ledger,
    /// This run's lease, once it has charged.
    lease: Option<Lease>,
}

impl ConfigMapStore {
    /// Reads the object, waiting for a lease in force to end.
    pub(super) async fn open(map: &ConfigMap, cluster: &str, wait: Duration) -> Result<Self, Failure> {
        let api = Api::new(map)?;
        let waited_enough = Instant::now().checked_add(wait);
        loop {
            let object = api.first_get().await?;
            let Some(lease) = lease_of(&object, cluster).filter(|lease| in_force(lease, now())) else {
                return Ok(Self {
                    api,
                    cluster: cluster.to_owned(),
                    object,
                    base: Ledger::default(),
                    lease: None,
                });
            };
            let left = waited_enough.map_or(AGAIN, |end| end.saturating_duration_since(Instant::now()));
            if left.is_zero() {
                return Err(locked(format!(
                    "another run holds the state configmap:{map}: {}, until {} at the latest",
                    sanitize(&lease.holder),
                    lease.expires_at
                )));
            }
            sleep(left.min(AGAIN)).await;
        }
    }

    /// The state as text; without its history when the object has no room for that.
    fn render(&self, ledger: &Ledger, lease: Option<&Lease>, limit: usize) -> Result<String, Failure> {
        let text = self.render_within(HISTORY, ledger, lease)?;
        let before = state_of(&self.object).map_or(0, str::len);
        if size_of(&self.object).saturating_sub(before).saturating_add(text.len()) <= limit {
            return Ok(text);
        }
        self.render_within(0, ledger, lease)
    }

    fn render_within(
        &self,
        history: usize,
        ledger: &Ledger,
        lease: Option<&Lease>,
    ) -> Result<String, Failure> {
        let mut bytes = Vec::new();
        let written = format::write_within(history, &mut bytes, &self.cluster, ledger, lease);
        let text = written.and_then(|()| String::from_utf8(bytes).map_err(io::Error::other));
        text.map_err(|error| {
            state_failure(format!("the state cannot be written: {error}"), "this is a defect")
        })
    }

    /// Replaces the object by one with this state.
    async fn put(&mut self, text: &str, limit: usize) -> Result<Option<Replaced>, Failure> {
        if state_of(&self.object) == Some(text) {
            return Ok(None);
        }
        let next = with_state(self.object.clone(), text);
        refuse_too_large(self.api.map(), &self.object, &next, limit)?;
        self.api.replace(&next).await.map(Some)
    }

    /// Keeps what cannot be understood under another key.
    async fn set_aside(&mut self, why: &str) -> Result<Loaded, Failure> {
        let (next, key) = without_state(self.object.clone(), now());
        match self.api.replace(&next).await? {
            Replaced::Now(object) => self.object = object,
            Replaced::Conflict { .. } => return Err(changed_meanwhile(self.api.map())),
        }
        Ok(Loaded {
            ledger: Ledger::default(),
            warning: Some(format!(
                "the state configmap:{} could not be understood ({why}): it is kept there as {key}, and every failure counts as new",
                self.api.map()
            )),
        })
    }
}

impl Store for ConfigMapStore {
    async fn load(&mut self) -> Result<Loaded, Failure> {
        match read(self.api.map(), &self.object, &self.cluster)? {
            Found::Ledger(ledger, lease) => {
                if let Some(lease) = lease.filter(|lease| lease.expires_at > now()) {
                    let by = sanitize(&lease.holder);
                    tracing::warn!(
                        "ignored: {by} claims the state until {}, which is too far away to be true",
                        lease.expires_at
                    );
                }
                self.base.clone_from(&ledger);
                Ok(Loaded { ledger: *ledger, warning: None })
            }
            Found::Corrupt(why) => self.set_aside(&why).await,
        }
    }

    async fn charge(&mut self, ledger: &Ledger, until: Timestamp) -> Result<(), Failure> {
        let now = now();
        let expires_at = until.min(now.plus(LONGEST_LEASE));
        let holder = self.api.map().account.holder.clone();
        let lease = Some(Lease { holder, expires_at }).filter(|lease| lease.expires_at > now);
        let text = self.render(ledger, lease.as_ref(), FULL_FOR_CHARGES)?;
        match self.put(&text, FULL_FOR_CHARGES).await? {
            None => {}
            Some(Replaced::Now(object)) => self.object = object,
            Some(Replaced::Conflict { perhaps_ours }) => {
                let object = if perhaps_ours { Some(self.api.get().await?) } else { None };
                let ours = object.filter(|object| state_of(object) == Some(&text));
                self.object = ours.ok_or_else(|| changed_meanwhile(self.api.map()))?;
            }
        }
        self.base.clone_from(ledger);
        self.lease = lease;
        Ok(())
    }

    async fn save(&mut self, ledger: &Ledger) -> Result<(), Failure> {
        let mut ledger = ledger.clone();
        let mut others: Option<Lease> = None;
        for _ in 0..MERGES {
            let text = self.render(&ledger, others.as_ref(), FULL)?;
            match self.put(&text, FULL).await? {
                Some(Replaced::Conflict { .. }) => self.object = self.api.get().await?,
                written => {
                    if let Some(Replaced::Now(object)) = written {
                        self.object = object;
                    }
                    self.base = ledger;
                    self.lease = None;
                    return Ok(());
                }
            }
            match read(self.api.map(), &self.object, &self.cluster)? {
                Found::Ledger(theirs, lease) => {
                    others =
                        lease.filter(|lease| self.lease.as_ref() != Some(lease) && in_force(lease, now()));
                    ledger = ledger.merge(&self.base, &theirs);
                    self.base = *theirs;
                }
                // Nothing that another run remembers can be read off it: ours is all there is.
                Found::Corrupt(_) => self.object = without_state(std::mem::take(&mut self.object), now()).0,
            }
        }
        Err(state_failure(
            format!(
                "the state configmap:{} was changed by others {MERGES} times while this run wrote it",
                self.api.map()
            ),
            "see what writes it (its metadata.managedFields); the attempts of this run are counted",
        ))
    }
}

/// Reads the ledger with a single GET.
pub(super) async fn peek(map: &ConfigMap, cluster: &str) -> Result<Loaded, Failure> {
    let object = Api::new(map)?.first_get().await?;
    Ok(match read(map, &object, cluster)? {
        Found::Ledger(ledger, _) => Loaded { ledger: *ledger, warning: None },
        Found::Corrupt(why) => Loaded {
            ledger: Ledger::default(),
            warning: Some(format!(
                "the state configmap:{map} cannot be understood ({why}); the next run sets it aside"
            )),
        },
    })
}

/// What the object holds. No state is an empty ledger.
fn read(map: &ConfigMap, object: &Value, cluster: &str) -> Result<Found, Failure> {
    let Some(text) = state_of(object) else { return Ok(Found::Ledger(Box::default(), None)) };
    match format::read(|| Ok(text.as_bytes()), cluster) {
        Ok((ledger, lease)) => Ok(Found::Ledger(Box::new(ledger), lease)),
        Err(refusal) => refused(&format!("configmap:{map}"), cluster, refusal),
    }
}

fn lease_of(object: &Value, cluster: &str) -> Option<Lease> {
    let text = state_of(object)?;
    format::read(|| Ok(text.as_bytes()), cluster).ok()?.1
}

fn in_force(lease: &Lease, now: Timestamp) -> bool {
    lease.expires_at > now && lease.expires_at <= now.plus(LONGEST_LEASE).plus(CLOCK_SKEW)
}

/// The text of the state; an empty one is none (`data: {state.json: ""}`).
fn state_of(object: &Value) -> Option<&str> {
    object.get("data")?.get(KEY)?.as_str().filter(|text| !text.trim().is_empty())
}

/// The object with this state, and everything else as it was.
fn with_state(mut object: Value, text: &str) -> Value {
    if let Some(data) = data_of(&mut object) {
        data.insert(KEY.to_owned(), Value::from(text));
    }
    object
}

/// The object with its state under a key that was free, and that key.
fn without_state(mut object: Value, now: Timestamp) -> (Value, String) {
    let mut key = format!("state.corrupt-{}", now.to_string().replace([':', '-'], ""));
    if let Some(data) = data_of(&mut object)
        && let Some(text) = data.remove(KEY)
    {
        while data.contains_key(&key) {
            key.push('_');
        }
        data.insert(key.clone(), text);
    }
    (object, key)
}

/// A ConfigMap that was created empty has no `data`, or null.
fn data_of(object: &mut Value) -> Option<&mut Map<String, Value>> {
    let data = object.as_object_mut()?.entry("data").or_insert(Value::Null);
    if data.is_null() {
        *data = Value::Object(Map::new());
    }
    data.as_object_mut()
}

/// The bytes of all values, as the API server counts them.
fn size_of(object: &Value) -> usize {
    let values = |field: &str| object.get(field).and_then(Value::as_object).into_iter().flat_map(Map::values);
    let texts = values("data").filter_map(Value::as_str).map(str::len);
    // In base64 here, four characters for three bytes.
    let binary =
        values("binaryData").filter_map(Value::as_str).map(|text| (text.len() / 4).saturating_mul(3));
    texts.chain(binary).fold(0, usize::saturating_add)
}

/// Refuses what would fill the ConfigMap; a write that makes it smaller is fine.
fn refuse_too_large(map: &ConfigMap, before: &Value, after: &Value, limit: usize) -> Result<(), Failure> {
    let size = size_of(after);
    if size <= limit || size < size_of(before) {
        return Ok(());
    }
    let state = state_of(after).map_or(0, str::len);
    Err(state_failure(
        format!(
            "the ConfigMap {map} would hold {} KiB (the state {} of them), and {} KiB is the most that fits",
            size.div_ceil(1024),
            state.div_ceil(1024),
            limit / 1024
        ),
        "remove its state.corrupt-... keys or what else is in it, reset what need not be remembered, or keep the state in a file",
    ))
}

fn locked(message: String) -> Failure {
    Failure::new(Kind::Locked, message).hint("it ends by itself; start this one again then")
}

fn changed_meanwhile(map: &ConfigMap) -> Failure {
    locked(format!("another run holds the state configmap:{map}: it was changed after this run had read it"))
}

fn now() -> Timestamp {
    Timestamp::from(SystemTime::now())
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn an_empty_configmap_has_no_state_however_empty_it_is() {
        for object in [
            json!({"kind": "ConfigMap"}),
            json!({"data": null}),
            json!({"data": {}}),
            json!({"data": {"state.json": ""}}),
            json!({"data": {"state.json": "\n"}}),
        ] {
            assert_eq!(state_of(&object), None, "{object}");
            assert_eq!(state_of(&with_state(object, "x")), Some("x"));
        }
    }

    #[test]
    fn everything_else_in_the_object_stays() {
        let before = json!({
            "metadata": {"labels": {"a": "b"}, "resourceVersion": "7"}, "immutable": false,
            "data": {"other": "1", "state.json": "2"}, "binaryData": {"b": "AAAA"}
        });
        let mut expected = before.clone();
        expected["data"]["state.json"] = "3".into();
        assert_eq!(with_state(before.clone(), "3"), expected);
        let (aside, key) = without_state(before.clone(), Timestamp::from_millis(0));
        assert_eq!(key, "state.corrupt-19700101T000000Z");
        assert_eq!(aside["data"], json!({"other": "1", "state.corrupt-19700101T000000Z": "2"}));
        let (again, key) = without_state(with_state(aside, "4"), Timestamp::from_millis(0));
        assert_eq!(key, "state.corrupt-19700101T000000Z_", "the earlier one is not overwritten");
        assert_eq!(again["data"].as_object().unwrap().len(), 3);
    }

    #[test]
    fn sizes_are_those_that_the_api_server_counts() {
        assert_eq!(
            size_of(&json!({"data": {"long-key": "abc", "b": "\u{e9}"}, "binaryData": {"c": "AAAAAAAA"}})),
            11
        );
        assert_eq!(size_of(&json!({"data": null})), 0);
    }

    #[test]
    fn a_claim_is_in_force_until_its_end_and_never_for_days() {
        let lease = |until| Lease { holder: String::new(), expires_at: Timestamp::from_millis(until) };
        let now = Timestamp::from_millis(1_000_000_000);
        let hour = 60 * 60 * 1000;
        for (until, expected) in [
            (999_999_999, false),
            (1_000_000_000, false),
            (1_000_000_001, true),
            (1_000_000_000 + hour, true),
            (1_000_000_000 + hour + 5 * 60 * 1000, true),
            (1_000_000_000 + hour + 5 * 60 * 1000 + 1, false),
            (u64::MAX, false),
        ] {
            assert_eq!(in_force(&lease(until), now), expected, "{until}");
        }
    }
}
