//! Which parts of a text from outside are secrets, and the text without them.
//! It only sees the text: what else is secret, its caller knows. In doubt a
//! little too much is masked, but no more than a word or one closed bracket: a
//! cause that is all stars helps nobody.

/// A setting is secret when its name, without case and without `-`, `_` and
/// `.`, holds one of these.
const SECRET_NAMES: [&str; 14] = [
    "password",
    "passwd",
    "passphrase",
    "passcode", // Snowflake
    "pwd",
    "secret",
    "token",
    "apikey",
    "accesskey",  // aws.secret.access.key, SharedAccessKey
    "accountkey", // Azure storage
    "privatekey", // snowflake.private.key
    "userinfo",   // basic.auth.user.info=user:password
    "encryptionkey",
    "signingkey",
];
/// A setting is secret, too, when its name ends so.
const SECRET_ENDS: [&str; 4] = ["pass", "authorization", "credentials", "keystorekey"]; // ssl.keystore.key (KIP-651)
/// The same, where nothing but `=` follows: these are words of prose as well.
const SECRET_BEFORE_EQUALS: [&str; 3] = ["sig", "signature", "credential"];
/// A name that ends so holds no secret, whatever else is in it: a class, a file
/// in a stack trace, `SharedAccessKeyName`.
const HARMLESS_ENDS: [&str; 11] = [
    "bypass",
    "compass",
    "exception",
    "error",
    "name",
    ".java",
    ".scala",
    ".kt",
    "authentication",
    "uri",
    "url",
];
/// What follows these words is a secret when it does not read like prose (RFC
/// 7235, 6750, and what clouds have invented).
const SCHEMES: [&str; 8] =
    ["basic", "bearer", "digest", "negotiate", "ntlm", "apikey", "sharedkey", "aws4-hmac-sha256"];
/// Words that are secrets by their beginning, and how long they are at least:
/// JWT, AWS key ids, tokens of GitHub, GitLab, Slack, Google, Vault, Databricks,
/// `OpenAI` and its kin, and the base64 of a key in DER.
const SECRET_WORDS: [(&str, usize); 14] = [
    ("eyJ", 20),
    ("AKIA", 20),
    ("ASIA", 20),
    ("ghp_", 20),
    ("github_pat_", 30),
    ("glpat-", 20),
    ("xoxb-", 20),
    ("xoxp-", 20),
    ("AIza", 35),
    ("ya29.", 20),
    ("hvs.", 20),
    ("dapi", 32),
    ("sk-", 24),
    ("MII", 40),
];
/// `key=value` in other spellings: as it is, `URLencoded`, escaped by Gson.
const SEPARATORS: [&str; 8] = ["=", ":", "->", "%3d", "%3a", "\\u003d", "\\u003a", "&#61;"];
/// Quotes in other spellings. `\"` is found by its backslashes.
const QUOTES: [&str; 10] = ["\"", "'", "`", "%22", "%27", "\\u0022", "\\u0027", "&quot;", "&#34;", "&#39;"];
/// What may stand before the name of the next setting.
const DELIMITERS: [&str; 12] =
    [",", ";", "&", "|", "%2c", "%26", "%3b", "\\u0026", "\\n", "\\r", "\\t", "\","];
/// What may stand behind a secret and not belong to it.
const ENDINGS: [char; 9] = [',', ';', '&', ')', ']', '}', '"', '\'', '.'];
/// An opening quote or bracket that nothing closes: when no more than this is
/// left, the text was cut within the secret; else the character is part of it.
const CUT_SECRET: usize = 64;
/// Shorter words behind a scheme are prose.
const SHORTEST_CREDENTIAL: usize = 8;

/// The text with its secrets replaced by `***`. Give it a few kilobytes at most: what stands open is looked for to the end.
pub fn mask_secrets(text: &str) -> String {
    let mut masked = String::with_capacity(text.len());
    let mut rest = text;
    let mut previous = "";
    while !rest.is_empty() {
        let word = leading_word(rest);
        let found = if word.is_empty() { in_address(rest) } else { at_word(word, previous, rest) };
        if let Some((secret, behind)) = found {
            masked.push_str(before(rest, secret));
            masked.push_str("***");
            rest = behind_all(secret, behind);
        } else {
            let length =
                if word.is_empty() { rest.chars().next().map_or(0, char::len_utf8) } else { word.len() };
            let (passed, others) = rest.split_at_checked(length).unwrap_or((rest, ""));
            masked.push_str(passed);
            rest = others;
        }
        if !word.is_empty() {
            previous = word;
        }
    }
    masked
}

/// What comes behind a secret that may end with a word that announces another
/// (`token: password = x`, `Authorization: Custom Bearer x`).
fn behind_all<'a>(secret: &'a str, mut behind: &'a str) -> &'a str {
    loop {
        let masked = before(secret, behind);
        let to_word = masked.trim_end_matches(|c| !is_of_a_word(c));
        let Some(tail) = secret.get(to_word.trim_end_matches(is_of_a_word).len()..) else { return behind };
        match at_word(leading_word(tail), "", tail) {
            Some((_, further)) if further.len() < behind.len() => behind = further,
            _ => return behind,
        }
    }
}

/// Where a secret begins, and what comes behind it; both end with the text.
type Found<'a> = Option<(&'a str, &'a str)>;

/// The secret that a word announces, or is.
fn at_word<'a>(word: &str, previous: &str, rest: &'a str) -> Found<'a> {
    let after = rest.strip_prefix(word)?;
    let found = pem(word, rest)
        .or_else(|| secret_word(word, rest))
        .or_else(|| setting(word, previous, after))
        .or_else(|| credential(word, after))
        .or_else(|| refused_value(word, after))
        .or_else(|| oracle(word, after));
    found.filter(|(secret, behind)| {
        let masked = before(secret, behind);
        !masked.is_empty() && masked != "***"
    })
}

/// `key=value`, `key: value`, `"key":"value"`, `<key>value</key>`, `--key value`,
/// `PASSWORD 'value'`, `"key","value":"value"`.
fn setting<'a>(name: &str, previous: &str, after: &'a str) -> Found<'a> {
    if name.eq_ignore_ascii_case("identified") {
        let value = strip_ignoring_case(after.trim_start(), "by ")?.trim_start();
        return Some((unquoted(value), behind_value(value)));
    }
    let mut closed = after;
    while let Some(further) = closed.strip_prefix(opening_quote(closed)).filter(|it| it.len() < closed.len())
    {
        closed = further;
    }
    let closed = closed.trim_start_matches(']');
    // "Secret Key: x"
    let joined = if name.eq_ignore_ascii_case("key") { format!("{previous}{name}") } else { String::new() };
    let name = if joined.is_empty() { name } else { &joined };
    if let Some(value) = after_separator(closed.trim_start()) {
        let equals = closed.trim_start().starts_with('=');
        // "Invalid value x for configuration a.password: must ..." (ConfigDef); "(using password: YES)" (MySQL).
        let told = match previous {
            "configuration" => !equals,
            "using" => ["YES)", "NO)"].iter().any(|answer| value.starts_with(answer)),
            _ => false,
        };
        return (!told && is_secret_name(name, equals)).then(|| secret_value(name, value));
    }
    if !is_secret_name(name, false) {
        return None;
    }
    if let Some(value) = after.strip_prefix('>') {
        return Some((value, value.find('<').and_then(|end| value.get(end..)).unwrap_or_default()));
    }
    let value = after.trim_start();
    if name.starts_with("--") && value.len() < after.len() && !value.starts_with('-') {
        return Some((unquoted(value), behind_value(value)));
    }
    if ends_ignoring_case(name, "password") && value.len() < after.len() && value.starts_with(['\'', '"']) {
        return Some((unquoted(value), behind_value(value)));
    }
    // {"name":"db.password","value":"x"}
    let next = closed.strip_prefix(',')?.trim_start();
    let next = next.strip_prefix(opening_quote(next))?;
    let named = strip_ignoring_case(next, "value")?;
    let value = after_separator(named.strip_prefix(opening_quote(named))?.trim_start())?;
    Some(secret_value(name, value))
}

/// The text behind `=`, `:` and their kin. In `=> x` and `:= x` the second
/// character belongs to the separator; without the blank it may be the value's.
fn after_separator(text: &str) -> Option<&str> {
    let value = SEPARATORS.iter().find_map(|separator| strip_ignoring_case(text, separator))?;
    let longer = value.trim_start_matches(['=', ':', '>']);
    Some(if longer.starts_with(char::is_whitespace) { longer } else { value }.trim_start())
}

/// The value of a secret setting.
fn secret_value<'a>(name: &str, value: &'a str) -> (&'a str, &'a str) {
    let inside = unquoted(value);
    if inside.len() < value.len() || value.starts_with(['[', '{', '(']) {
        return (inside, behind_value(value));
    }
    if ends_ignoring_case(name, "authorization") {
        return (after_scheme(value).unwrap_or(value), behind_authorization(value));
    }
    // "token: Bearer eyJ...": the secret is behind the scheme.
    let mut credential = value;
    while let Some(behind) = after_scheme(credential) {
        credential = behind;
    }
    (value, behind_value(credential))
}

fn after_scheme(text: &str) -> Option<&str> {
    let word = leading_word(text);
    let behind = text.strip_prefix(word)?;
    let is_scheme = SCHEMES.iter().any(|scheme| word.eq_ignore_ascii_case(scheme));
    (is_scheme && behind.starts_with(char::is_whitespace)).then(|| behind.trim_start())
}

/// `Scheme credential`, `Scheme name="value", name=value`, or the credential alone.
fn behind_authorization(value: &str) -> &str {
    let scheme = leading_word(value);
    let Some(credential) = value.strip_prefix(scheme).and_then(|behind| behind.strip_prefix(' ')) else {
        return behind_word(value);
    };
    let credential = credential.trim_start();
    let mut behind = behind_parameter(credential).unwrap_or_else(|| behind_word(credential));
    while let Some(further) = behind.strip_prefix(',').and_then(|next| behind_parameter(next.trim_start())) {
        behind = further;
    }
    behind
}

/// What comes behind `name="value"`.
fn behind_parameter(text: &str) -> Option<&str> {
    let name = leading_word(text);
    let value = text.strip_prefix(name)?.strip_prefix('=').filter(|_| !name.is_empty())?;
    let behind = behind_value(value);
    Some(behind.strip_prefix(opening_quote(behind)).unwrap_or(behind))
}

fn is_secret_name(name: &str, equals: bool) -> bool {
    let name = name.to_ascii_lowercase();
    if HARMLESS_ENDS.iter().any(|end| name.ends_with(end)) {
        return false;
    }
    let last = name.rsplit(['-', '_', '.']).next().unwrap_or_default();
    let plain: String = name.chars().filter(|c| !matches!(c, '-' | '_' | '.')).collect();
    SECRET_NAMES.iter().any(|secret| plain.contains(secret))
        || SECRET_ENDS.iter().any(|end| plain.ends_with(end))
        || equals && SECRET_BEFORE_EQUALS.contains(&last)
}

/// What comes behind the value with which the text begins. A password may hold
/// any character, so a word goes on to the next blank or setting.
fn behind_value(text: &str) -> &str {
    let quote = opening_quote(text);
    if !quote.is_empty() {
        return behind_quoted(text, quote);
    }
    let closing = match text.chars().next() {
        Some('{') => '}',
        Some('[') => ']',
        Some('(') => ')',
        // What else a word of endings is cannot be told from those around it.
        Some(ending) if ENDINGS.contains(&ending) => return behind_setting(text),
        _ => return behind_word(text),
    };
    match behind_bracket(text, closing) {
        Some(behind) => behind_word(behind),
        None if text.len() <= CUT_SECRET => "",
        None => behind_word(text),
    }
}

fn behind_quoted<'a>(text: &'a str, quote: &str) -> &'a str {
    let Some(closing) = closing_quote(text.strip_prefix(quote).unwrap_or_default(), quote) else {
        return if text.len() <= CUT_SECRET { "" } else { behind_word(text) };
    };
    let outside = closing.strip_prefix(opening_quote(closing)).unwrap_or_default();
    let behind = if begins_setting(closing) { outside } else { behind_word(outside) };
    if behind.len() == outside.len() { closing } else { behind }
}

/// The text from the quote that closes one with as many backslashes, or with
/// fewer: then the text around it ends, too.
fn closing_quote<'a>(inside: &'a str, quote: &str) -> Option<&'a str> {
    let bare = quote.trim_start_matches('\\');
    let depth = quote.len().saturating_sub(bare.len());
    let bare = if bare.is_empty() || bare.starts_with('u') { quote } else { bare };
    inside.match_indices(bare).find_map(|(at, _)| {
        let before = inside.get(..at)?;
        let escapes = before.len().saturating_sub(before.trim_end_matches('\\').len());
        let closes = escapes <= depth || depth == 0 && escapes.is_multiple_of(2);
        let start = at.saturating_sub(escapes.min(depth));
        closes.then(|| inside.get(start..)).flatten()
    })
}

/// What comes behind the bracket that closes the first one; those within quotes
/// do not count.
fn behind_bracket(text: &str, closing: char) -> Option<&str> {
    let opening = text.chars().next()?;
    let (mut depth, mut quoted, mut escaped) = (0_usize, None, false);
    for (at, c) in text.char_indices() {
        match (c, quoted) {
            _ if escaped => escaped = false,
            ('\\', Some(_)) => escaped = true,
            (c, Some(quote)) if c == quote => quoted = None,
            ('"', None) => quoted = Some('"'),
            (c, None) if c == opening => depth = depth.saturating_add(1),
            (c, None) if c == closing => depth = depth.saturating_sub(1),
            _ => {}
        }
        if depth == 0 {
            return text.get(at..)?.strip_prefix(closing);
        }
    }
    None
}

/// What comes behind the word with which the text begins. The endings at its end
/// are not part of it.
fn behind_word(text: &str) -> &str {
    let behind = behind_setting(text);
    let word = before(text, behind);
    text.strip_prefix(word.trim_end_matches(ENDINGS)).unwrap_or(behind)
}

/// What comes behind the next blank, or before another setting in the same word.
fn behind_setting(text: &str) -> &str {
    let end = text.char_indices().find_map(|(at, c)| {
        let ends = c.is_whitespace() || text.get(at..).is_some_and(begins_setting);
        ends.then_some(at)
    });
    end.and_then(|end| text.get(end..)).unwrap_or_default()
}

/// `&ssl=true`, `;encrypt=false`, `,"user":"x"`, `","`, `</`: hardly the rest of a
/// password.
fn begins_setting(text: &str) -> bool {
    if text.starts_with("</") || text.starts_with("\",\"") {
        return true;
    }
    let Some(text) = DELIMITERS.iter().find_map(|delimiter| strip_ignoring_case(text, delimiter)) else {
        return false;
    };
    let text = text.trim_start_matches(['{', '[']);
    let quote = opening_quote(text);
    let name = text.strip_prefix(quote).unwrap_or_default();
    let behind = name.strip_prefix(leading_word(name)).unwrap_or_default();
    let has_value = if quote.is_empty() {
        let value = ["=", "%3d", "\\u003d"].iter().find_map(|equals| strip_ignoring_case(behind, equals));
        // A text in base64 may end with one or two of them.
        value.is_some_and(|value| !value.is_empty() && !value.starts_with('='))
    } else {
        behind.strip_prefix(quote).is_some_and(|behind| after_separator(behind.trim_start()).is_some())
    };
    has_value && name.starts_with(|c: char| c.is_ascii_alphabetic())
}

/// `Basic dXNlcjpwYXNz`, `Bearer eyJ...`
fn credential<'a>(word: &str, after: &'a str) -> Found<'a> {
    if !SCHEMES.iter().any(|scheme| word.eq_ignore_ascii_case(scheme)) {
        return None;
    }
    let value = after.strip_prefix(char::is_whitespace)?.trim_start();
    let value = unquoted(value);
    let length = value.find([' ', ',', '"', '\'']).unwrap_or(value.len());
    let (secret, behind) = value.split_at_checked(length)?;
    (secret.len() >= SHORTEST_CREDENTIAL && !reads_like_prose(secret)).then_some((value, behind))
}

/// A word of lower-case letters, perhaps capitalised, and not too long for one.
fn reads_like_prose(word: &str) -> bool {
    let word = word.trim_end_matches(['.', ':', ';', ')', ']']);
    word.len() < 20 && word.chars().skip(1).all(|c| c.is_ascii_lowercase() || matches!(c, '-' | '_' | '/'))
}

/// A word whose beginning gives it away, as far as base64 goes on.
fn secret_word<'a>(word: &str, rest: &'a str) -> Found<'a> {
    SECRET_WORDS.iter().find_map(|(beginning, shortest)| {
        let at = word.match_indices(beginning).find_map(|(at, _)| {
            let starts = !word.get(..at)?.ends_with(|c: char| c.is_ascii_alphanumeric());
            starts.then_some(at)
        })?;
        let secret = rest.get(at..)?;
        let length = secret
            .find(|c: char| {
                !(c.is_ascii_alphanumeric() || matches!(c, '+' | '/' | '=' | '-' | '_' | '.' | '~'))
            })
            .unwrap_or(secret.len());
        let found = secret.get(..length)?.trim_end_matches('.');
        let is_secret = found.len() >= *shortest && found.contains(|c: char| c.is_ascii_digit());
        is_secret.then(|| Some((secret, secret.strip_prefix(found)?)))?
    })
}

/// A block of PEM, of whatever kind. When its end is missing, the headers and
/// the long words behind its beginning (RFC 1421: `Proc-Type`, `DEK-Info`).
fn pem<'a>(word: &str, rest: &'a str) -> Found<'a> {
    let block = rest.get(word.find("-----BEGIN")?..)?;
    if let Some((_, end)) = block.split_once("-----END") {
        let behind = end.trim_start_matches('-').split_once("-----").map_or("", |(_, behind)| behind);
        return Some((block, behind.trim_start_matches('-')));
    }
    let title = block.strip_prefix("-----BEGIN")?.split_once("-----").map_or("", |(_, behind)| behind);
    let mut behind = title;
    loop {
        let next = behind.trim_start();
        let (word, others) =
            next.split_at_checked(next.find(char::is_whitespace).unwrap_or(next.len())).unwrap_or((next, ""));
        behind = match word {
            "Proc-Type:" | "DEK-Info:" => behind_setting(others.trim_start()),
            _ if word.len() >= 16 || word.ends_with('=') => others,
            _ => return Some((block, behind)),
        };
    }
}

/// "Invalid value x for configuration a.password": the value comes first (`ConfigException`).
fn refused_value<'a>(word: &str, after: &'a str) -> Found<'a> {
    let value = (word == "Invalid").then(|| after.strip_prefix(" value "))??;
    let (secret, behind) = value.split_at_checked(value.find(" for configuration ")?)?;
    let name = leading_word(behind.strip_prefix(" for configuration ")?);
    (!secret.is_empty() && is_secret_name(name, false)).then_some((value, behind))
}

/// The password in `scheme://user:password@host`.
fn in_address(rest: &str) -> Found<'_> {
    let address = rest.strip_prefix("//")?;
    let end = address.find(|c: char| c.is_whitespace() || matches!(c, '"' | '<' | '>' | '`'));
    let address = end.and_then(|end| address.get(..end)).unwrap_or(address);
    let (user, password) = address.split_once(':')?;
    if user.starts_with('[') || user.contains(['/', '?', '#', '@']) {
        return None;
    }
    let host_ends = password.find(['/', '?', '#', ',']).unwrap_or(password.len());
    let password = match password.get(..host_ends)?.rfind('@') {
        Some(at) => password.get(..at)?,
        // One that should have been escaped; a number is a port.
        None if password
            .trim_start_matches(|c: char| c.is_ascii_digit())
            .starts_with(['/', '?', '#', ',', ';']) =>
        {
            return None;
        }
        None => password.get(..password.find('@')?)?,
    };
    let secret = rest.strip_prefix("//")?.strip_prefix(user)?.strip_prefix(':')?;
    (!password.is_empty() && password != "***").then_some((secret, secret.strip_prefix(password)?))
}

/// The password in `jdbc:oracle:thin:user/password@host`; `oci` and `oci8` are the other drivers.
fn oracle<'a>(word: &str, after: &'a str) -> Found<'a> {
    let is_driver = ["thin", "oci", "oci8"].iter().any(|driver| word.eq_ignore_ascii_case(driver));
    let login = is_driver.then(|| after.strip_prefix(':'))??;
    let (login, _) = login.split_once('@')?;
    let (user, password) = login.split_once('/')?;
    let secret = after.strip_prefix(':')?.strip_prefix(user)?.strip_prefix('/')?;
    (!login.contains(char::is_whitespace)).then_some((secret, secret.strip_prefix(password)?))
}

/// The quote with which a text begins, else nothing; within a quoted text it
/// is escaped (`key=\"value\"`), perhaps more than once.
fn opening_quote(text: &str) -> &str {
    let inside = QUOTES
        .iter()
        .find_map(|quote| strip_ignoring_case(text, quote))
        .or_else(|| text.trim_start_matches('\\').strip_prefix(['"', '\'']));
    inside.map_or("", |inside| before(text, inside))
}

fn unquoted(text: &str) -> &str {
    text.strip_prefix(opening_quote(text)).unwrap_or(text)
}

/// The name or word with which the text begins.
fn leading_word(text: &str) -> &str {
    before(text, text.trim_start_matches(is_of_a_word))
}

fn is_of_a_word(c: char) -> bool {
    c.is_ascii_alphanumeric() || matches!(c, '_' | '-' | '.')
}

/// The part of a text that stands before its end.
fn before<'a>(text: &'a str, end: &str) -> &'a str {
    text.get(..text.len().saturating_sub(end.len())).unwrap_or_default()
}

fn strip_ignoring_case<'a>(text: &'a str, prefix: &str) -> Option<&'a str> {
    let (beginning, rest) = text.split_at_checked(prefix.len())?;
    beginning.eq_ignore_ascii_case(prefix).then_some(rest)
}

fn ends_ignoring_case(text: &str, end: &str) -> bool {
    let start = text.len().checked_sub(end.len());
    start.and_then(|start| text.get(start..)).is_some_and(|tail| tail.eq_ignore_ascii_case(end))
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
            ("Authorization: Custom Bearer abc12345 x", "Authorization: *** x"),
            ("token: password = hunter2 x", "token: *** x"),
            ("Authorization: x {\"password\": \"hunter2\"}", "Authorization: ***\"}"),
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

    #[test]
    fn every_kind_of_secret_is_masked() {
        for (plain, masked) in [
            ("x sv=2022&sig=AbC%3D&se=1", "x sv=2022&sig=***&se=1"),
            ("AccountName=a;AccountKey=ab/c+d==;Suffix=x", "AccountName=a;AccountKey=***;Suffix=x"),
            (
                "Endpoint=sb://h/;SharedAccessKeyName=Root;SharedAccessKey=abc=;EntityPath=e",
                "Endpoint=sb://h/;SharedAccessKeyName=Root;SharedAccessKey=***;EntityPath=e",
            ),
            ("accessKey: 0a1b2c, region: x", "accessKey: ***, region: x"),
            ("AWS.ACCESS.KEY.ID = x1 y", "AWS.ACCESS.KEY.ID = *** y"),
            ("key AKIAIOSFODNN7EXAMPLE is unknown", "key *** is unknown"),
            ("basic.auth.user.info=alice:hunter2", "basic.auth.user.info=***"),
            ("db.pass=hunter2, dbPass: x", "db.pass=***, dbPass: ***"),
            ("snowflake.private.key=MIIE/x+y== z", "snowflake.private.key=*** z"),
            ("x-api-key: abc", "x-api-key: ***"),
            ("{Authorization=[ApiKey abc=], Accept=[*/*]}", "{Authorization=***, Accept=[*/*]}"),
            ("Authorization: abc, x", "Authorization: ***, x"),
            ("Authorization: Custom abc, x", "Authorization: ***, x"),
            (
                "Authorization: AWS4-HMAC-SHA256 Credential=a/b/s3, SignedHeaders=host;x, Signature=fe5f was",
                "Authorization: AWS4-HMAC-SHA256 *** was",
            ),
            ("\"Authorization\":\"Basic dXNlcjpwYXNz\",\"x\"", "\"Authorization\":\"***\",\"x\""),
            ("sent eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIx.ab-c_d. Then", "sent ***. Then"),
            ("-----BEGIN PRIVATE KEY-----MIIEvQ ab= -----END PRIVATE KEY----- was", "*** was"),
            (
                "k -----BEGIN RSA PRIVATE KEY----- MIIEvQIBADANBgkqhkiG9w0 AgEAAoIBAQC7VJTUt9Us8 is not",
                "k *** is not",
            ),
            ("jdbc:oracle:thin:scott/tiger@//db1:1521/x", "jdbc:oracle:thin:scott/***@//db1:1521/x"),
            ("jdbc:oracle:thin:@//db1:1521/x", "jdbc:oracle:thin:@//db1:1521/x"),
            ("mongodb://bob:p/w#d@h1:1,h2:2/d", "mongodb://bob:***@h1:1,h2:2/d"),
            ("redis://:hunter2@h/0", "redis://:***@h/0"),
            (
                "http://h:8083/x?mail=a@b and http://[::1]:80/a@b",
                "http://h:8083/x?mail=a@b and http://[::1]:80/a@b",
            ),
            ("?password%3Dhunter2%26ssl%3Dtrue", "?password%3D***%26ssl%3Dtrue"),
            ("password\\u003dhunter2\\u0026a\\u003db", "password\\u003d***\\u0026a\\u003db"),
            ("%22password%22%3A%22hunter2%22%2C%22a%22%3A1", "%22password%22%3A%22***%22%2C%22a%22%3A1"),
            ("{&quot;password&quot;:&quot;hunter2&quot;}", "{&quot;password&quot;:&quot;***&quot;}"),
            ("<password>hunter2</password><a>", "<password>***</password><a>"),
            ("Map(password -> hunter2, a -> b)", "Map(password -> ***, a -> b)"),
            ("run --password hunter2 --x", "run --password *** --x"),
            ("ALTER USER a WITH PASSWORD 'hunter2' x", "ALTER USER a WITH PASSWORD '***' x"),
            ("create user a identified by hunter2 x", "create user a identified by *** x"),
            (
                "Invalid value hunter2 for configuration my.password: Value must be short",
                "Invalid value *** for configuration my.password: Value must be short",
            ),
            (
                "[{\"name\":\"db.password\",\"value\":\"hunter2\"},{\"a\":1}]",
                "[{\"name\":\"db.password\",\"value\":\"***\"},{\"a\":1}]",
            ),
            ("[\"--password=hunter2\",\"--x\"]", "[\"--password=***\",\"--x\"]"),
            ("a=b\\npassword=hunter2\\nuser=c", "a=b\\npassword=***\\nuser=c"),
        ] {
            assert_eq!(mask_secrets(plain), masked);
        }
    }

    #[test]
    fn what_only_speaks_of_secrets_stays() {
        for text in [
            "org.x.InvalidTokenException: Signature expired",
            "PasswordExpiredError: must change",
            "Not authorized: 401; basic authentication failed, Basic Authentication required",
            "Unrecognized token 'abc': was expecting ('true')",
            "Unexpected token (START_OBJECT), expected VALUE_STRING",
            "Unexpected token \":\" in JSON",
            "at Token.next(TokenBuffer.java:77)",
            "the security token included in the request is expired",
            "Missing required configuration \"db.password\" which has no default",
            "signature: bad, design=good, eyJust=kidding",
        ] {
            assert_eq!(mask_secrets(text), text);
        }
    }

    #[test]
    fn what_is_not_closed_loses_a_word_or_the_end_of_a_cut_text() {
        let prose = " is what stands in the settings of the connector, and that cannot be, whatever is tried";
        for secret in ["'hunter2", "\"hunter2", "[hunter2", "{hunter2"] {
            let text = mask_secrets(&format!("password={secret}{prose}"));
            assert!(text.ends_with(prose) && !text.contains("hunter2"), "{text}");
            let text = mask_secrets(&format!("password={secret} and hunter"));
            assert!(!text.contains("hunter"), "{text}");
        }
    }

    /// Names, separators, quotes and what may stand around a setting, each with each.
    #[test]
    fn every_spelling_delimiter_and_nesting_hides_the_secret_and_keeps_the_rest() {
        let names = "password PASSWORD db.passwd sslPassphrase user_pwd client.secret clientSecret refresh_token \
            api.key api-key API_KEY apiKey accessKey access_key aws.secret.access.key AccountKey SharedAccessKey \
            x-api-key db.pass snowflake.private.key basic.auth.user.info";
        let separators = ["=", ": ", ":", " = ", " => ", " := ", "%3D", "\\u003d", " -> "];
        let secrets = [
            "hunter2",
            "Kd82/js+9xQ==",
            "u:p@ss-w0rd!",
            "{Kd82js9x}",
            "0a1b2c3d4e5f",
            "h\u{fc}nter2",
            "a%20b&c9",
        ];
        let around = [
            ("it said ", ", ssl=on was wrong"),
            ("{", ",ssl=on} was wrong"),
            ("a=1;", ";ssl=on was wrong"),
            ("(x?a=1&", "&ssl=on) was wrong"),
            ("[", "] was wrong, ssl=on"),
            ("<", "</x> was wrong, ssl=on"),
        ];
        let nested = [("\"", "\\\""), ("\\\"", "\\\\\\\""), ("'", "\""), ("%22", "\""), ("&quot;", "\"")];
        let hides = |text: &str, secret: &str| {
            let masked = mask_secrets(text);
            assert!(!masked.contains(secret), "{text}: {masked}");
            assert!(masked.contains("was wrong") && masked.contains("ssl"), "{text}: {masked}");
            assert_eq!(mask_secrets(&masked), masked, "{text}");
        };
        for name in names.split(' ') {
            for (separator, secret) in
                separators.iter().flat_map(|it| secrets.iter().map(move |secret| (it, secret)))
            {
                for (start, end) in around {
                    for quote in ["", "\"", "'", "`", "\\\""] {
                        hides(&format!("{start}{name}{separator}{quote}{secret}{quote}{end}"), secret);
                    }
                }
                for (quote, outer) in nested {
                    let setting = format!("{quote}{name}{quote}{}{quote}{secret}{quote}", separator.trim());
                    hides(&format!("{outer}{{{setting},{quote}ssl{quote}:1}}{outer} was wrong"), secret);
                }
            }
        }
    }

    proptest! {
        #[test]
        fn no_part_of_a_password_survives(
            before in "\\PC{0,9}", secret in "([!-/;<>-@\\[-`{-~\u{fc}]{0,3}hunter2){2}[!-/;<>-@\\[-`{-~\u{fc}]{0,3}",
            quote in "|\"|\\\\\"",
        ) {
            prop_assume!(!secret.contains("\",\"") && !secret.contains("</"));
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
