//! What a run did, as a file for the textfile collector of Prometheus' node exporter: gauges about the last run, in base
//! units, moments instead of ages. A file for each command: two files must not hold the same series.

use std::collections::BTreeMap;
use std::fs;
use std::io::{self, Read, Write};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use color_eyre::Result;
use color_eyre::eyre::eyre;

use super::report::{self, Report};
use crate::cli::exit::Exit;
use crate::model::MemberId;
use crate::snapshot::Saved;

/// Bytes of such a file, at most.
const LARGEST: u64 = 1 << 20;

/// When a command was last done, from one file to the next.
const LAST_DONE: &str = "etcdtop_last_success_timestamp_seconds";

/// Whether the file can be written at all: before anything is done, not after.
///
/// # Errors
/// Why not.
pub(in crate::cli) fn check(file: &Path) -> Result<()> {
    let folder = folder_of(file);
    if file.is_dir() || file.file_name().is_none() {
        return Err(eyre!("--metrics-file {}: is a folder; name a file in it", file.display()));
    }
    // It is replaced by a new one: what is a device, a pipe or a link must not be.
    if fs::symlink_metadata(file).is_ok_and(|about| !about.is_file()) {
        return Err(eyre!(
            "--metrics-file {}: is no plain file, and would be replaced by one",
            file.display()
        ));
    }
    if !folder.is_dir() {
        return Err(eyre!("--metrics-file {}: there is no folder {}", file.display(), folder.display()));
    }
    if rustix::fs::access(folder, rustix::fs::Access::WRITE_OK).is_err() {
        return Err(eyre!("--metrics-file {}: {} is not writable", file.display(), folder.display()));
    }
    Ok(())
}

fn folder_of(file: &Path) -> &Path {
    file.parent().filter(|p| !p.as_os_str().is_empty()).unwrap_or(Path::new("."))
}

/// Writes the file anew: whole or not at all, readable for the collector. `saved` is the newest snapshot of the cluster.
pub(in crate::cli) fn write(file: &Path, report: &Report<'_>, saved: Option<&Saved>) {
    if report.result == report::Result::Planned {
        // That it could be done is no success: yesterday's figures stay.
        return;
    }
    let before = read(file).unwrap_or_default();
    let text = text(report, saved, &before);
    if let Err(e) = replace(file, &text) {
        // What was done is done: this is no reason to call it failed.
        tell!("etcdtop: warning: {} cannot be written: {e}", file.display());
    }
}

/// What was written last; nothing of what we did not write.
fn read(file: &Path) -> Option<String> {
    check(file).ok()?;
    let mut text = String::new();
    fs::File::open(file).ok()?.take(LARGEST).read_to_string(&mut text).ok()?;
    Some(text)
}

fn replace(file: &Path, text: &str) -> io::Result<()> {
    // Under a name of chance, made anew: what somebody laid in its place is not written through. The collector reads what
    // ends in .prom alone.
    let mut part = tempfile::Builder::new().prefix(".etcdtop").tempfile_in(folder_of(file))?;
    part.write_all(text.as_bytes())?;
    part.as_file().set_permissions(fs::Permissions::from_mode(0o644))?;
    part.as_file().sync_all()?;
    part.persist(file)?;
    Ok(())
}

/// The same file after a run that could not even begin: a certificate that is gone must not leave yesterday's success.
pub(in crate::cli) fn could_not_begin(file: &Path) {
    let Some(before) = read(file) else { return };
    if let Err(e) = replace(file, &begun_in_vain(&before, jiff::Timestamp::now())) {
        tell!("etcdtop: warning: {} cannot be written: {e}", file.display());
    }
}

fn begun_in_vain(before: &str, at: jiff::Timestamp) -> String {
    let now = |line: &str| {
        let (series, _) = line.rsplit_once(' ')?;
        let value = match series.split('{').next()? {
            "etcdtop_run_timestamp_seconds" => at.as_second(),
            "etcdtop_run_success" => 0,
            "etcdtop_run_exit_code" => Exit::Usage.number().into(),
            _ => return None,
        };
        Some(format!("{series} {value}"))
    };
    let lines = before.lines().map(|line| {
        let told = if line.starts_with('#') { None } else { now(line) };
        told.unwrap_or_else(|| line.to_owned()) + "\n"
    });
    lines.collect()
}

/// Metrics as they are put together: each name once, with its help, then its series.
struct Page {
    text: String,
    labels: String,
}

impl Page {
    fn gauge(&mut self, name: &str, help: &str) {
        self.text.push_str(&format!("# HELP {name} {help}\n# TYPE {name} gauge\n"));
    }

    fn series(&mut self, name: &str, more: &[(&str, &str)], value: impl std::fmt::Display) {
        self.text.push_str(&format!("{name}{{{}", self.labels));
        for (key, value) in more {
            self.text.push_str(&format!(",{key}=\"{}\"", escaped(value)));
        }
        self.text.push_str(&format!("}} {value}\n"));
    }

    fn one(&mut self, name: &str, help: &str, value: impl std::fmt::Display) {
        self.gauge(name, help);
        self.series(name, &[], value);
    }
}

fn escaped(value: &str) -> String {
    value.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n")
}

fn text(report: &Report<'_>, saved: Option<&Saved>, before: &str) -> String {
    let labels = format!("cluster=\"{}\",command=\"{}\"", escaped(report.cluster), escaped(report.command));
    let last_done = format!("{LAST_DONE}{{{labels}}} ");
    let mut page = Page { text: String::new(), labels };
    let done = report.exit == 0;
    let ended = report.ended_at.as_second();
    page.one("etcdtop_run_timestamp_seconds", "When the last run of the command ended.", ended);
    page.one(
        "etcdtop_run_success",
        "1 if the last run did what was asked for, or had nothing to do.",
        u8::from(done),
    );
    page.one("etcdtop_run_exit_code", "The exit code of the last run.", report.exit);
    page.one("etcdtop_run_duration_seconds", "How long the last run took.", report.seconds);
    let earlier = before.lines().find_map(|l| l.strip_prefix(&last_done)?.trim().parse::<i64>().ok());
    if let Some(at) = Some(ended).filter(|_| done).or(earlier) {
        page.one(LAST_DONE, "When the command last did what was asked for.", at);
    }
    steps(&mut page, report);
    if let Some(saved) = saved {
        snapshot(&mut page, saved);
    }
    page.text
}

fn steps(page: &mut Page, report: &Report<'_>) {
    let mut states: BTreeMap<&str, usize> = BTreeMap::new();
    for state in ["done", "failed", "unknown", "skipped", "needless", "not_begun"] {
        states.insert(state, 0);
    }
    for step in &report.steps {
        *states.entry(step.state()).or_default() += 1;
    }
    page.gauge("etcdtop_run_steps", "Steps of the last run, by how they stand.");
    for (state, number) in states {
        page.series("etcdtop_run_steps", &[("state", state)], number);
    }
    page.one(
        "etcdtop_run_reclaimed_bytes",
        "Bytes that the last run gave back to the disks of all members together.",
        report.reclaimed_bytes,
    );
    let defragmented: Vec<_> = report.steps.iter().filter_map(report::StepJson::defragmented).collect();
    if defragmented.is_empty() {
        return;
    }
    let id = |m: MemberId| m.to_string();
    page.gauge("etcdtop_defrag_duration_seconds", "How long the member's last defragmentation took.");
    for d in defragmented.iter().filter(|d| d.took_ms.is_some()) {
        #[allow(clippy::cast_precision_loss)] // of hours
        let seconds = d.took_ms.unwrap_or_default() as f64 / 1e3;
        page.series("etcdtop_defrag_duration_seconds", &[("member_id", &id(d.member))], seconds);
    }
    for (name, help, size) in [
        ("etcdtop_defrag_db_size_before_bytes", "The member's file before its last defragmentation.", 0),
        ("etcdtop_defrag_db_size_after_bytes", "The member's file after its last defragmentation.", 1),
    ] {
        page.gauge(name, help);
        for d in &defragmented {
            if let Some(bytes) = if size == 0 { d.before } else { d.after } {
                page.series(name, &[("member_id", &id(d.member))], bytes.0);
            }
        }
    }
}

fn snapshot(page: &mut Page, saved: &Saved) {
    page.one(
        "etcdtop_snapshot_timestamp_seconds",
        "When the newest snapshot was taken: its age is time() minus this.",
        saved.taken_at.as_second(),
    );
    page.one("etcdtop_snapshot_size_bytes", "The newest snapshot's size.", saved.size.0);
    if let Some(side) = &saved.side {
        page.one(
            "etcdtop_snapshot_revision",
            "The revision that the newest snapshot holds.",
            side.revision.0,
        );
    }
    page.gauge(
        "etcdtop_snapshot_verified",
        "1 if the newest snapshot was verified, and how: fast, full, or drill (restored and started).",
    );
    let how = saved.side.as_ref().map_or("no", |side| side.verified.as_str());
    page.series("etcdtop_snapshot_verified", &[("how", how)], u8::from(saved.is_verified()));
}

#[cfg(test)]
#[path = "metrics_tests.rs"]
mod tests;
