//! The small JSON file beside a snapshot: what a restore needs to know, and what was found when it was verified.

use std::path::{Path, PathBuf};

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::examine::Status;
use crate::model::{Bytes, ClusterId, MemberId, Revision};

/// What is known of a snapshot besides the file itself.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Side {
    /// The snapshot's name in the same folder.
    pub file: String,
    /// The SHA-256 of everything before its trailer, in hex.
    pub sha256: String,
    /// Bytes before the trailer.
    pub size: Bytes,
    /// The cluster that it is of.
    pub cluster_id: Option<ClusterId>,
    /// The member that it was taken from.
    pub taken_from: MemberId,
    /// When the stream had ended.
    pub taken_at: Timestamp,
    /// That member's version of etcd.
    pub etcd_version: Option<String>,
    /// The members of the cluster then.
    pub members: Vec<SideMember>,
    /// The newest revision in the file.
    pub revision: Revision,
    /// What the file holds, as `snapshot status` tells it; none when it was not read whole.
    pub status: Option<Status>,
    /// How closely it was looked at before it got its name.
    pub verified: String,
}

/// A member, as a restore has to name it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SideMember {
    /// Its id.
    pub id: Option<MemberId>,
    /// Its name.
    pub name: String,
    /// Where peers found it.
    pub peer_urls: Vec<String>,
    /// Where clients found it.
    pub client_urls: Vec<String>,
    /// Whether it was a learner.
    pub learner: bool,
}

impl Side {
    /// Where the side file of a snapshot lies.
    #[must_use]
    pub fn path_of(snapshot: &Path) -> PathBuf {
        snapshot.with_extension("json")
    }

    /// Writes down that the snapshot was looked at more closely since.
    ///
    /// # Errors
    /// Why it could not be written; the old one is there then.
    pub fn verified_as(mut self, snapshot: &Path, how: &str) -> std::io::Result<()> {
        how.clone_into(&mut self.verified);
        let path = Self::path_of(snapshot);
        let folder = path.parent().filter(|p| !p.as_os_str().is_empty()).unwrap_or(Path::new("."));
        let mut new = tempfile::NamedTempFile::new_in(folder)?;
        serde_json::to_writer_pretty(&mut new, &self)?;
        new.as_file().sync_all()?;
        new.persist(path)?;
        Ok(())
    }

    /// That of a snapshot, if there is one that can be read.
    #[must_use]
    pub fn of(snapshot: &Path) -> Option<Self> {
        serde_json::from_slice(&std::fs::read(Self::path_of(snapshot)).ok()?).ok()
    }
}
