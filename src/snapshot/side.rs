//! The small JSON file beside a snapshot: what a restore needs to know, and what was found when it was verified.

use std::path::{Path, PathBuf};

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::examine::Status;
use super::file::{Check, Damage, Snapshot};
use super::hex;
use crate::model::text::printable;
use crate::model::{Bytes, ClusterId, MemberId, Revision};

/// Bytes of a side file, at most.
const LARGEST: u64 = 1 << 20;

/// What is known of a snapshot besides the file itself.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Side {
    /// The snapshot's name in the same folder.
    pub file: String,
    /// The SHA-256 of everything before its trailer, in hex.
    pub sha256: String,
    /// That of the whole file, as `sha256sum` tells it.
    #[serde(default)]
    pub file_sha256: Option<String>,
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

/// What is wrong with a snapshot besides its pages: a checksum that is lost, unless it is a `raw` file that never had one,
/// and a side file that is of another one.
#[must_use]
pub fn besides(snapshot: &Snapshot, raw: bool) -> Vec<Damage> {
    let mut found = Vec::new();
    if snapshot.trailer().is_none() && !raw {
        let what = "no checksum at its end: a snapshot that lost its last 32 bytes, or a member's own db file (then say --raw)";
        found.push(Damage::of(Check::Trailer, what));
    }
    match Side::of(snapshot.path()) {
        Ok(None) => {}
        Ok(Some(side)) if snapshot.trailer().is_some_and(|t| hex(t) == side.sha256) => {}
        Ok(Some(_)) => {
            found.push(Damage::of(Check::Side, "its side file tells of another file, with another checksum"));
        }
        Err(why) => found.push(Damage::of(Check::Side, format!("its side file cannot be read: {why}"))),
    }
    found
}

impl Side {
    /// Where the side file of a snapshot lies.
    #[must_use]
    pub fn path_of(snapshot: &Path) -> PathBuf {
        let mut name = snapshot.as_os_str().to_owned();
        name.push(".json");
        name.into()
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

    /// That of a snapshot; none when it has none.
    ///
    /// # Errors
    /// Why what lies in its place cannot be read as one, or is of another file.
    pub fn of(snapshot: &Path) -> Result<Option<Self>, String> {
        let path = Self::path_of(snapshot);
        let about = match std::fs::metadata(&path) {
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => return Ok(None),
            other => other.map_err(|e| e.to_string())?,
        };
        // A named pipe would be waited for, and no side file is so large.
        if !about.is_file() || about.len() > LARGEST {
            return Err("what lies in its place is none".into());
        }
        let text = std::fs::read(&path).map_err(|e| e.to_string())?;
        let side: Self = serde_json::from_slice(&text).map_err(|e| e.to_string())?;
        let name = snapshot.file_name().unwrap_or_default().to_string_lossy();
        if side.file != name {
            return Err(format!("it is that of {}", printable(&side.file)));
        }
        Ok(Some(side))
    }

    /// The same, where one that cannot be read is as good as none.
    #[must_use]
    pub fn known(snapshot: &Path) -> Option<Self> {
        Self::of(snapshot).ok().flatten()
    }
}
