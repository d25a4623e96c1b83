//! Consumers whose effects are rows of the same database: effect and offset are one transaction. And `tidegate groups`, `sinks`.

use serde_json::{Value, json};

use crate::env::{Env, Test, TestResult, until};
use crate::groups::{NOTHING, filled, make, next, offsets, path, show, take, tell, tell_now};
use crate::logins::as_superuser;
use crate::postgres::{SUPERUSER, Sql};
use crate::process::Finished;
use crate::samples::{array, event_with};
use crate::streams::{node, reaches, send};
use crate::tests;

pub const TESTS: &[Test] = tests!(
    effects_and_offset_are_one_transaction,
    who_took_over_waits_for_an_open_transaction_and_fences_the_next,
    a_lease_is_acknowledged_in_the_transaction_of_its_effects,
    a_lease_that_is_over_in_part_is_over,
    a_sink_may_commit_and_no_more,
    groups_on_the_command_line,
    a_restored_database_acknowledges_nothing_of_before,
);

/// A login of a sink, ended with the test: roles are the cluster's. With a table of its own to write to.
pub struct Sink<'a> {
    env: &'a Env,
    pub name: String,
}

impl<'a> Sink<'a> {
    pub fn make(env: &'a Env, org: &str) -> Self {
        let name = env.database().to_owned();
        let made = as_superuser(env, &["sinks", "create", &name, "--org", org, "--json"]).json();
        assert!(made["password"].as_str().unwrap().len() >= 32 && made["tenant_id"] == org, "{made}");
        let admin = Sql::bare(&env.url(SUPERUSER));
        admin.run(&format!(
            "CREATE SCHEMA effects; CREATE TABLE effects.done (consumer text, at bigint); \
             GRANT USAGE ON SCHEMA effects TO {name}; GRANT SELECT, INSERT ON effects.done TO {name}"
        ));
        Self { env, name }
    }

    pub fn sql(&self) -> Sql {
        Sql::bare(&self.env.url(&self.name))
    }

    fn effects(&self) -> Vec<i64> {
        Sql::bare(&self.env.url(SUPERUSER)).column("SELECT at FROM effects.done ORDER BY at")
    }
}

impl Drop for Sink<'_> {
    fn drop(&mut self) {
        let admin = Sql::bare(&self.env.url(SUPERUSER));
        let _ = admin.try_run("DROP SCHEMA effects CASCADE");
        let _ = as_superuser(self.env, &["sinks", "revoke", &self.name]);
    }
}

/// The effects of what was taken, and then how far that is.
fn handle(sql: &Sql, consumer: &str, taken: &Value, end: &str) -> Result<(), String> {
    let values: Vec<String> = offsets(taken).iter().map(|offset| format!("('{consumer}', {offset})")).collect();
    let done = sql.try_run(&format!("BEGIN; INSERT INTO effects.done VALUES {}; {end}", values.join(", ")));
    let ended = done.and_then(|()| sql.try_run("COMMIT"));
    if ended.is_err() {
        sql.run("ROLLBACK");
    }
    ended
}

fn commit_sql(taken: &Value) -> String {
    format!("SELECT tidegate.commit_offset('default', 's', 'g', {}, {})", taken["next_offset"], taken["generation"])
}

fn effects_and_offset_are_one_transaction(env: &Env) -> TestResult {
    let tidegate = env.serve();
    let client = &tidegate.client;
    let sink = Sink::make(env, "default");
    filled(client, "s", 6);
    make(client, "s", json!({ "name": "g" }));
    let sql = sink.sql();
    let first = take(client, "s", "g", "limit=2");
    // Rolled back: neither is there.
    let end = format!("{}; SELECT 1/0", commit_sql(&first));
    assert_eq!(handle(&sql, "a", &first, &end), Err("22012".to_owned()));
    assert_eq!((sink.effects(), &show(client, "s", "g")["committed"]), (vec![], &json!(0)));
    handle(&sql, "a", &first, &commit_sql(&first)).unwrap();
    assert_eq!((sink.effects(), &show(client, "s", "g")["committed"]), (vec![0, 1], &json!(2)));
    let second = take(client, "s", "g", "limit=3");
    handle(&sql, "a", &second, &commit_sql(&second)).unwrap();
    let rest = take(client, "s", "g", "");
    assert_eq!((sink.effects(), offsets(&rest)), (vec![0, 1, 2, 3, 4], vec![5]));
    for (call, code) in [
        ("commit_offset('default', 's', 'g', 7, 1)", "TG400"),
        ("commit_offset('default', 's', 'g', 6, 0)", "TG409"),
        ("commit_offset('default', 's', 'none', 6, 1)", "TG404"),
        ("commit_offset('other', 's', 'g', 6, 1)", "TG404"),
        ("commit_offset('default', 's', 'g', NULL, 1)", "TG400"),
        ("commit_offset('default', 's', 'g', 6, NULL)", "TG409"),
        ("ack_lease('default', 's', 'g', '1-1')", "TG409"),
    ] {
        assert_eq!(sql.try_run(&format!("SELECT tidegate.{call}")), Err(code.to_owned()), "{call}");
    }
    // Two that read at once, and neither took over: the effects of the second are undone.
    handle(&sql, "a", &rest, &commit_sql(&rest)).unwrap();
    assert_eq!(handle(&sql, "b", &rest, &commit_sql(&rest)), Err("TG409".to_owned()));
    send(client, "s", 6, 3);
    reaches(client, "s", 9);
    let [few, more] = ["limit=1", "limit=3"].map(|query| take(client, "s", "g", query));
    handle(&sql, "a", &few, &commit_sql(&few)).unwrap();
    let from = |taken: &Value| commit_sql(taken).replace(", 1)", &format!(", 1, {})", offsets(taken)[0]));
    assert_eq!(handle(&sql, "b", &more, &from(&more)), Err("TG409".to_owned()));
    let rest = take(client, "s", "g", "");
    handle(&sql, "b", &rest, &from(&rest)).unwrap();
    assert_eq!(sink.effects(), (0..9).collect::<Vec<_>>(), "each once");
    Ok(())
}

fn who_took_over_waits_for_an_open_transaction_and_fences_the_next(env: &Env) -> TestResult {
    let tidegate = env.serve();
    let client = &tidegate.client;
    let sink = Sink::make(env, "default");
    filled(client, "s", 6);
    make(client, "s", json!({ "name": "g" }));
    let (old, new) = (sink.sql(), sink.sql());
    let taken = take(client, "s", "g", "limit=3");
    old.run(&format!(
        "BEGIN; INSERT INTO effects.done VALUES ('old', 0), ('old', 1), ('old', 2); {}",
        commit_sql(&taken)
    ));
    assert_eq!(old.one::<String>("SHOW idle_in_transaction_session_timeout"), "1min", "it does not stay open for long");
    old.run("SET idle_in_transaction_session_timeout = 0");
    for (what, body) in [("takeover", json!({})), ("reset", json!({ "to": "latest" })), ("pause", json!({}))] {
        tell_now(client, "s", "g", what, &body).problem(409, "group_busy");
    }
    // Others are not held up by it.
    make(client, "s", json!({ "name": "h" }));
    assert_eq!(offsets(&take(client, "s", "h", "limit=1")), [0]);
    old.run("COMMIT");
    let over = tell(client, "s", "g", "takeover", json!({})).expect(200);
    assert_eq!(over["committed"], 3);
    let own = take(client, "s", "g", "");
    // The one before goes on with what it had read, and all that it does is undone.
    let stale = json!({ "events": own["events"], "next_offset": own["next_offset"], "generation": 1 });
    assert_eq!(handle(&old, "old", &stale, &commit_sql(&stale)), Err("TG409".to_owned()));
    handle(&new, "new", &own, &commit_sql(&own)).unwrap();
    assert_eq!(sink.effects(), [0, 1, 2, 3, 4, 5], "each once");
    Ok(())
}

fn a_lease_is_acknowledged_in_the_transaction_of_its_effects(env: &Env) -> TestResult {
    let tidegate = env.serve();
    let client = &tidegate.client;
    let sink = Sink::make(env, "default");
    filled(client, "s", 9);
    make(client, "s", json!({ "name": "g", "ack_timeout": "5m" }));
    make(client, "s", json!({ "name": "ordered", "ordered_by": "source_module" }));
    let ack = |taken: &Value, group: &str| {
        format!("SELECT tidegate.ack_lease('default', 's', '{group}', '{}')", taken["lease"].as_str().unwrap())
    };
    let (a, b) = (sink.sql(), sink.sql());
    let late = take(client, "s", "g", "member=a&limit=5");
    let again = take(client, "s", "g", "member=b&limit=4");
    handle(&b, "b", &again, &ack(&again, "g")).unwrap();
    // The lease of the first expired, and another has it: what it does is undone.
    env.sql().run("UPDATE consumer_leases SET until = now() WHERE NOT done");
    let other = next(client, "s", "g", "member=b");
    assert_eq!(offsets(&other), offsets(&late));
    assert_eq!(handle(&a, "a", &late, &ack(&late, "g")), Err("TG409".to_owned()));
    handle(&b, "b", &other, &ack(&other, "g")).unwrap();
    assert_eq!(sink.effects(), (0..9).collect::<Vec<_>>(), "each once");
    until("the group has passed them", || (show(client, "s", "g")["lag"] == 0).then_some(()));
    let ordered = take(client, "s", "ordered", "member=m");
    handle(&a, "o", &ordered, &ack(&ordered, "ordered")).unwrap();
    assert_eq!(handle(&a, "o", &ordered, &ack(&ordered, "ordered")), Err("TG409".to_owned()));
    assert_eq!(sink.effects().len(), 18);
    Ok(())
}

fn a_lease_that_is_over_in_part_is_over(env: &Env) -> TestResult {
    let tidegate = env.serve();
    let client = &tidegate.client;
    let sink = Sink::make(env, "default");
    let (sql, admin) = (sink.sql(), env.sql());
    let ack = |taken: &Value| {
        format!("SELECT tidegate.ack_lease('default', 's', 'g', '{}')", taken["lease"].as_str().unwrap())
    };
    let keys = (0..40).map(|n| event_with(n, &format!(r#""stream":"s","asset_id":"asset-{n}""#)));
    client.events(array(keys)).accepted(40, 0);
    reaches(client, "s", 40);
    // In no order: one event is given back by itself, and the lease goes on before and behind it.
    make(client, "s", json!({ "name": "g" }));
    let late = take(client, "s", "g", "member=a");
    assert_eq!(offsets(&late).len(), 40);
    tell(client, "s", "g", "nack", json!({ "lease": late["lease"], "offset": 10, "delay": "1h" })).expect(200);
    admin.run("UPDATE consumer_leases SET until = now() WHERE lease IS NOT NULL");
    let other = next(client, "s", "g", "member=b");
    assert_eq!(offsets(&other), (0..10).collect::<Vec<_>>());
    for what in ["extend", "ack"] {
        tell(client, "s", "g", what, json!({ "lease": late["lease"] })).problem(409, "lease_over");
    }
    assert_eq!(handle(&sql, "a", &late, &ack(&late)), Err("TG409".to_owned()));
    handle(&sql, "b", &other, &ack(&other)).unwrap();
    let rest = next(client, "s", "g", "member=b");
    assert_eq!(offsets(&rest), (11..40).collect::<Vec<_>>());
    handle(&sql, "b", &rest, &ack(&rest)).unwrap();
    assert_eq!(sink.effects(), (0..40).filter(|offset| *offset != 10).collect::<Vec<_>>(), "each once");
    client.send("DELETE", &path("s", "g"), &[], &[])?.expect(204);
    Sql::bare(&env.url(SUPERUSER)).run("DELETE FROM effects.done");
    // In order: of the slots of one that is silent another has its share.
    make(client, "s", json!({ "name": "g", "ordered_by": "asset_id" }));
    let late = take(client, "s", "g", "member=a");
    assert_eq!(offsets(&late).len(), 40);
    for member in ["b", "c"] {
        assert_eq!(offsets(&take(client, "s", "g", &format!("member={member}"))), NOTHING);
    }
    admin.run("UPDATE consumer_slots SET lease_until = now() WHERE lease IS NOT NULL");
    admin.run("UPDATE consumer_members SET until = now() WHERE member = 'a'");
    let b = next(client, "s", "g", "member=b");
    assert!(!offsets(&b).is_empty() && offsets(&b).len() < 40, "{b}");
    for what in ["extend", "ack"] {
        tell(client, "s", "g", what, json!({ "lease": late["lease"] })).problem(409, "lease_over");
    }
    assert_eq!(handle(&sql, "a", &late, &ack(&late)), Err("TG409".to_owned()));
    handle(&sql, "b", &b, &ack(&b)).unwrap();
    let c = next(client, "s", "g", "member=c");
    handle(&sql, "c", &c, &ack(&c)).unwrap();
    assert_eq!(sink.effects(), (0..40).collect::<Vec<_>>(), "each once");
    // Late, and nobody has anything of it: all of it is done.
    let keys = (0..40).map(|n| event_with(n, &format!(r#""stream":"s","asset_id":"asset-{n}""#)));
    client.events(array(keys)).accepted(40, 0);
    reaches(client, "s", 80);
    let own = next(client, "s", "g", "member=b");
    admin.run("UPDATE consumer_slots SET lease_until = now() WHERE lease IS NOT NULL");
    assert_eq!(offsets(&take(client, "s", "g", "member=c&limit=1")).len(), 1, "its own");
    handle(&sql, "b", &own, &ack(&own)).unwrap();
    Ok(())
}

fn a_sink_may_commit_and_no_more(env: &Env) -> TestResult {
    let tidegate = env.serve();
    filled(&tidegate.client, "s", 1);
    let sink = Sink::make(env, "default");
    let sql = sink.sql();
    for statement in [
        "SELECT * FROM tidegate.events",
        "SELECT * FROM tidegate.consumer_offsets",
        "UPDATE tidegate.consumer_offsets SET committed = 0",
        "SELECT * FROM tidegate.consumer_sinks",
        "SELECT tidegate.advance_offset(1, 1, 1, true, 1)",
        "SELECT tidegate.settle_lease(1, 1, 1)",
        "SELECT tidegate.sink_group('default', 's', 'g')",
        "SELECT tidegate.try_lock('lock_partitions')",
        "CREATE TABLE tidegate.mine (x int)",
        "SET ROLE tidegate_owner",
        "SET ROLE tidegate_writer",
    ] {
        assert_eq!(sql.try_run(statement), Err("42501".to_owned()), "{statement}");
    }
    let listed = as_superuser(env, &["sinks", "list", "--json"]).json();
    let own = listed.as_array().unwrap().iter().find(|listed| listed["name"] == sink.name.as_str()).unwrap();
    assert_eq!(own["tenants"], json!(["default"]));
    let unknown = as_superuser(env, &["sinks", "create", "nobody_x", "--org", "nowhere"]);
    assert!(unknown.code == Some(1) && unknown.stderr.contains("no organization `nowhere`"), "{unknown:?}");
    let again = as_superuser(env, &["sinks", "create", &sink.name, "--org", "default"]);
    assert!(again.code == Some(1) && again.stderr.contains("is there already"), "{again:?}");
    Ok(())
}

fn groups_on_the_command_line(env: &Env) -> TestResult {
    let tidegate = env.serve();
    let client = &tidegate.client;
    filled(client, "a b", 6);
    let mut variables = env.variables();
    variables.push(("TIDEGATE_KEY".to_owned(), client.key().to_owned()));
    let url = client.url();
    let run = |arguments: &[&str]| Finished::run(env, &variables, &[&["groups", "--url", &url], arguments].concat());
    let made = run(&[
        "create",
        "a b",
        "g",
        "--max-deliveries",
        "2",
        "--ack-timeout",
        "5m",
        "--event-types",
        "sample,other",
        "--json",
    ]);
    assert_eq!(
        (&made.json()["event_types"], &made.json()["ack_timeout"]),
        (&json!(["sample", "other"]), &json!("300s"))
    );
    run(&["create", "a b", "h", "--ordered-by", "asset_id", "--start", "latest", "--json"]).json();
    let again = run(&["create", "a b", "g"]);
    assert!(again.code == Some(1) && again.stderr.contains("group_exists"), "{again:?}");
    let listed = run(&["list", "a b", "--json"]).json();
    assert_eq!(json!([listed[0]["lag"], listed[1]["lag"], listed[1]["ordered_by"]]), json!([6, 0, "asset_id"]));
    assert!(run(&["list", "a b"]).stdout.starts_with("GROUP"));
    let shown = run(&["show", "a b", "g"]);
    assert!(shown.stdout.contains("max_deliveries: 2") && shown.stdout.contains("committed: 0"), "{shown:?}");
    assert_eq!(run(&["lag", "a b", "g", "--json"]).json()["lag"], 6);
    let dry = run(&["reset", "a b", "g", "--to", "latest", "--dry-run"]);
    assert!(dry.stdout.contains("would go from 0 to 6: 0 events come again, 6 are passed over"), "{dry:?}");
    assert_eq!(run(&["reset", "a b", "g", "--to", "3", "--json"]).json()["to"], 3);
    assert_eq!(offsets(&take(client, "a b", "g", "")), [3, 4, 5]);
    assert_eq!(run(&["pause", "a b", "g", "--json"]).json()["paused"], true);
    assert_eq!(run(&["resume", "a b", "g", "--json"]).json()["paused"], false);
    for offset in [3, 5] {
        tell(client, "a b", "g", "park", json!({ "offset": offset })).expect(200);
    }
    let parked = run(&["parked", "a b", "g"]);
    assert_eq!(parked.stdout.lines().count(), 3, "{parked:?}");
    let replayed = run(&["parked", "a b", "g", "--replay", "3"]);
    assert!(replayed.stdout.contains("1 replayed, 1 left"), "{replayed:?}");
    assert_eq!(run(&["parked", "a b", "g", "--drop", "all", "--json"]).json()["dropped"], 2);
    assert_eq!(run(&["delete", "a b", "h", "--json"]).json()["deleted"], true);
    let gone = run(&["show", "a b", "h"]);
    assert!(gone.code == Some(1) && gone.stderr.contains("not_found"), "{gone:?}");
    assert_eq!(run(&["parked", "a b", "g", "--replay", "3", "--drop", "3"]).code, Some(2));
    Ok(())
}

fn a_restored_database_acknowledges_nothing_of_before(env: &Env) -> TestResult {
    let mut tidegate = node(env, 1);
    filled(&tidegate.client, "s", 4);
    make(&tidegate.client, "s", json!({ "name": "g" }));
    make(&tidegate.client, "s", json!({ "name": "shared" }));
    let alone = take(&tidegate.client, "s", "g", "");
    let lease = take(&tidegate.client, "s", "shared", "member=m");
    tidegate.kill();
    // As after a failover: the timeline is another one.
    let sql = env.sql();
    sql.run("UPDATE sequencer_ticks SET timeline = 'another'");
    let tidegate = node(env, 1);
    let client = &tidegate.client;
    until("an epoch begins", || (sql.one::<i64>("SELECT min(generation) FROM consumer_offsets") > 1).then_some(()));
    send(client, "s", 4, 1);
    let fenced = json!({ "next_offset": 4, "generation": alone["generation"] });
    tell(client, "s", "g", "offset", fenced).problem(409, "generation_over");
    tell(client, "s", "shared", "ack", json!({ "lease": lease["lease"] })).problem(409, "lease_over");
    let again = take(client, "s", "g", "limit=4");
    assert_eq!(offsets(&again), [0, 1, 2, 3]);
    Ok(())
}
