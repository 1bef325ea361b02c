//! The one broker of a test run: KRaft, a single node, on loopback, shared by every worker.
//!
//! It owns the broker's settings and its start. Workers keep apart by their group and by the names of their
//! topics.

use std::fs;
use std::net::TcpStream;
use std::path::Path;
use std::process::Command;
use std::sync::OnceLock;

use crate::jars;
use crate::jvm::{self, Jvm};

pub struct Broker {
    pub address: String,
    _jvm: Jvm,
}

/// The broker, started by whoever asks first.
pub fn broker() -> &'static Broker {
    static BROKER: OnceLock<Broker> = OnceLock::new();
    BROKER.get_or_init(|| jvm::with_ports("the broker", start))
}

/// Writes one record, and waits until the broker has it.
pub fn write(topic: &str, key: &str, value: &str) {
    let file = jvm::new_folder("write").join("Write.java");
    fs::write(&file, include_str!("plugin/Write.java")).expect("write the program's source");
    let output = Command::new("java")
        .args(["-XX:TieredStopAtLevel=1", "-XX:+UseSerialGC", "-cp"])
        .arg(jars::broker_jars().join("*"))
        .arg(file)
        .args([&broker().address, topic, key, value])
        .output()
        .expect("run java");
    assert!(output.status.success(), "no record was written: {}", String::from_utf8_lossy(&output.stderr));
}

fn start([port, controller]: [u16; 2]) -> Option<Broker> {
    let jars = jars::broker_jars();
    let folder = jvm::new_folder("broker");
    let settings = folder.join("broker.properties");
    fs::write(&settings, properties(port, controller, &folder)).expect("write the broker's settings");
    format_storage(&jars, &settings);

    let mut jvm = Jvm::start(
        "the broker",
        384,
        &jars,
        &[
            "-Dorg.slf4j.simpleLogger.defaultLogLevel=warn".to_owned(),
            "kafka.Kafka".to_owned(),
            settings.display().to_string(),
        ],
        &folder,
    );
    let log = jvm.log.clone();
    let listens = jvm.until("the broker to listen", || {
        if log.says_port_taken() {
            return Ok(false);
        }
        TcpStream::connect(("127.0.0.1", port)).map(|_| true).map_err(|error| error.to_string())
    });
    listens.then(|| Broker { address: format!("127.0.0.1:{port}"), _jvm: jvm })
}

fn properties(port: u16, controller: u16, folder: &Path) -> String {
    format!(
        "process.roles=broker,controller\n\
         node.id=1\n\
         controller.quorum.voters=1@127.0.0.1:{controller}\n\
         listeners=PLAINTEXT://127.0.0.1:{port},CONTROLLER://127.0.0.1:{controller}\n\
         advertised.listeners=PLAINTEXT://127.0.0.1:{port}\n\
         controller.listener.names=CONTROLLER\n\
         listener.security.protocol.map=CONTROLLER:PLAINTEXT,PLAINTEXT:PLAINTEXT\n\
         inter.broker.listener.name=PLAINTEXT\n\
         log.dirs={}\n\
         offsets.topic.replication.factor=1\n\
         offsets.topic.num.partitions=1\n\
         transaction.state.log.replication.factor=1\n\
         transaction.state.log.min.isr=1\n\
         group.initial.rebalance.delay.ms=0\n",
        folder.join("topics").display()
    )
}

fn format_storage(jars: &Path, settings: &Path) {
    // Any 16 bytes in base64: the cluster's id only has to be the same for as long as the folder lives.
    let output = Command::new("java")
        .args(["-XX:TieredStopAtLevel=1", "-XX:+UseSerialGC", "-cp"])
        .arg(jars.join("*"))
        .args(["kafka.tools.StorageTool", "format", "-t", "Z3VhcmRpYW4tZTJlLXRlcw", "-c"])
        .arg(settings)
        .output()
        .expect("run the storage tool");
    assert!(
        output.status.success(),
        "the broker's folder could not be formatted:\n{}{}",
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    );
}
