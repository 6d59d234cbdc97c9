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

/// Of several clusters.
impl Exit {
    /// The higher, the worse: of several clusters the worst one's exit is that of all. What could not be asked hides nothing
    /// that is known to be wrong.
    pub(super) const fn rank(self) -> u8 {
        match self {
            Self::Done | Self::Plugin(Plugin::Ok) => 0,
            Self::Usage | Self::Plugin(Plugin::Unknown) => 1,
            Self::Refused | Self::Plugin(Plugin::Warning) => 2,
            Self::Unreachable | Self::Plugin(Plugin::Critical) => 3,
            Self::Failed => 4,
            Self::Unknown => 5,
            Self::Signal(_) => 6,
        }
    }

    /// The worst of several.
    #[must_use]
    pub fn worst(exits: impl IntoIterator<Item = Self>) -> Self {
        exits.into_iter().max_by_key(|e| e.rank()).unwrap_or(Self::Done)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_worst_is_what_all_end_with() {
        use Exit::{Done, Failed, Plugin as P, Refused, Signal, Unknown, Unreachable, Usage};
        for (exits, worst) in [
            (&[][..], 0),
            (&[Done, Usage, Done], 2),
            (&[Unreachable, Usage], 4),
            (&[Refused, Usage, Unreachable], 4),
            (&[Failed, Unreachable], 1),
            (&[Failed, Unknown, Refused], 5),
            (&[Signal(2), Unknown], 130),
            (&[P(Plugin::Ok), P(Plugin::Unknown)], 3),
            (&[P(Plugin::Unknown), P(Plugin::Warning), P(Plugin::Ok)], 1),
            (&[P(Plugin::Critical), P(Plugin::Unknown), P(Plugin::Warning)], 2),
        ] {
            assert_eq!(Exit::worst(exits.iter().copied()).number(), worst, "{exits:?}");
        }
    }
}
