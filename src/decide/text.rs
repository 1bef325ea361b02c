//! Text from outside made fit to be shown: one line that no terminal obeys, not
//! too long, without the secrets that `secrets` finds. What the text means is
//! not known here.

use std::borrow::Cow;
use std::fmt;

use super::secrets::mask_secrets;

/// Longer causes are cut here: a table's row and a ledger of thousands of
/// failures must stay readable.
pub(super) const LONGEST: usize = 300;

/// So much of a text's head, and of its end, is looked at: far more than is shown, because a secret that began before this
/// could not be told, and few enough that the search for secrets takes no time.
const LOOKED_AT: usize = 8 * 1024;

/// A line as it may be shown: printable, without secrets, at most 300 characters; a longer one loses its middle, because
/// the class stands at its beginning and what to do at its end.
pub fn one_line(line: &str) -> String {
    let line = sanitize(line);
    let masked = mask_secrets(&looked_at(line.trim()));
    let count = masked.chars().count();
    if count <= LONGEST {
        return masked;
    }
    let tail = 170; // Debezium says there what to do, in up to 160.
    let head = LONGEST.saturating_sub(tail).saturating_sub(1);
    let kept = masked.chars().take(head).chain(['…']);
    kept.chain(masked.chars().skip(count.saturating_sub(tail))).collect()
}

/// The head and the end of a text that may be very long: an exception may quote a whole record. The end begins with a
/// whole word, for half of a secret could not be told.
pub(super) fn looked_at(text: &str) -> String {
    if text.len() <= LOOKED_AT.saturating_mul(2) {
        return text.to_owned();
    }
    let boundary = |at: usize| (0..=at).rev().find(|at| text.is_char_boundary(*at)).unwrap_or_default();
    let (head, tail) = (boundary(LOOKED_AT), boundary(text.len().saturating_sub(LOOKED_AT)));
    let end = text.get(tail..).and_then(|end| end.split_once(char::is_whitespace)).map_or("", |(_, end)| end);
    format!("{} … {end}", text.get(..head).unwrap_or_default())
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
