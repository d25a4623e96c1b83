//! Triggers of somebody's own on the tables of rows: what they refuse is a verdict on the row, whatever is not known is none.

use crate::books::Books;
use crate::env::{Env, Test, TestResult};
use crate::samples::{array, event};
use crate::tests;

pub const TESTS: &[Test] = tests!(rows_that_a_trigger_refuses, what_refuses_no_row_is_no_verdict);

const REFUSED: &str = r#"{"event_type":"refused","source_module":"s","payload":{}}"#;
const REFUSED_METRIC: &str = r#"{"asset_id":"refused","metric_type":"gauge","metric_name":"x","value":1}"#;

/// A trigger that raises `code` for the rows in question, or for every statement.
fn raise(env: &Env, table: &str, code: &str, when: &str) {
    let judged = if table == "events" { "NEW.event_type" } else { "NEW.asset_id" };
    let (verdict, each) = match when {
        "STATEMENT" => ("TRUE".to_owned(), "BEFORE INSERT ON {} FOR EACH STATEMENT"),
        "BEFORE" => (format!("{judged} = 'refused'"), "BEFORE INSERT ON {} FOR EACH ROW"),
        _ => (format!("{judged} = 'refused'"), "AFTER INSERT ON {} FOR EACH ROW"),
    };
    let sql = env.sql();
    sql.run(&format!(
        "CREATE OR REPLACE FUNCTION judge() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN \
         IF {verdict} THEN RAISE EXCEPTION 'not here' USING ERRCODE = '{code}'; END IF; RETURN NEW; END $$"
    ));
    sql.alter(&format!("CREATE OR REPLACE TRIGGER judge {} EXECUTE FUNCTION judge()", each.replace("{}", table)));
}

fn heal(env: &Env, table: &str) {
    env.sql().alter(&format!("DROP TRIGGER judge ON {table}"));
}

fn rows_that_a_trigger_refuses(env: &Env) -> TestResult {
    let tidegate = env.serve();
    let trials = [
        ("P0001", "BEFORE"),
        ("P0001", "AFTER"),
        ("38000", "BEFORE"),
        ("2F005", "AFTER"),
        ("21000", "BEFORE"),
        ("23000", "AFTER"),
    ];
    for (code, when) in trials {
        raise(env, "events", code, when);
        let answer = tidegate.client.events(array([event(0), REFUSED.to_owned(), event(2)])).accepted(2, 1);
        let error = &answer["errors"][0];
        assert_eq!((&error["index"], &error["code"]), (&1.into(), &"row_refused".into()), "{code} {when}: {answer}");
        let said = error["message"].as_str().unwrap();
        assert!(said.contains("not here") && said.contains(code), "{said}");
        heal(env, "events");
    }
    raise(env, "metrics", "P0001", "BEFORE");
    let metric = REFUSED_METRIC.replace("refused", "a");
    tidegate.client.metrics(array([metric, REFUSED_METRIC.to_owned()])).accepted(1, 1);
    let sql = env.sql();
    let count = i64::try_from(trials.len())?;
    assert_eq!((sql.count("events"), sql.count("metrics"), sql.count("dead_letter_events")), (2 * count, 1, count + 1));
    let raws: Vec<Vec<u8>> = sql.column("SELECT DISTINCT raw FROM dead_letter_events WHERE route = '/v1/events'");
    assert_eq!(raws, [REFUSED.as_bytes()]);
    Books::of(&tidegate.client).assert_balanced();
    Ok(())
}

fn what_refuses_no_row_is_no_verdict(env: &Env) -> TestResult {
    let tidegate = env.serve();
    // One that refuses even no rows says nothing about a row: the sender keeps them.
    raise(env, "events", "P0001", "STATEMENT");
    let refused = tidegate.client.events(array([event(0), event(1)]));
    assert!(refused.status == 503 && !refused.header("retry-after").is_empty(), "{refused:?}");
    // What nobody knows means that the database is away: it waits in the spool.
    raise(env, "events", "ZZ999", "BEFORE");
    tidegate.client.events(array([event(0), REFUSED.to_owned()])).expect(202);
    assert_eq!((env.sql().count("events"), env.sql().count("dead_letter_events")), (0, 0));
    heal(env, "events");
    Books::drained(&tidegate.client);
    assert_eq!((env.sql().count("events"), env.sql().count("dead_letter_events")), (2, 0));
    Ok(())
}
