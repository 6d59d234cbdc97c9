//! The scenarios, one file each; their order and names are in `scenario::TABLE`.

pub(super) mod certificate;
pub(super) mod corrupt;
pub(super) mod defrag_leader;
pub(super) mod fragmentation;
pub(super) mod leader_crash;
pub(super) mod leader_hung;
pub(super) mod learner;
pub(super) mod nospace;
pub(super) mod nospace_full;
pub(super) mod nospace_returns;
pub(super) mod partition;
pub(super) mod quorum_lost;
pub(super) mod replace;
pub(super) mod restore;
pub(super) mod slow_member;
pub(super) mod tour;
pub(super) mod watcher;

use std::time::Duration;

use super::scenario::Goal;
use super::seen::Seen;

/// For so long something must hold to count as mended.
const STEADY: Duration = Duration::from_secs(3);

/// Every member serves and no alarm is raised: where a scenario begins that nothing is wrong with.
fn well(seen: &Seen<'_>) -> Goal {
    seen.whole_for(Duration::from_secs(1))?;
    seen.quiet_for(Duration::from_secs(1))
}

/// The alarm NOSPACE is raised, and clients notice.
fn out_of_space(seen: &Seen<'_>) -> Goal {
    if seen.now.alarms.is_empty() {
        return Err("the alarm is not raised yet".into());
    }
    if seen.felt.values().any(|through| through.works) {
        return Err("clients still write".into());
    }
    Ok(())
}

/// No alarm, writes work, and there is room for more.
fn room_again(seen: &Seen<'_>) -> Goal {
    seen.quiet_for(STEADY)?;
    seen.writes_for(STEADY)?;
    seen.whole_for(STEADY)?;
    match seen.now.fullest() {
        Some((size, quota)) if size.share_of(quota) > 0.8 => {
            Err(format!("a file of {size} is still above 80% of the quota, {quota}"))
        }
        Some(_) => Ok(()),
        None => Err("the quota is not known yet".into()),
    }
}
