//! What the learner can choose, done.

use std::path::PathBuf;
use std::time::Duration;

use tokio::time::{Instant, sleep};

use super::{Added, Host, PATIENCE, wait_until};
use crate::lab::act::{Act, Who};
use crate::lab::session::snapshots;
use crate::snapshot;

impl Host {
    /// Does what the learner chose; what came of it.
    pub(in crate::lab) async fn act(&mut self, act: Act) -> Result<String, String> {
        let name = |who| self.cast.name(who);
        match act {
            Act::Put => self.ctl(&["put", "lab/hello", "world"]).await.map(|_| "lab/hello was put".into()),
            Act::DeleteJunk => {
                let told = self.ctl(&["del", "--prefix", "lab/reports/"]).await?;
                Ok(format!("{} reports were deleted", told.trim()))
            }
            Act::DisarmByHand => {
                let told = self.ctl(&["alarm", "disarm"]).await?;
                let alarms = told.lines().count();
                Ok(if alarms == 0 {
                    "no alarm was raised".into()
                } else {
                    format!("etcdctl took back {alarms} alarms")
                })
            }
            Act::RaiseQuota => self.raise_quota().await,
            Act::Start(who) => {
                if self.cluster.runs(self.cast.index(who)) {
                    return Err(format!("{} runs already", name(who)));
                }
                self.cluster.restart(self.cast.index(who)).map_err(|e| e.to_string())?;
                self.survives(who, "was started").await
            }
            Act::End(who) => self.end(who).await,
            Act::Restart(who) => {
                if self.cluster.runs(self.cast.index(who)) {
                    self.end(who).await?;
                }
                self.cluster.restart(self.cast.index(who)).map_err(|e| e.to_string())?;
                self.survives(who, "was restarted").await
            }
            Act::Mend(who) => {
                let mended = self.links.as_ref().is_some_and(|links| links.heal(self.cast.index(who)));
                let line = if mended { "the network of" } else { "nothing was wrong with the network of" };
                Ok(format!("{line} {}{}", name(who), if mended { " is whole again" } else { "" }))
            }
            Act::Remove(who) => {
                let id = self.listed(&name(who)).await?;
                self.ctl(&["member", "remove", &id]).await.map(|_| format!("{} was removed", name(who)))
            }
            Act::AddVoter => self.add(false).await,
            Act::AddLearner => self.add(true).await,
            Act::StartNew => {
                let added = self.added.clone().ok_or("the cluster was told of no new member yet")?;
                if self.cluster.runs(added.index) {
                    return Err(format!("{} runs already", name(Who::New)));
                }
                self.cluster.join(added.index, &added.initial).map_err(|e| e.to_string())?;
                self.survives(Who::New, "was started").await
            }
            Act::Promote => {
                let id = self.listed(&name(Who::New)).await?;
                self.ctl(&["member", "promote", &id]).await.map(|_| format!("{} votes", name(Who::New)))
            }
            Act::WakeConsumer => {
                let consumer = self.consumer.as_ref().ok_or("nobody watches")?;
                let before = consumer.view();
                consumer.wake(true);
                // Until it has got an answer, whichever that is.
                let answered = || {
                    consumer.view().next_revision > before.next_revision
                        || consumer.view().cancelled_at.is_some()
                };
                if before.paused {
                    wait_until("the consumer has got an answer", answered).await?;
                }
                Ok("the consumer watches again".into())
            }
            Act::LoseEverything => {
                for index in 0..self.cluster.members().len() {
                    self.cluster.kill(index);
                    self.cluster.wipe(index).map_err(|e| e.to_string())?;
                }
                Ok("every member is gone, and every disk with it".into())
            }
            Act::Restore => self.restore().await,
            Act::StartEmpty => {
                self.need_nobody()?;
                for index in 0..self.cluster.members().len() {
                    self.cluster.restart(index).map_err(|e| e.to_string())?;
                }
                Ok("every member was started with an empty disk".into())
            }
            Act::Renew(who) => {
                self.issue(who, true)?;
                Ok(format!("{} has a certificate for ten years", name(who)))
            }
        }
    }

    async fn end(&mut self, who: Who) -> Result<String, String> {
        let index = self.cast.index(who);
        if !self.cluster.runs(index) {
            return Err(format!("{} does not run", self.cast.name(who)));
        }
        // A frozen process hears no SIGTERM: a service manager loses its patience in the end.
        if self.frozen.remove(&index) {
            self.cluster.kill(index);
        } else {
            self.cluster.end(index).await;
        }
        Ok(format!("{} was ended", self.cast.name(who)))
    }

    /// A process that ends at once was started in vain.
    async fn survives(&mut self, who: Who, what: &str) -> Result<String, String> {
        let index = self.cast.index(who);
        let until = Instant::now() + Duration::from_millis(500);
        while Instant::now() < until {
            if !self.cluster.runs(index) {
                let log = self.cluster.log_end(index);
                let last = log.lines().last().unwrap_or_default().to_owned();
                return Err(format!("{} {what} and ended at once: {last}", self.cast.name(who)));
            }
            sleep(Duration::from_millis(20)).await;
        }
        Ok(format!("{} {what}", self.cast.name(who)))
    }

    async fn raise_quota(&mut self) -> Result<String, String> {
        let mut untouched = Vec::new();
        for index in 0..self.cluster.members().len() {
            self.cluster.set_flag(index, "--quota-backend-bytes", &(64 << 20).to_string());
            // What does not run, or hangs, is not mended by the way.
            if !self.cluster.runs(index) || self.frozen.contains(&index) {
                untouched.push(self.cluster.members()[index].name.clone());
                continue;
            }
            self.cluster.end(index).await;
            self.cluster.restart(index).map_err(|e| e.to_string())?;
            // One at a time: the next one not before this one is back.
            self.back(index).await?;
        }
        Ok(if untouched.is_empty() {
            "every member has a quota of 64 MiB".into()
        } else {
            format!("a quota of 64 MiB; {} was not restarted: it did not answer before", untouched.join(", "))
        })
    }

    /// Waits until a member answers and has a leader.
    async fn back(&self, index: usize) -> Result<(), String> {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let why = match self.status_of(index).await {
                Ok(status) if status.leader.is_some() => return Ok(()),
                Ok(_) => "it has no leader".to_owned(),
                Err(why) => why,
            };
            if Instant::now() > deadline {
                return Err(format!("{} does not come back: {why}", self.cluster.members()[index].name));
            }
            sleep(Duration::from_millis(100)).await;
        }
    }

    async fn add(&mut self, learner: bool) -> Result<String, String> {
        let index = self.cast.index(Who::New);
        if index == self.cluster.members().len() {
            self.cluster.reserve().map_err(|e| e.to_string())?;
        }
        let (name, urls) = (self.cast.name(Who::New), self.cluster.members()[index].peer_url.clone());
        let urls = format!("--peer-urls={urls}");
        let mut args = vec!["member", "add", &name, &urls];
        args.extend(learner.then_some("--learner"));
        let told = self.ctl(&args).await?;
        // etcdctl prints what the new member has to be started with.
        let initial = told.lines().find_map(|l| l.strip_prefix("ETCD_INITIAL_CLUSTER=")).unwrap_or_default();
        self.added = Some(Added { index, initial: initial.trim_matches('"').to_owned() });
        Ok(format!(
            "{name} was added as a {}; it does not run yet",
            if learner { "learner" } else { "voter" }
        ))
    }

    fn need_nobody(&mut self) -> Result<(), String> {
        for index in 0..self.cluster.members().len() {
            if self.cluster.runs(index) {
                return Err(format!("{} runs: its data is there", self.cluster.members()[index].name));
            }
        }
        Ok(())
    }

    /// Snapshots in the lab's folder, the newest first.
    fn newest_snapshot(&self) -> Result<PathBuf, String> {
        let folder = snapshots(self.cluster.folder());
        let listing = snapshot::list(&folder).map_err(|e| e.to_string())?;
        let newest = listing.saved.first().ok_or("there is no snapshot: nothing can be restored")?;
        Ok(newest.path.clone())
    }

    async fn restore(&mut self) -> Result<String, String> {
        self.need_nobody()?;
        let file = self.newest_snapshot()?;
        for index in 0..self.cluster.members().len() {
            self.cluster.restore(index, &file).await.map_err(|e| e.to_string())?;
        }
        for index in 0..self.cluster.members().len() {
            self.cluster.restart(index).map_err(|e| e.to_string())?;
        }
        Ok("every member was restored and started".into())
    }
}
