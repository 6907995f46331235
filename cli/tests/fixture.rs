//! A network of `canopy dev`, and runs of the command on it.
//!
//! The network is the embedded simulator, or on a PocketIC server where the environment names one, as for the
//! integration tests (`CANOPY_POCKET_IC_URL`, `POCKET_IC_BIN`).

use std::env;
use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

use serde_json::Value;
use tempfile::TempDir;

const BINARY: &str = env!("CARGO_BIN_EXE_canopy");

/// How long anything here may take.
const PATIENCE: Duration = Duration::from_secs(120);

/// How long a network may take to end, and how often that is looked for.
const ENDING: Duration = Duration::from_secs(10);
const ENDING_STEP: Duration = Duration::from_millis(20);

/// A network that runs until it is dropped.
pub struct Network {
    dev: Child,
    pub home: TempDir,
    pub url: String,
    pub router: String,
    pub root_key: String,
    /// Empty when none was asked for.
    pub application: String,
}

/// What a run of the command ended with.
#[derive(Debug)]
pub struct Run {
    pub code: i32,
    pub output: Vec<u8>,
    pub errors: String,
}

impl Network {
    pub fn start() -> Self {
        Self::start_with(&[])
    }

    pub fn start_with(options: &[&str]) -> Self {
        let home = tempfile::tempdir().expect("a temporary folder");
        let server = ["CANOPY_POCKET_IC_URL", "POCKET_IC_BIN"].into_iter().find_map(|name| env::var(name).ok());
        let server = server.filter(|_| !options.contains(&"--server"));
        let mut dev = command(home.path(), &["dev", "--port", "0", "--json"])
            .args(server.iter().flat_map(|server| ["--server", server]))
            .args(options)
            .stdout(Stdio::piped())
            .spawn()
            .expect("the command starts");
        let mut line = String::new();
        let output = dev.stdout.as_mut().expect("it is piped");
        BufReader::new(output).read_line(&mut line).expect("a line");
        let told: Value = serde_json::from_str(&line).expect("`dev` tells JSON");
        let text = |field: &str| told[field].as_str().expect("text").to_string();
        let application = told["application"].as_str().unwrap_or_default().to_string();
        Self { dev, home, url: text("url"), router: text("router"), root_key: text("root_key"), application }
    }

    /// Runs the command as the network's administrator.
    pub fn run(&self, arguments: &[&str]) -> Run {
        run(command(self.home.path(), arguments), b"")
    }

    /// Runs the command and expects it to succeed.
    pub fn done(&self, arguments: &[&str]) -> String {
        self.run(arguments).done()
    }

    /// Runs the command with JSON, and expects it to succeed with one line.
    pub fn json(&self, arguments: &[&str]) -> Value {
        let text = self.done(&[arguments, &["--json"]].concat());
        serde_json::from_str(&text).unwrap_or_else(|error| panic!("{error}: {text}"))
    }

    /// Waits until the network has ended by itself.
    pub fn ends(&mut self) -> i32 {
        wait(&mut self.dev)
    }

    /// Ends the network as Ctrl-C does.
    pub fn interrupt(&mut self) -> i32 {
        interrupt(&self.dev);
        wait(&mut self.dev)
    }
}

impl Drop for Network {
    fn drop(&mut self) {
        // A real server keeps the network of a `dev` that was killed.
        if matches!(self.dev.try_wait(), Ok(None)) {
            interrupt(&self.dev);
        }
        if ends_within(&mut self.dev, ENDING).is_some() {
            return;
        }
        let _ = self.dev.kill();
        let _ = self.dev.wait();
    }
}

impl Run {
    /// Expects success, and gives what was printed.
    pub fn done(self) -> String {
        assert_eq!(self.code, 0, "{self:?}");
        String::from_utf8(self.output).expect("text")
    }

    /// Expects an end with this code and one clear line that says this.
    pub fn failed(self, code: i32, says: &str) -> Self {
        assert_eq!(self.code, code, "{self:?}");
        let lines: Vec<&str> = self.errors.lines().filter(|line| line.starts_with("error: ")).collect();
        assert_eq!(lines.len(), 1, "one line: {self:?}");
        assert!(lines[0].contains(says), "{says} in {self:?}");
        assert!(!self.errors.contains("panicked") && !self.errors.contains("backtrace"), "{self:?}");
        self
    }
}

/// Names a program that is a PocketIC server: the one that the environment names, or the simulator's, which is built
/// with the workspace.
pub fn server_program() -> PathBuf {
    let named = env::var_os("POCKET_IC_BIN").map(PathBuf::from);
    let program = named.unwrap_or_else(|| Path::new(BINARY).with_file_name("canopy-simulator"));
    assert!(program.exists(), "{} is built with the whole workspace", program.display());
    program
}

/// Prepares a run whose state lies in `home`.
pub fn command(home: &Path, arguments: &[&str]) -> Command {
    let mut command = Command::new(BINARY);
    command.args(arguments).env("CANOPY_HOME", home).stdin(Stdio::null()).stderr(Stdio::inherit());
    for proxy in ["HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy"] {
        command.env_remove(proxy);
    }
    for variable in ["CANOPY_NETWORK", "CANOPY_ROUTER", "CANOPY_IDENTITY", "CANOPY_ROOT_KEY"] {
        command.env_remove(variable);
    }
    command
}

/// Runs a command to its end.
pub fn run(mut command: Command, input: &[u8]) -> Run {
    let mut child = command
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("the command starts");
    let mut pipe = child.stdin.take().expect("it is piped");
    let input = input.to_vec();
    // A command that doesn't read closes the pipe.
    let writing = std::thread::spawn(move || drop(pipe.write_all(&input)));
    let output = child.wait_with_output().expect("it ends");
    writing.join().expect("no panic");
    of(output)
}

fn of(output: Output) -> Run {
    let code = output.status.code().unwrap_or(-1);
    Run { code, output: output.stdout, errors: String::from_utf8_lossy(&output.stderr).into_owned() }
}

/// Waits for the end of a run that was started.
pub fn end(child: Child) -> Run {
    of(child.wait_with_output().expect("it ends"))
}

/// Presses Ctrl-C.
pub fn interrupt(child: &Child) {
    // The shell's own: not every system has another one.
    let sent = Command::new("sh").args(["-c", "kill -INT $0", &child.id().to_string()]).status().expect("a shell");
    assert!(sent.success());
}

fn wait(child: &mut Child) -> i32 {
    ends_within(child, PATIENCE).expect("it ends")
}

/// Waits for the end of a process, and gives its code; None if it goes on, or can't be asked.
fn ends_within(child: &mut Child, time: Duration) -> Option<i32> {
    let begun = Instant::now();
    while begun.elapsed() < time {
        match child.try_wait() {
            Ok(Some(status)) => return Some(status.code().unwrap_or(-1)),
            Ok(None) => std::thread::sleep(ENDING_STEP),
            Err(_) => return None,
        }
    }
    None
}

/// Waits until something holds.
pub fn until(what: &str, holds: impl Fn() -> bool) {
    let begun = Instant::now();
    while !holds() {
        assert!(begun.elapsed() < PATIENCE, "not {what}");
        std::thread::sleep(Duration::from_millis(5));
    }
}

/// Makes a folder of files.
pub fn tree(files: &[(&str, &[u8])]) -> TempDir {
    let folder = tempfile::tempdir().expect("a temporary folder");
    for (name, bytes) in files {
        let path = folder.path().join(name);
        std::fs::create_dir_all(path.parent().expect("has a parent")).expect("writable");
        std::fs::write(path, bytes).expect("writable");
    }
    folder
}

/// Lists the files below a folder with what they hold.
pub fn files_of(folder: &Path) -> Vec<(PathBuf, Vec<u8>)> {
    let mut files = vec![];
    let mut waiting = vec![folder.to_path_buf()];
    while let Some(next) = waiting.pop() {
        for entry in std::fs::read_dir(next).expect("readable") {
            let path = entry.expect("readable").path();
            if path.is_dir() {
                waiting.push(path);
            } else {
                let below = path.strip_prefix(folder).expect("below").to_path_buf();
                files.push((below, std::fs::read(path).expect("readable")));
            }
        }
    }
    files.sort();
    files
}

/// Gives a path as text.
pub fn text(path: &Path) -> &str {
    path.to_str().expect("temporary folders are text")
}
