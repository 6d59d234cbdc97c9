//! Screenshots from real runs: `make screenshots`. Starts a real cluster with `etcdtop lab`, drives the dashboard
//! in a pseudo terminal as a user would, and writes what the terminal shows as SVG. Nothing is drawn by hand.
//! `make incident` records the incident that comes with etcdtop in the same way.

use std::error::Error;
use std::fmt::Write as _;
use std::io::{BufRead, BufReader, Read, Write};
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use portable_pty::{CommandBuilder, PtySize, native_pty_system};

type Result<T> = std::result::Result<T, Box<dyn Error>>;

/// A program in a pseudo terminal, and what its terminal shows.
struct Session {
    parser: Arc<Mutex<vt100::Parser>>,
    writer: Box<dyn Write + Send>,
    child: Box<dyn portable_pty::Child + Send + Sync>,
    _master: Box<dyn portable_pty::MasterPty + Send>,
}

impl Session {
    fn start(columns: u16, rows: u16, args: &[&str]) -> Result<Self> {
        let pair =
            native_pty_system().openpty(PtySize { rows, cols: columns, pixel_width: 0, pixel_height: 0 })?;
        let mut command = CommandBuilder::new(program()?);
        command.args(args);
        command.env("TERM", "xterm-256color");
        command.env("TZ", "UTC");
        // Snapshots and journals of what is shown here are nobody's.
        for place in ["XDG_DATA_HOME", "XDG_STATE_HOME"] {
            command
                .env(place, std::env::temp_dir().join(format!("etcdtop-screenshots-{}", std::process::id())));
        }
        command.env_remove("NO_COLOR");
        let child = pair.slave.spawn_command(command)?;
        drop(pair.slave);
        let parser = Arc::new(Mutex::new(vt100::Parser::new(rows, columns, 0)));
        let mut reader = pair.master.try_clone_reader()?;
        let into = Arc::clone(&parser);
        std::thread::spawn(move || {
            let mut bytes = [0; 16 << 10];
            while let Ok(n @ 1..) = reader.read(&mut bytes) {
                if let Ok(mut parser) = into.lock() {
                    parser.process(&bytes[..n]);
                }
            }
        });
        Ok(Self { parser, writer: pair.master.take_writer()?, child, _master: pair.master })
    }

    fn keys(&mut self, keys: &str) -> Result<()> {
        self.writer.write_all(keys.as_bytes())?;
        Ok(self.writer.flush()?)
    }

    fn text(&self) -> String {
        self.parser.lock().map(|p| p.screen().contents()).unwrap_or_default()
    }

    fn wait(&self, what: &str, seconds: u64) -> Result<()> {
        let deadline = Instant::now() + Duration::from_secs(seconds);
        while !self.text().contains(what) {
            if Instant::now() > deadline {
                return Err(format!("{what:?} did not come on screen:\n{}", self.text()).into());
            }
            std::thread::sleep(Duration::from_millis(50));
        }
        Ok(())
    }

    fn shoot(&self, folder: &Path, name: &str) -> Result<()> {
        let parser = self.parser.lock().map_err(|e| e.to_string())?;
        let path = folder.join(format!("{name}.svg"));
        std::fs::write(&path, svg(parser.screen()))?;
        eprintln!("{}", path.display());
        Ok(())
    }

    fn quit(mut self) -> Result<()> {
        self.keys("\x1b\x1b")?;
        self.keys("q")?;
        self.child.wait()?;
        Ok(())
    }
}

/// The program that was built beside this example.
fn program() -> Result<PathBuf> {
    let me = std::env::current_exe()?;
    let folder = me.parent().and_then(Path::parent).ok_or("no folder above the example")?;
    Ok(folder.join("etcdtop"))
}

const CELL: (f32, f32) = (8.43, 17.0);

/// The screen as SVG: a rectangle for each run of background, a text for each run of one style.
fn svg(screen: &vt100::Screen) -> String {
    let (rows, columns) = screen.size();
    let (width, height) = (f32::from(columns) * CELL.0 + 24.0, f32::from(rows) * CELL.1 + 24.0);
    let mut out = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"{width:.0}\" height=\"{height:.0}\" viewBox=\"0 0 {width:.0} {height:.0}\">\n\
         <rect width=\"100%\" height=\"100%\" rx=\"8\" fill=\"#16181d\"/>\n\
         <g font-family=\"DejaVu Sans Mono, Menlo, Consolas, monospace\" font-size=\"14\" xml:space=\"preserve\">\n"
    );
    for row in 0..rows {
        let mut column = 0;
        while column < columns {
            let Some(cell) = screen.cell(row, column) else { break };
            let style = Style::of(cell);
            let start = column;
            let mut text = String::new();
            while let Some(next) =
                screen.cell(row, column).filter(|c| Style::of(c) == style && column < columns)
            {
                text.push_str(if next.has_contents() { next.contents() } else { " " });
                column += if next.is_wide() { 2 } else { 1 };
            }
            style.write(&mut out, &text, start, column, row);
        }
    }
    out.push_str("</g>\n</svg>\n");
    out
}

#[derive(PartialEq)]
struct Style {
    fg: String,
    bg: Option<String>,
    bold: bool,
    dim: bool,
}

impl Style {
    fn of(cell: &vt100::Cell) -> Self {
        let (mut fg, mut bg) = (color(cell.fgcolor()), color(cell.bgcolor()));
        if cell.inverse() {
            (fg, bg) = (bg.or_else(|| Some("#16181d".into())), fg.or_else(|| Some("#d6d9e0".into())));
        }
        Self { fg: fg.unwrap_or_else(|| "#d6d9e0".into()), bg, bold: cell.bold(), dim: cell.dim() }
    }

    fn write(&self, out: &mut String, text: &str, from: u16, to: u16, row: u16) {
        let (x, y) = (12.0 + f32::from(from) * CELL.0, 12.0 + f32::from(row) * CELL.1);
        if let Some(bg) = &self.bg {
            let width = f32::from(to - from) * CELL.0;
            let _ = writeln!(
                out,
                "<rect x=\"{x:.1}\" y=\"{y:.1}\" width=\"{width:.1}\" height=\"{}\" fill=\"{bg}\"/>",
                CELL.1
            );
        }
        if text.trim().is_empty() {
            return;
        }
        let escaped =
            text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace(' ', "\u{a0}");
        let bold = if self.bold { " font-weight=\"bold\"" } else { "" };
        let dim = if self.dim { " opacity=\"0.6\"" } else { "" };
        let _ = writeln!(
            out,
            "<text x=\"{x:.1}\" y=\"{:.1}\" textLength=\"{:.1}\" lengthAdjust=\"spacingAndGlyphs\" fill=\"{}\"{bold}{dim}>{escaped}</text>",
            y + 13.0,
            f32::from(to - from) * CELL.0,
            self.fg
        );
    }
}

fn color(color: vt100::Color) -> Option<String> {
    const PALETTE: [&str; 16] = [
        "#1c1f26", "#e06c75", "#98c379", "#e5c07b", "#61afef", "#c678dd", "#56b6c2", "#abb2bf", "#5c6370",
        "#ff7a85", "#b5e890", "#ffd68a", "#7fc1ff", "#de8ff5", "#6fd3e0", "#ffffff",
    ];
    match color {
        vt100::Color::Default => None,
        vt100::Color::Idx(n @ 0..16) => Some(PALETTE[usize::from(n)].into()),
        vt100::Color::Idx(n @ 16..232) => {
            let level = |i: u8| if i == 0 { 0 } else { 55 + 40 * u16::from(i) };
            let n = n - 16;
            Some(format!("#{:02x}{:02x}{:02x}", level(n / 36), level(n / 6 % 6), level(n % 6)))
        }
        vt100::Color::Idx(n) => {
            let grey = 8 + u16::from(n - 232) * 10;
            Some(format!("#{grey:02x}{grey:02x}{grey:02x}"))
        }
        vt100::Color::Rgb(r, g, b) => Some(format!("#{r:02x}{g:02x}{b:02x}")),
    }
}

/// The members' process ids, from the log of the lab's children.
fn members_of(lab: u32) -> Vec<i32> {
    let children = std::fs::read_dir(format!("/proc/{lab}/task")).into_iter().flatten().flatten();
    let is_member = |pid: &i32| {
        std::fs::read_to_string(format!("/proc/{pid}/cmdline")).is_ok_and(|args| args.contains("--data-dir="))
    };
    children
        .filter_map(|task| std::fs::read_to_string(task.path().join("children")).ok())
        .flat_map(|line| line.split_whitespace().filter_map(|p| p.parse().ok()).collect::<Vec<i32>>())
        .filter(is_member)
        .collect()
}

fn signal(pid: i32, signal: rustix::process::Signal) -> Result<()> {
    let pid = rustix::process::Pid::from_raw(pid).ok_or("no such process")?;
    Ok(rustix::process::kill_process(pid, signal)?)
}

/// Somebody who looks before the next key.
fn think(seconds: u64) {
    std::thread::sleep(Duration::from_secs(seconds));
}

/// The incident that comes with etcdtop: NOSPACE, the wrong move, and the way out.
fn incident(file: &str) -> Result<()> {
    // A pseudo terminal begins at home.
    let file = std::path::absolute(file)?;
    let file = file.to_str().ok_or("the file's name is no text")?;
    let mut s = Session::start(120, 40, &["lab", "nospace-returns", "--record", file])?;
    s.wait("hint (3)", 60)?;
    think(8);
    s.keys("3")?;
    think(5);
    s.keys("1")?;
    think(2);
    // The wrong move, twice, as in the story.
    for _ in 0..2 {
        s.keys("A")?;
        s.wait("take the alarm back by hand", 5)?;
        think(1);
        s.keys("\r")?;
        s.wait("the alarm was taken back while", 20)?;
        think(8);
    }
    s.keys("H")?;
    think(6);
    s.keys("R")?;
    s.wait("[ Run it ]", 10)?;
    think(3);
    for keys in ["\t\t", "lab", "\t", "\r"] {
        s.keys(keys)?;
        std::thread::sleep(Duration::from_millis(400));
    }
    s.wait("SOLVED", 90)?;
    think(15);
    s.keys("7")?;
    think(2);
    s.quit()
}

/// A scenario, what it looks like inside, and a replay.
fn lab(folder: &Path) -> Result<()> {
    let mut s = Session::start(120, 40, &["lab", "watcher", "--seed", "1"])?;
    s.wait("hint (3)", 60)?;
    s.keys("9")?;
    s.wait("Revisions: what can still be read", 5)?;
    think(3);
    s.shoot(folder, "internals-120x40")?;
    s.quit()?;
    let mut s = Session::start(80, 24, &["lab", "leader-crash", "--seed", "1"])?;
    s.wait("hint (3)", 60)?;
    s.keys("i")?;
    think(2);
    s.shoot(folder, "coach-80x24")?;
    s.quit()?;
    let mut s = Session::start(120, 40, &["replay"])?;
    s.wait("REPLAY", 10)?;
    for _ in 0..6 {
        s.keys("]")?;
        std::thread::sleep(Duration::from_millis(300));
    }
    s.keys(" ")?;
    think(1);
    s.shoot(folder, "replay-120x40")?;
    s.quit()
}

/// A cluster of etcd without a dashboard of its own.
struct Lab {
    child: std::process::Child,
    endpoints: String,
}

impl Lab {
    fn start(args: &[&str]) -> Result<Self> {
        let mut child = std::process::Command::new(program()?)
            .args(["lab", "--no-dashboard"])
            .args(args)
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()?;
        let mut endpoints = String::new();
        BufReader::new(child.stdout.take().ok_or("no output")?).read_line(&mut endpoints)?;
        Ok(Self { child, endpoints: endpoints.trim().replace(',', "\", \"") })
    }

    fn pid(&self) -> Result<i32> {
        Ok(i32::try_from(self.child.id())?)
    }
}

impl Drop for Lab {
    fn drop(&mut self) {
        use rustix::process::Signal;
        for member in members_of(self.child.id()) {
            let _ = signal(member, Signal::CONT);
        }
        let _ = self.pid().and_then(|pid| signal(pid, Signal::TERM));
        let _ = self.child.wait();
    }
}

/// Contexts in every condition: full, with a member that hangs, healthy ones of several versions, and one that is not there.
fn fleet(folder: &Path) -> Result<()> {
    use rustix::process::Signal;
    let labs = [
        ("payments", Lab::start(&["--members", "3", "--load", "kubernetes", "--quota", "2MiB"])?),
        ("prod-eu1", Lab::start(&["--members", "3", "--load", "kubernetes"])?),
        ("prod-us1", Lab::start(&["--members", "5", "--etcd-version", "3.6"])?),
        ("staging", Lab::start(&["--members", "3", "--etcd-version", "3.5"])?),
        ("ci", Lab::start(&["--members", "1"])?),
    ];
    let mut config = String::from("version = 1\n[contexts.dr-site]\nendpoints = [\"http://127.0.0.1:1\"]\n");
    for (name, lab) in &labs {
        let _ = write!(config, "[contexts.{name}]\nendpoints = [\"{}\"]\n", lab.endpoints);
    }
    // Its path is on the screen.
    let scratch = tempfile::Builder::new().prefix("fleet").rand_bytes(0).tempdir()?;
    let file = scratch.path().join("config.toml");
    std::fs::write(&file, config)?;
    let member = *members_of(labs[1].1.child.id()).get(2).ok_or("no member's process")?;
    let file = file.to_str().ok_or("the file's name is no text")?;
    let mut s = Session::start(120, 40, &["--all-contexts", "--config", file])?;
    s.wait("READ-ONLY (NOSPACE)", 600)?;
    signal(member, Signal::STOP)?;
    s.wait("hung", 20)?;
    think(5);
    s.shoot(folder, "fleet-120x40")?;
    s.keys("q")?;
    s.child.wait()?;
    Ok(())
}

fn main() -> Result<()> {
    use rustix::process::Signal;
    let first = std::env::args().nth(1).unwrap_or_else(|| "screenshots".into());
    if first == "incident" {
        return incident(&std::env::args().nth(2).ok_or("which file?")?);
    }
    let folder = PathBuf::from(first);
    match std::env::args().nth(2).as_deref() {
        Some("lab") => return lab(&folder),
        Some("fleet") => return fleet(&folder),
        _ => {}
    }
    std::fs::create_dir_all(&folder)?;

    // A healthy cluster for a while, so that there is a history to look at.
    let mut s = Session::start(120, 40, &["lab", "--members", "3", "--load", "kubernetes"])?;
    s.wait("HEALTHY", 60)?;
    let seconds = std::env::var("SCREENSHOT_SECONDS").ok().and_then(|t| t.parse().ok()).unwrap_or(75);
    std::thread::sleep(Duration::from_secs(seconds));
    s.shoot(&folder, "overview-120x40")?;
    for (key, title, name) in [
        ("2", "Identity", "member"),
        ("3", "Growth", "storage"),
        ("4", "Round trips", "raft"),
        ("7", "Timeline,", "timeline"),
        ("8", "P99 5MIN", "latency"),
    ] {
        s.keys(key)?;
        s.wait(title, 5)?;
        s.shoot(&folder, &format!("{name}-120x40"))?;
    }
    s.keys("s")?;
    s.wait("[ Run it ]", 5)?;
    s.keys("\x1b[Z\r")?;
    s.wait(": done", 60)?;
    s.keys("6")?;
    s.wait("full", 10)?;
    s.shoot(&folder, "snapshots-120x40")?;
    s.keys("\r")?;
    s.wait("Who fills it", 10)?;
    s.shoot(&folder, "snapshot-120x40")?;
    s.keys("1?")?;
    s.wait("Moving about", 5)?;
    s.shoot(&folder, "help-120x40")?;
    s.keys("\x1b")?;
    let pids = members_of(s.child.process_id().ok_or("no process id")?);
    let frozen = *pids.get(1).ok_or("no member's process")?;
    signal(frozen, Signal::STOP)?;
    s.wait("DEGRADED", 10)?;
    s.wait("hung", 10)?;
    s.shoot(&folder, "hung-120x40")?;
    signal(*pids.get(2).ok_or("no third member")?, Signal::KILL)?;
    s.wait("QUORUM LOST 1/3", 20)?;
    s.shoot(&folder, "quorum-lost-120x40")?;
    signal(frozen, Signal::CONT)?;
    s.quit()?;

    let s = Session::start(80, 24, &["lab", "--members", "3", "--load", "kubernetes", "--quota", "4MiB"])?;
    s.wait("HEALTHY", 60)?;
    s.shoot(&folder, "overview-80x24")?;
    s.wait("READ-ONLY (NOSPACE)", 600)?;
    s.wait("puts fail", 10)?;
    s.shoot(&folder, "nospace-80x24")?;
    s.quit()?;
    lab(&folder)?;
    fleet(&folder)
}
