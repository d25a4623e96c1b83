//! rsyslog: omfwd over TCP, and omhttp where the machine's rsyslog has it.

use std::fs::OpenOptions;
use std::io::Write as _;
use std::path::{Path, PathBuf};

use crate::Trial;
use crate::agent::{Agent, command, debian, without_debian};
use crate::env::{Env, TestResult, until};
use crate::page::configuration;
use crate::stage::Stage;

pub const TRIALS: &[Trial] = &[
    Trial { name: "rsyslog_omfwd", run: omfwd, missing: || without_debian("sbin/rsyslogd") },
    Trial { name: "rsyslog_omhttp", run: omhttp, missing: without_omhttp },
];

/// Lines of a round.
pub const COUNT: i32 = 500;

/// Where its modules are.
pub fn modules() -> PathBuf {
    let machine = std::fs::read_dir(debian("lib")).into_iter().flatten().flatten();
    let folders = machine.map(|folder| folder.path().join("rsyslog"));
    folders.filter(|folder| folder.is_dir()).last().unwrap_or_else(|| debian("lib/rsyslog"))
}

fn without_omhttp() -> Option<String> {
    let is_there = modules().join("omhttp.so").exists();
    without_debian("sbin/rsyslogd").or_else(|| {
        (!is_there)
            .then(|| "Debian 12 builds rsyslog without omhttp: its vendor's package rsyslog-omhttp has it".into())
    })
}

/// rsyslog at work, on lines of a file.
pub struct Rsyslog {
    agent: Agent,
    lines: PathBuf,
    written: i32,
}

impl Rsyslog {
    /// Starts it with a configuration of its page behind an input, `/var/log/app.log` in the page.
    pub fn start(stage: &Stage<'_>, page: &str, name: &str, more: &[(&str, &str)]) -> Self {
        let env = stage.env;
        let [lines, work] = ["app.log", "rsyslog"].map(|name| env.path().join(name));
        std::fs::create_dir(&work).unwrap();
        std::fs::write(&lines, "").unwrap();
        let path = lines.display().to_string();
        let mut replaced = vec![("/var/log/app.log", path.as_str())];
        replaced.extend_from_slice(more);
        let config = configuration(page, name, stage.address(), stage.key(), &replaced);
        let own = format!("global(workDirectory=\"{}\")\n", work.display());
        std::fs::write(env.path().join("rsyslog.conf"), own + &config).unwrap();
        let mut command = command(env, debian("sbin/rsyslogd"));
        command.args(["-n", "-f", "rsyslog.conf", "-i"]).arg(env.path().join("rsyslog.pid")).arg("-M").arg(modules());
        Self { agent: Agent::start(env, "rsyslog", command), lines, written: 0 }
    }

    /// Writes the next lines, which have numbers.
    pub fn writes(&mut self) {
        append(&self.lines, self.written..self.written + COUNT);
        self.written += COUNT;
    }

    /// Waits until it has noticed that it cannot send.
    pub fn is_suspended(&self) {
        let said = ["cannot connect to", "suspending ourselfs"];
        until("rsyslog notices that it cannot send", || {
            said.iter().any(|said| self.agent.logged().contains(said)).then_some(())
        });
    }

    pub fn written(&self) -> i32 {
        self.written
    }

    pub fn stop(self) {
        self.agent.stop();
    }
}

/// Lines with these numbers.
pub fn append(path: &Path, numbers: std::ops::Range<i32>) {
    let lines: String = numbers.map(|n| format!("line {n}: größer \"than\" that\n")).collect();
    OpenOptions::new().append(true).create(true).open(path).unwrap().write_all(lines.as_bytes()).unwrap();
}

/// The numbers of what is stored, wherever the text of the line is.
pub const NUMBERS: &str = "SELECT substring(payload::text FROM 'line ([0-9]+): größer')::int FROM events";

/// Three rounds: as it is, with Tidegate restarted, with PostgreSQL restarted.
pub fn rounds(stage: &mut Stage<'_>, rsyslog: &mut Rsyslog) {
    rsyslog.writes();
    stage.reaches("lines", "SELECT count(*) FROM events", rsyslog.written().into());

    stage.goes_away();
    rsyslog.writes();
    rsyslog.is_suspended();
    stage.comes_back();
    stage.reaches("lines", "SELECT count(*) FROM events", rsyslog.written().into());

    stage.database_goes_away();
    rsyslog.writes();
    stage.spools();
    stage.database_comes_back();
    stage.reaches("lines", "SELECT count(*) FROM events", rsyslog.written().into());
    stage.is_whole("lines", NUMBERS, rsyslog.written());
    stage.is_well();
}

fn omfwd(env: &Env) -> TestResult {
    let mut stage = Stage::with_syslog(env);
    let port = stage.syslog_port();
    let more = [("syslog.example", "127.0.0.1"), ("\"6514\"", &format!("\"{port}\""))];
    let mut rsyslog = Rsyslog::start(&stage, "syslog", "rsyslog.conf", &more);
    rounds(&mut stage, &mut rsyslog);
    let sql = stage.sql();
    let whole = "SELECT count(*) FROM events WHERE payload::text LIKE '%größer \\\\\"than\\\\\" that\"%'";
    assert_eq!(sql.one::<i64>(whole), i64::from(rsyslog.written()), "the newline of a frame is no part of the line");
    assert_eq!(sql.column::<String>("SELECT DISTINCT severity FROM events"), ["warning"]);
    assert_eq!(sql.column::<String>("SELECT DISTINCT source_module FROM events"), ["app"]);
    rsyslog.stop();
    Ok(())
}

fn omhttp(env: &Env) -> TestResult {
    let mut stage = Stage::new(env);
    let port = stage.address().rsplit_once(':').unwrap().1.to_owned();
    let more = [("server=\"tidegate.example\"", "server=\"127.0.0.1\""), ("\"8080\"", &format!("\"{port}\""))];
    let mut rsyslog = Rsyslog::start(&stage, "syslog", "rsyslog-omhttp.conf", &more);
    rounds(&mut stage, &mut rsyslog);
    rsyslog.stop();
    Ok(())
}
