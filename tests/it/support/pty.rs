//! The program in a pseudo terminal: what is on its screen, what it wrote, how it ended.

use std::io::{Read, Write};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use portable_pty::{Child, CommandBuilder, ExitStatus, MasterPty, PtySize, native_pty_system};

use super::cluster::program;
use super::{PATIENCE, wait_for};

/// A running program and its terminal.
pub struct Pty {
    seen: Arc<Mutex<Seen>>,
    writer: Box<dyn Write + Send>,
    child: Box<dyn Child + Send + Sync>,
    master: Box<dyn MasterPty + Send>,
}

struct Seen {
    parser: vt100::Parser,
    bytes: Vec<u8>,
}

fn size(columns: u16, rows: u16) -> PtySize {
    PtySize { rows, cols: columns, pixel_width: 0, pixel_height: 0 }
}

impl Pty {
    /// etcdtop with these arguments.
    pub fn etcdtop(columns: u16, rows: u16, args: &[&str]) -> Self {
        Self::with_env(columns, rows, args, &[])
    }

    /// The same, with more in its environment.
    pub fn with_env(columns: u16, rows: u16, args: &[&str], env: &[(&str, &str)]) -> Self {
        let mut command = CommandBuilder::new(program());
        command.args(args);
        Self::run(columns, rows, command, env)
    }

    /// etcdtop in a terminal of its own inside this one, whose other end is held by `script`: when that is killed, the
    /// terminal is gone as when a connection breaks.
    pub fn behind_script(columns: u16, rows: u16, args: &[&str], env: &[(&str, &str)]) -> Self {
        let mut command = CommandBuilder::new("script");
        let line =
            std::iter::once(program().display().to_string()).chain(args.iter().map(|a| (*a).to_owned()));
        command.args(["-q", "-c", &format!("exec {}", line.collect::<Vec<_>>().join(" ")), "/dev/null"]);
        Self::run(columns, rows, command, env)
    }

    /// Another program, which becomes etcdtop.
    pub fn program(columns: u16, rows: u16, program: &str, args: &[&str], env: &[(&str, &str)]) -> Self {
        let mut command = CommandBuilder::new(program);
        command.args(args);
        Self::run(columns, rows, command, env)
    }

    fn run(columns: u16, rows: u16, mut command: CommandBuilder, env: &[(&str, &str)]) -> Self {
        // Nothing of this machine's own configuration.
        for (name, value) in super::clean_environment() {
            match value {
                Some(value) => command.env(name, value),
                None => command.env_remove(name),
            }
        }
        command.env("TERM", "xterm-256color");
        command.env_remove("NO_COLOR");
        command.env_remove("COLORTERM");
        for (name, value) in env {
            command.env(name, value);
        }
        let pair = native_pty_system().openpty(size(columns, rows)).unwrap();
        let child = pair.slave.spawn_command(command).unwrap();
        drop(pair.slave);
        let seen =
            Arc::new(Mutex::new(Seen { parser: vt100::Parser::new(rows, columns, 0), bytes: Vec::new() }));
        let mut reader = pair.master.try_clone_reader().unwrap();
        let into = Arc::clone(&seen);
        std::thread::spawn(move || {
            let mut bytes = [0; 16 << 10];
            while let Ok(n @ 1..) = reader.read(&mut bytes) {
                let mut seen = into.lock().unwrap();
                seen.parser.process(&bytes[..n]);
                seen.bytes.extend_from_slice(&bytes[..n]);
            }
        });
        Self { seen, writer: pair.master.take_writer().unwrap(), child, master: pair.master }
    }

    /// Types.
    pub fn keys(&mut self, keys: &str) {
        self.writer.write_all(keys.as_bytes()).unwrap();
        self.writer.flush().unwrap();
    }

    /// What is on the screen.
    pub fn screen(&self) -> String {
        self.seen.lock().unwrap().parser.screen().contents()
    }

    /// Everything that was written so far.
    pub fn bytes(&self) -> Vec<u8> {
        self.seen.lock().unwrap().bytes.clone()
    }

    /// Waits until a text is on the screen.
    pub fn wait(&self, text: &str) -> String {
        self.wait_until(text, |screen| screen.contains(text))
    }

    /// The same for a text that may go over several lines, each with something else beside it: word by word, in order.
    pub fn wait_words(&self, text: &str) -> String {
        self.wait_until(text, |screen| {
            let mut shown = screen.split_whitespace();
            text.split(' ').all(|word| shown.any(|s| s.starts_with(word)))
        })
    }

    /// Waits until the screen is as wanted.
    pub fn wait_until(&self, what: &str, check: impl Fn(&str) -> bool) -> String {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let screen = self.screen();
            if check(&screen) {
                return screen;
            }
            assert!(Instant::now() < deadline, "{what:?} did not come on screen:\n{screen}");
            std::thread::sleep(Duration::from_millis(10));
        }
    }

    /// Another size.
    pub fn resize(&self, columns: u16, rows: u16) {
        self.seen.lock().unwrap().parser.screen_mut().set_size(rows, columns);
        self.master.resize(size(columns, rows)).unwrap();
    }

    /// Its process id.
    pub fn pid(&self) -> i32 {
        i32::try_from(self.child.process_id().unwrap()).unwrap()
    }

    /// Waits for its end.
    pub fn exit(&mut self) -> ExitStatus {
        wait_for("the end of etcdtop", || self.child.try_wait().unwrap())
    }

    /// Whether the line discipline edits and echoes, as for a shell; raw while etcdtop holds the terminal.
    pub fn is_cooked(&self) -> bool {
        // ICANON and ECHO of Linux.
        const COOKED: u32 = 0o2 | 0o10;
        self.master.get_termios().unwrap().local_flags.bits() & COOKED == COOKED
    }

    /// Whether etcdtop holds the terminal.
    pub fn is_taken(&self) -> bool {
        !self.is_cooked() && self.seen.lock().unwrap().parser.screen().alternate_screen()
    }

    /// The terminal's device.
    pub fn device(&self) -> std::path::PathBuf {
        self.master.tty_name().unwrap()
    }

    /// Whether the terminal is as a shell wants it.
    pub fn is_restored(&self) -> bool {
        let seen = self.seen.lock().unwrap();
        let screen = seen.parser.screen();
        self.is_cooked()
            && !screen.alternate_screen()
            && !screen.hide_cursor()
            && !screen.bracketed_paste()
            && screen.mouse_protocol_mode() == vt100::MouseProtocolMode::None
    }
}

impl Drop for Pty {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
