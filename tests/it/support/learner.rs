//! A learner beside a lab's members.

use std::process::{Child, Command, Stdio};

use tempfile::TempDir;

use super::cluster::TestCluster;
use super::proxy::free_port;

/// A learner called `m4`: an etcd process of our own, killed when dropped.
pub struct Learner {
    /// Where it serves clients.
    pub url: String,
    child: Child,
    _folder: TempDir,
}

impl Learner {
    /// Adds it to the cluster and starts it.
    pub fn join(cluster: &TestCluster) -> Self {
        let (client, peer) = (free_port(), free_port());
        let peer_url = format!("http://127.0.0.1:{peer}");
        let added = super::wait_for("a member that is added", || {
            let urls = format!("--peer-urls={peer_url}");
            cluster.try_etcdctl(&["member", "add", "m4", "--learner", &urls]).ok()
        });
        // etcdctl prints what the new member has to be started with.
        let initial = added.lines().find_map(|l| l.strip_prefix("ETCD_INITIAL_CLUSTER=")).unwrap();
        let folder = tempfile::tempdir().unwrap();
        let url = format!("http://127.0.0.1:{client}");
        let child = Command::new(&cluster.binaries().etcd)
            .args(["--name=m4", "--initial-cluster-state=existing", "--log-level=error"])
            .arg(format!("--initial-cluster={}", initial.trim_matches('"')))
            .arg(format!("--data-dir={}", folder.path().join("data").display()))
            .arg(format!("--listen-client-urls={url}"))
            .arg(format!("--advertise-client-urls={url}"))
            .arg(format!("--listen-peer-urls={peer_url}"))
            .arg(format!("--initial-advertise-peer-urls={peer_url}"))
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        Self { url, child, _folder: folder }
    }
}

impl Drop for Learner {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
