//! Recordings of `/metrics` of real clusters, well and unwell, for tests that compare etcdtop with the alerts of etcd's
//! own mixin (`tests/mixin`): every 15 seconds of all three members, for more than six minutes.
//!
//! `cargo run --release --example scrapes -- tests/data/scrapes [NAME]`: one scenario, or all of them one after another.
//! The slow disks need strace, which holds back the system calls.

use std::collections::{BTreeMap, BTreeSet};
use std::error::Error;
use std::fmt::Write as _;
use std::path::Path;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use etcd_client::{Client, CompactionOptions, Compare, CompareOp, DeleteOptions, Txn, TxnOp};
use etcdtop::lab::{Cluster, Load, LoadKind, MEMBER_ARGUMENT, Spec, member_main};
use etcdtop::model::Bytes;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::process::Command;
use tokio::sync::mpsc;
use tokio::task::{JoinHandle, JoinSet};
use tokio::time::{Instant, MissedTickBehavior, interval, sleep, sleep_until, timeout};

type Result<T> = std::result::Result<T, Box<dyn Error + Send + Sync>>;

/// Of the test matrix.
const ETCD: &str = "3.6";
const EVERY: Duration = Duration::from_secs(15);
/// The first at the start, the last after six minutes and a quarter.
const SCRAPES: usize = 26;
/// What Prometheus waits for an answer.
const PATIENCE: Duration = Duration::from_secs(10);
/// Enough that the size settles before anybody predicts that it will not.
const WARM_UP: Duration = Duration::from_secs(20);

/// What is kept of a scrape: names begin with one of these.
const KEPT: &[&str] = &[
    "etcd_server_",
    "etcd_disk_wal_fsync_duration_seconds",
    "etcd_disk_backend_commit_duration_seconds",
    "etcd_disk_defrag_inflight",
    "etcd_mvcc_db_total_size",
    "etcd_debugging_mvcc_compact_revision",
    "etcd_debugging_mvcc_current_revision",
    "etcd_debugging_mvcc_keys_total",
    "etcd_network_peer_round_trip_time_seconds",
    "etcd_network_peer_sent_failures_total",
    "etcd_network_peer_received_failures_total",
    "grpc_server_handled_total",
    "grpc_server_handling_seconds",
    "process_resident_memory_bytes",
    "process_open_fds",
    "process_max_fds",
    "process_start_time_seconds",
];

/// What is not kept of those: large, and no alert looks at it.
const CUT: &[&str] = &[
    "etcd_server_apply_duration_seconds_bucket",
    "etcd_server_range_duration_seconds_bucket",
    "etcd_server_feature_enabled",
];

/// What becomes of the cluster while it is scraped.
#[derive(Clone, Copy)]
enum Trouble {
    None,
    /// Every twentieth fdatasync of a thread of one follower takes so much longer.
    Disk(Duration),
    /// What the others send to one follower, and its answers, come this much later.
    Distance(Duration),
    /// The database is filled until it takes no more; then most of it is deleted, and the writers go on.
    Fill,
    /// The leader hands over, again and again.
    Churn,
    /// One follower is killed, and started again 50 seconds later.
    Restart,
    /// Both followers are killed.
    NoQuorum,
}

struct Scenario {
    name: &'static str,
    what: &'static str,
    trouble: Trouble,
    /// `--metrics=extensive`.
    extensive: bool,
    quota: Bytes,
}

const fn ms(n: u64) -> Duration {
    Duration::from_millis(n)
}

const GIB: u64 = 1 << 30;

/// With a quota that is never reached and without the durations of requests.
const fn scenario(name: &'static str, what: &'static str, trouble: Trouble) -> Scenario {
    Scenario { name, what, trouble, extensive: false, quota: Bytes(8 * GIB) }
}

const SCENARIOS: &[Scenario] = &[
    scenario("healthy", "nothing is wrong", Trouble::None),
    Scenario {
        extensive: true,
        ..scenario(
            "slow-disk",
            "every twentieth fdatasync of a thread of a follower takes 0.6 s longer",
            Trouble::Disk(ms(600)),
        )
    },
    Scenario {
        extensive: true,
        ..scenario(
            "slower-disk",
            "every twentieth fdatasync of a thread of a follower takes 1.6 s longer",
            Trouble::Disk(ms(1_600)),
        )
    },
    scenario(
        "slow-link",
        "a proxy in front of a follower's peer url holds back each direction for 110 ms",
        Trouble::Distance(ms(110)),
    ),
    Scenario {
        quota: Bytes(256 << 20),
        ..scenario(
            "failing",
            "a quota of 256 MiB is used up, then more than half is deleted and compacted away; puts are refused from then on",
            Trouble::Fill,
        )
    },
    scenario("churn", "the leader hands over to the next member every 40 s", Trouble::Churn),
    scenario(
        "restart",
        "a follower is killed and started again 50 s later: its counters begin anew",
        Trouble::Restart,
    ),
    scenario("no-quorum", "both followers are killed and stay away", Trouble::NoQuorum),
];

/// One member's answer, or that there was none.
struct Scrape {
    member: usize,
    millis: u128,
    body: String,
}

fn now() -> u128 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_millis()
}

/// HTTP/1.0, so that the answer comes in one piece and ends with the connection.
async fn get(address: &str) -> Result<String> {
    let mut stream = TcpStream::connect(address).await?;
    stream.write_all(format!("GET /metrics HTTP/1.0\r\nHost: {address}\r\n\r\n").as_bytes()).await?;
    let mut reply = String::new();
    stream.read_to_string(&mut reply).await?;
    let (head, body) = reply.split_once("\r\n\r\n").ok_or("no end of the head")?;
    let status = head.split(' ').nth(1).unwrap_or_default();
    if status == "200" && body.ends_with('\n') { Ok(body.to_owned()) } else { Err(status.into()) }
}

async fn record(addresses: Vec<String>) -> Vec<Scrape> {
    let mut ticks = interval(EVERY);
    let mut asked = JoinSet::new();
    for _ in 0..SCRAPES {
        ticks.tick().await;
        for (member, address) in addresses.iter().cloned().enumerate() {
            asked.spawn(async move {
                let millis = now();
                let body = timeout(PATIENCE, get(&address)).await.ok().and_then(Result::ok);
                Scrape { member, millis, body: body.unwrap_or_default() }
            });
        }
    }
    let mut scrapes = asked.join_all().await;
    scrapes.sort_by_key(|s| (s.millis, s.member));
    scrapes
}

/// A line's series and its value.
fn series(line: &str) -> (&str, &str) {
    line.rsplit_once(' ').unwrap_or((line, ""))
}

/// `Put` of a line about gRPC.
fn method(series: &str) -> Option<&str> {
    series.split_once("grpc_method=\"")?.1.split('"').next()
}

fn wanted(line: &str) -> bool {
    KEPT.iter().any(|k| line.starts_with(k)) && !CUT.iter().any(|c| line.starts_with(c))
}

/// The recording as text. A count of answers that is 0 to the end is left out; one that leaves 0 is kept from its
/// beginning, else a server that reads the file would not see it rise. Of the durations of calls, those methods are kept
/// that were asked of this member in the meantime.
fn text(head: &str, scrapes: &[Scrape]) -> String {
    let mut counted = BTreeSet::new();
    let mut counts = BTreeMap::new();
    let mut asked = BTreeSet::new();
    for (scrape, line) in scrapes.iter().flat_map(|s| s.body.lines().map(move |l| (s, l))) {
        let (series, value) = series(line);
        if value != "0" && series.starts_with("grpc_server_handled_total") {
            counted.insert(series);
        } else if series.starts_with("grpc_server_handling_seconds_count") {
            let this = (scrape.member, method(series));
            if *counts.entry(this).or_insert(value) != value {
                asked.insert(this);
            }
        }
    }
    let kept = |member: usize, line: &str| {
        let series = series(line).0;
        wanted(line)
            && (!series.starts_with("grpc_server_handled_total") || counted.contains(series))
            && (!series.starts_with("grpc_server_handling_seconds")
                || asked.contains(&(member, method(series))))
    };
    let mut text = head.to_owned();
    for scrape in scrapes {
        let _ = writeln!(text, "# scrape m{} {}", scrape.member + 1, scrape.millis);
        for line in scrape.body.lines().filter(|l| kept(scrape.member, l)) {
            text.push_str(line);
            text.push('\n');
        }
    }
    text
}

/// A proxy that holds back what passes, without narrowing the line.
async fn distant(delay: Duration) -> Result<(TcpListener, String)> {
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let address = listener.local_addr()?.to_string();
    eprintln!("scrapes: a peer url {delay:?} away at {address}");
    Ok((listener, address))
}

async fn relay(listener: TcpListener, target: String, delay: Duration) {
    let mut connections = JoinSet::new();
    while let Ok((client, _)) = listener.accept().await {
        let target = target.clone();
        connections.spawn(async move {
            let server = TcpStream::connect(&target).await?;
            let (from_client, to_client) = client.into_split();
            let (from_server, to_server) = server.into_split();
            tokio::try_join!(late(from_client, to_server, delay), late(from_server, to_client, delay))
                .map(drop)
        });
    }
}

async fn late(
    mut from: tokio::net::tcp::OwnedReadHalf,
    mut to: tokio::net::tcp::OwnedWriteHalf,
    delay: Duration,
) -> std::io::Result<()> {
    let (tell, mut told) = mpsc::unbounded_channel::<(Instant, Vec<u8>)>();
    let read = async move {
        loop {
            let mut bytes = vec![0; 32 << 10];
            let n = from.read(&mut bytes).await?;
            bytes.truncate(n);
            if n == 0 || tell.send((Instant::now() + delay, bytes)).is_err() {
                return Ok::<_, std::io::Error>(());
            }
        }
    };
    let write = async move {
        while let Some((due, bytes)) = told.recv().await {
            sleep_until(due).await;
            to.write_all(&bytes).await?;
        }
        to.shutdown().await
    };
    tokio::try_join!(read, write).map(drop)
}

/// A client of each member that puts, gets and asks for transactions, whatever becomes of them.
fn clients(cluster: &Cluster) -> JoinSet<()> {
    let mut tasks = JoinSet::new();
    for (member, endpoint) in cluster.endpoints().iter().enumerate() {
        let endpoint = endpoint.raw().to_owned();
        tasks.spawn(async move {
            let Ok(mut client) = Client::connect([endpoint], None).await else { return };
            let mut ticks = interval(ms(100));
            ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
            for step in 0_u64.. {
                ticks.tick().await;
                let key = format!("/registry/pods/ns-{member}/pod-{:03}", step % 100);
                let value = vec![b'v'; 700];
                let call = async {
                    match step % 3 {
                        0 => client.put(key, value, None).await.map(drop),
                        1 => client.get(key, None).await.map(drop),
                        // An update as the API server makes it.
                        _ => {
                            let same = Compare::version(key.clone(), CompareOp::Greater, -1);
                            let txn = Txn::new().when([same]).and_then([TxnOp::put(key, value, None)]);
                            client.txn(txn).await.map(drop)
                        }
                    }
                };
                // Refused or too late: what the members count is what is recorded.
                let _ = timeout(Duration::from_secs(8), call).await;
            }
        });
    }
    tasks
}

/// Each member's id, and who leads.
async fn members(cluster: &Cluster) -> Result<(Vec<u64>, usize)> {
    let mut ids = Vec::new();
    let mut leader = 0;
    for endpoint in cluster.endpoints() {
        let mut client = Client::connect([endpoint.raw()], None).await?;
        let status = client.status().await?;
        ids.push(status.header().map_or(0, etcd_client::ResponseHeader::member_id));
        leader = status.leader();
    }
    let at = ids.iter().position(|id| *id == leader).ok_or("no leader")?;
    Ok((ids, at))
}

async fn hand_over(cluster: &Cluster, to: usize) -> Result<()> {
    let (ids, leader) = members(cluster).await?;
    if leader != to {
        Client::connect([cluster.endpoints()[leader].raw()], None).await?.move_leader(ids[to]).await?;
    }
    Ok(())
}

/// Uses up the quota, and deletes nine of sixteen values again.
async fn fill(endpoint: &str) -> Result<()> {
    let mut writers = JoinSet::new();
    for writer in 0..4_usize {
        let mut client = Client::connect([endpoint], None).await?;
        writers.spawn(async move {
            for step in (writer..).step_by(4) {
                let kind = if step % 16 < 9 { "old" } else { "new" };
                if client.put(format!("/fill/{kind}/{step:05}"), vec![b'f'; 64 << 10], None).await.is_err() {
                    return;
                }
            }
        });
    }
    writers.join_all().await;
    let mut client = Client::connect([endpoint], None).await?;
    let reply = client.delete("/fill/old/", Some(DeleteOptions::new().with_prefix())).await?;
    let revision = reply.header().map_or(0, etcd_client::ResponseHeader::revision);
    client.compact(revision, Some(CompactionOptions::new().with_physical())).await?;
    Ok(())
}

/// The follower that things happen to, whoever leads: the last member.
const VICTIM: usize = 2;

/// Makes the trouble, and then waits forever; what happened when goes to `told`.
async fn trouble(cluster: &mut Cluster, trouble: Trouble, told: &mut Vec<String>) -> Result<()> {
    let mut tell = |what: &str| {
        eprintln!("scrapes: {what}");
        told.push(format!("{} {what}", now()));
    };
    match trouble {
        Trouble::None => {}
        Trouble::Distance(_) => tell("m3 is far away from the beginning"),
        Trouble::Disk(delay) => {
            let pid = cluster.members()[VICTIM].pid().ok_or("m3 does not run")?.to_string();
            let inject = format!("inject=fdatasync:delay_exit={}:when=1+20", delay.as_micros());
            let mut strace = Command::new("strace");
            strace.args(["-f", "-qq", "-o", "/dev/null", "-e", "trace=fdatasync", "-e", &inject, "-p", &pid]);
            let mut strace = strace.kill_on_drop(true).spawn().map_err(|e| format!("strace: {e}"))?;
            tell("m3's disk is slow from now on");
            return Err(format!("strace ended: {}", strace.wait().await?).into());
        }
        Trouble::Fill => {
            sleep(Duration::from_secs(65)).await;
            tell("filling begins");
            fill(cluster.endpoints()[0].raw()).await?;
            tell("the quota is used up, most is deleted and compacted away");
        }
        Trouble::Churn => {
            let mut ticks = interval(Duration::from_secs(40));
            ticks.tick().await;
            for turn in 0_usize.. {
                ticks.tick().await;
                let to = (turn + 1) % 3;
                hand_over(cluster, to).await?;
                tell(&format!("the leader handed over to m{}", to + 1));
            }
        }
        Trouble::Restart => {
            sleep(Duration::from_secs(140)).await;
            cluster.kill(VICTIM);
            tell("m3 is killed");
            sleep(Duration::from_secs(50)).await;
            cluster.restart(VICTIM)?;
            tell("m3 is started again");
        }
        Trouble::NoQuorum => {
            sleep(Duration::from_secs(170)).await;
            cluster.kill(1);
            cluster.kill(2);
            tell("m2 and m3 are killed");
        }
    }
    std::future::pending().await
}

async fn run(scenario: &Scenario, folder: &Path) -> Result<()> {
    eprintln!("scrapes: {}: {}", scenario.name, scenario.what);
    // The members die with this program, whatever becomes of it.
    let launcher = Some(std::env::current_exe()?);
    let mut spec =
        Spec { version: Some(ETCD.into()), launcher, quota: Some(scenario.quota), ..Spec::default() };
    if scenario.extensive {
        spec.extra_args.push("--metrics=extensive".into());
    }
    let mut proxy: Option<JoinHandle<()>> = None;
    if let Trouble::Distance(delay) = scenario.trouble {
        let mut ports = Vec::new();
        for _ in 0..3 {
            ports.push(std::net::TcpListener::bind("127.0.0.1:0")?.local_addr()?.port());
        }
        spec.peers = ports.iter().map(|p| (*p, format!("127.0.0.1:{p}"))).collect();
        let (listener, address) = distant(delay).await?;
        let target = std::mem::replace(&mut spec.peers[VICTIM].1, address);
        proxy = Some(tokio::spawn(relay(listener, target, delay)));
    }
    let mut cluster = Cluster::start(&spec).await?;
    hand_over(&cluster, 0).await?;
    let load = Load::start(&cluster, LoadKind::Kubernetes);
    let clients = clients(&cluster);
    sleep(WARM_UP).await;
    let addresses = cluster.endpoints().iter().map(|e| e.raw().replace("http://", "")).collect();
    let mut told = Vec::new();
    let recorder = tokio::spawn(record(addresses));
    let scrapes = tokio::select! {
        scrapes = recorder => scrapes?,
        failed = trouble(&mut cluster, scenario.trouble, &mut told) => return failed,
    };
    drop((load, clients));
    let missed = scrapes.iter().filter(|s| s.body.is_empty()).count();
    let flags = if scenario.extensive { ", --metrics=extensive" } else { "" };
    let mut head = format!(
        "# {}: {}.\n# etcd {}, 3 members on loopback, m1 leads at first; quota {}{flags}; Kubernetes-like load and a client of each \
         member.\n",
        scenario.name,
        scenario.what,
        cluster.binaries().version,
        scenario.quota
    );
    for line in &told {
        let _ = writeln!(head, "# at {line}");
    }
    let _ = write!(
        head,
        "# Recorded by examples/scrapes.rs. `# scrape MEMBER UNIX_MILLISECONDS`, then what was served; nothing follows where no \
         answer\n# came within 10 s ({missed} of {}).\n# Kept: {}.\n# Cut: comments, all other families, {}; of grpc_server_handled_total \
         the series that are 0 to the end, of\n# grpc_server_handling_seconds the methods that this member was not asked meanwhile.\n",
        scrapes.len(),
        KEPT.join(", "),
        CUT.join(", "),
    );
    let path = folder.join(format!("{}.txt", scenario.name));
    std::fs::create_dir_all(folder)?;
    std::fs::write(&path, text(&head, &scrapes))?;
    eprintln!("scrapes: {} has {}", path.display(), Bytes(std::fs::metadata(&path)?.len()));
    if let Some(proxy) = proxy {
        proxy.abort();
    }
    Ok(())
}

fn main() -> Result<()> {
    let mut args = std::env::args_os().skip(1);
    let first = args.next().ok_or("usage: scrapes OUTDIR [NAME]")?;
    if first == MEMBER_ARGUMENT {
        // This program again, on its way to become a member.
        return Err(member_main(args).into());
    }
    let name = args.next();
    let chosen: Vec<_> = SCENARIOS.iter().filter(|s| name.as_ref().is_none_or(|n| n == s.name)).collect();
    if chosen.is_empty() {
        return Err("no scenario of that name".into());
    }
    let runtime = tokio::runtime::Runtime::new()?;
    for scenario in chosen {
        runtime.block_on(run(scenario, Path::new(&first)))?;
    }
    Ok(())
}
