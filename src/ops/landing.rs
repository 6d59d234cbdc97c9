//! Where a stream of gigabytes lands: hashed as it comes, while a thread of its own puts it on the disk, so that the disk
//! neither keeps the member from sending nor the members from being polled.

use std::fs::File;
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use ring::digest::{Context, SHA256};
use tokio::sync::mpsc;
use tokio::task::JoinHandle;

use super::save::disk;
use crate::etcd::Fault;
use crate::snapshot::past_cache::{ALIGN, Block, go_past};
use crate::snapshot::{TRAILER, hex};

/// What is written at a time.
const BLOCK: usize = 1 << 20;
/// Blocks that are filled, waiting or written.
const BLOCKS: usize = 4;

/// A file on the disk, whole.
pub(super) struct Landed {
    /// The SHA-256 that came with it, in hex.
    pub(super) sha256: String,
    /// That of the whole file, as `sha256sum` tells it.
    pub(super) file_sha256: String,
    /// Its bytes without the trailer.
    pub(super) size: u64,
    /// Still open: with it goes its lock.
    pub(super) file: File,
}

/// Takes a stream. When it is dropped, what has landed so far is of no use.
pub(super) struct Landing {
    digest: Context,
    block: Block,
    /// Bytes of the block that are in the digest.
    hashed: usize,
    /// Bytes so far.
    pub(super) taken: u64,
    full: mpsc::Sender<Handed>,
    empty: mpsc::Receiver<Block>,
    writer: JoinHandle<Result<File, Fault>>,
}

/// What the writer is handed.
enum Handed {
    /// More follows.
    Full(Block),
    /// Nothing follows, and all is well.
    Last(Block),
}

impl Landing {
    /// Into `file`, which is at `path`.
    pub(super) fn start(file: File, path: PathBuf) -> Self {
        let (full, handed) = mpsc::channel(BLOCKS);
        let (give_back, empty) = mpsc::channel(BLOCKS);
        for _ in 1..BLOCKS {
            // There is room for each of them.
            let _ = give_back.try_send(Block::with_room(BLOCK));
        }
        let writer = tokio::task::spawn_blocking(move || land(file, &path, handed, &give_back));
        let (digest, block) = (Context::new(&SHA256), Block::with_room(BLOCK));
        Self { digest, block, hashed: 0, taken: 0, full, empty, writer }
    }

    /// More of the stream.
    pub(super) async fn take(&mut self, mut bytes: &[u8]) -> Result<(), Fault> {
        self.taken += bytes.len() as u64;
        loop {
            bytes = self.block.take(bytes);
            let held = self.block.bytes().len();
            if bytes.is_empty() {
                // The last bytes of all are no part of what they are the checksum of.
                self.hash(held.saturating_sub(TRAILER));
                return Ok(());
            }
            self.hash(held);
            // Nobody there: the writer has failed.
            let Some(next) = self.empty.recv().await else { return Err(self.failure().await) };
            let block = std::mem::replace(&mut self.block, next);
            self.hashed = 0;
            if self.full.send(Handed::Full(block)).await.is_err() {
                return Err(self.failure().await);
            }
        }
    }

    /// Takes the block into the digest, up to there.
    fn hash(&mut self, to: usize) {
        if self.hashed < to {
            self.digest.update(&self.block.bytes()[self.hashed..to]);
            self.hashed = to;
        }
    }

    async fn failure(&mut self) -> Fault {
        match (&mut self.writer).await {
            Ok(Err(fault)) => fault,
            _ => broken("the writing thread ended"),
        }
    }

    /// The stream has ended: is it whole, and is it on the disk?
    pub(super) async fn finish(mut self) -> Result<Landed, Fault> {
        let size = self.taken.saturating_sub(TRAILER as u64);
        let trailer = self.block.bytes().get(self.hashed..).unwrap_or_default();
        if trailer.len() != TRAILER || !size.is_multiple_of(512) {
            let reason = format!("the stream ended after {size} bytes, without its checksum");
            return Err(Fault::Lost { reason });
        }
        if self.digest.clone().finish().as_ref() != trailer {
            let reason = format!("the checksum of {size} bytes does not match what the member sent");
            return Err(Fault::Lost { reason });
        }
        let sha256 = hex(trailer);
        self.digest.update(trailer);
        let file_sha256 = hex(self.digest.clone().finish().as_ref());
        // The trailer stays in the file: etcdutl checks it on restore.
        let block = std::mem::replace(&mut self.block, Block::with_room(0));
        if self.full.send(Handed::Last(block)).await.is_err() {
            return Err(self.failure().await);
        }
        let file = self.writer.await.map_err(broken)??;
        Ok(Landed { sha256, file_sha256, size, file })
    }
}

fn broken(what: impl std::fmt::Display) -> Fault {
    Fault::Disk { reason: format!("internal error: {what}") }
}

/// Writes what comes; all of it is on the disk when this is done.
fn land(
    mut file: File,
    path: &Path,
    mut handed: mpsc::Receiver<Handed>,
    give_back: &mpsc::Sender<Block>,
) -> Result<File, Fault> {
    let mut past = go_past(&file, true);
    let failed = |e| disk("cannot write", path, &e);
    let through = |file: &File| go_past(file, false);
    while let Some(next) = handed.blocking_recv() {
        match next {
            Handed::Full(mut block) => {
                write(&mut file, block.bytes(), &mut past, through).map_err(failed)?;
                block.clear();
                let _ = give_back.try_send(block);
            }
            Handed::Last(block) => {
                write(&mut file, block.bytes(), &mut past, through).map_err(failed)?;
                file.sync_all().map_err(|e| disk("cannot sync", path, &e))?;
                return Ok(file);
            }
        }
    }
    Err(Fault::Lost { reason: "the stream was given up".into() })
}

/// Writes past the cache as long as that goes: whole blocks, and not on every file system. `through` makes what follows
/// go through the cache.
fn write<W: Write>(
    file: &mut W,
    bytes: &[u8],
    past: &mut bool,
    through: impl Fn(&W) -> bool,
) -> io::Result<()> {
    let whole = if *past { bytes.len() / ALIGN * ALIGN } else { 0 };
    let mut written = 0;
    let mut even = true;
    while even && written < whole {
        match file.write(&bytes[written..whole]) {
            Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
            Ok(n) => {
                written += n;
                // After a short write addresses may be even no longer.
                even = n.is_multiple_of(ALIGN);
            }
            Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
            Err(e) if e.kind() == io::ErrorKind::InvalidInput => even = false,
            Err(e) => return Err(e),
        }
    }
    if written < bytes.len() {
        if std::mem::replace(past, false) && !through(file) {
            return Err(io::Error::other("the file system takes whole blocks alone"));
        }
        file.write_all(&bytes[written..])?;
    }
    Ok(())
}

#[cfg(test)]
#[path = "landing_tests.rs"]
mod tests;
