//! The hand that touches the lab: brings symptoms about, and does what the learner chooses. Where there is a command for
//! it, that command is run.

mod acts;

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::time::Duration;

use tokio::time::{Instant, sleep};

use super::act::{Cast, Cause, Who};
use super::certs::Authority;
use super::cluster::{Cluster, LabError, Spec, Tls};
use super::consumer::Consumer;
use super::links::Links;
use super::process;
use super::pulse::Pulse;
use super::scenario::{Network, Setting};
use super::scratch::Scratch;
use super::session::snapshots;
use super::writing;
use crate::etcd::lab_writer::LabWriter;
use crate::etcd::{Access, Dialer};
use crate::model::{AlarmKind, Endpoint, MemberId, MemberStatus, Revision};
use crate::snapshot;

/// How long something that always comes about may take.
const PATIENCE: Duration = Duration::from_secs(30);

/// The member that was added, before it was started.
#[derive(Clone, Debug)]
struct Added {
    index: usize,
    initial: String,
}

/// A lab that can be touched. Dropping it ends everything.
#[derive(Debug)]
pub(super) struct Host {
    // In the order in which they end: who writes and watches first, the members last.
    pulse: Option<Pulse>,
    consumer: Option<Consumer>,
    service: Option<writing::Service>,
    links: Option<Links>,
    cluster: Cluster,
    authority: Option<Authority>,
    _certificates: Option<Scratch>,
    cast: Cast,
    dialer: Dialer,
    endpoints: Vec<Endpoint>,
    frozen: BTreeSet<usize>,
    launcher: Option<PathBuf>,
    added: Option<Added>,
}

fn io(what: &str) -> impl FnOnce(std::io::Error) -> LabError {
    let what = what.to_owned();
    move |source| LabError::Io { what, source }
}

impl Host {
    /// Starts the cluster of a scenario, and those who write and watch.
    pub(super) async fn build(
        setting: &Setting,
        version: Option<String>,
        launcher: Option<PathBuf>,
        cast: Cast,
    ) -> Result<Self, LabError> {
        let mut spec =
            Spec { members: setting.members, version, quota: setting.quota, launcher, ..Spec::default() };
        let mut links = None;
        if setting.network != Network::Direct {
            let everybody = setting.network == Network::Everybody;
            let laid = Links::lay(setting.members, everybody).await.map_err(io("cannot lay links"))?;
            let own = super::cluster::free_ports(setting.members).map_err(io("cannot find free ports"))?;
            spec.peers = own.into_iter().zip(laid.peer_addresses().map(str::to_owned)).collect();
            spec.advertised = laid.client_addresses().iter().map(|a| format!("http://{a}")).collect();
            links = Some(laid);
        }
        let (mut certificates, mut authority) = (None, None);
        if setting.tls {
            let folder = Scratch::create(spec.launcher.as_deref())
                .map_err(io("cannot make a folder for certificates"))?;
            let maker = Authority::new(folder.path().to_owned()).map_err(io("cannot make certificates"))?;
            let names: Vec<_> = (1..=setting.members).map(|i| format!("m{i}")).collect();
            for name in &names {
                maker.issue(name, true).map_err(io("cannot make a certificate"))?;
            }
            let own: Vec<_> = names.iter().map(|name| maker.place(name)).collect();
            let (cert, key) = own[0].clone();
            spec.tls = Some(Tls { ca: maker.ca(), cert, key, client_auth: false, own });
            (certificates, authority) = (Some(folder), Some(maker));
        }
        // A link must lead somewhere before the members look for each other.
        if let Some(links) = &links {
            for (i, (port, _)) in spec.peers.iter().enumerate() {
                links.lead_to(i, &format!("127.0.0.1:{port}"));
            }
        }
        let cluster = Cluster::start(&spec).await?;
        let own = cluster.endpoints();
        let mut endpoints = own.clone();
        if let Some(links) = &links {
            for (i, address) in links.client_addresses().into_iter().enumerate() {
                links.lead_client_to(i, own[i].raw().trim_start_matches("http://"));
                endpoints[i] = Endpoint::parse(&format!("http://{address}")).map_err(|e| LabError::Io {
                    what: "endpoint".into(),
                    source: std::io::Error::other(e),
                })?;
            }
        }
        let dialer = Dialer::new(cluster.access().clone(), &own)
            .map_err(|e| LabError::Io { what: "certificates".into(), source: std::io::Error::other(e) })?;
        let mut this = Self {
            pulse: None,
            consumer: None,
            service: None,
            links,
            cluster,
            authority,
            _certificates: certificates,
            cast,
            dialer,
            endpoints,
            frozen: BTreeSet::new(),
            launcher: spec.launcher,
            added: None,
        };
        this.begin(setting);
        Ok(this)
    }

    fn begin(&mut self, setting: &Setting) {
        let named =
            || self.cluster.members().iter().map(|m| m.name.clone()).zip(self.endpoints.iter().cloned());
        if setting.pulse {
            self.pulse = Some(Pulse::start(&self.dialer, &named().collect::<Vec<_>>()));
        }
        if setting.consumer {
            let endpoint = self.cluster.endpoints()[self.cast.index(Who::B)].clone();
            self.consumer = Some(Consumer::start(self.dialer.clone(), endpoint, 1));
        }
    }

    /// Where clients find the members.
    pub(super) fn endpoints(&self) -> Vec<Endpoint> {
        self.endpoints.clone()
    }

    /// How to reach them.
    pub(super) fn access(&self) -> &Access {
        self.cluster.access()
    }

    /// The release of etcd that runs.
    pub(super) fn version(&self) -> &str {
        &self.cluster.binaries().version
    }

    /// Where the dashboard's snapshots, its journal and its recording go: they end with the lab.
    pub(super) fn folder(&self) -> &Path {
        self.cluster.folder()
    }

    pub(super) fn felt(&self) -> Option<tokio::sync::watch::Receiver<super::pulse::Felt>> {
        self.pulse.as_ref().map(Pulse::felt)
    }

    pub(super) fn consumer(&self) -> Option<&Consumer> {
        self.consumer.as_ref()
    }

    async fn status_of(&self, index: usize) -> Result<MemberStatus, String> {
        let told = async {
            let connection = self.dialer.connect(&self.cluster.members()[index].client).await?;
            connection.status(Duration::from_secs(2)).await
        };
        told.await.map_err(|fault| fault.to_string())
    }

    async fn id_of(&self, index: usize) -> Result<MemberId, String> {
        Ok(self.status_of(index).await?.member_id)
    }

    /// A writer to the first member that answers.
    async fn writer(&self) -> Result<LabWriter, String> {
        let mut why = "no member runs".to_owned();
        for member in self.cluster.members().iter().filter(|m| m.pid().is_some()) {
            match LabWriter::connect(&self.dialer, &member.client).await {
                Ok(writer) => return Ok(writer),
                Err(fault) => why = fault.to_string(),
            }
        }
        Err(why)
    }

    /// Runs etcdctl on the members that run.
    async fn ctl(&self, args: &[&str]) -> Result<String, String> {
        let running = self.cluster.members().iter().filter(|m| m.pid().is_some());
        let endpoints: Vec<_> = running.map(|m| m.client.to_string()).collect();
        self.ctl_at(&endpoints.join(","), args).await
    }

    async fn ctl_at(&self, endpoints: &str, args: &[&str]) -> Result<String, String> {
        let mut command = process::mortal(self.launcher.as_deref(), &self.cluster.binaries().etcdctl);
        command.env("ETCDCTL_API", "3").arg(format!("--endpoints={endpoints}"));
        command.args(["--dial-timeout=2s", "--command-timeout=5s"]);
        if let Some(ca) = &self.cluster.access().tls.cacert {
            command.arg(format!("--cacert={}", ca.display()));
        }
        for (name, _) in
            std::env::vars_os().filter(|(name, _)| name.to_string_lossy().starts_with("ETCDCTL_"))
        {
            if name != "ETCDCTL_API" {
                command.env_remove(name);
            }
        }
        command.args(args);
        process::run(command).await.map_err(|e| format!("etcdctl does not run: {e}"))?.output()
    }

    /// The id of a member as `etcdctl member list` tells it, in hex.
    async fn listed(&self, name: &str) -> Result<String, String> {
        let list = self.ctl(&["member", "list"]).await?;
        // `id, started, name, peer urls, client urls, learner`; one that never started has no name, but its url.
        let index = self.cluster.members().iter().position(|m| m.name == name);
        let url = index.map(|i| self.cluster.members()[i].peer_url.clone()).unwrap_or_default();
        let is = |line: &&str| {
            let fields: Vec<_> = line.split(", ").collect();
            fields.get(2) == Some(&name) || fields.get(3).is_some_and(|urls| *urls == url)
        };
        let line = list.lines().find(is).ok_or_else(|| format!("no member {name} in the list"))?;
        Ok(line.split(", ").next().unwrap_or_default().to_owned())
    }

    /// Brings a part of the symptom about.
    pub(super) async fn cause(&mut self, cause: Cause) -> Result<(), String> {
        match cause {
            Cause::Lead(who) => self.lead(who).await,
            Cause::Crash(who) => {
                self.cluster.kill(self.cast.index(who));
                Ok(())
            }
            Cause::Freeze(who) => {
                let index = self.cast.index(who);
                self.frozen.insert(index);
                self.cluster.stop(index).map_err(|e| e.to_string())
            }
            Cause::Wipe(who) => self.cluster.wipe(self.cast.index(who)).map_err(|e| e.to_string()),
            Cause::Isolate(who) => {
                let index = self.cast.index(who);
                self.links()?.isolate(index, self.id_of(index).await?);
                Ok(())
            }
            Cause::Slow(who, pause) => {
                let index = self.cast.index(who);
                self.links()?.slow(index, self.id_of(index).await?, pause);
                Ok(())
            }
            Cause::Expire(who) => {
                self.issue(who, false)?;
                self.cluster.restart(self.cast.index(who)).map_err(|e| e.to_string())
            }
            Cause::FillWithHistory => writing::fill_with_history(&mut self.writer().await?).await,
            Cause::FillWithKeys => writing::fill_with_keys(&mut self.writer().await?).await,
            Cause::Write { size, per_second } => {
                let writer = self.writer().await?;
                self.service = Some(writing::Service::start(writer, size, per_second));
                Ok(())
            }
            Cause::Fragment { live, free } => {
                writing::fragment(&mut self.writer().await?, live.0, free.0).await
            }
            Cause::Seed => writing::seed(&mut self.writer().await?, 100).await,
            Cause::ConsumerSleeps => {
                let consumer = self.consumer.as_ref().ok_or("nobody watches")?;
                writing::seed(&mut self.writer().await?, 50).await?;
                // It has to have read that, to be far enough behind afterwards and no further.
                let caught_up = || consumer.view().next_revision > 50;
                wait_until("the consumer has caught up", caught_up).await?;
                consumer.wake(false);
                writing::seed(&mut self.writer().await?, 300).await
            }
            Cause::RaiseCorrupt(who) => {
                let id = self.id_of(self.cast.index(who)).await?;
                let raised = self.writer().await?.alarm(&super::load::permit(), id, AlarmKind::Corrupt).await;
                raised.map_err(|fault| fault.to_string())
            }
            Cause::Disarm => self.ctl(&["alarm", "disarm"]).await.map(drop),
        }
    }

    fn links(&self) -> Result<&Links, String> {
        self.links.as_ref().ok_or_else(|| "this lab's network has no proxies".to_owned())
    }

    fn issue(&self, who: Who, valid: bool) -> Result<(), String> {
        let authority = self.authority.as_ref().ok_or("this lab uses no certificates")?;
        authority.issue(&self.cast.name(who), valid).map_err(|e| e.to_string())
    }

    async fn lead(&self, who: Who) -> Result<(), String> {
        let wanted = self.id_of(self.cast.index(who)).await?;
        let deadline = Instant::now() + PATIENCE;
        loop {
            let status = self.status_of(self.cast.index(who)).await?;
            if status.leader == Some(wanted) {
                return Ok(());
            }
            if Instant::now() > deadline {
                return Err(format!("{} does not get to lead", self.cast.name(who)));
            }
            // The leader itself has to be asked; who that is may change while we ask.
            for member in self.cluster.members() {
                let target = wanted.to_string();
                if self.ctl_at(&member.client.to_string(), &["move-leader", &target]).await.is_ok() {
                    break;
                }
            }
        }
    }
}

/// The snapshots in the lab's folder whose side files tell what they hold, the newest first.
pub(super) fn kept(folder: &Path) -> Vec<super::seen::Kept> {
    let Ok(listing) = snapshot::list(&snapshots(folder)) else { return Vec::new() };
    let kept = listing.saved.iter().filter_map(|s| {
        let revision: Revision = s.side.as_ref()?.revision;
        Some(super::seen::Kept { revision, verified: s.is_verified() })
    });
    kept.collect()
}

async fn wait_until(what: &str, mut reached: impl FnMut() -> bool) -> Result<(), String> {
    let deadline = Instant::now() + PATIENCE;
    while !reached() {
        if Instant::now() > deadline {
            return Err(format!("waited in vain until {what}"));
        }
        sleep(Duration::from_millis(50)).await;
    }
    Ok(())
}
