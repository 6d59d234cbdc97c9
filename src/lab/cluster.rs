//! Members as processes: start, stop, kill, restart; nothing left behind.

mod changes;

use std::fs::{self, File};
use std::io;
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Child, Stdio};
use std::time::Duration;

use rustix::process::Signal;
use thiserror::Error;
use tokio::time::{Instant, sleep};

use super::binaries::{Binaries, BinariesError};
use super::process;
use super::scratch::Scratch;
use crate::etcd::{Access, Dialer, Fault, TlsFiles};
use crate::model::{Bytes, Endpoint};

/// Why the lab does not work.
#[derive(Debug, Error)]
pub enum LabError {
    /// No etcd.
    #[error(transparent)]
    Binaries(#[from] BinariesError),
    /// The scratch folder, a port, a process.
    #[error("lab: {what}: {source}")]
    Io {
        /// What was tried.
        what: String,
        /// Why not.
        source: io::Error,
    },
    /// A member did not come up.
    #[error("lab: {member} does not get ready: {reason}\n{log}")]
    NotReady {
        /// Its name.
        member: String,
        /// What is missing.
        reason: String,
        /// The end of its log.
        log: String,
    },
    /// A member's data could not be brought into its place.
    #[error("lab: {0}")]
    Restore(String),
    /// A number that makes no cluster.
    #[error("lab: {0} members make no cluster: 1 to 9 do")]
    Members(usize),
}

/// Certificates for a cluster with TLS.
#[derive(Clone, Debug)]
pub struct Tls {
    /// The authority.
    pub ca: PathBuf,
    /// The members' certificate, for localhost and 127.0.0.1.
    pub cert: PathBuf,
    /// Its key.
    pub key: PathBuf,
    /// Whether clients must show a certificate.
    pub client_auth: bool,
    /// Certificates and keys of the members' own instead, by index.
    pub own: Vec<(PathBuf, PathBuf)>,
}

/// What cluster to start.
#[derive(Clone, Debug, Default)]
pub struct Spec {
    /// How many members, 1 to 9; 0 means 3.
    pub members: usize,
    /// `3.6`; none: the newest on this machine.
    pub version: Option<String>,
    /// `--quota-backend-bytes`.
    pub quota: Option<Bytes>,
    /// The programs; none: of the version, or the newest on this machine.
    pub binaries: Option<Binaries>,
    /// Certificates; none: plain http.
    pub tls: Option<Tls>,
    /// Further flags for every member.
    pub extra_args: Vec<String>,
    /// The program that becomes the members, see `process`: etcdtop itself. None: etcd is started directly.
    pub launcher: Option<PathBuf>,
    /// Where each member listens for peers, and the address (a proxy in front of that) that the others are told.
    pub peers: Vec<(u16, String)>,
    /// Advertise these client urls instead of the members' own (proxies, tunnels), by index.
    pub advertised: Vec<String>,
}

/// One member.
#[derive(Debug)]
pub struct Member {
    /// `m1`.
    pub name: String,
    /// Where it serves clients.
    pub client: Endpoint,
    /// Where it serves peers.
    pub peer_url: String,
    folder: PathBuf,
    args: Vec<String>,
    child: Option<Child>,
}

/// A running cluster. Dropping it kills every member and removes the folder.
#[derive(Debug)]
pub struct Cluster {
    members: Vec<Member>,
    binaries: Binaries,
    access: Access,
    launcher: Option<PathBuf>,
    // Last: the folder goes when the members have.
    folder: Scratch,
}

/// `--initial-cluster-token` of every lab.
const TOKEN: &str = "etcdtop-lab";

/// Where a member's data is to be, and what it must know of the cluster.
#[derive(Clone, Copy, Debug)]
pub struct Place<'a> {
    /// `--data-dir`, which is not there yet.
    pub data: &'a Path,
    /// `--name`.
    pub name: &'a str,
    /// `--initial-advertise-peer-urls`.
    pub peer_url: &'a str,
    /// `--initial-cluster`.
    pub initial: &'a str,
    /// `--initial-cluster-token`.
    pub token: &'a str,
}

fn failed(what: impl Into<String>) -> impl FnOnce(io::Error) -> LabError {
    let what = what.into();
    |source| LabError::Io { what, source }
}

impl Cluster {
    /// Starts the members and waits until each answers and has a leader.
    ///
    /// # Errors
    /// No etcd on this machine, no place for the folder, or a member that does not come up (with the end of its log).
    pub async fn start(spec: &Spec) -> Result<Self, LabError> {
        Self::start_from(spec, async |_| Ok(()), Duration::from_secs(60)).await
    }

    /// The same from data that `prepare` brings into each member's place.
    ///
    /// # Errors
    /// The same, or what `prepare` says.
    pub async fn start_from(
        spec: &Spec,
        prepare: impl AsyncFn(&Place<'_>) -> Result<(), String>,
        patience: Duration,
    ) -> Result<Self, LabError> {
        let count = if spec.members == 0 { 3 } else { spec.members };
        if count > 9 {
            return Err(LabError::Members(count));
        }
        let binaries = match &spec.binaries {
            Some(binaries) => binaries.clone(),
            None => Binaries::find(spec.version.as_deref())?,
        };
        let folder =
            Scratch::create(spec.launcher.as_deref()).map_err(failed("cannot make a scratch folder"))?;
        let tls = spec.tls.clone();
        let scheme = if tls.is_some() { "https" } else { "http" };
        let ports = free_ports(count * 2).map_err(failed("cannot find free ports"))?;
        let own = ports[count..].iter().map(|p| (*p, format!("127.0.0.1:{p}")));
        let peers: Vec<(u16, String)> =
            spec.peers.iter().cloned().chain(own.skip(spec.peers.len())).collect();
        let peer_urls: Vec<_> = peers.iter().map(|(_, told)| format!("http://{told}")).collect();
        let initial: Vec<_> =
            peer_urls.iter().enumerate().map(|(i, url)| format!("m{}={url}", i + 1)).collect();
        let mut members = Vec::with_capacity(count);
        for (i, peer_url) in peer_urls.into_iter().enumerate() {
            let name = format!("m{}", i + 1);
            let client = format!("{scheme}://127.0.0.1:{}", ports[i]);
            let data = folder.path().join(&name);
            let place = Place {
                data: &data,
                name: &name,
                peer_url: &peer_url,
                initial: &initial.join(","),
                token: TOKEN,
            };
            prepare(&place).await.map_err(LabError::Restore)?;
            let mut args = vec![
                format!("--name={name}"),
                format!("--data-dir={}", data.display()),
                format!("--listen-client-urls={client}"),
                format!("--advertise-client-urls={}", spec.advertised.get(i).unwrap_or(&client)),
                format!("--listen-peer-urls=http://127.0.0.1:{}", peers[i].0),
                format!("--initial-advertise-peer-urls={peer_url}"),
                format!("--initial-cluster={}", initial.join(",")),
                format!("--initial-cluster-token={TOKEN}"),
            ];
            args.extend(spec.quota.map(|q| format!("--quota-backend-bytes={}", q.0)));
            if let Some(tls) = &tls {
                let (cert, key) = tls.own.get(i).map_or((&tls.cert, &tls.key), |(cert, key)| (cert, key));
                args.push(format!("--cert-file={}", cert.display()));
                args.push(format!("--key-file={}", key.display()));
                if tls.client_auth {
                    args.push("--client-cert-auth=true".into());
                    args.push(format!("--trusted-ca-file={}", tls.ca.display()));
                }
            }
            args.extend(spec.extra_args.iter().cloned());
            let client = Endpoint::parse(&client)
                .map_err(|e| LabError::Io { what: "endpoint".into(), source: io::Error::other(e) })?;
            members.push(Member {
                name,
                client,
                peer_url,
                folder: folder.path().to_owned(),
                args,
                child: None,
            });
        }
        let access = Access {
            tls: tls.map_or_else(TlsFiles::default, |t| TlsFiles {
                cacert: Some(t.ca),
                cert: t.client_auth.then_some(t.cert),
                key: t.client_auth.then_some(t.key),
            }),
            ..Access::default()
        };
        let mut cluster = Self { members, binaries, access, launcher: spec.launcher.clone(), folder };
        for i in 0..count {
            cluster.spawn(i)?;
        }
        cluster.wait_ready(patience).await?;
        Ok(cluster)
    }

    /// The members, in order of their names.
    #[must_use]
    pub fn members(&self) -> &[Member] {
        &self.members
    }

    /// Their client endpoints.
    #[must_use]
    pub fn endpoints(&self) -> Vec<Endpoint> {
        self.members.iter().map(|m| m.client.clone()).collect()
    }

    /// How to reach them.
    #[must_use]
    pub const fn access(&self) -> &Access {
        &self.access
    }

    /// The programs they were started from.
    #[must_use]
    pub const fn binaries(&self) -> &Binaries {
        &self.binaries
    }

    /// The scratch folder.
    #[must_use]
    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// Keeps the scratch folder after the end, and says where it is.
    #[must_use]
    pub fn keep_folder(&mut self) -> PathBuf {
        self.folder.keep();
        self.folder.path().to_owned()
    }

    /// Waits until every running member answers and has a leader.
    ///
    /// # Errors
    /// The first member that does not within `limit`.
    pub async fn wait_ready(&self, limit: Duration) -> Result<(), LabError> {
        let endpoints = self.endpoints();
        let not_ready = |m: &Member, reason: String| LabError::NotReady {
            member: m.name.clone(),
            reason,
            log: m.log_end(),
        };
        let deadline = Instant::now() + limit;
        for member in self.members.iter().filter(|m| m.child.is_some()) {
            let dialer =
                Dialer::new(self.access.clone(), &endpoints).map_err(|e| not_ready(member, e.to_string()))?;
            loop {
                let reason = match dialer.connect(&member.client).await {
                    Ok(connection) => match connection.status(Duration::from_secs(1)).await {
                        Ok(status) if status.leader.is_some() => break,
                        Ok(_) => "it has no leader".to_owned(),
                        // It serves: it asks who is there.
                        Err(Fault::Auth { .. }) => break,
                        Err(fault) => fault.to_string(),
                    },
                    Err(fault) => fault.to_string(),
                };
                if Instant::now() > deadline {
                    return Err(not_ready(member, reason));
                }
                sleep(Duration::from_millis(50)).await;
            }
        }
        Ok(())
    }

    fn spawn(&mut self, index: usize) -> Result<(), LabError> {
        let etcd = self.binaries.etcd.clone();
        let launcher = self.launcher.clone();
        let Some(member) = self.members.get_mut(index) else { return Ok(()) };
        let log = File::options()
            .create(true)
            .append(true)
            .open(member.log_path())
            .map_err(failed("cannot open a member's log"))?;
        let mut command = process::mortal(launcher.as_deref(), &etcd);
        // A process group of its own: Ctrl-C in the terminal is meant for etcdtop, not for the members.
        std::os::unix::process::CommandExt::process_group(&mut command, 0);
        let errors = log.try_clone().map_err(failed("cannot open a member's log"))?;
        command.args(&member.args).stdin(Stdio::null()).stdout(log).stderr(errors);
        // What the user's shell sets for etcd must not configure the lab.
        for (name, _) in std::env::vars_os().filter(|(name, _)| name.to_string_lossy().starts_with("ETCD_")) {
            command.env_remove(name);
        }
        let child = process::spawn(command).map_err(failed(format!("cannot start {}", member.name)))?;
        member.child = Some(child);
        Ok(())
    }

    fn send(&self, index: usize, signal: Signal) -> Result<(), LabError> {
        let Some(child) = self.members.get(index).and_then(|m| m.child.as_ref()) else { return Ok(()) };
        process::signal(child, signal).map_err(failed("cannot signal a member"))
    }

    /// Freezes a member (SIGSTOP): it accepts TCP and answers nothing.
    ///
    /// # Errors
    /// When the process is gone.
    pub fn stop(&self, index: usize) -> Result<(), LabError> {
        self.send(index, Signal::STOP)
    }

    /// Thaws it (SIGCONT).
    ///
    /// # Errors
    /// When the process is gone.
    pub fn cont(&self, index: usize) -> Result<(), LabError> {
        self.send(index, Signal::CONT)
    }

    /// Kills a member (SIGKILL) and waits until it is gone.
    pub fn kill(&mut self, index: usize) {
        if let Some(member) = self.members.get_mut(index) {
            member.reap();
        }
    }

    /// Starts a killed member again, with its data and ports.
    ///
    /// # Errors
    /// When it cannot be started; whether it gets ready is for [`wait_ready`](Self::wait_ready) to say.
    pub fn restart(&mut self, index: usize) -> Result<(), LabError> {
        self.kill(index);
        self.spawn(index)
    }
}

impl Cluster {
    /// Starts a member again as another etcd, with its data and ports: an upgrade of one member.
    ///
    /// # Errors
    /// As for [`restart`](Self::restart).
    pub fn restart_as(&mut self, index: usize, binaries: Binaries) -> Result<(), LabError> {
        let others = std::mem::replace(&mut self.binaries, binaries);
        let started = self.restart(index);
        self.binaries = others;
        started
    }
}

impl Member {
    /// Its process id while it runs.
    #[must_use]
    pub fn pid(&self) -> Option<u32> {
        self.child.as_ref().map(Child::id)
    }

    fn log_path(&self) -> PathBuf {
        self.folder.join(format!("{}.log", self.name))
    }

    fn log_end(&self) -> String {
        let text = fs::read_to_string(self.log_path()).unwrap_or_default();
        let lines: Vec<_> = text.lines().rev().take(8).collect();
        lines.into_iter().rev().collect::<Vec<_>>().join("\n")
    }

    fn reap(&mut self) {
        if let Some(mut child) = self.child.take() {
            // A stopped process dies of SIGKILL too. It is ours and not reaped, so the id cannot be another's.
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        // An orderly end first, so that nobody elects anybody while the others are killed.
        for member in &self.members {
            if let Some(child) = &member.child {
                let _ = process::signal(child, Signal::KILL);
            }
        }
        for member in &mut self.members {
            if let Some(child) = &mut member.child {
                let _ = process::wait_ended(child, Duration::from_secs(5));
            }
            member.reap();
        }
    }
}

/// Each process starts looking somewhere else, and goes on from there for its next cluster.
static NEXT: std::sync::atomic::AtomicU32 = std::sync::atomic::AtomicU32::new(0);

/// Free loopback ports, all held at the same time so that none is given twice, below the range that the kernel
/// hands to outgoing connections: from there a port could be taken again before the member binds it.
pub(super) fn free_ports(count: usize) -> io::Result<Vec<u16>> {
    let mut held = Vec::with_capacity(count);
    let mut ports = Vec::with_capacity(count);
    let lowest_ephemeral = fs::read_to_string("/proc/sys/net/ipv4/ip_local_port_range")
        .ok()
        .and_then(|t| t.split_whitespace().next()?.parse::<u16>().ok())
        .unwrap_or(32_768)
        .max(20_000);
    let span = u32::from(lowest_ephemeral - 10_000);
    let start = std::process::id().wrapping_mul(97);
    for _ in 0..span {
        let step = NEXT.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
        let port = 10_000 + u16::try_from(start.wrapping_add(step) % span).unwrap_or_default();
        if let Ok(listener) = TcpListener::bind(("127.0.0.1", port)) {
            held.push(listener);
            ports.push(port);
            if ports.len() == count {
                return Ok(ports);
            }
        }
    }
    Err(io::Error::other("no free port on loopback"))
}
