//! A duration as whole nanoseconds: what serde writes for one takes two fields, and every view has some.

use std::time::Duration;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

#[allow(clippy::ref_option)] // as serde calls it
pub(super) fn serialize<S: Serializer>(d: &Option<Duration>, s: S) -> Result<S::Ok, S::Error> {
    d.map(|d| u64::try_from(d.as_nanos()).unwrap_or(u64::MAX)).serialize(s)
}

pub(super) fn deserialize<'de, D: Deserializer<'de>>(d: D) -> Result<Option<Duration>, D::Error> {
    Ok(Option::<u64>::deserialize(d)?.map(Duration::from_nanos))
}
