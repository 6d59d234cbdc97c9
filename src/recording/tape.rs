//! A recording that is read: what records there are, and what they hold, from any of them on.

use std::borrow::Cow;
use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use flate2::{Decompress, FlushDecompress};
use jiff::Timestamp;
use serde_json::Value;
use thiserror::Error;

use super::delta::{apply, unpack};
use super::entry::{Entry, Meta};
use super::frame::{FIRST_LINE, HEAD, Head, VERSION, is_sound, kind, read_first_line};
use crate::model::text::{is_dangerous, printable};

/// Views that are further apart than this, and than five times the two before, have a gap between them: the program stood
/// still, or the host did.
pub const GAP: Duration = Duration::from_secs(15);
/// What is said of a recording that has no end.
pub const UNENDED: &str = "it was not ended in order: its program was killed, or writes it still";
/// What a record inflates to is no longer than this.
const LONGEST_TEXT: usize = 256 << 20;

/// Why a recording cannot be opened.
#[derive(Debug, Error)]
pub enum TapeError {
    /// It cannot be read.
    #[error("{} cannot be read: {reason}", path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// Why.
        reason: io::Error,
    },
    /// It is something else.
    #[error("{} is no recording of etcdtop; `etcdtop record FILE` makes one", .0.display())]
    Foreign(PathBuf),
    /// A later etcdtop wrote it.
    #[error(
        "{} has version {}.{} of the format, and this etcdtop reads up to {}.x: replay it with a newer etcdtop",
        path.display(), version.0, version.1, VERSION.0
    )]
    Newer {
        /// The file.
        path: PathBuf,
        /// Its version.
        version: (u16, u16),
    },
    /// Nothing was recorded.
    #[error("{} holds no view of a cluster: its recording ended before the first poll", .0.display())]
    Empty(PathBuf),
}

/// A record, as far as it must be known to find it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Record {
    /// Where it begins.
    offset: u64,
    /// Bytes of its payload.
    length: u32,
    /// What it is.
    pub kind: u8,
    /// When it was, by the clock of then.
    pub at: Timestamp,
    /// How far it lies from the beginning. Never goes back, as clocks do.
    pub from_start: Duration,
}

#[derive(Debug)]
enum Source {
    File(File),
    Bytes(Arc<[u8]>),
}

impl Source {
    /// Reads as much as there is, up to the whole buffer.
    fn read(&self, buffer: &mut [u8], at: u64) -> io::Result<usize> {
        match self {
            Self::File(file) => {
                let mut read = 0;
                while read < buffer.len() {
                    match file.read_at(&mut buffer[read..], at + read as u64) {
                        Ok(0) => break,
                        Ok(n) => read += n,
                        Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
                        Err(e) => return Err(e),
                    }
                }
                Ok(read)
            }
            Self::Bytes(bytes) => {
                let from = usize::try_from(at).unwrap_or(usize::MAX).min(bytes.len());
                let n = buffer.len().min(bytes.len() - from);
                buffer[..n].copy_from_slice(&bytes[from..from + n]);
                Ok(n)
            }
        }
    }
}

/// A recording.
#[derive(Debug)]
pub struct Tape {
    path: PathBuf,
    source: Source,
    records: Vec<Record>,
    /// Where the next record begins.
    end: u64,
    /// Bytes that belong to no sound record.
    damaged: u64,
    /// It was ended in order.
    ended: bool,
    version: (u16, u16),
    meta: Meta,
}

impl Tape {
    /// Opens a file.
    ///
    /// # Errors
    /// When it cannot be read, is no recording, is of a later major version, or holds nothing.
    pub fn open(path: &Path) -> Result<Self, TapeError> {
        let io = |reason| TapeError::Io { path: path.to_owned(), reason };
        let file = File::open(path).map_err(io)?;
        if file.metadata().map_err(io)?.is_dir() {
            return Err(io(io::Error::from(io::ErrorKind::IsADirectory)));
        }
        Self::read(path.to_owned(), Source::File(file))
    }

    /// Opens what is in memory.
    ///
    /// # Errors
    /// As [`Self::open`].
    pub fn of_bytes(name: &str, bytes: Arc<[u8]>) -> Result<Self, TapeError> {
        Self::read(name.into(), Source::Bytes(bytes))
    }

    fn read(path: PathBuf, source: Source) -> Result<Self, TapeError> {
        let mut start = [0; FIRST_LINE];
        let n = source.read(&mut start, 0).map_err(|reason| TapeError::Io { path: path.clone(), reason })?;
        let Some((version, end)) = read_first_line(&start[..n]) else { return Err(TapeError::Foreign(path)) };
        if version.0 > VERSION.0 {
            return Err(TapeError::Newer { path, version });
        }
        let mut tape = Self {
            path,
            source,
            records: Vec::new(),
            end: end as u64,
            damaged: 0,
            ended: false,
            version,
            meta: Meta::default(),
        };
        tape.grow().map_err(|reason| TapeError::Io { path: tape.path.clone(), reason })?;
        let first_view = tape.records.iter().position(|r| r.kind == kind::KEY);
        let Some(first_view) = first_view else { return Err(TapeError::Empty(tape.path)) };
        let mut cursor = Cursor::default();
        while cursor.at() <= first_view {
            match cursor.next(&tape) {
                Some((_, Entry::Meta(meta))) => tape.meta = *meta,
                Some(_) => {}
                None => break,
            }
        }
        Ok(tape)
    }

    /// Reads what was added since; whether there was anything.
    ///
    /// # Errors
    /// When the file cannot be read.
    pub fn grow(&mut self) -> io::Result<bool> {
        let before = self.records.len();
        let mut buffer = Vec::new();
        loop {
            match self.record_at(self.end, &mut buffer)? {
                Some(head) => self.take(head),
                None => match self.next_key(&mut buffer)? {
                    Some(offset) => {
                        self.damaged += offset - self.end;
                        self.end = offset;
                    }
                    None => return Ok(self.records.len() > before),
                },
            }
        }
    }

    fn take(&mut self, head: Head) {
        let from_start = self.records.last().map_or(Duration::ZERO, |last| {
            // A clock that was set back goes on from where it was.
            last.from_start
                .saturating_add(Duration::try_from(head.at.duration_since(last.at)).unwrap_or_default())
        });
        let Head { length, kind, at } = head;
        self.ended = kind == kind::END;
        self.records.push(Record { offset: self.end, length, kind, at, from_start });
        self.end += head.whole() as u64;
    }

    /// The whole and sound record at an offset, in the buffer; none: there is none (yet).
    fn record_at(&self, offset: u64, buffer: &mut Vec<u8>) -> io::Result<Option<Head>> {
        buffer.resize(HEAD, 0);
        let n = self.source.read(buffer, offset)?;
        let Some(head) = Head::read(&buffer[..n]).filter(|_| n == HEAD) else { return Ok(None) };
        // Not more room than there are bytes: a length that is damaged may say anything.
        let mut last = [0];
        if self.source.read(&mut last, offset + head.whole() as u64 - 1)? == 0 {
            return Ok(None);
        }
        buffer.resize(head.whole(), 0);
        let n = self.source.read(&mut buffer[HEAD..], offset + HEAD as u64)?;
        Ok((n + HEAD == head.whole() && is_sound(buffer)).then_some(head))
    }

    /// Where a whole view stands behind damage. What lies between rests on what cannot be read any more.
    fn next_key(&self, buffer: &mut Vec<u8>) -> io::Result<Option<u64>> {
        let mut window = vec![0; 64 << 10];
        let mut from = self.end + 1;
        loop {
            let n = self.source.read(&mut window, from)?;
            if n < HEAD {
                return Ok(None);
            }
            for i in 0..=n - HEAD {
                let key = Head::read(&window[i..]).is_some_and(|h| {
                    // What is not of about the same time is no record of ours.
                    h.kind == kind::KEY && self.records.last().is_none_or(|r| h.at >= r.at)
                });
                if key && self.record_at(from + i as u64, buffer)?.is_some() {
                    return Ok(Some(from + i as u64));
                }
            }
            from += (n - HEAD + 1) as u64;
        }
    }

    /// What it is a recording of.
    #[must_use]
    pub const fn meta(&self) -> &Meta {
        &self.meta
    }

    /// Its file.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Its records, in order.
    #[must_use]
    pub fn records(&self) -> &[Record] {
        &self.records
    }

    /// When it begins.
    #[must_use]
    pub fn from(&self) -> Timestamp {
        self.records.first().map_or(Timestamp::UNIX_EPOCH, |r| r.at)
    }

    /// How long it is.
    #[must_use]
    pub fn length(&self) -> Duration {
        self.records.last().map_or(Duration::ZERO, |r| r.from_start)
    }

    /// The clock of then, so far from the beginning.
    #[must_use]
    pub fn clock(&self, from_start: Duration) -> Timestamp {
        let after = self.records.partition_point(|r| r.from_start <= from_start);
        let Some(last) = self.records.get(after.saturating_sub(1)) else { return self.from() };
        last.at.checked_add(from_start.saturating_sub(last.from_start)).unwrap_or(last.at)
    }

    /// The first record that is not due yet so far from the beginning.
    #[must_use]
    pub fn due(&self, from_start: Duration) -> usize {
        self.records.partition_point(|r| r.from_start <= from_start)
    }

    /// Where the first view is: nothing can be shown before it.
    #[must_use]
    pub fn first_view(&self) -> Duration {
        self.records.iter().find(|r| r.kind == kind::KEY).map_or(Duration::ZERO, |r| r.from_start)
    }

    /// Whether it was ended in order; otherwise its program was killed, or writes it still.
    #[must_use]
    pub const fn ended(&self) -> bool {
        self.ended
    }

    /// What should be known about it, a line each.
    #[must_use]
    pub fn notices(&self) -> Vec<String> {
        let mut notices = self.meta.lost.clone();
        if self.version.1 > VERSION.1 {
            let (major, minor) = self.version;
            notices.push(format!("written in version {major}.{minor} of the format: what this etcdtop does not know is left out"));
        }
        if self.damaged > 0 {
            notices.push(format!("{} bytes are damaged: what they told is left out", self.damaged));
        }
        let size = match &self.source {
            Source::File(file) => file.metadata().map_or(self.end, |m| m.len()),
            Source::Bytes(bytes) => bytes.len() as u64,
        };
        if size > self.end {
            notices.push(format!("its last {} bytes are no whole record: it was cut there", size - self.end));
        } else if !self.ended {
            notices.push(UNENDED.into());
        }
        notices
    }

    /// Where nothing was recorded, and for how long: from the beginning.
    pub fn gaps(&self) -> impl Iterator<Item = (Duration, Duration)> + '_ {
        let mut usual = Duration::MAX;
        let views = || self.records.iter().filter(|r| matches!(r.kind, kind::KEY | kind::DELTA));
        views().zip(views().skip(1)).filter_map(move |(a, b)| {
            let apart = b.from_start.saturating_sub(a.from_start);
            let gap = apart > GAP && apart / 5 > usual;
            if !gap {
                usual = apart;
            }
            gap.then_some((a.from_start, apart))
        })
    }

    fn payload(&self, record: &Record) -> Option<Vec<u8>> {
        let mut bytes = vec![0; record.length as usize];
        let n = self.source.read(&mut bytes, record.offset + HEAD as u64).ok()?;
        (n == bytes.len()).then_some(bytes)
    }
}

/// A place in a recording, and what must be known there to read on.
#[derive(Debug)]
pub struct Cursor {
    next: usize,
    inflate: Decompress,
    base: Value,
    /// The view that all rests on was read.
    based: bool,
}

impl Default for Cursor {
    fn default() -> Self {
        Self { next: 0, inflate: Decompress::new(false), base: Value::Null, based: false }
    }
}

impl Cursor {
    /// The number of the record that comes next.
    #[must_use]
    pub const fn at(&self) -> usize {
        self.next
    }

    /// Goes to a record: from the last whole view before it on, what changed is put together.
    pub fn seek(&mut self, tape: &Tape, to: usize) {
        let key = tape.records.iter().take(to + 1).rposition(|r| r.kind == kind::KEY).unwrap_or_default();
        if to < self.next || key > self.next {
            self.next = key;
            // Before the first whole view the stream begins with the file.
            self.inflate.reset(false);
            self.based = false;
        }
        while self.step(tape, to).is_some() {}
    }

    /// The next entry that is known to this version, and its record; none at the end.
    pub fn next(&mut self, tape: &Tape) -> Option<(Record, Entry)> {
        self.next_before(tape, usize::MAX)
    }

    /// The same, of the records before this number.
    pub fn next_before(&mut self, tape: &Tape, end: usize) -> Option<(Record, Entry)> {
        loop {
            let (record, value) = self.step(tape, end)?;
            let value = match record.kind {
                kind::KEY | kind::DELTA => unpack(&self.base),
                _ => match value {
                    Some(value) => value,
                    None => continue,
                },
            };
            match Entry::from_json(record.kind, value) {
                Ok(Some(entry)) => return Some((record, entry)),
                // Of a later version.
                Ok(None) => {}
                Err(e) => tracing::warn!(kind = record.kind, "a record is left out: {e}"),
            }
        }
    }

    /// Reads the next record that can be read, of those before a number; its JSON, but of a view: that is put together in the
    /// base.
    fn step(&mut self, tape: &Tape, end: usize) -> Option<(Record, Option<Value>)> {
        while self.next < end {
            let record = *tape.records.get(self.next)?;
            self.next += 1;
            if record.kind == kind::KEY {
                self.inflate.reset(false);
            }
            let text = tape.payload(&record).and_then(|payload| self.inflated(&payload));
            let mut value = text.and_then(|text| serde_json::from_slice::<Value>(&text).ok());
            if let Some(value) = &mut value {
                escape(value);
            }
            match (record.kind, value) {
                (kind::KEY, Some(value)) => {
                    self.base = value;
                    self.based = true;
                    return Some((record, None));
                }
                (kind::DELTA, Some(patch)) if self.based => {
                    apply(&mut self.base, patch);
                    return Some((record, None));
                }
                // A sound record that does not inflate was written by a defect: nothing rests on it.
                (kind::KEY | kind::DELTA, _) => self.based = false,
                (_, value) => return Some((record, value)),
            }
        }
        None
    }

    fn inflated(&mut self, payload: &[u8]) -> Option<Vec<u8>> {
        let mut out = Vec::with_capacity(payload.len() * 6 + 64);
        let begun = self.inflate.total_in();
        loop {
            let read = usize::try_from(self.inflate.total_in() - begun).ok()?;
            let rest = payload.get(read..)?;
            self.inflate.decompress_vec(rest, &mut out, FlushDecompress::Sync).ok()?;
            let read = usize::try_from(self.inflate.total_in() - begun).ok()?;
            if read >= payload.len() && out.len() < out.capacity() {
                return Some(out);
            }
            if out.len() > LONGEST_TEXT {
                return None;
            }
            out.reserve(out.capacity().max(64));
        }
    }
}

/// Makes every text safe to print, names of fields among them. Whoever handed out the recording may have written it by hand:
/// no text of it can do more on a screen, or in a summary, than to be read.
fn escape(value: &mut Value) {
    match value {
        Value::String(text) => {
            if let Cow::Owned(safe) = printable(text) {
                *text = safe;
            }
        }
        Value::Array(list) => list.iter_mut().for_each(escape),
        Value::Object(map) => {
            if map.keys().any(|name| name.contains(is_dangerous)) {
                let old = std::mem::take(map);
                map.extend(old.into_iter().map(|(name, v)| (printable(&name).into_owned(), v)));
            }
            map.values_mut().for_each(escape);
        }
        Value::Null | Value::Bool(_) | Value::Number(_) => {}
    }
}
