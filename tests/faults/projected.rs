//! The event processor, and a rebuild, killed at each step of what they do (scenario 22): nothing is left out, nothing done twice.

use nix::sys::signal::Signal;
use serde_json::json;

use crate::env::{Env, TestResult, until};
use crate::postgres::Sql;
use crate::process::{Running, Tidegate};
use crate::samples::array;
use crate::scenario;
use crate::scenario::Scenario;

pub const SCENARIOS: &[Scenario] =
    &[scenario!(s22_projections_killed_at_each_step), scenario!(s22_rebuilds_killed_at_each_step)];

/// Deployments that each step sends something of.
const DEPLOYMENTS: usize = 20;

/// Who dies.
#[derive(Debug, Clone, Copy)]
enum Victim {
    Tidegate,
    /// The session in which it works.
    Session,
}

fn rows(sql: &Sql) -> Vec<String> {
    sql.column("SELECT (to_jsonb(d))::text FROM deployments d ORDER BY 1")
}

/// An event of each deployment: its start, and then how the round before ended.
fn send(tidegate: &Tidegate, round: usize) {
    let at = jiff::Timestamp::now() - jiff::SignedDuration::from_secs(3600 - 60 * i64::try_from(round).unwrap());
    let event = |n: usize| {
        let kind = ["started", "succeeded", "failed", "rolled_back"][(n + round) % 4];
        let payload = json!({ "deployment_id": format!("d-{n}"), "service": "s", "version": format!("{round}") });
        json!({ "event_type": format!("deployment.{kind}"), "source_module": "ci", "timestamp": at.to_string(), "payload": payload }).to_string()
    };
    tidegate.client.events(array((0..DEPLOYMENTS).map(event))).accepted(DEPLOYMENTS as u64, 0);
}

fn passed(sql: &Sql, events: i64) {
    let passed = "SELECT coalesce(max(committed), 0)::bigint FROM projection_offsets WHERE projection = 'deployments'";
    until("the processor has passed all", || (sql.one::<i64>(passed) == events).then_some(()));
    until("its queue is empty", || (sql.count("projection_queue") == 0).then_some(()));
}

/// The session that waits for what `holder` holds.
fn waits(sql: &Sql, holder: &Sql) -> i32 {
    let pid: i32 = holder.one("SELECT pg_backend_pid()");
    let blocked = format!(
        "SELECT pid FROM pg_stat_activity WHERE {pid} = ANY (pg_blocking_pids(pid)) AND datname = current_database()"
    );
    until("somebody waits for it", || sql.column::<i32>(&blocked).pop())
}

fn s22_projections_killed_at_each_step(env: &Env) -> TestResult {
    let mut tidegate = env.serve();
    let sql = env.sql();
    send(&tidegate, 0);
    let mut events = i64::try_from(DEPLOYMENTS)?;
    passed(&sql, events);
    // Each lets it come as far as it can: to its projection, where it is, its rows, and the queue after COMMIT.
    let steps = [
        "SELECT FROM projections WHERE name = 'deployments' FOR UPDATE",
        "SELECT FROM projection_offsets WHERE projection = 'deployments' FOR UPDATE",
        "SELECT FROM deployments WHERE deployment_id = 'd-7' FOR UPDATE",
        "LOCK TABLE projection_queue IN SHARE MODE",
    ];
    let mut round = 0;
    for step in steps {
        for victim in [Victim::Tidegate, Victim::Session] {
            round += 1;
            let is_queue = step.contains("projection_queue");
            let holder = env.sql();
            if is_queue {
                // The sequencer puts into it what comes now; the processor takes it out, and waits.
                holder.run("BEGIN; LOCK TABLE projections IN EXCLUSIVE MODE");
                send(&tidegate, round);
                waits(&sql, &holder);
                holder.run(&format!("COMMIT; BEGIN; {step}"));
            } else {
                holder.run(&format!("BEGIN; {step}"));
                send(&tidegate, round);
            }
            events += i64::try_from(DEPLOYMENTS)?;
            let before = rows(&sql);
            let pid = waits(&sql, &holder);
            match victim {
                Victim::Tidegate => {
                    tidegate.kill();
                    // Its session ends with it, once it is no longer waited for.
                    holder.run("ROLLBACK");
                    tidegate = env.serve();
                }
                Victim::Session => {
                    sql.run(&format!("SELECT pg_terminate_backend({pid})"));
                    let gone = format!("SELECT count(*) FROM pg_stat_activity WHERE pid = {pid}");
                    until("the session has ended", || (sql.one::<i64>(&gone) == 0).then_some(()));
                    if !is_queue {
                        assert_eq!(rows(&sql), before, "{step}: what was not committed is not there");
                    }
                    holder.run("ROLLBACK");
                }
            }
            passed(&sql, events);
            let told: i64 = sql.one(&format!("SELECT count(*) FROM deployments WHERE version = '{round}'"));
            assert_eq!(told, i64::try_from(DEPLOYMENTS)?, "{step} {victim:?}");
        }
    }
    let live = rows(&sql);
    let rebuilt = env.cli(&["rebuild", "deployments", "--json"]).json();
    assert_eq!((&rebuilt["differing"], rows(&sql)), (&json!(0), live), "{rebuilt}");
    Ok(())
}

fn s22_rebuilds_killed_at_each_step(env: &Env) -> TestResult {
    let tidegate = env.serve();
    let sql = env.sql();
    for round in 0..3 {
        send(&tidegate, round);
    }
    passed(&sql, 3 * i64::try_from(DEPLOYMENTS)?);
    let right = rows(&sql);
    sql.run("UPDATE deployments SET version = 'wrong' WHERE deployment_id IN ('d-3', 'd-9')");
    let wrong = rows(&sql);
    // Before it takes over, and while it does.
    let steps = [
        "SELECT FROM projections WHERE name = 'deployments' FOR UPDATE",
        "SELECT FROM deployments WHERE deployment_id = 'd-9' FOR UPDATE",
        "SELECT FROM projection_offsets WHERE projection = 'deployments' FOR UPDATE",
    ];
    for step in steps {
        let holder = env.sql();
        holder.run(&format!("BEGIN; {step}"));
        let running = Running::start(env, &env.variables(), &["rebuild", "deployments"]);
        waits(&sql, &holder);
        running.signal(Signal::SIGKILL);
        drop(running);
        holder.run("ROLLBACK");
        let sessions = "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND query LIKE '%pg_temp%' \
                        AND pid <> pg_backend_pid()";
        until("its session has ended", || (sql.one::<i64>(sessions) == 0).then_some(()));
        let now = rows(&sql);
        // It may have got as far as COMMIT when it was let go: then it has done all of it.
        assert!(now == wrong || now == right, "{step}");
        sql.run("UPDATE deployments SET version = 'wrong' WHERE deployment_id IN ('d-3', 'd-9')");
    }
    let rebuilt = env.cli(&["rebuild", "deployments", "--json"]).json();
    assert_eq!((&rebuilt["differing"], rows(&sql)), (&json!(2), right), "{rebuilt}");
    let left: Vec<String> =
        sql.column("SELECT relname::text FROM pg_class WHERE relname = 'deployments' AND relpersistence = 't'");
    assert_eq!(left, Vec::<String>::new());
    Ok(())
}
