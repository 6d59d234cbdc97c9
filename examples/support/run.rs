//! A program in a pseudo terminal, measured from outside: what it writes, and what it costs.

use std::error::Error;
use std::io::{Read, Write};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use portable_pty::{CommandBuilder, PtySize, native_pty_system};

type Result<T> = std::result::Result<T, Box<dyn Error>>;

/// The size of the terminal.
pub const COLUMNS: u16 = 120;
/// Its rows.
pub const ROWS: u16 = 40;

/// Bytes, and when they came.
type Chunks = Vec<(Instant, Vec<u8>)>;

/// A program in a pseudo terminal; when its bytes came.
pub struct Run {
    seen: Arc<Mutex<Chunks>>,
    pub started: Instant,
    writer: Box<dyn Write + Send>,
    child: Box<dyn portable_pty::Child + Send + Sync>,
    _master: Box<dyn portable_pty::MasterPty + Send>,
}

impl Run {
    pub fn start(program: &str, args: &[&str]) -> Result<Self> {
        let pair = native_pty_system().openpty(PtySize {
            rows: ROWS,
            cols: COLUMNS,
            pixel_width: 0,
            pixel_height: 0,
        })?;
        let mut command = CommandBuilder::new(program);
        command.args(args);
        command.env("TERM", "xterm-256color");
        command.env("XDG_CONFIG_HOME", "/nonexistent");
        let seen = Arc::new(Mutex::new(Chunks::new()));
        let mut reader = pair.master.try_clone_reader()?;
        let into = Arc::clone(&seen);
        let started = Instant::now();
        let child = pair.slave.spawn_command(command)?;
        drop(pair.slave);
        std::thread::spawn(move || {
            let mut bytes = [0; 16 << 10];
            while let Ok(n @ 1..) = reader.read(&mut bytes) {
                if let Ok(mut seen) = into.lock() {
                    seen.push((Instant::now(), bytes[..n].to_vec()));
                }
            }
        });
        Ok(Self { seen, started, writer: pair.master.take_writer()?, child, _master: pair.master })
    }

    /// When the output so far first contained a text, since the start.
    pub fn wait(&self, text: &str, limit: Duration) -> Result<Duration> {
        let needle = text.as_bytes();
        let deadline = Instant::now() + limit;
        loop {
            let mut all = Vec::new();
            for (at, bytes) in self.seen.lock().map_err(|e| e.to_string())?.iter() {
                all.extend_from_slice(bytes);
                if all.windows(needle.len()).any(|w| w == needle) {
                    return Ok(*at - self.started);
                }
            }
            if Instant::now() > deadline {
                return Err(format!("{text:?} was not written").into());
            }
            std::thread::sleep(Duration::from_millis(1));
        }
    }

    pub fn chunks(&self) -> usize {
        self.seen.lock().map(|s| s.len()).unwrap_or_default()
    }

    pub fn bytes(&self) -> usize {
        self.seen.lock().map(|s| s.iter().map(|(_, b)| b.len()).sum()).unwrap_or_default()
    }

    /// Types a key; how long until anything is written.
    pub fn key(&mut self, key: &str) -> Result<Duration> {
        let before = self.chunks();
        let typed = Instant::now();
        self.writer.write_all(key.as_bytes())?;
        self.writer.flush()?;
        while typed.elapsed() < Duration::from_secs(5) {
            if let Some((at, _)) = self.seen.lock().map_err(|e| e.to_string())?.get(before) {
                return Ok(at.saturating_duration_since(typed));
            }
            std::thread::sleep(Duration::from_micros(100));
        }
        Err(format!("key {key:?} was not answered").into())
    }

    pub fn pid(&self) -> u32 {
        self.child.process_id().unwrap_or_default()
    }

    /// CPU seconds used so far.
    pub fn cpu(&self) -> Result<f64> {
        let stat = std::fs::read_to_string(format!("/proc/{}/stat", self.pid()))?;
        let fields: Vec<&str> = stat.rsplit_once(") ").ok_or("no stat")?.1.split(' ').collect();
        let ticks: u32 = fields[11].parse::<u32>()? + fields[12].parse::<u32>()?;
        Ok(f64::from(ticks) / 100.0)
    }

    /// Resident memory, MiB: what the process has of its own and shared.
    pub fn memory(&self) -> Result<f64> {
        self.resident("VmRSS:")
    }

    /// The most that it ever had.
    #[allow(dead_code)] // not every measurement asks for it
    pub fn peak(&self) -> Result<f64> {
        self.resident("VmHWM:")
    }

    fn resident(&self, which: &str) -> Result<f64> {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.pid()))?;
        let line = status.lines().find(|l| l.starts_with(which)).ok_or("no such figure")?;
        let kib: u32 = line.split_whitespace().nth(1).ok_or("no figure")?.parse()?;
        Ok(f64::from(kib) / 1024.0)
    }
}

impl Drop for Run {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// What so large a part of the figures is below of.
pub fn median(mut figures: Vec<f64>, quantile: f64) -> f64 {
    figures.sort_by(f64::total_cmp);
    #[allow(clippy::cast_precision_loss, clippy::cast_possible_truncation, clippy::cast_sign_loss)]
    let at = ((figures.len() - 1) as f64 * quantile).round() as usize;
    figures[at]
}

/// The program that is measured: it lies beside the examples.
pub fn program() -> Result<String> {
    let me = std::env::current_exe()?;
    let folder = me.parent().and_then(std::path::Path::parent).ok_or("no folder above the example")?;
    Ok(folder.join("etcdtop").display().to_string())
}
