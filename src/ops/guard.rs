//! The one gate. A [`Permit`] to change a cluster comes from here alone: from a plan that nothing blocks, confirmed by
//! somebody, in a mode that allows changes.

use thiserror::Error;

use super::plan::{Plan, Verdict};
use crate::etcd::Permit;

/// Whether changes are allowed at all.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Mode {
    /// They are.
    ReadWrite,
    /// They are not, and who said so: `--read-only`, `context prod`.
    ReadOnly(String),
}

/// Why a plan may not be carried out.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum Refusal {
    /// The mode forbids every change.
    #[error("nothing may be changed: read-only ({0})")]
    ReadOnly(String),
    /// A check of the preflight blocks it.
    #[error("{0}")]
    Blocked(String),
    /// It has nothing to do.
    #[error("there is nothing to do: {0}")]
    NothingToDo(String),
    /// The name was not typed, or not right.
    #[error("type {0:?} to confirm")]
    NotConfirmed(String),
}

/// A plan that somebody confirmed, with the right to carry it out.
#[derive(Debug)]
pub struct Confirmed {
    plan: Plan,
    permit: Permit,
}

impl Confirmed {
    /// The plan.
    #[must_use]
    pub const fn plan(&self) -> &Plan {
        &self.plan
    }

    /// For the lock that is held while it is carried out.
    pub(super) const fn permit_of_lock(&self) -> Permit {
        Permit::granted(self.plan.cluster)
    }

    pub(super) fn into_parts(self) -> (Plan, Permit) {
        (self.plan, self.permit)
    }
}

/// Why a plan may not be carried out at all, however it is confirmed.
#[must_use]
pub fn refusal(plan: &Plan, mode: &Mode) -> Option<Refusal> {
    if let Mode::ReadOnly(who) = mode
        && plan.changes()
    {
        return Some(Refusal::ReadOnly(who.clone()));
    }
    if let Some(check) = plan.checks.iter().find(|c| c.verdict == Verdict::Block) {
        return Some(Refusal::Blocked(check.line.clone()));
    }
    plan.steps.is_empty().then(|| Refusal::NothingToDo(plan.skipped.join("; ")))
}

/// Lets a plan pass. `typed` is what was typed to confirm it, if it asks for that.
///
/// # Errors
/// Why not.
pub fn confirm(plan: Plan, mode: &Mode, typed: &str) -> Result<Confirmed, Refusal> {
    if let Some(refusal) = refusal(&plan, mode) {
        return Err(refusal);
    }
    if let Some(name) = plan.typed_name().filter(|name| *name != typed.trim()) {
        return Err(Refusal::NotConfirmed(name.to_owned()));
    }
    let permit = Permit::granted(plan.cluster);
    Ok(Confirmed { plan, permit })
}
