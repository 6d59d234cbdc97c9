//! The evidence of a diagnosis in one file, for a ticket: no values, no secrets, and on wish no names.

use std::fs::OpenOptions;
use std::io::{ErrorKind, Write};
use std::net::IpAddr;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use color_eyre::Result;
use color_eyre::eyre::eyre;
use serde_json::{Value, json};

use super::diagnose::Diagnosis;
use super::status;
use crate::app::Keymap;
use crate::config::Settings;
use crate::model::metrics::Spread;
use crate::model::{ClusterView, MemberView};
use crate::poll::history::History;
use crate::poll::scrapes::MIXIN_WINDOW;

/// Refuses early what could not be written in the end.
pub(super) fn check(file: &Path) -> Result<()> {
    if file.symlink_metadata().is_ok() {
        return Err(eyre!("{} exists: it is not overwritten; name another file", file.display()));
    }
    if file.as_os_str() == "-" {
        return Err(eyre!("--bundle needs a file; -o json writes the diagnosis to standard output"));
    }
    match file.parent().filter(|p| !p.as_os_str().is_empty()) {
        Some(folder) if !folder.is_dir() => {
            Err(eyre!("{}: {} is no folder", file.display(), folder.display()))
        }
        _ => {
            // Tried before anybody is asked; gone again, so that nothing empty is left when that fails.
            OpenOptions::new()
                .write(true)
                .create_new(true)
                .mode(0o600)
                .open(file)
                .map_err(|e| eyre!("{} cannot be written: {e}", file.display()))?;
            Ok(std::fs::remove_file(file)?)
        }
    }
}

/// Writes it, for this user alone.
pub(super) fn write(
    file: &Path,
    diagnosis: &Diagnosis,
    settings: &Settings,
    keys: &Keymap,
    anonymise: bool,
) -> Result<()> {
    let mut bundle = evidence(diagnosis, settings, keys)?;
    if anonymise {
        hide_settings(&mut bundle);
        Hidden::of(&diagnosis.view, settings).hide(&mut bundle);
    }
    let text = serde_json::to_string_pretty(&bundle)?;
    let mut out =
        OpenOptions::new().write(true).create_new(true).mode(0o600).open(file).map_err(|e| {
            match e.kind() {
                ErrorKind::AlreadyExists => eyre!("{} exists: it is not overwritten", file.display()),
                _ => eyre!("{} cannot be written: {e}", file.display()),
            }
        })?;
    let written =
        out.write_all(text.as_bytes()).and_then(|()| out.write_all(b"\n")).and_then(|()| out.sync_all());
    written.map_err(|e| {
        // Half of it would look like all of it.
        let _ = std::fs::remove_file(file);
        eyre!("{} cannot be written: {e}", file.display())
    })
}

fn evidence(diagnosis: &Diagnosis, settings: &Settings, keys: &Keymap) -> Result<Value> {
    let view = &diagnosis.view;
    let metrics: Vec<_> = view
        .members
        .iter()
        .map(|m| {
            json!({
                "member": m.label(),
                "scraped_at": m.metrics_at,
                "error": m.metrics_error.as_ref().map(ToString::to_string),
                "clock_ahead_seconds": m.clock.map(|c| [c.low, c.high]),
                "latency_ms": latencies(view, &diagnosis.history, m),
                "sample": m.metrics.as_deref(),
            })
        })
        .collect();
    Ok(json!({
        "etcdtop": env!("CARGO_PKG_VERSION"),
        "at": view.at,
        "diagnosis": serde_json::to_value(diagnosis.json(keys))?,
        "status": serde_json::to_value(status::json(view, &diagnosis.verdict))?,
        "metrics": metrics,
        "settings": settings.rows,
        "warnings": settings.warnings,
    }))
}

/// p50 and p99 of what was observed while it was looked at.
fn latencies(view: &ClusterView, history: &History, m: &MemberView) -> Value {
    let Some(id) = m.id else { return Value::Null };
    let ms = |d: std::time::Duration| (d.as_secs_f64() * 1e5).round() / 100.0;
    let shown = |s: Option<Spread>| s.map(|s| json!({"p50": ms(s.p50), "p99": ms(s.p99), "count": s.count}));
    let peers: serde_json::Map<_, _> = view
        .members
        .iter()
        .filter_map(|peer| Some((peer.label(), shown(history.rtt(id, peer.id?))?)))
        .collect();
    json!({
        "fsync": shown(history.fsync(id, MIXIN_WINDOW)),
        "commit": shown(history.commit(id, MIXIN_WINDOW)),
        "round_trip": peers,
    })
}

/// Settings that say nothing about whose cluster it is.
const HARMLESS: [&str; 14] = [
    "insecure_transport",
    "insecure_skip_tls_verify",
    "dial_timeout",
    "command_timeout",
    "keepalive_time",
    "keepalive_timeout",
    "metrics_interval",
    "read_only",
    "on_hangup",
    "interval",
    "theme",
    "color",
    "ascii",
    "output",
];

/// Of every other setting stays only whether there is a value.
fn hide_settings(bundle: &mut Value) {
    for row in bundle["settings"].as_array_mut().into_iter().flatten() {
        let harmless = row["setting"].as_str().is_some_and(|name| HARMLESS.contains(&name));
        if !harmless && !row["value"].is_null() {
            row["value"] = json!("(hidden)");
            row["origin"] = json!("(hidden)");
        }
    }
    // They name files and hosts.
    bundle["warnings"] = json!(bundle["warnings"].as_array().map_or(0, Vec::len));
}

/// What must not be readable any more, and what stands for it: the longest first.
struct Hidden {
    names: Vec<(String, String)>,
}

impl Hidden {
    fn of(view: &ClusterView, settings: &Settings) -> Self {
        let mut names: Vec<(String, String)> = Vec::new();
        let mut put = |name: String, stands: &str| {
            if !name.is_empty() && !names.iter().any(|(known, _)| *known == name) {
                names.push((name, stands.to_owned()));
            }
        };
        for (i, m) in (1..).zip(&view.members) {
            put(m.label(), &format!("member-{i}"));
            put(m.name.raw().to_owned(), &format!("member-{i}"));
            put(m.id.map(|id| id.to_string()).unwrap_or_default(), &format!("id-{i}"));
            // Metrics and errors of etcd write it so.
            put(m.id.map(|id| id.0.to_string()).unwrap_or_default(), &format!("id-{i}"));
            put(m.certificate.as_ref().map(|c| c.subject.to_string()).unwrap_or_default(), "(subject)");
            let urls = m.client_urls.iter().chain(&m.peer_urls).map(|u| u.raw().to_owned());
            let endpoints = m.endpoint.iter().chain(&m.also_at).map(|e| e.raw().to_owned());
            for url in urls.chain(endpoints) {
                put(host_of(&url), &format!("host-{i}"));
                // Resolvers and TLS say it in lower case.
                put(host_of(&url).to_lowercase(), &format!("host-{i}"));
            }
        }
        put(view.cluster_id.map(|id| id.to_string()).unwrap_or_default(), "cluster");
        put(settings.cluster_name(), "cluster-name");
        put(settings.context.as_ref().map(|c| c.value.clone()).unwrap_or_default(), "context");
        put(settings.user.as_ref().map(|u| u.value.clone()).unwrap_or_default(), "user");
        let elsewhere = [
            &settings.server_name,
            &settings.metrics_url,
            &settings.discovery_srv,
            &settings.discovery_srv_name,
        ];
        for setting in elsewhere.into_iter().flatten() {
            put(host_of(&setting.value), "named-host");
            put(setting.value.clone(), "named-host");
        }
        for (i, endpoint) in (1..).zip(&settings.endpoints.value) {
            put(endpoint.host().to_owned(), &format!("endpoint-{i}"));
        }
        names.sort_by_key(|(name, _)| std::cmp::Reverse(name.len()));
        Self { names }
    }

    fn hide(&self, value: &mut Value) {
        match value {
            Value::String(text) => *text = self.hidden(text),
            Value::Array(list) => list.iter_mut().for_each(|v| self.hide(v)),
            Value::Object(map) => {
                let old = std::mem::take(map);
                for (key, mut v) in old {
                    self.hide(&mut v);
                    // Latencies are kept by the names of peers.
                    map.insert(self.hidden(&key), v);
                }
            }
            Value::Null | Value::Bool(_) | Value::Number(_) => {}
        }
    }

    /// The text with every name replaced where it stands alone, and every address that is left.
    fn hidden(&self, text: &str) -> String {
        let mut out = text.to_owned();
        for (name, stands) in &self.names {
            out = replace_words(&out, name, stands);
        }
        hide_tokens(&out)
    }
}

/// What stands between `://` and the port or path; of a socket the path.
fn host_of(url: &str) -> String {
    if let Some(path) = url.strip_prefix("unix://").or_else(|| url.strip_prefix("unixs://")) {
        return path.to_owned();
    }
    let rest = url.split_once("://").map_or(url, |(_, rest)| rest);
    let authority = rest.split('/').next().unwrap_or_default();
    let host = match authority.strip_prefix('[') {
        Some(v6) => v6.split(']').next().unwrap_or_default(),
        None => authority.rsplit_once(':').map_or(authority, |(host, _)| host),
    };
    host.to_owned()
}

/// Replaces `name` where no letter, digit or `_` stands beside it.
fn replace_words(text: &str, name: &str, stands: &str) -> String {
    let part = |c: char| c.is_alphanumeric() || c == '_';
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find(name) {
        let (before, after) = (&rest[..at], &rest[at + name.len()..]);
        let alone = !before.chars().next_back().or(out.chars().next_back()).is_some_and(part)
            && !after.chars().next().is_some_and(part);
        out.push_str(before);
        out.push_str(if alone { stands } else { name });
        rest = after;
    }
    out.push_str(rest);
    out
}

/// Addresses and ids that no member of the list told: those in errors of the operating system, of members that were removed.
fn hide_tokens(text: &str) -> String {
    let part = |c: char| c.is_ascii_hexdigit() || c == '.' || c == ':';
    let is_address = |token: &str| {
        let host = token.rsplit_once(':').map_or(token, |(host, _)| host);
        let v4 = |t: &str| t.parse::<IpAddr>().is_ok_and(|ip| ip.is_ipv4());
        v4(token) || v4(host) || token.matches(':').count() > 1 && token.parse::<IpAddr>().is_ok()
    };
    let mut out = String::with_capacity(text.len());
    let mut token = String::new();
    for c in text.chars().chain(std::iter::once('\0')) {
        if part(c) {
            token.push(c);
            continue;
        }
        let bare = token.trim_end_matches(['.', ':']).len();
        let bare_token = &token[..bare];
        let hex = bare_token.chars().all(|c| c.is_ascii_hexdigit());
        // An id has up to 16 digits; a number without a letter in it is a figure.
        if hex && (12..=16).contains(&bare) && bare_token.contains(|c: char| c.is_ascii_alphabetic()) {
            out.push_str("(id)");
            out.push_str(&token[bare..]);
        } else if is_address(bare_token) {
            out.push_str("(address)");
            out.push_str(&token[bare..]);
        } else {
            out.push_str(&token);
        }
        token.clear();
        if c != '\0' {
            out.push(c);
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_hidden_where_they_stand_alone() {
        assert_eq!(
            replace_words("m1 hung; m1's disk, m10 well", "m1", "member-1"),
            "member-1 hung; member-1's disk, m10 well"
        );
        assert_eq!(replace_words("https://etcd-0.prod:2379", "etcd-0.prod", "host-1"), "https://host-1:2379");
        assert_eq!(replace_words("aa", "a", "b"), "aa");
    }

    #[test]
    fn addresses_are_hidden_and_times_are_not() {
        for (text, expected) in [
            ("connect to 10.1.2.3:2379: refused", "connect to (address): refused"),
            ("at 10.1.2.3.", "at (address)."),
            ("fe80::1 is silent", "(address) is silent"),
            ("to e0844a71dbfcd781, 1795280718717 ms", "to (id), 1795280718717 ms"),
            ("2027-01-15T08:00:00Z, version 3.6.5, 12:30", "2027-01-15T08:00:00Z, version 3.6.5, 12:30"),
        ] {
            assert_eq!(hide_tokens(text), expected, "{text}");
        }
    }

    #[test]
    fn hosts_of_urls() {
        for (url, host) in [
            ("https://10.0.0.1:2379", "10.0.0.1"),
            ("http://[fe80::1]:2380/x", "fe80::1"),
            ("etcd-1.internal:2379", "etcd-1.internal"),
            ("unix:///run/etcd.sock", "/run/etcd.sock"),
        ] {
            assert_eq!(host_of(url), host, "{url}");
        }
    }
}
