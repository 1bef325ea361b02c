//! Who guardian is to Connect: user and password, a token, and the headers that a gateway wants. It sees what is odd about
//! them, for the one who is told that they were refused, and never shows them.

use std::path::Path;

use anyhow::{Result, anyhow, bail, ensure};
use reqwest::header::{
    ACCEPT, ACCEPT_ENCODING, AUTHORIZATION, CONNECTION, CONTENT_LENGTH, HOST, HeaderMap, HeaderName,
    HeaderValue, TRANSFER_ENCODING,
};

use super::sources::{Inputs, Value, read_file, text_of};
use crate::cli;
use crate::decide::text::is_unseen;
use crate::http::{Authorization, Secret};

/// What every request to a worker carries.
#[derive(Debug)]
pub struct Credentials {
    pub authorization: Authorization,
    /// Each value is marked as sensitive.
    pub headers: HeaderMap,
    /// What in them was hardly meant so, by setting, kind and place: worth a word when they are refused.
    pub doubts: Vec<String>,
}

/// More than any gateway wants, and far from what the map of headers can hold.
const MOST_HEADERS: usize = 100;

pub(super) fn read(inputs: &Inputs<'_>) -> Result<Credentials> {
    let mut doubts = Doubts(Vec::new());
    let authorization = authorization(inputs, &mut doubts)?;
    let headers = headers(inputs, &authorization, &mut doubts)?;
    Ok(Credentials { authorization, headers, doubts: doubts.0 })
}

struct Doubts(Vec<String>);

impl Doubts {
    fn of(&mut self, setting: &str, what: &str, secret: &str) {
        self.0.extend(oddity(secret).map(|odd| format!("{setting} holds {what} that {odd}")));
    }
}

/// What in a secret was hardly meant to be there: a newline of `echo`, the quotes of a file that no shell reads.
fn oddity(secret: &str) -> Option<String> {
    let kind = |c: char| match c {
        '\n' => Some("a newline"),
        '\r' => Some("a carriage return"),
        '\t' => Some("a tab"),
        c if is_unseen(c) => Some("an unprintable character"),
        _ => None,
    };
    let at_end = |c: char| match c {
        ' ' => Some("a blank"),
        '"' | '\'' => Some("a quote"),
        c => kind(c),
    };
    let mut inner = secret.chars();
    let (first, last) = (inner.next(), inner.next_back());
    if first == last && matches!(first, Some('"' | '\'')) {
        return Some("is in quotes".to_owned());
    }
    let odd = [
        first.and_then(at_end).map(|what| format!("begins with {what}")),
        inner.find_map(kind).map(|what| format!("has {what} in its middle")),
        last.and_then(at_end).map(|what| format!("ends with {what}")),
    ];
    let odd: Vec<String> = odd.into_iter().flatten().collect();
    (!odd.is_empty()).then(|| odd.join(" and "))
}

/// `Name: value` a line. No error shows what stands there: any of it may be the secret.
fn headers(inputs: &Inputs<'_>, authorization: &Authorization, doubts: &mut Doubts) -> Result<HeaderMap> {
    let mut headers = HeaderMap::new();
    let Some((setting, bytes)) = inputs.file(&cli::HEADERS_FILE)? else { return Ok(headers) };
    let text = text_of(&setting.name, bytes)?;
    for (number, line) in (1_u32..).zip(text.lines().map(str::trim)) {
        if line.is_empty() || line.starts_with('#') {
            continue;
        }
        let wrong = |what: &str| anyhow!("{}: line {number} of {} {what}", setting.name, setting.text);
        let (name, value) = line.split_once(':').ok_or_else(|| wrong("is not of the form Name: value"))?;
        let name = HeaderName::from_bytes(name.trim_end().as_bytes())
            .map_err(|_| wrong("has no header's name before its first colon"))?;
        if [HOST, CONTENT_LENGTH, ACCEPT, ACCEPT_ENCODING, TRANSFER_ENCODING, CONNECTION].contains(&name) {
            return Err(wrong(&format!("sets {name}, which guardian sets itself")));
        }
        if name == AUTHORIZATION && *authorization != Authorization::None {
            return Err(wrong("sets authorization, which user and password or the token set already"));
        }
        let value = value.trim();
        ensure!(!value.is_empty(), wrong("has no value"));
        let mut sent = HeaderValue::from_str(value)
            .map_err(|_| wrong("has a value with a character that no header may have"))?;
        sent.set_sensitive(true);
        ensure!(headers.len() < MOST_HEADERS, wrong(&format!("is one header more than {MOST_HEADERS}")));
        headers.append(name, sent);
        doubts.of(&setting.name, &format!("a header (line {number})"), value);
    }
    ensure!(!headers.is_empty(), "{}: {} holds no header", setting.name, setting.text);
    Ok(headers)
}

/// Credentials. Two ways given in the same place exclude each other; a flag beats the environment.
fn authorization(inputs: &Inputs<'_>, doubts: &mut Doubts) -> Result<Authorization> {
    let token = inputs.file(&cli::TOKEN_FILE)?;
    let user = user(inputs)?;
    let password = password(inputs, user.is_some() || token.is_none())?;
    let basic_typed = user.as_ref().is_some_and(|(value, _)| value.typed);
    if let Some((value, bytes)) = token {
        match &user {
            Some((user, _)) if value.typed == user.typed => {
                bail!("{} and {} exclude each other", value.name, user.name);
            }
            _ if basic_typed && !value.typed => {}
            _ => return bearer(&value, bytes, doubts),
        }
    }
    match (user, password) {
        (None, None) => Ok(Authorization::None),
        (Some((value, _)), None) => {
            bail!("{} needs a password: KAFKA_CONNECT_PASS or KAFKA_CONNECT_PASS_FILE", value.name)
        }
        (None, Some((name, _))) => bail!("{name} needs a user: KAFKA_CONNECT_USER"),
        (Some((value, user)), Some(_)) if user.contains(':') => {
            bail!("{}: a user of Basic authentication has no colon in it", value.name)
        }
        (Some((value, user)), Some((name, password))) => {
            doubts.of(&value.name, "a user", &user);
            doubts.of(&name, "a password", password.expose());
            Ok(Authorization::Basic { user, password })
        }
    }
}

fn bearer(value: &Value, bytes: Vec<u8>, doubts: &mut Doubts) -> Result<Authorization> {
    let token = text_of(&value.name, bytes)?;
    let odd = oddity(&token);
    if !token.chars().all(|c| c.is_ascii_graphic()) {
        let why = odd.map_or_else(String::new, |odd| format!(": it {odd}"));
        bail!("{}: {} holds no bearer token{why}", value.name, value.text);
    }
    doubts.of(&value.name, "a token", &token);
    Ok(Authorization::Bearer(Secret::from(token)))
}

fn user(inputs: &Inputs<'_>) -> Result<Option<(Value, String)>> {
    match (inputs.exact(&cli::USER)?, inputs.exact(&cli::USER_FILE)?) {
        (Some(plain), Some(file)) if plain.typed == file.typed => {
            bail!("{} and {} exclude each other", plain.name, file.name)
        }
        (Some(plain), file) if plain.typed || file.is_none() => {
            let value = plain.text.clone();
            Ok(Some((plain, value)))
        }
        (_, Some(file)) => {
            let text = text_of(&file.name, read_file(&file.name, Path::new(&file.text))?)?;
            Ok(Some((file, text)))
        }
        (_, None) => Ok(None),
    }
}

/// The password and the name of where it came from. The credential of systemd is read only when nothing else is set and
/// `wanted`.
fn password(inputs: &Inputs<'_>, wanted: bool) -> Result<Option<(String, Secret)>> {
    match (inputs.verbatim(&cli::PASSWORD)?, inputs.exact(&cli::PASSWORD_FILE)?) {
        (Some(plain), Some(file)) if !file.typed => {
            bail!("{} and {} exclude each other", plain.name, file.name)
        }
        (_, Some(file)) => {
            let text = text_of(&file.name, read_file(&file.name, Path::new(&file.text))?)?;
            Ok(Some((file.name, Secret::from(text))))
        }
        (Some(plain), None) => Ok(Some((plain.name, Secret::from(plain.text)))),
        (None, None) => {
            let folder = inputs.variable("CREDENTIALS_DIRECTORY")?.filter(|_| wanted);
            let path = folder
                .map(|value| Path::new(&value.text).join("connect-password"))
                .filter(|path| path.exists());
            let Some(path) = path else { return Ok(None) };
            let name = "CREDENTIALS_DIRECTORY/connect-password";
            Ok(Some((name.to_owned(), Secret::from(text_of(name, read_file(name, &path)?)?))))
        }
    }
}
