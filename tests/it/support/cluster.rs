//! Real clusters for tests: a few at a time, and a clear failure where an etcd is missing.

use std::path::PathBuf;
use std::process::Command;
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};

use etcdtop::lab::{Binaries, Cluster, Spec};
use serde_json::Value;

/// The program under test.
pub fn program() -> PathBuf {
    PathBuf::from(env!("CARGO_BIN_EXE_etcdtop"))
}

/// Clusters that run at the same time: more starve each other on two cores.
const AT_ONCE: usize = 2;
static RUNNING: Mutex<usize> = Mutex::new(0);
static ENDED: Condvar = Condvar::new();

fn running() -> MutexGuard<'static, usize> {
    // A test that failed while it held the lock does not spoil the others.
    RUNNING.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Flags with which no leader is lost on a machine that has other things to do.
pub fn patient() -> Vec<String> {
    ["--heartbeat-interval=500", "--election-timeout=5000"].map(String::from).to_vec()
}

/// The place of one cluster among those that run at the same time; free again when dropped.
struct Place;

impl Place {
    fn wait() -> Self {
        let mut count = running();
        while *count >= AT_ONCE {
            count = ENDED.wait(count).unwrap_or_else(PoisonError::into_inner);
        }
        *count += 1;
        Self
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        *running() -= 1;
        ENDED.notify_one();
    }
}

/// A cluster that gives its place back when dropped.
pub struct TestCluster {
    cluster: Option<Cluster>,
    // Last: the place is free when the members are gone.
    _place: Place,
}

impl TestCluster {
    /// Starts a cluster, in turn.
    pub async fn start(mut spec: Spec) -> Self {
        // A test that ends while it waits gives back what it would have got.
        let place = tokio::task::spawn_blocking(Place::wait).await.unwrap();
        let mut this = Self { cluster: None, _place: place };
        spec.launcher = Some(program());
        let cluster = Box::pin(Cluster::start(&spec)).await;
        this.cluster =
            Some(cluster.unwrap_or_else(|e| panic!("{e}\n(`make fetch` gets every etcd of the tests)")));
        this
    }

    /// Three members of a version, of which none is elected because the machine is busy.
    pub async fn steady(version: &str) -> Self {
        Self::start(Spec { version: Some(version.into()), extra_args: patient(), ..Spec::default() }).await
    }

    /// Three members of a version.
    pub async fn of(version: &str) -> Self {
        Self::start(Spec { version: Some(version.into()), ..Spec::default() }).await
    }

    /// Comma-separated endpoints.
    pub fn endpoints_text(&self) -> String {
        self.endpoints().iter().map(|e| e.raw().to_owned()).collect::<Vec<_>>().join(",")
    }

    /// Runs etcdctl of this cluster's version; its standard output. Panics with its words when it fails.
    pub fn etcdctl(&self, args: &[&str]) -> String {
        self.try_etcdctl(args).unwrap_or_else(|e| panic!("etcdctl {args:?}: {e}"))
    }

    /// The member that leads, once all of them name it.
    pub fn leader(&self) -> usize {
        super::wait_for("one leader", || {
            let all = self.try_etcdctl(&["endpoint", "status", "-w", "json"]).ok()?;
            let all: Vec<Value> = serde_json::from_str(&all).ok()?;
            let leader = all.first()?["Status"]["leader"].as_u64()?;
            let named = all.iter().all(|e| e["Status"]["leader"].as_u64() == Some(leader));
            let is = |e: &&Value| e["Status"]["header"]["member_id"].as_u64() == Some(leader);
            let endpoint = all.iter().find(is).filter(|_| named)?["Endpoint"].as_str()?;
            self.members().iter().position(|m| m.client.raw() == endpoint)
        })
    }

    /// One that does not: what it leaves behind leads to no election.
    pub fn follower(&self) -> usize {
        let leader = self.leader();
        (0..self.members().len()).rev().find(|i| *i != leader).unwrap()
    }

    fn command(&self) -> Command {
        let binaries: &Binaries = self.binaries();
        let mut command = Command::new(&binaries.etcdctl);
        if binaries.is("3.4") {
            // Later ones know no other, and warn of it.
            command.env("ETCDCTL_API", "3");
        }
        // Its own limit of five seconds is one for machines that have nothing else to do.
        command.arg("--command-timeout=60s").arg(format!("--endpoints={}", self.endpoints_text()));
        command
    }

    /// The same, with something to read on its standard input.
    pub fn etcdctl_with(&self, args: &[&str], input: &str) {
        let mut child = self
            .command()
            .args(args)
            .stdin(std::process::Stdio::piped())
            .stdout(std::process::Stdio::null())
            .spawn()
            .unwrap();
        std::io::Write::write_all(&mut child.stdin.take().unwrap(), input.as_bytes()).unwrap();
        assert!(child.wait().unwrap().success(), "etcdctl {args:?}");
    }

    /// The same; the error in its words.
    pub fn try_etcdctl(&self, args: &[&str]) -> Result<String, String> {
        let tls = &self.access().tls;
        let mut command = self.command();
        for (flag, file) in [("cacert", &tls.cacert), ("cert", &tls.cert), ("key", &tls.key)] {
            command.args(file.as_ref().map(|f| format!("--{flag}={}", f.display())));
        }
        let output = command.args(args).output().unwrap();
        if !output.status.success() {
            return Err(String::from_utf8_lossy(&output.stderr).into_owned());
        }
        Ok(String::from_utf8(output.stdout).unwrap())
    }
}

impl std::ops::Deref for TestCluster {
    type Target = Cluster;
    fn deref(&self) -> &Cluster {
        self.cluster.as_ref().unwrap()
    }
}

impl std::ops::DerefMut for TestCluster {
    fn deref_mut(&mut self) -> &mut Cluster {
        self.cluster.as_mut().unwrap()
    }
}
