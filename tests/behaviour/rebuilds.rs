//! Ten thousand events of deployments, shuffled and repeated: the table is what a direct computation makes of them, and what a rebuild
//! makes beside live traffic; what was stored before there were projections is read as well.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};

use jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};

use crate::env::{Env, Test, TestResult, until};
use crate::postgres::Sql;
use crate::projections::{list, projected, told};
use crate::samples::{array, batch};
use crate::tests;

pub const TESTS: &[Test] = tests!(
    shuffled_and_repeated_events_give_what_a_direct_computation_does,
    what_was_stored_before_is_read,
    what_only_expired_events_said_stays,
    a_rebuild_waits_for_nobody_and_is_alone,
);

const EVENTS: usize = 10_000;
const DEPLOYMENTS: usize = 2_000;

/// Numbers that look random, the same in each run.
struct Draw(u64);

impl Draw {
    fn below(&mut self, end: usize) -> usize {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        usize::try_from(self.0 >> 33).unwrap() % end
    }
}

/// An event of a deployment, as the direct computation sees it.
#[derive(Clone)]
struct Step {
    id: u128,
    deployment: usize,
    kind: usize,
    at: Timestamp,
    payload: Value,
    environment: &'static str,
    stream: &'static str,
}

const KINDS: [&str; 4] = ["started", "succeeded", "failed", "rolled_back"];

fn draw_steps(draw: &mut Draw) -> Vec<Step> {
    // Whole seconds, as they are compared.
    let start = Timestamp::from_second(Timestamp::now().as_second()).unwrap() - SignedDuration::from_hours(20);
    let mut steps = Vec::new();
    while steps.len() < EVENTS - EVENTS / 10 {
        let n = steps.len();
        let deployment = draw.below(DEPLOYMENTS);
        let kind = draw.below(4);
        let mut payload = json!({ "deployment_id": format!("d-{deployment}") });
        for (member, values) in [("service", 40), ("version", 9), ("deployed_by", 5), ("error", 3)] {
            match draw.below(4) {
                0 => payload[member] = json!(format!("{member}-{}", draw.below(values))),
                1 => payload[member] = Value::Null,
                _ => {}
            }
        }
        steps.push(Step {
            id: n as u128 + 1,
            deployment,
            kind,
            // Few moments, so that many events share one.
            at: start + SignedDuration::from_secs(i64::try_from(draw.below(400)).unwrap() * 60),
            payload,
            environment: ["production", "staging"][draw.below(2)],
            stream: ["default", "ci", "cd"][draw.below(3)],
        });
    }
    // One in ten comes twice, perhaps in another stream.
    for _ in 0..EVENTS / 10 {
        let mut again = steps[draw.below(EVENTS - EVENTS / 10)].clone();
        again.stream = ["default", "ci", "cd"][draw.below(3)];
        steps.push(again);
    }
    for n in (1..steps.len()).rev() {
        steps.swap(n, draw.below(n + 1));
    }
    steps
}

/// What a deployment is after all of its events, by going through them in their order: the columns, as text.
fn directly(steps: &[Step]) -> BTreeMap<String, Vec<String>> {
    let mut by_deployment: BTreeMap<String, Vec<&Step>> = BTreeMap::new();
    for step in steps {
        by_deployment.entry(format!("d-{}", step.deployment)).or_default().push(step);
    }
    let rank = |kind: usize| [0, 1, 1, 2][kind];
    let row = |steps: &mut Vec<&Step>| {
        steps.sort_by_key(|step| (step.at, rank(step.kind), step.id));
        let mut row: BTreeMap<&str, Value> = BTreeMap::new();
        row.insert("environment", json!(steps.last().unwrap().environment));
        row.insert("created_at", json!(steps[0].at.as_second()));
        for step in steps.iter() {
            let at = json!(step.at.as_second());
            for member in ["service", "version", "deployed_by"] {
                if let Some(value) = step.payload.get(member) {
                    row.insert(member, value.clone());
                }
            }
            if let Some(error) = step.payload.get("error").filter(|_| step.kind >= 2) {
                row.insert("error", error.clone());
            }
            match step.kind {
                0 => {
                    row.insert("started_at", at);
                    for gone in ["finished_at", "rolled_back_at", "error"] {
                        row.insert(gone, Value::Null);
                    }
                }
                1 => drop((row.insert("finished_at", at), row.insert("error", Value::Null))),
                2 => drop(row.insert("finished_at", at)),
                _ => drop(row.insert("rolled_back_at", at)),
            }
            row.insert("status", json!(KINDS[step.kind]));
        }
        let last = steps.last().unwrap();
        row.insert("updated_at", json!(last.at.as_second()));
        row.insert("event_id", json!(uuid::Uuid::from_u128(last.id).to_string()));
        COLUMNS.iter().map(|column| text(row.get(column).unwrap_or(&Value::Null))).collect()
    };
    by_deployment.into_iter().map(|(id, mut steps)| (id, row(&mut steps))).collect()
}

fn text(value: &Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), str::to_owned)
}

const COLUMNS: [&str; 12] = [
    "status",
    "service",
    "environment",
    "version",
    "deployed_by",
    "error",
    "started_at",
    "finished_at",
    "rolled_back_at",
    "created_at",
    "updated_at",
    "event_id",
];

fn stored(sql: &Sql) -> BTreeMap<String, Vec<String>> {
    let column = |name: &&str| match *name {
        name if name.ends_with("_at") => format!("coalesce(extract(epoch FROM {name})::bigint::text, 'null')"),
        name => format!("coalesce({name}::text, 'null')"),
    };
    let columns: Vec<String> = COLUMNS.iter().map(column).collect();
    let rows = sql.rows(
        &format!("SELECT deployment_id, ARRAY[{}] FROM deployments WHERE deployment_id LIKE 'd-%'", columns.join(", ")),
        &[],
    );
    rows.iter().map(|row| (row.get(0), row.get(1))).collect()
}

fn all_rows(sql: &Sql, table: &str) -> Vec<String> {
    // Of a cell's views the place is a column, too.
    sql.column(&format!("SELECT (to_jsonb(t) - 'ctid')::text FROM {table} t ORDER BY 1"))
}

fn shuffled_and_repeated_events_give_what_a_direct_computation_does(env: &Env) -> TestResult {
    let tidegate = env.serve();
    let (client, sql) = (&tidegate.client, env.sql());
    let steps = draw_steps(&mut Draw(14));
    assert_eq!(steps.len(), EVENTS);
    for some in steps.chunks(500) {
        let items = some.iter().map(|step| {
            json!({
                "id": uuid::Uuid::from_u128(step.id), "event_type": format!("deployment.{}", KINDS[step.kind]),
                "source_module": "ci", "stream": step.stream, "environment": step.environment,
                "timestamp": step.at.to_string(), "payload": step.payload,
            })
            .to_string()
        });
        client.events(array(items)).accepted(some.len() as u64, 0);
    }
    projected(&sql);
    let expected = directly(&steps);
    assert_eq!(stored(&sql), expected);
    assert_eq!(list(client, "/v1/dead-letters"), Vec::<Value>::new());
    let services = |sql: &Sql| -> Vec<String> { sql.column("SELECT name FROM services ORDER BY 1") };
    let named: std::collections::BTreeSet<&str> =
        steps.iter().filter_map(|step| step.payload["service"].as_str()).collect();
    assert_eq!(services(&sql), named.into_iter().collect::<Vec<_>>());

    // Computed again beside others who write: the same rows, to the letter.
    let before = [all_rows(&sql, "deployments"), all_rows(&sql, "services")];
    let stop = AtomicBool::new(false);
    let (live, rebuilt) = std::thread::scope(|scope| {
        let writer = scope.spawn(|| {
            let mut sent = 0;
            while !stop.load(Ordering::Relaxed) {
                client.events(batch(20)).accepted(20, 0);
                client
                    .events(told("deployment.started", 5, &json!({ "deployment_id": format!("live-{sent}") })))
                    .accepted(1, 0);
                sent += 1;
            }
            sent
        });
        let rebuilt = ["deployments", "services"].map(|name| env.cli(&["rebuild", name, "--json"]));
        stop.store(true, Ordering::Relaxed);
        (writer.join().unwrap(), rebuilt)
    });
    assert!(rebuilt[0].stderr.contains(" of 3 streams, "), "progress is told: {rebuilt:?}");
    assert!(rebuilt[0].json()["events"].as_u64() >= Some(EVENTS as u64), "{rebuilt:?}");
    projected(&sql);
    assert_eq!(sql.one::<i64>("SELECT count(*) FROM deployments WHERE deployment_id LIKE 'live-%'"), live);
    let kept = "deployments t WHERE deployment_id LIKE 'd-%'";
    let of_before = |rows: String| -> Vec<String> {
        sql.column(&format!("SELECT (to_jsonb(t) - 'ctid')::text FROM {rows} ORDER BY 1"))
    };
    assert_eq!([of_before(kept.to_owned()), all_rows(&sql, "services")], before);
    assert_eq!(rebuilt[1].json()["differing"], 0, "{rebuilt:?}");

    // Whatever was done to it.
    let whole = all_rows(&sql, "deployments");
    sql.run(
        "UPDATE deployments SET version = 'wrong' WHERE deployment_id IN ('d-1', 'd-2'); \
         DELETE FROM deployments WHERE deployment_id IN ('d-3', 'd-4'); \
         INSERT INTO deployments SELECT (jsonb_populate_record(d, jsonb_build_object('id', gen_random_uuid(), 'deployment_id', 'invented'))).* \
         FROM deployments d WHERE deployment_id = 'd-5'",
    );
    let rebuilt = env.cli(&["rebuild", "deployments", "--json"]).json();
    assert_eq!((&rebuilt["differing"], all_rows(&sql, "deployments")), (&json!(5), whole));
    Ok(())
}

fn what_was_stored_before_is_read(env: &Env) -> TestResult {
    let mut tidegate = env.serve();
    let sql = env.sql();
    for n in 0..3 {
        tidegate
            .client
            .events(told("deployment.started", n, &json!({ "deployment_id": n, "service": "s" })))
            .accepted(1, 0);
        tidegate.client.events(batch(3)).accepted(3, 0);
    }
    projected(&sql);
    let before = [all_rows(&sql, "deployments"), all_rows(&sql, "services")];
    tidegate.stop();
    // As it is where a projection is new, and the log says of nothing that it concerns it.
    sql.run(
        "DELETE FROM projection_offsets; DELETE FROM deployments; DELETE FROM services; UPDATE projections SET begun_at = NULL; \
         UPDATE batch_log SET projections = 0",
    );
    // A rebuild comes first; of the other one the processor finds out.
    let rebuilt = env.cli(&["rebuild", "deployments", "--json"]).json();
    assert_eq!((&rebuilt["events"], sql.count("deployments")), (&json!(3), 3));
    let tidegate = env.serve();
    until("what is stored was gone through", || (sql.count("services") == 1).then_some(()));
    projected(&sql);
    assert_eq!([all_rows(&sql, "deployments"), all_rows(&sql, "services")], before);
    // What a version before has logged while it led is not in the queue, and is found all the same.
    drop(tidegate);
    sql.run("DELETE FROM projection_offsets; DELETE FROM deployments; UPDATE batch_log SET projections = -1");
    let _tidegate = env.serve();
    until("it was swept up", || (sql.count("deployments") == 3).then_some(()));
    Ok(())
}

fn what_only_expired_events_said_stays(env: &Env) -> TestResult {
    let tidegate = env.serve();
    let (client, sql) = (&tidegate.client, env.sql());
    client.events(told("service.registered", 900, &json!({ "service": "old", "owner": "ada" }))).accepted(1, 0);
    client
        .events(told("service.registered", 800, &json!({ "service": "both", "owner": "ada", "team": "x" })))
        .accepted(1, 0);
    client.events(told("service.updated", 700, &json!({ "service": "both", "owner": "bob" }))).accepted(1, 0);
    client.events(told("service.registered", 600, &json!({ "service": "new", "owner": "eve" }))).accepted(1, 0);
    projected(&sql);
    let before = all_rows(&sql, "services");
    sql.run(
        "DELETE FROM events WHERE payload->>'owner' = 'ada'; INSERT INTO stream_begins (tenant_id, stream, begins) VALUES ('default', 'default', 2); \
         UPDATE services SET owner = 'wrong'",
    );
    let rebuilt = env.cli(&["rebuild", "services", "--json"]).json();
    // What the expired events said is known from the table alone, and so is wrong as well; the others' is right again.
    assert_eq!((&rebuilt["kept"], &rebuilt["differing"]), (&json!(2), &json!(2)), "{rebuilt}");
    sql.run("UPDATE services SET owner = 'ada' WHERE name = 'old'");
    assert_eq!(all_rows(&sql, "services"), before);
    Ok(())
}

fn a_rebuild_waits_for_nobody_and_is_alone(env: &Env) -> TestResult {
    let tidegate = env.serve();
    let (client, sql) = (&tidegate.client, env.sql());
    client.events(told("deployment.started", 60, &json!({ "deployment_id": "d" }))).accepted(1, 0);
    projected(&sql);
    // Somebody reads for long.
    let reader = env.sql();
    reader.run("BEGIN; SELECT * FROM deployments");
    assert_eq!(env.cli(&["rebuild", "deployments"]).code, Some(0));
    reader.run("COMMIT; BEGIN; LOCK TABLE lock_rebuild IN EXCLUSIVE MODE");
    let second = env.cli(&["rebuild", "deployments"]);
    assert!(second.code == Some(1) && second.stderr.contains("another rebuild is under way"), "{second:?}");
    Ok(())
}
