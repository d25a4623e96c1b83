//! The fault suite: real processes, real faults, and the same invariants at the end of each.
//!
//! The scenarios and their numbers are those of the reliability design (1 to 17, 20, 22, from 27 on); each is one or more trials,
//! `engine::sNN_name`. A run without arguments takes the quick ones, `--include-ignored` all. A fault is one call on a
//! proxy, a process, or the library in `shim.c`, and the test waits for the signal that it took effect.

#![allow(clippy::unwrap_used, reason = "a test may stop at the first surprise")]

mod balancer;
mod cluster;
mod draw;
mod invariants;
mod network;
mod scenario;
mod senders;
mod shim;
mod told;

mod absent;
mod abuse;
mod certificates;
mod clocks;
mod crowds;
mod database;
mod drawn;
mod failover;
mod files;
mod floods;
mod groups;
mod groups_kept;
mod guests;
mod interrupted;
mod inventions;
mod killed;
mod networks;
mod outage;
mod projected;
mod quotas;
mod readers;
mod replays;
mod restored;
mod soak;
mod spool;
mod stage;
mod stop;
mod stopping;
mod streams;
mod tenancy;
mod upgraded;
mod verdicts;

#[path = "../harness/mod.rs"]
mod harness;

use std::sync::Arc;
use std::time::Instant;

use env::{Engine, Env};
use harness::{
    authority, books, cell_sql, client, derived, env, frames, installations, logins, memory_disk, old, postgres,
    private, process, proxy, samples, secure, shape, shared, traffic,
};
use libtest_mimic::{Arguments, Failed, Trial};
use postgres::Servers;
use scenario::Scenario;

fn scenarios() -> impl Iterator<Item = &'static Scenario> {
    let groups = [
        database::SCENARIOS,
        outage::SCENARIOS,
        failover::SCENARIOS,
        spool::SCENARIOS,
        killed::SCENARIOS,
        stopping::SCENARIOS,
        abuse::SCENARIOS,
        floods::SCENARIOS,
        readers::SCENARIOS,
        crowds::SCENARIOS,
        absent::SCENARIOS,
        tenancy::SCENARIOS,
        quotas::SCENARIOS,
        verdicts::SCENARIOS,
        files::SCENARIOS,
        guests::SCENARIOS,
        inventions::SCENARIOS,
        certificates::SCENARIOS,
        interrupted::SCENARIOS,
        upgraded::SCENARIOS,
        restored::SCENARIOS,
        streams::SCENARIOS,
        replays::SCENARIOS,
        groups::SCENARIOS,
        projected::SCENARIOS,
        clocks::SCENARIOS,
        networks::SCENARIOS,
        soak::SCENARIOS,
    ];
    groups.into_iter().flatten()
}

fn main() {
    let mut arguments = Arguments::from_args();
    let cores = std::thread::available_parallelism().map_or(2, usize::from);
    arguments.test_threads.get_or_insert(cores.max(2) * 2);
    let servers = Arc::new(Servers::new());
    let mut trials = Vec::new();
    for engine in Engine::ALL {
        for scenario in scenarios().filter(|scenario| scenario.engines.contains(&engine)) {
            let name = format!("{}::{}", engine.as_str(), scenario.name);
            let own = servers.own(engine).ok_or("TimescaleDB is not installed in this machine's PostgreSQL".to_owned());
            // Left out instead of marked: marked ones are run on demand, and these cannot be.
            let place = match own.and_then(|place| (scenario.missing)().map_or(Ok(place), Err)) {
                Ok(place) => place,
                Err(missing) => {
                    println!("skipped: {name}: {missing}");
                    continue;
                }
            };
            if !scenario.quick && !arguments.include_ignored && !arguments.ignored {
                println!("skipped: {name}: slow, `make test-faults` runs it");
            }
            trials.push(trial(name, place, scenario, &servers).with_ignored_flag(!scenario.quick));
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

fn trial(name: String, place: usize, scenario: &'static Scenario, servers: &Arc<Servers>) -> Trial {
    let servers = Arc::clone(servers);
    let label = name.clone();
    Trial::test(name, move || {
        let started = Instant::now();
        let result = Env::run(place, &label, scenario.run, servers).map_err(Failed::from);
        // `make test` has two minutes for the quick ones; what takes long must be seen.
        println!("{label}: {:.1} s", started.elapsed().as_secs_f64());
        result
    })
}
