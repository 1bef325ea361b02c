//! Text from outside made fit to be shown: one line that no terminal obeys, not
//! too long, without the secrets that `secrets` finds. What the text means is
//! not known here.

use std::borrow::Cow;

use super::secrets::mask_secrets;

/// Longer causes are cut here: a table's row and a ledger of thousands of
/// failures must stay readable.
pub(super) const LONGEST: usize = 300;
/// So much of a line is looked at: an exception may quote a whole record, and
/// the search for secrets takes the square of the length.
const LOOKED_AT: usize = 8 * LONGEST;

/// A line as it may be shown: sanitized, without secrets, cut.
#[must_use]
pub fn one_line(line: &str) -> String {
    let line = sanitize(line);
    let line = cut(line.trim(), LOOKED_AT);
    cut(&mask_secrets(&line), LONGEST)
}

/// The text without control characters and without the characters that turn or
/// hide text on a terminal (bidirectional overrides, zero-width marks).
#[must_use]
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
#[must_use]
pub fn cut(text: &str, longest: usize) -> String {
    if text.chars().count() <= longest {
        return text.to_owned();
    }
    let mut kept: String = text.chars().take(longest.saturating_sub(1)).collect();
    kept.push('…');
    kept
}
