//! The promises of the store, tested over each place that a state can have: a file, a ConfigMap, and a ConfigMap in a
//! real cluster. What only one of them promises is in `disk` and `configmap`.

use std::path::Path;
use std::process::Command;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, SystemTime};

use connector_guardian::decide::ledger::Ledger;
use connector_guardian::decide::model::InstanceId;
use connector_guardian::decide::time::Timestamp;
use connector_guardian::exit::{Failure, Kind};
use connector_guardian::http::{Authorization, Secret, TrustedCas};
use connector_guardian::store::{ConfigMap, Loaded, Opened, Place, ServiceAccount, Store, open, peek};

use serde_json::{Value, json};

use crate::kubernetes::{FakeApi, TOKEN};

/// Reads the state of the cluster `test` in this file, for a test that is not async.
pub(crate) fn look(path: &Path) -> Result<Loaded, Failure> {
    let runtime = tokio::runtime::Builder::new_current_thread().build().expect("a runtime");
    runtime.block_on(peek(&Place::File(path.to_owned()), "test"))
}

/// A place for the state, and a view of it from outside.
trait Home {
    fn new() -> Self;
    fn place(&self) -> Place;
    /// What is kept as the state.
    fn text(&self) -> Option<String>;
    fn put(&self, text: &str);
    /// What was set aside.
    fn aside(&self) -> Vec<String>;
}

struct File(tempfile::TempDir);

impl Home for File {
    fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    fn place(&self) -> Place {
        Place::File(self.0.path().join("state.json"))
    }

    fn text(&self) -> Option<String> {
        std::fs::read_to_string(self.0.path().join("state.json")).ok()
    }

    fn put(&self, text: &str) {
        std::fs::write(self.0.path().join("state.json"), text).unwrap();
    }

    fn aside(&self) -> Vec<String> {
        let entries = std::fs::read_dir(self.0.path()).unwrap().map(|entry| entry.unwrap().path());
        let aside = entries.filter(|path| path.to_string_lossy().contains("corrupt"));
        aside.map(|path| std::fs::read_to_string(path).unwrap()).collect()
    }
}

struct Map(FakeApi);

impl Home for Map {
    fn new() -> Self {
        Self(FakeApi::start())
    }

    fn place(&self) -> Place {
        Place::ConfigMap(Box::new(ConfigMap {
            name: "guardian-state".to_owned(),
            namespace: "connect".to_owned(),
            account: ServiceAccount {
                server: format!("https://127.0.0.1:{}", self.0.port()).parse().unwrap(),
                authorization: Authorization::Bearer(Secret::from(TOKEN.to_owned())),
                trusted: TrustedCas::from_pem(self.0.ca_pem().as_bytes()).unwrap(),
                folder: self.0.folder().to_owned(),
                holder: "a test".to_owned(),
            },
        }))
    }

    fn text(&self) -> Option<String> {
        self.0.data("state.json")
    }

    fn put(&self, text: &str) {
        self.0.edit(|object| object["data"]["state.json"] = text.into());
    }

    fn aside(&self) -> Vec<String> {
        let object = self.0.object();
        let data = object["data"].as_object().cloned().unwrap_or_default();
        let aside = data.iter().filter(|(key, _)| key.contains("corrupt"));
        aside.map(|(_, text)| text.as_str().unwrap().to_owned()).collect()
    }
}

/// In a real cluster, made and read by a `kubectl` that may do so, and reached by guardian as in a pod: by
/// `KUBERNETES_SERVICE_HOST`, `KUBERNETES_SERVICE_PORT` and `GUARDIAN_SERVICEACCOUNT_DIR`. All promises were seen to
/// hold with kube-apiserver 1.20 over etcd 3.4, with RBAC; run them by `cargo test --test it -- --ignored real_cluster`.
struct Real {
    name: String,
}

impl Real {
    fn account(file: &str) -> String {
        let folder = std::env::var("GUARDIAN_SERVICEACCOUNT_DIR").unwrap();
        std::fs::read_to_string(Path::new(&folder).join(file)).unwrap().trim().to_owned()
    }

    fn kubectl(&self, verb: &[&str], more: &[&str]) -> String {
        let namespace = Self::account("namespace");
        let name = [self.name.as_str(), "--namespace", namespace.as_str()];
        let output =
            Command::new("kubectl").args(verb).arg("configmap").args(name).args(more).output().unwrap();
        assert!(output.status.success(), "{verb:?}: {output:?}");
        String::from_utf8(output.stdout).unwrap()
    }

    fn data(&self) -> serde_json::Map<String, Value> {
        let object: Value = serde_json::from_str(&self.kubectl(&["get"], &["--output", "json"])).unwrap();
        object["data"].as_object().cloned().unwrap_or_default()
    }
}

impl Home for Real {
    fn new() -> Self {
        static NUMBER: AtomicU32 = AtomicU32::new(0);
        let number = NUMBER.fetch_add(1, Ordering::SeqCst);
        let real = Self { name: format!("guardian-test-{}-{number}", std::process::id()) };
        real.kubectl(&["create"], &[]);
        real
    }

    fn place(&self) -> Place {
        let variable = |name| std::env::var(name).unwrap();
        let server = format!(
            "https://{}:{}",
            variable("KUBERNETES_SERVICE_HOST"),
            variable("KUBERNETES_SERVICE_PORT")
        );
        Place::ConfigMap(Box::new(ConfigMap {
            name: self.name.clone(),
            namespace: Self::account("namespace"),
            account: ServiceAccount {
                server: server.parse().unwrap(),
                authorization: Authorization::Bearer(Secret::from(Self::account("token"))),
                trusted: TrustedCas::from_pem(Self::account("ca.crt").as_bytes()).unwrap(),
                folder: variable("GUARDIAN_SERVICEACCOUNT_DIR").into(),
                holder: "a test".to_owned(),
            },
        }))
    }

    fn text(&self) -> Option<String> {
        Some(self.data().get("state.json")?.as_str()?.to_owned())
    }

    fn put(&self, text: &str) {
        let patch = json!({"data": {"state.json": text}}).to_string();
        self.kubectl(&["patch"], &["--type", "merge", "--patch", &patch]);
    }

    fn aside(&self) -> Vec<String> {
        let data = self.data();
        let aside = data.iter().filter(|(key, _)| key.contains("corrupt"));
        aside.map(|(_, text)| text.as_str().unwrap().to_owned()).collect()
    }
}

impl Drop for Real {
    fn drop(&mut self) {
        self.kubectl(&["delete"], &[]);
    }
}

macro_rules! each_place {
    ($($promise:ident),+ $(,)?) => {
        mod in_a_file {
            $(#[tokio::test] async fn $promise() { super::$promise(&super::Home::new() as &super::File).await; })+
        }
        mod in_a_configmap {
            $(#[tokio::test] async fn $promise() { super::$promise(&super::Home::new() as &super::Map).await; })+
        }
        mod in_a_real_cluster {
            $(#[tokio::test]
            #[ignore = "needs a Kubernetes API server, kubectl, and a service account's folder"]
            async fn $promise() { super::$promise(&super::Home::new() as &super::Real).await; })+
        }
    };
}

each_place!(
    nothing_yet_is_an_empty_ledger_and_looking_writes_nothing,
    the_settled_ledger_is_what_is_loaded,
    one_run_at_a_time,
    an_open_that_may_wait_waits_for_the_other_run,
    the_charge_of_a_dead_run_is_kept,
    a_state_that_was_edited_on_windows_is_used,
    a_corrupt_state_is_set_aside_once_and_never_by_a_look,
    a_newer_state_or_one_of_another_cluster_is_refused_and_left_untouched,
    a_charge_with_an_expired_claim_blocks_nobody,
);

fn now() -> Timestamp {
    SystemTime::now().into()
}

fn soon(millis: u64) -> Timestamp {
    now().plus(Duration::from_millis(millis))
}

fn charged(run: u64, names: &[&str]) -> Ledger {
    let mut ledger = Ledger { run, ..Ledger::default() };
    for name in names {
        ledger.charge(&InstanceId::task(name, 1), Timestamp::from_millis(1000));
    }
    ledger
}

/// Opens it, with a wait: a program that another test starts just now has the lock's file open until its `exec`.
async fn opened(home: &impl Home) -> Result<Opened, Failure> {
    open(&home.place(), "c", Duration::from_secs(5)).await
}

async fn loaded(home: &impl Home) -> Ledger {
    let loaded = opened(home).await.unwrap().load().await.unwrap();
    assert_eq!(loaded.warning, None);
    assert_eq!(peek(&home.place(), "c").await.unwrap(), loaded);
    loaded.ledger
}

async fn nothing_yet_is_an_empty_ledger_and_looking_writes_nothing(home: &impl Home) {
    assert_eq!(loaded(home).await, Ledger::default());
    assert_eq!(home.text(), None);
}

async fn the_settled_ledger_is_what_is_loaded(home: &impl Home) {
    let mut store = opened(home).await.unwrap();
    store.load().await.unwrap();
    store.charge(&charged(1, &["a", "b"]), soon(60_000)).await.unwrap();
    store.save(&charged(1, &["a"])).await.unwrap();
    drop(store);
    assert_eq!(loaded(home).await, charged(1, &["a"]));
    // Without a charge, and twice.
    let mut store = opened(home).await.unwrap();
    store.load().await.unwrap();
    store.save(&charged(2, &["a", "c"])).await.unwrap();
    store.save(&charged(2, &["c"])).await.unwrap();
    drop(store);
    assert_eq!(loaded(home).await, charged(2, &["c"]));
}

async fn one_run_at_a_time(home: &impl Home) {
    let mut first = opened(home).await.unwrap();
    first.load().await.unwrap();
    first.charge(&charged(1, &["a"]), soon(60_000)).await.unwrap();
    let refused = open(&home.place(), "c", Duration::ZERO).await.unwrap_err();
    assert_eq!(refused.kind, Kind::Locked);
    assert!(refused.message().contains("another run holds the state"), "{refused:?}");
    assert_eq!(peek(&home.place(), "c").await.unwrap().ledger, charged(1, &["a"]), "a look needs no lock");
    first.save(&charged(1, &["a"])).await.unwrap();
    drop(first);
    assert!(opened(home).await.is_ok());
}

async fn an_open_that_may_wait_waits_for_the_other_run(home: &impl Home) {
    let mut first = opened(home).await.unwrap();
    first.load().await.unwrap();
    first.charge(&charged(1, &["a", "b"]), soon(60_000)).await.unwrap();
    let ending = async {
        tokio::time::sleep(Duration::from_millis(300)).await;
        first.save(&charged(1, &["a"])).await.unwrap();
        drop(first);
    };
    let place = home.place();
    let (second, ()) = tokio::join!(open(&place, "c", Duration::from_secs(9)), ending);
    assert_eq!(second.unwrap().load().await.unwrap().ledger, charged(1, &["a"]));
}

async fn the_charge_of_a_dead_run_is_kept(home: &impl Home) {
    let mut dies = opened(home).await.unwrap();
    dies.load().await.unwrap();
    dies.charge(&charged(1, &["a"]), soon(700)).await.unwrap();
    drop(dies);
    let mut next = open(&home.place(), "c", Duration::from_secs(9)).await.unwrap();
    assert_eq!(next.load().await.unwrap().ledger, charged(1, &["a"]));
}

/// A byte-order mark and CRLF (microsoft/playwright#39420, getpaseo/paseo#4695: PowerShell and Notepad write them).
async fn a_state_that_was_edited_on_windows_is_used(home: &impl Home) {
    opened(home).await.unwrap().save(&charged(3, &["a", "b"])).await.unwrap();
    let text = home.text().unwrap();
    home.put(&format!("\u{feff}{}", text.replace('\n', "\r\n")));
    for found in [peek(&home.place(), "c").await.unwrap(), opened(home).await.unwrap().load().await.unwrap()]
    {
        assert_eq!((found.ledger, found.warning), (charged(3, &["a", "b"]), None));
    }
    assert_eq!(home.aside(), Vec::<String>::new());
    opened(home).await.unwrap().save(&charged(4, &["a"])).await.unwrap();
    assert!(!home.text().unwrap().contains(['\u{feff}', '\r']), "and gone with the next write");
}

async fn a_corrupt_state_is_set_aside_once_and_never_by_a_look(home: &impl Home) {
    // Within one second, so that their names must differ by more than their time.
    for (round, text) in ["{\"version\":1,", "[", "not even JSON"].into_iter().enumerate() {
        home.put(text);
        let seen = peek(&home.place(), "c").await.unwrap();
        assert!(seen.warning.unwrap().contains("the next run sets it aside"));
        assert_eq!((home.text().as_deref(), home.aside().len()), (Some(text), round));
        let found = opened(home).await.unwrap().load().await.unwrap();
        assert_eq!(found.ledger, Ledger::default());
        assert!(found.warning.unwrap().contains("it is kept"));
        assert_eq!(home.text(), None);
        assert!(home.aside().contains(&text.to_owned()), "{:?}", home.aside());
        assert_eq!(home.aside().len(), round + 1, "the one before is still there");
        let mut store = opened(home).await.unwrap();
        assert_eq!(store.load().await.unwrap().warning, None, "said once");
        store.save(&charged(1, &["a"])).await.unwrap();
        drop(store);
        assert_eq!(loaded(home).await, charged(1, &["a"]));
    }
}

async fn a_newer_state_or_one_of_another_cluster_is_refused_and_left_untouched(home: &impl Home) {
    for (text, kind, says, remedy) in [
        (
            "{\"version\":4,\"cluster\":\"c\",\"run\":1,\"instances\":[]}",
            Kind::State,
            "newer guardian (format 4)",
            "another GUARDIAN_STATE",
        ),
        // The version may be all that an older guardian understands.
        (
            "{\"version\":7,\"cluster\":{\"name\":\"c\"},\"everything\":\"else\"}",
            Kind::State,
            "newer guardian (format 7)",
            "another GUARDIAN_STATE",
        ),
        (
            "{\"version\":1,\"cluster\":\"d\",\"run\":1,\"instances\":[]}",
            Kind::Usage,
            "of the cluster \"d\"",
            "--cluster",
        ),
    ] {
        home.put(text);
        let refused = opened(home).await.unwrap().load().await.unwrap_err();
        assert_eq!(refused.kind, kind);
        assert!(refused.message().contains(says), "{refused:?}");
        assert!(format!("{refused:?}").contains(remedy), "{refused:?}");
        assert_eq!(peek(&home.place(), "c").await.unwrap_err().to_string(), refused.to_string());
        assert_eq!((home.text().as_deref(), home.aside()), (Some(text), Vec::new()));
    }
}

async fn a_charge_with_an_expired_claim_blocks_nobody(home: &impl Home) {
    let mut person = opened(home).await.unwrap();
    person.load().await.unwrap();
    person.charge(&charged(1, &["a"]), Timestamp::default()).await.unwrap();
    drop(person);
    assert_eq!(loaded(home).await, charged(1, &["a"]));
}
