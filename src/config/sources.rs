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
}

/// What was typed, and the environment.
pub(super) struct Inputs<'a> {
    pub(super) typed: &'a Typed,
    pub(super) environment: &'a Environment,
}

impl Inputs<'_> {
    /// The value that was given for a setting.
    pub(super) fn get(&self, setting: &Setting) -> Result<Option<Value>> {
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
        Ok(self.typed.has(setting) || self.parsed(setting, "0 or 1", zero_or_one)?)
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
        Ok((value.name, listed))
    }

    /// The contents of a file that a setting names; one newline at its end is not part of it.
    pub(super) fn file(&self, setting: &Setting) -> Result<Option<(Value, Vec<u8>)>> {
        let Some(value) = self.get(setting)? else { return Ok(None) };
        let bytes = read_file(&value.name, Path::new(&value.text))?;
        Ok(Some((value, bytes)))
    }
}

pub(super) const DURATION: &str = "a duration such as 30s, 5m or 3m30s";

pub(super) fn commas(text: &str) -> Vec<String> {
    text.split(',').map(str::trim).filter(|part| !part.is_empty()).map(str::to_owned).collect()
}

pub(super) fn positive_duration(text: &str) -> Option<Duration> {
    humantime::parse_duration(text).ok().filter(|duration| !duration.is_zero())
}

pub(super) fn zero_or_one(text: &str) -> Option<bool> {
    match text {
        "0" => Some(false),
        "1" => Some(true),
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
