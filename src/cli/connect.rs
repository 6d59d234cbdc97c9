//! From the command line to a running poll: settings, password, discovery, certificates.

use std::borrow::Cow;
use std::io::IsTerminal;
use std::time::Duration;

use color_eyre::Result;
use color_eyre::eyre::eyre;

use super::args::Cli;
use super::voice;
use crate::config::{Host, Inputs, Origin, OutputFormat, Settings, Sourced, load};
use crate::etcd::{Access, Credentials, Dialer, TlsFiles, access::MIN_KEEPALIVE, discovery::discover};
use crate::model::Endpoint;
use crate::model::text::is_dangerous;
use crate::poll;

/// What settings are made from.
pub(super) fn inputs(cli: &Cli) -> Inputs<'static> {
    Inputs {
        flags: cli.global.flags(),
        context: cli.global.context.clone(),
        config: cli.global.config.clone(),
        env: &|name| std::env::var(name).ok(),
        host: Host::this(),
    }
}

/// The settings in force.
pub(super) fn settings(cli: &Cli) -> Result<Settings> {
    let mut settings = load(&inputs(cli))?;
    settings.raise_keepalive(MIN_KEEPALIVE);
    super::logging::start(&settings)?;
    Ok(settings)
}

/// What should be known about the settings, on standard error.
pub(super) fn warn(settings: &Settings) {
    for warning in &settings.warnings {
        tell!("etcdtop: warning: {warning}");
    }
    if let Origin::Host { what, path } = &settings.endpoints.origin {
        let list: Vec<_> = settings.endpoints.value.iter().map(ToString::to_string).collect();
        tell!(
            "etcdtop: {} found on this host ({what}, {}); --endpoints names others",
            list.join(","),
            path.display()
        );
    }
}

/// The shape of output: as set, else a table.
pub(super) fn output(settings: &Settings) -> OutputFormat {
    settings.output.as_ref().map_or(OutputFormat::Table, |o| o.value)
}

/// How to reach the cluster. Asks for a password if a user has none and there is a terminal.
pub(super) fn access(settings: &Settings) -> Result<Access> {
    access_by(settings, |user| {
        if !std::io::stdin().is_terminal() {
            return Err(eyre!(
                "user {} ({}) has no password and there is no terminal to ask: set ETCDTOP_PASSWORD or password_file",
                user.value,
                user.origin
            ));
        }
        Ok(rpassword::prompt_password(format!("password of {}: ", user.value))?)
    })
}

/// The same for one cluster of many: nobody could tell whose password a prompt asks for.
pub(super) fn access_unasked(settings: &Settings) -> Result<Access> {
    access_by(settings, |user| {
        Err(eyre!(
            "user {} ({}) has no password: set password_file in the context (nobody is asked for those of many clusters)",
            user.value,
            user.origin
        ))
    })
}

fn access_by(settings: &Settings, ask: impl FnOnce(&Sourced<String>) -> Result<String>) -> Result<Access> {
    let user = match (&settings.user, &settings.password) {
        (None, _) => None,
        (Some(user), Some(password)) => {
            Some(Credentials { name: user.value.clone(), password: password.value.expose().to_owned() })
        }
        (Some(user), None) => Some(Credentials { name: user.value.clone(), password: ask(user)? }),
    };
    let path = |p: &Option<crate::config::Sourced<std::path::PathBuf>>| p.as_ref().map(|p| p.value.clone());
    Ok(Access {
        tls: TlsFiles {
            cacert: path(&settings.cacert),
            cert: path(&settings.cert),
            key: path(&settings.key),
        },
        insecure_skip_verify: settings.insecure_skip_tls_verify.value,
        require_tls: !settings.insecure_transport.value,
        server_name: settings.server_name.as_ref().map(|s| s.value.clone()),
        user,
        dial_timeout: settings.dial_timeout.value,
        command_timeout: settings.command_timeout.value,
        keepalive_time: settings.keepalive_time.value,
        keepalive_timeout: settings.keepalive_timeout.value,
        metrics_url: settings.metrics_url.as_ref().map(|m| m.value.clone()),
    })
}

/// The endpoints: as set, or from SRV records.
pub(super) async fn endpoints(settings: &Settings) -> Result<Vec<Endpoint>> {
    match &settings.discovery_srv {
        Some(domain) if settings.endpoints.value.is_empty() => {
            let name = settings.discovery_srv_name.as_ref().map(|n| n.value.as_str());
            Ok(discover(&domain.value, name, settings.dial_timeout.value).await?)
        }
        _ => Ok(settings.endpoints.value.clone()),
    }
}

/// How long to wait for a member that hangs: as long as was asked for, otherwise not as long as a call may take.
pub(super) fn patience(settings: &Settings) -> Duration {
    match settings.command_timeout.origin {
        Origin::Default => poll::PATIENCE,
        _ => settings.command_timeout.value,
    }
}

/// What to poll.
pub(super) async fn poll_options(access: Access, settings: &Settings) -> Result<poll::Options> {
    let endpoints = endpoints(settings).await?;
    let dialer = Dialer::new(access, &endpoints)?;
    Ok(poll::Options {
        dialer,
        endpoints,
        interval: settings.interval.value,
        metrics_every: settings.metrics_interval.value,
        patience: patience(settings),
        known: Vec::new(),
    })
}

/// Runs a command's calls, everything on this thread.
pub(super) fn run_to_end<T>(calls: impl Future<Output = Result<T>>) -> Result<T> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let outcome = runtime.block_on(calls);
    // A resolver that does not answer must not hold up the end.
    runtime.shutdown_background();
    outcome
}

/// Writes to standard output; a reader that went away (`| head`) is no error.
pub(super) fn print(text: &str) -> Result<()> {
    Ok(voice::out(text)?)
}

/// What `tell!` writes.
pub(super) fn tell(text: std::fmt::Arguments<'_>) {
    voice::err(&format!("{text}\n"));
}

/// What is shown as JSON. Text of a cluster stands in it as it is, but what could move a terminal's cursor or reorder
/// text is escaped: the same JSON, harmless to look at.
pub(super) fn print_json(value: &impl serde::Serialize) -> Result<()> {
    print(&format!("{}\n", harmless(&serde_json::to_string(value)?)))
}

fn harmless(json: &str) -> Cow<'_, str> {
    if !json.chars().any(is_dangerous) {
        return Cow::Borrowed(json);
    }
    let mut out = String::with_capacity(json.len() + 16);
    for c in json.chars() {
        if is_dangerous(c) {
            for unit in c.encode_utf16(&mut [0; 2]) {
                out.push_str(&format!("\\u{unit:04x}"));
            }
        } else {
            out.push(c);
        }
    }
    Cow::Owned(out)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn json_says_the_same_and_moves_no_cursor() {
        let name = "m1\u{9b}2J\u{202e}evil\u{e0001}\n";
        let json = harmless(&serde_json::to_string(name).unwrap()).into_owned();
        assert!(json.is_ascii(), "{json}");
        assert_eq!(serde_json::from_str::<String>(&json).unwrap(), name);
    }
}
