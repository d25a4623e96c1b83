//! Behaviour tests: the real binary on a real PostgreSQL, every test on both engines, and what a version of the database can
//! change on each installation that the machine has.
//!
//! Each test becomes a trial for each place, `pg15.20-ts2.28.3::timescale::group::name` and `pg15.20::postgres::group::name`,
//! and gets a database of its own on a private server that all tests of the place share, or an organization of its own in a program
//! that many of them share. Tests wait for signals, never for time; what has no signal is polled until a generous deadline.

#![allow(clippy::unwrap_used, reason = "a test may stop at the first surprise")]

mod abuse;
mod admin_described;
mod admin_http;
mod aggregate_lines;
mod aggregates;
mod aggregates_real;
mod audit;
mod backups;
mod bodies;
mod citus;
mod citus_commands;
mod columnstore;
mod commands;
mod conflicts;
mod connections;
mod console;
mod console_accessible;
mod console_admin;
mod console_events;
mod console_inventory;
mod console_live;
mod console_metrics;
mod console_overview;
mod console_raw;
mod console_storage;
mod console_views;
mod control_rows;
mod correlation_reads;
mod correlations;
mod correlations_kept;
mod correlations_late;
mod correlations_rules;
mod counters;
mod counts;
mod database_tls;
mod dead_letters;
mod definitions;
mod definitions_again;
mod definitions_judged;
mod demo;
mod deploy;
mod described_wrongly;
mod descriptions;
mod dimensions;
mod docs;
mod doctor;
mod engines;
mod epochs;
mod erase;
mod event_lists;
mod every;
mod everything_at_once;
mod exactly_once;
mod examples;
mod exports;
mod exports_beside;
mod faults;
mod floods;
mod forecasts;
mod forms;
mod groups;
mod groups_abuse;
mod groups_at_once;
mod groups_beside;
mod groups_crowded;
mod groups_managed;
mod groups_ordered;
mod groups_shared;
mod groups_sinks;
mod groups_waiting;
mod guarded_reads;
mod h2;
mod history;
mod http;
mod identity;
mod inferred;
mod isolation;
mod isolation_cursors;
mod isolation_things;
mod json;
mod keys;
mod lifecycle;
mod lists;
mod load;
mod masks;
mod masks_changed;
mod metric_pages;
mod metric_reads;
mod metrics;
mod metrics_columnstore;
mod metrics_faults;
mod moves;
mod needs;
mod nodes;
mod nodes_door;
mod nodes_shares;
mod nodes_upgraded;
mod not_json;
mod not_on_citus;
mod numbers;
mod offsets;
mod operation;
mod paging;
mod partitions;
mod payload_index;
mod poison;
mod poolers;
mod projections;
mod protocols;
mod protocols_agents;
mod protocols_bodies;
mod protocols_faults;
mod protocols_grpc;
mod protocols_sent;
mod quarantine;
mod queries;
mod quotas;
mod read_ahead;
mod readers;
mod reads;
mod rebuilds;
mod recovery;
mod related;
mod relied_on;
mod replays;
mod replays_broken;
mod reported;
mod rewritten;
mod roles;
mod rollups;
mod rollups_closing;
mod rollups_kept;
mod rollups_real;
mod schema;
mod schema_contract;
mod schema_expected;
mod schema_verified;
mod secrets;
mod seed_patterns;
mod series;
mod server_sent;
mod sessions;
mod sessions_end;
mod sign_ins;
mod similar;
mod spellings;
mod start;
mod stream_lists;
mod streams;
mod streams_abuse;
mod surroundings;
mod syslog;
mod tenant_readers;
mod tiers;
mod timescale;
mod tls;
mod trends;
mod triggers;
mod upgrade;
mod upgrade_series;
mod upkeep;
mod usage;
mod users;
mod versions;
mod windows;
mod without_database;

#[path = "../harness/mod.rs"]
mod harness;

use std::sync::Arc;

use env::{Env, Test};
use harness::{
    authority, books, cell_sql, chromium, client, copied, derived, described, env, frames, grafana, held,
    installations, logins, memory_disk, old, origin, pgbouncer, postgres, private, process, proxy, refresh, samples,
    secure, shared, tenant_rows, times, traffic, waits, wired,
};
use libtest_mimic::{Arguments, Failed, Trial};
use postgres::Servers;
use times::Times;

/// Tests under one name.
struct Group {
    name: &'static str,
    tests: &'static [Test],
    /// Whether a version of the database can change what they show: they run on further installations, too.
    by_version: bool,
    /// Whether they take a minute or so each: `make test` leaves them to `make test-faults`.
    slow: bool,
}

const fn group(name: &'static str, tests: &'static [Test]) -> Group {
    Group { name, tests, by_version: false, slow: false }
}

const fn by_version(name: &'static str, tests: &'static [Test]) -> Group {
    Group { name, tests, by_version: true, slow: false }
}

const fn slow(name: &'static str, tests: &'static [Test]) -> Group {
    Group { name, tests, by_version: false, slow: true }
}

/// Groups of which many trials wait for jobs of the program, with little to do meanwhile.
const WAITING: [&str; 6] = ["rollups", "correlations", "lifecycle", "inferred", "series", "counts"];

fn main() {
    let mut arguments = Arguments::from_args();
    let cores = std::thread::available_parallelism().map_or(2, usize::from);
    // More than there are cores: every other trial waits.
    arguments.test_threads.get_or_insert(cores.max(2) * 3);
    let servers = Arc::new(Servers::new());
    let times = Arc::new(Times::default());
    for (name, why) in servers.missing() {
        println!("skipped: {name}: {why}");
    }
    let everything = installations::everything();
    let (mut waiting, mut others) = (Vec::new(), Vec::new());
    for (place, found) in servers.places().iter().enumerate() {
        let what = match (found.whole, found.citus) {
            (true, _) => "everything",
            (false, true) => "nothing, unless TIDEGATE_TEST_EVERYTHING is set",
            (false, false) => "what a version can change",
        };
        println!("{}: {what}, {}", found.name(), found.installation.bin_dir.display());
        let runs = |group: &&Group| found.whole || (group.by_version && !found.citus);
        for group in every::GROUPS.iter().filter(runs) {
            for test in group.tests.iter().filter(|test| test.engines.contains(&found.engine)) {
                let name = format!("{}::{}::{}", found.name(), group.name, test.name);
                if let Some(why) = found.citus.then(|| not_on_citus::why(group.name, test.name)).flatten() {
                    println!("skipped: {name}: {why}");
                    continue;
                }
                // Left out instead of marked: marked ones are run on demand, and these cannot be.
                if let Some(missing) = (test.missing)() {
                    println!("skipped: {name}: {missing}");
                    continue;
                }
                let slow = group.slow && !everything;
                if slow && !arguments.include_ignored && !arguments.ignored {
                    println!("skipped: {name}: slow, `make test-faults` runs it");
                }
                let trials = if WAITING.contains(&group.name) { &mut waiting } else { &mut others };
                trials.push(trial(name, place, test, &servers, &times).with_ignored_flag(slow));
            }
        }
    }
    let conclusion = libtest_mimic::run(&arguments, in_turn(waiting, others));
    let is_well = servers.stop();
    times.print();
    if !is_well && !conclusion.has_failed() {
        // Every trial passed, and what they had in common did not.
        std::process::exit(101);
    }
    conclusion.exit();
}

/// One of the first after each of the others, as long as there are: what some leave of the processors is there for the others, and the
/// long ones do not begin last.
fn in_turn(first: Vec<Trial>, others: Vec<Trial>) -> Vec<Trial> {
    let (mut first, mut others) = (first.into_iter(), others.into_iter());
    let turns = std::iter::from_fn(|| {
        let turn: Vec<Trial> = first.next().into_iter().chain(others.next()).collect();
        (!turn.is_empty()).then_some(turn)
    });
    turns.flatten().collect()
}

fn trial(name: String, place: usize, test: &'static Test, servers: &Arc<Servers>, times: &Arc<Times>) -> Trial {
    let (servers, times) = (Arc::clone(servers), Arc::clone(times));
    let label = name.clone();
    Trial::test(name, move || times.of(&label, || Env::run(place, &label, test.run, servers)).map_err(Failed::from))
}
