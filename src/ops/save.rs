//! A snapshot from a stream into a file: checked while it comes, and under its name only when it is whole.
//!
//! The stream is the bbolt file in messages of 32 KiB, then one of 32 bytes: the SHA-256 of everything before. A stream
//! that ends early without an error has happened, so the trailer is demanded.

use std::io;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use ring::digest::{Context, SHA256};
use serde::Serialize;
use tokio::io::AsyncWriteExt;
use tokio::sync::watch;
use tokio::time::timeout;

use super::engine::Progress;
use crate::etcd::{Connection, Fault};
use crate::model::{Bytes, ClusterId, ClusterView, ForeignText, MemberId, Revision};

/// A stream on which nothing comes for so long is broken.
const STALL: Duration = Duration::from_secs(30);
/// Free space that must be left beside the snapshot.
const SPARE: u64 = 64 << 20;
const TRAILER: usize = 32;

/// What a restore needs to know, beside the file.
#[derive(Serialize)]
struct SideFile<'a> {
    file: String,
    sha256: String,
    size: Bytes,
    cluster_id: Option<ClusterId>,
    /// What the member had when the stream began; the file may hold some more.
    revision_at_start: Option<Revision>,
    taken_from: MemberId,
    taken_at: jiff::Timestamp,
    version: Option<&'a ForeignText>,
    storage_version: Option<&'a ForeignText>,
    members: Vec<SideMember<'a>>,
}

#[derive(Serialize)]
struct SideMember<'a> {
    id: Option<MemberId>,
    name: &'a ForeignText,
    peer_urls: &'a [ForeignText],
    client_urls: &'a [ForeignText],
    learner: bool,
}

/// Removes the part when it is dropped before it was kept.
struct Part {
    path: PathBuf,
    kept: bool,
}

impl Drop for Part {
    fn drop(&mut self) {
        if !self.kept {
            // It is ours alone, and of no use to anybody.
            let _ = std::fs::remove_file(&self.path);
        }
    }
}

fn disk(what: &str, path: &Path, e: &io::Error) -> Fault {
    Fault::Disk { reason: format!("{what} {}: {e}", path.display()) }
}

/// Saves a snapshot of the member behind `connection` to `file`; a line about it.
///
/// # Errors
/// Why not; then nothing of it is left.
pub async fn save(
    connection: &Connection,
    view: &ClusterView,
    member: MemberId,
    file: &Path,
    progress: &watch::Sender<Progress>,
) -> Result<String, Fault> {
    let folder = file.parent().filter(|p| !p.as_os_str().is_empty()).unwrap_or(Path::new("."));
    std::fs::create_dir_all(folder).map_err(|e| disk("cannot create", folder, &e))?;
    if file.exists() {
        return Err(Fault::Disk {
            reason: format!("{} exists already, and no snapshot is ever overwritten", file.display()),
        });
    }
    let m = view.member(member);
    let size = m.and_then(|m| m.status.as_ref()?.db_size);
    let free = rustix::fs::statvfs(folder).map_err(|e| disk("cannot look at", folder, &e.into()))?;
    let free = free.f_bavail.saturating_mul(free.f_frsize);
    if let Some(size) = size.filter(|s| s.0.saturating_add(SPARE) > free) {
        return Err(Fault::Disk {
            reason: format!("{} has {} free, the snapshot takes {size}", folder.display(), Bytes(free)),
        });
    }
    progress.send_replace(Progress::Bytes { done: Bytes(0), of: size });
    let mut name = file.as_os_str().to_owned();
    name.push(".part");
    let mut part = Part { path: name.into(), kept: false };
    let opened = std::fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(&part.path);
    let opened = opened.map_err(|e| {
        // Somebody else's part is not ours to remove.
        part.kept = true;
        disk("cannot create", &part.path, &e)
    })?;
    let mut out = tokio::fs::File::from_std(opened);
    let (sha, total) = copy(connection, &mut out, &part.path, progress).await?;
    out.flush().await.map_err(|e| disk("cannot write", &part.path, &e))?;
    out.sync_all().await.map_err(|e| disk("cannot sync", &part.path, &e))?;
    let about = SideFile {
        file: file.file_name().unwrap_or_default().to_string_lossy().into_owned(),
        sha256: sha.clone(),
        size: Bytes(total),
        cluster_id: view.cluster_id,
        revision_at_start: m.and_then(|m| m.status.as_ref()).map(|s| s.revision),
        taken_from: member,
        taken_at: jiff::Timestamp::now(),
        version: m.and_then(|m| m.status.as_ref()).map(|s| &s.version),
        storage_version: m.and_then(|m| m.status.as_ref()?.storage_version.as_ref()),
        members: view
            .members
            .iter()
            .filter(|m| m.listed)
            .map(|m| SideMember {
                id: m.id,
                name: &m.name,
                peer_urls: &m.peer_urls,
                client_urls: &m.client_urls,
                learner: m.learner,
            })
            .collect(),
    };
    let beside = file.with_extension("json");
    let text = serde_json::to_vec_pretty(&about).map_err(|e| disk("cannot write", &beside, &e.into()))?;
    // The name comes last: a file under it is whole and has its side file.
    let mut json = Part { path: beside.clone(), kept: false };
    write_whole(&beside, &text).map_err(|e| {
        json.kept = e.kind() == io::ErrorKind::AlreadyExists;
        disk("cannot write", &beside, &e)
    })?;
    // Not over a file that came meanwhile: a link fails where a rename would replace it.
    let named = std::fs::hard_link(&part.path, file).or_else(|e| {
        let no_links = e.kind() != io::ErrorKind::AlreadyExists && !file.exists();
        if no_links { std::fs::rename(&part.path, file) } else { Err(e) }
    });
    named.map_err(|e| disk("cannot name", file, &e))?;
    json.kept = true;
    drop(part);
    // It is whole and has its name. Some file systems cannot sync a folder: worth a word, not a failure.
    let synced = std::fs::File::open(folder).and_then(|f| f.sync_all());
    let word = synced.err().map_or_else(String::new, |e| format!(" (its folder could not be synced: {e})"));
    Ok(format!("{} in {}, SHA-256 {}{word}", Bytes(total), file.display(), &sha[..12]))
}

fn write_whole(path: &Path, text: &[u8]) -> io::Result<()> {
    let mut options = std::fs::OpenOptions::new();
    let mut file = options.write(true).create_new(true).mode(0o600).open(path)?;
    io::Write::write_all(&mut file, text)?;
    file.sync_all()
}

/// Copies the stream and checks its trailer; the digest in hex, and the bytes of the file.
async fn copy(
    connection: &Connection,
    out: &mut tokio::fs::File,
    path: &Path,
    progress: &watch::Sender<Progress>,
) -> Result<(String, u64), Fault> {
    let mut stream = connection.snapshot(STALL).await?;
    let mut digest = Context::new(&SHA256);
    // The last 32 bytes seen: they are the trailer if nothing follows.
    let mut held: Vec<u8> = Vec::with_capacity(64 << 10);
    let mut total = 0_u64;
    loop {
        let message = match timeout(STALL, stream.message()).await {
            Err(_) => return Err(Fault::Deadline { after: STALL }),
            Ok(Err(e)) => return Err(Fault::Lost { reason: e.to_string() }),
            Ok(Ok(None)) => break,
            Ok(Ok(Some(message))) => message,
        };
        held.extend_from_slice(message.blob());
        if held.len() > TRAILER {
            let whole = held.len() - TRAILER;
            digest.update(&held[..whole]);
            out.write_all(&held[..whole]).await.map_err(|e| disk("cannot write", path, &e))?;
            held.drain(..whole);
            total += whole as u64;
            let of = Bytes(total.saturating_add(message.remaining_bytes()));
            progress.send_if_modified(|p| {
                // Not every 32 KiB is news.
                let told = if let Progress::Bytes { done, .. } = *p { done } else { Bytes(0) };
                let news = Bytes(total).minus(told).0 > 1 << 20;
                if news {
                    *p = Progress::Bytes { done: Bytes(total), of: Some(of) };
                }
                news
            });
        }
    }
    let sum = digest.finish();
    if held.len() != TRAILER || !total.is_multiple_of(512) {
        return Err(Fault::Lost {
            reason: format!("the stream ended after {total} bytes, without its checksum"),
        });
    }
    if sum.as_ref() != held {
        return Err(Fault::Lost {
            reason: format!("the checksum of {total} bytes does not match what the member sent"),
        });
    }
    // The trailer stays in the file: etcdutl checks it on restore.
    out.write_all(&held).await.map_err(|e| disk("cannot write", path, &e))?;
    let hex = sum.as_ref().iter().fold(String::new(), |hex, b| hex + &format!("{b:02x}"));
    Ok((hex, total))
}
