//! The settings, each with where it came from.

use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

use serde::{Serialize, Serializer};

use super::file::Rebinding;
use crate::model::Endpoint;

/// Where a value came from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Origin {
    /// A flag, such as `--endpoints`.
    Flag(String),
    /// An environment variable.
    Env(String),
    /// A context of the config file.
    Context {
        /// Its name.
        name: String,
        /// The file's line, from 1.
        line: usize,
    },
    /// The top of the config file.
    File {
        /// The file's line, from 1.
        line: usize,
    },
    /// Found on this host.
    Host {
        /// What it belongs to, such as `kubeadm`.
        what: String,
        /// Where it was found.
        path: PathBuf,
    },
    /// Nobody said anything.
    Default,
}

impl Origin {
    /// The layer that it belongs to: the lower, the stronger.
    #[must_use]
    pub fn rank(&self) -> u8 {
        match self {
            Self::Flag(_) => 0,
            Self::Env(name) if name.starts_with("ETCDTOP_") => 1,
            Self::Env(_) => 2,
            Self::Context { .. } => 3,
            Self::File { .. } => 4,
            Self::Host { .. } => 5,
            Self::Default => 6,
        }
    }
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Flag(name) | Self::Env(name) => f.write_str(name),
            Self::Context { name, line } => write!(f, "context {name}, line {line} of the config file"),
            Self::File { line } => write!(f, "line {line} of the config file"),
            Self::Host { what, path } => write!(f, "found on this host: {what}, {}", path.display()),
            Self::Default => f.write_str("default"),
        }
    }
}

impl Serialize for Origin {
    fn serialize<S: Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
        s.collect_str(self)
    }
}

/// A value and where it came from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sourced<T> {
    /// The value.
    pub value: T,
    /// Where it came from.
    pub origin: Origin,
}

/// A password: never shown, never logged, never written.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(String);

impl Secret {
    /// Takes a password.
    #[must_use]
    pub fn new(text: impl Into<String>) -> Self {
        Self(text.into())
    }

    /// The password itself, for authenticating.
    #[must_use]
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("***")
    }
}

/// When to use colour.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ColorChoice {
    /// When the terminal can, and `NO_COLOR` is not set.
    Auto,
    /// Always.
    Always,
    /// Never.
    Never,
}

/// The themes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ThemeName {
    /// For dark terminals.
    Dark,
    /// For light terminals.
    Light,
    /// Without colour.
    Mono,
    /// Safe for colour-blind eyes.
    Colorblind,
}

/// The shape of headless output.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OutputFormat {
    /// For people.
    Table,
    /// One JSON document.
    Json,
    /// One JSON document a line, for streams.
    Jsonl,
}

/// What becomes of a running operation when the terminal goes away.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HangUp {
    /// The running step is brought to its end, then it stops.
    Step,
    /// The whole plan is carried out.
    Finish,
}

/// Every setting, resolved.
#[derive(Clone, Debug)]
pub struct Settings {
    /// The context in use, if any.
    pub context: Option<Sourced<String>>,
    /// The config file that was read, if there is one.
    pub config_file: Option<PathBuf>,
    /// Where members serve clients. Empty only if `discovery_srv` is set.
    pub endpoints: Sourced<Vec<Endpoint>>,
    /// The domain to look SRV records up in.
    pub discovery_srv: Option<Sourced<String>>,
    /// The service name in those records.
    pub discovery_srv_name: Option<Sourced<String>>,
    /// Certificate authority file.
    pub cacert: Option<Sourced<PathBuf>>,
    /// Client certificate file.
    pub cert: Option<Sourced<PathBuf>>,
    /// Client key file.
    pub key: Option<Sourced<PathBuf>>,
    /// The name to expect in server certificates.
    pub server_name: Option<Sourced<String>>,
    /// Plain HTTP is allowed.
    pub insecure_transport: Sourced<bool>,
    /// Any server certificate is accepted.
    pub insecure_skip_tls_verify: Sourced<bool>,
    /// The user to authenticate as.
    pub user: Option<Sourced<String>>,
    /// Its password; none if it must be asked for.
    pub password: Option<Sourced<Secret>>,
    /// Limit of an attempt to connect.
    pub dial_timeout: Sourced<Duration>,
    /// Limit of a call.
    pub command_timeout: Sourced<Duration>,
    /// Pause between keep-alive pings.
    pub keepalive_time: Sourced<Duration>,
    /// How long a ping may stay unanswered.
    pub keepalive_timeout: Sourced<Duration>,
    /// Pause between two polls.
    pub interval: Sourced<Duration>,
    /// Nothing may be changed.
    pub read_only: Sourced<bool>,
    /// When to use colour.
    pub color: Sourced<ColorChoice>,
    /// The theme.
    pub theme: Sourced<ThemeName>,
    /// No glyph beyond ASCII.
    pub ascii: Sourced<bool>,
    /// Where to log to.
    pub log_file: Option<Sourced<PathBuf>>,
    /// Where `/metrics` is served, if not on the client url.
    pub metrics_url: Option<Sourced<String>>,
    /// Pause between two scrapes of `/metrics`; none: they are not scraped.
    pub metrics_interval: Sourced<Option<Duration>>,
    /// The shape of output; none: table on a terminal.
    pub output: Option<Sourced<OutputFormat>>,
    /// Where snapshots are saved.
    pub snapshot_dir: Option<Sourced<PathBuf>>,
    /// What becomes of a running operation when the terminal goes away.
    pub on_hangup: Sourced<HangUp>,
    /// The prefix of the key that proves a write.
    pub proof_prefix: Sourced<String>,
    /// Rebound keys.
    pub keys: Vec<Rebinding>,
    /// Whether the config file has contexts.
    pub has_contexts: bool,
    /// What is not wrong but should be known: readable keys, unreadable certificates on the host.
    pub warnings: Vec<String>,
    /// Every setting as text, for `config show`.
    pub rows: Vec<Row>,
}

/// One line of `config show`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Row {
    /// The setting's name.
    pub setting: &'static str,
    /// Its value as text; a secret is `***`; none if it is not set.
    pub value: Option<String>,
    /// Where it came from.
    pub origin: Origin,
}

impl Settings {
    /// Raises a keep-alive pause that is too short, says so, and shows what is in force.
    pub fn raise_keepalive(&mut self, least: Duration) {
        let asked = &mut self.keepalive_time;
        if asked.value >= least {
            return;
        }
        let row = self.rows.iter_mut().find(|r| r.setting == "keepalive_time");
        let was = row.as_ref().and_then(|r| r.value.clone()).unwrap_or_default();
        let in_force = format!("{}s", least.as_secs());
        self.warnings.push(format!(
            "keepalive_time {was} ({}) is raised to {in_force}, as etcdctl does: etcd cuts off clients that ping more often than every 5s",
            asked.origin
        ));
        asked.value = least;
        if let Some(row) = row {
            row.value = Some(in_force);
        }
    }

    /// Where the endpoints, or the domain that tells them, come from.
    fn target_origin(&self) -> &Origin {
        match &self.discovery_srv {
            Some(domain) if self.endpoints.value.is_empty() => &domain.origin,
            _ => &self.endpoints.origin,
        }
    }

    /// What to call the cluster: the context, but only if that names the endpoints; otherwise what was typed.
    #[must_use]
    pub fn cluster_name(&self) -> String {
        match (self.target_origin(), self.endpoints.value.as_slice(), &self.discovery_srv) {
            (Origin::Context { name, .. }, ..) => name.clone(),
            (_, [], Some(domain)) => domain.value.clone(),
            (_, [], None) => String::new(),
            (_, [one], _) => one.to_string(),
            (_, [first, rest @ ..], _) => format!("{first} +{}", rest.len()),
        }
    }

    /// How the endpoints were chosen, for the header: `from --endpoints`, `context prod`,
    /// `found kubeadm: /etc/kubernetes/pki/etcd`.
    #[must_use]
    pub fn access_line(&self) -> String {
        match self.target_origin() {
            Origin::Context { name, .. } => format!("context {name}"),
            Origin::Host { what, path } => format!("found {what}: {}", path.display()),
            Origin::File { .. } => "from the config file".into(),
            Origin::Default => "no endpoint given or found: etcd's default".into(),
            Origin::Flag(name) | Origin::Env(name) => format!("from {name}"),
        }
    }
}
