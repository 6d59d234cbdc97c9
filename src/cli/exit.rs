//! How the program ends.

use std::process::ExitCode;

/// Exit codes, as documented in the README.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Exit {
    /// Done.
    Done,
    /// It failed; the message says what was done and what not.
    Failed,
    /// A safety check refused it; nothing was done.
    Refused,
    /// The outcome is not known.
    Unknown,
    /// Wrong usage or configuration.
    Usage,
    /// No member could be reached.
    Unreachable,
    /// What a monitoring plugin found.
    Plugin(Plugin),
    /// Ended by a signal: 128 and its number.
    Signal(u8),
}

/// The exit codes of monitoring plugins, which `health` follows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Plugin {
    /// All is well.
    Ok = 0,
    /// It works; something is wrong.
    Warning = 1,
    /// It does not work.
    Critical = 2,
    /// It could not be told: wrong usage or settings.
    Unknown = 3,
}

impl Exit {
    /// The code.
    #[must_use]
    pub const fn number(self) -> u8 {
        match self {
            Self::Done => 0,
            Self::Failed => 1,
            Self::Refused => 3,
            Self::Unknown => 5,
            Self::Usage => 2,
            Self::Unreachable => 4,
            Self::Plugin(found) => found as u8,
            Self::Signal(number) => 128 + number,
        }
    }
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(exit.number())
    }
}
