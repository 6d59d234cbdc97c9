//! Why the settings cannot be used.

use std::path::{Path, PathBuf};

use thiserror::Error;

use super::settings::Origin;
use crate::model::text::printable;

/// Why the settings cannot be used: the thing, the reason, the remedy.
#[derive(Debug, Error)]
pub enum ConfigError {
    /// A value that cannot be read.
    #[error("{setting} \"{}\" ({origin}): {reason}", printable(.value))]
    Value {
        /// The setting's name.
        setting: &'static str,
        /// What was given.
        value: String,
        /// Where.
        origin: Origin,
        /// What is wrong, and what would be right.
        reason: String,
    },
    /// The file cannot be read.
    #[error("config file {}: {reason}", path.display())]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// Reason and remedy.
        reason: String,
    },
    /// The file is not TOML, or holds something that is no setting.
    #[error("config file {}, line {line}: {reason}", path.display())]
    Line {
        /// The file.
        path: PathBuf,
        /// The line, from 1.
        line: usize,
        /// Reason and remedy.
        reason: String,
    },
    /// `--context` names none of the file's.
    #[error("no context \"{}\" in {}: {}", printable(.name), path.display(), known_words(.known))]
    UnknownContext {
        /// The name.
        name: String,
        /// The file.
        path: PathBuf,
        /// The names that are there.
        known: Vec<String>,
    },
    /// Every context is asked for, and there is none.
    #[error("--all-contexts: {}", no_contexts(.path.as_deref(), *.exists))]
    NoContexts {
        /// Where the config file is looked for.
        path: Option<PathBuf>,
        /// It is there.
        exists: bool,
    },
    /// A certificate, key or password file.
    #[error("{setting} {} ({origin}): {reason}", path.display())]
    File {
        /// The setting's name.
        setting: &'static str,
        /// The file.
        path: PathBuf,
        /// Where it was named.
        origin: Origin,
        /// Reason and remedy.
        reason: String,
    },
    /// Settings that exclude each other.
    #[error("{0}")]
    Contradiction(String),
}

fn no_contexts(path: Option<&Path>, exists: bool) -> String {
    match path {
        Some(path) if exists => {
            format!("the config file {} has no context; add a table [contexts.NAME] for each cluster", path.display())
        }
        Some(path) => format!(
            "there is no config file at {}; write one with a table [contexts.NAME] for each cluster",
            path.display()
        ),
        None => "there is no place for a config file: neither XDG_CONFIG_HOME nor HOME is set; name one with --config"
            .into(),
    }
}

fn known_words(known: &[String]) -> String {
    if known.is_empty() {
        "it has none; add a table [contexts.NAME]".into()
    } else {
        format!("it has {}", known.join(", "))
    }
}
