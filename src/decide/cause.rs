//! From a Java stack trace to the one line that says why: its root cause,
//! without control characters and without passwords. The trace vanishes from
//! Connect as soon as the instance restarts, so this line is all that is kept.

use std::borrow::Cow;
use std::cmp::Reverse;

/// Longer causes are cut here: a table's row and a ledger of thousands of
/// failures must stay readable.
const LONGEST: usize = 300;
/// So much of a line is looked at: an exception may quote a whole record, and
/// the search for secrets takes the square of the length.
const LOOKED_AT: usize = 8 * LONGEST;

/// The root cause of a Java stack trace: the last `Caused by:` line of the
/// outermost chain, else the first line that says anything; `None` for a trace
/// of blanks. An indented `Caused by:` belongs to a `Suppressed:` exception
/// (`Throwable.printStackTrace`), which is no cause.
#[must_use]
pub fn root_cause(trace: &str) -> Option<String> {
    let says = |line: &str| !printable(line).trim().is_empty();
    let line = trace
        .lines()
        .filter_map(|line| line.strip_prefix("Caused by: "))
        .rfind(|rest| says(rest))
        .or_else(|| trace.lines().find(|line| says(line)))?;
    Some(brief(line))
}

/// A line as it may be shown: printable, without secrets, cut.
#[must_use]
pub fn brief(line: &str) -> String {
    let line = printable(line);
    let line = cut(line.trim(), LOOKED_AT);
    cut(&mask_secrets(&line), LONGEST)
}

/// The text without control characters and without the characters that turn or
/// hide text on a terminal (bidirectional overrides, zero-width marks).
#[must_use]
pub fn printable(text: &str) -> Cow<'_, str> {
    if text.chars().any(is_unprintable) {
        Cow::Owned(text.chars().filter(|c| !is_unprintable(*c)).collect())
    } else {
        Cow::Borrowed(text)
    }
}

fn is_unprintable(c: char) -> bool {
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

/// A key with one of these words in it has a secret behind its `=` or `:`.
const SECRET_KEYS: [&str; 10] =
    ["password", "passwd", "passphrase", "pwd", "secret", "token", "apikey", "api.key", "api_key", "api-key"];
/// What follows these words, up to the next blank, is a secret (RFC 7235, 6750).
const SECRET_SCHEMES: [&str; 2] = ["basic ", "bearer "];

/// The text with its secrets replaced by `***`: `password=...` and its kin,
/// JAAS options, `//user:pass@` in a URL, `Basic ...` and `Bearer ...`.
#[must_use]
pub fn mask_secrets(text: &str) -> String {
    // ASCII lower case keeps every byte where it was, so positions agree.
    let lower = text.to_ascii_lowercase();
    let mut masked = String::with_capacity(text.len());
    let mut rest = 0;
    while let Some((start, end)) = next_secret(&lower, rest) {
        masked.push_str(text.get(rest..start).unwrap_or_default());
        masked.push_str("***");
        rest = end;
    }
    masked.push_str(text.get(rest..).unwrap_or_default());
    masked
}

/// The next stretch of secret bytes at or after `from`.
fn next_secret(lower: &str, from: usize) -> Option<(usize, usize)> {
    let keyed = SECRET_KEYS.iter().filter_map(|key| after_key(lower, from, key));
    let schemes = SECRET_SCHEMES.iter().filter_map(|scheme| after_scheme(lower, from, scheme));
    let urls = url_password(lower, from);
    // Of two that begin together the longer one, to be on the safe side.
    keyed.chain(schemes).chain(urls).min_by_key(|(start, end)| (*start, Reverse(*end)))
}

/// `key=value`, `key: value`, `"key":"value"`, `secret.of.something = "value"`.
fn after_key(lower: &str, from: usize, key: &str) -> Option<(usize, usize)> {
    positions(lower, from, key).find_map(|found| {
        let tail = lower.get(found..)?.strip_prefix(key)?;
        let tail =
            tail.trim_start_matches(|c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '-' | '.'));
        let tail = tail.trim_start_matches(['"', '\'', '\\', ' ']);
        let value = tail.strip_prefix(['=', ':'])?.trim_start_matches(' ');
        let (value, length) = match value.chars().next()? {
            // A quoted text within a quoted text: key=\"value\".
            '\\' => (value.get(2..)?, value.get(2..)?.find('\\')),
            quote @ ('"' | '\'') => (value.get(1..)?, closing_quote(value.get(1..)?, quote)),
            _ => {
                // "token: Bearer eyJ...": the secret is behind the scheme.
                let mut secret = value;
                while let Some(behind) = SECRET_SCHEMES.iter().find_map(|scheme| secret.strip_prefix(scheme))
                {
                    secret = behind;
                }
                let end = secret.find([' ', '\t', ',', ';', '&', ')', ']', '}', '"', '\'']);
                (value, end.and_then(|end| value.len().checked_sub(secret.len())?.checked_add(end)))
            }
        };
        let start = lower.len().checked_sub(value.len())?;
        span(lower, start, length.unwrap_or(value.len()))
    })
}

/// Where the quoted text ends: at its quote, unless a backslash is before it.
fn closing_quote(value: &str, quote: char) -> Option<usize> {
    let mut escaped = false;
    value.char_indices().find_map(|(at, c)| {
        let closes = c == quote && !escaped;
        escaped = c == '\\' && !escaped;
        closes.then_some(at)
    })
}

/// `Basic dXNlcjpwYXNz`, `Bearer eyJ...`; shorter words behind it are prose.
fn after_scheme(lower: &str, from: usize, scheme: &str) -> Option<(usize, usize)> {
    positions(lower, from, scheme).find_map(|found| {
        let start = found.checked_add(scheme.len())?;
        let value = lower.get(start..)?;
        let length = value.find([' ', ',', '"', '\'']).unwrap_or(value.len());
        (length >= 8).then(|| span(lower, start, length))?
    })
}

/// The password in `scheme://user:password@host`.
fn url_password(lower: &str, from: usize) -> Option<(usize, usize)> {
    positions(lower, from, "//").find_map(|found| {
        let start = found.checked_add(2)?;
        let authority = lower.get(start..)?;
        let authority =
            authority.get(..authority.find(['/', ' ', '?', '#', '"', ',']).unwrap_or(authority.len()))?;
        let at = authority.rfind('@')?;
        let colon = authority.get(..at)?.find(':')?;
        let start = start.checked_add(colon)?.checked_add(1)?;
        span(lower, start, at.checked_sub(colon)?.checked_sub(1)?)
    })
}

fn positions<'a>(text: &'a str, from: usize, word: &'a str) -> impl Iterator<Item = usize> + 'a {
    let tail = text.get(from..).unwrap_or_default();
    tail.match_indices(word).filter_map(move |(at, _)| from.checked_add(at))
}

/// A stretch of `length` bytes, unless it is empty or masked already.
fn span(lower: &str, start: usize, length: usize) -> Option<(usize, usize)> {
    let end = start.checked_add(length)?;
    let value = lower.get(start..end)?;
    (!value.is_empty() && value != "***").then_some((start, end))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const TRACE: &str = "org.apache.kafka.connect.errors.ConnectException: Exiting WorkerSinkTask\n\
        \tat org.apache.kafka.connect.runtime.WorkerSinkTask.deliverMessages(WorkerSinkTask.java:624)\n\
        Caused by: java.sql.SQLException: could not write\n\tat Writer.java:1\n\t... 10 more\n\
        \tSuppressed: java.io.IOException: close failed\n\tCaused by: java.io.EOFException: suppressed\n\
        Caused by: java.net.ConnectException: Connection refused (db1:5432)\n\t... 24 more\n";

    #[test]
    fn the_root_cause_is_the_last_cause_of_the_outer_chain() {
        assert_eq!(root_cause(TRACE).unwrap(), "java.net.ConnectException: Connection refused (db1:5432)");
    }

    #[test]
    fn a_trace_without_causes_gives_its_first_line() {
        assert_eq!(
            root_cause("java.lang.RuntimeException\n\tat a.b(C.java:1)").unwrap(),
            "java.lang.RuntimeException"
        );
        assert_eq!(root_cause("\n\r\n  x\n").unwrap(), "x");
        assert_eq!(root_cause(" \n\t\n"), None);
        assert_eq!(root_cause(" \u{2}\n\u{200b} \n"), None, "what cannot be printed says nothing");
        assert_eq!(root_cause("first\nCaused by: \u{7}\n").unwrap(), "first");
        assert_eq!(root_cause("first\nCaused by: \n").unwrap(), "first");
    }

    #[test]
    fn a_cause_is_one_short_line_without_control_characters() {
        let cause = root_cause(&format!("a\u{1b}]0;title\u{7}b\u{202e}c {}", "x".repeat(400))).unwrap();
        assert!(cause.starts_with("a]0;titlebc x"), "{cause}");
        assert_eq!(cause.chars().count(), 300);
    }

    #[test]
    fn a_message_that_quotes_a_whole_record_takes_no_time() {
        // Each of these took more than a minute.
        for piece in ["password=a ", "password", "//a:b@ ", "Bearer abcdefgh ", "\"secret\": \""] {
            let cause = root_cause(&piece.repeat(1_000_000 / piece.len())).unwrap();
            assert!(cause.chars().count() <= LONGEST && !cause.contains("b@"), "{cause}");
        }
        let hidden = root_cause(&format!("x password={}", "hunter2".repeat(1_000_000))).unwrap();
        assert_eq!(hidden, "x password=***");
    }

    #[test]
    fn secrets_are_masked() {
        for (plain, masked) in [
            ("password=hunter2, user=x", "password=***, user=x"),
            ("PASSWORD: hunter2;", "PASSWORD: ***;"),
            ("database.password = \"hun ter2\" x", "database.password = \"***\" x"),
            (
                "PlainLoginModule required username=\"u\" password=\"p\\\"q\";",
                "PlainLoginModule required username=\"u\" password=\"***\";",
            ),
            ("{\"password\":\"p\",\"a\":1}", "{\"password\":\"***\",\"a\":1}"),
            ("jdbc:postgresql://bob:s3cret@db:5432/x", "jdbc:postgresql://bob:***@db:5432/x"),
            ("http://bob:p@ss@db/x?y", "http://bob:***@db/x?y"),
            ("http://db:5432/x@y", "http://db:5432/x@y"),
            ("Authorization: Bearer abc.def-ghi rest", "Authorization: Bearer *** rest"),
            ("invalid token: Bearer eyJhbGciOi.x, expired", "invalid token: ***, expired"),
            ("pwd: basic Bearer eyJhbGciOi.x", "pwd: ***"),
            ("//pwd:r@s", "//pwd:***"),
            ("aws_secret_access_key=AKIA", "aws_secret_access_key=***"),
            ("client_secret=AKIA&x=1", "client_secret=***&x=1"),
            ("?token=abc&sslpassword=def", "?token=***&sslpassword=***"),
            ("password is wrong", "password is wrong"),
            ("password=", "password="),
            ("a basic idea", "a basic idea"),
        ] {
            assert_eq!(mask_secrets(plain), masked);
        }
    }

    proptest! {
        #[test]
        fn any_text_gives_one_clean_short_line(text in "(password|//|:|=|\"|@|[a-zé\u{130} ]|\\\\|basic |\\PC){0,40}") {
            let cause = root_cause(&text).unwrap_or_default();
            prop_assert!(cause.chars().count() <= LONGEST);
            prop_assert!(!cause.contains(char::is_control));
        }

        #[test]
        fn a_password_never_survives(before in "\\PC{0,9}", secret in "[a-zA-Z0-9!%+]{6,12}", quote in "|\"|'|\\\\\"") {
            prop_assume!(!before.contains(&secret));
            for text in [format!("{before} password={quote}{secret}{quote} x"), format!("{before} jdbc://u:{secret}@h/d")] {
                prop_assert!(!mask_secrets(&text).contains(&secret), "{}", mask_secrets(&text));
            }
        }
    }
}
