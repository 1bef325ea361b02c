//! The exit codes and what leads to them: every kind of failure has exactly one
//! code. It prints nothing.

use std::fmt;
use std::process::ExitCode;

/// Why a command did not do its work: the `error.kind` of the JSON.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// No HTTP answer from Connect.
    Unreachable,
    /// HTTP, but not Connect's.
    NotConnect,
    /// Connect says of itself that it is not well.
    Unhealthy,
    /// 401 or 403.
    Unauthorized,
    /// A restart was refused, is of unknown fate, or could not be sent.
    Restart,
    /// The state cannot be read or written, or does not hold what was asked for.
    State,
    /// Another run holds the state.
    Locked,
    /// Wrong usage or settings.
    Usage,
    /// A sink could not be told.
    Tell,
    /// A signal, by its number.
    Interrupted(u8),
    /// A defect.
    Internal,
}

impl Kind {
    /// The name in the JSON.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Unreachable => "unreachable",
            Self::NotConnect => "not_connect",
            Self::Unhealthy => "unhealthy",
            Self::Unauthorized => "unauthorized",
            Self::Restart => "restart",
            Self::State => "state",
            Self::Locked => "locked",
            Self::Usage => "usage",
            Self::Tell => "tell",
            Self::Interrupted(_) => "interrupted",
            Self::Internal => "internal",
        }
    }

    fn code(self) -> u8 {
        match self {
            Self::Unreachable
            | Self::NotConnect
            | Self::Unhealthy
            | Self::Unauthorized
            | Self::Restart
            | Self::State
            | Self::Tell
            | Self::Internal => 1,
            Self::Usage => 2,
            Self::Locked => 75,
            Self::Interrupted(signal) => signal.saturating_add(128),
        }
    }
}

/// Why a command did not do its work: the one failure type of this program. `connect`, `store` and `config` return it
/// too; what goes wrong below them is an [`anyhow::Error`] with its context.
#[derive(Debug)]
pub struct Failure {
    pub kind: Kind,
    /// The next step, if one is known.
    pub hint: Option<String>,
    pub error: anyhow::Error,
}

impl Failure {
    /// A failure without a hint.
    pub fn new(kind: Kind, message: impl fmt::Display) -> Self {
        Self { kind, hint: None, error: anyhow::Error::msg(message.to_string()) }
    }

    /// The same failure with the next step.
    pub fn hint(self, hint: impl fmt::Display) -> Self {
        Self { hint: Some(hint.to_string()), ..self }
    }

    /// What happened, and where, on one line: the error with all its context.
    pub fn message(&self) -> String {
        format!("{:#}", self.error)
    }
}

/// Message and hint on one line.
impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:#}", self.error)?;
        self.hint.as_ref().map_or(Ok(()), |hint| write!(f, " ({hint})"))
    }
}

/// Gives an error its kind at the edge where the exit code is decided.
pub trait OrFail<T> {
    /// # Errors
    /// The same error as a [`Failure`] of this kind, its context kept.
    fn or_fail(self, kind: Kind) -> Result<T, Failure>;
}

impl<T, E: Into<anyhow::Error>> OrFail<T> for Result<T, E> {
    fn or_fail(self, kind: Kind) -> Result<T, Failure> {
        self.map_err(|error| Failure { kind, hint: None, error: error.into() })
    }
}

/// How a command ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Exit {
    /// 0: the work was done.
    Done,
    /// 3: the work was done, but `--fail-on` asks for a person.
    NeedsPerson,
    /// The code of this failure.
    Failed(Kind),
}

impl Exit {
    pub fn code(self) -> u8 {
        match self {
            Self::Done => 0,
            Self::NeedsPerson => 3,
            Self::Failed(kind) => kind.code(),
        }
    }
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(exit.code())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_codes_are_those_of_the_contract() {
        let failed = |kind| Exit::Failed(kind).code();
        assert_eq!([Exit::Done.code(), Exit::NeedsPerson.code()], [0, 3]);
        assert_eq!(
            [Kind::Unreachable, Kind::NotConnect, Kind::Unauthorized, Kind::Restart, Kind::State].map(failed),
            [1; 5]
        );
        assert_eq!(
            [Kind::Usage, Kind::Locked, Kind::Interrupted(2), Kind::Interrupted(15)].map(failed),
            [2, 75, 130, 143]
        );
    }
}
