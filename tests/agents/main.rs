//! Real agents against the real program, from what they say they sent to the rows: each with the configuration of its
//! page in docs/agents, on a PostgreSQL of its own, and both Tidegate and PostgreSQL are restarted while it sends.
//!
//! `scripts/install-agents` puts them into target/agents; an agent that is not there is skipped by name. `make
//! test-agents` does both. What needs no agent, bodies as sources and documentation of agents have them, is in
//! tests/behaviour.

#![allow(clippy::unwrap_used, reason = "a test may stop at the first surprise")]

mod agent;
mod collectd;
mod curl;
mod elastic;
mod gauges;
mod influxdb;
mod k6;
mod loki;
mod opentelemetry;
mod page;
mod prometheus;
mod rsyslog;
mod splunk;
mod stage;
mod syslog;

#[path = "../harness/mod.rs"]
mod harness;

// Of the fault suite: a PostgreSQL that a trial may stop and start.
#[allow(dead_code, reason = "a restart is all that is needed here")]
#[path = "../faults/cluster.rs"]
mod cluster;
#[allow(dead_code, reason = "what a cluster may be started with")]
#[path = "../faults/shim.rs"]
mod shim;

use std::sync::Arc;
use std::time::Instant;

use env::{Engine, Env, TestResult};
use harness::{
    authority, books, cell_sql, client, env, installations, logins, memory_disk, postgres, private, process, proxy,
    samples, shared,
};
use libtest_mimic::{Arguments, Failed};
use postgres::Servers;

/// What one agent does.
pub struct Trial {
    pub name: &'static str,
    pub run: fn(&Env) -> TestResult,
    /// What would have to be installed for it.
    pub missing: fn() -> Option<String>,
}

const TRIALS: [&[Trial]; 11] = [
    curl::TRIALS,
    prometheus::TRIALS,
    collectd::TRIALS,
    opentelemetry::TRIALS,
    influxdb::TRIALS,
    k6::TRIALS,
    rsyslog::TRIALS,
    syslog::TRIALS,
    elastic::TRIALS,
    loki::TRIALS,
    splunk::TRIALS,
];

/// What every machine has, and takes seconds: part of `make test`. The others are left to `make test-agents`.
const QUICK: [&str; 4] = ["curl", "logger_tcp", "logger_octets", "logger_udp"];

fn main() {
    let mut arguments = Arguments::from_args();
    arguments.test_threads.get_or_insert(2);
    let servers = Arc::new(Servers::new());
    // What agents send is the same whatever the engine: the one that a new installation would take.
    let place =
        servers.own(Engine::Timescale).or_else(|| servers.own(Engine::Postgres)).expect("a PostgreSQL to test on");
    let mut trials = Vec::new();
    for trial in TRIALS.into_iter().flatten() {
        let name = format!("agents::{}", trial.name);
        // Left out instead of marked: marked ones are run on demand, and these cannot be.
        match (trial.missing)() {
            Some(missing) => println!("skipped: {name}: {missing}"),
            None => {
                let is_slow = !QUICK.contains(&trial.name);
                if is_slow && !arguments.include_ignored && !arguments.ignored {
                    println!("skipped: {name}: slow, `make test-agents` runs it");
                }
                trials.push(runnable(name, place, trial, &servers).with_ignored_flag(is_slow));
            }
        }
    }
    let conclusion = libtest_mimic::run(&arguments, trials);
    let is_well = servers.stop();
    cluster::remove_templates();
    shim::remove();
    if !is_well && !conclusion.has_failed() {
        // Every trial passed, and what they had in common did not.
        std::process::exit(101);
    }
    conclusion.exit();
}

fn runnable(name: String, place: usize, trial: &'static Trial, servers: &Arc<Servers>) -> libtest_mimic::Trial {
    let servers = Arc::clone(servers);
    let label = name.clone();
    libtest_mimic::Trial::test(name, move || {
        let started = Instant::now();
        let result = Env::run(place, &label, trial.run, servers).map_err(Failed::from);
        println!("{label}: {:.1} s", started.elapsed().as_secs_f64());
        result
    })
}
