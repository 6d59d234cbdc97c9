//! A recording that is being written: on a thread of its own, so that nobody who shows something waits for a disk.

use std::fs::{File, OpenOptions};
use std::io::{self, ErrorKind, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, TrySendError, sync_channel};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use jiff::Timestamp;
use thiserror::Error;
use tokio::sync::oneshot;

use super::entry::Entry;
use super::frame;
use super::hidden::Hidden;
use super::writer::Encoder;

/// How often what is written is brought to the disk. Every record is the kernel's as soon as it is written, so that a
/// program that is killed loses nothing; only a host that loses its power does. Not every second: on a member's host the
/// disk is etcd's, too, and each of its writes waits for the fsync of its log.
const SYNC_EVERY: Duration = Duration::from_secs(60);
/// Entries that wait for the disk. A disk that has not taken a quarter of an hour of views takes no more.
const QUEUE: usize = 1_024;

/// Why there is no recording (any more).
#[derive(Debug, Error)]
pub enum RecordError {
    /// A file is there already.
    #[error("{} exists: it is not overwritten; name another file, or remove it", .0.display())]
    Exists(PathBuf),
    /// It cannot be written.
    #[error("{} cannot be written: {reason}", path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// Why.
        reason: io::Error,
    },
}

/// How much was recorded.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Written {
    /// Views.
    pub views: u64,
    /// Bytes of the file.
    pub bytes: u64,
}

#[derive(Debug, Default)]
struct Counters {
    views: AtomicU64,
    bytes: AtomicU64,
}

/// Writes a recording. Dropping it ends it in order.
#[derive(Debug)]
pub struct Recorder {
    path: PathBuf,
    queue: Option<SyncSender<(Timestamp, Entry)>>,
    thread: Option<JoinHandle<()>>,
    failure: oneshot::Receiver<String>,
    counters: Arc<Counters>,
    overrun: bool,
}

impl Recorder {
    /// Begins a new file, for this user alone. Waits for the disk, this once.
    ///
    /// # Errors
    /// When there is a file already, or it cannot be made.
    pub fn create(path: &Path, hidden: Option<Hidden>) -> Result<Self, RecordError> {
        let wrong = |reason: io::Error| match reason.kind() {
            ErrorKind::AlreadyExists => RecordError::Exists(path.to_owned()),
            _ => RecordError::Io { path: path.to_owned(), reason },
        };
        let mut file =
            OpenOptions::new().write(true).create_new(true).mode(0o600).open(path).map_err(wrong)?;
        let line = frame::first_line();
        file.write_all(&line).map_err(|reason| {
            // A file of no length would keep the next one from its name.
            let _ = std::fs::remove_file(path);
            RecordError::Io { path: path.to_owned(), reason }
        })?;
        let (queue, entries) = sync_channel(QUEUE);
        let (failed, failure) = oneshot::channel();
        let counters = Arc::new(Counters { views: AtomicU64::new(0), bytes: (line.len() as u64).into() });
        let counts = Arc::clone(&counters);
        let thread = std::thread::Builder::new()
            .name("recorder".into())
            .spawn(move || {
                if let Err(why) = write(file, &entries, Encoder::new(hidden), &counts) {
                    // Whoever was to be told has gone.
                    let _ = failed.send(why);
                }
            })
            .map_err(|reason| RecordError::Io { path: path.to_owned(), reason })?;
        let path = path.to_owned();
        Ok(Self { path, queue: Some(queue), thread: Some(thread), failure, counters, overrun: false })
    }

    /// Its file.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Takes an entry, and waits for nothing.
    pub fn take(&mut self, at: Timestamp, entry: Entry) {
        let Some(queue) = &self.queue else { return };
        // Who has ended tells why by himself.
        if let Err(TrySendError::Full(_)) = queue.try_send((at, entry)) {
            self.queue = None;
            self.overrun = true;
        }
    }

    /// Takes an entry, and waits until there is room for it: for a recording that is made from another.
    pub fn take_waiting(&mut self, at: Timestamp, entry: Entry) {
        if let Some(queue) = &self.queue {
            // Who has ended tells why by himself.
            let _ = queue.send((at, entry));
        }
    }

    /// Why it ended by itself; never while it goes on.
    pub async fn failed(&mut self) -> String {
        if self.overrun {
            self.overrun = false;
            return "the disk does not take it any more".into();
        }
        match (&mut self.failure).await {
            Ok(why) => why,
            Err(_) => std::future::pending().await,
        }
    }

    /// How much was written so far.
    #[must_use]
    pub fn written(&self) -> Written {
        let get = |n: &AtomicU64| n.load(Ordering::Relaxed);
        Written { views: get(&self.counters.views), bytes: get(&self.counters.bytes) }
    }

    /// Ends it in order: what waits is written and on the disk when this returns.
    ///
    /// # Errors
    /// Why not all of it could be written.
    pub fn end(mut self, at: Timestamp) -> Result<Written, String> {
        self.take(at, Entry::End);
        self.queue = None;
        if let Some(thread) = self.thread.take() {
            // It catches what it can; a panic is a defect of ours.
            thread.join().map_err(|_| "internal error".to_owned())?;
        }
        match self.failure.try_recv() {
            Ok(why) => Err(why),
            Err(_) => Ok(self.written()),
        }
    }
}

impl Drop for Recorder {
    fn drop(&mut self) {
        self.queue = None;
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

fn write(
    mut file: File,
    entries: &Receiver<(Timestamp, Entry)>,
    mut encoder: Encoder,
    counters: &Counters,
) -> Result<(), String> {
    let mut synced = Instant::now();
    while let Ok((at, entry)) = entries.recv() {
        let Some(record) = encoder.encode(at, &entry)? else { continue };
        // One write a record: there is no moment at which half of it is ours and half the kernel's.
        if let Err(e) = file.write_all(&record) {
            let whole = counters.bytes.load(Ordering::Relaxed);
            // Half a record would be taken for damage.
            let _ = file.set_len(whole);
            return Err(e.to_string());
        }
        counters.bytes.fetch_add(record.len() as u64, Ordering::Relaxed);
        counters.views.fetch_add(u64::from(matches!(entry, Entry::View(_))), Ordering::Relaxed);
        if synced.elapsed() >= SYNC_EVERY {
            file.sync_data().map_err(|e| e.to_string())?;
            synced = Instant::now();
        }
    }
    file.sync_data().map_err(|e| e.to_string())
}
