//! A snapshot from a stream into a file: checked while it comes, and under its name only when it is whole.
//!
//! The stream is the bbolt file in messages of 32 KiB, then one of 32 bytes: the SHA-256 of everything before. A stream
//! that ends early without an error has happened, so the trailer is demanded.

use std::collections::VecDeque;
use std::fs;
use std::io;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use tokio::sync::watch;

use super::event::Progress;
use super::landing::{Landed, Landing};
use super::past::History;
use super::plan::{Action, Verify};
use super::seam::Told;
use crate::etcd::{Connection, Fault};
use crate::model::units::grouped;
use crate::model::{Bytes, ClusterId, ClusterView, ForeignText, MemberId, Revision};
use crate::snapshot::{Depth, Side, SideMember, Snapshot, examine, free_space, remove_part, skim};

/// A stream on which nothing comes for so long is broken.
const STALL: Duration = Duration::from_secs(30);
/// Free space that must be left beside the snapshot.
const SPARE: u64 = 64 << 20;

/// Whether a snapshot of this size has room, and leaves some.
pub(super) fn fits(size: Bytes, free: Bytes) -> bool {
    size.0.saturating_add(SPARE) <= free.0
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
            let _ = fs::remove_file(&self.path);
        }
    }
}

pub(super) fn disk(what: &str, path: &Path, e: &io::Error) -> Fault {
    Fault::Disk { reason: format!("{what} {}: {e}", path.display()) }
}

/// What is asked for.
#[derive(Clone, Copy, Debug)]
pub struct Wanted<'a> {
    /// The file.
    pub file: &'a Path,
    /// Its name is to tell the revision that it holds.
    pub numbered: bool,
    /// How closely it is looked at before it gets its name.
    pub verify: Verify,
}

/// Saves a snapshot of the member behind `connection`; a line about it, and where it is.
///
/// # Errors
/// Why not; then nothing of it is left.
pub async fn save(
    connection: &Connection,
    view: &ClusterView,
    member: MemberId,
    wanted: Wanted<'_>,
    progress: &watch::Sender<Progress>,
) -> Result<Told, Fault> {
    let Wanted { file, numbered, verify } = wanted;
    let m = view.member(member);
    let size = m.and_then(|m| m.status.as_ref()?.db_size);
    progress.send_replace(Progress::Bytes { done: Bytes(0), of: size, per_second: None });
    let path = file.to_owned();
    // A disk that hangs must not keep the members from being polled.
    let (part, opened) = beside_the_runtime(move || open(&path, size)).await?;
    let landing = Landing::start(opened, part.path.clone());
    let Landed { sha256, size } = match copy(connection, landing, progress).await {
        Ok(landed) => landed,
        Err(fault) => {
            // To remove gigabytes takes its time, too.
            let _ = tokio::task::spawn_blocking(move || drop(part)).await;
            return Err(fault);
        }
    };
    progress.send_replace(Progress::Verifies);
    let texts = |urls: &[ForeignText]| urls.iter().map(|u| u.raw().to_owned()).collect();
    let members = view.members.iter().filter(|m| m.listed).map(|m| SideMember {
        id: m.id,
        name: m.name.raw().to_owned(),
        peer_urls: texts(&m.peer_urls),
        client_urls: texts(&m.client_urls),
        learner: m.learner,
    });
    let about = About {
        sha256,
        size,
        cluster_id: view.cluster_id,
        taken_from: member,
        taken_at: jiff::Timestamp::now(),
        etcd_version: m.and_then(|m| Some(m.status.as_ref()?.version.raw().to_owned())),
        members: members.collect(),
    };
    let path = file.to_owned();
    beside_the_runtime(move || name(part, &path, numbered, about, verify)).await
}

/// What is known of a snapshot when its stream has ended.
struct About {
    sha256: String,
    size: u64,
    cluster_id: Option<ClusterId>,
    taken_from: MemberId,
    taken_at: jiff::Timestamp,
    etcd_version: Option<String>,
    members: Vec<SideMember>,
}

async fn beside_the_runtime<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, Fault> + Send + 'static,
) -> Result<T, Fault> {
    let failed = |e| Fault::Disk { reason: format!("internal error: {e}") };
    tokio::task::spawn_blocking(work).await.map_err(failed)?
}

fn folder_of(file: &Path) -> &Path {
    file.parent().filter(|p| !p.as_os_str().is_empty()).unwrap_or(Path::new("."))
}

/// Where the snapshot grows until it is whole.
fn part_of(file: &Path) -> PathBuf {
    let mut name = file.as_os_str().to_owned();
    name.push(".part");
    name.into()
}

fn never_over(file: &Path) -> Result<(), Fault> {
    if !file.exists() {
        return Ok(());
    }
    let reason = format!("{} exists already, and no snapshot is ever overwritten", file.display());
    Err(Fault::Disk { reason })
}

/// Makes sure of the place, and opens the part.
fn open(file: &Path, size: Option<Bytes>) -> Result<(Part, fs::File), Fault> {
    let folder = folder_of(file);
    fs::create_dir_all(folder).map_err(|e| disk("cannot create", folder, &e))?;
    never_over(file)?;
    let free = free_space(folder).map_err(|e| disk("cannot look at", folder, &e))?;
    if let Some(size) = size.filter(|s| !fits(*s, free)) {
        return Err(Fault::Disk {
            reason: format!("{} has {free} free, the snapshot takes {size}", folder.display()),
        });
    }
    let mut part = Part { path: part_of(file), kept: false };
    let opened = fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(&part.path);
    let opened = opened.map_err(|e| {
        // Somebody else's part is not ours to remove.
        part.kept = true;
        disk("cannot create", &part.path, &e)
    })?;
    // As long as somebody writes it, nobody takes it for a part that was left. Where locks are not to be had, the journal's
    // lock says the same of this host.
    let _ = rustix::fs::flock(&opened, rustix::fs::FlockOperation::NonBlockingLockExclusive);
    Ok((part, opened))
}

/// `x.db` as `x-rev1285023.db`.
fn with_revision(file: &Path, revision: Revision) -> PathBuf {
    let mut name = file.file_stem().unwrap_or_default().to_owned();
    name.push(format!("-rev{}.db", revision.0));
    file.with_file_name(name)
}

/// Looks at a whole part, and gives it its name, with its side file; a line about it.
fn name(part: Part, file: &Path, numbered: bool, about: About, verify: Verify) -> Result<Told, Fault> {
    // What etcd sent is what is on the disk, so what is wrong with it now was wrong in the member.
    let unfit =
        |why: String| Fault::Disk { reason: format!("what the member sent is no whole database: {why}") };
    let snapshot = Snapshot::open_past_cache(&part.path).map_err(|e| unfit(e.to_string()))?;
    let (revision, status, damages) = match verify {
        Verify::Fast => {
            let seen = skim(&snapshot);
            (seen.revision, None, seen.damages)
        }
        Verify::Full => {
            let found = examine(&snapshot, Depth::Verify).map_err(|e| unfit(e.to_string()))?;
            (found.status.revision, Some(found.status), found.damages)
        }
    };
    if let Some(damage) = damages.first() {
        return Err(unfit(damage.to_string()));
    }
    let file = &if numbered { with_revision(file, revision) } else { file.to_owned() };
    never_over(file)?;
    let side = Side {
        file: file.file_name().unwrap_or_default().to_string_lossy().into_owned(),
        sha256: about.sha256,
        size: Bytes(about.size),
        cluster_id: about.cluster_id,
        taken_from: about.taken_from,
        taken_at: about.taken_at,
        etcd_version: about.etcd_version,
        members: about.members,
        revision,
        status,
        verified: match verify {
            Verify::Fast => "fast".into(),
            Verify::Full => "full".into(),
        },
    };
    let text = serde_json::to_vec_pretty(&side).map_err(|e| disk("cannot write", file, &e.into()))?;
    let beside = Side::path_of(file);
    // The name comes last: a file under it is whole and has its side file.
    let mut json = Part { path: beside.clone(), kept: false };
    write_whole(&beside, &text).map_err(|e| {
        json.kept = e.kind() == io::ErrorKind::AlreadyExists;
        disk("cannot write", &beside, &e)
    })?;
    // Not over a file that came meanwhile: a link fails where a rename would replace it.
    let named = fs::hard_link(&part.path, file).or_else(|e| {
        let no_links = e.kind() != io::ErrorKind::AlreadyExists && !file.exists();
        if no_links { fs::rename(&part.path, file) } else { Err(e) }
    });
    named.map_err(|e| disk("cannot name", file, &e))?;
    json.kept = true;
    drop(part);
    // It is whole and has its name. Some file systems cannot sync a folder: worth a word, not a failure.
    let synced = fs::File::open(folder_of(file)).and_then(|f| f.sync_all());
    let word = synced.err().map_or_else(String::new, |e| format!(" (its folder could not be synced: {e})"));
    let keys = side.status.as_ref().map_or_else(String::new, |s| format!(", {} keys", grouped(s.total_key)));
    let note = format!(
        "{} in {}, revision {}{keys}, SHA-256 {}, verified {}{word}",
        side.size,
        file.display(),
        grouped(u64::try_from(side.revision.0).unwrap_or_default()),
        &side.sha256[..12],
        side.verified
    );
    Ok(Told { note: Some(note), file: Some(file.clone()) })
}

/// Removes the parts that interrupted operations have left, and nothing else: the journal names them, nobody writes them,
/// and without their trailer they are of use to nobody. The paths that were removed.
#[must_use]
pub fn sweep(history: &History) -> Vec<String> {
    if history.held_by.is_some() {
        return Vec::new();
    }
    // The lock is of this host: of what runs on another one that shares the folder nothing is known.
    let here = super::journal::host();
    let interrupted = history.operations.iter().filter(|p| p.interrupted() && p.host == here);
    let cut = interrupted.flat_map(|p| &p.steps).filter(|s| s.began && s.end.is_none());
    let files = cut.filter_map(|s| match &s.action {
        Some(Action::Snapshot { file, .. }) if file.is_absolute() => Some(file),
        _ => None,
    });
    let mut removed = Vec::new();
    for file in files {
        let part = part_of(file);
        if remove_part(&part, Duration::ZERO).unwrap_or(false) {
            remove_lone_sides(file);
            removed.push(part.display().to_string());
        }
    }
    removed
}

/// Removes side files that were written before their snapshot got its name, and whose snapshot never did.
fn remove_lone_sides(file: &Path) {
    let stem = format!("{}-rev", file.file_stem().unwrap_or_default().to_string_lossy());
    for entry in fs::read_dir(folder_of(file)).into_iter().flatten().flatten() {
        let (path, name) = (entry.path(), entry.file_name());
        let of_it = name
            .to_string_lossy()
            .strip_prefix(&stem)
            .is_some_and(|n| n.strip_suffix(".json").is_some_and(|n| n.bytes().all(|b| b.is_ascii_digit())));
        if of_it && !path.with_extension("db").exists() {
            let _ = fs::remove_file(path);
        }
    }
}

fn write_whole(path: &Path, text: &[u8]) -> io::Result<()> {
    let mut options = fs::OpenOptions::new();
    let mut file = options.write(true).create_new(true).mode(0o600).open(path)?;
    io::Write::write_all(&mut file, text)?;
    file.sync_all()
}

/// Copies the stream; it is on the disk when this is done.
async fn copy(
    connection: &Connection,
    mut landing: Landing,
    progress: &watch::Sender<Progress>,
) -> Result<Landed, Fault> {
    let mut stream = connection.snapshot(STALL).await?;
    let mut pace = Pace::start();
    while let Some(message) = stream.next(STALL).await? {
        landing.take(message.blob()).await?;
        let done = Bytes(landing.taken);
        if pace.is_news(done) {
            let per_second = pace.per_second();
            let of = Some(Bytes(done.0.saturating_add(message.remaining().0)));
            progress.send_replace(Progress::Bytes { done, of, per_second });
        }
    }
    landing.finish().await
}

/// How fast the bytes come.
struct Pace {
    /// When how much was there, the oldest first: of the last seconds.
    marks: VecDeque<(Instant, Bytes)>,
}

impl Pace {
    fn start() -> Self {
        Self { marks: VecDeque::from([(Instant::now(), Bytes(0))]) }
    }

    /// Takes how much is there; whether it is time to tell it: ten times a second at most.
    fn is_news(&mut self, done: Bytes) -> bool {
        let now = Instant::now();
        if self.marks.back().is_some_and(|(at, _)| now.duration_since(*at) < Duration::from_millis(100)) {
            return false;
        }
        if self.marks.front().is_some_and(|(at, _)| now.duration_since(*at) > Duration::from_secs(5)) {
            self.marks.pop_front();
        }
        self.marks.push_back((now, done));
        true
    }

    /// The bytes of a second, of late; the first moments tell nothing of the next ones.
    fn per_second(&self) -> Option<Bytes> {
        let ((since, then), (now, done)) = (self.marks.front()?, self.marks.back()?);
        let micros = now.duration_since(*since).as_micros();
        let per_second = u128::from(done.minus(*then).0) * 1_000_000 / micros.max(1);
        (micros > 500_000).then(|| Bytes(u64::try_from(per_second).unwrap_or(u64::MAX)))
    }
}
