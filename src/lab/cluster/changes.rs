//! What happens to members besides being killed: an orderly end, a lost disk, another setting, a new member, data from a
//! snapshot.

use std::fs;
use std::path::Path;
use std::time::Duration;

use rustix::process::Signal;
use tokio::time::{Instant, sleep};

use super::{Cluster, LabError, Member, TOKEN, failed, free_ports};
use crate::lab::process;
use crate::model::Endpoint;

/// How long an orderly end may take.
const ORDERLY: Duration = Duration::from_secs(10);

impl Cluster {
    /// Ends a member as a service manager does (SIGTERM), and waits until it is gone.
    pub async fn end(&mut self, index: usize) {
        // It may have ended by itself.
        let _ = self.send(index, Signal::TERM);
        let deadline = Instant::now() + ORDERLY;
        while self.runs(index) && Instant::now() < deadline {
            sleep(Duration::from_millis(20)).await;
        }
        self.kill(index);
    }

    /// Whether the member's process is there; one that ended by itself is not.
    pub fn runs(&mut self, index: usize) -> bool {
        let Some(child) = self.members.get_mut(index).and_then(|m| m.child.as_mut()) else { return false };
        matches!(child.try_wait(), Ok(None))
    }

    /// Removes the data of a member that does not run: a lost disk.
    ///
    /// # Errors
    /// When its folder cannot be removed.
    pub fn wipe(&mut self, index: usize) -> Result<(), LabError> {
        let Some(member) = self.members.get(index) else { return Ok(()) };
        match fs::remove_dir_all(self.folder.path().join(&member.name)) {
            Err(e) if e.kind() != std::io::ErrorKind::NotFound => {
                Err(failed("cannot remove a member's data")(e))
            }
            _ => Ok(()),
        }
    }

    /// Gives a flag of a member another value from its next start on: `("--quota-backend-bytes", "67108864")`.
    pub fn set_flag(&mut self, index: usize, flag: &str, value: &str) {
        let Some(member) = self.members.get_mut(index) else { return };
        let is = |arg: &String| arg.split_once('=').is_some_and(|(name, _)| name == flag);
        member.args.retain(|arg| !is(arg));
        member.args.push(format!("{flag}={value}"));
    }

    /// Makes room for one more member, which is not started yet: its index.
    ///
    /// # Errors
    /// When no ports are free.
    pub fn reserve(&mut self) -> Result<usize, LabError> {
        let ports = free_ports(2).map_err(failed("cannot find free ports"))?;
        let name = format!("m{}", self.members.len() + 1);
        let client = format!("http://127.0.0.1:{}", ports[0]);
        let peer_url = format!("http://127.0.0.1:{}", ports[1]);
        let args = vec![
            format!("--name={name}"),
            format!("--data-dir={}", self.folder.path().join(&name).display()),
            format!("--listen-client-urls={client}"),
            format!("--advertise-client-urls={client}"),
            format!("--listen-peer-urls={peer_url}"),
            format!("--initial-advertise-peer-urls={peer_url}"),
            format!("--initial-cluster-token={TOKEN}"),
        ];
        let client = Endpoint::parse(&client)
            .map_err(|e| LabError::Io { what: "endpoint".into(), source: std::io::Error::other(e) })?;
        let folder = self.folder.path().to_owned();
        self.members.push(Member { name, client, peer_url, folder, args, child: None });
        Ok(self.members.len() - 1)
    }

    /// Starts a reserved member that the others have been told of; `initial` is what `etcdctl member add` printed as
    /// `ETCD_INITIAL_CLUSTER`.
    ///
    /// # Errors
    /// When it cannot be started.
    pub fn join(&mut self, index: usize, initial: &str) -> Result<(), LabError> {
        self.set_flag(index, "--initial-cluster", initial);
        self.set_flag(index, "--initial-cluster-state", "existing");
        self.restart(index)
    }

    /// Brings the data of a member that does not run, and has none, from a snapshot: `etcdutl snapshot restore`, before 3.5
    /// `etcdctl snapshot restore`.
    ///
    /// # Errors
    /// What the tool says.
    pub async fn restore(&self, index: usize, snapshot: &Path) -> Result<(), LabError> {
        let Some(member) = self.members.get(index) else { return Ok(()) };
        let tool = self.binaries.etcdutl.as_ref().unwrap_or(&self.binaries.etcdctl);
        let mut command = process::mortal(self.launcher.as_deref(), tool);
        command.env("ETCDCTL_API", "3").args(["snapshot", "restore"]).arg(snapshot);
        // What the member would be started with on an empty disk is what the tool has to know.
        for flag in [
            "--name",
            "--data-dir",
            "--initial-cluster",
            "--initial-cluster-token",
            "--initial-advertise-peer-urls",
        ] {
            command
                .args(member.args.iter().filter(|a| a.split_once('=').is_some_and(|(name, _)| name == flag)));
        }
        match process::run(command).await {
            Ok(ended) => ended.output().map(drop).map_err(LabError::Restore),
            Err(e) => Err(failed(format!("cannot run {}", tool.display()))(e)),
        }
    }

    /// The end of a member's log, for people.
    #[must_use]
    pub fn log_end(&self, index: usize) -> String {
        self.members.get(index).map(Member::log_end).unwrap_or_default()
    }
}
