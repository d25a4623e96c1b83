//! A PostgreSQL server of a test's own, which it may kill, stop, fill up, or make a standby of. Made from a template, one
//! for each engine and run, and run directly, so that nothing brings it back but the test.

use std::fs::{File, Permissions};
use std::io::Write;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::OnceLock;

use nix::sys::signal::{Signal, kill};
use nix::unistd::{Pid, geteuid};
use tempfile::TempDir;
use tidegate::storage::embedded::{EmbeddedServer, OWNER, READER, Running};

use crate::env::{Engine, Env, until};
use crate::postgres::{SUPERUSER, Sql, temp_dir};
use crate::private::{config, own, variables};
use crate::process::freeze;
use crate::proxy::Proxy;
use crate::shim::Shim;

/// The database of a private server.
pub const DATABASE: &str = "tidegate";
const PORT: u16 = 5432;

/// A cluster that was set up and stopped in order.
struct Template {
    dir: TempDir,
    bin_dir: PathBuf,
}

static TEMPLATES: [OnceLock<Template>; 2] = [OnceLock::new(), OnceLock::new()];

fn template(engine: Engine) -> &'static Template {
    TEMPLATES[engine as usize].get_or_init(|| {
        let dir = temp_dir();
        let settings = [
            // What is committed must outlive a killed server, if not a killed machine.
            ("synchronous_commit", "on"),
            ("shared_buffers", "32MB"),
            ("min_wal_size", "32MB"),
        ];
        let config = config(dir.path(), engine, &settings);
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let bin_dir = runtime.block_on(async {
            let server = EmbeddedServer::start(config).await.unwrap_or_else(|error| panic!("{error}"));
            let bin_dir = server.bin_dir().to_owned();
            server.stop().await.unwrap();
            bin_dir
        });
        Template { dir, bin_dir }
    })
}

/// Statics are not dropped.
pub fn remove_templates() {
    for template in TEMPLATES.iter().filter_map(OnceLock::get) {
        let _ = std::fs::remove_dir_all(template.dir.path());
    }
}

/// A private server; killed when dropped.
pub struct Cluster {
    dir: TempDir,
    bin_dir: PathBuf,
    child: Option<Child>,
    log: PathBuf,
    /// The network namespace that it runs in, where that is another one than the tests'.
    namespace: Option<PathBuf>,
}

impl Cluster {
    /// A copy of the template, running.
    pub fn start(env: &Env) -> Self {
        let mut cluster = Self::stopped(env);
        let source = template(env.engine).dir.path().join("postgres").canonicalize().unwrap();
        let copied = Command::new("cp").arg("-a").arg(source).arg(cluster.data()).status().unwrap();
        assert!(copied.success());
        cluster.run(&[]);
        cluster
    }

    /// The same in a network namespace, where it is reached by TCP as well, by who has an address of `from`.
    pub fn start_in(env: &Env, namespace: &Path, from: &str) -> Self {
        let mut cluster = Self::stopped(env);
        let source = template(env.engine).dir.path().join("postgres").canonicalize().unwrap();
        let copied = Command::new("cp").arg("-a").arg(source).arg(cluster.data()).status().unwrap();
        assert!(copied.success());
        let mut rules = File::options().append(true).open(cluster.data().join("pg_hba.conf")).unwrap();
        writeln!(rules, "host all all {from} trust").unwrap();
        cluster.namespace = Some(namespace.to_owned());
        cluster.run(&[]);
        cluster
    }

    /// A copy of this server as it is now, running; it is stopped for the moment.
    pub fn copy(&mut self, env: &Env) -> Self {
        let mut copy = Self::stopped(env);
        self.stop();
        let copied = Command::new("cp").arg("-a").arg(self.data()).arg(copy.data()).status().unwrap();
        assert!(copied.success());
        self.run(&[]);
        copy.run(&[]);
        copy
    }

    fn stopped(env: &Env) -> Self {
        let bin_dir = template(env.engine).bin_dir.clone();
        let dir = temp_dir();
        let socket = dir.path().join("s");
        std::fs::create_dir(&socket).unwrap();
        own(&socket, &template(env.engine).dir.path().join("postgres"));
        Self { dir, bin_dir, child: None, log: env.log_file("postgres"), namespace: None }
    }

    /// The cluster's files.
    pub fn data(&self) -> PathBuf {
        self.dir.path().join("data")
    }

    /// A folder that the server may write into, outside of its data.
    pub fn folder(&self, name: &str) -> PathBuf {
        let folder = self.dir.path().join(name);
        std::fs::create_dir_all(&folder).unwrap();
        own(&folder, &self.data());
        folder
    }

    /// Its socket.
    pub fn socket(&self) -> PathBuf {
        self.dir.path().join(format!("s/.s.PGSQL.{PORT}"))
    }

    fn running(&self) -> Running {
        Running { socket_dir: self.dir.path().join("s"), port: PORT }
    }

    pub fn url(&self, role: &str) -> String {
        self.url_of(role, DATABASE)
    }

    pub fn url_of(&self, role: &str, database: &str) -> String {
        self.running().url(role, database)
    }

    /// The variables that name several servers, for every role; `writes` and `reads` are parameters of the URLs.
    pub fn variables_of(clusters: &[&Self], writes: &str, reads: &str) -> Vec<(String, String)> {
        let hosts: Vec<String> = clusters.iter().map(|one| one.dir.path().join("s").display().to_string()).collect();
        variables(|role| {
            let parameters = if role == READER { reads } else { writes };
            format!("host={} port={PORT} user={role} dbname={DATABASE} {parameters}", hosts.join(","))
        })
    }

    /// SQL as the owner.
    pub fn sql(&self) -> Sql {
        Sql::connect(&self.url(OWNER))
    }

    /// SQL as the superuser.
    pub fn superuser(&self) -> Sql {
        Sql::connect(&self.url(SUPERUSER))
    }

    /// The variables that point the program at it.
    pub fn variables(&self) -> Vec<(String, String)> {
        variables(|role| self.url(role))
    }

    /// The same; writers and readers are led through a proxy.
    pub fn variables_through(&self, proxy: &Proxy) -> Vec<(String, String)> {
        variables(|role| if role == OWNER { self.url(role) } else { proxy.url(role, DATABASE) })
    }

    /// The same; every role is led through it.
    pub fn variables_all_through(proxy: &Proxy) -> Vec<(String, String)> {
        variables(|role| proxy.url(role, DATABASE))
    }

    /// Starts the server that does not run, with these variables, and waits until it answers.
    pub fn run(&mut self, variables: &[(String, String)]) {
        assert!(self.child.is_none(), "it runs already");
        let (data, log) = (self.data(), File::options().create(true).append(true).open(&self.log).unwrap());
        let mut command = self.postmaster();
        command.envs(variables.iter().cloned()).arg("-D").arg(&data);
        if self.namespace.is_some() {
            command.args(["-c", "listen_addresses=*", "-c", "max_connections=300"]);
        }
        let socket = format!("unix_socket_directories={}", self.dir.path().join("s").display());
        command.args(["-c", &socket, "-c", "logging_collector=off", "-c", &format!("port={PORT}")]);
        // The postmaster of a test that is interrupted must not outlive it for long; Ctrl-C does not reach it.
        command.process_group(0).stdout(log.try_clone().unwrap()).stderr(log);
        // A crashed predecessor's processes may still hold the cluster for a moment.
        let child = until("the server starts", || {
            let mut child = command.spawn().unwrap();
            until("the server answers, or has ended", || {
                if child.try_wait().unwrap().is_some() {
                    return Some(false);
                }
                Sql::try_connect(&self.url(SUPERUSER)).ok().map(|_| true)
            })
            .then_some(child)
        });
        self.child = Some(child);
    }

    fn postmaster(&self) -> Command {
        let Some(namespace) = &self.namespace else { return self.command("postgres") };
        // Only root may go there, and a server will not run as root.
        let owner = std::fs::metadata(self.dir.path().join("s")).unwrap();
        let mut command = Self::plain("nsenter".as_ref());
        command.arg(format!("--net={}", namespace.display()));
        command.arg(format!("--setgid={}", owner.gid())).arg(format!("--setuid={}", owner.uid()));
        command.arg("--").arg(self.bin_dir.join("postgres"));
        command
    }

    fn plain(program: &Path) -> Command {
        let mut command = Command::new(program);
        command.env_clear().env("LC_ALL", "C").env("PATH", std::env::var_os("PATH").unwrap_or_default());
        command.current_dir("/").stdin(Stdio::null());
        command
    }

    /// A program of the installation, run as the account that owns the cluster.
    fn command(&self, program: &str) -> Command {
        let mut command = Self::plain(&self.bin_dir.join(program));
        if geteuid().is_root() {
            let owner = std::fs::metadata(self.dir.path().join("s")).unwrap();
            command.uid(owner.uid()).gid(owner.gid());
        }
        command
    }

    /// The postmaster, then its children as they are now.
    fn processes(&self) -> Vec<Pid> {
        let postmaster = Pid::from_raw(i32::try_from(self.child.as_ref().expect("it runs").id()).unwrap());
        std::iter::once(postmaster).chain(children(postmaster)).collect()
    }

    /// SIGKILL for the postmaster only: its backends notice by themselves.
    pub fn kill_postmaster(&mut self) {
        self.signal_first(Signal::SIGKILL);
        self.child.take().unwrap().wait().unwrap();
    }

    /// SIGKILL for everything, as when the machine goes.
    pub fn crash(&mut self) {
        let Some(mut child) = self.child.take() else { return };
        let postmaster = Pid::from_raw(i32::try_from(child.id()).unwrap());
        // Stopped first, so that it neither forks nor reaps.
        freeze(postmaster);
        let backends = children(postmaster);
        let _ = kill(postmaster, Signal::SIGKILL);
        child.wait().unwrap();
        for backend in backends {
            let _ = kill(backend, Signal::SIGKILL);
        }
    }

    /// SIGSTOP for everything: connections stay open and nobody answers.
    pub fn freeze(&self) {
        // The postmaster first, so that it forks no more.
        let postmaster = self.processes()[0];
        freeze(postmaster);
        children(postmaster).into_iter().for_each(freeze);
    }

    /// SIGCONT for everything.
    pub fn thaw(&self) {
        for pid in self.processes().into_iter().rev() {
            let _ = kill(pid, Signal::SIGCONT);
        }
    }

    fn signal_first(&self, signal: Signal) {
        kill(self.processes()[0], signal).unwrap();
    }

    /// Stops it in order and starts it again with these faults.
    pub fn run_with(&mut self, shim: &Shim) {
        self.stop();
        self.run(&shim.variables());
    }

    /// A fast shutdown.
    pub fn stop(&mut self) {
        self.signal_first(Signal::SIGINT);
        let mut child = self.child.take().unwrap();
        until("the server stops", || child.try_wait().unwrap());
    }

    /// A base backup of this server as a server of its own, which does not run yet.
    pub fn base_backup(&self, env: &Env, options: &[&str]) -> Self {
        let backup = Self::stopped(env);
        backup.folder_of_account();
        self.tool("pg_basebackup", |command| {
            command.arg("-D").arg(backup.data()).args(["-X", "stream", "-c", "fast"]).args(options);
        });
        std::fs::set_permissions(backup.data(), Permissions::from_mode(0o700)).unwrap();
        backup
    }

    /// Runs a program of the installation that connects to this server as its superuser.
    pub fn tool(&self, program: &str, arguments: impl FnOnce(&mut Command)) {
        let mut command = self.command(program);
        command.arg("-h").arg(self.dir.path().join("s")).args(["-p", &PORT.to_string(), "-U", SUPERUSER]);
        arguments(&mut command);
        let output = command.output().unwrap();
        assert!(output.status.success(), "{program}: {}", String::from_utf8_lossy(&output.stderr));
    }

    /// A standby of this server, streaming from it and caught up.
    pub fn standby(&self, env: &Env) -> Self {
        let mut standby = self.base_backup(env, &["-R"]);
        standby.run(&[]);
        until("the standby streams", || {
            let streaming = "SELECT count(*) FROM pg_stat_replication WHERE state = 'streaming'";
            (self.superuser().one::<i64>(streaming) > 0).then_some(())
        });
        standby
    }

    /// A server that is gone comes back at its place as a standby of another.
    pub fn rejoin(&mut self, primary: &Self) {
        self.crash();
        std::fs::remove_dir_all(self.data()).unwrap();
        self.folder_of_account();
        primary.tool("pg_basebackup", |command| {
            command.arg("-D").arg(self.data()).args(["-X", "stream", "-c", "fast", "-R"]);
        });
        std::fs::set_permissions(self.data(), Permissions::from_mode(0o700)).unwrap();
        self.run(&[]);
    }

    /// From now on no COMMIT is answered before a standby has it.
    pub fn replicate_synchronously(&self) {
        let server = self.superuser();
        server.run("ALTER SYSTEM SET synchronous_standby_names = '*'");
        server.run("SELECT pg_reload_conf()");
        let sync = "SELECT count(*) FROM pg_stat_replication WHERE sync_state = 'sync'";
        until("a standby is synchronous", || (server.one::<i64>(sync) > 0).then_some(()));
    }

    /// `pg_basebackup` makes its folder itself, as the account.
    fn folder_of_account(&self) {
        std::fs::create_dir(self.data()).unwrap();
        own(&self.data(), &self.dir.path().join("s"));
    }

    /// Waits until the standby has replayed everything that this server has written.
    pub fn caught_up(&self, standby: &Self) {
        let written: String = self.superuser().one("SELECT pg_current_wal_flush_lsn()::text");
        let replayed = format!("SELECT pg_last_wal_replay_lsn() >= '{written}'::pg_lsn");
        until("the standby has caught up", || standby.superuser().one::<bool>(&replayed).then_some(()));
    }

    /// A standby becomes a primary.
    pub fn promote(&self) {
        assert!(self.superuser().one::<bool>("SELECT pg_promote()"), "it is not promoted");
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        if self.child.is_some() {
            self.thaw();
        }
        self.crash();
    }
}

/// The processes whose parent this is.
fn children(parent: Pid) -> Vec<Pid> {
    let parent = parent.to_string();
    let entries = std::fs::read_dir("/proc").unwrap().flatten();
    let pids = entries.filter_map(|entry| entry.file_name().to_str()?.parse::<i32>().ok());
    pids.filter(|pid| {
        let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
        // The name, in parentheses, may hold blanks; then come the state and the parent.
        stat.rsplit(") ").next().and_then(|rest| rest.split(' ').nth(1)) == Some(&parent)
    })
    .map(Pid::from_raw)
    .collect()
}
