//! Whether the members hold the same data: their `HashKV` at one revision, beside each other.

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::finding::Severity;
use super::ids::{MemberId, Revision};

/// What one member answered.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct HashAnswer {
    /// Who.
    pub member: MemberId,
    /// Its name, safe to print.
    pub name: String,
    /// CRC-32C over its keys and values up to the revision; none: it did not tell.
    pub hash: Option<u32>,
    /// The compact revision that it was taken at: hashes of different ones cannot be compared.
    pub compact_revision: Option<Revision>,
    /// Why it did not tell.
    pub problem: Option<String>,
}

/// The answers of all members for one revision.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Comparison {
    /// The revision, which every member had.
    pub revision: Revision,
    /// When it was asked for.
    pub at: Timestamp,
    /// One for each member that was asked.
    pub answers: Vec<HashAnswer>,
}

/// What a comparison says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Agreement {
    /// All that told hold the same.
    Same {
        /// How many told.
        members: usize,
        /// The hash.
        hash: u32,
    },
    /// They do not. `odd` names those outside of the majority of all that were asked, those that did not tell included;
    /// nobody, where no more than half of them agree.
    Differ {
        /// Members whose data differs from that of the majority.
        odd: Vec<MemberId>,
    },
    /// Fewer than two told a hash at the same compact revision.
    TooFew,
}

impl Comparison {
    /// Compares those that were taken at the compact revision that most were taken at, as etcd's own check does.
    #[must_use]
    pub fn agreement(&self) -> Agreement {
        let mut floors: BTreeMap<Revision, usize> = BTreeMap::new();
        for floor in self.answers.iter().filter(|a| a.hash.is_some()).filter_map(|a| a.compact_revision) {
            *floors.entry(floor).or_default() += 1;
        }
        let Some(floor) = floors.into_iter().max_by_key(|(_, n)| *n).map(|(floor, _)| floor) else {
            return Agreement::TooFew;
        };
        let told: Vec<(MemberId, u32)> = self
            .answers
            .iter()
            .filter(|a| a.compact_revision == Some(floor))
            .filter_map(|a| Some((a.member, a.hash?)))
            .collect();
        let mut votes: BTreeMap<u32, usize> = BTreeMap::new();
        for (_, hash) in &told {
            *votes.entry(*hash).or_default() += 1;
        }
        let Some((hash, most)) = votes.iter().max_by_key(|(_, n)| **n).map(|(h, n)| (*h, *n)) else {
            return Agreement::TooFew;
        };
        if told.len() < 2 {
            return Agreement::TooFew;
        }
        if votes.len() == 1 {
            return Agreement::Same { members: told.len(), hash };
        }
        // As etcd's own check: who did not tell may agree with the few.
        let majority = most * 2 > self.answers.len();
        let odd = told.iter().filter(|(_, h)| majority && *h != hash).map(|(id, _)| *id).collect();
        Agreement::Differ { odd }
    }

    /// How bad it is.
    #[must_use]
    pub fn severity(&self) -> Severity {
        match self.agreement() {
            _ if self.all_same() => Severity::Note,
            Agreement::Differ { .. } => Severity::Critical,
            Agreement::Same { .. } | Agreement::TooFew => Severity::Warning,
        }
    }

    /// In a line.
    #[must_use]
    pub fn words(&self) -> String {
        let revision = self.revision.0;
        let silent: Vec<_> = self.silent().map(|(name, why)| format!("{name}: {why}")).collect();
        let silent =
            if silent.is_empty() { String::new() } else { format!("; not told by {}", silent.join(", ")) };
        match self.agreement() {
            Agreement::Same { members, hash } => {
                let others = self.answers.len() - members;
                let not = if others > 0 && silent.is_empty() {
                    format!("; {others} compacted meanwhile")
                } else {
                    silent
                };
                format!("{members} members hold the same data at revision {revision} (hash {hash:08x}){not}")
            }
            Agreement::Differ { odd } if odd.is_empty() => {
                format!("members hold different data at revision {revision}, no majority agrees{silent}")
            }
            Agreement::Differ { odd } => {
                let name = |id: &MemberId| {
                    let known = self.answers.iter().find(|a| a.member == *id);
                    known.map_or_else(|| id.to_string(), |a| a.name.clone())
                };
                let names: Vec<_> = odd.iter().map(name).collect();
                format!(
                    "{} holds other data than the majority at revision {revision}{silent}",
                    names.join(", ")
                )
            }
            Agreement::TooFew => format!("fewer than two members told a hash at revision {revision}{silent}"),
        }
    }

    /// Whether every member that was asked holds the same.
    #[must_use]
    pub fn all_same(&self) -> bool {
        matches!(self.agreement(), Agreement::Same { members, .. } if members == self.answers.len())
    }

    /// Members that told nothing that could be compared, and why.
    pub fn silent(&self) -> impl Iterator<Item = (&str, &str)> {
        self.answers.iter().filter_map(|a| Some((a.name.as_str(), a.problem.as_deref()?)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn comparison(told: &[(Option<u32>, i64)]) -> Comparison {
        let answer = |(i, (hash, floor)): (usize, &(Option<u32>, i64))| HashAnswer {
            member: MemberId(i as u64 + 1),
            name: format!("m{}", i + 1),
            hash: *hash,
            compact_revision: hash.map(|_| Revision(*floor)),
            problem: hash.is_none().then(|| "hung".to_owned()),
        };
        Comparison {
            revision: Revision(9),
            at: Timestamp::UNIX_EPOCH,
            answers: told.iter().enumerate().map(answer).collect(),
        }
    }

    #[test]
    fn the_odd_one_out_is_named_by_a_majority_and_nobody_without_one() {
        let id = MemberId;
        for (told, expected) in [
            (&[(Some(7), 1), (Some(7), 1), (Some(7), 1)][..], Agreement::Same { members: 3, hash: 7 }),
            (&[(Some(7), 1), (Some(8), 1), (Some(7), 1)], Agreement::Differ { odd: vec![id(2)] }),
            (&[(Some(7), 1), (Some(8), 1)], Agreement::Differ { odd: vec![] }),
            (&[(Some(7), 1), (Some(8), 1), (Some(9), 1)], Agreement::Differ { odd: vec![] }),
            (&[(Some(7), 1), (Some(7), 1), (None, 1)], Agreement::Same { members: 2, hash: 7 }),
            // Those that did not tell may agree with the odd one.
            (
                &[(Some(7), 1), (Some(7), 1), (Some(8), 1), (None, 1), (None, 1)],
                Agreement::Differ { odd: vec![] },
            ),
            (
                &[(Some(7), 1), (Some(7), 1), (Some(8), 1), (Some(7), 1), (None, 1)],
                Agreement::Differ { odd: vec![id(3)] },
            ),
            // A compaction went by in between: its hash is of something else.
            (&[(Some(7), 1), (Some(8), 5), (Some(7), 1)], Agreement::Same { members: 2, hash: 7 }),
            (&[(Some(7), 1), (None, 1), (None, 1)], Agreement::TooFew),
            (&[], Agreement::TooFew),
        ] {
            assert_eq!(comparison(told).agreement(), expected, "{told:?}");
        }
    }
}
