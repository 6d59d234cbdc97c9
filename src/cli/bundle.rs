//! The evidence of a diagnosis in one file, for a ticket: no values, no secrets, and on wish no names.

use std::fs::OpenOptions;
use std::io::{ErrorKind, Write};
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
use crate::recording::Hidden;

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
        hidden(&diagnosis.view, settings).hide(&mut bundle);
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

/// What must not be readable any more: what the view names, and the settings.
fn hidden(view: &ClusterView, settings: &Settings) -> Hidden {
    Hidden::for_people(view, super::record::names(settings))
}
