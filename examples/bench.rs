//! Whole-program measurements, beside htop in the same run: `make bench`. Prints a Markdown table.
//!
//! Everything is measured from outside: bytes at the master side of a pseudo terminal, CPU and memory from /proc,
//! write(2) calls by strace where it is installed.

use std::error::Error;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use etcdtop::lab::{Cluster, Spec};

type Result<T> = std::result::Result<T, Box<dyn Error>>;

#[path = "support/run.rs"]
mod run;
use run::{COLUMNS, ROWS, Run, median, program};

/// What an idle program costs over some time.
struct Idle {
    bytes_per_second: f64,
    cpu_percent: f64,
    memory: f64,
}

fn idle(run: &Run, seconds: u32) -> Result<Idle> {
    let (bytes, cpu) = (run.bytes(), run.cpu()?);
    std::thread::sleep(Duration::from_secs(seconds.into()));
    let span = f64::from(seconds);
    #[allow(clippy::cast_precision_loss)]
    let written = (run.bytes() - bytes) as f64;
    Ok(Idle {
        bytes_per_second: written / span,
        cpu_percent: (run.cpu()? - cpu) / span * 100.0,
        memory: run.memory()?,
    })
}

/// How many write(2) calls to the terminal the program makes, and how many frames those are; by strace.
fn writes_per_frame(pid: u32) -> Option<f64> {
    let dir = tempfile::tempdir().ok()?;
    let log = dir.path().join("trace");
    let mut strace = std::process::Command::new("strace")
        .args([
            "-f",
            "-e",
            "trace=write,writev",
            "-e",
            "write=1",
            "-o",
            log.to_str()?,
            "-p",
            &pid.to_string(),
        ])
        .stdout(std::process::Stdio::null())
        .stderr(std::process::Stdio::null())
        .spawn()
        .ok()?;
    std::thread::sleep(Duration::from_secs(10));
    let strace_pid = rustix::process::Pid::from_raw(i32::try_from(strace.id()).ok()?)?;
    rustix::process::kill_process(strace_pid, rustix::process::Signal::INT).ok()?;
    strace.wait().ok()?;
    let text = std::fs::read_to_string(&log).ok()?;
    let writes = text.lines().filter(|l| l.contains("write(1,")).count();
    let frames = text.lines().filter(|l| l.contains("write(1,") && l.contains("2026h")).count();
    #[allow(clippy::cast_precision_loss)]
    (frames > 0).then(|| writes as f64 / frames as f64)
}

fn htop() -> Option<PathBuf> {
    std::env::split_paths(&std::env::var_os("PATH")?).map(|p| p.join("htop")).find(|p| p.is_file())
}

fn main() -> Result<()> {
    let etcdtop = program()?;
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build()?;
    let cluster = runtime
        .block_on(Cluster::start(&Spec { launcher: Some(etcdtop.clone().into()), ..Spec::default() }))?;
    let endpoints: Vec<_> = cluster.endpoints().iter().map(ToString::to_string).collect();
    let endpoints = endpoints.join(",");
    let seconds = std::env::var("BENCH_SECONDS").ok().and_then(|s| s.parse().ok()).unwrap_or(60);
    eprintln!("bench: etcd {}, {seconds} s of idling each", cluster.binaries().version);

    // First frame: nothing listens, as in an outage.
    let first = |program: &str, args: &[&str], text: &str| -> Result<f64> {
        let mut times = Vec::new();
        for _ in 0..11 {
            let run = Run::start(program, args)?;
            times.push(run.wait(text, Duration::from_secs(5))?.as_secs_f64() * 1e3);
        }
        Ok(median(times, 0.5))
    };
    let ours_first = first(&etcdtop, &["--endpoints", "127.0.0.1:1"], "etcdtop")?;

    let mut run = Run::start(&etcdtop, &["--endpoints", &endpoints])?;
    run.wait("HEALTHY", Duration::from_secs(10))?;
    std::thread::sleep(Duration::from_secs(12));
    let ours = idle(&run, seconds)?;
    let writes = writes_per_frame(run.pid());

    // A stopped member: when it is named, and whether keys still answer.
    let stopped = Instant::now();
    cluster.stop(1)?;
    let named = run
        .wait("no answer for", Duration::from_secs(10))
        .map(|at| (run.started + at).duration_since(stopped).as_secs_f64())?;
    let mut latencies = Vec::new();
    for i in 0..200 {
        latencies.push(run.key(if i % 2 == 0 { "4" } else { "1" })?.as_secs_f64() * 1e3);
        std::thread::sleep(Duration::from_millis(37));
    }
    cluster.cont(1)?;
    drop(run);

    let theirs = if let Some(htop) = htop() {
        let htop = htop.display().to_string();
        let first = first(&htop, &["-d", "10"], "Tasks")?;
        let run = Run::start(&htop, &["-d", "10"])?;
        std::thread::sleep(Duration::from_secs(5));
        Some((first, idle(&run, seconds)?))
    } else {
        eprintln!("bench: htop is not installed: no peer in this run");
        None
    };
    let peer = |f: &dyn Fn(&(f64, Idle)) -> String| theirs.as_ref().map_or_else(|| "-".into(), f);
    println!("| what | htop, same run | etcdtop | budget |");
    println!("|---|---|---|---|");
    println!(
        "| first frame, cluster unreachable | {} | {ours_first:.0} ms | 25 ms |",
        peer(&|t| format!("{:.0} ms", t.0))
    );
    println!(
        "| bytes to the terminal a second, {COLUMNS}x{ROWS}, 3 idle members, 1 Hz | {} | {:.0} | 300 |",
        peer(&|t| format!("{:.0}", t.1.bytes_per_second)),
        ours.bytes_per_second
    );
    println!(
        "| CPU, same, /metrics scraped | {} | {:.2}% | 0.4% |",
        peer(&|t| format!("{:.2}%", t.1.cpu_percent)),
        ours.cpu_percent
    );
    println!(
        "| memory, same | {} | {:.1} MiB | 16 MiB |",
        peer(&|t| format!("{:.1} MiB", t.1.memory)),
        ours.memory
    );
    println!(
        "| key to repaint, a member stopped: p50, p99 | - | {:.1} ms, {:.1} ms | 16 ms |",
        median(latencies.clone(), 0.5),
        median(latencies, 0.99)
    );
    println!("| a stopped member is named hung | - | {named:.1} s | 2.5 s |");
    println!(
        "| write(2) calls a frame | - | {} | 1 |",
        writes.map_or_else(|| "strace is not installed".into(), |w| format!("{w:.1}"))
    );
    Ok(())
}
