//! Ingestion, late data, recompression, retention and refreshes at the same time: nothing deadlocks, nothing that was
//! acknowledged is missing, and nobody who writes to the open chunk waits for more than a second.
//!
//! The server says so itself: with `deadlock_timeout` at a second it logs every wait for a lock that takes longer
//! (`log_lock_waits`). Only waits of the lifecycle's own sessions, and those on chunks that are closed, are allowed.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, AtomicI64, Ordering::SeqCst};

use tidegate::storage::embedded::OWNER;

use crate::client::Client;
use crate::env::{Engine, Env, Test, TestResult, until};
use crate::postgres::{SUPERUSER, Sql};
use crate::samples::{array, event_with, hours_from_now, seconds_from_now};
use crate::tests;

pub const TESTS: &[Test] = tests!(nothing_deadlocks_and_nothing_is_missing);

/// Rounds of the lifecycle job and of the refreshes, each with something to do, during which everything else goes on.
const ROUNDS: usize = 12;
/// Events of a request; enough to go directly into the columnstore.
const EVENTS: usize = 60;
/// Hours back that late events reach, one after another; retention is a day.
const LATE_HOURS: i64 = 20;
/// Late requests that there must be at least, each of another hour.
const LATE_MIN: i64 = 12;

#[derive(Default)]
struct Shared {
    stop: AtomicBool,
    number: AtomicI64,
    /// How many late requests were begun.
    late: AtomicI64,
}

/// Stops the others when a round fails, so that the test ends.
struct Stop<'a>(&'a Shared);

impl Drop for Stop<'_> {
    fn drop(&mut self) {
        self.0.stop.store(true, SeqCst);
    }
}

/// Sends requests until it is told to stop; by the hour of their events, how many events were acknowledged.
fn sender<'scope, 'env>(
    scope: &'scope std::thread::Scope<'scope, 'env>,
    shared: &'env Shared,
    client: Client,
    hours_back: impl Fn() -> i64 + Send + 'scope,
) -> std::thread::ScopedJoinHandle<'scope, BTreeMap<String, usize>> {
    scope.spawn(move || {
        let mut acknowledged = BTreeMap::new();
        while !shared.stop.load(SeqCst) {
            let number = shared.number.fetch_add(1, SeqCst);
            let back = hours_back();
            let at = if back == 0 { seconds_from_now(0) } else { hours_from_now(-back) };
            // Few and many, so that chunks hold both forms.
            let count = if number % 3 == 0 { 7 } else { EVENTS };
            let items = (0..count).map(|n| {
                let members =
                    format!(r#""timestamp":"{at}","asset_id":"a{}","correlation_id":"{ID}{:02}""#, n % 5, n % 20);
                event_with(usize::try_from(number).unwrap(), &members)
            });
            let body = array(items);
            let key = format!("k{number}");
            // Late requests may find their chunk locked, and be asked to come again.
            until("the request is acknowledged", || {
                let answer = client.keyed(&key, &body);
                assert!(matches!(answer.status, 200 | 409 | 503), "{}: {}", answer.status, answer.text());
                (answer.status == 200).then_some(())
            });
            *acknowledged.entry(at[..13].to_owned()).or_default() += count;
        }
        acknowledged
    })
}

const ID: &str = "00000000-0000-4000-8000-0000000000";

fn nothing_deadlocks_and_nothing_is_missing(env: &Env) -> TestResult {
    let settings = ["retention.events=1d", "retention.metrics=2d", "chunk_interval=1h", "spool.enabled=false"];
    let superuser = env.sql_as(SUPERUSER);
    let database = env.database();
    superuser.run(&format!(
        "ALTER DATABASE {database} SET deadlock_timeout = '1s'; ALTER DATABASE {database} SET log_lock_waits = on"
    ));
    let tidegate = env.serve_with(&settings);
    let sql = env.sql();
    // Chunks of every hour of the day, so that the job has many to put in order, and expired ones to drop: of before the
    // retention was this short.
    let old = old_chunks(env, &sql);
    let shared = Shared::default();
    let tenants: Vec<Client> = (0..3).map(|n| tidegate.with(&env.key(&format!("t{n}"), "ingest"))).collect();
    let log = Log::from_here(superuser);
    a_wait_is_logged(env, &log);
    let logged_before = log.waits().len();
    let acknowledged: Vec<BTreeMap<String, usize>> = std::thread::scope(|scope| {
        let live = tenants.iter().map(|client| sender(scope, &shared, client.clone(), || 0)).collect::<Vec<_>>();
        let hours_back = || 2 + shared.late.fetch_add(1, SeqCst) % LATE_HOURS;
        let late = sender(scope, &shared, tenants[0].clone(), hours_back);
        let refresher = refresher(scope, env, &shared);
        let stop = Stop(&shared);
        for round in 0..ROUNDS {
            old.add(&sql, round);
            crate::lifecycle::run_once(env, &settings);
        }
        until("late events are of many hours", || (shared.late.load(SeqCst) >= LATE_MIN).then_some(()));
        drop(stop);
        refresher.join().unwrap();
        live.into_iter().chain([late]).map(|sender| sender.join().unwrap()).collect()
    });
    until("what is expired is gone", || {
        crate::lifecycle::run_once(env, &settings);
        (sql.one::<i64>("SELECT count(*) FROM events WHERE tenant_id = 'old'") == 0).then_some(())
    });
    let mut expected: BTreeMap<String, i64> = BTreeMap::new();
    for (hour, count) in acknowledged.iter().flatten() {
        *expected.entry(hour.clone()).or_default() += i64::try_from(*count)?;
    }
    let rows = sql.rows(
        "SELECT to_char(timestamp, 'YYYY-MM-DD\"T\"HH24'), count(*) FROM events WHERE tenant_id LIKE 't_' GROUP BY 1",
        &[],
    );
    let stored: BTreeMap<String, i64> = rows.iter().map(|row| (row.get(0), row.get(1))).collect();
    assert_eq!(stored, expected, "hour by hour, what was acknowledged");
    assert!(expected.len() > 10, "late events were of many hours: {expected:?}");
    let deadlocks: i64 = sql.one("SELECT deadlocks FROM pg_stat_database WHERE datname = current_database()");
    assert_eq!(deadlocks, 0);
    assert!(!tidegate.log().contains("40P01"), "{}", tidegate.log());
    // A session that waited for more than a second did not write to the open chunk.
    let open = open_relations(env, &sql);
    for wait in &log.waits()[logged_before..] {
        let closed =
            wait.contains("on relation ") && !open.iter().any(|oid| wait.contains(&format!("relation {oid} ")));
        assert!(closed, "{wait}");
    }
    if env.engine == Engine::Timescale {
        let disordered = "SELECT count(*) FROM timescaledb_information.chunks WHERE hypertable_name = 'events' \
             AND _timescaledb_functions.chunk_status(to_regclass(format('%I.%I', chunk_schema, chunk_name))) & 10 <> 0 \
             AND range_end < now() - INTERVAL '62 minutes'";
        until("every closed chunk is in order", || {
            crate::lifecycle::run_once(env, &settings);
            (sql.one::<i64>(disordered) == 0).then_some(())
        });
    }
    Ok(())
}

/// Rows that have expired before they are there: a slice of time a round.
struct Old {
    engine: Engine,
    /// Of the first round, as SQL; each goes one further back. Asked for once: no two rounds are of the same.
    hour: String,
}

fn old_chunks(env: &Env, sql: &Sql) -> Old {
    let from = hours_from_now(-40);
    let old = Old { engine: env.engine, hour: format!("date_trunc('hour', TIMESTAMPTZ '{from}', 'UTC')") };
    for round in 0..3 {
        old.add(sql, 100 + round);
    }
    old
}

impl Old {
    fn add(&self, sql: &Sql, round: usize) {
        let hour = format!("({} - {round} * INTERVAL '1 hour')", self.hour);
        let rows = format!(
            "INSERT INTO events SELECT gen_random_uuid(), {hour} + n * INTERVAL '1 second', 'old', 'default', 's', 't', 1, \
             'info', 'p', 'a', NULL, NULL, NULL, '{{}}', NULL, 1, n, now() FROM generate_series(1, 300) n"
        );
        match self.engine {
            Engine::Timescale => sql.run(&rows),
            // All at once: the program drops partitions that have expired whenever it comes to it.
            Engine::Postgres => sql.alter(&format!(
                "DO $$ BEGIN EXECUTE format('CREATE TABLE events_p%s (LIKE events INCLUDING ALL)', \
                 to_char({hour}, 'YYYYMMDD_HH24MISS')); \
                 EXECUTE format('ALTER TABLE events ATTACH PARTITION events_p%s FOR VALUES FROM (%L) TO (%L)', \
                 to_char({hour}, 'YYYYMMDD_HH24MISS'), {hour}, {hour} + INTERVAL '1 hour'); END $$; {rows}"
            )),
        }
    }
}

/// What the server's workers, or Tidegate in their place, do every half minute, done all the time.
fn refresher<'scope, 'env>(
    scope: &'scope std::thread::Scope<'scope, 'env>,
    env: &'env Env,
    shared: &'env Shared,
) -> std::thread::ScopedJoinHandle<'scope, usize> {
    let url = env.url(OWNER);
    let timescale = env.engine == Engine::Timescale;
    scope.spawn(move || {
        let sql = Sql::connect(&url);
        let mut refreshed = 0;
        while !shared.stop.load(SeqCst) {
            for level in ["event_counts_hourly", "correlation_groups"] {
                if timescale {
                    let call = format!(
                        "CALL public.refresh_continuous_aggregate('{level}', now() - INTERVAL '22 hours', now() - INTERVAL '1 hour')"
                    );
                    // Two at once for one level are refused; the server's own comes first.
                    if let Err(code) = sql.try_run(&call) {
                        assert!(code == "55P03" || code == "55000" || code == "25P02", "{code}");
                    }
                } else {
                    sql.count(level);
                }
                refreshed += 1;
            }
        }
        refreshed
    })
}

/// Relations that live traffic writes to, by oid: of chunks that have not closed, with what is in the columnstore.
fn open_relations(env: &Env, sql: &Sql) -> Vec<u32> {
    match env.engine {
        Engine::Timescale => sql.column(
            "SELECT r.oid FROM timescaledb_information.chunks i \
             CROSS JOIN LATERAL (SELECT format('%I.%I', i.chunk_schema, i.chunk_name)::regclass::oid AS relid) c \
             LEFT JOIN _timescaledb_catalog.compression_settings s ON s.relid = c.relid \
             CROSS JOIN LATERAL (VALUES (c.relid), (s.compress_relid::oid), ('tidegate.events'::regclass::oid)) r (oid) \
             WHERE i.hypertable_name = 'events' AND i.range_end > now() - INTERVAL '1 hour' AND r.oid IS NOT NULL",
        ),
        Engine::Postgres => sql.column(
            "SELECT c.oid FROM pg_class c WHERE c.oid = 'tidegate.events'::regclass OR c.oid IN ( \
             SELECT inhrelid FROM pg_inherits JOIN pg_class p ON p.oid = inhrelid WHERE inhparent = 'tidegate.events'::regclass \
             AND p.relname >= to_char(now() - INTERVAL '2 hours', '\"events_p\"YYYYMMDD_HH24MISS'))",
        ),
    }
}

/// Proves that a writer that waits would be seen.
fn a_wait_is_logged(env: &Env, log: &Log) {
    let (holder, before) = (env.sql(), log.waits().len());
    holder.run("CREATE TABLE tidegate.probe ()");
    holder.run("BEGIN; LOCK TABLE tidegate.probe IN ACCESS EXCLUSIVE MODE");
    std::thread::scope(|scope| {
        let url = env.url(OWNER);
        scope.spawn(move || Sql::connect(&url).run("SELECT FROM tidegate.probe /* in the place of a COPY */"));
        until("the wait is in the log", || (log.waits().len() > before).then_some(()));
        holder.run("COMMIT");
    });
    holder.run("DROP TABLE tidegate.probe");
}

/// The server's log, from the file on that it writes to now: it may begin others at any time.
struct Log {
    superuser: Sql,
    first: String,
}

impl Log {
    fn from_here(superuser: Sql) -> Self {
        let first = superuser.one("SELECT pg_current_logfile()");
        Self { superuser, first }
    }

    /// What it says of writers that waited for a lock for more than a second: no other test asks for that.
    fn waits(&self) -> Vec<String> {
        // As bytes: what is being written may end within a character.
        let files = format!(
            "SELECT pg_read_binary_file('log/' || name) FROM pg_ls_logdir() \
             WHERE name LIKE 'postgresql-%' AND 'log/' || name >= '{}' ORDER BY name",
            self.first
        );
        let files: Vec<Vec<u8>> = self.superuser.column(&files);
        let log = String::from_utf8_lossy(&files.concat()).into_owned();
        let lines: Vec<&str> = log.lines().collect();
        let pid = |line: &str| line.split('[').nth(1).and_then(|rest| rest.split(']').next()).map(str::to_owned);
        let waits = lines.iter().enumerate().filter(|(_, line)| line.contains(" still waiting for "));
        waits
            .filter(|(at, line)| {
                // What it was doing is said a few lines later, after who holds the lock.
                let statement =
                    lines[*at..].iter().find(|after| after.contains("STATEMENT:") && pid(after) == pid(line));
                statement.is_some_and(|statement| statement.contains("COPY"))
            })
            .map(|(_, line)| (*line).to_owned())
            .collect()
    }
}
