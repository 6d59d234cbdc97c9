//! Versions that differ, are known to lose data, or are out of support; a downgrade in progress.

use super::Settles::AtOnce;
use super::{Case, Found, Rule};
use crate::model::Severity;

pub(super) const RULES: &[Rule] = &[
    Rule {
        name: "versions_differ",
        when: "members run different versions: warning",
        source: "etcd's upgrade guides",
        from: "Status.version",
        meaning: "Mixed versions are meant for the time of a rolling upgrade only: the cluster works at the level of the oldest.",
        settles: AtOnce,
        find: versions_differ,
    },
    Rule {
        name: "version_known_bad",
        when: "a member runs 3.5.0 to 3.5.5: warning",
        source: "etcd's advisory on data inconsistency",
        from: "Status.version",
        meaning: "etcd 3.5.0 to 3.5.5 can leave members with different data after a crash; 3.5.6 is the floor.",
        settles: AtOnce,
        find: version_known_bad,
    },
    Rule {
        name: "version_unsupported",
        when: "a member runs a release before 3.5: note",
        source: "etcd's support policy",
        from: "Status.version",
        meaning: "Releases before 3.5 get no fixes any more.",
        settles: AtOnce,
        find: version_unsupported,
    },
    Rule {
        name: "downgrade",
        when: "a downgrade is enabled: warning",
        source: "",
        from: "Status.downgradeInfo (3.6 and later)",
        meaning: "While a downgrade is enabled the storage version may be lowered, and newer members refuse to join.",
        settles: AtOnce,
        find: downgrade,
    },
];

fn versions_differ(case: &Case<'_>, found: &mut Found<'_>) {
    let versions = case.view.versions();
    if versions.len() > 1 {
        let list: Vec<_> = versions.iter().map(ToString::to_string).collect();
        let line = format!("members run different versions: {}", list.join(", "));
        let f = found.add(Severity::Warning, None, line, "finish the upgrade");
        for m in &case.view.members {
            f.evidence.extend(m.status.as_ref().map(|s| format!("{}: {}", m.label(), s.version)));
        }
    }
}

fn version_known_bad(case: &Case<'_>, found: &mut Found<'_>) {
    for version in case.view.versions().iter().filter(|v| inconsistent(v.raw())) {
        let line = format!("etcd {version} can lose consistency (3.5.0 to 3.5.5)");
        let f = found.add(Severity::Warning, None, line, "upgrade to 3.5.6 or later");
        f.key.subject = Some(version.to_string());
    }
}

fn version_unsupported(case: &Case<'_>, found: &mut Found<'_>) {
    let old = |v: &str| {
        let mut parts = v.split('.').map(str::parse::<u32>);
        matches!((parts.next(), parts.next()), (Some(Ok(major)), Some(Ok(minor))) if (major, minor) < (3, 5))
    };
    for version in case.view.versions().iter().filter(|v| old(v.raw())) {
        let line = format!("etcd {version} is out of support");
        let f = found.add(Severity::Note, None, line, "plan an upgrade");
        f.key.subject = Some(version.to_string());
    }
}

fn downgrade(case: &Case<'_>, found: &mut Found<'_>) {
    for m in &case.view.members {
        if let Some(target) = m.status.as_ref().and_then(|s| s.downgrade_target.as_ref()) {
            let line = format!("{}: a downgrade to {target} is in progress", m.label());
            found.add(Severity::Warning, m.id, line, "finish or cancel it");
        }
    }
}

fn inconsistent(version: &str) -> bool {
    version
        .strip_prefix("3.5.")
        .and_then(|patch| patch.split(['-', '+']).next()?.parse::<u32>().ok())
        .is_some_and(|patch| patch <= 5)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_inconsistent_releases_are_exactly_3_5_0_to_3_5_5() {
        for (version, bad) in [
            ("3.5.0", true),
            ("3.5.5", true),
            ("3.5.6", false),
            ("3.5.16", false),
            ("3.5.3-rc.1", true),
            ("3.4.5", false),
            ("junk", false),
        ] {
            assert_eq!(inconsistent(version), bad, "{version}");
        }
    }
}
