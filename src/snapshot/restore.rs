//! How to bring a cluster back from a snapshot: the exact command for each member, what to look at before, and in which order
//! services stop and start.

use std::fmt::Write as _;
use std::path::Path;

use super::side::Side;

/// What a restore needs to know and a file may not say.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Wishes<'a> {
    /// Where each member's new data goes.
    pub data_dir: &'a str,
    /// `--initial-cluster-token`: a new one, so that no old member joins by mistake.
    pub token: &'a str,
    /// Members as `name=peer url`; none: those of the side file.
    pub members: Vec<(String, String)>,
    /// Whether Kubernetes uses the cluster: its watchers and caches must notice.
    pub kubernetes: bool,
}

/// Quotes an argument for a shell where it needs it.
fn quoted(text: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "-_./:=,@%+".contains(c);
    if !text.is_empty() && text.chars().all(plain) {
        return text.to_owned();
    }
    format!("'{}'", text.replace('\'', "'\\''"))
}

/// The plan, as text for people.
///
/// # Errors
/// What is missing to make one.
pub fn plan(file: &Path, side: Option<&Side>, wishes: &Wishes<'_>) -> Result<String, String> {
    let known = side.map(|s| s.members.as_slice()).unwrap_or_default();
    let voters = known.iter().filter(|m| !m.learner && !m.name.is_empty());
    let members: Vec<(String, String)> = if wishes.members.is_empty() {
        voters.filter_map(|m| Some((m.name.clone(), m.peer_urls.first()?.clone()))).collect()
    } else {
        wishes.members.clone()
    };
    if members.is_empty() {
        return Err("no members are known: the snapshot has no side file; name them with --initial-cluster m1=https://10.0.0.1:2380,...".into());
    }
    let cluster: Vec<_> = members.iter().map(|(name, url)| format!("{name}={url}")).collect();
    let cluster = cluster.join(",");
    let file_text = quoted(&file.display().to_string());
    let mut out = String::new();
    let mut line = |text: String| {
        let _ = writeln!(out, "{text}");
    };
    line("Before".into());
    line(format!("  1. etcdtop snapshot verify {file_text}"));
    if let Some(side) = side {
        let keys = side.status.as_ref().map_or_else(String::new, |s| format!(" with {} keys", s.total_key));
        line(format!(
            "  2. It holds revision {}{keys}, taken {}: what was written later is lost.",
            side.revision.0,
            side.taken_at.strftime("%Y-%m-%d %H:%M:%S UTC")
        ));
    } else {
        line("  2. etcdtop snapshot status tells its revision: what was written later is lost.".into());
    }
    line(format!(
        "  3. {} on each host is kept aside, not deleted: it is the way back. The new data goes to {}.",
        "The old data folder", wishes.data_dir
    ));
    line(format!(
        "  4. Copy the file to each of the {} hosts, and compare its sha256sum there.",
        members.len()
    ));
    line(String::new());
    line("Stop".into());
    if wishes.kubernetes {
        line("  5. Every kube-apiserver (move its manifest out of /etc/kubernetes/manifests), so that nothing writes.".into());
    } else {
        line("  5. Every client that writes.".into());
    }
    line(
        "  6. etcd on every host. All of them: a member that goes on with old data is another cluster."
            .into(),
    );
    line(String::new());
    line("Restore, each line on its own host".into());
    for (name, url) in &members {
        let mut command = format!(
            "  etcdutl snapshot restore {file_text} --name={} --initial-cluster={} --initial-cluster-token={} --initial-advertise-peer-urls={} --data-dir={}",
            quoted(name),
            quoted(&cluster),
            quoted(wishes.token),
            quoted(url),
            quoted(wishes.data_dir)
        );
        if side.is_none() {
            // etcdutl checks the trailer; a raw db file has none.
            command.push_str("  # --skip-hash-check for a raw member/snap/db");
        }
        if wishes.kubernetes {
            command.push_str(" --bump-revision=1000000000 --mark-compacted");
        }
        line(command);
    }
    if wishes.kubernetes {
        line("  (--bump-revision and --mark-compacted are in etcdutl 3.6 and late 3.5: without them controllers go on with what they remember.)".into());
    }
    line(String::new());
    line("Start".into());
    line(format!(
        "  7. etcd on every host, with --data-dir={} and the same --initial-cluster; the first ones wait for a majority.",
        wishes.data_dir
    ));
    line("  8. etcdtop health: one leader, every member answers, writes go through.".into());
    if wishes.kubernetes {
        line("  9. Every kube-apiserver, then restart controller-manager, scheduler and kubelets: they hold newer revisions in memory.".into());
    } else {
        line("  9. The clients.".into());
    }
    Ok(out)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn wishes() -> Wishes<'static> {
        Wishes { data_dir: "/var/lib/etcd-restored", token: "t1", members: Vec::new(), kubernetes: false }
    }

    #[test]
    fn without_members_it_says_what_is_missing() {
        let why = plan(Path::new("/x.db"), None, &wishes()).unwrap_err();
        assert!(why.contains("--initial-cluster"), "{why}");
    }

    #[test]
    fn each_member_gets_its_line_quoted_where_it_must_be() {
        let members = vec![
            ("m1".to_owned(), "https://a:2380".to_owned()),
            ("it's".to_owned(), "https://b:2380".to_owned()),
        ];
        let wishes = Wishes { members, kubernetes: true, ..wishes() };
        let text = plan(Path::new("/back up/x.db"), None, &wishes).unwrap();
        assert!(
            text.contains("restore '/back up/x.db' --name=m1 --initial-cluster='m1=https://a:2380,it'\\''s=https://b:2380' --initial-cluster-token=t1 --initial-advertise-peer-urls=https://a:2380 --data-dir=/var/lib/etcd-restored"),
            "{text}"
        );
        assert_eq!(text.matches("--mark-compacted").count(), 3, "{text}");
    }
}
