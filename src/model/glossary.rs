//! What the figures mean, where they come from, whose thresholds they are, and the etcdctl command that shows the same.

/// Where an entry is shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Topic {
    /// The cluster as a whole.
    Cluster,
    /// One member.
    Member,
    /// Space.
    Storage,
    /// Consensus.
    Raft,
    /// Files that hold what a member held.
    Snapshots,
    /// How long things take.
    Latency,
    /// What etcd does inside.
    Internals,
    /// Many clusters, a row each.
    Fleet,
    /// A step of a plan.
    Step,
}

/// One term.
#[derive(Debug)]
pub struct Entry {
    /// The term.
    pub term: &'static str,
    /// What it means, and what etcd does inside.
    pub meaning: &'static str,
    /// The RPC or metric.
    pub source: &'static str,
    /// The threshold and whose it is; empty: there is none.
    pub threshold: &'static str,
    /// The command that shows the same.
    pub etcdctl: &'static str,
    /// Where it is shown.
    pub topics: &'static [Topic],
}

const STATUS: &str = "etcdctl endpoint status --cluster -w table";

/// Every term.
pub static GLOSSARY: &[Entry] = &[
    Entry {
        term: "verdict",
        meaning: "The worst that is true of the cluster now. UNREACHABLE: no member gives an answer to this host. QUORUM LOST: no voter that answers has a leader, and too few of the others can be well. NO LEADER: the same, but enough of them may be. CORRUPT and READ-ONLY: an alarm refuses writes. DEGRADED: it works, with a member missing. WARNING: all members serve, and a rule found something.",
        source: "all of the below",
        threshold: "",
        etcdctl: "etcdctl endpoint health --cluster",
        topics: &[Topic::Cluster, Topic::Fleet],
    },
    Entry {
        term: "can lose",
        meaning: "How many more voters may fail before the quorum (voters / 2 + 1) is lost. Learners have no vote; a member that was added but never started has one.",
        source: "MemberList and the state of each member",
        threshold: "",
        etcdctl: "etcdctl member list -w table",
        topics: &[Topic::Cluster, Topic::Raft, Topic::Fleet],
    },
    Entry {
        term: "fleet",
        meaning: "Each context of the config file, worst first; of equals by name. A row stands for what Status and the member list tell: no /metrics are scraped here, so what only they tell (fsync, commit, round trips, and before 3.6 the quota) is not in the verdict; the cluster's own dashboard has it. NOT ASKED: the settings of the context cannot be used, and the line below says why.",
        source: "Status of every member, MemberList",
        threshold: "",
        etcdctl: STATUS,
        topics: &[Topic::Fleet],
    },
    Entry {
        term: "state: hung, refused, unreachable, tls, auth",
        meaning: "hung: TCP is accepted but Status is not answered (process stopped, disk stuck). refused: the host answers, no etcd listens. unreachable: no name, no route, packets dropped. tls and auth say what is not accepted.",
        source: "TCP connect, TLS handshake, Status",
        threshold: "slow above 500 ms; hung after 1.2 s without an answer, or twice as long as the last answer took",
        etcdctl: "etcdctl endpoint status",
        topics: &[Topic::Cluster, Topic::Member],
    },
    Entry {
        term: "ping",
        meaning: "How long a Status call took, network included: the median of the last nine. The member answers it itself, without Raft.",
        source: "Status",
        threshold: "",
        etcdctl: "etcdctl endpoint health",
        topics: &[Topic::Cluster, Topic::Member],
    },
    Entry {
        term: "db size, in use, reclaimable",
        meaning: "db size is what the file has allocated. Compaction drops old revisions and frees pages inside the file: in use falls, the file stays. Only a defragmentation writes a smaller file: reclaimable is what it would give back.",
        source: "Status.dbSize, Status.dbSizeInUse",
        threshold: "warning when less than half is in use and more than 100 MiB are (etcd mixin)",
        etcdctl: STATUS,
        topics: &[Topic::Cluster, Topic::Member, Topic::Storage, Topic::Internals],
    },
    Entry {
        term: "quota",
        meaning: "When the file grows beyond the quota, the member raises NOSPACE and every member refuses puts; reads, deletes, compaction and defragmentation go on. It is checked with some slack, so sizes a little above it are normal.",
        source: "Status.dbSizeQuota (3.6 and later), etcd_server_quota_backend_bytes before",
        threshold: "warning above 80% (etcd-defrag), critical above 95% (etcd mixin)",
        etcdctl: "etcdctl alarm list",
        topics: &[Topic::Cluster, Topic::Storage, Topic::Internals],
    },
    Entry {
        term: "revision, compacted up to",
        meaning: "Every change gets the next revision. Old ones are kept until a compaction drops them; a watcher that asks for a dropped one is cancelled. The Kubernetes API server compacts every five minutes.",
        source: "header.revision, etcd_debugging_mvcc_compact_revision",
        threshold: "",
        etcdctl: "etcdctl get x -w json (header.revision)",
        topics: &[Topic::Storage],
    },
    Entry {
        term: "snapshot, its revision",
        meaning: "The member's whole file, as it was at one moment. It holds every change up to its revision: what was written later is lost by a restore. A follower's can be behind the leader's.",
        source: "Maintenance.Snapshot: the file, then the SHA-256 of it",
        threshold: "one every 1 to 24 h is common practice",
        etcdctl: "etcdctl snapshot save FILE",
        topics: &[Topic::Snapshots],
    },
    Entry {
        term: "verified fast, full",
        meaning: "fast: the checksum of the stream was right, and the ends, the branches and the newest revision were read back from the disk. full: every byte was, and everything that can be checked of a bbolt file and of etcd's buckets in it. A drill restores the file and starts that etcd: nothing else proves a backup.",
        source: "the file, and the small JSON file beside it",
        threshold: "",
        etcdctl: "etcdutl snapshot status FILE (does not look at the checksum)",
        topics: &[Topic::Snapshots],
    },
    Entry {
        term: "page map",
        meaning: "The file from its beginning to its end, a cell for so many pages. etcd writes a page anew wherever one is free, so what is in use is scattered; compaction leaves holes between, and the file does not shrink. A defragmentation writes what is in use one behind the other into a new file.",
        source: "the bbolt pages of the file",
        threshold: "",
        etcdctl: "etcdctl defrag (what closes the holes)",
        topics: &[Topic::Snapshots],
    },
    Entry {
        term: "term",
        meaning: "Grows with each election; a member tells the term of the last entry that it applied. A term that grows while nobody touches the cluster means leaders are lost: slow disks or a bad network.",
        source: "Status.raftTerm",
        threshold: "four leader changes in 15 min are too many (etcd mixin)",
        etcdctl: STATUS,
        topics: &[Topic::Raft, Topic::Member],
    },
    Entry {
        term: "committed, applied, lag",
        meaning: "An entry is committed when a majority has it on disk, and applied when a member has put it into its store. Lag is how many entries a member's applied index is behind the leader's commit index, read at the same moment.",
        source: "Status.raftIndex, Status.raftAppliedIndex",
        threshold: "warning above 1,000 entries; etcd itself calls an apply gap of 5,000 slow",
        etcdctl: STATUS,
        topics: &[Topic::Raft, Topic::Cluster, Topic::Member, Topic::Internals],
    },
    Entry {
        term: "fsync p99",
        meaning: "How long the slowest of a hundred writes of the log waits for the disk. A leader cannot commit faster than this; followers that are slow here fall behind.",
        source: "etcd_disk_wal_fsync_duration_seconds, over the last minute (table) and five (mixin)",
        threshold: "good below 10 ms (etcd docs), warning above 500 ms, critical above 1 s (etcd mixin)",
        etcdctl: "curl -s ENDPOINT/metrics | grep wal_fsync",
        topics: &[Topic::Cluster, Topic::Member, Topic::Latency],
    },
    Entry {
        term: "commit p99",
        meaning: "Ten times a second, or every 10,000 changes, etcd writes what it applied into its database file and syncs it. While it does, applying waits; it grows with what was changed and with free pages that lie scattered.",
        source: "etcd_disk_backend_commit_duration_seconds, over the last minute (table) and five (mixin)",
        threshold: "good below 25 ms (etcd docs), warning above 250 ms (etcd mixin)",
        etcdctl: "curl -s ENDPOINT/metrics | grep backend_commit",
        topics: &[Topic::Member, Topic::Latency],
    },
    Entry {
        term: "requests p99",
        meaning: "How long etcd takes from a request to its answer, by method; the two slowest methods are shown. Members tell it only when they were started with --metrics=extensive.",
        source: "grpc_server_handling_seconds, unary methods, over five minutes",
        threshold: "critical above 150 ms, but for Defragment (etcd mixin)",
        etcdctl: "curl -s ENDPOINT/metrics | grep grpc_server_handling",
        topics: &[Topic::Latency],
    },
    Entry {
        term: "row of cells",
        meaning: "Each cell is the p99 of five seconds, the newest at the right. Its height grows with orders of magnitude, from a tenth of what is good to the warning; its colour is that of the thresholds. A round trip is measured twice a minute and stands until the next one. A gap: nothing was measured, or the peer did not answer.",
        source: "the difference of two scrapes of /metrics, every 5 s",
        threshold: "",
        etcdctl: "etcdtop diagnose --watch",
        topics: &[Topic::Latency],
    },
    Entry {
        term: "round trips between peers",
        meaning: "How long a message from one member to another and back takes. Heartbeats and log entries pay this.",
        source: "etcd_network_peer_round_trip_time_seconds (observed every 30 s), over five minutes",
        threshold: "good below 10 ms (etcd docs), warning above 150 ms (etcd mixin)",
        etcdctl: "curl -s ENDPOINT/metrics | grep peer_round_trip",
        topics: &[Topic::Raft, Topic::Latency],
    },
    Entry {
        term: "role: leader, follower, learner, unstarted",
        meaning: "The leader puts every write into the log and sends it to the others; followers vote and acknowledge; a learner gets the log and has no vote; an unstarted member was added and never came, but counts for the quorum.",
        source: "MemberList; Status.leader, as most members of the highest term name it",
        threshold: "",
        etcdctl: STATUS,
        topics: &[Topic::Cluster, Topic::Member, Topic::Raft, Topic::Internals],
    },
    Entry {
        term: "version, storage",
        meaning: "What the member runs, and the version of its file's layout (3.6 and later): that is lowered by a downgrade before an older etcd can read it.",
        source: "Status.version, Status.storageVersion",
        threshold: "3.5.0 to 3.5.5 can lose consistency; before 3.5 there is no support",
        etcdctl: STATUS,
        topics: &[Topic::Cluster, Topic::Member],
    },
    Entry {
        term: "revisions kept",
        meaning: "Revisions above the compaction floor: all of them can still be read and watched from, and all of them take room.",
        source: "header.revision less etcd_debugging_mvcc_compact_revision; the age from what was seen since the start",
        threshold: "warning above 100,000 when nothing was compacted for 10 min (runbooks)",
        etcdctl: "etcdctl compact REVISION",
        topics: &[Topic::Storage],
    },
    Entry {
        term: "writes, grows by",
        meaning: "Revisions a second: changes, whatever their size. What clients send to the selected member tells their size. db grows when no free page is left, in use with every write until a compaction, keys only with new names.",
        source: "header.revision; etcd_network_client_grpc_received_bytes_total; Status.dbSize, dbSizeInUse; etcd_debugging_mvcc_keys_total",
        threshold: "",
        etcdctl: STATUS,
        topics: &[Topic::Storage],
    },
    Entry {
        term: "quota full",
        meaning: "A line through the sizes of the minutes that are known (10 min to 4 h, anew after a defragmentation), and when it reaches the quota. Confidence: high from an hour on a line, medium from 20 min, low otherwise or far ahead. What is in use cannot be defragmented away: when that reaches the quota, only deleting helps.",
        source: "Status.dbSize, Status.dbSizeInUse over time",
        threshold: "warning within 4 h (etcd mixin)",
        etcdctl: STATUS,
        topics: &[Topic::Storage],
    },
    Entry {
        term: "pending, failed, slow applies, heartbeats lost",
        meaning: "Pending: writes that wait for their commit. Failed: writes that were not committed in time, mostly because the leader was lost. Slow applies took longer than 100 ms. Heartbeats lost: the leader could not send them in time, because its disk or CPU held it up.",
        source: "etcd_server_proposals_pending, _failed_total, _slow_apply_total, _heartbeat_send_failures_total",
        threshold: "failed: warning above 5 a second (etcd mixin); slow applies: note from 20 in 5 min",
        etcdctl: "curl -s ENDPOINT/metrics | grep etcd_server_",
        topics: &[Topic::Raft],
    },
    Entry {
        term: "memory, open files, up",
        meaning: "What the process takes from its host. etcd maps its file and keeps an index of all keys in memory; each client takes a file descriptor.",
        source: "process_resident_memory_bytes, process_open_fds, process_max_fds, process_start_time_seconds",
        threshold: "warning above 80% of the files; above 1 GiB and three times the file (runbooks)",
        etcdctl: "curl -s ENDPOINT/metrics | grep ^process_",
        topics: &[Topic::Member],
    },
    Entry {
        term: "line of revisions: floor, head, R",
        meaning: "From revision 1 to the head, the newest. A compaction moves the floor up: of what lies below only each key's newest version is left, and those that were deleted by then not even so. From the floor to the head every version can be read and every event watched from; the floor itself still can. R is a revision that you point at. A watcher from R gets all events since, then live ones; below the floor it is cancelled with the compact revision, and must read everything anew; above the head it waits. A read at R gets the keys as they were then, or an error. A watcher that keeps up is never cancelled by a compaction. Each part of the line has its own scale.",
        source: "header.revision, etcd_debugging_mvcc_compact_revision; rate and age from what was seen since the start",
        threshold: "",
        etcdctl: "etcdctl watch --rev R --prefix ''; etcdctl get --rev R --prefix ''",
        topics: &[Topic::Internals],
    },
    Entry {
        term: "pages: what happened",
        meaning: "The file is made of pages. A put takes free ones, and the file grows when there are none (in use grows, then both). A compaction frees those of old versions (in use falls, the file stays); they count as in use until later writes commit, so it falls in steps. Only a defragmentation writes the file anew without the free ones: the file shrinks. Each is concluded from the sizes of successive polls, the moves of less than half a per cent left out; compacted and defragmented are said where the member's own counters agree.",
        source: "Status.dbSize, Status.dbSizeInUse of the last 15 min; etcd_debugging_mvcc_db_compaction_total_duration_milliseconds_count, etcd_disk_backend_defrag_duration_seconds_count",
        threshold: "",
        etcdctl: STATUS,
        topics: &[Topic::Internals],
    },
    Entry {
        term: "the log on each member",
        meaning: "The leader appends every write to the log and sends it to the others; it is committed when a majority has it on disk, and each member applies what is committed in the same order. The tracks show the same piece of the log: full as far as the member applied it, lighter as far as it knows it to be committed. A member that stands still stays where it was while the others run on; when it is back it reads on from there, or, when the leader keeps those entries no more (it keeps at least the last 5,000), gets a whole snapshot. The scale grows with the one that is furthest behind.",
        source: "Status.raftIndex, Status.raftAppliedIndex; entries a second over the last minute",
        threshold: "warning above 1,000 entries; etcd itself calls an apply gap of 5,000 slow",
        etcdctl: STATUS,
        topics: &[Topic::Internals],
    },
    Entry {
        term: "step: compact",
        meaning: "Drops every revision below the one named, but the newest of each key. It goes through Raft, so every member does it; asked for physically, it is over when it says so. Watchers from below it are cancelled. The file does not shrink: pages become free inside.",
        source: "KV.Compact (physical)",
        threshold: "",
        etcdctl: "etcdctl compact --physical REVISION",
        topics: &[Topic::Step],
    },
    Entry {
        term: "step: defragment",
        meaning: "The member copies what is in use into a new file beside the old one and takes that. Meanwhile it answers neither reads nor writes nor Status, but its Raft goes on. It is not replicated: each member does its own. When the call is cut off, it goes on.",
        source: "Maintenance.Defragment",
        threshold: "",
        etcdctl: "etcdctl defrag --endpoints ENDPOINT",
        topics: &[Topic::Step],
    },
    Entry {
        term: "step: move leader",
        meaning: "The leader tells the other one to stand for election at once, when that has the whole log. Writes wait for some milliseconds; proposals on their way may fail.",
        source: "Maintenance.MoveLeader, sent to the leader",
        threshold: "",
        etcdctl: "etcdctl move-leader ID",
        topics: &[Topic::Step],
    },
    Entry {
        term: "step: disarm",
        meaning: "Takes the alarm back, through Raft, on every member. NOSPACE comes back with the next write that finds the file above the quota; CORRUPT is only forgotten, the data stays as it is.",
        source: "Maintenance.Alarm DEACTIVATE",
        threshold: "NOSPACE only below 90% of the quota on every member",
        etcdctl: "etcdctl alarm disarm",
        topics: &[Topic::Step],
    },
    Entry {
        term: "step: snapshot",
        meaning: "The member sends its whole file as it is at one moment; its SHA-256 comes last. It is written beside its place, checked, and gets its name when it is whole. Needs no quorum.",
        source: "Maintenance.Snapshot",
        threshold: "",
        etcdctl: "etcdctl snapshot save FILE",
        topics: &[Topic::Step],
    },
    Entry {
        term: "step: prove a write",
        meaning: "A put and a delete of a key of our own: that the cluster takes writes is known when one has gone through.",
        source: "KV.Put, KV.DeleteRange",
        threshold: "",
        etcdctl: "etcdctl put KEY VALUE; etcdctl del KEY",
        topics: &[Topic::Step],
    },
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_topic_has_entries_and_terms_are_said_once() {
        use Topic::{Cluster, Internals, Latency, Member, Raft, Snapshots, Step, Storage};
        for topic in [Cluster, Member, Storage, Raft, Snapshots, Latency, Internals, Step] {
            assert!(GLOSSARY.iter().any(|e| e.topics.contains(&topic)), "{topic:?}");
        }
        let mut terms: Vec<_> = GLOSSARY.iter().map(|e| e.term).collect();
        terms.sort_unstable();
        terms.dedup();
        assert_eq!(terms.len(), GLOSSARY.len());
    }
}
