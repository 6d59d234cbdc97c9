//! Snapshots beside etcdctl and etcdutl, on a file of about 1.4 GB: the last rows of `make bench`. Seconds are the best of
//! three runs in turn, memory is the peak of the process.

use std::error::Error;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use etcd_client::{Client, Txn, TxnOp};
use etcdtop::lab::{Cluster, Spec};
use tokio::task::JoinSet;

type Result<T> = std::result::Result<T, Box<dyn Error>>;

/// Three fit in a page as etcd fills it: a file of about 1.4 GB.
const VALUE: usize = 1_100;
const KEYS: usize = 200_000;
const PUTS: usize = 1_000_000;
/// Puts of one transaction.
const BATCH: usize = 64;

async fn fill(cluster: &Cluster) -> Result<()> {
    let endpoint = cluster.endpoints()[0].raw().to_owned();
    let mut tasks = JoinSet::new();
    for worker in 0..8_usize {
        let mut client = Client::connect([endpoint.clone()], None).await?;
        tasks.spawn(async move {
            let mut value = vec![b'v'; VALUE];
            for batch in (worker..PUTS / BATCH).step_by(8) {
                let puts = (batch * BATCH..(batch + 1) * BATCH).map(|i| {
                    value[..8].copy_from_slice(&(i as u64).to_le_bytes());
                    TxnOp::put(format!("/registry/pods/ns/{:06}", i % KEYS), value.clone(), None)
                });
                let puts: Vec<_> = puts.collect();
                client.txn(Txn::new().and_then(puts)).await?;
            }
            Ok::<_, etcd_client::Error>(())
        });
    }
    while let Some(done) = tasks.join_next().await {
        done??;
    }
    Ok(())
}

struct Run {
    seconds: f64,
    peak_kib: u64,
}

/// Runs a program to its end; how long it took, and the most memory that it had.
fn run(program: &Path, args: &[&str], env: &[(&str, &str)]) -> Result<Run> {
    let started = Instant::now();
    let mut child = Command::new(program)
        .args(args)
        .envs(env.iter().copied())
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()?;
    let status = format!("/proc/{}/status", child.id());
    let mut peak_kib = 0;
    let ended = loop {
        let text = std::fs::read_to_string(&status).unwrap_or_default();
        let peak =
            text.lines().find_map(|l| l.strip_prefix("VmHWM:")?.trim().strip_suffix(" kB")?.parse().ok());
        peak_kib = peak_kib.max(peak.unwrap_or(0));
        if let Some(ended) = child.try_wait()? {
            break ended;
        }
        std::thread::sleep(Duration::from_millis(2));
    };
    if !ended.success() {
        let output = child.wait_with_output()?;
        return Err(format!("{}: {}", program.display(), String::from_utf8_lossy(&output.stderr)).into());
    }
    Ok(Run { seconds: started.elapsed().as_secs_f64(), peak_kib })
}

/// Takes a file out of the page cache.
fn evict(file: &str) -> Result<()> {
    let file = std::fs::File::open(file)?;
    file.sync_all()?;
    Ok(rustix::fs::fadvise(&file, 0, None, rustix::fs::Advice::DontNeed)?)
}

fn best(runs: &[Run]) -> (f64, u64) {
    let seconds = runs.iter().map(|r| r.seconds).fold(f64::INFINITY, f64::min);
    (seconds, runs.iter().map(|r| r.peak_kib).max().unwrap_or_default() / 1024)
}

#[tokio::main]
async fn main() -> Result<()> {
    let ours = PathBuf::from("target/release/etcdtop");
    let quota = Some(etcdtop::model::Bytes(8 << 30));
    let spec = Spec { members: 1, launcher: Some(ours.clone()), quota, ..Spec::default() };
    let cluster = Cluster::start(&spec).await?;
    eprintln!("snapshot: etcd {}, {PUTS} puts of {VALUE} bytes", cluster.binaries().version);
    fill(&cluster).await?;
    let folder = tempfile::tempdir()?;
    let home = folder.path().display().to_string();
    let env = [
        ("XDG_STATE_HOME", home.as_str()),
        ("XDG_DATA_HOME", home.as_str()),
        ("XDG_CONFIG_HOME", "/nonexistent"),
    ];
    let endpoint = cluster.endpoints()[0].raw().to_owned();
    let etcdctl = cluster.binaries().etcdctl.clone();
    let offline = cluster.binaries().etcdutl.clone().ok_or("no etcdutl")?;
    let file = |name: &str| folder.path().join(name).display().to_string();
    let (theirs, mine) = (file("theirs.db"), file("mine.db"));
    let mut saves: [Vec<Run>; 3] = Default::default();
    for _ in 0..3 {
        for old in [&theirs, &mine] {
            let _ = std::fs::remove_file(old);
            let _ = std::fs::remove_file(etcdtop::snapshot::Side::path_of(Path::new(old)));
        }
        saves[0].push(run(&etcdctl, &["--endpoints", &endpoint, "snapshot", "save", &theirs], &[])?);
        let save = |how: &str, to: &str| {
            run(&ours, &["--endpoints", &endpoint, "snapshot", "save", to, "--verify", how], &env)
        };
        saves[1].push(save("fast", &mine)?);
        std::fs::remove_file(&mine)?;
        std::fs::remove_file(etcdtop::snapshot::Side::path_of(Path::new(&mine)))?;
        saves[2].push(save("full", &mine)?);
    }
    let mut warm: [Vec<Run>; 3] = Default::default();
    let mut cold: [Vec<Run>; 3] = Default::default();
    for (reads, forget) in [(&mut cold, true), (&mut warm, false)] {
        for _ in 0..3 {
            let read = |program: &Path, args: &[&str]| {
                if forget {
                    evict(&mine)?;
                }
                run(program, args, &env)
            };
            reads[0].push(read(&offline, &["snapshot", "status", &mine, "-w", "json"])?);
            reads[1].push(read(&ours, &["snapshot", "status", &mine, "-o", "json"])?);
            reads[2].push(read(&ours, &["snapshot", "verify", &mine, "-o", "json"])?);
        }
    }
    let size = std::fs::metadata(&mine)?.len();
    eprintln!("snapshot: {size} bytes");
    let row = |what: &str, peer: &[Run], ours: &[Run], budget: &str| {
        let ((a, am), (b, bm)) = (best(peer), best(ours));
        println!("| {what} | {a:.2} s, {am} MiB | {b:.2} s, {bm} MiB: ratio {:.2} | {budget} |", b / a);
    };
    row("snapshot save beside etcdctl, --verify fast", &saves[0], &saves[1], "ratio 0.9, 32 MiB");
    row("the same, --verify full", &saves[0], &saves[2], "-");
    for (reads, how) in [(&warm, "in memory"), (&cold, "on the disk")] {
        row(&format!("snapshot status beside etcdutl, the file {how}"), &reads[0], &reads[1], "ratio 0.35");
        row(&format!("snapshot verify beside our status, the file {how}"), &reads[1], &reads[2], "ratio 2");
        row(&format!("snapshot verify beside etcdutl's status, the file {how}"), &reads[0], &reads[2], "-");
    }
    Ok(())
}
