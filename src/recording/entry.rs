//! What a recording holds, one thing after the other: what came to the dashboard from outside.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::frame::kind;
use crate::model::ClusterView;
use crate::model::coach::CoachView;
use crate::model::hashes::Comparison;
use crate::ops::past::History;
use crate::ops::standing::Operation;
use crate::ops::{OpEvent, Progress};
use crate::snapshot::{Listing, Place};

/// Operations of the journal that are recorded, the newest: an audit trail may be years long.
pub const JOURNAL: usize = 200;

/// What a recording is of, and what the header says besides figures.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Meta {
    /// The version of etcdtop that wrote it.
    pub etcdtop: String,
    /// The cluster's name for people.
    pub name: String,
    /// How the endpoints were chosen.
    pub origin: String,
    /// Why nothing could be changed, if so.
    pub read_only: Option<String>,
    /// The cluster was a lab.
    pub lab: bool,
    /// The pause between two polls, milliseconds.
    pub interval_ms: u64,
    /// What was noticed about the settings.
    pub notices: Vec<String>,
    /// Where snapshots went.
    pub snapshots: PathBuf,
    /// The key that proves a write.
    pub proof_key: String,
    /// Names, hosts, addresses and ids are not those of the cluster.
    pub anonymised: bool,
    /// What was known of the recording that this one is a copy of: what it had lost.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub lost: Vec<String>,
}

impl Meta {
    /// The pause between two polls; the usual one where it is not told.
    #[must_use]
    pub const fn interval(&self) -> Duration {
        match self.interval_ms {
            0 => Duration::from_secs(1),
            ms => Duration::from_millis(ms),
        }
    }
}

/// What somebody did at the dashboard that is seen on it and comes from nowhere else.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Did {
    /// Wanted the operation to stop at its next safe point.
    Stop,
    /// Let the members' data be compared.
    Compare,
    /// Let a snapshot be verified.
    Verify(PathBuf),
    /// Let the members be polled at another pace: milliseconds.
    Pace(u64),
}

/// One thing that was recorded.
#[derive(Clone, Debug, PartialEq)]
pub enum Entry {
    /// What it is a recording of; comes first, and once.
    Meta(Box<Meta>),
    /// The cluster was polled.
    View(Arc<ClusterView>),
    /// An operation began; or, where a recording begins in its middle, how it stands.
    Started(Box<Operation>),
    /// News of it.
    Operation(OpEvent),
    /// How far its step is.
    Progress(Progress),
    /// An operation could not be started.
    Refused(String),
    /// What the journal tells.
    Journal(Box<History>),
    /// What lies in the folder of snapshots, and what is free there.
    Listed(Result<Listing, String>, Result<Place, String>),
    /// What is wrong with a snapshot.
    Verified(PathBuf, Vec<String>),
    /// The members' data beside each other.
    Compared(Result<Comparison, String>),
    /// What the coach of a lab says.
    Coach(Box<CoachView>),
    /// What somebody did.
    Did(Did),
    /// The recording was ended in order.
    End,
}

impl Entry {
    /// Its kind, and itself as JSON. A view is a [`kind::KEY`]; what is made of it otherwise the writer knows.
    ///
    /// # Errors
    /// What cannot be JSON: a path that is not UTF-8.
    pub fn to_json(&self) -> serde_json::Result<(u8, Value)> {
        use serde_json::to_value;
        Ok(match self {
            Self::Meta(meta) => (kind::META, to_value(meta)?),
            Self::View(view) => (kind::KEY, to_value(view.as_ref())?),
            Self::Started(operation) => (kind::STARTED, to_value(operation)?),
            Self::Operation(event) => (kind::OPERATION, to_value(event)?),
            Self::Progress(progress) => (kind::PROGRESS, to_value(progress)?),
            Self::Refused(why) => (kind::REFUSED, to_value(why)?),
            Self::Journal(history) => {
                let mut value = to_value(history)?;
                if let Some(all) = value["operations"].as_array_mut() {
                    all.drain(..all.len().saturating_sub(JOURNAL));
                }
                (kind::JOURNAL, value)
            }
            Self::Listed(listing, place) => (kind::LISTED, to_value((listing, place))?),
            Self::Verified(path, damages) => (kind::VERIFIED, to_value((path, damages))?),
            Self::Compared(outcome) => (kind::COMPARED, to_value(outcome)?),
            Self::Coach(view) => (kind::COACH, to_value(view)?),
            Self::Did(did) => (kind::DID, to_value(did)?),
            Self::End => (kind::END, Value::Null),
        })
    }

    /// Reads one; none of a kind that is not known: a later version wrote it.
    ///
    /// # Errors
    /// When it is not what its kind says.
    pub fn from_json(kind: u8, value: Value) -> serde_json::Result<Option<Self>> {
        use serde_json::from_value;
        Ok(Some(match kind {
            kind::META => Self::Meta(from_value(value)?),
            kind::KEY | kind::DELTA => Self::View(from_value(value)?),
            kind::STARTED => Self::Started(from_value(value)?),
            kind::OPERATION => Self::Operation(from_value(value)?),
            kind::PROGRESS => Self::Progress(from_value(value)?),
            kind::REFUSED => Self::Refused(from_value(value)?),
            kind::JOURNAL => Self::Journal(from_value(value)?),
            kind::LISTED => {
                let (listing, place) = from_value(value)?;
                Self::Listed(listing, place)
            }
            kind::VERIFIED => {
                let (path, damages) = from_value(value)?;
                Self::Verified(path, damages)
            }
            kind::COMPARED => Self::Compared(from_value(value)?),
            kind::COACH => Self::Coach(from_value(value)?),
            kind::DID => Self::Did(from_value(value)?),
            kind::END => Self::End,
            _ => return Ok(None),
        }))
    }

    /// The moment that it is of, if it tells it itself.
    #[must_use]
    pub fn at(&self) -> Option<Timestamp> {
        match self {
            Self::View(view) => Some(view.at),
            _ => None,
        }
    }
}
