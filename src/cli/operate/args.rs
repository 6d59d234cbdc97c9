//! The flags of commands that carry out a plan.

use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, ValueHint};
use tokio::time::Instant;

use crate::cli::voice;
use crate::config::parse_duration;
use crate::ops::plan::Permille;
use crate::ops::terms::{Terms, Window};

/// What bounds a run, and what is left of it.
#[derive(Args, Clone, Debug, Default)]
#[command(next_help_heading = "The run")]
pub struct BoundArgs {
    /// Only show what would be done, and what forbids it
    #[arg(long)]
    pub(in crate::cli) dry_run: bool,
    /// End by then, whatever happens: what would take longer is not begun, what runs is left and told as unknown (exit 5)
    #[arg(long, value_name = "DURATION", value_parser = positive)]
    pub(in crate::cli) timeout: Option<Duration>,
    /// Write what was done into this file, for the textfile collector of Prometheus' node exporter
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath)]
    pub(in crate::cli) metrics_file: Option<PathBuf>,
}

impl BoundArgs {
    /// From here on nobody waits for who does not read.
    pub(in crate::cli) fn speak(&self) {
        voice::begin(self.timeout.map(|limit| Instant::now() + limit));
    }
}

/// What lets a command change a cluster, and when.
#[derive(Args, Clone, Debug, Default)]
#[command(next_help_heading = "The run")]
pub struct ChangeArgs {
    /// Do it without asking; without this and without a terminal nothing is changed (exit 3)
    #[arg(short, long)]
    pub(super) yes: bool,
    /// The name that would have to be typed; CORRUPT is taken back with this alone
    #[arg(long, value_name = "NAME", value_hint = ValueHint::Other)]
    pub(super) confirm: Option<String>,
    /// Hold a lock in the cluster, too, which every etcdtop respects, on other hosts as well
    #[arg(long)]
    pub(super) lock: bool,
    /// Begin what stalls members within this span of the day alone: 02:00-04:00, or 02:00-04:00Z for UTC
    #[arg(long, value_name = "SPAN", value_hint = ValueHint::Other, value_parser = window)]
    pub(super) window: Option<Window>,
    #[command(flatten)]
    pub(super) bounds: BoundArgs,
}

impl ChangeArgs {
    /// What bounds it.
    pub(in crate::cli) const fn bounds(&self) -> &BoundArgs {
        &self.bounds
    }

    /// Whether a lock in the cluster is asked for.
    pub(in crate::cli) const fn locks(&self) -> bool {
        self.lock
    }

    /// The terms that every command takes.
    pub(in crate::cli) fn terms(&self) -> Terms {
        Terms { window: self.window, ..Terms::default() }
    }
}

/// A duration that is not nothing.
pub(in crate::cli) fn positive(text: &str) -> Result<Duration, String> {
    match parse_duration(text)? {
        Duration::ZERO => Err("must be more than nothing".into()),
        time => Ok(time),
    }
}

fn window(text: &str) -> Result<Window, String> {
    Window::parse(text).map_err(|e| e.to_string())
}

/// A share between nothing and all: `0.9`.
pub(in crate::cli) fn share(text: &str) -> Result<Permille, String> {
    let wrong = || format!("{text:?} is no share of the quota: it lies above 0 and up to 1, such as 0.9");
    let share: f64 = text.trim().parse().map_err(|_| wrong())?;
    if !(0.001..=1.0).contains(&share) {
        return Err(wrong());
    }
    #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)] // at most a thousand
    Ok(Permille((share * 1_000.0).round() as u16))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_share_is_read_in_thousandths() {
        for (text, permille) in [("0.9", 900), ("1", 1_000), ("0.855", 855), (" .5", 500)] {
            assert_eq!(share(text), Ok(Permille(permille)), "{text}");
        }
        for text in ["0", "1.1", "-0.5", "90%", "NaN", "inf", ""] {
            assert!(share(text).is_err(), "{text}");
        }
    }
}
