//! PostgreSQL's own programs (`pg_basebackup`, `pg_dump` and others), pointed at a database by variables: a password must not stand in
//! an argument, where everybody on the machine reads it.

use std::path::{Path, PathBuf};
use std::process::{Output, Stdio};

use tokio::process::Command;
use tokio_postgres::config::Host;

use super::StorageError;
use super::embedded::{self, Installation};
use crate::config::{ConnectionUrl, RootCert};

/// Variables of this process that a program may see. Those of libpq would lead it elsewhere.
const KEPT: [&str; 5] = ["PATH", "HOME", "TMPDIR", "LD_LIBRARY_PATH", "DYLD_LIBRARY_PATH"];
/// How many letters of what a program complained of are told.
const COMPLAINT_MAX: usize = 2000;

/// The installation of a major version on this machine, or a newer one where `or_newer`.
pub async fn installation(major: u32, or_newer: bool) -> Result<Installation, StorageError> {
    let found = embedded::installations().await;
    let newer = || found.iter().filter(|one| or_newer && one.major > major).min_by_key(|one| one.major);
    embedded::pick(&found, Some(major), true).or_else(newer).cloned().ok_or_else(|| {
        let majors: Vec<String> = found.iter().map(|one| one.major.to_string()).collect();
        let there = if majors.is_empty() { "none".to_owned() } else { majors.join(", ") };
        StorageError::fatal(format!(
            "the programs of PostgreSQL {major}{} are needed and not on this machine (there: {there}); install them (Debian, \
             Ubuntu: apt-get install postgresql-{major})",
            if or_newer { " or later" } else { "" }
        ))
    })
}

/// Has the kernel kill a program when the thread that began it ends (util-linux).
const SETPRIV: &str = "setpriv";

/// A program that is killed with us, and asks nobody for a password. One that a command runs is killed by the kernel too, so that it does
/// not go on where the command was killed itself. (The main thread lasts as long as the process; others may not.)
pub fn program(path: &Path) -> Command {
    let is_main = std::thread::current().name() == Some("main");
    let setpriv = if cfg!(target_os = "linux") && is_main { on_path(SETPRIV) } else { None };
    let mut command = match setpriv {
        Some(setpriv) => {
            let mut command = Command::new(setpriv);
            command.args(["--pdeathsig", "KILL", "--"]).arg(path);
            command
        }
        None => Command::new(path),
    };
    command.env_clear().env("LC_ALL", "C").stdin(Stdio::null()).kill_on_drop(true);
    for name in KEPT {
        if let Some(value) = std::env::var_os(name) {
            command.env(name, value);
        }
    }
    command
}

/// The same, led to a database.
pub fn connected(path: &Path, url: &ConnectionUrl) -> Command {
    let mut command = program(path);
    let server = &url.server;
    let hosts: Vec<String> = server
        .get_hosts()
        .iter()
        .map(|host| match host {
            Host::Tcp(name) => name.clone(),
            Host::Unix(folder) => folder.to_string_lossy().into_owned(),
        })
        .collect();
    let ports: Vec<String> = server.get_ports().iter().map(u16::to_string).collect();
    let addresses: Vec<String> = server.get_hostaddrs().iter().map(ToString::to_string).collect();
    for (name, list) in [("PGHOST", hosts), ("PGPORT", ports), ("PGHOSTADDR", addresses)] {
        if !list.is_empty() {
            command.env(name, list.join(","));
        }
    }
    if let Some(target) = url.target {
        command.env("PGTARGETSESSIONATTRS", target.as_str());
    }
    if let Some(time) = server.get_connect_timeout() {
        command.env("PGCONNECT_TIMEOUT", time.as_secs().to_string());
    }
    if let Some(user) = server.get_user() {
        command.env("PGUSER", user);
    }
    if let Some(database) = server.get_dbname() {
        command.env("PGDATABASE", database);
    }
    if let Some(password) = server.get_password() {
        command.env("PGPASSWORD", String::from_utf8_lossy(password).as_ref());
    }
    if !url.is_local() {
        command.env("PGSSLMODE", url.tls.mode.as_str());
    }
    match &url.tls.root {
        RootCert::Unset => {}
        RootCert::System => {
            command.env("PGSSLROOTCERT", "system");
        }
        RootCert::File(path) => {
            command.env("PGSSLROOTCERT", path);
        }
    }
    if let Some((chain, key)) = &url.tls.identity {
        command.env("PGSSLCERT", chain).env("PGSSLKEY", key);
    }
    command
}

/// Runs it to its end; what it complains of is the error.
pub async fn run(mut command: Command) -> Result<(), StorageError> {
    let name = name(&command);
    let output = command.output().await.map_err(|error| cannot_run(&name, &error))?;
    judge(&name, &output)
}

/// Runs two at once, the second on what the first writes. What either complains of is the error.
pub async fn piped(mut from: Command, mut to: Command) -> Result<(), StorageError> {
    let name = name(&from);
    let fail = |error: std::io::Error| cannot_run(&name, &error);
    let mut first = from.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().map_err(fail)?;
    if let Some(written) = first.stdout.take() {
        to.stdin(TryInto::<Stdio>::try_into(written).map_err(fail)?);
    }
    let (first, second) = tokio::join!(first.wait_with_output(), run(to));
    let first = judge(&name, &first.map_err(fail)?);
    match (first, second) {
        // One of them was left alone by the other, and complains of that.
        (Err(first), Err(second)) => Err(StorageError::fatal(format!("{second}; {first}"))),
        (first, second) => first.and(second),
    }
}

fn on_path(program: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH")?;
    std::env::split_paths(&path).map(|folder| folder.join(program)).find(|file| file.is_file())
}

fn name(command: &Command) -> String {
    let command = command.as_std();
    let is_bound = Path::new(command.get_program()).ends_with(SETPRIV);
    let own = if is_bound { command.get_args().nth(3) } else { None };
    own.unwrap_or(command.get_program()).to_string_lossy().into_owned()
}

fn cannot_run(name: &str, error: &std::io::Error) -> StorageError {
    StorageError::fatal(format!("cannot run {name}: {error}"))
}

fn judge(name: &str, output: &Output) -> Result<(), StorageError> {
    if output.status.success() {
        return Ok(());
    }
    let said = String::from_utf8_lossy(&output.stderr);
    let said = said.trim();
    let skipped = said.chars().count().saturating_sub(COMPLAINT_MAX);
    let end: String = said.chars().skip(skipped).collect();
    Err(StorageError::fatal(format!("{name} failed ({}): {end}", output.status)))
}
