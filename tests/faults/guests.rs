//! What somebody can do who may read the database: everything that there is to try, under load (scenario 38).

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::SeqCst};

use tidegate::storage::embedded::READER;

use crate::env::{Env, TestResult};
use crate::logins::{HARMLESS, Login, refused, try_refused};
use crate::postgres::Sql;
use crate::scenario;
use crate::scenario::Scenario;
use crate::stage::Stage;

pub const SCENARIOS: &[Scenario] = &[scenario!(s38_whatever_a_guest_does)];

/// How often the whole list is gone through.
const ROUNDS: usize = 3;

/// Whatever a guest could have changed: roles, relations and their rights, jobs, large objects, settings.
const STATE: &str = "SELECT md5(concat_ws('|', \
    (SELECT string_agg(concat_ws(' ', rolname, rolsuper, rolcreaterole, rolcanlogin, rolconnlimit), ',' ORDER BY rolname) \
     FROM pg_roles WHERE rolname LIKE 'tidegate%'), \
    (SELECT string_agg(concat_ws(' ', oid, relname, relacl), ',' ORDER BY oid) FROM pg_class \
     WHERE relnamespace IN ('tidegate'::regnamespace, 'public'::regnamespace) AND relkind <> 'i' AND NOT relispartition), \
    (SELECT string_agg(concat_ws(' ', oid, proname, proacl), ',' ORDER BY oid) FROM pg_proc \
     WHERE pronamespace IN ('tidegate'::regnamespace, 'public'::regnamespace)), \
    (SELECT count(*) FROM pg_largeobject_metadata), (SELECT count(*) FROM pg_namespace WHERE nspname NOT LIKE 'pg%')))";

/// Sessions of the service that wait for one of others than the service.
const STOPPED: &str = "SELECT coalesce(string_agg(format('%s waits: %s', application_name, query), '; '), '') \
    FROM pg_stat_activity a WHERE datname = current_database() AND application_name LIKE 'tidegate %' AND EXISTS ( \
        SELECT FROM unnest(pg_blocking_pids(a.pid)) b (pid) JOIN pg_stat_activity o USING (pid) \
        WHERE o.application_name NOT LIKE 'tidegate %' AND o.backend_type = 'client backend')";

fn s38_whatever_a_guest_does(env: &Env) -> TestResult {
    let stage = Stage::new(env);
    let tidegate = stage.serve();
    let told = Arc::clone(&stage.told);
    let sql = env.sql();
    // Where everybody may: locks on every name that an earlier version waited for, and on every number that is seen.
    let names = Sql::bare(&env.url(READER));
    for name in
        ["install", "partitions", "refresh", "policies", "extension", "job.lifecycle", "job.touched", "job.inferred"]
    {
        names.run(&format!("SELECT pg_advisory_lock(hashtextextended('tidegate.{name}', 0))"));
    }
    let numbers = Sql::bare(&env.url(READER));
    let copied = "SELECT count(pg_try_advisory_lock((classid::bigint << 32) | objid::bigint)) FROM pg_locks \
                  WHERE locktype = 'advisory' AND pid <> pg_backend_pid() \
                  AND database = (SELECT oid FROM pg_database WHERE datname = current_database())";
    let over = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let (over, told, client) = (&over, &told, &tidegate.client);
        let senders: Vec<_> = (0..3)
            .map(|_| {
                scope.spawn(move || {
                    while !over.load(SeqCst) {
                        let request = told.request(true, 5, 1);
                        told.send(client, &request).expect("an answer").accepted(5, 1);
                    }
                })
            })
            .collect();
        for _ in 0..50 {
            numbers.run(copied);
            assert_eq!(sql.one::<String>(STOPPED), "");
        }
        drop((names, numbers));
        // As a login that people get.
        let login = Login::make(env);
        let guest = login.sql();
        guest.run("SET default_transaction_read_only = off");
        let before: String = sql.one(STATE);
        for _ in 0..ROUNDS {
            for statement in refused(env.engine) {
                assert_eq!(try_refused(&guest, statement), "42501", "{statement}");
            }
            for (statement, _) in HARMLESS {
                guest.run(statement);
            }
            assert_eq!(sql.one::<String>(STOPPED), "");
        }
        assert_eq!(sql.one::<String>(STATE), before, "nothing is another");
        over.store(true, SeqCst);
        senders.into_iter().for_each(|sender| sender.join().expect("nothing but 200"));
    });
    let failing: Vec<String> = sql.column("SELECT concat_ws(' ', job, last_error) FROM job_runs WHERE failures > 0");
    assert!(failing.is_empty(), "{failing:?}");
    stage.told.both(&tidegate.client, 200);
    stage.assert_invariants(&tidegate, "s38_whatever_a_guest_does");
    Ok(())
}
