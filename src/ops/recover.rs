//! Planning the way out of an alarm: taking it back, and the whole playbook of NOSPACE.

use std::path::Path;

use super::plan::{Action, AfterFailure, Roll, Verdict, Verify};
use super::planner::{Draft, NoPlan};
use crate::model::AlarmKind;
use crate::model::units::{grouped, percent};

/// Files that fill so much of the quota after a recovery fill it again soon.
const TIGHT: f64 = 0.6;

impl Draft<'_> {
    pub(super) fn disarm(&mut self) -> Result<(), NoPlan> {
        self.plan.title = format!("Disarming the alarms of {}", self.s.cluster_name);
        if self.s.view.alarms.is_empty() {
            return Err(NoPlan::NothingToDo("no alarm is raised".into()));
        }
        self.disarm_steps(AlarmKind::NoSpace);
        self.disarm_steps(AlarmKind::Corrupt);
        for step in self.plan.steps.clone() {
            self.gate_check(&step.action, format!("{}: possible", step.title));
        }
        if !self.s.view.raisers(AlarmKind::Corrupt).is_empty() {
            self.plan.danger = Some("CORRUPT means that members disagree about data".into());
            self.say("CORRUPT: at one revision members hold different data. Disarming it lets writes through again and mends nothing: find the odd member (hashkv) and replace it first.");
        }
        if !self.s.view.raisers(AlarmKind::NoSpace).is_empty() {
            self.say("NOSPACE: every member refuses puts until this is done. If the files grow to the quota again, it comes back.");
        }
        Ok(())
    }

    /// One step for NOSPACE, whoever raises it then; one for each CORRUPT that is seen now.
    pub(super) fn disarm_steps(&mut self, kind: AlarmKind) {
        let below = self.plan.terms.disarm_below.unwrap_or_default();
        let view = self.s.view;
        let raisers: Vec<_> = view.alarms.iter().filter(|a| a.kind == kind).map(|a| a.member).collect();
        let etcdctl = "etcdctl alarm disarm";
        if kind == AlarmKind::NoSpace && !raisers.is_empty() {
            let title = format!("disarm {kind} of {}", view.raisers(kind));
            self.step(Action::Disarm { member: None, alarm: kind, below }, title, etcdctl.into());
            return;
        }
        for member in raisers {
            let title = format!("disarm {kind} of {}", self.name(member));
            self.step(Action::Disarm { member: Some(member), alarm: kind, below }, title, etcdctl.into());
        }
    }

    pub(super) fn recover(&mut self, folder: Option<&Path>, keep: u64) -> Result<(), NoPlan> {
        if self.s.view.raisers(AlarmKind::NoSpace).is_empty() {
            let why = "no NOSPACE alarm is raised: there is nothing to recover from";
            return Err(NoPlan::NothingToDo(why.into()));
        }
        self.plan.title = format!("Recovery of {} from NOSPACE", self.s.cluster_name);
        self.plan.after_failure = AfterFailure::GoOn;
        self.plan.danger = Some("it rewrites every member's file".into());
        if let Some((folder, source)) = folder.zip(self.snapshot_source()) {
            self.snapshot_step(source, folder, None, Verify::Full);
        } else {
            self.snapshot_check();
        }
        let head = self.s.view.revision.map_or(0, |r| r.0);
        let floor = self.s.view.compact_revision.map_or(0, |r| r.0);
        let compacts = self.revision_to_keep(keep).is_some();
        self.compact_first(keep);
        let targets = self.targets(&Roll::default());
        self.defragment_steps(&targets, false);
        self.disarm_steps(AlarmKind::NoSpace);
        let key = self.s.proof_key.to_owned();
        let etcdctl = format!("etcdctl put {key} etcdtop && etcdctl del {key}");
        self.step(Action::ProveWrite { key }, "prove that writes go through".into(), etcdctl);
        if compacts {
            self.plan.danger = Some("it drops history and rewrites every member's file".into());
        }
        self.say("Drops old revisions, rewrites each file one after the other, takes the alarm back once every file is below the quota, and proves it with a put and a delete of a key of its own.");
        self.say("Then: find what fills the database, and raise --quota-backend-bytes (8 GiB at most is advised) if the data is meant to be there.");
        self.health_checks();
        let below = self.plan.terms.disarm_below.unwrap_or_default().share();
        // Live data alone fills the quota, and there is no history to drop: none of this would help.
        let full = self.s.view.members.iter().filter(|m| m.listed).find_map(|m| {
            let (quota, _) = m.quota()?;
            let in_use = m.status.as_ref()?.db_size_in_use?;
            (in_use.share_of(quota) >= below).then_some((m, in_use, quota))
        });
        // It would work, and not for long.
        let tight = self.s.view.members.iter().filter(|m| m.listed).find_map(|m| {
            let (quota, _) = m.quota()?;
            let in_use = m.status.as_ref()?.db_size_in_use?;
            let share = in_use.share_of(quota);
            (TIGHT..below).contains(&share).then_some((m, in_use, quota))
        });
        if let Some((m, in_use, quota)) = tight.filter(|_| !compacts) {
            let line = format!(
                "{in_use} ({}) of {}'s quota {quota} are in use, and nothing is compacted: it fills up again soon; keep fewer than {} revisions, delete keys, or raise --quota-backend-bytes",
                percent(in_use.share_of(quota)),
                m.label(),
                grouped(u64::try_from(head.saturating_sub(floor)).unwrap_or_default())
            );
            self.check(false, "", Verdict::Warn, line);
        }
        if let Some((m, in_use, quota)) = full {
            let share = percent(in_use.share_of(quota));
            let (verdict, line) = if compacts {
                (
                    Verdict::Warn,
                    format!(
                        "{in_use} ({share}) of {}'s quota {quota} are in use: it helps only as far as that is history",
                        m.label()
                    ),
                )
            } else {
                // What is kept may be history all the same: then dropping that, too, helps.
                let history = match head.saturating_sub(floor) {
                    kept @ 2.. => format!("keep fewer than {} revisions, ", grouped(kept.unsigned_abs())),
                    _ => String::new(),
                };
                (
                    Verdict::Block,
                    format!(
                        "{in_use} ({share}) of {}'s quota {quota} are in use, and nothing is compacted: a defragmentation gives nothing back; {history}delete keys, or raise --quota-backend-bytes",
                        m.label()
                    ),
                )
            };
            self.check(false, "", verdict, line);
        }
        Ok(())
    }
}
