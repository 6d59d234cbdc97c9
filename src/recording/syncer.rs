//! Brings what was written to the disk, on a thread of its own: a disk that is slow to say that it has it must not keep the next
//! record from the kernel, least of all in the incident that one records.

use std::fs::File;
use std::io;
use std::sync::mpsc::{Receiver, SyncSender, TrySendError, sync_channel};
use std::thread::JoinHandle;
use std::time::Duration;

/// The pause between two of them. What a host that loses its power loses is what was written since the last one began.
const EVERY: Duration = Duration::from_secs(1);

/// The way to that thread. It ends when this is dropped.
#[derive(Debug)]
pub(super) struct Syncer {
    /// Something was written since it began the last time.
    written: Option<SyncSender<()>>,
    /// Nobody sends: that it is dropped ends the pause.
    stay: Option<SyncSender<()>>,
    thread: Option<JoinHandle<io::Result<()>>>,
}

impl Syncer {
    /// Starts on a file; `sync` brings it to the disk.
    pub(super) fn start(
        file: &File,
        mut sync: impl FnMut(&File) -> io::Result<()> + Send + 'static,
    ) -> io::Result<Self> {
        let file = file.try_clone()?;
        // One place: what is written while one is under way is brought there by the next.
        let (written, wait) = sync_channel(1);
        let (stay, left) = sync_channel(0);
        let work = move || run(&wait, &left, || sync(&file));
        let thread = Some(std::thread::Builder::new().name("recorder-sync".into()).spawn(work)?);
        Ok(Self { written: Some(written), stay: Some(stay), thread })
    }

    /// Something was written. Waits for nothing.
    ///
    /// # Errors
    /// Why the disk did not take what was written before.
    pub(super) fn written(&mut self) -> Result<(), String> {
        let Some(written) = &self.written else { return Ok(()) };
        match written.try_send(()) {
            Ok(()) | Err(TrySendError::Full(())) => Ok(()),
            Err(TrySendError::Disconnected(())) => self.join(),
        }
    }

    /// Waits until everything that was written is on the disk.
    ///
    /// # Errors
    /// Why it is not.
    pub(super) fn end(mut self) -> Result<(), String> {
        self.join()
    }

    fn join(&mut self) -> Result<(), String> {
        self.written = None;
        self.stay = None;
        let Some(thread) = self.thread.take() else { return Ok(()) };
        thread.join().map_err(|_| "internal error".to_owned())?.map_err(|e| e.to_string())
    }
}

fn run(wait: &Receiver<()>, left: &Receiver<()>, mut sync: impl FnMut() -> io::Result<()>) -> io::Result<()> {
    while wait.recv().is_ok() {
        sync()?;
        // Cut short by the end: what was written since is brought there, then nothing more comes.
        let _ = left.recv_timeout(EVERY);
    }
    Ok(())
}
