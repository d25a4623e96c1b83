//! Agents as child processes: where they are installed, how they are started, what they say, and that they end.

use std::ffi::OsString;
use std::fs::File;
use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::mpsc::{Receiver, channel};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::Value;

use crate::env::{DEADLINE, Env, until};

/// Another folder of agents than target/agents.
const NAMED: &str = "TIDEGATE_TEST_AGENTS";

/// What says that an agent is missing says how to get it.
const HOW: &str = "scripts/install-agents installs it into target/agents";

/// Where `scripts/install-agents` puts them: beside what Cargo builds.
pub fn folder() -> PathBuf {
    let built = Path::new(env!("CARGO_BIN_EXE_tidegate")).ancestors().nth(2).expect("target/debug/tidegate");
    std::env::var_os(NAMED).map_or_else(|| built.join("agents"), PathBuf::from)
}

/// The root of unpacked Debian packages.
pub fn unpacked() -> PathBuf {
    folder().join("debian")
}

/// A program of a Debian package.
pub fn debian(program: &str) -> PathBuf {
    unpacked().join("usr").join(program)
}

/// A program of the Python packages.
pub fn python(program: &str) -> PathBuf {
    folder().join("python/bin").join(program)
}

pub fn without_debian(program: &str) -> Option<String> {
    (!debian(program).exists()).then(|| format!("{program} is not installed: {HOW}"))
}

pub fn without_python(module: &str) -> Option<String> {
    let packages = folder().join("python/lib");
    let versions = std::fs::read_dir(packages).into_iter().flatten().flatten();
    let is_there = versions.map(|version| version.path().join("site-packages").join(module)).any(|path| path.exists());
    (!is_there).then(|| format!("the Python package with {module} is not installed: {HOW}"))
}

pub fn without_node(package: &str) -> Option<String> {
    without(Path::new("node")).or_else(|| {
        let is_there = folder().join("node/node_modules").join(package).exists();
        (!is_there).then(|| format!("the Node.js package {package} is not installed: {HOW}"))
    })
}

/// What the machine lacks for a program that it may have itself.
pub fn without(program: &Path) -> Option<String> {
    let found = Command::new(program).arg("--version").output();
    found.err().map(|error| format!("{} cannot be run: {error}", program.display()))
}

/// One of the programs in tests/agents/programs.
pub fn program(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/agents/programs").join(name)
}

/// A command that sees nothing of the variables of the user who runs the tests, and finds the libraries of the
/// packages.
pub fn command(env: &Env, program: impl AsRef<Path>) -> Command {
    let mut command = Command::new(program.as_ref());
    let machine = format!("{}-linux-gnu", std::env::consts::ARCH);
    let libraries = [format!("usr/lib/{machine}"), format!("lib/{machine}"), "usr/lib/syslog-ng".to_owned()];
    let libraries = std::env::join_paths(libraries.map(|path| unpacked().join(path))).unwrap();
    let path = std::env::var_os("PATH").unwrap_or_else(|| OsString::from("/usr/bin:/bin"));
    let path = [folder().join("python/bin")].into_iter().chain(std::env::split_paths(&path));
    command.current_dir(env.path()).env_clear().env("HOME", env.path());
    command.env("PATH", std::env::join_paths(path).unwrap()).env("LANG", "C.UTF-8").env("LD_LIBRARY_PATH", libraries);
    command.env("PYTHONDONTWRITEBYTECODE", "1").env("PYTHONUNBUFFERED", "1");
    command.env("NODE_PATH", folder().join("node/node_modules"));
    command
}

/// An agent at work; killed when dropped.
pub struct Agent {
    name: String,
    child: Child,
    input: Option<ChildStdin>,
    lines: Receiver<String>,
    pub log: PathBuf,
}

impl Agent {
    /// Starts it. What it writes to its standard error is shown when the trial fails.
    pub fn start(env: &Env, name: &str, mut command: Command) -> Self {
        let log = env.log_file(name);
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(File::create(&log).unwrap());
        let mut child = command.spawn().unwrap_or_else(|error| panic!("{name} does not start: {error}"));
        let output = BufReader::new(child.stdout.take().unwrap());
        let (tell, lines) = channel();
        // Read to its end, so that it is never kept from writing.
        std::thread::spawn(move || {
            for line in output.lines().map_while(Result::ok) {
                drop(tell.send(line));
            }
        });
        Self { name: name.to_owned(), input: child.stdin.take(), child, lines, log }
    }

    /// The next line that it prints.
    pub fn line(&mut self) -> String {
        self.lines.recv_timeout(DEADLINE).unwrap_or_else(|_none| {
            let ended = self.child.try_wait().unwrap();
            panic!("{} says nothing more ({ended:?}): {}", self.name, self.logged())
        })
    }

    /// The next line of JSON with this member.
    pub fn says(&mut self, member: &str) -> Value {
        loop {
            let line = self.line();
            if let Some(found) = serde_json::from_str::<Value>(&line).ok().filter(|found| found[member] != Value::Null)
            {
                return found;
            }
        }
    }

    /// Lets it go on, where it waits for a line.
    pub fn goes_on(&mut self) {
        self.input.as_mut().expect("it can be written to").write_all(b"\n").unwrap();
    }

    /// What it logged so far.
    pub fn logged(&self) -> String {
        String::from_utf8_lossy(&std::fs::read(&self.log).unwrap_or_default()).into_owned()
    }

    /// Waits for what stands between two texts of its log.
    pub fn logs(&mut self, before: &str, after: &str) -> String {
        let what = format!("{} logs {before}", self.name);
        until(&what, || {
            let log = self.logged();
            let found =
                log.split_once(before).and_then(|(_, rest)| rest.split_once(after)).map(|(found, _)| found.to_owned());
            assert!(found.is_some() || self.child.try_wait().unwrap().is_none(), "{} has ended: {log}", self.name);
            found
        })
    }

    pub fn signal(&self, signal: Signal) {
        kill(Pid::from_raw(i32::try_from(self.child.id()).unwrap()), signal).unwrap();
    }

    /// Waits for its end, which must be a success; the lines that it printed and nobody has read.
    pub fn finish(mut self) -> Vec<String> {
        self.input = None;
        let status = until(&format!("{} ends", self.name), || self.child.try_wait().unwrap());
        assert!(status.success(), "{} ended with {status}: {}", self.name, self.logged());
        self.lines.iter().collect()
    }

    /// Ends it as an operator does.
    pub fn stop(self) {
        self.signal(Signal::SIGTERM);
        self.finish();
    }
}

impl Drop for Agent {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
