//! From entries to bytes: views as what changed, everything deflated, every record readable the moment it is written.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use flate2::{Compress, Compression, FlushCompress};
use jiff::Timestamp;
use serde_json::Value;

use super::delta::{diff, pack};
use super::entry::Entry;
use super::frame::{self, kind};
use super::hidden::Hidden;

/// A whole view comes at least so often: one who seeks reads from the last one before.
pub const KEY_EVERY: Duration = Duration::from_secs(60);

/// Makes records of entries.
#[derive(Debug)]
pub struct Encoder {
    deflate: Compress,
    /// The last view, packed.
    base: Option<Value>,
    key_at: Option<Timestamp>,
    hidden: Option<Hidden>,
    /// The last of each kind that is told again and again.
    last: BTreeMap<u8, Value>,
}

/// Kinds that tell how something is, not that something happened: the same once more is nothing new.
const STANDING: [u8; 4] = [kind::PROGRESS, kind::JOURNAL, kind::LISTED, kind::COACH];

impl Encoder {
    /// One for a new file; with `hidden` nothing is written that names the cluster.
    #[must_use]
    pub fn new(hidden: Option<Hidden>) -> Self {
        let deflate = Compress::new(Compression::default(), false);
        Self { deflate, base: None, key_at: None, hidden, last: BTreeMap::new() }
    }

    /// The record of an entry, deflated; none where nothing has changed, or where what names the cluster cannot be taken
    /// out of it.
    ///
    /// # Errors
    /// What cannot be written as JSON, or is too long.
    pub fn encode(&mut self, at: Timestamp, entry: &Entry) -> Result<Option<Vec<u8>>, String> {
        let wrong = |e: serde_json::Error| e.to_string();
        let (kind, value) = match (&mut self.hidden, entry) {
            (Some(hidden), entry) => {
                let Some(told) = hidden.entry(entry).map_err(wrong)? else { return Ok(None) };
                told
            }
            (None, entry) => entry.to_json().map_err(wrong)?,
        };
        let (kind, text) = if kind == kind::KEY {
            self.view(at, value)?
        } else {
            if STANDING.contains(&kind) && self.last.insert(kind, value.clone()).as_ref() == Some(&value) {
                return Ok(None);
            }
            (kind, serde_json::to_vec(&value).map_err(wrong)?)
        };
        if kind == kind::KEY {
            self.deflate.reset();
        }
        let payload = self.deflated(&text)?;
        let record = frame::record(kind, at, &payload);
        record.map(Some).ok_or_else(|| format!("{} bytes at once are too much", payload.len()))
    }

    fn view(&mut self, at: Timestamp, value: Value) -> Result<(u8, Vec<u8>), String> {
        let packed = pack(value);
        let young = self.key_at.is_some_and(|key| {
            // A clock that was set back begins anew.
            let age = at.duration_since(key);
            !age.is_negative() && age.unsigned_abs() < KEY_EVERY
        });
        let told = match &self.base {
            Some(base) if young => {
                // A view in which nothing changed is one nevertheless: it was polled.
                let patch = diff(base, &packed).unwrap_or_else(|| Value::Object(serde_json::Map::new()));
                (kind::DELTA, serde_json::to_vec(&patch))
            }
            _ => {
                self.key_at = Some(at);
                (kind::KEY, serde_json::to_vec(&packed))
            }
        };
        self.base = Some(packed);
        Ok((told.0, told.1.map_err(|e| e.to_string())?))
    }

    /// Deflated and flushed: whoever has these bytes and those before can read it.
    pub(super) fn deflated(&mut self, text: &[u8]) -> Result<Vec<u8>, String> {
        let mut out = Vec::with_capacity(text.len() / 4 + 64);
        let begun = self.deflate.total_in();
        loop {
            let read = usize::try_from(self.deflate.total_in() - begun).unwrap_or(usize::MAX);
            let rest = text.get(read..).unwrap_or_default();
            self.deflate.compress_vec(rest, &mut out, FlushCompress::Sync).map_err(|e| e.to_string())?;
            let read = usize::try_from(self.deflate.total_in() - begun).unwrap_or(usize::MAX);
            // Room that was left says that nothing more was to come.
            if read >= text.len() && out.len() < out.capacity() {
                return Ok(out);
            }
            out.reserve(out.capacity().max(64));
        }
    }

    /// The whole of a recording as bytes, for what is in memory already.
    ///
    /// # Errors
    /// As [`Self::encode`].
    pub fn file<'a>(
        mut self,
        entries: impl IntoIterator<Item = &'a (Timestamp, Entry)>,
    ) -> Result<Arc<[u8]>, String> {
        let mut bytes = frame::first_line();
        for (at, entry) in entries {
            bytes.extend(self.encode(*at, entry)?.unwrap_or_default());
        }
        Ok(bytes.into())
    }
}
