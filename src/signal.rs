//! SIGTERM and SIGINT: the first asks a run to end in order (Kubernetes and
//! systemd send SIGTERM, a person presses Ctrl-C), the second not to wait for
//! requests in flight. Whoever insists, or whatever hangs, ends at once.

use std::io;
use std::time::Duration;

use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::watch;

/// What was asked for, if a signal came.
pub type Interrupt = watch::Receiver<Option<Signalled>>;

/// That this process is to end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Signalled {
    /// The number of the first signal.
    pub number: u8,
    /// A second one came.
    pub urgent: bool,
}

/// After a second signal, saving gets this long.
const URGENT: Duration = Duration::from_secs(1);

const SIGINT: u8 = 2;
const SIGTERM: u8 = 15;

/// Listens from now on.
///
/// # Errors
/// When the system refuses a handler.
pub fn listen() -> io::Result<Interrupt> {
    let interrupt = signal(SignalKind::interrupt())?;
    let terminate = signal(SignalKind::terminate())?;
    let (sender, receiver) = watch::channel(None);
    tokio::spawn(forward(interrupt, terminate, sender));
    Ok(receiver)
}

/// Waits for the first signal and returns its number.
pub async fn interrupted(interrupt: &mut Interrupt) -> u8 {
    match interrupt.wait_for(Option::is_some).await.map(|signalled| *signalled) {
        Ok(Some(signalled)) => signalled.number,
        // Nobody can send one any more.
        _ => std::future::pending().await,
    }
}

/// Waits for the second signal.
pub async fn interrupted_again(interrupt: &mut Interrupt) {
    let urgent = interrupt.wait_for(|signalled| signalled.is_some_and(|signalled| signalled.urgent));
    if urgent.await.is_err() {
        std::future::pending::<()>().await;
    }
}

async fn forward(mut interrupt: Signal, mut terminate: Signal, sender: watch::Sender<Option<Signalled>>) {
    let mut next = async || {
        tokio::select! {
            _ = interrupt.recv() => SIGINT,
            _ = terminate.recv() => SIGTERM,
        }
    };
    let number = next().await;
    sender.send_replace(Some(Signalled { number, urgent: false }));
    next().await;
    sender.send_replace(Some(Signalled { number, urgent: true }));
    let _ = tokio::time::timeout(URGENT, next()).await;
    // What was charged is on disk.
    #[expect(clippy::exit, reason = "nothing may delay it any longer")]
    std::process::exit(i32::from(number).saturating_add(128));
}
