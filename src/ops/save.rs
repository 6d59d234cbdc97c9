//! A snapshot from a stream into a file: checked while it comes, and under its name only when it is whole.
//!
//! The stream is the bbolt file in messages of 32 KiB, then one of 32 bytes: the SHA-256 of everything before. A stream
//! that ends early without an error has happened, so the trailer is demanded.

use std::collections::VecDeque;
use std::fs;
use std::io;
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use rustix::fs::{CWD, RenameFlags};
use rustix::io::Errno;
use tokio::sync::watch;

use super::event::Progress;
use super::landing::{Landed, Landing};
use super::past::History;
use super::plan::{Action, Verify};
use super::seam::Told;
use crate::etcd::{Connection, Fault};
use crate::model::units::grouped;
use crate::model::{Bytes, ClusterId, ClusterView, ForeignText, MemberId, Revision};
use crate::snapshot::{Depth, Side, SideMember, Snapshot, YOUNG_PART, examine, place, remove_part, skim};

/// A stream on which nothing comes for so long is broken.
const STALL: Duration = Duration::from_secs(30);
/// Free space that must be left beside the snapshot.
pub(super) const SPARE: u64 = 64 << 20;

/// Whether a snapshot of this size has room, and leaves some.
pub(super) fn fits(size: Bytes, free: Bytes) -> bool {
    size.0.saturating_add(SPARE) <= free.0
}

/// A file, whatever its name is.
type Identity = (u64, u64);

fn identity(about: &fs::Metadata) -> Identity {
    (about.dev(), about.ino())
}

/// Removes the part when it is dropped, if it is still the one that was opened.
struct Part {
    path: PathBuf,
    identity: Identity,
}

impl Part {
    /// Whether what has its name is it.
    fn is_there(&self) -> bool {
        fs::symlink_metadata(&self.path).is_ok_and(|about| identity(&about) == self.identity)
    }
}

impl Drop for Part {
    fn drop(&mut self) {
        if self.is_there() {
            // It is ours alone, and of no use to anybody.
            let _ = fs::remove_file(&self.path);
        }
    }
}

/// A side file that goes again unless its snapshot got its name.
struct Beside {
    path: PathBuf,
    kept: bool,
}

impl Drop for Beside {
    fn drop(&mut self) {
        if !self.kept {
            let _ = fs::remove_file(&self.path);
        }
    }
}

/// A save that somebody may give up when its future is gone already: what looks at the file and names it runs on a thread
/// of its own.
#[derive(Clone, Debug, Default)]
pub struct Saving {
    given_up: Arc<AtomicBool>,
    naming: Arc<tokio::sync::Mutex<Option<Told>>>,
}

impl Saving {
    /// Gives it up, and waits until it has come to its end; what it came to, if it had its name already.
    pub async fn give_up(&self) -> Option<Told> {
        self.given_up.store(true, Ordering::Relaxed);
        self.naming.lock().await.take()
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
    saving: &Saving,
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
    let Landed { sha256, file_sha256, size, file: locked } = match copy(connection, landing, progress).await {
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
        file_sha256,
        size,
        cluster_id: view.cluster_id,
        taken_from: member,
        taken_at: jiff::Timestamp::now(),
        etcd_version: m.and_then(|m| Some(m.status.as_ref()?.version.raw().to_owned())),
        members: members.collect(),
    };
    let path = file.to_owned();
    let given_up = Arc::clone(&saving.given_up);
    let mut naming = Arc::clone(&saving.naming).lock_owned().await;
    beside_the_runtime(move || {
        let told = name(part, &path, numbered, about, verify, &given_up)?;
        // The lock of the part is held until it has its name.
        drop(locked);
        *naming = Some(told.clone());
        Ok(told)
    })
    .await
}

/// What is known of a snapshot when its stream has ended.
struct About {
    sha256: String,
    file_sha256: String,
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
    let free = place(folder).map_err(|reason| Fault::Disk { reason })?.free;
    if let Some(size) = size.filter(|s| !fits(*s, free)) {
        return Err(Fault::Disk {
            reason: format!(
                "{} has {free} free, the snapshot takes {size}, and {} stay free",
                folder.display(),
                Bytes(SPARE)
            ),
        });
    }
    let beside = Side::path_of(file);
    if beside.exists() {
        let shown = beside.display();
        let reason = format!("{shown} is there without its snapshot: remove it, or choose another name");
        return Err(Fault::Disk { reason });
    }
    let path = part_of(file);
    // What a save that was killed has left is in nobody's way.
    let _ = remove_part(&path, YOUNG_PART);
    let opened = fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(&path);
    let opened = opened.map_err(|e| match e.kind() {
        io::ErrorKind::AlreadyExists => Fault::Disk {
            reason: format!(
                "{} is there: another save writes it, or was killed a moment ago: remove it if nobody does",
                path.display()
            ),
        },
        _ => disk("cannot create", &path, &e),
    })?;
    let about = opened.metadata().map_err(|e| disk("cannot look at", &path, &e))?;
    // As long as somebody writes it, nobody takes it for a part that was left. Where locks are not to be had, the journal's
    // lock says the same of this host.
    let _ = rustix::fs::flock(&opened, rustix::fs::FlockOperation::NonBlockingLockExclusive);
    Ok((Part { path, identity: identity(&about) }, opened))
}

/// `x.db` as `x-rev1285023.db`.
fn with_revision(file: &Path, revision: Revision) -> PathBuf {
    let mut name = file.file_stem().unwrap_or_default().to_owned();
    name.push(format!("-rev{}.db", revision.0));
    file.with_file_name(name)
}

/// Looks at a whole part, and gives it its name, with its side file; a line about it.
fn name(
    part: Part,
    file: &Path,
    numbered: bool,
    about: About,
    verify: Verify,
    given_up: &Arc<AtomicBool>,
) -> Result<Told, Fault> {
    // What etcd sent is what is on the disk, so what is wrong with it now was wrong in the member.
    let unfit =
        |why: String| Fault::Disk { reason: format!("what the member sent is no whole database: {why}") };
    let snapshot =
        Snapshot::open_past_cache(&part.path, Arc::clone(given_up)).map_err(|e| unfit(e.to_string()))?;
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
        file_sha256: Some(about.file_sha256),
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
    write_whole(&beside, &text).map_err(|e| disk("cannot write", &beside, &e))?;
    let mut json = Beside { path: beside, kept: false };
    if given_up.load(Ordering::Relaxed) {
        return Err(Fault::Stopped { why: "it was given up".into() });
    }
    if !part.is_there() {
        let reason = format!("{} is not the file that was written any more", part.path.display());
        return Err(Fault::Disk { reason });
    }
    // Not over a file that came meanwhile.
    let named = rustix::fs::renameat_with(CWD, &part.path, CWD, file, RenameFlags::NOREPLACE);
    let named = named.or_else(|e| match e {
        // Old kernels, and file systems that know no such renaming.
        Errno::NOSYS | Errno::INVAL => fs::hard_link(&part.path, file),
        e => Err(e.into()),
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
        let gone = remove_part(&part, Duration::ZERO).unwrap_or(false);
        remove_lone_sides(file);
        if gone {
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
        let of_it = name.to_string_lossy().strip_prefix(&stem).is_some_and(|n| {
            n.strip_suffix(".db.json").is_some_and(|n| n.bytes().all(|b| b.is_ascii_digit()))
        });
        if of_it && !path.with_extension("").exists() {
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
