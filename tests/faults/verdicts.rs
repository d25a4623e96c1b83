//! Errors that are no verdict on what was sent, and those that are (scenario 39).

use std::sync::Arc;

use crate::books::Books;
use crate::client::Client;
use crate::env::{Env, TestResult, until};
use crate::postgres::Sql;
use crate::process::Tidegate;
use crate::scenario;
use crate::scenario::Scenario;
use crate::stage::Stage;
use crate::told::Told;

pub const SCENARIOS: &[Scenario] = &[
    scenario!(s39_what_is_no_verdict_waits).slow(),
    scenario!(s39_what_is_refused_alone_is_set_aside).slow(),
    scenario!(s39_what_fails_alone_holds_up_nobody).slow(),
];

/// Ledger rows of these keys meet an error of this code; requests that come from the spool have one.
fn harm(sql: &Sql, keys: &str, code: &str) {
    sql.run(&format!(
        "CREATE OR REPLACE FUNCTION tidegate.harm() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN \
         IF NEW.idempotency_key LIKE '{keys}' THEN RAISE EXCEPTION 'harm' USING ERRCODE = '{code}'; END IF; \
         RETURN NEW; END $$"
    ));
    sql.run(
        "CREATE OR REPLACE TRIGGER harm BEFORE INSERT ON tidegate.ingest_ledger FOR EACH ROW \
         EXECUTE FUNCTION tidegate.harm()",
    );
}

fn heal(sql: &Sql) {
    sql.run("DROP TRIGGER harm ON tidegate.ingest_ledger; DROP FUNCTION tidegate.harm()");
}

/// Live requests without a key, which the ledger does not see, until one is written.
fn live(told: &Told, client: &Client) {
    until("a live request is written", || {
        (told.send(client, &told.request(false, 3, 1)).expect("an answer").status == 200).then_some(())
    });
}

fn quarantined(env: &Env) -> Vec<serde_json::Value> {
    env.cli(&["spool", "list", "--json"]).json().as_array().unwrap().clone()
}

fn s39_what_is_no_verdict_waits(env: &Env) -> TestResult {
    let stage = Stage::new(env);
    let tidegate = stage.serve();
    let sql = env.sql();
    stage.away(&tidegate);
    harm(&sql, "%", "XX000");
    stage.proxy.back();
    for code in ["XX000", "53100", "58030", "57014", "TS103", "ZZ999"] {
        harm(&sql, "%", code);
        let said = format!("(SQLSTATE {code})");
        until("the drain meets it", || tidegate.log().contains(&said).then_some(()));
        live(&stage.told, &tidegate.client);
    }
    until("somebody is told", || {
        live(&stage.told, &tidegate.client);
        let body = tidegate.client.get("/readyz").expect(200);
        let reason = body["reason"].as_str().unwrap_or_default().to_owned();
        (body["status"] == "degraded" && reason.contains("spooled requests cannot be written")).then_some(())
    });
    assert!(Books::of(&tidegate.client).get("tidegate_spool_drain_failing") > 0.5);
    assert_eq!(quarantined(env), Vec::<serde_json::Value>::new(), "nothing was proven");
    heal(&sql);
    stage.drained(&tidegate);
    until("all is well", || (tidegate.client.get("/readyz").json()["status"] == "ready").then_some(()));
    stage.assert_invariants(&tidegate, "s39_what_is_no_verdict_waits");
    Ok(())
}

/// The receipt of a request that is in quarantine: the one with this key, which the server refuses alone.
fn set_aside(stage: &Stage<'_>, tidegate: &Tidegate) -> String {
    until("it is set aside", || {
        live(&stage.told, &tidegate.client);
        quarantined(stage.env).first().map(|kept| {
            assert!(kept["reason"].as_str().unwrap().contains("harm"), "{kept}");
            assert_eq!((&kept["route"], &kept["items"]), (&"/v1/events".into(), &4.into()), "{kept}");
            kept["receipt"].as_str().unwrap().to_owned()
        })
    })
}

fn s39_what_is_refused_alone_is_set_aside(env: &Env) -> TestResult {
    let stage = Stage::new(env);
    let mut tidegate = stage.serve();
    let sql = env.sql();
    stage.away(&tidegate);
    let request = stage.told.request(true, 3, 1);
    let key = request.key.clone().unwrap();
    stage.told.send(&tidegate.client, &request).expect("an answer").expect(202);
    stage.told.both(&tidegate.client, 202);
    harm(&sql, &key, "P0001");
    stage.proxy.back();
    let receipt = set_aside(&stage, &tidegate);
    until("the others are written", || (Books::of(&tidegate.client).get("tidegate_spool_records") < 0.5).then_some(()));
    let state = |tidegate: &Tidegate| tidegate.client.get(&format!("/v1/receipts/{receipt}")).json()["status"].clone();
    assert_eq!((state(&tidegate), Books::of(&tidegate.client).items("spooled")), ("quarantined".into(), 4));
    // The next process has it in its books as well.
    assert_eq!(tidegate.stop(), Some(0));
    tidegate = stage.serve();
    Books::of(&tidegate.client).assert_balanced();
    assert_eq!((state(&tidegate), Books::of(&tidegate.client).items("spooled")), ("quarantined".into(), 4));
    // Refused again it comes back, and once nothing refuses it, it is stored.
    let resend = || assert_eq!(env.cli(&["spool", "resend", &receipt]).code, Some(0));
    resend();
    set_aside(&stage, &tidegate);
    heal(&sql);
    resend();
    stage.drained(&tidegate);
    assert_eq!(state(&tidegate), "committed");
    stage.assert_invariants(&tidegate, "s39_what_is_refused_alone_is_set_aside");
    // What is dropped is gone, and booked as refused.
    let refused = Books::of(&tidegate.client).items("refused_total");
    let request = stage.told.request(true, 3, 1);
    harm(&sql, request.key.as_deref().unwrap(), "P0001");
    stage.told.post(&tidegate.client, "/v1/events?ack=spooled", &request).expect("an answer").expect(202);
    let receipt = set_aside(&stage, &tidegate);
    assert_eq!(env.cli(&["spool", "drop", "--all"]).code, Some(2), "that is not meant");
    assert_eq!(env.cli(&["spool", "drop", "nothing"]).code, Some(1));
    assert_eq!(env.cli(&["spool", "drop", &receipt]).code, Some(0));
    assert_eq!(quarantined(env), Vec::<serde_json::Value>::new());
    let books = Books::of(&tidegate.client);
    books.assert_balanced();
    assert_eq!((books.items("refused_total"), books.items("spooled")), (refused + 4, 0));
    heal(&sql);
    Ok(())
}

fn s39_what_fails_alone_holds_up_nobody(env: &Env) -> TestResult {
    let stage = Stage::new(env);
    let tidegate = stage.serve();
    let sql = env.sql();
    stage.away(&tidegate);
    let request = stage.told.request(true, 3, 1);
    let key = request.key.clone().unwrap();
    stage.told.send(&tidegate.client, &request).expect("an answer").expect(202);
    harm(&sql, &key, "XX000");
    stage.proxy.back();
    // It goes behind the others, which are written.
    let told = Arc::clone(&stage.told);
    until("it is at the spool's end", || {
        live(&told, &tidegate.client);
        tidegate.log().contains("next=Postpone").then_some(())
    });
    for _ in 0..3 {
        stage
            .told
            .post(&tidegate.client, "/v1/events?ack=spooled", &stage.told.request(true, 3, 1))
            .unwrap()
            .expect(202);
    }
    until("the others are written", || {
        live(&told, &tidegate.client);
        (Books::of(&tidegate.client).get("tidegate_spool_records") < 1.5).then_some(())
    });
    assert_eq!(quarantined(env), Vec::<serde_json::Value>::new(), "nothing was proven");
    heal(&sql);
    stage.drained(&tidegate);
    stage.assert_invariants(&tidegate, "s39_what_fails_alone_holds_up_nobody");
    Ok(())
}
