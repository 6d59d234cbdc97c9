//! How the program ends.

use std::process::ExitCode;

/// Exit codes, as documented in the README.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Exit {
    /// Done; for `health`: all is well.
    Done,
    /// Failed; for `health`: a warning.
    Failed,
    /// Wrong usage or configuration; for `health`: critical.
    Usage,
    /// Refused by a safety check, nothing was done; for `health`: unknown.
    Refused,
    /// No member could be reached.
    Unreachable,
    /// Ended by a signal: 128 and its number.
    Signal(u8),
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(match exit {
            Exit::Done => 0,
            Exit::Failed => 1,
            Exit::Usage => 2,
            Exit::Refused => 3,
            Exit::Unreachable => 4,
            Exit::Signal(number) => 128 + number,
        })
    }
}
