//! `status`, `health` and `diagnose` of every context: what each tells of one cluster, as a row.

use std::time::Duration;

use color_eyre::Result;

use super::ask::{Tells, ask_all};
use super::{Contexts, warn};
use crate::app::Keymap;
use crate::cli::connect::{output, run_to_end};
use crate::cli::diagnose::{self, DiagnoseArgs, Diagnosis, DiagnosisJson};
use crate::cli::exit::{Exit, Plugin};
use crate::cli::health::{self, Health, HealthJson};
use crate::cli::status::{self, Seen, StatusJson};
use crate::config::Settings;
use crate::model::fleet::Told;
use crate::model::units::{grouped, latency, percent};
use crate::model::{Severity, Verdict};

/// What one look may take: connecting, also to who tells the endpoints, and a call; and some time to think.
fn patience(settings: &Settings) -> Duration {
    settings.dial_timeout.value * 2 + settings.command_timeout.value + Duration::from_secs(3)
}

fn or_dash(text: Option<String>) -> String {
    text.unwrap_or_else(|| "-".to_owned())
}

pub(super) fn status(contexts: Contexts) -> Result<Exit> {
    warn(&contexts.each);
    let format = output(&contexts.common);
    run_to_end(ask_all(contexts.each, format, |s| Some(patience(s)), status::look))
}

pub(super) fn health(contexts: Contexts) -> Result<Exit> {
    warn(&contexts.each);
    let format = output(&contexts.common);
    let limit = |s: &Settings| Some(patience(s) + s.command_timeout.value);
    run_to_end(ask_all(contexts.each, format, limit, health::look))
}

pub(super) fn diagnose(contexts: Contexts, args: &DiagnoseArgs) -> Result<Exit> {
    let keys = diagnose::keys(&contexts.common)?;
    warn(&contexts.each);
    let format = output(&contexts.common);
    // How long members read their keys for a comparison only they know; each of them has its limit.
    let limit = |s: &Settings| (!args.hashkv).then(|| patience(s) + args.look);
    run_to_end(ask_all(contexts.each, format, limit, async |settings: &Settings, access| {
        let diagnosis = diagnose::look_at(settings, access, args.look, args.hashkv).await?;
        Ok(Diagnosed { diagnosis, keys: &keys })
    }))
}

impl Tells for Seen {
    const FIELD: &'static str = "status";
    const HEAD: &'static [&'static str] =
        &["SERVE", "LOSE", "LEADER", "DB SIZE", "OF QUOTA", "VERSION", "REVISION"];
    const RIGHT: &'static [usize] = &[0, 1, 3, 4, 6];
    const NOT_ASKED: Exit = Exit::Usage;
    type Json<'a> = StatusJson<'a>;

    fn json(&self) -> StatusJson<'_> {
        status::json(&self.view, &self.verdict)
    }

    fn exit(&self) -> Exit {
        self.exit()
    }

    fn verdict(&self) -> &Verdict {
        &self.verdict
    }

    fn cells(&self) -> Vec<String> {
        let told = Told::of(&self.view, self.verdict.clone());
        let share = told.db.zip(told.quota).map(|(size, quota)| percent(size.share_of(quota)));
        vec![
            or_dash(told.members.map(|n| format!("{}/{n}", told.serving))),
            or_dash(told.can_lose.map(|n| n.to_string())),
            or_dash(told.leader),
            or_dash(told.db.map(|b| b.to_string())),
            or_dash(share),
            or_dash(Some(told.versions).filter(|v| !v.is_empty())),
            or_dash(told.revision.and_then(|r| u64::try_from(r.0).ok()).map(grouped)),
        ]
    }
}

impl Tells for Health {
    const FIELD: &'static str = "health";
    const HEAD: &'static [&'static str] = &["HEALTH", "HEALTHY", "SLOWEST READ"];
    const RIGHT: &'static [usize] = &[1, 2];
    const NOT_ASKED: Exit = Exit::Plugin(Plugin::Unknown);
    type Json<'a> = HealthJson<'a>;

    fn json(&self) -> HealthJson<'_> {
        self.json()
    }

    fn exit(&self) -> Exit {
        self.exit()
    }

    fn verdict(&self) -> &Verdict {
        &self.verdict
    }

    fn cells(&self) -> Vec<String> {
        let word = match Tells::exit(self) {
            Exit::Plugin(Plugin::Ok) => "ok",
            Exit::Plugin(Plugin::Warning) => "warning",
            Exit::Plugin(Plugin::Critical) => "critical",
            _ => "unknown",
        };
        let healthy = self.checked.iter().filter(|c| c.healthy).count();
        vec![
            word.to_owned(),
            format!("{healthy}/{}", self.checked.len()),
            or_dash(self.checked.iter().filter_map(|c| c.took).max().map(latency)),
        ]
    }
}

/// A diagnosis, and the keys that its next steps are named by.
struct Diagnosed<'k> {
    diagnosis: Diagnosis,
    keys: &'k Keymap,
}

impl Tells for Diagnosed<'_> {
    const FIELD: &'static str = "diagnosis";
    const HEAD: &'static [&'static str] = &["WORST", "FINDINGS"];
    const RIGHT: &'static [usize] = &[1];
    const NOT_ASKED: Exit = Exit::Plugin(Plugin::Unknown);
    type Json<'a>
        = DiagnosisJson<'a>
    where
        Self: 'a;

    fn json(&self) -> DiagnosisJson<'_> {
        self.diagnosis.json(self.keys)
    }

    fn exit(&self) -> Exit {
        self.diagnosis.exit()
    }

    fn verdict(&self) -> &Verdict {
        &self.diagnosis.verdict
    }

    /// The worst finding; a verdict without one has its own reason.
    fn reason(&self) -> String {
        let worst = self.diagnosis.findings.first();
        worst.map_or_else(|| self.diagnosis.verdict.reason.clone(), |f| f.line.clone())
    }

    fn cells(&self) -> Vec<String> {
        let findings = &self.diagnosis.findings;
        let worst = findings.first().map(|f| f.severity).map(Severity::word);
        vec![or_dash(worst.map(str::to_owned)), findings.len().to_string()]
    }
}
