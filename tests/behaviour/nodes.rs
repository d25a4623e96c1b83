//! Several nodes on one database: who is there, whose limits are whose, who is refused, who goes on with what, who has what.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::client::{Client, Key};
use crate::env::{Env, Test, TestResult, until};
use crate::nodes_door::Door;
use crate::process::Tidegate;
use crate::proxy::Proxy;
use crate::samples::{batch, event};
use crate::streams::{reaches, send};
use crate::tests;
use crate::traffic::{Patience, Traffic};

pub const TESTS: &[Test] = tests!(
    nodes_are_listed_and_leave,
    a_killed_node_is_lost_and_goes_on_with_its_row,
    a_copied_folder_makes_another_node,
    a_node_without_its_database_is_as_many_as_before,
    a_revoked_key_is_refused_by_all_within_5_s_under_load,
    jobs_move_when_their_node_is_killed,
    jobs_move_when_their_node_is_stopped,
    receipts_are_answered_by_any_node,
    receipts_of_a_node_that_cannot_be_asked_are_not_denied,
);

/// A node called by its folder.
pub fn node(env: &Env, name: &str, settings: &[&str]) -> Tidegate {
    let own = [format!("data_dir={name}"), format!("node.name={name}")];
    let settings: Vec<&str> = own.iter().map(String::as_str).chain(settings.iter().copied()).collect();
    env.serve_with(&settings)
}

pub fn listed(env: &Env) -> Vec<Value> {
    env.cli(&["nodes", "--json"]).json().as_array().unwrap().clone()
}

/// Waits until the nodes are called so and in this state, in the order of their names.
pub fn stand(env: &Env, expected: &[(&str, &str)]) {
    let sql = env.sql();
    let look = "SELECT name || ' ' || CASE WHEN clock_timestamp() - last_seen > INTERVAL '5 s' THEN 'lost' ELSE state END \
                FROM nodes ORDER BY 1";
    let expected: Vec<String> = expected.iter().map(|(name, state)| format!("{name} {state}")).collect();
    until("the nodes are as they should", || (sql.column::<String>(look) == expected).then_some(()));
}

/// A member of each node.
fn each(answer: &Value, member: &str) -> Vec<String> {
    let nodes = answer["nodes"].as_array().unwrap_or_else(|| panic!("no nodes: {answer}"));
    nodes.iter().map(|node| node[member].as_str().unwrap().to_owned()).collect()
}

/// Waits until a node sees so many that serve.
pub fn sees(client: &Client, count: usize) {
    until("the node sees the others", || {
        let answer = client.get("/v1/nodes").expect(200);
        let states = each(&answer, "state").iter().filter(|state| *state == "ready").count();
        (states == count).then_some(())
    });
}

fn nodes_are_listed_and_leave(env: &Env) -> TestResult {
    let door = Door::open();
    let first = node(env, "a", &[&format!("node.url={}", door.url())]);
    let mut second = node(env, "b", &[]);
    stand(env, &[("a", "ready"), ("b", "ready")]);
    let operator = env.key("default", "operator");
    for tidegate in [&first, &second] {
        let client = tidegate.with(&operator);
        sees(&client, 2);
        let answer = client.get("/v1/nodes").expect(200);
        assert_eq!(each(&answer, "name"), ["a", "b"], "oldest first");
        let own = if std::ptr::eq(tidegate, &first) { 0 } else { 1 };
        assert_eq!(answer["asked"], answer["nodes"][own]["id"]);
        assert!(answer["age_ms"].as_u64().unwrap() < 60_000, "{answer}");
        let metrics = client.get("/metrics").text().to_owned();
        assert!(metrics.contains("tidegate_nodes{state=\"ready\"} 2"), "{metrics}");
    }
    let told = &listed(env)[0];
    assert_eq!((&told["url"], &told["state"]), (&json!(door.url()), &json!("ready")), "{told}");
    assert_eq!(told["spooled"], json!({ "requests": 0, "items": 0, "bytes": 0, "quarantined_files": 0 }));
    assert_eq!(told["version"], env!("CARGO_PKG_VERSION"));
    assert!(told["clock_skew_ms"].as_i64().unwrap().abs() < 5000, "{told}");
    let newest: i32 = env.sql().one("SELECT max(version) FROM schema_migrations");
    assert_eq!(told["schema_version"], newest);
    let table = env.cli(&["nodes"]);
    assert!(table.stdout.contains("LAST SEEN") && table.stdout.contains(&door.url()), "{table:?}");
    first.with(&env.key("default", "admin")).get("/v1/nodes").problem(403, "forbidden");
    let doctor = env.cli(&["doctor", "--json"]).json_whatever();
    let found = |check: &str| doctor.as_array().unwrap().iter().find(|f| f["check"] == check).unwrap().clone();
    assert_eq!((&found("nodes")["state"], &found("clocks of nodes")["state"]), (&json!("ok"), &json!("ok")));
    assert!(found("nodes")["found"].as_str().unwrap().starts_with("2 run"), "{doctor}");
    // Another version, a clock that is off, and one that was lost with something.
    env.sql().run("UPDATE nodes SET clock_skew_ms = 0 WHERE name = 'a'; \
         INSERT INTO nodes SELECT gen_random_uuid(), process_id, 'c', NULL, '0.0.1', 36, started_at, now(), 'ready', \
            0, 0, 0, 0, -86400000, '{}' FROM nodes WHERE name = 'a'; \
         INSERT INTO nodes SELECT gen_random_uuid(), process_id, 'd', NULL, '0.0.1', 36, started_at, now() - INTERVAL '1 h', \
            'degraded', 3, 15, 99, 0, 0, '{}' FROM nodes WHERE name = 'a'");
    let doctor = env.cli(&["doctor", "--json"]).json_whatever();
    let found = |check: &str| doctor.as_array().unwrap().iter().find(|f| f["check"] == check).unwrap().clone();
    for (check, words) in
        [("nodes", "0.0.1 (schema 36)"), ("clocks of nodes", "c is -86400000 ms"), ("lost nodes", "15 items")]
    {
        let finding = found(check);
        assert_eq!(finding["state"], "warning", "{finding}");
        assert!(finding["found"].as_str().unwrap().contains(words), "{finding}");
    }
    env.sql().run("DELETE FROM nodes WHERE name IN ('c', 'd')");
    // One that stops in order is gone when it has ended.
    assert_eq!(second.stop(), Some(0));
    assert_eq!(listed(env).len(), 1);
    Ok(())
}

fn a_killed_node_is_lost_and_goes_on_with_its_row(env: &Env) -> TestResult {
    let first = node(env, "a", &[]);
    let mut second = node(env, "b", &[]);
    stand(env, &[("a", "ready"), ("b", "ready")]);
    let before = listed(env)[1].clone();
    let killed = Instant::now();
    second.kill();
    stand(env, &[("a", "ready"), ("b", "lost")]);
    // 5 s without a heartbeat, of which the last was up to a second ago, and what a busy machine takes to look.
    assert!(killed.elapsed() > Duration::from_secs(3), "{:?}", killed.elapsed());
    let operator = env.key("default", "operator");
    sees(&first.with(&operator), 1);
    assert!(first.with(&operator).get("/metrics").text().contains("tidegate_nodes{state=\"lost\"} 1"));
    let again = node(env, "b", &[]);
    stand(env, &[("a", "ready"), ("b", "ready")]);
    let after = listed(env).into_iter().find(|node| node["name"] == "b").unwrap();
    assert_eq!(after["id"], before["id"], "it is the same node");
    assert!(after["started_at"].as_str() > before["started_at"].as_str(), "that was started again: {before} {after}");
    drop(again);
    Ok(())
}

fn a_copied_folder_makes_another_node(env: &Env) -> TestResult {
    let first = node(env, "a", &[]);
    stand(env, &[("a", "ready")]);
    let id = listed(env)[0]["id"].clone();
    assert_eq!(node(env, "b", &[]).stop(), Some(0));
    std::fs::copy(env.path().join("a/node"), env.path().join("b/node"))?;
    let _second = node(env, "b", &[]);
    stand(env, &[("a", "ready"), ("b", "ready")]);
    let ids: BTreeSet<String> = listed(env).iter().map(|node| node["id"].as_str().unwrap().to_owned()).collect();
    assert_eq!(ids.len(), 2);
    assert!(ids.contains(id.as_str().unwrap()), "the one that came has it now");
    assert!(first.log().contains("data_dir was copied"), "{}", first.log());
    Ok(())
}

fn a_node_without_its_database_is_as_many_as_before(env: &Env) -> TestResult {
    let proxy = Proxy::start(&env.socket());
    let _first = node(env, "a", &[]);
    let settings = ["data_dir=b", "node.name=b"].map(|setting| setting.to_owned());
    let flags: Vec<String> = settings.into_iter().flat_map(|setting| ["--set".to_owned(), setting]).collect();
    let second = Tidegate::serve(env, &env.variables_all_through(&proxy), &flags);
    let key = limited(env, 20);
    let operator = env.key("default", "operator");
    sees(&second.with(&operator), 2);
    // Its half of 20 events a second; known by the first request, and judged by it from then on.
    let client = second.with(&key);
    let taken = |answer: u16| matches!(answer, 200 | 202);
    until("its key is known", || taken(client.events(event(0)).status).then_some(()));
    proxy.away();
    until("it spools", || (client.events(event(1)).status == 202).then_some(()));
    stand(env, &[("a", "ready"), ("b", "lost")]);
    let age = |client: &Client| client.get("/v1/nodes").expect(200)["age_ms"].as_u64().unwrap();
    until("it has not heard of others for long", || (age(&second.with(&operator)) > 6000).then_some(()));
    let answer = second.with(&operator).get("/v1/nodes").expect(200);
    assert_eq!(each(&answer, "state"), ["ready", "ready"], "as it was when it was seen last");
    let counted = rate(&[&client], Duration::from_secs(4), 1);
    assert!((20..=70).contains(&counted), "10 a second and a burst of 10: {counted} in 4 s");
    drop(second);
    let kept: Value = serde_json::from_slice(&content(&std::fs::read(env.path().join("b/node"))?))?;
    assert_eq!(kept["nodes"], 2, "and after a start without it: {kept}");
    Ok(())
}

/// What a small file that is kept has behind its head.
fn content(file: &[u8]) -> Vec<u8> {
    let begin = file.iter().position(|byte| *byte == b'{').expect("it is JSON");
    let end = file.iter().rposition(|byte| *byte == b'}').expect("it is JSON");
    file[begin..=end].to_vec()
}

/// A key of so many events a second, a second's at once.
pub fn limited(env: &Env, per_second: u32) -> Key {
    let per_second = per_second.to_string();
    let arguments = ["keys", "create", "--org", "default", "--scopes", "ingest,read", "--json", "--burst", "1s"];
    let _organization = env.key("default", "read");
    Key::parse(&env.cli(&[&arguments[..], &["--events-per-second", &per_second]].concat()).json())
}

/// How many events are taken in a time, of clients that send as much as they can, `each` at a time.
pub fn rate(clients: &[&Client], time: Duration, each: usize) -> usize {
    let began = Instant::now();
    let send = |client: &Client| {
        let (body, mut taken) = (batch(each), 0);
        while began.elapsed() < time {
            match client.events(&body).status {
                200 | 202 => taken += each,
                // The pace of tries: they would take the processors from who answers them.
                429 => std::thread::sleep(Duration::from_millis(20)),
                other => panic!("answered {other}"),
            }
        }
        taken
    };
    std::thread::scope(|scope| {
        let senders: Vec<_> = clients.iter().map(|client| scope.spawn(move || send(client))).collect();
        senders.into_iter().map(|sender| sender.join().unwrap()).sum()
    })
}

fn a_revoked_key_is_refused_by_all_within_5_s_under_load(env: &Env) -> TestResult {
    let nodes = [node(env, "a", &[]), node(env, "b", &[])];
    let loads: Vec<Traffic> = nodes.iter().map(|node| Traffic::start(&node.client, Patience::Retry)).collect();
    loads.iter().for_each(|load| load.flows(20));
    let (key, admin) = (env.key("default", "ingest"), env.key("default", "admin"));
    let began = Instant::now();
    // Each node is asked without a pause, so that its cache is as warm as can be, until it refuses.
    let last_taken = std::thread::scope(|scope| {
        let senders: Vec<_> = nodes
            .iter()
            .map(|node| {
                let client = node.with(&key);
                scope.spawn(move || {
                    let mut last = Duration::ZERO;
                    loop {
                        let asked = began.elapsed();
                        match client.get("/v1/keys/self").status {
                            200 => last = asked,
                            401 => return last,
                            other => panic!("answered {other}"),
                        }
                        assert!(asked < Duration::from_secs(120), "it is still taken");
                    }
                })
            })
            .collect();
        until("both know the key", || {
            nodes.iter().all(|n| n.with(&key).get("/v1/keys/self").status == 200).then_some(())
        });
        nodes[0].with(&admin).send("DELETE", &format!("/v1/keys/{}", key.id()), &[], b"").unwrap().expect(200);
        let revoked = began.elapsed();
        let last: Vec<Duration> = senders.into_iter().map(|sender| sender.join().unwrap()).collect();
        last.iter().map(|last| last.saturating_sub(revoked)).collect::<Vec<_>>()
    });
    assert!(last_taken.iter().all(|after| *after < Duration::from_secs(5)), "taken so long after: {last_taken:?}");
    let acknowledged: Vec<BTreeSet<String>> = loads.into_iter().map(Traffic::finish).collect();
    assert!(acknowledged.iter().all(|keys| keys.len() >= 20));
    Ok(())
}

fn jobs_move_when_their_node_is_killed(env: &Env) -> TestResult {
    let mut nodes = [node(env, "a", &[]), node(env, "b", &[])];
    send(&nodes[1].client, "s", 0, 5);
    reaches(&nodes[1].client, "s", 5);
    // It dies at a tick: its sessions wait for a lock, with the job's lock held.
    let sql = env.sql();
    sql.run("BEGIN; LOCK TABLE lock_sequencer IN EXCLUSIVE MODE");
    until("a tick waits", || env.sql().one::<bool>(TICK_WAITS).then_some(()));
    nodes[0].kill();
    sql.run("COMMIT");
    let killed = Instant::now();
    send(&nodes[1].client, "s", 5, 5);
    reaches(&nodes[1].client, "s", 10);
    assert!(killed.elapsed() < Duration::from_secs(5), "{:?}", killed.elapsed());
    Ok(())
}

const TICK_WAITS: &str =
    "SELECT EXISTS (SELECT FROM pg_locks WHERE relation = 'lock_sequencer'::regclass AND NOT granted)";

fn jobs_move_when_their_node_is_stopped(env: &Env) -> TestResult {
    let first = node(env, "a", &[]);
    send(&first.client, "s", 0, 5);
    reaches(&first.client, "s", 5);
    let sql = env.sql();
    sql.run("BEGIN; LOCK TABLE lock_sequencer IN EXCLUSIVE MODE");
    until("a tick waits", || env.sql().one::<bool>(TICK_WAITS).then_some(()));
    first.freeze();
    let frozen = Instant::now();
    // Its session has the lock of ticks from now on, beside that of the job, and nobody who would let them go.
    sql.run("COMMIT");
    let second = node(env, "b", &[]);
    send(&second.client, "s", 5, 5);
    let held = "SELECT EXISTS (SELECT FROM pg_locks l JOIN pg_stat_activity a USING (pid) WHERE l.mode = 'ExclusiveLock' AND granted \
                AND relation IN ('lock_sequencer'::regclass, 'lock_job_sequencer'::regclass) \
                AND state LIKE 'idle in transaction%' AND now() - state_change > INTERVAL '3 s')";
    until("the server has ended its sessions", || (!env.sql().one::<bool>(held)).then_some(()));
    reaches(&second.client, "s", 10);
    assert!(frozen.elapsed() < Duration::from_secs(15), "{:?}", frozen.elapsed());
    // And it goes on where the other is, when it is let.
    first.signal(nix::sys::signal::Signal::SIGCONT);
    stand(env, &[("a", "ready"), ("b", "ready")]);
    send(&first.client, "s", 10, 5);
    reaches(&first.client, "s", 15);
    Ok(())
}

/// Two nodes, of which the first comes to its database by a proxy; the first with these settings.
fn apart(env: &Env, proxy: &Proxy, settings: &[String]) -> [Tidegate; 2] {
    let own = ["data_dir=a".to_owned(), "node.name=a".to_owned()];
    let flags: Vec<String> =
        own.iter().chain(settings).flat_map(|setting| ["--set".to_owned(), setting.clone()]).collect();
    let first = Tidegate::serve(env, &env.variables_all_through(proxy), &flags);
    let second = node(env, "b", &[]);
    stand(env, &[("a", "ready"), ("b", "ready")]);
    [first, second]
}

/// A request that waits in the spool: its receipt.
fn spooled(client: &Client) -> String {
    until("it spools", || {
        let answer = client.events(event(1));
        (answer.status == 202).then(|| answer.json()["receipt"].as_str().unwrap().to_owned())
    })
}

fn receipts_are_answered_by_any_node(env: &Env) -> TestResult {
    let (proxy, door) = (Proxy::start(&env.socket()), Door::open());
    let [first, second] = apart(env, &proxy, &[format!("node.url={}", door.url())]);
    door.lead_to(&first.client.address);
    let key = env.key("default", "ingest");
    first.with(&key).events(event(0)).accepted(1, 0);
    // Both know of each other.
    sees(&second.with(&env.key("default", "operator")), 2);
    proxy.away();
    let receipt = spooled(&first.with(&key));
    let path = format!("/v1/receipts/{receipt}");
    let found = second.with(&key).get(&path).expect(200);
    assert_eq!((&found["status"], &found["receipt"]), (&json!("spooled"), &json!(receipt)), "{found}");
    assert_eq!(found["node"]["name"], "a", "{found}");
    assert_eq!(found, first.with(&key).get(&path).expect(200), "as that node says itself");
    // Also when it is lost for all others, and to nobody else.
    stand(env, &[("a", "lost"), ("b", "ready")]);
    assert_eq!(second.with(&key).get(&path).expect(200)["status"], "spooled");
    let asked = door.connections();
    second.with(&key).get(&format!("/v1/receipts/{}", uuid::Uuid::now_v7())).problem(404, "not_found");
    second.with(&key).get_as(&path, &[("tidegate-asked-by", "x")]).problem(404, "not_found");
    assert_eq!(door.connections(), asked, "nobody is asked who did not give it, nor by who was asked");
    second.with(&env.key("other", "ingest")).get(&path).problem(503, "node_unavailable");
    proxy.back();
    until("it is written", || (second.with(&key).get(&path).expect(200)["status"] == "committed").then_some(()));
    second.with(&env.key("other", "ingest")).get(&path).problem(404, "not_found");
    Ok(())
}

fn receipts_of_a_node_that_cannot_be_asked_are_not_denied(env: &Env) -> TestResult {
    let proxy = Proxy::start(&env.socket());
    let [mut first, second] = apart(env, &proxy, &[]);
    let key = env.key("default", "ingest");
    let answer = first.with(&key).events(event(0)).accepted(1, 0);
    let stored = format!("/v1/receipts/{}", answer["receipt"].as_str().unwrap());
    until("it is known not to be in the spool", || (second.with(&key).get(&stored).status == 404).then_some(()));
    proxy.away();
    let receipt = spooled(&first.with(&key));
    first.kill();
    let path = format!("/v1/receipts/{receipt}");
    let told = second.with(&key).get(&path);
    assert!(told.header("retry-after").parse::<u32>().is_ok(), "{told:?}");
    let told = told.problem(503, "node_unavailable");
    assert!(told["detail"].as_str().unwrap().contains("the node a "), "{told}");
    proxy.back();
    // The node is back, on the same folder: what it had is written, and its row says that nothing is left.
    let _again = node(env, "a", &[]);
    until("it is written", || {
        let answer = second.with(&key).get(&path);
        (answer.status == 200 && answer.json()["status"] == "committed").then_some(())
    });
    assert_eq!(env.sql().count("events"), 2);
    Ok(())
}
