//! syslog-ng over TCP and over HTTP (as HEC), and util-linux's logger over TCP and UDP.

use std::path::Path;
use std::process::Stdio;

use crate::Trial;
use crate::agent::{Agent, command, debian, without, without_debian};
use crate::env::{Env, TestResult};
use crate::page::configuration;
use crate::rsyslog::{COUNT, NUMBERS, append};
use crate::stage::Stage;

pub const TRIALS: &[Trial] = &[
    Trial { name: "syslog_ng", run: syslog_ng_by_tcp, missing: || without_debian("sbin/syslog-ng") },
    Trial { name: "syslog_ng_hec", run: syslog_ng_by_hec, missing: || without_debian("lib/syslog-ng/3.38/libhttp.so") },
    Trial { name: "logger_tcp", run: |env| logger(env, "tcp"), missing: || without(Path::new("logger")) },
    Trial { name: "logger_octets", run: |env| logger(env, "octets"), missing: || without(Path::new("logger")) },
    Trial { name: "logger_udp", run: |env| logger(env, "udp"), missing: || without(Path::new("logger")) },
];

/// The folder of the modules of a package, whose name is the version.
fn modules() -> std::path::PathBuf {
    let versions = std::fs::read_dir(debian("lib/syslog-ng")).into_iter().flatten().flatten();
    versions.map(|version| version.path()).find(|path| path.is_dir()).expect("modules of syslog-ng")
}

/// syslog-ng at work, on lines of a file.
pub fn syslog_ng(stage: &Stage<'_>, page: &str, name: &str, more: &[(&str, &str)]) -> Agent {
    let env = stage.env;
    let lines = env.path().join("app.log").display().to_string();
    std::fs::write(&lines, "").unwrap();
    let mut replaced = vec![("/var/log/app.log", lines.as_str())];
    replaced.extend_from_slice(more);
    let config = configuration(page, name, stage.address(), stage.key(), &replaced);
    std::fs::write(env.path().join("syslog-ng.conf"), config).unwrap();
    let mut command = command(env, debian("sbin/syslog-ng"));
    command.args(["-F", "-e", "--no-caps", "-f", "syslog-ng.conf"]);
    // Relative ones would be in the package's own folder.
    for (flag, name) in [("-R", "syslog-ng.persist"), ("-c", "syslog-ng.ctl"), ("-p", "syslog-ng.pid")] {
        command.arg(flag).arg(env.path().join(name));
    }
    command.arg(format!("--module-path={}", modules().display()));
    Agent::start(env, "syslog-ng", command)
}

/// Three rounds: as it is, with Tidegate restarted, with PostgreSQL restarted.
pub fn rounds(stage: &mut Stage<'_>, agent: &mut Agent, notices: &str) {
    let path = stage.env.path().join("app.log");
    let lines = "SELECT count(*) FROM events";
    append(&path, 0..COUNT);
    stage.reaches("lines", lines, COUNT.into());

    stage.goes_away();
    append(&path, COUNT..2 * COUNT);
    agent.logs(notices, "\n");
    stage.comes_back();
    stage.reaches("lines", lines, (2 * COUNT).into());

    stage.database_goes_away();
    append(&path, 2 * COUNT..3 * COUNT);
    stage.spools();
    stage.database_comes_back();
    stage.reaches("lines", lines, (3 * COUNT).into());
    stage.is_whole("lines", NUMBERS, 3 * COUNT);
    stage.is_well();
}

fn syslog_ng_by_tcp(env: &Env) -> TestResult {
    let mut stage = Stage::with_syslog(env);
    let port = stage.syslog_port();
    let more = [("syslog.example", "127.0.0.1"), ("6514", port.as_str())];
    let mut agent = syslog_ng(&stage, "syslog", "syslog-ng.conf", &more);
    rounds(&mut stage, &mut agent, "Syslog connection failed");
    assert_eq!(stage.sql().column::<String>("SELECT DISTINCT severity FROM events"), ["warning"]);
    agent.stop();
    Ok(())
}

fn syslog_ng_by_hec(env: &Env) -> TestResult {
    let mut stage = Stage::new(env);
    let mut agent = syslog_ng(&stage, "splunk", "syslog-ng.conf", &[]);
    rounds(&mut stage, &mut agent, "error sending HTTP request");
    agent.stop();
    Ok(())
}

/// Lines on its standard input; it repeats nothing, so that nothing is restarted while it sends.
fn logger(env: &Env, kind: &str) -> TestResult {
    let mut stage = Stage::with_syslog(env);
    let port = stage.syslog_port();
    let path = env.path().join("lines");
    // Datagrams that come at once must find room in the socket's buffer, which drops in silence.
    let count = if kind == "udp" { COUNT / 5 } else { COUNT };
    append(&path, 0..count);
    let name = format!("logger-{kind}");
    let line = configuration("syslog", &name, "", "", &[("syslog.example", "127.0.0.1"), ("6514", &port)]);
    let mut command = command(env, "sh");
    command.args(["-c", &line]).stdin(Stdio::null());
    std::fs::rename(&path, env.path().join("app.log"))?;
    Agent::start(env, "logger", command).finish();
    stage.reaches("lines", "SELECT count(*) FROM events", count.into());
    stage.goes_away();
    stage.comes_back();
    stage.is_whole("lines", NUMBERS, count);
    stage.is_well();
    Ok(())
}
