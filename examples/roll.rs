//! A rolling defragmentation beside `etcdctl defrag --cluster`, on a real cluster under writers: `make bench-roll`.
//! Prints a Markdown table: seconds, and the longest that a writer of each member waited for a put. With `--overhead` it
//! only prints what the gates of a roll cost beyond its calls, as the last row of `make bench`.

use std::collections::BTreeMap;
use std::error::Error;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use etcd_client::{Client, CompactionOptions};
use etcdtop::etcd::Dialer;
use etcdtop::lab::{Cluster, Spec};
use etcdtop::model::{Bytes, ClusterView};
use etcdtop::ops::journal::{End, Journal};
use etcdtop::ops::plan::{Request, Roll};
use etcdtop::ops::planner::{self, Situation};
use etcdtop::ops::world::Live;
use etcdtop::ops::{Engine, Limits, OpEvent, Progress};
use etcdtop::ops::{Mode, confirm};
use etcdtop::poll::{Options, PATIENCE, Poll};
use tokio::sync::watch;
use tokio::task::JoinSet;

type Result<T> = std::result::Result<T, Box<dyn Error>>;

/// The size of a value.
const VALUE: usize = 64 << 10;

/// How much to write.
#[derive(Clone, Copy)]
struct Fill {
    /// Values in all: about a gigabyte unless `--puts` says otherwise.
    puts: usize,
    /// Each key is written so often, and only its newest value is kept; `--rounds`.
    rounds: usize,
}

impl Fill {
    fn from_args() -> Result<Self> {
        let args: Vec<_> = std::env::args().collect();
        let value = |flag: &str, default: usize| match args.iter().position(|a| a == flag) {
            Some(at) => {
                args.get(at + 1).ok_or("a number is missing")?.parse().map_err(Box::<dyn Error>::from)
            }
            None => Ok(default),
        };
        Ok(Self { puts: value("--puts", 16_384)?, rounds: value("--rounds", 5)? })
    }
}

/// Fills the files, and drops all history: a fifth stays in use.
async fn fragment(cluster: &Cluster, fill: Fill) -> Result<()> {
    let endpoint = cluster.endpoints()[0].raw().to_owned();
    let mut tasks = JoinSet::new();
    for worker in 0..16_usize {
        let mut client = Client::connect([endpoint.clone()], None).await?;
        tasks.spawn(async move {
            let mut value = vec![0_u8; VALUE];
            for i in (worker..fill.puts).step_by(16) {
                value[..8].copy_from_slice(&(i as u64).to_le_bytes());
                client.put(format!("/f/{}", i % (fill.puts / fill.rounds)), value.clone(), None).await?;
            }
            Ok::<_, etcd_client::Error>(())
        });
    }
    while let Some(done) = tasks.join_next().await {
        done??;
    }
    let mut client = Client::connect([endpoint], None).await?;
    let revision = client.get("x", None).await?.header().map_or(0, etcd_client::ResponseHeader::revision);
    client.compact(revision, Some(CompactionOptions::new().with_physical())).await?;
    for key in ["/a", "/b"] {
        client.put(key, "x", None).await?;
    }
    Ok(())
}

/// Writers, one on each member; each tells the longest that it waited.
struct Writers {
    stop: Arc<AtomicBool>,
    tasks: Vec<tokio::task::JoinHandle<Duration>>,
}

impl Writers {
    async fn start(cluster: &Cluster) -> Result<Self> {
        let stop = Arc::new(AtomicBool::new(false));
        let mut tasks = Vec::new();
        for (i, endpoint) in cluster.endpoints().iter().enumerate() {
            let mut client = Client::connect([endpoint.raw()], None).await?;
            let stop = Arc::clone(&stop);
            tasks.push(tokio::spawn(async move {
                let mut worst = Duration::ZERO;
                let mut since = Instant::now();
                while !stop.load(Ordering::Relaxed) {
                    // A put that fails is tried again: the wait goes on until one went through.
                    if client.put(format!("/w/{i}"), "x", None).await.is_ok() {
                        worst = worst.max(since.elapsed());
                        tokio::time::sleep(Duration::from_millis(5)).await;
                        since = Instant::now();
                    }
                }
                worst
            }));
        }
        tokio::time::sleep(Duration::from_secs(1)).await;
        Ok(Self { stop, tasks })
    }

    async fn end(self) -> Result<Vec<Duration>> {
        self.stop.store(true, Ordering::Relaxed);
        let mut worst = Vec::new();
        for task in self.tasks {
            worst.push(task.await?);
        }
        Ok(worst)
    }
}

fn sizes(view: &ClusterView) -> String {
    let size = |m: &etcdtop::model::MemberView| m.status.as_ref().and_then(|s| s.db_size).unwrap_or_default();
    view.members.iter().map(|m| size(m).to_string()).collect::<Vec<_>>().join(", ")
}

fn leader(view: &ClusterView) -> usize {
    view.members.iter().position(|m| m.id == view.leader).unwrap_or_default()
}

struct Measured {
    what: String,
    total: Duration,
    calls: Vec<Duration>,
    stalls: Vec<Duration>,
    sizes: (String, String),
    /// Who led when it began.
    leader: usize,
}

async fn settled(poll: &Poll) -> Result<Arc<ClusterView>> {
    let mut views = poll.views();
    let whole = |v: &Arc<ClusterView>| {
        v.listed() == 3
            && v.leader.is_some()
            && v.members.iter().all(|m| m.lag == Some(0) && m.state.serves())
    };
    Ok(Arc::clone(&*tokio::time::timeout(Duration::from_secs(60), views.wait_for(whole)).await??))
}

/// How long a put on each member waits at most while nothing is defragmented.
async fn baseline(cluster: &Cluster) -> Result<Vec<Duration>> {
    let writers = Writers::start(cluster).await?;
    tokio::time::sleep(Duration::from_secs(5)).await;
    writers.end().await
}

async fn etcdctl(cluster: &Cluster, poll: &Poll) -> Result<Measured> {
    let view = settled(poll).await?;
    let (before, leader) = (sizes(&view), leader(&view));
    let writers = Writers::start(cluster).await?;
    let started = Instant::now();
    let endpoint = cluster.endpoints()[0].raw().to_owned();
    let output = tokio::process::Command::new(&cluster.binaries().etcdctl)
        .args(["--endpoints", &endpoint, "defrag", "--cluster", "--command-timeout=120s"])
        .output()
        .await?;
    let total = started.elapsed();
    if !output.status.success() {
        return Err(String::from_utf8_lossy(&output.stderr).into_owned().into());
    }
    let stalls = writers.end().await?;
    let after = sizes(&*settled(poll).await?);
    Ok(Measured {
        what: "etcdctl defrag --cluster".into(),
        total,
        calls: Vec::new(),
        stalls,
        sizes: (before, after),
        leader,
    })
}

async fn ours(cluster: &Cluster, poll: &Poll, move_leader: bool) -> Result<Measured> {
    let view = settled(poll).await?;
    let rates = BTreeMap::new();
    let situation = Situation {
        view: &view,
        cluster_name: "bench",
        rates: &rates,
        last_snapshot: Some(view.at),
        snapshot_first: None,
        place: None,
        busy: None,
        proof_key: "k",
        terms: None,
    };
    let request = Request::Defragment(Roll { move_leader, ..Roll::default() });
    let plan = planner::plan(&request, situation)?;
    let id = plan.cluster;
    let confirmed = confirm(plan, &Mode::ReadWrite, "bench")?;
    let folder = tempfile::tempdir()?;
    let dialer = Dialer::new(cluster.access().clone(), &cluster.endpoints())?;
    let world = Live::new(dialer, id, poll.handle());
    let journal = Journal::open(folder.path(), id)?;
    let (_stop, stop) = watch::channel(None);
    let (tell, mut told) = tokio::sync::mpsc::unbounded_channel();
    let tell = move |event| {
        let _ = tell.send(event);
    };
    let engine =
        Engine::new(world, journal, tell, Limits::default(), stop, watch::Sender::new(Progress::default()));
    let writers = Writers::start(cluster).await?;
    let started = Instant::now();
    let end = Box::pin(engine.run(confirmed, "bench")).await;
    let total = started.elapsed();
    let stalls = writers.end().await?;
    if end != End::Done {
        return Err(format!("{end:?}").into());
    }
    let mut calls = Vec::new();
    while let Some(event) = told.recv().await {
        if let OpEvent::StepEnded { figures, .. } = event {
            calls.push(Duration::from_millis(figures.took_ms.unwrap_or_default()));
        }
    }
    let what = format!("etcdtop, {}", if move_leader { "leader moved first" } else { "leader in place" });
    let after = sizes(&*settled(poll).await?);
    Ok(Measured { what, total, calls, stalls, sizes: (sizes(&view), after), leader: leader(&view) })
}

fn ms(d: Duration) -> String {
    format!("{:.0} ms", d.as_secs_f64() * 1e3)
}

#[tokio::main]
async fn main() -> Result<()> {
    let spec = Spec { launcher: Some("target/release/etcdtop".into()), ..Spec::default() };
    let cluster = Cluster::start(&spec).await?;
    let options = Options {
        dialer: Dialer::new(cluster.access().clone(), &cluster.endpoints())?,
        endpoints: cluster.endpoints(),
        interval: Duration::from_secs(1),
        metrics_every: Some(Duration::from_secs(5)),
        patience: PATIENCE,
        known: Vec::new(),
    };
    let poll = Poll::start(options);
    if std::env::args().any(|a| a == "--overhead") {
        let small = Fill { puts: 1_024, rounds: 5 };
        fragment(&cluster, small).await?;
        let theirs = etcdctl(&cluster, &poll).await?;
        fragment(&cluster, small).await?;
        let ours = ours(&cluster, &poll, false).await?;
        let beyond = ours.total.saturating_sub(ours.calls.iter().sum());
        println!(
            "| a rolling defragmentation of 3 members, beyond its calls | {:.1} s with them | {:.1} s | 3 s |",
            theirs.total.as_secs_f64(),
            beyond.as_secs_f64()
        );
        return Ok(());
    }
    let mut rows = Vec::new();
    let fill = Fill::from_args()?;
    eprintln!(
        "roll: etcd {}, about {} in {} puts",
        cluster.binaries().version,
        Bytes((VALUE * fill.puts) as u64),
        fill.puts
    );
    let idle = baseline(&cluster).await?;
    let idle: Vec<_> = idle.iter().map(|d| ms(*d)).collect();
    println!("Longest wait of each writer in 5 s without any defragmentation: {}\n", idle.join(", "));
    // A first time that is not counted: files that never were this large behave otherwise. Then each in turn, three times,
    // each time in another order.
    for round in 0..4_usize {
        for turn in 0..3_usize {
            fragment(&cluster, fill).await?;
            let variant = (round + turn) % 3;
            eprintln!("roll: round {round}, variant {variant}");
            let measured = match variant {
                0 => etcdctl(&cluster, &poll).await?,
                1 => ours(&cluster, &poll, false).await?,
                _ => ours(&cluster, &poll, true).await?,
            };
            if round > 0 {
                rows.push((variant, measured));
            }
        }
    }
    rows.sort_by_key(|(variant, _)| *variant);
    println!(
        "| what | seconds | in the calls | longest wait of the writers: of the leader's, of the others' | files before | after |"
    );
    println!("|---|---|---|---|---|---|");
    for (_, m) in rows {
        let calls: Duration = m.calls.iter().sum();
        let calls = if m.calls.is_empty() { "-".into() } else { format!("{:.1}", calls.as_secs_f64()) };
        let of = |leads: bool| {
            let chosen = m.stalls.iter().enumerate().filter(|(i, _)| (*i == m.leader) == leads);
            chosen.map(|(_, d)| ms(*d)).collect::<Vec<_>>().join(", ")
        };
        println!(
            "| {} | {:.1} | {calls} | {}; {} | {} | {} |",
            m.what,
            m.total.as_secs_f64(),
            of(true),
            of(false),
            m.sizes.0,
            m.sizes.1
        );
    }
    Ok(())
}
