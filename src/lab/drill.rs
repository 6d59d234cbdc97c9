//! A backup that was never restored is a hope: brings a real etcd up from a snapshot, on its own, and compares.

use std::time::Duration;

use thiserror::Error;

use super::binaries::{Binaries, BinariesError};
use super::cluster::{Cluster, LabError, Place, Spec};
use super::process;
use crate::etcd::{Dialer, Fault};
use crate::model::Revision;
use crate::snapshot::{Snapshot, Status, compact_revision, hash_kv};

/// What the restored etcd says of itself.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
pub struct Drilled {
    /// The etcd that was started.
    pub version: String,
    /// Its revision, as in the file; none: authentication is on, and it tells nobody.
    pub revision: Option<Revision>,
    /// Keys that are there, as many as in the file, and with the same hash; none: as above.
    pub keys: Option<u64>,
}

/// Why a drill failed.
#[derive(Debug, Error)]
pub enum DrillError {
    /// No etcd or etcdutl of a version that reads the file.
    #[error(transparent)]
    Binaries(#[from] BinariesError),
    /// The scratch cluster did not come up: what the snapshot holds is not what etcd can run from.
    #[error(transparent)]
    Lab(#[from] LabError),
    /// The file cannot be read whole.
    #[error("{0}")]
    Damaged(String),
    /// etcdutl does not restore it.
    #[error("etcdutl does not restore it: {0}")]
    Restore(String),
    /// It came up and does not answer.
    #[error("the restored etcd does not answer: {0}")]
    Silent(Fault),
    /// It came up with something else.
    #[error("the restored etcd has {what} {found}, the snapshot {expected}")]
    Differs {
        /// What was compared.
        what: &'static str,
        /// In the file.
        expected: String,
        /// In the restored etcd.
        found: String,
    },
}

/// How long the restored etcd may take to answer.
const READY: Duration = Duration::from_secs(120);

/// Restores a snapshot into a scratch folder with etcdutl, starts that etcd on loopback, compares revision and keys with
/// what the file says, and removes everything. `launcher` is this program, see `process`.
///
/// # Errors
/// Where it fails.
pub async fn drill(
    snapshot: &Snapshot,
    status: &Status,
    launcher: Option<std::path::PathBuf>,
) -> Result<Drilled, DrillError> {
    // The storage version that the file names, or the newest: a newer etcd reads what an older one wrote.
    let wanted = status.version.rsplit_once('.').map(|(minor, _)| minor.to_owned());
    let binaries = match wanted {
        Some(minor) => Binaries::find(Some(&minor)).or_else(|_| Binaries::find(None))?,
        None => Binaries::find(Some("3.5")).or_else(|_| Binaries::find(None))?,
    };
    let version = binaries.version.clone();
    let etcdutl = binaries.etcdutl.clone().ok_or_else(|| {
        DrillError::Restore(format!("there is no etcdutl beside {}", binaries.etcd.display()))
    })?;
    let restore = async |place: &Place<'_>| {
        let mut command = process::mortal(launcher.as_deref(), &etcdutl);
        command.args(["snapshot", "restore"]).arg(snapshot.path());
        command.arg(format!("--data-dir={}", place.data.display()));
        command.arg(format!("--name={}", place.name));
        command.arg(format!("--initial-cluster={}", place.initial));
        command.arg(format!("--initial-cluster-token={}", place.token));
        command.arg(format!("--initial-advertise-peer-urls={}", place.peer_url));
        if snapshot.trailer().is_none() {
            command.arg("--skip-hash-check=true");
        }
        match process::run(command).await {
            Ok(ended) => ended.output().map(drop),
            Err(e) => Err(e.to_string()),
        }
    };
    let spec = Spec { members: 1, launcher: launcher.clone(), binaries: Some(binaries), ..Spec::default() };
    let cluster = Cluster::start_from(&spec, restore, READY).await.map_err(|e| match e {
        LabError::Restore(why) => DrillError::Restore(why),
        other => DrillError::Lab(other),
    })?;
    let endpoints = cluster.endpoints();
    let dialer = Dialer::new(cluster.access().clone(), &endpoints)
        .map_err(|e| DrillError::Silent(Fault::Tls { reason: e.to_string() }))?;
    let connection = dialer.connect(&endpoints[0]).await.map_err(DrillError::Silent)?;
    let answer = match connection.status(READY).await {
        Ok(answer) => answer,
        // With authentication on it tells nobody but its users, whom nobody is here.
        Err(Fault::Auth { .. }) => return Ok(Drilled { version, revision: None, keys: None }),
        Err(fault) => return Err(DrillError::Silent(fault)),
    };
    let differs = |what, expected: String, found: String| DrillError::Differs { what, expected, found };
    // Starting a cluster changes no key. An empty store begins at 1, and one whose last changes were compacted at what they
    // were compacted at.
    let expected = status.revision.max(compact_revision(snapshot)).max(Revision(1));
    if answer.revision != expected {
        return Err(differs("revision", expected.0.to_string(), answer.revision.0.to_string()));
    }
    let keys = match connection.count_keys(READY).await {
        Ok(keys) => keys,
        Err(Fault::Auth { .. }) => {
            return Ok(Drilled { version, revision: Some(answer.revision), keys: None });
        }
        Err(fault) => return Err(DrillError::Silent(fault)),
    };
    // etcd's own hash over keys, values and revisions, which it compares between members.
    let expected = hash_kv(snapshot).map_err(|damage| DrillError::Damaged(damage.to_string()))?;
    match connection.hash_kv(Revision(0), READY).await.map(|told| told.hash) {
        Ok(hash) if hash != expected => {
            return Err(differs("the hash", format!("{expected:x}"), format!("{hash:x}")));
        }
        Ok(_) | Err(Fault::Auth { .. }) => {}
        Err(fault) => return Err(DrillError::Silent(fault)),
    }
    if keys != status.total_key {
        return Err(differs("keys", status.total_key.to_string(), keys.to_string()));
    }
    Ok(Drilled { version, revision: Some(answer.revision), keys: Some(keys) })
}
