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
        topics: &[Topic::Cluster],
    },
    Entry {
        term: "can lose",
        meaning: "How many more voters may fail before the quorum (voters / 2 + 1) is lost. Learners have no vote; a member that was added but never started has one.",
        source: "MemberList and the state of each member",
        threshold: "",
        etcdctl: "etcdctl member list -w table",
        topics: &[Topic::Cluster, Topic::Raft],
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
        topics: &[Topic::Cluster, Topic::Member, Topic::Storage],
    },
    Entry {
        term: "quota",
        meaning: "When the file grows beyond the quota, the member raises NOSPACE and every member refuses puts; reads, deletes, compaction and defragmentation go on. It is checked with some slack, so sizes a little above it are normal.",
        source: "Status.dbSizeQuota (3.6 and later), etcd_server_quota_backend_bytes before",
        threshold: "warning above 80% (etcd-defrag), critical above 95% (etcd mixin)",
        etcdctl: "etcdctl alarm list",
        topics: &[Topic::Cluster, Topic::Storage],
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
        topics: &[Topic::Raft, Topic::Cluster, Topic::Member],
    },
    Entry {
        term: "fsync p99",
        meaning: "How long the slowest of a hundred writes of the log waits for the disk. A leader cannot commit faster than this; followers that are slow here fall behind.",
        source: "etcd_disk_wal_fsync_duration_seconds, the last two scrapes",
        threshold: "good below 10 ms (etcd docs), warning above 500 ms (etcd mixin)",
        etcdctl: "curl -s ENDPOINT/metrics | grep wal_fsync",
        topics: &[Topic::Cluster, Topic::Member],
    },
    Entry {
        term: "round trips between peers",
        meaning: "How long a message from one member to another and back takes. Heartbeats and log entries pay this.",
        source: "etcd_network_peer_round_trip_time_seconds",
        threshold: "good below 10 ms (etcd docs), warning above 150 ms (etcd mixin)",
        etcdctl: "curl -s ENDPOINT/metrics | grep peer_round_trip",
        topics: &[Topic::Raft],
    },
];
