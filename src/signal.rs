//! SIGTERM and SIGINT: the first asks a run to end in order (Kubernetes and
//! systemd send SIGTERM, a person presses Ctrl-C), the second ends it at once.

use std::io;

use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::watch;

/// The number of the signal that came, if one did.
pub type Interrupt = watch::Receiver<Option<u8>>;

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

async fn forward(mut interrupt: Signal, mut terminate: Signal, sender: watch::Sender<Option<u8>>) {
    loop {
        let number = tokio::select! {
            _ = interrupt.recv() => SIGINT,
            _ = terminate.recv() => SIGTERM,
        };
        if sender.borrow().is_some() {
            // What was charged is on disk; whoever asks twice wants it to end.
            #[expect(clippy::exit, reason = "nothing may delay the second signal")]
            std::process::exit(i32::from(number).saturating_add(128));
        }
        sender.send_replace(Some(number));
    }
}
