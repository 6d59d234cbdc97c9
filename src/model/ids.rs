//! Identifiers and counters of etcd and Raft, as types of their own: a member id can never be passed
//! where a cluster id or a revision is meant.

use std::fmt;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

macro_rules! hex_id {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name(pub u64);

        impl $name {
            /// The id, or `None` for 0, which etcd uses for "none" and "not known".
            #[must_use]
            pub const fn known(raw: u64) -> Option<Self> {
                if raw == 0 { None } else { Some(Self(raw)) }
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "{:x}", self.0)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "{}({:x})", stringify!($name), self.0)
            }
        }

        /// As a hex string: JSON numbers lose ids above 2^53.
        impl Serialize for $name {
            fn serialize<S: Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
                s.collect_str(self)
            }
        }

        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
                let text = String::deserialize(d)?;
                u64::from_str_radix(&text, 16).map(Self).map_err(serde::de::Error::custom)
            }
        }
    };
}

hex_id!(
    /// The id of a member, shown as etcdctl shows it: lower-case hex without leading zeros.
    MemberId
);
hex_id!(
    /// The id of a cluster, from the header of every reply.
    ClusterId
);

/// A revision of the key-value store: the cluster-wide counter of changes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Revision(pub i64);

/// A Raft term: grows by at least one with each election.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Term(pub u64);

/// A position in the Raft log.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct RaftIndex(pub u64);

impl RaftIndex {
    /// How many entries `self` is behind `ahead`; 0 when it is not.
    #[must_use]
    pub const fn behind(self, ahead: Self) -> u64 {
        ahead.0.saturating_sub(self.0)
    }
}

/// A number of bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Bytes(pub u64);

impl Bytes {
    /// From a signed protobuf field. Zero and below are "not known": a started member's file is never
    /// empty, and early 3.6 reports a quota of 0 when it has none to tell.
    #[must_use]
    pub fn known(raw: i64) -> Option<Self> {
        u64::try_from(raw).ok().filter(|&n| n > 0).map(Self)
    }

    /// `self` as a share of `whole`, 0.0 for an empty whole. May be above 1.
    #[must_use]
    #[allow(clippy::cast_precision_loss)] // a share for a bar or a threshold; 2^53 bytes are 8 PiB
    pub fn share_of(self, whole: Self) -> f64 {
        if whole.0 == 0 { 0.0 } else { self.0 as f64 / whole.0 as f64 }
    }

    /// Saturating difference.
    #[must_use]
    pub const fn minus(self, other: Self) -> Self {
        Self(self.0.saturating_sub(other.0))
    }
}

/// With binary units, as etcdctl's table prints sizes: `1.28 GiB`, `281 MiB`, `20 KiB`.
impl fmt::Display for Bytes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&crate::model::units::bytes(self.0))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_above_2_63_keep_every_bit_in_json() {
        let id = MemberId(0xfedc_ba98_7654_3210);
        let text = serde_json::to_string(&id).unwrap();
        assert_eq!(text, "\"fedcba9876543210\"");
        assert_eq!(serde_json::from_str::<MemberId>(&text).unwrap(), id);
    }

    #[test]
    fn zero_is_no_id_and_no_size() {
        assert_eq!(MemberId::known(0), None);
        assert_eq!(Bytes::known(0), None);
        assert_eq!(Bytes::known(-5), None);
        assert_eq!(Bytes::known(7), Some(Bytes(7)));
    }

    #[test]
    fn lag_never_wraps() {
        assert_eq!(RaftIndex(5).behind(RaftIndex(9)), 4);
        assert_eq!(RaftIndex(9).behind(RaftIndex(5)), 0);
    }
}
