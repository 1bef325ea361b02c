//! Text from outside made fit to be shown: one line that no terminal obeys, not
//! too long, without the secrets that `secrets` finds; a name so that it can be
//! told from every other. What the text means is not known here.

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

/// A connector's name as it is shown: what nobody could see in it (`orders\u{200b}sink`, blanks at its ends) is written
/// out, and so is a backslash that would look like that, so that no two names look alike. [`read_name`] undoes it.
pub fn show_name(name: &str) -> Cow<'_, str> {
    let from = name.len().saturating_sub(name.trim_start_matches(' ').len());
    let to = name.trim_end_matches(' ').len();
    let written_out = |(at, c): (usize, char)| match c {
        ' ' => at < from || at >= to,
        '\\' => name.get(at..).is_some_and(|rest| rest.starts_with(ESCAPE)),
        c => is_unseen(c),
    };
    if !name.char_indices().any(written_out) {
        return Cow::Borrowed(name);
    }
    let shown = name
        .char_indices()
        .map(|(at, c)| if written_out((at, c)) { c.escape_unicode().to_string() } else { c.to_string() });
    Cow::Owned(shown.collect())
}

/// The name that is shown so.
pub fn read_name(shown: &str) -> Cow<'_, str> {
    if !shown.contains(ESCAPE) {
        return Cow::Borrowed(shown);
    }
    let (mut name, mut rest) = (String::with_capacity(shown.len()), shown);
    while let Some((before, behind)) = rest.split_once(ESCAPE) {
        name.push_str(before);
        let escaped = behind.split_once('}').and_then(|(number, behind)| {
            Some((char::from_u32(u32::from_str_radix(number, 16).ok()?)?, behind))
        });
        if let Some((c, behind)) = escaped {
            name.push(c);
            rest = behind;
        } else {
            name.push_str(ESCAPE);
            rest = behind;
        }
    }
    name.push_str(rest);
    Cow::Owned(name)
}

/// With what a written-out character begins.
const ESCAPE: &str = "\\u{";

/// Blanks that are none on a keyboard, and what has no width or moves what stands beside it (Unicode's
/// `Default_Ignorable_Code_Point`, but for the variation selectors of emoji).
pub fn is_unseen(c: char) -> bool {
    moves_text(c)
        || c != ' ' && c.is_whitespace()
        || matches!(c,
            '\u{ad}' | '\u{34f}' | '\u{61c}' | '\u{115f}'..='\u{1160}' | '\u{17b4}'..='\u{17b5}'
            | '\u{180b}'..='\u{180f}' | '\u{2060}'..='\u{206f}' | '\u{3164}' | '\u{ffa0}'
            | '\u{fff0}'..='\u{fffb}' | '\u{1bca0}'..='\u{1bca3}' | '\u{1d173}'..='\u{1d17a}'
            | '\u{e0000}'..='\u{e0fff}')
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

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_name_shows_what_nobody_could_see_in_it() {
        for (name, shown) in [
            ("orders-sink", "orders-sink"),
            ("ü ñ 日本 \u{1f600}", "ü ñ 日本 \u{1f600}"),
            ("orders\u{200b}sink", r"orders\u{200b}sink"),
            ("orders\t", r"orders\u{9}"),
            (" orders  ", r"\u{20}orders\u{20}\u{20}"),
            ("  ", r"\u{20}\u{20}"),
            ("a\u{a0}b\u{3000}", r"a\u{a0}b\u{3000}"),
            ("\u{202e}a\u{61c}\u{1b}[31m\n", r"\u{202e}a\u{61c}\u{1b}[31m\u{a}"),
            (r"a\temp\u", r"a\temp\u"),
            (r"orders\u{200b}", r"orders\u{5c}u{200b}"),
            (r"\u{", r"\u{5c}u{"),
        ] {
            assert_eq!(show_name(name), shown);
            assert_eq!(read_name(shown), name);
        }
        assert_eq!(read_name(r"a\u{}\u{110000}\u{x"), r"a\u{}\u{110000}\u{x");
    }

    proptest! {
        #[test]
        fn a_name_is_read_as_it_is_shown(
            name in "([ -~]|\\\\u\\{[0-9a-f]{1,3}\\}|[\\\\u{}]|[\u{200b}\t\u{20}\u{fe0f}日]|\\PC){0,12}",
        ) {
            let shown = show_name(&name).into_owned();
            prop_assert_eq!(read_name(&shown), name.as_str());
            prop_assert_eq!(sanitize(&shown), shown.as_str());
            prop_assert_eq!(shown.trim(), shown.as_str());
        }
    }
}
