//! Planning a snapshot: of whom, into which file, and whether there is one that is young enough.

use std::path::Path;
use std::time::Duration;

use super::gates;
use super::plan::{Action, Verdict, Verify};
use super::planner::{Draft, NoPlan};
use super::save::{SPARE, fits};
use crate::model::units::{age, grouped};
use crate::model::{Bytes, MemberId, MemberView, Role};
use crate::snapshot::Place;

/// A snapshot that is older than this is worth a warning before something that cannot be taken back.
const OLD_SNAPSHOT: Duration = Duration::from_secs(24 * 3600);

impl<'a> Draft<'a> {
    pub(super) fn snapshot_check(&mut self) {
        if let Some((folder, source)) = self.s.snapshot_first.zip(self.snapshot_source()) {
            self.snapshot_step(source, folder, None, Verify::Full);
            self.plan.steps.rotate_right(1);
            self.check(true, "a snapshot is taken first", Verdict::Pass, "");
            return;
        }
        let old = self
            .s
            .last_snapshot
            .map(|at| Duration::try_from(self.s.view.at.duration_since(at)).unwrap_or_default());
        let line = old.map_or_else(
            || "no snapshot of this cluster is known here: take one first".to_owned(),
            |old| format!("the last snapshot is {} old: take one first", age(old)),
        );
        self.check(
            old.is_some_and(|o| o < OLD_SNAPSHOT),
            old.map_or_else(String::new, |o| format!("last snapshot {} ago", age(o))),
            Verdict::Warn,
            line,
        );
    }

    /// The healthiest follower that has caught up; without one, whoever answers.
    pub(super) fn snapshot_source(&self) -> Option<&'a MemberView> {
        let answering =
            self.s.view.members.iter().filter(|m| m.listed && m.state.answers() && m.id.is_some());
        answering.min_by_key(|m| {
            (
                m.learner,
                !m.state.serves(),
                m.lag.unwrap_or(u64::MAX) > gates::LAG_BOUND,
                m.role == Role::Leader,
                m.latency,
            )
        })
    }

    pub(super) fn snapshot(
        &mut self,
        member: Option<MemberId>,
        folder: &Path,
        name: Option<&str>,
        verify: Verify,
    ) -> Result<(), NoPlan> {
        let source = match member {
            Some(id) => self.s.view.member(id),
            None => self.snapshot_source(),
        };
        let source = source.ok_or("no member answers: there is nobody to take a snapshot of")?;
        self.plan.title = format!("Snapshot of {}", self.s.cluster_name);
        self.say("Changes nothing in the cluster; the member reads its whole file once, and the network carries it.");
        self.snapshot_step(source, folder, name, verify);
        self.check(
            source.state.answers(),
            format!("{} answers", source.label()),
            Verdict::Block,
            format!("{} is {}", source.label(), source.state.shown()),
        );
        if !source.state.answers() {
            return Ok(());
        }
        let line = match source.lag {
            Some(lag) => {
                format!("it is {} entries behind the leader: the snapshot will be, too", grouped(lag))
            }
            None => "how far it is behind is not known: nobody leads, or the leader does not answer".into(),
        };
        let caught_up = source.lag.is_some_and(|l| l <= gates::LAG_BOUND);
        self.check(caught_up, "it has caught up with the leader", Verdict::Warn, line);
        Ok(())
    }

    /// Whether the file has room, and may be written at all.
    fn space_check(&mut self, source: &MemberView, folder: &Path) {
        let size = source.status.as_ref().and_then(|s| s.db_size);
        let shown = folder.display();
        match self.s.place {
            None => {}
            Some(Err(why)) => self.check(false, "", Verdict::Block, format!("{why}: set --snapshot-dir")),
            Some(Ok(Place { free })) => {
                let Some(size) = size else { return };
                self.check(
                    fits(size, *free),
                    format!("{free} free in {shown}"),
                    Verdict::Block,
                    format!(
                        "{shown} has {free} free, the snapshot takes {size}, and {} stay free: make room, or set --snapshot-dir",
                        Bytes(SPARE)
                    ),
                );
            }
        }
    }

    /// `prod-eu1-20261121T080000Z.db`: what sorts, and what a file system takes.
    fn snapshot_name(&self) -> String {
        let safe = |c: char| if c.is_ascii_alphanumeric() || c == '-' { c } else { '_' };
        let cluster: String = self.s.cluster_name.chars().map(safe).collect();
        format!("{cluster}-{}.db", self.s.view.at.strftime("%Y%m%dT%H%M%SZ"))
    }

    pub(super) fn snapshot_step(
        &mut self,
        source: &MemberView,
        folder: &Path,
        name: Option<&str>,
        verify: Verify,
    ) {
        let Some(id) = source.id else { return };
        let file = folder.join(name.map_or_else(|| self.snapshot_name(), str::to_owned));
        let etcdctl = format!("etcdctl snapshot save {} --endpoints={}", file.display(), self.endpoint(id));
        let size = source.status.as_ref().and_then(|s| s.db_size);
        let step = self.step(
            Action::Snapshot { member: id, file, numbered: name.is_none(), verify },
            format!("save a snapshot of {}", source.label()),
            etcdctl,
        );
        step.before = size;
        self.space_check(source, folder);
    }
}
