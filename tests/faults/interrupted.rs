//! Installing and migrating is killed at any statement (scenario 47). A trigger in the database counts statements that change the
//! schema, and ends or holds the session that comes to the one that was asked for.

use nix::sys::signal::Signal;
use std::sync::Arc;
use tidegate::storage::migrations::MIGRATIONS;

use crate::env::{Env, TestResult, until};
use crate::invariants::Scene;
use crate::postgres::{SUPERUSER, Sql};
use crate::process::{Finished, Running, Tidegate};
use crate::scenario;
use crate::scenario::Scenario;
use crate::told::Told;
use crate::{old, shape};

pub const SCENARIOS: &[Scenario] = &[
    scenario!(s47_ended_at_every_statement_of_every_migration).slow(),
    scenario!(s47_ended_at_every_statement_around_the_migrations).slow(),
    scenario!(s47_killed_while_the_server_is_at_a_statement),
    scenario!(s47_the_lock_of_installers_is_lost),
    scenario!(s47_a_start_whose_session_is_ended_goes_on),
];

/// The last migration of a database that is to be brought up to date.
const OLD: i32 = 15;

/// What a session meets that comes to a statement.
#[derive(Debug, Clone, Copy)]
enum Harm {
    /// Its session is ended.
    End,
    /// It waits until the gate is opened.
    Wait,
}

/// The trigger that does it.
struct Trap {
    sql: Sql,
}

impl Trap {
    fn new(env: &Env) -> Self {
        let sql = env.sql_as(SUPERUSER);
        // A migration's transaction is told by its lock_timeout.
        sql.run(
            "CREATE TABLE public.harm_at (migration integer, statement integer, harm text);
             CREATE TABLE public.harm_gate ();
             CREATE FUNCTION public.harm() RETURNS event_trigger LANGUAGE plpgsql SECURITY DEFINER AS $harm$
             DECLARE
                 inside    CONSTANT boolean := current_setting('lock_timeout') = '2s';
                 counter   CONSTANT text := CASE WHEN inside THEN 'harm.inside' ELSE 'harm.outside' END;
                 statement CONSTANT integer := coalesce(nullif(current_setting(counter, true), ''), '0')::integer + 1;
                 migration integer := 0;
                 wanted    public.harm_at;
             BEGIN
                 PERFORM set_config(counter, statement::text, inside);
                 SELECT * INTO wanted FROM public.harm_at h WHERE (h.migration > 0) = inside;
                 IF NOT FOUND THEN
                     RETURN;
                 END IF;
                 IF inside THEN
                     SELECT coalesce(max(m.version), 0) + 1 INTO migration FROM tidegate.schema_migrations m;
                 END IF;
                 IF (migration, statement) < (wanted.migration, wanted.statement) THEN
                     RETURN;
                 END IF;
                 IF wanted.harm = 'Wait' THEN
                     PERFORM set_config('lock_timeout', '0', true);
                     LOCK TABLE public.harm_gate IN ACCESS SHARE MODE;
                 ELSE
                     PERFORM pg_terminate_backend(pg_backend_pid());
                     RAISE EXCEPTION 'it was not ended';
                 END IF;
             END $harm$;
             CREATE EVENT TRIGGER harm ON ddl_command_end EXECUTE FUNCTION public.harm()",
        );
        Self { sql }
    }

    /// A process that comes to this statement of this migration, or beyond it, meets it; 0: to one that is of none.
    fn set(&self, migration: i32, statement: i32, harm: Harm) {
        self.clear();
        self.sql.run(&format!("INSERT INTO public.harm_at VALUES ({migration}, {statement}, '{harm:?}')"));
    }

    fn clear(&self) {
        self.sql.run("DELETE FROM public.harm_at");
    }

    /// What is to wait waits from now on.
    fn shut(&self) {
        self.sql.run("BEGIN; LOCK TABLE public.harm_gate IN ACCESS EXCLUSIVE MODE");
    }

    fn open(&self) {
        self.sql.run("ROLLBACK");
    }
}

/// Waits until somebody waits for a lock on this table.
fn waited_for(sql: &Sql, table: &str) {
    let sessions = format!(
        "SELECT count(*) FROM pg_locks WHERE NOT granted AND relation = '{table}'::regclass \
         AND database = (SELECT oid FROM pg_database WHERE datname = current_database())"
    );
    until("somebody waits for the table", || (sql.one::<i64>(&sessions) > 0).then_some(()));
}

fn migrate(env: &Env) -> Finished {
    env.cli(&["migrate"])
}

/// The schema is what an installation makes that nobody disturbs, and a process serves on it.
fn assert_whole(env: &Env, name: &str) {
    let check = env.cli(&["migrate", "--check"]);
    assert_eq!(check.code, Some(0), "{check:?}");
    let sql = env.sql();
    let made = shape::of(&sql);
    sql.run("DELETE FROM events WHERE source_module = 'module'");
    let told = Arc::new(Told::default());
    let tidegate = env.serve();
    told.both(&tidegate.client, 200);
    Scene::new(env, &tidegate, &sql, &told).assert_invariants(name);
    drop((tidegate, sql));
    env.begin_again();
    assert_eq!(migrate(env).code, Some(0));
    shape::assert_alike(&shape::of(&env.sql()), &made);
}

fn s47_ended_at_every_statement_of_every_migration(env: &Env) -> TestResult {
    env.begin_empty();
    let trap = Trap::new(env);
    let applied = || -> i32 { trap.sql.one("SELECT coalesce(max(version), 0) FROM tidegate.schema_migrations") };
    let (mut migration, mut statement, mut ended) = (1, 1, 0);
    let mut before = None;
    loop {
        trap.set(migration, statement, Harm::End);
        let finished = migrate(env);
        if finished.code == Some(0) {
            break;
        }
        ended += 1;
        assert!(finished.code == Some(1) && finished.stderr.contains("migration"), "{finished:?}");
        match applied() + 1 {
            // The one before had no statement of that number, and this was the first of the next one.
            next if next > migration => (migration, statement) = (next, 2),
            _ => statement += 1,
        }
        if migration == 5 && before.is_none() {
            let sql = env.sql();
            old::put_events(&sql, env.engine);
            before = Some(old::digest(&sql));
        }
    }
    println!("{}: {ended} migrations were ended, each at another statement", env.engine.as_str());
    assert!(ended > MIGRATIONS.len() * 3, "{ended}");
    assert_eq!(Some(old::digest(&env.sql())), before, "every row is there, and as it was");
    assert_whole(env, "s47_ended_at_every_statement_of_every_migration");
    Ok(())
}

fn s47_ended_at_every_statement_around_the_migrations(env: &Env) -> TestResult {
    env.begin_empty();
    let trap = Trap::new(env);
    // A new database, then one that is up to date, for which every start does the same.
    for round in ["new", "up to date"] {
        let mut ended = 0;
        loop {
            trap.set(0, ended + 1, Harm::End);
            let finished = migrate(env);
            if finished.code == Some(0) {
                break;
            }
            assert_eq!(finished.code, Some(1), "{finished:?}");
            ended += 1;
        }
        println!("{}: {round}: {ended} installations were ended", env.engine.as_str());
        assert!(ended > 3, "{ended}");
    }
    trap.clear();
    assert_whole(env, "s47_ended_at_every_statement_around_the_migrations");
    Ok(())
}

/// An older database with events; returns their digest.
fn old_database(env: &Env) -> String {
    env.begin_empty();
    let sql = env.sql();
    old::install(&sql, env.engine, OLD);
    old::put_events(&sql, env.engine);
    old::digest(&sql)
}

/// The process is gone at once; what its server process is at goes on, and the next one waits for that.
fn s47_killed_while_the_server_is_at_a_statement(env: &Env) -> TestResult {
    let before = old_database(env);
    let (trap, gate) = (Trap::new(env), Trap { sql: env.sql_as(SUPERUSER) });
    gate.shut();
    trap.set(OLD + 1, 1, Harm::Wait);
    let first = Running::start(env, &env.variables(), &["migrate"]);
    waited_for(&trap.sql, "public.harm_gate");
    first.signal(Signal::SIGKILL);
    assert_eq!(first.finish().code, None);
    let second = Running::start(env, &env.variables(), &["migrate"]);
    waited_for(&trap.sql, "tidegate.schema_migrations");
    trap.clear();
    gate.open();
    let finished = second.finish();
    assert_eq!(finished.code, Some(0), "{finished:?}");
    assert_eq!(old::digest(&env.sql()), before, "every row is there, and as it was");
    assert_whole(env, "s47_killed_while_the_server_is_at_a_statement");
    Ok(())
}

fn s47_the_lock_of_installers_is_lost(env: &Env) -> TestResult {
    let before = old_database(env);
    let (trap, gate) = (Trap::new(env), Trap { sql: env.sql_as(SUPERUSER) });
    gate.shut();
    trap.set(OLD + 2, 1, Harm::Wait);
    let migrating = Running::start(env, &env.variables(), &["migrate"]);
    waited_for(&trap.sql, "public.harm_gate");
    let ended: bool = trap.sql.one(
        "SELECT pg_terminate_backend(pid) FROM pg_locks WHERE relation = 'tidegate.lock_install'::regclass \
         AND database = (SELECT oid FROM pg_database WHERE datname = current_database()) AND mode = 'ExclusiveLock' AND granted",
    );
    assert!(ended);
    let finished = migrating.finish();
    assert!(finished.code == Some(1) && finished.stderr.contains("installers' lock was lost"), "{finished:?}");
    trap.clear();
    gate.open();
    let again = migrate(env);
    assert_eq!(again.code, Some(0), "{again:?}");
    assert_eq!(old::digest(&env.sql()), before, "every row is there, and as it was");
    assert_whole(env, "s47_the_lock_of_installers_is_lost");
    Ok(())
}

fn s47_a_start_whose_session_is_ended_goes_on(env: &Env) -> TestResult {
    let before = old_database(env);
    let trap = Trap::new(env);
    trap.set(OLD + 1, 1, Harm::End);
    let mut tidegate = Tidegate::listening(env, &env.variables(), &[]);
    tidegate.client.get("/readyz").expect(503);
    let log = tidegate.log();
    assert!(log.contains(&format!("migration {}", OLD + 1)), "{log}");
    trap.clear();
    tidegate.ready(env);
    assert_eq!(old::digest(&env.sql()), before, "every row is there, and as it was");
    drop(tidegate);
    assert_whole(env, "s47_a_start_whose_session_is_ended_goes_on");
    Ok(())
}
