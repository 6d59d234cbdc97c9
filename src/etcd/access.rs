//! How to reach a cluster: certificates, user, time limits.

use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

/// A user and its password.
#[derive(Clone, PartialEq, Eq)]
pub struct Credentials {
    /// The user's name.
    pub name: String,
    /// The password. Never printed.
    pub password: String,
}

impl fmt::Debug for Credentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Credentials").field("name", &self.name).field("password", &"***").finish()
    }
}

/// Files of TLS.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TlsFiles {
    /// `--cacert`; the system's roots when none is given.
    pub cacert: Option<PathBuf>,
    /// `--cert`.
    pub cert: Option<PathBuf>,
    /// `--key`.
    pub key: Option<PathBuf>,
}

/// How to reach the members of a cluster.
#[derive(Clone, Debug)]
pub struct Access {
    /// TLS files.
    pub tls: TlsFiles,
    /// Accept any server certificate (`--insecure-skip-tls-verify`).
    pub insecure_skip_verify: bool,
    /// Refuse to send anything without TLS (`--insecure-transport=false`).
    pub require_tls: bool,
    /// The name to expect in server certificates instead of the endpoint's host, for tunnels.
    pub server_name: Option<String>,
    /// Whom to authenticate as.
    pub user: Option<Credentials>,
    /// Limit of one attempt to connect, DNS to TLS.
    pub dial_timeout: Duration,
    /// Limit of one call.
    pub command_timeout: Duration,
    /// Pause between keep-alive pings; never below [`MIN_KEEPALIVE`].
    pub keepalive_time: Duration,
    /// How long a ping may stay unanswered.
    pub keepalive_timeout: Duration,
    /// Where `/metrics` is served, if not on the client url: scheme, host and port. A host of `*` stands for
    /// the member's own.
    pub metrics_url: Option<String>,
}

/// etcd cuts off clients that ping more often than its `--grpc-keepalive-min-time` of 5 s (a test shows it for 3.4 and
/// 3.7); grpc-go clients, etcdctl among them, never ping more often than this whatever they are told.
pub const MIN_KEEPALIVE: Duration = Duration::from_secs(10);

impl Default for Access {
    fn default() -> Self {
        Self {
            tls: TlsFiles::default(),
            insecure_skip_verify: false,
            require_tls: false,
            server_name: None,
            user: None,
            dial_timeout: Duration::from_secs(2),
            command_timeout: Duration::from_secs(5),
            keepalive_time: MIN_KEEPALIVE,
            keepalive_timeout: Duration::from_secs(6),
            metrics_url: None,
        }
    }
}

impl Access {
    /// Whether anything about TLS was said: then an endpoint without a scheme means `https`, as in etcdctl.
    #[must_use]
    pub const fn has_tls(&self) -> bool {
        self.tls.cacert.is_some()
            || self.tls.cert.is_some()
            || self.insecure_skip_verify
            || self.require_tls
            || self.server_name.is_some()
    }
}
