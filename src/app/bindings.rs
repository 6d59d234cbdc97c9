//! Which key does which action: the table's own keys, and those that the config binds anew.

use std::collections::BTreeMap;

use thiserror::Error;

use super::key::Key;
use super::keymap::{ACTIONS, Action, ActionId};

/// Why keys cannot be bound so.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum KeymapError {
    /// No such action.
    #[error("[keys] line {line}: no action {name:?}; did you mean {nearest:?}?")]
    UnknownAction {
        /// As written.
        name: String,
        /// The file's line.
        line: usize,
        /// The most similar name.
        nearest: &'static str,
    },
    /// No such key.
    #[error("[keys] line {line}: {action}: {reason}")]
    BadKey {
        /// The action's name.
        action: String,
        /// The file's line.
        line: usize,
        /// What is wrong.
        reason: String,
    },
    /// Two actions want one key.
    #[error("[keys] {key} is bound to both {first} and {second}: bind one of them to another key")]
    Conflict {
        /// The key.
        key: String,
        /// An action.
        first: &'static str,
        /// The other.
        second: &'static str,
    },
    /// Nothing would be left to leave with.
    #[error("[keys] {0} has no key left: give it one")]
    NoKey(&'static str),
}

/// A line of the config's `[keys]`: action, keys, line.
pub type Binding<'a> = (&'a str, &'a [String], usize);

/// Which key does what.
#[derive(Clone, Debug)]
pub struct Keymap {
    by_key: BTreeMap<Key, ActionId>,
    by_action: BTreeMap<ActionId, Vec<Key>>,
}

impl Default for Keymap {
    fn default() -> Self {
        // The table itself is checked by a test: it has no conflict.
        Self::build(BTreeMap::new()).unwrap_or(Self { by_key: BTreeMap::new(), by_action: BTreeMap::new() })
    }
}

impl Keymap {
    /// The table, with some actions bound anew. A rebound action loses the keys it had.
    ///
    /// # Errors
    /// An unknown action or key, or a key with two actions (named both).
    pub fn with<'a>(bindings: impl IntoIterator<Item = Binding<'a>>) -> Result<Self, KeymapError> {
        let mut rebound = BTreeMap::new();
        for (name, keys, line) in bindings {
            let Some(action) = ACTIONS.iter().find(|a| a.name == name) else {
                let nearest =
                    ACTIONS.iter().map(|a| a.name).min_by_key(|n| strsim::damerau_levenshtein(n, name));
                return Err(KeymapError::UnknownAction {
                    name: name.into(),
                    line,
                    nearest: nearest.unwrap_or_default(),
                });
            };
            let keys: Result<Vec<_>, _> = keys.iter().map(|k| Key::parse(k)).collect();
            let keys = keys.map_err(|reason| KeymapError::BadKey { action: name.into(), line, reason })?;
            rebound.insert(action.id, keys);
        }
        Self::build(rebound)
    }

    pub(super) fn build(mut rebound: BTreeMap<ActionId, Vec<Key>>) -> Result<Self, KeymapError> {
        let (mut by_key, mut by_action) = (BTreeMap::<Key, &'static Action>::new(), BTreeMap::new());
        for action in ACTIONS {
            let keys = rebound
                .remove(&action.id)
                .unwrap_or_else(|| action.keys.iter().filter_map(|k| Key::parse(k).ok()).collect());
            if keys.is_empty() && matches!(action.id, ActionId::Quit | ActionId::Back) {
                return Err(KeymapError::NoKey(action.name));
            }
            for key in &keys {
                if let Some(other) = by_key.insert(*key, action).filter(|other| other.id != action.id) {
                    return Err(KeymapError::Conflict {
                        key: key.to_string(),
                        first: other.name,
                        second: action.name,
                    });
                }
            }
            by_action.insert(action.id, keys);
        }
        Ok(Self { by_key: by_key.into_iter().map(|(k, a)| (k, a.id)).collect(), by_action })
    }

    /// What a key does.
    #[must_use]
    pub fn action(&self, key: Key) -> Option<ActionId> {
        self.by_key.get(&key).copied()
    }

    /// The keys of an action.
    #[must_use]
    pub fn keys(&self, id: ActionId) -> &[Key] {
        self.by_action.get(&id).map_or(&[], Vec::as_slice)
    }

    /// The shortest key of an action, for people; empty if it has none.
    #[must_use]
    pub fn first(&self, id: ActionId) -> String {
        self.keys(id).iter().map(ToString::to_string).min_by_key(String::len).unwrap_or_default()
    }

    /// The shortest key of the action with this name; none if there is no such action, or it has no key.
    #[must_use]
    pub fn of_name(&self, name: &str) -> Option<String> {
        let action = ACTIONS.iter().find(|a| a.name == name)?;
        Some(self.first(action.id)).filter(|key| !key.is_empty())
    }

    /// The keys of an action, for people: `up k`.
    #[must_use]
    pub fn shown(&self, id: ActionId) -> String {
        self.keys(id).iter().map(ToString::to_string).collect::<Vec<_>>().join(" ")
    }
}
