//! Which parts of a text from outside are secrets, and the text without them. It only sees the text: what else is secret,
//! its caller knows. One pass from left to right: at each place the tables say whether something secret begins there, so
//! that the time grows with the text and not with its square.

/// A name with one of these in it has a secret behind its `=` or `:`. Separators in names count as none:
/// `access.key.id` is `accesskeyid`.
const KEYS: [&str; 14] = [
    "password",
    "passwd",
    "passphrase",
    "pwd",
    "secret",
    "token",
    "apikey",
    "accesskey",
    "accountkey",
    "privatekey",
    "credential",
    "userinfo",
    "authorization",
    "jaasconfig",
];
/// A name that ends with one of these parts has a secret behind its `=` or `:`.
const LAST_PARTS: [&str; 4] = ["pass", "sig", "signature", "key"];
/// `key` is the last part of many harmless names, so it counts only in these.
const KEY_NAMES: [&str; 3] = ["shared_key", "encryption.key", "signing.key"];
/// What follows these words, up to the next blank, is a secret (RFC 7235, 6750).
const SCHEMES: [&str; 4] = ["basic ", "bearer ", "apikey ", "digest "];

/// Schemes whose names may be shown (the registry of RFC 9110, and what gateways use besides).
const AUTHORIZATION_SCHEMES: [&str; 7] =
    ["basic", "bearer", "digest", "negotiate", "ntlm", "apikey", "aws4-hmac-sha256"];

/// The text with its secrets replaced by `***`: `password=...` and its kin, JAAS options, `//user:pass@` in a URL,
/// `Basic ...` and `Bearer ...`, JWTs, PEM blocks, AWS key ids.
pub fn mask_secrets(text: &str) -> String {
    // ASCII lower case keeps every byte where it was, so positions agree.
    let lower = text.to_ascii_lowercase();
    let mut masked = String::with_capacity(text.len());
    let (mut rest, mut at) = (0, 0);
    while at < text.len() {
        let found = secret_at(text, &lower, at);
        if let Some((start, end)) = found.secret {
            masked.push_str(text.get(rest..start.max(rest)).unwrap_or_default());
            masked.push_str("***");
            rest = end;
            at = end;
        } else {
            at = found.next;
        }
    }
    masked.push_str(text.get(rest..).unwrap_or_default());
    masked
}

/// What was found at one place: a secret's bytes, or where to look next.
struct Found {
    secret: Option<(usize, usize)>,
    next: usize,
}

/// Looks at the place `at`, which is a character's beginning.
fn secret_at(text: &str, lower: &str, at: usize) -> Found {
    let tail = lower.get(at..).unwrap_or_default();
    let first = tail.chars().next().map_or(1, char::len_utf8);
    let step = Found { secret: None, next: at.saturating_add(first) };
    let found = |secret| Found { secret: Some(secret), next: at };
    if tail.starts_with("-----begin ") {
        return pem(lower, at).map_or(step, found);
    }
    if tail.starts_with("//") {
        return url_password(lower, at).map_or(step, found);
    }
    if !tail.starts_with(is_of_a_name) {
        return step;
    }
    // A whole name at once: what begins within it begins nothing else.
    let word = tail.trim_start_matches(is_of_a_name);
    let end = lower.len().saturating_sub(word.len());
    let name = lower.get(at..end).unwrap_or_default();
    let secret = token(text, at, end)
        .or_else(|| is_secret_name(name).then(|| value_of(lower, at, end)).flatten())
        .or_else(|| after_scheme(lower, at));
    Found { secret, next: end }
}

/// Whether what stands behind this name is a secret.
fn is_secret_name(name: &str) -> bool {
    // `TopicAuthorizationException: Not authorized`: a class and its message.
    if name.ends_with("exception") || name.ends_with("error") {
        return false;
    }
    let plain: String = name.chars().filter(char::is_ascii_alphanumeric).collect();
    let last = name.rsplit(['.', '_', '-']).next().unwrap_or_default();
    KEYS.iter().any(|key| plain.contains(key))
        || LAST_PARTS
            .iter()
            .any(|part| *part == last && (last != "key" || KEY_NAMES.iter().any(|it| name.ends_with(it))))
}

/// `key=value`, `key: value`, `"key":"value"`, `secret.of.something = "value"`; the name ends at `end`.
fn value_of(lower: &str, at: usize, end: usize) -> Option<(usize, usize)> {
    let tail = lower.get(end..)?;
    let tail = tail.trim_start_matches(|c: char| matches!(c, '"' | '\'' | '\\') || c.is_whitespace());
    let value = tail.strip_prefix(['=', ':'])?;
    // "=> value", ":= value"; without the blank they may belong to the value.
    let longer = value.trim_start_matches(['=', ':', '>']);
    let value = if longer.starts_with(char::is_whitespace) { longer } else { value }.trim_start();
    let name = lower.get(at..end)?;
    if name.contains("authorization") {
        return authorization(lower, value);
    }
    // "token: Bearer eyJ...": the secret is behind the scheme.
    let mut secret = value;
    while let Some(behind) = SCHEMES.iter().find_map(|scheme| secret.strip_prefix(scheme)) {
        secret = behind;
    }
    let start = lower.len().checked_sub(value.strip_prefix(opening_quote(value))?.len())?;
    let end = lower.len().checked_sub(behind_secret(secret).len())?;
    span(lower, start, end.checked_sub(start)?)
}

/// `Authorization: SCHEME CREDENTIALS` (RFC 9110, 11.4). Of a scheme that is not known its name is masked too: it may be
/// the secret.
fn authorization(lower: &str, value: &str) -> Option<(usize, usize)> {
    let value = value.trim_start_matches(['"', '\'', '[', '{', '(', '\\']);
    let first = behind_schemes(value);
    let behind = behind_credentials(first);
    let scheme_is_known = first.len() < value.len();
    let behind = match behind.strip_prefix(' ') {
        Some(second) if !scheme_is_known => behind_credentials(behind_schemes(second)),
        _ => behind,
    };
    span(lower, lower.len().checked_sub(first.len())?, first.len().checked_sub(behind.len())?)
}

/// What comes after the known schemes with which the text begins.
fn behind_schemes(mut text: &str) -> &str {
    while let Some(behind) =
        AUTHORIZATION_SCHEMES.iter().find_map(|scheme| text.strip_prefix(scheme)?.strip_prefix(' '))
    {
        text = behind;
    }
    text
}

fn behind_credentials(text: &str) -> &str {
    let end = text.find(|c: char| c.is_whitespace() || matches!(c, '"' | '\'' | ']' | ','));
    end.and_then(|end| text.get(end..)).unwrap_or_default()
}

/// A word that is a secret by its looks: a JWT (RFC 7519), an AWS key id (`AKIA`, `ASIA` and 16 more).
fn token(text: &str, at: usize, end: usize) -> Option<(usize, usize)> {
    let word = text.get(at..end)?;
    let jwt = word.starts_with("eyJ") && word.len() > 20 && word.matches('.').count() >= 2;
    let aws = (word.starts_with("AKIA") || word.starts_with("ASIA"))
        && word.len() == 20
        && word.chars().all(|c| c.is_ascii_uppercase() || c.is_ascii_digit());
    (jwt || aws).then_some((at, end))
}

/// A PEM block, up to its end or the text's: a private key, or a certificate that nobody wants to read.
fn pem(lower: &str, at: usize) -> Option<(usize, usize)> {
    let tail = lower.get(at..)?;
    let end = match tail.find("-----end ") {
        None => lower.len(),
        Some(found) => {
            let behind = tail.get(found..)?.strip_prefix("-----end ")?;
            let behind = behind.split_once("-----").map_or("", |(_, behind)| behind);
            lower.len().checked_sub(behind.len())?
        }
    };
    Some((at, end))
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
fn after_scheme(lower: &str, at: usize) -> Option<(usize, usize)> {
    let tail = lower.get(at..)?;
    let value = SCHEMES.iter().find_map(|scheme| tail.strip_prefix(scheme))?;
    let length = value.find([' ', ',', '"', '\'']).unwrap_or(value.len());
    let start = lower.len().checked_sub(value.len())?;
    (length >= 8).then(|| span(lower, start, length))?
}

/// The password in `scheme://user:password@host`, from its `//` on.
fn url_password(lower: &str, at: usize) -> Option<(usize, usize)> {
    let start = at.checked_add(2)?;
    let authority = lower.get(start..)?;
    let authority =
        authority.get(..authority.find(['/', ' ', '?', '#', '"', ',']).unwrap_or(authority.len()))?;
    let host = authority.rfind('@')?;
    let colon = authority.get(..host)?.find(':')?;
    let start = start.checked_add(colon)?.checked_add(1)?;
    span(lower, start, host.checked_sub(colon)?.checked_sub(1)?)
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
            ("//pwd:r@s", "//pwd:***@s"),
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
        fn a_secret_never_survives(
            before in "\\PC{0,9}",
            secret in "[a-zA-Z0-9!%+]{6,12}",
            key in prop::sample::select(vec![
                "password", "PASSWD", "db.pass", "pwd", "passphrase", "client_secret", "token", "api-key", "apiKey",
                "X-Api-Key", "accessKey", "access_key", "AccountKey", "SharedAccessKey", "sig", "signature",
                "basic.auth.user.info", "snowflake.private.key", "Authorization", "ssl.key.password",
            ]),
            delimiter in prop::sample::select(vec!["=", ": ", ":", " = ", " => ", "=[", "={"]),
            quote in "|\"|'|\\\\\"",
            open in "|\\{|\\[|\\?a=1&|;b=2;|\\{\"x\":\\{\"",
        ) {
            prop_assume!(!before.contains(&secret));
            for text in [
                format!("{before} {open}{key}{delimiter}{quote}{secret}{quote} x"),
                format!("{before} jdbc://u:{secret}@h/d"),
                format!("{before} Bearer {secret}{secret}"),
            ] {
                prop_assert!(!mask_secrets(&text).contains(&secret), "{} of {text}", mask_secrets(&text));
            }
        }
    }
}
