//! Which parts of a text from outside are secrets, and the text without them.
//! It only sees the text: what else is secret, its caller knows.

use std::cmp::Reverse;

/// A key with one of these words in it has a secret behind its `=` or `:`.
const SECRET_KEYS: [&str; 10] =
    ["password", "passwd", "passphrase", "pwd", "secret", "token", "apikey", "api.key", "api_key", "api-key"];
/// What follows these words, up to the next blank, is a secret (RFC 7235, 6750).
const SECRET_SCHEMES: [&str; 2] = ["basic ", "bearer "];

/// The text with its secrets replaced by `***`: `password=...` and its kin,
/// JAAS options, `//user:pass@` in a URL, `Basic ...` and `Bearer ...`.
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
        let tail = lower.get(found..)?.strip_prefix(key)?.trim_start_matches(is_of_a_name);
        let tail = tail.trim_start_matches(|c: char| matches!(c, '"' | '\'' | '\\') || c.is_whitespace());
        let value = tail.strip_prefix(['=', ':'])?;
        // "=> value", ":= value"; without the blank they may belong to the value.
        let longer = value.trim_start_matches(['=', ':', '>']);
        let value = if longer.starts_with(char::is_whitespace) { longer } else { value }.trim_start();
        // "token: Bearer eyJ...": the secret is behind the scheme.
        let mut secret = value;
        while let Some(behind) = SECRET_SCHEMES.iter().find_map(|scheme| secret.strip_prefix(scheme)) {
            secret = behind;
        }
        let start = lower.len().checked_sub(value.strip_prefix(opening_quote(value))?.len())?;
        let end = lower.len().checked_sub(behind_secret(secret).len())?;
        span(lower, start, end.checked_sub(start)?)
    })
}

/// What may stand behind a secret and not belong to it.
const ENDINGS: [char; 8] = [',', ';', '&', ')', ']', '}', '"', '\''];

/// What comes after the secret with which the text begins. A password may hold
/// any character: in doubt it goes on, because to mask too much does no harm.
fn behind_secret(text: &str) -> &str {
    let quote = opening_quote(text);
    if let Some(quoted) = text.strip_prefix(quote).filter(|_| !quote.is_empty()) {
        let closing = quoted.match_indices(quote).find_map(|(at, _)| {
            let (inside, closing) = quoted.split_at_checked(at)?;
            (!inside.ends_with('\\')).then_some(closing)
        });
        let Some(closing) = closing else { return "" };
        let outside = closing.strip_prefix(quote).unwrap_or_default();
        let behind = behind_word(outside);
        return if behind.len() == outside.len() { closing } else { behind };
    }
    let closing = match text.chars().next() {
        Some('{') => '}',
        Some('[') => ']',
        Some('(') => ')',
        // What else a word of endings is cannot be told from those around it.
        Some(ending) if ENDINGS.contains(&ending) => return behind_setting(text),
        _ => return behind_word(text),
    };
    // One of those before the last may belong to the secret.
    text.rsplit_once(closing).map_or("", |(_, behind)| behind_word(behind))
}

/// What comes after the word with which the text begins. The endings at its end
/// are not part of it.
fn behind_word(text: &str) -> &str {
    let behind = behind_setting(text);
    let word = text.strip_suffix(behind).unwrap_or(text);
    text.strip_prefix(word.trim_end_matches(ENDINGS)).unwrap_or(behind)
}

/// What comes after the next blank, or before another setting in the same word.
fn behind_setting(text: &str) -> &str {
    let end = text.char_indices().find_map(|(at, c)| {
        let ends = c.is_whitespace() || text.get(at..).is_some_and(begins_setting);
        ends.then_some(at)
    });
    end.and_then(|end| text.get(end..)).unwrap_or_default()
}

/// `&ssl=true`, `;encrypt=false`, `,"user":"x"`: hardly the rest of a password.
fn begins_setting(text: &str) -> bool {
    let Some(text) = text.strip_prefix([',', ';', '&']) else { return false };
    let quote = opening_quote(text);
    let name = text.strip_prefix(quote).unwrap_or_default();
    let behind = name.trim_start_matches(is_of_a_name);
    let has_value = if quote.is_empty() {
        // A text in base64 may end with one or two of them.
        behind.strip_prefix('=').is_some_and(|value| !value.is_empty() && !value.starts_with('='))
    } else {
        behind.strip_prefix(quote).is_some_and(|behind| behind.starts_with(['=', ':']))
    };
    has_value && name.starts_with(|c: char| c.is_ascii_alphabetic())
}

fn is_of_a_name(c: char) -> bool {
    c.is_ascii_alphanumeric() || matches!(c, '_' | '-' | '.')
}

/// The quote with which a text begins, else nothing; within a quoted text it
/// is escaped (`key=\"value\"`), perhaps more than once.
fn opening_quote(text: &str) -> &str {
    let inside = text.trim_start_matches('\\').strip_prefix(['"', '\'']);
    inside.and_then(|inside| text.strip_suffix(inside)).unwrap_or_default()
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
            (
                "FATAL: password authentication failed for user \"x\" (db:5432)",
                "FATAL: password authentication failed for user \"x\" (db:5432)",
            ),
            ("password=", "password="),
            ("a basic idea", "a basic idea"),
        ] {
            assert_eq!(mask_secrets(plain), masked);
        }
    }

    #[test]
    fn what_a_password_holds_does_not_end_it() {
        for (plain, masked) in [
            ("database.password=&Kd82js9x", "database.password=***"),
            ("database.password=Kd&82js9x x", "database.password=*** x"),
            ("password=Kd,82js9x, user=x", "password=***, user=x"),
            ("{password=)hunter2}", "{password=***"),
            ("{password=hunter2}", "{password=***}"),
            ("{a={password=Kd}82}, b=1}", "{a={password=***}, b=1}"),
            ("password=\\\u{fc}nter2secret", "password=***"),
            ("password=\\hunter2", "password=***"),
            ("password:\u{a0}hunter2", "password:\u{a0}***"),
            ("password => hunter2", "password => ***"),
            ("password=>hunter2", "password=***"),
            ("password=\"Kd\"82js9x\" x", "password=\"***\" x"),
            ("{\"a\":{\"password\":\"p\"},\"b\":1}", "{\"a\":{\"password\":\"***\"},\"b\":1}"),
            (
                "{\\\"password\\\":\\\"p\\\\\\\"q\\\",\\\"a\\\":1}",
                "{\\\"password\\\":\\\"***\\\",\\\"a\\\":1}",
            ),
            ("passwords: {\"db\": \"hunter2\"} x", "passwords: *** x"),
            ("passwords: {\"db\": \"a}b\", \"c\": \"d\"}, x", "passwords: ***, x"),
            ("passwords: [hunter2, hunter3", "passwords: ***"),
            ("ssl.key.password = [hidden] x", "ssl.key.password = *** x"),
            ("token: Bearer \"abc def\" x", "token: ***\" x"),
            (
                "jdbc:postgresql://h/db?user=a&password=b&ssl=true",
                "jdbc:postgresql://h/db?user=a&password=***&ssl=true",
            ),
            ("jdbc:sqlserver://h;password=b;encrypt=true", "jdbc:sqlserver://h;password=***;encrypt=true"),
            ("password=ab;cd==", "password=***"),
        ] {
            assert_eq!(mask_secrets(plain), masked);
        }
    }

    proptest! {
        #[test]
        fn no_part_of_a_password_survives(
            before in "\\PC{0,9}", secret in "([!-/;<>-@\\[-`{-~\u{fc}]{0,3}hunter2){2}[!-/;<>-@\\[-`{-~\u{fc}]{0,3}",
            quote in "|\"|\\\\\"",
        ) {
            let text = mask_secrets(&format!("{before} password={quote}{secret}{quote} x"));
            prop_assert!(!text.contains("hunter2"), "{}", text);
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
