//! A worker that has a standby, and dies: Citus is told where it goes on, and Tidegate is told by Citus.

use std::fs::{File, Permissions};
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::os::unix::process::CommandExt;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};

use nix::sys::signal::{Signal, kill};
use nix::unistd::{Pid, geteuid};
use tempfile::TempDir;
use tidegate::storage::embedded::{DATABASE, Running};

use super::cluster::{Cluster, Node, tenants};
use super::load::{Load, assert_kept};
use crate::env::{Env, TestResult, until};
use crate::postgres::{SUPERUSER, Sql, temp_dir};
use crate::private::own;

/// A standby of a node, streaming from it.
struct Standby {
    running: Running,
    child: Child,
    _dir: TempDir,
}

impl Standby {
    fn of(env: &Env, node: &Node) -> Self {
        let (dir, primary) = (temp_dir(), node.running());
        let [data, socket] = ["data", "s"].map(|name| dir.path().join(name));
        let like = node.dir.path().join("postgres").canonicalize().unwrap();
        for folder in [&data, &socket] {
            std::fs::create_dir(folder).unwrap();
            own(folder, &like);
        }
        std::fs::set_permissions(&data, Permissions::from_mode(0o700)).unwrap();
        let bin_dir = node.server.as_ref().expect("it runs").bin_dir().to_owned();
        let command = |program: &str| as_owner(bin_dir.join(program), &data);
        let copied = command("pg_basebackup")
            .arg("-h")
            .arg(&primary.socket_dir)
            .args(["-p", &primary.port.to_string(), "-U", SUPERUSER, "-X", "stream", "-c", "fast", "-R", "-D"])
            .arg(&data)
            .output()
            .unwrap();
        assert!(copied.status.success(), "{}", String::from_utf8_lossy(&copied.stderr));
        let log = File::create(env.log_file("standby")).unwrap();
        let mut postgres = command("postgres");
        for (name, value) in [
            ("unix_socket_directories", socket.display().to_string()),
            ("citus.local_hostname", socket.display().to_string()),
            ("port", primary.port.to_string()),
            ("logging_collector", "off".to_owned()),
        ] {
            postgres.arg("-c").arg(format!("{name}={value}"));
        }
        let child = postgres.arg("-D").arg(&data).process_group(0).stdout(log.try_clone().unwrap()).stderr(log);
        let child = child.spawn().unwrap();
        let standby = Self { running: Running { socket_dir: socket, port: primary.port }, child, _dir: dir };
        until("the standby streams", || {
            let streams = "SELECT count(*) FROM pg_stat_replication WHERE state = 'streaming'";
            (node.superuser().one::<i64>(streams) > 0).then_some(())
        });
        standby
    }

    fn superuser(&self) -> Sql {
        Sql::connect(&self.running.url(SUPERUSER, DATABASE))
    }
}

impl Drop for Standby {
    fn drop(&mut self) {
        let _ = kill(Pid::from_raw(i32::try_from(self.child.id()).unwrap()), Signal::SIGQUIT);
        let _ = self.child.wait();
    }
}

/// A program of the installation, run as the account that owns `data`.
fn as_owner(program: PathBuf, data: &std::path::Path) -> Command {
    let mut command = Command::new(program);
    command.env_clear().env("LC_ALL", "C").env("PATH", std::env::var_os("PATH").unwrap_or_default());
    command.current_dir("/").stdin(Stdio::null());
    if geteuid().is_root() {
        let owner = std::fs::metadata(data).unwrap();
        command.uid(owner.uid()).gid(owner.gid());
    }
    command
}

pub fn a_worker_fails_over_to_its_standby(env: &Env) -> TestResult {
    let mut cluster = Cluster::start(2);
    let tidegate = cluster.serve(env);
    let tenants = tenants(&cluster, env, &tidegate);
    let load = Load::start(tenants.iter().map(|(_name, client)| client));
    load.flows(5);
    // What is acknowledged from here on is at the standby as well.
    let standby = Standby::of(env, &cluster.workers[0]);
    let worker = cluster.workers[0].superuser();
    worker.run("ALTER SYSTEM SET synchronous_standby_names = '*'");
    worker.run("SELECT pg_reload_conf()");
    until("the standby is synchronous", || {
        let sync = "SELECT count(*) FROM pg_stat_replication WHERE sync_state = 'sync'";
        (worker.one::<i64>(sync) > 0).then_some(())
    });
    drop(worker);
    load.flows(10);
    let dead = cluster.workers[0].running();
    cluster.workers[0].kill();
    // The other one's tenants go on; this one's are taken into the spool.
    load.flows(5);
    let new = standby.superuser();
    assert!(new.one::<bool>("SELECT pg_promote()"), "it is not promoted");
    // It is to have no standby itself before anything is committed there.
    new.run("ALTER SYSTEM RESET synchronous_standby_names");
    new.run("SELECT pg_reload_conf()");
    let superuser = cluster.coordinator.superuser();
    let node: i32 =
        superuser.one(&format!("SELECT nodeid FROM pg_dist_node WHERE nodename = '{}'", dead.socket_dir.display()));
    let Running { socket_dir, port } = &standby.running;
    cluster.tell(
        "Citus is told where the worker is now",
        &format!("SELECT citus_update_node({node}, '{}', {port})", socket_dir.display()),
    );
    let followed = format!("to=\"{}:{port}\"", socket_dir.display());
    until("it is followed", || tidegate.log().contains(&followed).then_some(()));
    load.flows(20);
    let acknowledged = load.finish();
    assert_kept(&cluster, &[&tidegate], &tenants, &acknowledged);
    drop(tidegate);
    drop(new);
    drop(standby);
    cluster.stop();
    Ok(())
}
