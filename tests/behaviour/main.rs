//! Behaviour tests: the real binary on a real PostgreSQL, every test on both engines.
//!
//! Each test becomes two trials, `timescale::group::name` and `postgres::group::name`, and gets a database of its own on
//! a private server that all tests of the engine share. Tests wait for signals, never for time: a child process is
//! ready when it says so, and what has no signal is polled until a generous deadline.

#![allow(clippy::unwrap_used, reason = "a test may stop at the first surprise")]

mod abuse;
mod columnstore;
mod connections;
mod correlation_reads;
mod correlations;
mod correlations_kept;
mod correlations_late;
mod correlations_rules;
mod counts;
mod dead_letters;
mod engines;
mod everything_at_once;
mod exactly_once;
mod faults;
mod floods;
mod forms;
mod h2;
mod http;
mod inferred;
mod keys;
mod lifecycle;
mod load;
mod metric_pages;
mod metric_reads;
mod metrics;
mod metrics_columnstore;
mod metrics_faults;
mod not_json;
mod numbers;
mod operation;
mod paging;
mod partitions;
mod poison;
mod quotas;
mod readers;
mod reads;
mod recovery;
mod related;
mod roles;
mod rollups;
mod rollups_closing;
mod rollups_kept;
mod rollups_real;
mod schema;
mod start;
mod tiers;
mod timescale;
mod tls;
mod upgrade;
mod upkeep;
mod windows;

#[path = "../harness/mod.rs"]
mod harness;

use std::sync::Arc;

use env::{Engine, Env, Test};
use harness::{books, client, derived, env, frames, postgres, process, proxy, refresh, samples, times, traffic};
use libtest_mimic::{Arguments, Failed, Trial};
use postgres::Servers;
use times::Times;

fn groups() -> Vec<(&'static str, &'static [Test])> {
    vec![
        ("forms", forms::TESTS),
        ("numbers", numbers::TESTS),
        ("poison", poison::TESTS),
        ("not_json", not_json::TESTS),
        ("exactly_once", exactly_once::TESTS),
        ("metrics", metrics::TESTS),
        ("metrics", metrics_columnstore::TESTS),
        ("metrics", metrics_faults::TESTS),
        ("reads", reads::TESTS),
        ("windows", windows::TESTS),
        ("counts", counts::TESTS),
        ("related", related::TESTS),
        ("correlation_reads", correlation_reads::TESTS),
        ("metric_reads", metric_reads::TESTS),
        ("metric_pages", metric_pages::TESTS),
        ("dead_letters", dead_letters::TESTS),
        ("keys", keys::TESTS),
        ("connections", connections::TESTS),
        ("quotas", quotas::TESTS),
        ("roles", roles::TESTS),
        ("roles", readers::TESTS),
        ("schema", schema::TESTS),
        ("engines", engines::TESTS),
        ("engines", timescale::TESTS),
        ("engines", partitions::TESTS),
        ("lifecycle", lifecycle::TESTS),
        ("lifecycle", columnstore::TESTS),
        ("lifecycle", upkeep::TESTS),
        ("lifecycle", upkeep::TIMESCALE),
        ("lifecycle", upgrade::TESTS),
        ("lifecycle", tiers::TESTS),
        ("lifecycle", everything_at_once::TESTS),
        ("rowstore", timescale::ROWSTORE),
        ("faults", faults::TESTS),
        ("load", load::TESTS),
        ("rollups", rollups::TESTS),
        ("rollups", rollups_kept::TESTS),
        ("rollups", rollups_kept::POLICIES),
        ("rollups", rollups_closing::TESTS),
        ("rollups", rollups_closing::RACE),
        ("rollups", rollups_real::TESTS),
        ("correlations", correlations::TESTS),
        ("correlations", correlations::REAL),
        ("correlations", correlations_late::TESTS),
        ("correlations", correlations_rules::TESTS),
        ("correlations", correlations_kept::TESTS),
        ("inferred", inferred::TESTS),
        ("http", http::TESTS),
        ("abuse", abuse::TESTS),
        ("floods", floods::TESTS),
        ("h2", h2::TESTS),
        ("tls", tls::TESTS),
        ("paging", paging::TESTS),
        ("recovery", recovery::TESTS),
        ("start", start::TESTS),
        ("operation", operation::TESTS),
    ]
}

fn main() {
    let mut arguments = Arguments::from_args();
    let cores = std::thread::available_parallelism().map_or(2, usize::from);
    // More than there are cores: the tests of rollups wait for jobs that look every half minute.
    arguments.test_threads.get_or_insert(cores.max(2) * 3);
    let servers = Arc::new(Servers::new());
    // Only a server that tries can say whether TimescaleDB works; a listing needs no server.
    let timescale = arguments.list || servers.has_timescaledb();
    let times = Arc::new(Times::default());
    let mut trials = Vec::new();
    for engine in Engine::ALL {
        for (group, tests) in groups() {
            for test in tests.iter().filter(|test| test.engines.contains(&engine)) {
                let name = format!("{}::{group}::{}", engine.as_str(), test.name);
                let absent = "TimescaleDB is not installed in this machine's PostgreSQL";
                let without = (engine == Engine::Timescale && !timescale).then(|| absent.to_owned());
                let missing = without.or_else(test.missing);
                if let Some(what) = &missing {
                    println!("skipped: {name}: {what}");
                }
                trials.push(trial(name, engine, test, &servers, &times).with_ignored_flag(missing.is_some()));
            }
        }
    }
    let conclusion = libtest_mimic::run(&arguments, trials);
    servers.stop();
    times.print();
    conclusion.exit();
}

fn trial(name: String, engine: Engine, test: &'static Test, servers: &Arc<Servers>, times: &Arc<Times>) -> Trial {
    let (servers, times) = (Arc::clone(servers), Arc::clone(times));
    let label = name.clone();
    Trial::test(name, move || times.of(&label, || Env::run(engine, &label, test.run, servers)).map_err(Failed::from))
}
