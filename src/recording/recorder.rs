//! A recording that is being written: on a thread of its own, so that nobody who shows something waits for a disk.

use std::fs::{File, OpenOptions};
use std::io::{self, ErrorKind, Write};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, TrySendError, sync_channel};
use std::thread::JoinHandle;

use jiff::Timestamp;
use thiserror::Error;
use tokio::sync::oneshot;

use super::entry::Entry;
use super::frame;
use super::hidden::Hidden;
use super::syncer::Syncer;
use super::writer::Encoder;

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

/// Writes a recording. What it has taken is written when it is dropped. A recording without any view of a cluster, which
/// nobody could open, goes with it.
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
        Self::synced_by(path, hidden, File::sync_data)
    }

    /// The same, with another way to bring it to the disk.
    pub(super) fn synced_by(
        path: &Path,
        hidden: Option<Hidden>,
        sync: impl FnMut(&File) -> io::Result<()> + Send + 'static,
    ) -> Result<Self, RecordError> {
        let wrong = |reason: io::Error| match reason.kind() {
            ErrorKind::AlreadyExists => RecordError::Exists(path.to_owned()),
            _ => RecordError::Io { path: path.to_owned(), reason },
        };
        let mut file =
            OpenOptions::new().write(true).create_new(true).mode(0o600).open(path).map_err(wrong)?;
        let line = frame::first_line();
        let begun = file.write_all(&line).and_then(|()| {
            let syncer = Syncer::start(&file, sync)?;
            let (queue, entries) = sync_channel(QUEUE);
            let (failed, failure) = oneshot::channel();
            let counters = Arc::new(Counters { views: AtomicU64::new(0), bytes: (line.len() as u64).into() });
            let desk = Desk {
                file: file.try_clone()?,
                path: path.to_owned(),
                syncer,
                counters: Arc::clone(&counters),
            };
            let work = move || {
                if let Err(why) = desk.run(&entries, Encoder::new(hidden)) {
                    // Whoever was to be told has gone.
                    let _ = failed.send(why);
                }
            };
            let thread = Some(std::thread::Builder::new().name("recorder".into()).spawn(work)?);
            let path = path.to_owned();
            Ok(Self { path, queue: Some(queue), thread, failure, counters, overrun: false })
        });
        begun.map_err(|reason| {
            // A file that holds nothing would keep the next one from its name.
            let _ = std::fs::remove_file(path);
            RecordError::Io { path: path.to_owned(), reason }
        })
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
        // What waits before it is waited for anyway.
        self.take_waiting(at, Entry::End);
        self.close()
    }

    /// The same, without saying that it was ended in order: for the copy of one that was not.
    ///
    /// # Errors
    /// As [`Self::end`].
    pub fn close(mut self) -> Result<Written, String> {
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

/// What the thread of a recorder works with.
struct Desk {
    file: File,
    path: PathBuf,
    syncer: Syncer,
    counters: Arc<Counters>,
}

impl Desk {
    fn run(mut self, entries: &Receiver<(Timestamp, Entry)>, encoder: Encoder) -> Result<(), String> {
        let written = self.write(entries, encoder);
        if self.counters.views.load(Ordering::Relaxed) == 0 {
            self.remove();
            return written;
        }
        let synced = self.syncer.end();
        written.and(synced)
    }

    fn write(&mut self, entries: &Receiver<(Timestamp, Entry)>, mut encoder: Encoder) -> Result<(), String> {
        while let Ok((at, entry)) = entries.recv() {
            let Some(record) = encoder.encode(at, &entry)? else { continue };
            // One write a record: there is no moment at which half of it is ours and half the kernel's.
            if let Err(e) = self.file.write_all(&record) {
                let whole = self.counters.bytes.load(Ordering::Relaxed);
                // Half a record would be taken for damage.
                let _ = self.file.set_len(whole);
                return Err(e.to_string());
            }
            self.counters.bytes.fetch_add(record.len() as u64, Ordering::Relaxed);
            self.counters.views.fetch_add(u64::from(matches!(entry, Entry::View(_))), Ordering::Relaxed);
            self.syncer.written()?;
        }
        Ok(())
    }

    /// Removes a recording that shows nothing, if it still is what has this name: one that was begun with a typo in an
    /// endpoint must not keep the next one from it.
    fn remove(&self) {
        let ours = |m: std::fs::Metadata| {
            self.file.metadata().is_ok_and(|o| (o.dev(), o.ino()) == (m.dev(), m.ino()))
        };
        if std::fs::symlink_metadata(&self.path).is_ok_and(ours) {
            // If it cannot be, the next one is told that it is there.
            let _ = std::fs::remove_file(&self.path);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc::channel;
    use std::time::{Duration, Instant};

    use super::*;
    use crate::recording::{Cursor, Tape};
    use crate::testing::{healthy, noon};

    fn view(second: i64) -> Entry {
        let mut view = healthy(3);
        view.at = noon().checked_add(jiff::SignedDuration::from_secs(second)).unwrap();
        Entry::View(Arc::new(view))
    }

    fn until(what: &str, is: impl Fn() -> bool) {
        let begun = Instant::now();
        while !is() {
            assert!(begun.elapsed() < Duration::from_secs(60), "waited too long for {what}");
            std::thread::sleep(Duration::from_millis(2));
        }
    }

    fn views(path: &Path) -> usize {
        let Ok(tape) = Tape::open(path) else { return 0 };
        let mut cursor = Cursor::default();
        std::iter::from_fn(|| cursor.next(&tape)).filter(|(_, e)| matches!(e, Entry::View(_))).count()
    }

    /// Who is killed meanwhile has lost nothing: all is in the file, which is where one who is killed leaves it.
    #[test]
    fn a_disk_that_hangs_keeps_no_record_from_the_file() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("slow");
        let (hangs, hung) = channel();
        let (release, released) = channel::<()>();
        let sync = move |_: &File| {
            let _ = hangs.send(());
            let _ = released.recv();
            Ok(())
        };
        let mut recorder = Recorder::synced_by(&path, None, sync).unwrap();
        recorder.take(noon(), view(0));
        hung.recv_timeout(Duration::from_secs(60)).unwrap();
        for second in 1..200 {
            recorder.take(noon(), view(second));
        }
        until("the file", || views(&path) == 200);
        assert!(hung.try_recv().is_err(), "the one before has not ended yet");
        drop(release);
        assert_eq!(recorder.end(noon()).unwrap().views, 200);
        assert!(Tape::open(&path).unwrap().ended());
    }

    #[test]
    fn what_was_written_is_brought_to_the_disk_soon_and_nothing_else_is() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("synced");
        let (syncs, synced) = channel();
        let sync = move |file: &File| {
            let _ = syncs.send(file.metadata().unwrap().len());
            Ok(())
        };
        let mut recorder = Recorder::synced_by(&path, None, sync).unwrap();
        let mut last = 0;
        for second in 0..3 {
            recorder.take(noon(), view(second));
            let length = synced.recv_timeout(Duration::from_secs(60)).unwrap();
            assert!(length > last, "{length} {last}");
            last = length;
        }
        // It stands in its pause: the end does not wait for that, and does not leave out what came meanwhile.
        let written = recorder.end(noon()).unwrap();
        let rest: Vec<_> = synced.iter().collect();
        assert_eq!(rest, [written.bytes], "once more, for the end");
    }

    #[test]
    fn a_disk_that_fails_ends_it() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("fails");
        let mut recorder =
            Recorder::synced_by(&path, None, |_: &File| Err(io::Error::other("I/O error"))).unwrap();
        let mut second = 0;
        let begun = Instant::now();
        while !recorder.thread.as_ref().unwrap().is_finished() {
            assert!(begun.elapsed() < Duration::from_secs(60));
            second += 1;
            recorder.take_waiting(noon(), view(second));
        }
        assert_eq!(recorder.end(noon()).unwrap_err(), "I/O error");
    }

    #[test]
    fn one_that_shows_nothing_does_not_stay() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("x");
        let begin = || Recorder::create(&path, None).unwrap();
        let meta = || Entry::Meta(Box::default());
        // Dropped, ended, with and without what it is of.
        drop(begin());
        assert!(!path.exists());
        let mut recorder = begin();
        assert!(matches!(Recorder::create(&path, None), Err(RecordError::Exists(_))));
        recorder.take(noon(), meta());
        assert_eq!(recorder.end(noon()).unwrap().views, 0);
        assert!(!path.exists());
        // One that shows something does.
        let mut recorder = begin();
        recorder.take(noon(), view(0));
        drop(recorder);
        assert_eq!(views(&path), 1);
        std::fs::remove_file(&path).unwrap();
        // And so does what somebody else has put in its place.
        let recorder = begin();
        std::fs::remove_file(&path).unwrap();
        std::fs::write(&path, "another").unwrap();
        drop(recorder);
        assert_eq!(std::fs::read(&path).unwrap(), b"another");
    }
}
