//! How records stand in the file: a line that tells the format's version, then records one after the other.
//!
//! ```text
//! etcdtop-recording 1.1\n
//! [u32 length of the payload][u8 kind][i64 moment, ns since 1970][payload][u32 CRC-32C of all of that]
//! ```
//!
//! Numbers are little-endian. A record is whole or it is not there: one that was cut or damaged fails its checksum.

use jiff::Timestamp;

/// The version that is written. A reader opens every file of the same major version.
pub const VERSION: (u16, u16) = (1, 1);
/// What a recording begins with.
pub const MAGIC: &str = "etcdtop-recording ";
/// The first line is no longer than this.
pub const FIRST_LINE: usize = 40;
/// Bytes before the payload.
pub const HEAD: usize = 13;
/// Bytes after it.
pub const TAIL: usize = 4;
/// A longer payload is none that was ever written.
pub const LONGEST: u32 = 32 << 20;

/// What the payload of a record is. Readers skip kinds that they do not know.
pub mod kind {
    /// What the recording is of.
    pub const META: u8 = 1;
    /// A whole view; the compressor starts anew with it.
    pub const KEY: u8 = 2;
    /// What changed since the view before.
    pub const DELTA: u8 = 3;
    /// An operation began, or runs already.
    pub const STARTED: u8 = 4;
    /// An event of it.
    pub const OPERATION: u8 = 5;
    /// How far its step is.
    pub const PROGRESS: u8 = 6;
    /// An operation could not be started.
    pub const REFUSED: u8 = 7;
    /// What the journal tells.
    pub const JOURNAL: u8 = 8;
    /// What lies in the folder of snapshots.
    pub const LISTED: u8 = 9;
    /// A snapshot was verified.
    pub const VERIFIED: u8 = 10;
    /// The members' data was compared.
    pub const COMPARED: u8 = 11;
    /// What the coach of a lab says.
    pub const COACH: u8 = 12;
    /// What somebody did at the dashboard.
    pub const DID: u8 = 13;
    /// The recording was ended in order.
    pub const END: u8 = 14;
}

/// The first line of a file.
#[must_use]
pub fn first_line() -> Vec<u8> {
    format!("{MAGIC}{}.{}\n", VERSION.0, VERSION.1).into_bytes()
}

/// The version that a first line tells, and how long the line is; none: it is no recording.
#[must_use]
pub fn read_first_line(start: &[u8]) -> Option<((u16, u16), usize)> {
    let line = &start[..start.iter().take(FIRST_LINE).position(|b| *b == b'\n')?];
    let (major, minor) = std::str::from_utf8(line).ok()?.strip_prefix(MAGIC)?.split_once('.')?;
    Some(((major.parse().ok()?, minor.parse().ok()?), line.len() + 1))
}

/// A record as bytes; none when the payload is too long.
#[must_use]
pub fn record(kind: u8, at: Timestamp, payload: &[u8]) -> Option<Vec<u8>> {
    let length = u32::try_from(payload.len()).ok().filter(|n| *n <= LONGEST)?;
    let mut bytes = Vec::with_capacity(HEAD + payload.len() + TAIL);
    bytes.extend_from_slice(&length.to_le_bytes());
    bytes.push(kind);
    // Beyond the year 2262 nobody knows how time is counted.
    let at = i64::try_from(at.as_nanosecond()).unwrap_or(i64::MAX);
    bytes.extend_from_slice(&at.to_le_bytes());
    bytes.extend_from_slice(payload);
    bytes.extend_from_slice(&crc32c::crc32c(&bytes).to_le_bytes());
    Some(bytes)
}

/// What stands before a payload.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Head {
    /// Bytes of the payload.
    pub length: u32,
    /// What it is.
    pub kind: u8,
    /// When it was.
    pub at: Timestamp,
}

impl Head {
    /// Reads it; none when no record can begin so.
    #[must_use]
    pub fn read(bytes: &[u8]) -> Option<Self> {
        let length = u32::from_le_bytes(bytes.get(..4)?.try_into().ok()?);
        let kind = *bytes.get(4)?;
        let at = i64::from_le_bytes(bytes.get(5..HEAD)?.try_into().ok()?);
        let at = Timestamp::from_nanosecond(at.into()).ok()?;
        (length <= LONGEST).then_some(Self { length, kind, at })
    }

    /// The whole record's length.
    #[must_use]
    pub const fn whole(&self) -> usize {
        HEAD + self.length as usize + TAIL
    }
}

/// Whether a whole record is as it was written.
#[must_use]
pub fn is_sound(record: &[u8]) -> bool {
    let Some(split) = record.len().checked_sub(TAIL) else { return false };
    let (body, sum) = record.split_at(split);
    sum == crc32c::crc32c(body).to_le_bytes()
}
