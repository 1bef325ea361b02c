//! Text from outside made fit to be shown: one line that no terminal obeys, not
//! too long, without the secrets that `secrets` finds. What the text means is
//! not known here.

use std::borrow::Cow;
use std::collections::HashSet;
use std::fmt;
use std::sync::Arc;

use super::secrets::mask_secrets;

/// Longer causes are cut here: a table's row and a ledger of thousands of
/// failures must stay readable.
pub(super) const LONGEST: usize = 300;
/// So much of a line is looked at: an exception may quote a whole record, and
/// the search for secrets takes the square of the length.
const LOOKED_AT: usize = 8 * LONGEST;

/// A line as it may be shown: printable, without secrets, cut.
pub fn one_line(line: &str) -> String {
    let line = sanitize(line);
    let line = cut(line.trim(), LOOKED_AT);
    cut(&mask_secrets(&line), LONGEST)
}

/// The text without control characters and without the characters that turn or
/// hide text on a terminal (bidirectional overrides, zero-width marks).
pub fn sanitize(text: &str) -> Cow<'_, str> {
    if text.chars().any(moves_text) {
        Cow::Owned(text.chars().filter(|c| !moves_text(*c)).collect())
    } else {
        Cow::Borrowed(text)
    }
}

fn moves_text(c: char) -> bool {
    c.is_control()
        || matches!(c, '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}' | '\u{feff}')
}

/// The text, cut to `longest` characters with an ellipsis.
pub fn cut(text: &str, longest: usize) -> String {
    if text.chars().count() <= longest {
        return text.to_owned();
    }
    let mut kept: String = text.chars().take(longest.saturating_sub(1)).collect();
    kept.push('…');
    kept
}

/// Some by name, and how many there are beside them: `a, b and 3 more`.
pub fn name_some<T: fmt::Display>(all: impl IntoIterator<Item = T>, most: usize) -> String {
    let mut all = all.into_iter();
    let named: Vec<String> =
        all.by_ref().take(most).map(|one| sanitize(&one.to_string()).into_owned()).collect();
    match all.count() {
        0 => named.join(", "),
        more => format!("{} and {more} more", named.join(", ")),
    }
}

/// Keeps one copy of each text: in an outage thousands of tasks share a cause.
#[derive(Debug, Default)]
pub struct Interner<'a> {
    known: Option<&'a HashSet<Arc<str>>>,
    new: HashSet<Arc<str>>,
}

impl<'a> Interner<'a> {
    /// One that shares also what is known already.
    pub fn knowing(known: &'a HashSet<Arc<str>>) -> Self {
        Self { known: Some(known), new: HashSet::new() }
    }

    pub fn get(&mut self, text: &str) -> Arc<str> {
        if let Some(shared) = self.known.and_then(|known| known.get(text)).or_else(|| self.new.get(text)) {
            return Arc::clone(shared);
        }
        let new: Arc<str> = text.into();
        self.new.insert(Arc::clone(&new));
        new
    }
}
