//! Which setting the name of a variable stands for, if it is one or was meant to be one. Other programs have names of their
//! own in the same environment, so it must not see a likeness where there is none; values it does not see at all.

use strsim::{jaro_winkler, osa_distance};

use crate::cli::{self, SETTINGS};

/// Nobody else's variables begin so.
pub(super) const OURS: &str = "GUARDIAN_";
/// Kafka Connect's images and charts have such variables, too.
const CONNECT: &str = "KAFKA_CONNECT_";

/// `PASSWORD` is like `PASS` by 0.90, `CERT` like `CERT_FILE` by 0.89; `METRICS` like none by more than 0.7.
const ALIKE: f64 = 0.88;
/// Letters that a hand may miss in a whole name.
const SLIPS: usize = 2;

/// The variable that this one is, or that it may have been meant for.
pub(super) fn setting(name: &str) -> Option<&'static str> {
    let all = || SETTINGS.iter().flat_map(|setting| setting.env.iter().copied());
    if let Some(known) = all().find(|known| *known == name) {
        return Some(known);
    }
    let name = name.to_ascii_uppercase();
    let compared = |known: &'static str| {
        let alike = match (name.strip_prefix(OURS), name.strip_prefix(CONNECT), known.strip_prefix(CONNECT)) {
            // `GUARDIAN_MAX_RESTART`, `GUARDIAN_URL`: it is for guardian, under whatever name.
            (Some(rest), _, _) => likeness(rest, without_prefix(known)),
            (None, Some(rest), Some(known)) => likeness(rest, known),
            // LOGLEVEL and its like are everybody's.
            (None, None, _) if cli::LOG_LEVEL.env.contains(&known) => 0.0,
            (None, None, _) if osa_distance(&name, known) <= SLIPS => jaro_winkler(&name, known),
            _ => 0.0,
        };
        (alike, known)
    };
    let alike = all().map(compared).filter(|(alike, _)| *alike >= ALIKE);
    alike.max_by(|(one, _), (other, _)| one.total_cmp(other)).map(|(_, known)| known)
}

/// One slip is likeness enough, also in three letters.
fn likeness(rest: &str, known: &str) -> f64 {
    let alike = jaro_winkler(rest, known);
    if osa_distance(rest, known) <= 1 { alike.max(ALIKE) } else { alike }
}

fn without_prefix(known: &str) -> &str {
    [OURS, CONNECT].iter().find_map(|prefix| known.strip_prefix(prefix)).unwrap_or(known)
}
