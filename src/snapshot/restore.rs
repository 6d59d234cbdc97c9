//! How to bring a cluster back from a snapshot: the exact command for each member, what to look at before, and in which order
//! services stop and start.

use std::fmt;
use std::path::Path;

use serde::Serialize;

use super::side::Side;
use crate::model::text::printable;

/// What a restore needs to know and a file may not say.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Wishes<'a> {
    /// Where each member's new data goes.
    pub data_dir: &'a str,
    /// `--initial-cluster-token`: a new one, so that no old member joins by mistake.
    pub token: &'a str,
    /// Members as name and peer url, a member with several of them as often; none: those of the side file.
    pub members: Vec<(String, String)>,
    /// The file has no checksum at its end: a raw `member/snap/db`.
    pub raw: bool,
    /// Whether Kubernetes uses the cluster: its watchers and caches must notice.
    pub kubernetes: bool,
}

/// Quotes an argument for a shell where it needs it. What a terminal would take for a command is escaped, as bash and zsh
/// read it.
fn quoted(text: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "-_./:=,@%+".contains(c);
    if !text.is_empty() && text.chars().all(plain) {
        return text.to_owned();
    }
    if printable(text) != text {
        let byte = |b: u8| match b {
            b'\'' | b'\\' => format!("\\{}", char::from(b)),
            b' '..=b'~' => char::from(b).to_string(),
            b => format!("\\x{b:02x}"),
        };
        return format!("$'{}'", text.bytes().map(byte).collect::<String>());
    }
    format!("'{}'", text.replace('\'', "'\\''"))
}

/// A member's line.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct RestoreLine {
    /// The member.
    pub member: String,
    /// What is run on its host.
    pub command: String,
}

/// The plan, in the order in which it is followed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct RestorePlan {
    /// What to look at and to do before anything stops.
    pub before: Vec<String>,
    /// What stops, in this order.
    pub stop: Vec<String>,
    /// One line for each member, each on its own host.
    pub restore: Vec<RestoreLine>,
    /// What to know about those lines.
    pub notes: Vec<String>,
    /// What starts, in this order.
    pub start: Vec<String>,
}

/// Makes the plan.
///
/// # Errors
/// What is missing to make one.
pub fn plan(file: &Path, side: Option<&Side>, wishes: &Wishes<'_>) -> Result<RestorePlan, String> {
    let members = members(side, wishes);
    if members.is_empty() {
        return Err("no members are known: the snapshot has no side file; name them with --initial-cluster m1=https://10.0.0.1:2380,...".into());
    }
    let urls = members.iter().flat_map(|(name, urls)| urls.iter().map(move |url| format!("{name}={url}")));
    let cluster = quoted(&urls.collect::<Vec<_>>().join(","));
    let (path, data_dir) = (quoted(&file.display().to_string()), quoted(wishes.data_dir));
    let holds = side.map_or_else(
        || "etcdtop snapshot status tells its revision: what was written later is lost.".to_owned(),
        |side| {
            let keys =
                side.status.as_ref().map_or_else(String::new, |s| format!(" with {} keys", s.total_key));
            let taken = side.taken_at.strftime("%Y-%m-%d %H:%M:%S UTC");
            format!(
                "It holds revision {}{keys}, taken {taken}: what was written later is lost.",
                side.revision.0
            )
        },
    );
    let sum = side.and_then(|s| s.file_sha256.as_ref());
    let copied = match sum {
        Some(sum) => format!(
            "Copy the file to each host that restores ({}); sha256sum must print {sum} there.",
            members.len()
        ),
        None => format!(
            "Copy the file to each host that restores ({}), and compare its sha256sum there.",
            members.len()
        ),
    };
    let mut more = String::new();
    let mut notes = Vec::new();
    if wishes.raw {
        more += " --skip-hash-check";
        notes.push("--skip-hash-check, because the file has no checksum at its end: etcdtop snapshot verify --raw looks at everything else.".to_owned());
    }
    if wishes.kubernetes {
        more += " --bump-revision=1000000000 --mark-compacted";
        notes.push("--bump-revision and --mark-compacted are in etcdutl 3.6 and late 3.5: without them controllers go on with what they remember.".to_owned());
    }
    let command = |(name, urls): &(String, Vec<String>)| RestoreLine {
        member: name.clone(),
        command: format!(
            "etcdutl snapshot restore {path} --name={} --initial-cluster={cluster} --initial-cluster-token={} --initial-advertise-peer-urls={} --data-dir={data_dir}{more}",
            quoted(name),
            quoted(wishes.token),
            quoted(&urls.join(","))
        ),
    };
    let kubernetes = |yes: &str, no: &str| if wishes.kubernetes { yes.to_owned() } else { no.to_owned() };
    Ok(RestorePlan {
        before: vec![
            format!("etcdtop snapshot verify {path}, and best etcdtop snapshot drill {path}"),
            holds,
            format!(
                "The old data folder on each host is kept aside, not deleted: it is the way back. The new data goes to {data_dir}."
            ),
            copied,
        ],
        stop: vec![
            kubernetes(
                "Every kube-apiserver (move its manifest out of /etc/kubernetes/manifests), so that nothing writes.",
                "Every client that writes.",
            ),
            "etcd on every host. All of them: a member that goes on with old data is another cluster.".into(),
        ],
        restore: members.iter().map(command).collect(),
        notes,
        start: vec![
            format!(
                "etcd on every host, with --data-dir={data_dir} and the same --initial-cluster; the first ones wait for a majority."
            ),
            "etcdtop health: one leader, every member answers, writes go through.".into(),
            kubernetes(
                "Every kube-apiserver, then restart controller-manager, scheduler and kubelets: they hold newer revisions in memory.",
                "The clients.",
            ),
        ],
    })
}

/// Each member with its peer urls. A learner is not restored: it is added again later.
fn members(side: Option<&Side>, wishes: &Wishes<'_>) -> Vec<(String, Vec<String>)> {
    if wishes.members.is_empty() {
        let known = side.map(|s| s.members.as_slice()).unwrap_or_default();
        let voters = known.iter().filter(|m| !m.learner && !m.name.is_empty() && !m.peer_urls.is_empty());
        return voters.map(|m| (m.name.clone(), m.peer_urls.clone())).collect();
    }
    let mut members: Vec<(String, Vec<String>)> = Vec::new();
    for (name, url) in &wishes.members {
        match members.iter_mut().find(|(n, _)| n == name) {
            Some((_, urls)) => urls.push(url.clone()),
            None => members.push((name.clone(), vec![url.clone()])),
        }
    }
    members
}

impl fmt::Display for RestorePlan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut number = 0;
        let mut steps = |f: &mut fmt::Formatter<'_>, title: &str, lines: &[String]| {
            writeln!(f, "{title}")?;
            for line in lines {
                number += 1;
                writeln!(f, "  {number}. {line}")?;
            }
            writeln!(f)
        };
        steps(f, "Before", &self.before)?;
        steps(f, "Stop", &self.stop)?;
        writeln!(f, "Restore, each line on its own host")?;
        for line in &self.restore {
            writeln!(f, "  {}", line.command)?;
        }
        for note in &self.notes {
            writeln!(f, "  ({note})")?;
        }
        writeln!(f)?;
        steps(f, "Start", &self.start)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn wishes() -> Wishes<'static> {
        Wishes {
            data_dir: "/var/lib/etcd-restored",
            token: "t1",
            members: Vec::new(),
            raw: false,
            kubernetes: false,
        }
    }

    #[test]
    fn without_members_it_says_what_is_missing() {
        let why = plan(Path::new("/x.db"), None, &wishes()).unwrap_err();
        assert!(why.contains("--initial-cluster"), "{why}");
    }

    #[test]
    fn each_member_gets_its_line_quoted_where_it_must_be() {
        let member = |name: &str, url: &str| (name.to_owned(), url.to_owned());
        let members = vec![
            member("m1", "https://a:2380"),
            member("it's", "https://b:2380"),
            member("m1", "https://c:2380"),
        ];
        let wishes = Wishes { members, kubernetes: true, raw: true, ..wishes() };
        let made = plan(Path::new("/back up/x.db"), None, &wishes).unwrap();
        assert_eq!(made.restore.len(), 2);
        assert_eq!(
            made.restore[0].command,
            "etcdutl snapshot restore '/back up/x.db' --name=m1 --initial-cluster='m1=https://a:2380,m1=https://c:2380,it'\\''s=https://b:2380' --initial-cluster-token=t1 --initial-advertise-peer-urls=https://a:2380,https://c:2380 --data-dir=/var/lib/etcd-restored --skip-hash-check --bump-revision=1000000000 --mark-compacted"
        );
        assert_eq!(quoted("m\u{1b}[2J'"), r"$'m\x1b[2J\''");
        // Nothing of a line is a comment to the shell.
        assert!(made.restore.iter().all(|l| !l.command.contains('#')), "{made}");
        assert!(made.to_string().contains(". etcdtop health: one leader"), "{made}");
    }
}
