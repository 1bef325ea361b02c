//! Where a setting's value comes from: a flag beats the environment, which beats the default. Precedence is decided here
//! and nowhere else; what a value means is not known here.

use std::path::Path;
use std::time::Duration;

use anyhow::{Context, Result, anyhow, bail, ensure};

use super::Environment;
use crate::cli::{DefaultValue, Setting, Typed};
use crate::decide::secrets::mask_secrets;
use crate::decide::text::{cut, sanitize};

/// One value and where it comes from.
pub(super) struct Value {
    /// `--flag` or the environment's name.
    pub(super) name: String,
    pub(super) text: String,
    pub(super) typed: bool,
}

impl Value {
    /// What the setting is when it is not given.
    pub(super) fn default_of(setting: &Setting) -> Result<Self> {
        let name = setting.env.first().copied().or(setting.flag).unwrap_or_default().to_owned();
        match setting.default {
            DefaultValue::Value(text) => Ok(Self { name, text: text.to_owned(), typed: false }),
            DefaultValue::Told(_) => bail!("{name} is missing"),
        }
    }

    /// The line that refuses this value.
    pub(super) fn refuse(&self, takes: &str) -> anyhow::Error {
        let shown = cut(&mask_secrets(&sanitize(&self.text)), 60);
        // Whatever holds an @ may hold a password in front of it.
        let shown = if shown.contains('@') { String::new() } else { format!(", not {shown:?}") };
        anyhow!("{} takes {takes}{shown}", self.name)
    }

    pub(super) fn parse<T>(&self, takes: &str, parse: impl FnOnce(&str) -> Option<T>) -> Result<T> {
        parse(self.text.trim()).ok_or_else(|| self.refuse(takes))
    }

    /// The same, unless something stands around it that was hardly meant: whoever takes a value as it is would take it too.
    fn bare(self) -> Result<Self> {
        let around = [("begins", self.text.chars().next()), ("ends", self.text.chars().next_back())];
        for (what, c) in around.into_iter().filter(|_| !self.typed) {
            let (c, mends) = match c {
                Some('\r') => (
                    "a carriage return",
                    "its file has the line ends of Windows: sed -i 's/\\r$//' FILE mends it",
                ),
                Some('\n') => ("a newline", "write it without"),
                Some(c) if c.is_whitespace() => ("a blank", "write it without"),
                _ => continue,
            };
            bail!("{} {what} with {c}, which would be part of it: {mends}", self.name);
        }
        Ok(self)
    }
}

/// What was typed, and the environment.
pub(super) struct Inputs<'a> {
    pub(super) typed: &'a Typed,
    pub(super) environment: &'a Environment,
}

impl Inputs<'_> {
    /// The value that was given for a setting, without what a file of variables may have left in it.
    pub(super) fn get(&self, setting: &Setting) -> Result<Option<Value>> {
        let value = self.verbatim(setting)?;
        if let Some(Value { name, text, typed: false }) = &value
            && let Some(why) = leftover(text)
        {
            bail!("{name} {why}");
        }
        Ok(value)
    }

    /// The value of a setting that is not trimmed: a path, a user.
    pub(super) fn exact(&self, setting: &Setting) -> Result<Option<Value>> {
        self.get(setting)?.map(Value::bare).transpose()
    }

    /// The value whatever is in it, for a password: that may well begin with # or be in quotes.
    pub(super) fn verbatim(&self, setting: &Setting) -> Result<Option<Value>> {
        if let (Some(flag), Some(value)) = (setting.flag, self.typed.values(setting).pop()) {
            let name = format!("--{flag}");
            ensure!(!value.is_empty(), "{name} is empty");
            return Ok(Some(Value { name, text: value, typed: true }));
        }
        let mut found: Option<Value> = None;
        for name in setting.env {
            let Some(next) = self.variable(name)? else { continue };
            match &found {
                Some(first) if first.text != next.text => {
                    bail!("{} and {name} differ: set one of them", first.name);
                }
                Some(_) => {}
                None => found = Some(next),
            }
        }
        Ok(found)
    }

    /// The value of a setting that has a default.
    pub(super) fn value(&self, setting: &Setting) -> Result<Value> {
        self.get(setting)?.map_or_else(|| Value::default_of(setting), Ok)
    }

    /// A variable of the environment; an empty one counts as unset.
    pub(super) fn variable(&self, name: &str) -> Result<Option<Value>> {
        let Some(value) = self.environment.get(name).filter(|value| !value.is_empty()) else {
            return Ok(None);
        };
        let value = value.to_str().with_context(|| format!("{name} is not valid UTF-8"))?.to_owned();
        Ok(Some(Value { name: name.to_owned(), text: value, typed: false }))
    }

    pub(super) fn parsed<T>(
        &self,
        setting: &Setting,
        takes: &str,
        parse: impl FnOnce(&str) -> Option<T>,
    ) -> Result<T> {
        self.value(setting)?.parse(takes, parse)
    }

    pub(super) fn duration(&self, setting: &Setting) -> Result<Duration> {
        self.parsed(setting, DURATION, positive_duration)
    }

    pub(super) fn switch(&self, setting: &Setting) -> Result<bool> {
        Ok(self.typed.has(setting)
            || self.parsed(setting, "1 or 0 (true or false, yes or no, on or off)", yes_or_no)?)
    }

    /// A list and where it comes from: the flag as often as it was typed, or the environment's commas.
    pub(super) fn list(&self, setting: &Setting) -> Result<(String, Vec<String>)> {
        let typed = self.typed.values(setting);
        let name = format!("--{}", setting.flag.unwrap_or_default());
        ensure!(!typed.iter().any(String::is_empty), "{name} is empty");
        if !typed.is_empty() {
            return Ok((name, typed));
        }
        let Some(value) = self.get(setting)? else { return Ok((name, Vec::new())) };
        let listed = commas(&value.text);
        ensure!(!listed.is_empty(), "{} is empty", value.name);
        if let Some(why) = listed.iter().find_map(|one| leftover(one)) {
            bail!("{}: one of its values {why}", value.name);
        }
        Ok((value.name, listed))
    }

    /// The contents of a file that a setting names; one newline at its end is not part of it.
    pub(super) fn file(&self, setting: &Setting) -> Result<Option<(Value, Vec<u8>)>> {
        let Some(value) = self.exact(setting)? else { return Ok(None) };
        let bytes = read_file(&value.name, Path::new(&value.text))?;
        Ok(Some((value, bytes)))
    }
}

/// What stands in a value because nobody took it away on its way here: each reader of variables takes away something else
/// (docker/cli#4665 and #4404, systemd#36435; compose cuts blanks before it looks for a comment). The words behind the
/// setting's name; the value may be a secret.
fn leftover(text: &str) -> Option<&'static str> {
    let text = text.trim();
    let mut inner = text.chars();
    let (first, last) = (inner.next(), inner.next_back());
    let comment = text.char_indices().any(|(at, c)| {
        c == '#' && text.get(..at).is_some_and(|before| before.ends_with(char::is_whitespace))
    });
    if first == last && matches!(first, Some('"' | '\'')) {
        Some(
            "is in quotes, and they are part of it (docker's --env-file and a list in a compose file keep them): write it without",
        )
    } else if first == Some('#') {
        Some(
            "is a comment (compose takes one behind an empty value for the value): put the comment on a line of its own",
        )
    } else if comment {
        Some(
            "has a comment behind it, which is part of it (docker's --env-file and systemd keep it): put the comment on a line of its own",
        )
    } else {
        None
    }
}

pub(super) const DURATION: &str = "a duration such as 30s, 5m or 3m30s";

pub(super) fn commas(text: &str) -> Vec<String> {
    text.split(',').map(str::trim).filter(|part| !part.is_empty()).map(str::to_owned).collect()
}

pub(super) fn positive_duration(text: &str) -> Option<Duration> {
    humantime::parse_duration(text).ok().filter(|duration| !duration.is_zero())
}

fn yes_or_no(text: &str) -> Option<bool> {
    match text.to_ascii_lowercase().as_str() {
        "1" | "true" | "yes" | "on" => Some(true),
        "0" | "false" | "no" | "off" => Some(false),
        _ => None,
    }
}

pub(super) fn at_least<T: std::str::FromStr + PartialOrd>(least: T) -> impl FnOnce(&str) -> Option<T> {
    move |text| text.parse().ok().filter(|number| *number >= least)
}

/// `None` for the word, `Some` number otherwise.
pub(super) fn or_word<T>(
    word: &str,
    number: impl FnOnce(&str) -> Option<T>,
) -> impl FnOnce(&str) -> Option<Option<T>> {
    move |text| if text == word { Some(None) } else { number(text).map(Some) }
}

pub(super) fn read_file(name: &str, path: &Path) -> Result<Vec<u8>> {
    let mut bytes =
        std::fs::read(path).with_context(|| format!("{name}: {} cannot be read", path.display()))?;
    if bytes.last() == Some(&b'\n') {
        bytes.pop();
        if bytes.last() == Some(&b'\r') {
            bytes.pop();
        }
    }
    Ok(bytes)
}

/// A credential out of a file.
pub(super) fn text_of(name: &str, bytes: Vec<u8>) -> Result<String> {
    // Without the error itself, which would show the bytes.
    let text =
        String::from_utf8(bytes).ok().with_context(|| format!("{name}: the file is not valid UTF-8"))?;
    // Some editors begin every file with a byte-order mark.
    let text = text.strip_prefix('\u{feff}').unwrap_or(&text);
    ensure!(!text.is_empty(), "{name}: the file is empty");
    Ok(text.to_owned())
}
