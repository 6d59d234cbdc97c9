//! What a fleet costs: a hundred clusters of three members that a fake etcd plays, each polled every second. `make
//! bench-fleet`; `FLEET_CLUSTERS` and `FLEET_SECONDS` for more or less. Prints a Markdown table; only etcdtop is measured.

use std::error::Error;
use std::time::{Duration, Instant};

use etcd_client::proto::{PbMember, PbMemberListResponse, PbStatusResponse};
use tokio::net::TcpListener;

#[allow(dead_code, clippy::unwrap_used)] // a part of the tests; not all of it is needed here
#[path = "../tests/it/support/fake.rs"]
mod fake;
#[allow(dead_code)]
#[path = "support/run.rs"]
mod run;
use fake::{Fake, Script, header};
use run::{COLUMNS, ROWS, Run, median, program};

type Result<T> = std::result::Result<T, Box<dyn Error>>;

/// The budget: one core, and so much memory at the most.
const CORE_PERCENT: f64 = 100.0;
const PEAK_MIB: f64 = 150.0;
const MEMBERS: u64 = 3;

fn from_env(name: &str, default: u64) -> u64 {
    std::env::var(name).ok().and_then(|s| s.parse().ok()).unwrap_or(default)
}

/// A cluster as a real one of etcd 3.6 looks, under a few writes a second; its members' addresses.
async fn cluster(number: u64, since: Instant, running: &mut Vec<Fake>) -> Result<Vec<String>> {
    let mut listeners = Vec::new();
    for _ in 0..MEMBERS {
        listeners.push(TcpListener::bind("127.0.0.1:0").await?);
    }
    let addresses: Vec<_> =
        listeners.iter().map(|l| l.local_addr().map(|a| a.to_string())).collect::<std::io::Result<_>>()?;
    let id = |member: u64| 0x8e9e_05c5_2164_0000 + number * 16 + member;
    let member = |(m, address): (u64, &String)| PbMember {
        id: id(m),
        name: format!("etcd-{number:03}-{m}"),
        peer_ur_ls: vec![format!("http://{address}0")],
        client_ur_ls: vec![format!("http://{address}")],
        is_learner: false,
    };
    let list: Vec<_> = (0..).zip(&addresses).map(member).collect();
    for (m, listener) in (0_u64..).zip(listeners) {
        let mut head = header(id(m), 0xcdf8_1819_4e3a_0000 + number);
        (head.revision, head.raft_term) = (1_285_023, 7);
        let status = PbStatusResponse {
            header: Some(head),
            version: "3.6.5".into(),
            storage_version: "3.6.0".into(),
            leader: id(0),
            raft_index: 17_793,
            raft_applied_index: 17_793,
            raft_term: 7,
            db_size: 281 << 20,
            db_size_in_use: 240 << 20,
            db_size_quota: 2 << 30,
            ..PbStatusResponse::default()
        };
        let members = PbMemberListResponse { header: None, members: list.clone() };
        let grows = Some((since, 5.0 + f64::from(u8::try_from(number % 40)?)));
        let script =
            Script { status: Some(Ok(status)), members: Some(Ok(members)), grows, ..Script::default() };
        running.push(Fake::on(listener, script));
    }
    Ok(addresses)
}

fn main() -> Result<()> {
    let (clusters, seconds) = (from_env("FLEET_CLUSTERS", 100), from_env("FLEET_SECONDS", 60));
    // Both ends of every connection are open files of one of the two processes.
    let mut files = rustix::process::getrlimit(rustix::process::Resource::Nofile);
    files.current = files.maximum;
    rustix::process::setrlimit(rustix::process::Resource::Nofile, files)?;
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build()?;
    let (mut fakes, mut config) = (Vec::new(), String::new());
    runtime.block_on(async {
        let since = Instant::now();
        for number in 0..clusters {
            let addresses = cluster(number, since, &mut fakes).await?;
            let list = addresses.join("\", \"");
            config.push_str(&format!("[contexts.cluster-{number:03}]\nendpoints = [\"{list}\"]\n"));
        }
        Ok::<_, Box<dyn Error>>(())
    })?;
    let folder = tempfile::tempdir()?;
    let file = folder.path().join("config.toml");
    std::fs::write(&file, config)?;
    eprintln!("fleet: {clusters} clusters of {MEMBERS} members, {seconds} s");

    let mut run = Run::start(&program()?, &["--all-contexts", "--config", &file.display().to_string()])?;
    let all = run.wait(&format!("{clusters} healthy"), Duration::from_secs(60))?;
    // Connections are made, first answers are drawn.
    std::thread::sleep(Duration::from_secs(5));
    let (bytes, cpu, begun) = (run.bytes(), run.cpu()?, Instant::now());
    std::thread::sleep(Duration::from_secs(seconds));
    let span = begun.elapsed().as_secs_f64();
    #[allow(clippy::cast_precision_loss)]
    let written = (run.bytes() - bytes) as f64 / span;
    let percent = (run.cpu()? - cpu) / span * 100.0;
    let mut latencies = Vec::new();
    for i in 0..100 {
        latencies.push(run.key(if i % 20 < 10 { "j" } else { "k" })?.as_secs_f64() * 1e3);
        std::thread::sleep(Duration::from_millis(37));
    }
    let (memory, peak) = (run.memory()?, run.peak()?);
    println!(
        "| {clusters} clusters of {MEMBERS} members, every second, {COLUMNS}x{ROWS} | etcdtop | budget |"
    );
    println!("|---|---|---|");
    println!("| every cluster judged after | {:.1} s | - |", all.as_secs_f64());
    println!("| CPU | {percent:.1}% of a core | {CORE_PERCENT:.0}% |");
    println!("| memory at its peak (now) | {peak:.0} MiB ({memory:.0} MiB) | {PEAK_MIB:.0} MiB |");
    println!("| bytes to the terminal a second | {written:.0} | - |");
    println!(
        "| key to repaint: p50, p99 | {:.1} ms, {:.1} ms | 16 ms |",
        median(latencies.clone(), 0.5),
        median(latencies, 0.99)
    );
    if percent > CORE_PERCENT || peak > PEAK_MIB {
        return Err("over the budget".into());
    }
    println!("\nwithin the budget");
    Ok(())
}
