//! The program as a child process: started, waited for by what it prints, signalled, and always ended.

use std::fs::File;
use std::io::{BufRead, BufReader, Lines, Read};
use std::ops::Deref;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdout, Command, ExitStatus, Stdio};
use std::sync::mpsc;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::Value;

use crate::client::{Client, Key};
use crate::env::{DEADLINE, Env, until};

const MIB: u64 = 1 << 20;
/// The default of `limits.memory_bytes`.
const MEMORY_BYTES: u64 = 128 * MIB;
/// Its threads, connections and definitions, and what the allocator keeps.
const OVERHEAD_BYTES: u64 = 24 * MIB;

fn command(env: &Env, variables: &[(String, String)], arguments: &[&str]) -> Command {
    command_of(Path::new(env!("CARGO_BIN_EXE_tidegate")), env, variables, arguments)
}

fn command_of(program: &Path, env: &Env, variables: &[(String, String)], arguments: &[&str]) -> Command {
    let mut command = Command::new(program);
    // Neither a tidegate.toml nor variables of the user who runs the tests may matter. The test's own installation of PostgreSQL
    // comes first, for an embedded server.
    let path = std::env::var_os("PATH").unwrap_or_default();
    let path = [env.installation().bin_dir.clone()].into_iter().chain(std::env::split_paths(&path));
    command.current_dir(env.path()).env_clear().env("PATH", std::env::join_paths(path).unwrap());
    command.envs(variables.iter().cloned()).args(arguments).stdin(Stdio::null());
    command
}

/// Stops a process, unless it has ended. SIGSTOP is delivered some time after `kill` returns, and each thread goes on until it
/// notices: on a busy machine that was long enough to answer a request.
pub fn freeze(pid: Pid) {
    let _ = kill(pid, Signal::SIGSTOP);
    until("all threads have stopped", || {
        let tasks = std::fs::read_dir(format!("/proc/{pid}/task")).into_iter().flatten().flatten();
        let mut stats = tasks.filter_map(|task| std::fs::read_to_string(task.path().join("stat")).ok());
        // The name, in parentheses, may hold blanks; then comes the state: stopped, traced, or ended.
        let stopped = |stat: String| stat.rsplit(") ").next().unwrap().starts_with(['T', 't', 'Z', 'X']);
        stats.all(stopped).then_some(())
    });
}

/// A command that ran to its end.
#[derive(Debug)]
pub struct Finished {
    pub code: Option<i32>,
    pub stdout: String,
    pub stderr: String,
}

impl Finished {
    pub fn run(env: &Env, variables: &[(String, String)], arguments: &[&str]) -> Self {
        Running::start(env, variables, arguments).finish()
    }

    /// What it printed as JSON; it must have succeeded.
    pub fn json(&self) -> Value {
        assert_eq!(self.code, Some(0), "{self:?}");
        self.json_whatever()
    }

    /// The same, however it ended.
    pub fn json_whatever(&self) -> Value {
        serde_json::from_str(&self.stdout).unwrap_or_else(|error| panic!("{error}: {self:?}"))
    }
}

/// A command that may still run.
pub struct Running {
    child: Child,
    files: [PathBuf; 2],
}

impl Running {
    pub fn start(env: &Env, variables: &[(String, String)], arguments: &[&str]) -> Self {
        let name = arguments.first().copied().unwrap_or("tidegate");
        let files = [env.log_file(&format!("{name}-stdout")), env.log_file(&format!("{name}-stderr"))];
        let [stdout, stderr] = files.each_ref().map(|path| File::create(path).unwrap());
        let child = command(env, variables, arguments).stdout(stdout).stderr(stderr).spawn().unwrap();
        Self { child, files }
    }

    pub fn signal(&self, signal: Signal) {
        kill(Pid::from_raw(i32::try_from(self.child.id()).unwrap()), signal).unwrap();
    }

    /// Whether it has ended by itself.
    pub fn has_ended(&mut self) -> bool {
        self.child.try_wait().unwrap().is_some()
    }

    pub fn finish(mut self) -> Finished {
        let status = wait(&mut self.child);
        let [stdout, stderr] = self.files.each_ref().map(|path| std::fs::read_to_string(path).unwrap());
        Finished { code: status.code(), stdout, stderr }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        end(&mut self.child);
    }
}

/// Where a program answers.
pub struct Service {
    /// Requests with the key of the first start, or of the test's organization where the program is shared.
    pub client: Client,
}

impl Service {
    /// A client with a key.
    pub fn with(&self, key: &Key) -> Client {
        Client::new(&self.client.address, Some(&key.text))
    }

    /// A client without a key.
    pub fn anonymous(&self) -> Client {
        Client::new(&self.client.address, None)
    }
}

/// A `tidegate serve` that is ready.
pub struct Tidegate {
    child: Child,
    service: Service,
    /// What it printed when it was ready.
    pub welcome: String,
    log: PathBuf,
    printed: Lines<BufReader<ChildStdout>>,
}

impl Deref for Tidegate {
    type Target = Service;

    fn deref(&self) -> &Service {
        &self.service
    }
}

impl Tidegate {
    /// Starts it and waits until it says that it is ready.
    pub fn serve(env: &Env, variables: &[(String, String)], flags: &[String]) -> Self {
        let mut tidegate = Self::start(env, variables, flags);
        tidegate.ready(env);
        tidegate
    }

    /// The same of another program than the one that is tested: one of an earlier version.
    pub fn serve_program(program: &Path, env: &Env, variables: &[(String, String)], flags: &[String]) -> Self {
        let mut tidegate = Self::start_program(program, env, variables, flags);
        tidegate.ready(env);
        tidegate
    }

    /// Starts it while its database cannot be used, and waits until it listens.
    pub fn listening(env: &Env, variables: &[(String, String)], flags: &[String]) -> Self {
        let mut tidegate = Self::start(env, variables, flags);
        let address = until("it listens without its database", || {
            let log = tidegate.log();
            if let Some(status) = tidegate.child.try_wait().unwrap() {
                panic!("serve ended with {status}: {log}");
            }
            let line = log.lines().find(|line| line.contains("listening; the database cannot be used yet"))?;
            word_after(line, "address=")
        });
        tidegate.service.client = Client::new(&address, env.first_key.borrow().as_deref());
        tidegate
    }

    fn start(env: &Env, variables: &[(String, String)], flags: &[String]) -> Self {
        Self::start_program(Path::new(env!("CARGO_BIN_EXE_tidegate")), env, variables, flags)
    }

    /// The same in a network namespace, a file, where it listens at this address.
    pub fn serve_in(
        namespace: &Path,
        listen: &str,
        env: &Env,
        variables: &[(String, String)],
        flags: &[String],
    ) -> Self {
        let net = format!("--net={}", namespace.display());
        let before = [net.as_str(), "--", env!("CARGO_BIN_EXE_tidegate")];
        let mut tidegate = Self::start_by(Path::new("nsenter"), &before, listen, env, variables, flags);
        tidegate.ready(env);
        tidegate
    }

    fn start_program(program: &Path, env: &Env, variables: &[(String, String)], flags: &[String]) -> Self {
        Self::start_by(program, &[], "127.0.0.1:0", env, variables, flags)
    }

    /// `before` are arguments of a program that executes the one that is meant.
    fn start_by(
        program: &Path,
        before: &[&str],
        listen: &str,
        env: &Env,
        variables: &[(String, String)],
        flags: &[String],
    ) -> Self {
        let log = env.log_file("serve");
        let mut arguments = [before, &["serve", "--listen", listen]].concat();
        arguments.extend(flags.iter().map(String::as_str));
        let mut command = command_of(program, env, variables, &arguments);
        // A test that asks for a page means a whole one, however busy the machine is; one that means the limit sets it.
        command.env("TIDEGATE_SEARCH_TIME", "1m");
        let stderr = File::create(&log).unwrap();
        let mut child = command.stdout(Stdio::piped()).stderr(stderr).spawn().unwrap();
        let printed = BufReader::new(child.stdout.take().unwrap()).lines();
        Self { child, service: Service { client: Client::new("", None) }, welcome: String::new(), log, printed }
    }

    /// Waits until it says that it is ready.
    pub fn ready(&mut self, env: &Env) {
        // The last line that it prints; without it, it has ended and its log says why.
        while !self.welcome.contains("  psql ") {
            let Some(line) = self.printed.next() else {
                let status = wait(&mut self.child);
                panic!("serve ended with {status}: {}", self.log());
            };
            self.welcome.push_str(&line.unwrap());
            self.welcome.push('\n');
        }
        let url = word_after(&self.welcome, "Tidegate is ready at ").expect("the first line says where");
        let address = url.split_once("://").expect("a URL").1.to_owned();
        // Printed at first start only; a test that starts it again goes on with the same key.
        if let Some(text) = word_after(&self.welcome, "\n  API key ") {
            env.first_key.replace(Some(text));
        }
        self.service.client = Client::new(&address, env.first_key.borrow().as_deref());
    }

    pub fn pid(&self) -> Pid {
        Pid::from_raw(i32::try_from(self.child.id()).unwrap())
    }

    pub fn signal(&self, signal: Signal) {
        kill(self.pid(), signal).unwrap();
    }

    /// SIGSTOP, and all its threads have stopped.
    pub fn freeze(&self) {
        freeze(self.pid());
    }

    /// The most memory that it has had resident so far, without the pages of its program, which grow with the program
    /// (35 MiB of a debug build), not with what it is asked to do.
    pub fn peak_resident_bytes(&self) -> u64 {
        self.memory("VmHWM:").saturating_sub(self.memory("RssFile:"))
    }

    /// I2: that was under its bound, `limits.memory_bytes` where it is not the default, and a fixed overhead. Returns it.
    pub fn assert_memory(&self, memory_bytes: Option<u64>) -> u64 {
        let (peak, bound) = (self.peak_resident_bytes(), memory_bytes.unwrap_or(MEMORY_BYTES));
        assert!(
            peak <= bound + OVERHEAD_BYTES,
            "I2: {peak} bytes were resident; {bound} and {OVERHEAD_BYTES} are allowed"
        );
        peak
    }

    /// The memory that it has resident now, without the pages of its program.
    pub fn resident_bytes(&self) -> u64 {
        self.memory("VmRSS:").saturating_sub(self.memory("RssFile:"))
    }

    fn memory(&self, name: &str) -> u64 {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.child.id())).unwrap();
        let line = status.lines().find_map(|line| line.strip_prefix(name)).expect("the kernel counts it");
        line.trim().trim_end_matches(" kB").parse::<u64>().unwrap() * 1024
    }

    /// How it ended, where it has by itself.
    pub fn ended(&mut self) -> Option<ExitStatus> {
        self.child.try_wait().unwrap()
    }

    /// Its exit status, once it has ended.
    pub fn wait(&mut self) -> ExitStatus {
        wait(&mut self.child)
    }

    pub fn log_path(&self) -> &Path {
        &self.log
    }

    /// What it logged so far, in whole lines: it may be writing one.
    pub fn log(&self) -> String {
        let bytes = std::fs::read(&self.log).unwrap();
        let end = bytes.iter().rposition(|byte| *byte == b'\n').map_or(0, |end| end + 1);
        String::from_utf8_lossy(&bytes[..end]).into_owned()
    }

    /// SIGKILL, as a loss of power ends it.
    pub fn kill(&mut self) {
        self.signal(Signal::SIGKILL);
        self.wait();
    }

    /// SIGTERM, and its exit code.
    pub fn stop(&mut self) -> Option<i32> {
        self.signal(Signal::SIGTERM);
        self.wait().code()
    }
}

impl Drop for Tidegate {
    fn drop(&mut self) {
        end(&mut self.child);
    }
}

fn word_after(text: &str, label: &str) -> Option<String> {
    let rest = &text[text.find(label)? + label.len()..];
    rest.split_whitespace().next().map(str::to_owned)
}

/// The process id in the first line of a file, such as postmaster.pid; none while that is being written.
pub fn pid_in(path: &Path) -> Option<Pid> {
    let mut text = String::new();
    File::open(path).ok()?.read_to_string(&mut text).ok()?;
    text.split_once('\n')?.0.trim().parse().ok().map(Pid::from_raw)
}

/// Its end; a process that does not end is killed, and the test has failed.
fn wait(child: &mut Child) -> ExitStatus {
    let pid = Pid::from_raw(i32::try_from(child.id()).unwrap());
    std::thread::scope(|scope| {
        let (end, ended) = mpsc::channel();
        scope.spawn(move || end.send(child.wait()));
        ended.recv_timeout(DEADLINE).map_or_else(
            |_none| {
                // Waited for by nobody else yet, so that the number is still its own.
                let _ = kill(pid, Signal::SIGKILL);
                panic!("process {pid} does not end")
            },
            |status| status.unwrap(),
        )
    })
}

fn end(child: &mut Child) {
    let _ = child.kill();
    let _ = child.wait();
}
