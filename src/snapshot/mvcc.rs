//! What etcd keeps in the bucket `key`: revisions as keys, `mvccpb.KeyValue` as values.

/// `main u64 big-endian, '_', sub u64 big-endian`, and `t` behind it for a tombstone.
const REVISION: usize = 17;

/// A key of the bucket `key`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RevisionKey {
    /// The revision.
    pub main: i64,
    /// The change within it.
    pub sub: i64,
    /// Whether it deletes.
    pub tombstone: bool,
}

impl RevisionKey {
    /// Reads one; none for anything else.
    #[must_use]
    pub fn read(key: &[u8]) -> Option<Self> {
        let long = |at: usize| Some(i64::from_be_bytes(key.get(at..at + 8)?.try_into().ok()?));
        let tombstone = match key.len() {
            REVISION => false,
            18 if key[REVISION] == b't' => true,
            _ => return None,
        };
        (key.get(8) == Some(&b'_')).then_some(())?;
        let (main, sub) = (long(0)?, long(9)?);
        (main >= 0 && sub >= 0).then_some(Self { main, sub, tombstone })
    }
}

/// A value of the bucket `key`, as far as it is needed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct KeyValue<'a> {
    /// The key.
    pub key: &'a [u8],
    /// The revision that wrote it; 0 in a tombstone.
    pub mod_revision: u64,
    /// Bytes of the value.
    pub value_len: usize,
    /// The lease; 0: none.
    pub lease: u64,
}

impl<'a> KeyValue<'a> {
    /// Reads `mvccpb.KeyValue`: `key = 1, create_revision = 2, mod_revision = 3, version = 4, value = 5, lease = 6`. None
    /// when it is cut or of another shape.
    #[must_use]
    pub fn read(mut message: &'a [u8]) -> Option<Self> {
        let mut kv = Self::default();
        while !message.is_empty() {
            let tag = varint(&mut message)?;
            match (tag >> 3, tag & 7) {
                (1, 2) => kv.key = bytes(&mut message)?,
                (5, 2) => kv.value_len = bytes(&mut message)?.len(),
                (3, 0) => kv.mod_revision = varint(&mut message)?,
                (6, 0) => kv.lease = varint(&mut message)?,
                (2 | 4, 0) => {
                    varint(&mut message)?;
                }
                _ => return None,
            }
        }
        Some(kv)
    }
}

fn varint(bytes: &mut &[u8]) -> Option<u64> {
    let mut value = 0_u64;
    for shift in (0..64).step_by(7) {
        let (byte, rest) = bytes.split_first()?;
        *bytes = rest;
        value |= u64::from(byte & 0x7f).checked_shl(shift)?;
        if byte & 0x80 == 0 {
            return Some(value);
        }
    }
    None
}

fn bytes<'a>(message: &mut &'a [u8]) -> Option<&'a [u8]> {
    let length = usize::try_from(varint(message)?).ok()?;
    let (found, rest) = message.split_at_checked(length)?;
    *message = rest;
    Some(found)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn revisions_are_read_and_nothing_else() {
        let mut key = 7_i64.to_be_bytes().to_vec();
        key.push(b'_');
        key.extend(2_i64.to_be_bytes());
        assert_eq!(RevisionKey::read(&key), Some(RevisionKey { main: 7, sub: 2, tombstone: false }));
        key.push(b't');
        assert_eq!(RevisionKey::read(&key), Some(RevisionKey { main: 7, sub: 2, tombstone: true }));
        key[17] = b'x';
        assert_eq!(RevisionKey::read(&key), None);
        assert_eq!(RevisionKey::read(b"consistent_index"), None);
    }

    #[test]
    fn a_key_value_that_is_cut_is_none() {
        let message =
            [&[0x0a, 2, b'/', b'a', 0x10, 5, 0x18, 9, 0x20, 1, 0x2a, 3, 1, 2, 3, 0x30, 0x81, 0x01][..]]
                .concat();
        let kv = KeyValue::read(&message).unwrap();
        assert_eq!((kv.key, kv.mod_revision, kv.value_len, kv.lease), (&b"/a"[..], 9, 3, 129));
        let whole: Vec<usize> =
            (0..message.len()).filter(|n| KeyValue::read(&message[..*n]).is_some()).collect();
        assert_eq!(whole, [0, 4, 6, 8, 10, 15], "only between two fields");
        assert_eq!(KeyValue::read(&[0x0a, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x7f]), None);
    }
}
