//! Grafana's dashboards: each file as Grafana takes it, each query of SQL run as the login that it is for, each metric one that there is.
//!
//! No Grafana runs here. What it does with a query before PostgreSQL has it is in `crate::grafana`.

use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::process::Command;

use jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};
use tidegate::telemetry::{METRICS, MetricKind};
use tokio_postgres::SimpleQueryMessage;

use crate::client::Client;
use crate::env::{Engine, Env, TestResult, until};
use crate::grafana::{
    Shown, Values, dashboards, folder, given, interpolated, list, metrics_of, panels, sql_of_variable, text,
};
use crate::groups::{make, tell};
use crate::logins::as_superuser;
use crate::postgres::Sql;
use crate::samples::seconds_from_now;
use crate::streams::reaches;

/// Part of what every row of the other organization has, and no row of the first.
const OTHERS: &str = "rival";
/// Panels that have nothing to show in a database where all is well: their rows may be 0.
const QUIET: [&str; 1] = ["Locks waited for"];

/// Each file against the schema, and what a schema does not say.
pub fn structure(_: &Env) -> TestResult {
    let schema: Value = serde_json::from_str(include_str!("../../grafana/dashboard.schema.json"))?;
    let schema = jsonschema::validator_for(&schema)?;
    let dashboards = dashboards();
    assert_eq!(
        dashboards.keys().map(String::as_str).collect::<Vec<_>>(),
        ["correlations", "database", "events", "groups", "ingest", "metrics", "tenants"]
    );
    for (name, dashboard) in &dashboards {
        let errors: Vec<String> =
            schema.iter_errors(dashboard).map(|error| format!("{}: {error:.300}", error.instance_path())).collect();
        assert_eq!(errors, [""; 0], "{name}");
        assert_eq!(text(dashboard, "uid"), format!("tidegate-{name}"));
        let mut ids = HashSet::new();
        let mut taken = HashSet::new();
        for panel in list(dashboard, "/panels") {
            let title = text(panel, "title");
            assert!(ids.insert(panel["id"].as_u64()), "{name}: the id of {title} is another's");
            let [x, y, w, h] = ["x", "y", "w", "h"].map(|side| panel["gridPos"][side].as_u64().unwrap());
            assert!(x + w <= 24, "{name}: {title} is wider than the page");
            for cell in (x..x + w).flat_map(|x| (y..y + h).map(move |y| (x, y))) {
                assert!(taken.insert(cell), "{name}: {title} lies on another panel at {cell:?}");
            }
        }
        // A data source is a variable, and every variable that a query names is there.
        let variables: BTreeSet<&str> = list(dashboard, "/templating/list").map(|of| text(of, "name")).collect();
        let known: Values = variables.iter().map(|name| ((*name).to_owned(), vec!["x".to_owned()])).collect();
        for (_, targets) in panels(dashboard) {
            for target in targets {
                let query = target["rawSql"].as_str().unwrap_or_else(|| text(target, "expr"));
                // Panics where one is missing.
                interpolated(query, &known);
                let source = target["datasource"]["uid"].as_str().unwrap().trim_matches(['$', '{', '}']);
                assert!(variables.contains(source), "{name}: {source} is no variable");
            }
        }
    }
    let uids: BTreeSet<&str> = dashboards.values().map(|dashboard| text(dashboard, "uid")).collect();
    assert_eq!(uids.len(), dashboards.len(), "each its own");
    provisioned()
}

/// What provisioning says goes with what the dashboards ask for.
fn provisioned() -> TestResult {
    let read = |path: &str| -> Result<Value, Box<dyn std::error::Error>> {
        Ok(serde_yaml_ng::from_str(&std::fs::read_to_string(folder().join("provisioning").join(path))?)?)
    };
    let sources = read("datasources/tidegate.yml")?;
    let kinds: Vec<&str> = list(&sources, "/datasources").map(|source| text(source, "type")).collect();
    assert_eq!(kinds, ["grafana-postgresql-datasource", "prometheus"]);
    let sql = &sources["datasources"][0];
    assert_eq!(
        sql["secureJsonData"]["password"], "$__file{/run/secrets/grafana_reader_password}",
        "in no file of ours"
    );
    let connections = sql["jsonData"]["maxOpenConns"].as_u64().unwrap();
    assert!(connections < 5, "a login for people has five sessions: {connections}");
    let providers = read("dashboards/tidegate.yml")?;
    assert_eq!(providers["providers"][0]["options"]["path"], "/etc/grafana/dashboards");
    Ok(())
}

/// Every query on data that fits it, as an operator's login, and where tenants have the dashboard as a tenant's as well.
pub fn rows(env: &Env) -> TestResult {
    let tidegate = env.serve();
    let client = &tidegate.client;
    feed(client, &tidegate.with(&env.key(OTHERS, "ingest,read")));
    // Shown is what the commands' logins may see.
    let operator = Login::make(env, "ops", None);
    let tenant = Login::make(env, "eve", Some("default"));
    let now = Timestamp::now();
    let shown = |timescaledb| Shown {
        from: now - SignedDuration::from_hours(24),
        to: now + SignedDuration::from_mins(10),
        timescaledb,
    };
    for (name, dashboard) in &dashboards() {
        let is_tenants = list(dashboard, "/tags").any(|tag| tag == "tenants");
        for (login, is_whole) in [(Some(&operator), true), (is_tenants.then_some(&tenant), false)] {
            let Some(login) = login else { continue };
            for timescaledb in [false, true] {
                // Where there is no TimescaleDB, a data source that says so is wrong.
                if !timescaledb || env.engine == Engine::Timescale {
                    run(&format!("{name} as {}", login.name), dashboard, &login.sql, &shown(timescaledb), is_whole);
                }
            }
        }
    }
    // Followers are told of once there was one.
    client.get("/v1/streams/orders/events?offset=latest&wait=1ms").expect(200);
    // What the sequencer finds when it begins was there before, and is appended by no tick.
    client.events(r#"{"event_type":"t","source_module":"m","stream":"orders","payload":{}}"#).accepted(1, 0);
    reaches(client, "orders", 41);
    let operator = tidegate.with(&env.key("default", "operator"));
    named(&operator);
    // A level that an alert names is one that there is.
    for level in include_str!("../../../deploy/alerts.yml").split("{level").skip(1) {
        let level = level.split('"').nth(1).unwrap();
        let told = format!(r#"tidegate_rollup_lag_seconds{{level="{level}"}}"#);
        until(&told, || operator.get("/metrics").text().contains(&told).then_some(()));
    }
    let silent = r#"tidegate_tenant_assets_silent{tenant="default"} 1"#;
    until("who has fallen silent is told", || client.get("/metrics").text().contains(silent).then_some(()));
    assert!(!client.get("/metrics").text().contains(OTHERS), "of another organization");
    Ok(())
}

/// A login, ended with the test: roles are the cluster's.
struct Login<'a> {
    env: &'a Env,
    name: String,
    sql: Sql,
}

impl<'a> Login<'a> {
    fn make(env: &'a Env, who: &str, organization: Option<&str>) -> Self {
        let name = format!("{who}_{}", env.database());
        let of = organization.map(|organization| ["--org", organization]);
        let arguments = ["readers", "create", &name, "--json"];
        let made: Vec<&str> = arguments.into_iter().chain(of.into_iter().flatten()).collect();
        as_superuser(env, &made).json();
        let sql = Sql::bare(&env.url(&name));
        Self { env, name, sql }
    }
}

impl Drop for Login<'_> {
    fn drop(&mut self) {
        let _ = as_superuser(self.env, &["readers", "revoke", &self.name]);
    }
}

/// Events of two modules and all severities, a chain for each five of them, a deployment, what is refused; samples of a counter, now and
/// a week ago; an asset that has fallen silent; a group with a parked event. Of the other organization a little of each.
fn feed(client: &Client, other: &Client) {
    let severities = ["info", "warning", "error", "critical"];
    let event = |n: usize| {
        json!({ "event_type": format!("t{}", n % 3), "source_module": format!("m{}", n % 2), "stream": "orders",
            "timestamp": seconds_from_now(20 * i64::try_from(n).unwrap() - 1200), "severity": severities[n % 4],
            "asset_id": format!("a{}", n % 2), "correlation_id": format!("00000000-0000-4000-8000-{:012}", n / 5),
            "payload": { "n": n } })
    };
    let mut events: Vec<Value> = (0..40).map(event).collect();
    let deployment = json!({ "deployment_id": "d", "service": "checkout", "version": "1" });
    events.extend([
        json!({ "event_type": "deployment.started", "source_module": "ci", "timestamp": seconds_from_now(-1500), "payload": deployment }),
        json!({ "event_type": "t", "source_module": "m", "asset_id": "silent", "timestamp": seconds_from_now(-7200), "payload": {} }),
        json!({ "source_module": "m" }),
    ]);
    client.events(Value::from(events).to_string()).accepted(42, 1);
    let sample = |asset: &str, n: i64, before_s: i64| {
        json!({ "asset_id": asset, "metric_name": "requests", "metric_type": "counter", "dimensions": { "region": "eu" },
            "timestamp": seconds_from_now(60 * n - 1800 - before_s), "value": n * 10 + 1 })
    };
    let week_s = 7 * 86_400;
    let samples: Vec<Value> = (0..20)
        .flat_map(|n| ["a0", "a1"].map(|asset| [sample(asset, n, 0), sample(asset, n, week_s)]))
        .flatten()
        .collect();
    client.metrics(Value::from(samples).to_string()).accepted(80, 0);
    let theirs = json!([
        { "event_type": "rival.t", "source_module": "rival", "asset_id": "rival", "stream": "rival", "severity": "rival",
          "correlation_id": "00000000-0000-4000-8000-00000000000a", "payload": { "of": "rival" } },
        { "event_type": "deployment.started", "source_module": "rival", "payload": { "deployment_id": "rival", "service": "rival" } },
    ]);
    other.events(theirs.to_string()).accepted(2, 0);
    other.metrics(json!({ "asset_id": "rival", "metric_name": "rival", "value": 1 }).to_string()).accepted(1, 0);
    reaches(client, "orders", 40);
    make(client, "orders", json!({ "name": "billing" }));
    tell(client, "orders", "billing", "park", json!({ "offset": 1, "reason": "not now" })).expect(200);
}

/// Variables, then annotations and panels; `is_whole`: whether the login sees every organization.
fn run(what: &str, dashboard: &Value, sql: &Sql, shown: &Shown, is_whole: bool) {
    let mut values = Values::new();
    let mut has_others = false;
    for variable in list(dashboard, "/templating/list") {
        let name = text(variable, "name");
        let found = match sql_of_variable(variable) {
            Some(query) => {
                let query = shown.expanded(&interpolated(query, &values));
                // Jobs may not be there yet.
                let rows = until(&format!("{what}: ${name} has values: {query}"), || {
                    Some(rows_of(sql, &query)).filter(|rows| !rows.is_empty())
                });
                let mut found: Vec<String> = rows.into_iter().map(|row| row["0"].clone().unwrap()).collect();
                has_others |= found.iter().any(|value| value.contains(OTHERS));
                if variable["multi"] == false {
                    // The first one that is there is chosen, of this organization.
                    found.retain(|value| !value.contains(OTHERS));
                    found.truncate(1);
                }
                found
            }
            None => given(variable).unwrap_or_default(),
        };
        values.insert(name.to_owned(), found);
    }
    for annotation in list(dashboard, "/annotations/list").filter(|of| of["target"].is_object()) {
        let query = shown.expanded(&interpolated(text(&annotation["target"], "rawSql"), &values));
        until(&format!("{what}: annotations have rows: {query}"), || (!rows_of(sql, &query).is_empty()).then_some(()));
    }
    for (panel, targets) in panels(dashboard) {
        let title = text(panel, "title");
        for target in targets.iter().filter(|target| target["rawSql"].is_string()) {
            let query = shown.expanded(&interpolated(text(target, "rawSql"), &values));
            let is_series = target["format"] == "time_series";
            let rows = until(&format!("{what}: {title} has rows: {query}"), || {
                let rows = rows_of(sql, &query);
                let says =
                    |row: &Row| QUIET.contains(&title) || row.iter().any(|(of, cell)| tells(of, cell.as_deref()));
                rows.iter().any(says).then_some(rows)
            });
            if is_series {
                assert!(rows[0].contains_key("time"), "{what}: {title} has no column time: {query}");
                assert!(rows[0].len() > 2, "{what}: {title} has no value: {query}");
            }
            has_others |= rows.iter().flat_map(BTreeMap::values).flatten().any(|cell| cell.contains(OTHERS));
        }
    }
    let asks = panels(dashboard).any(|(_, targets)| targets.iter().any(|target| target["rawSql"].is_string()));
    let names_tenants = list(dashboard, "/templating/list").any(|of| of["name"] == "tenant");
    if asks && names_tenants {
        assert_eq!(has_others, is_whole, "{what}: rows of the other organization");
    }
}

/// Whether a cell says more than that nothing is there.
fn tells(column: &str, cell: Option<&str>) -> bool {
    column != "time" && cell.is_some_and(|cell| !matches!(cell, "" | "0"))
}

/// A row by the names of its columns, and the first column under "0" as well.
type Row = BTreeMap<String, Option<String>>;

fn rows_of(sql: &Sql, query: &str) -> Vec<Row> {
    let answer = sql.with(async |client| client.simple_query(query).await);
    let messages = answer.unwrap_or_else(|error| panic!("{query}: {error:?}"));
    let row = |message: SimpleQueryMessage| match message {
        SimpleQueryMessage::Row(row) => {
            let cell = |at: usize| row.get(at).map(str::to_owned);
            let named = row.columns().iter().enumerate().map(|(at, column)| (column.name().to_owned(), cell(at)));
            Some(named.chain([("0".to_owned(), cell(0))]).collect())
        }
        _ => None,
    };
    messages.into_iter().filter_map(row).collect()
}

/// Every metric that a panel or a variable of Prometheus names is in /metrics of the running server; of counters, which are there once
/// they have counted, those that it could have.
fn named(operator: &Client) {
    let counters: HashSet<&str> =
        METRICS.iter().filter(|(_, kind, _)| *kind == MetricKind::Counter).map(|(name, ..)| *name).collect();
    let mut asked: BTreeSet<String> = BTreeSet::new();
    for dashboard in dashboards().values() {
        for (_, targets) in panels(dashboard) {
            let expressions = targets.iter().filter_map(|target| target["expr"].as_str());
            asked.extend(expressions.flat_map(metrics_of).map(str::to_owned));
        }
        let variables = list(dashboard, "/templating/list").filter(|variable| variable["query"].is_object());
        asked.extend(variables.flat_map(|variable| metrics_of(text(&variable["query"], "query"))).map(str::to_owned));
    }
    assert!(asked.len() > 40, "{asked:?}");
    for name in asked.iter().filter(|name| !counters.contains(name.as_str())) {
        let is_there = |line: &str| line.split(['{', ' ']).next() == Some(name.as_str());
        until(&format!("{name} is in /metrics"), || {
            operator.get("/metrics").text().lines().any(is_there).then_some(())
        });
    }
}

/// The syntax of every expression, as rules that record it.
pub fn expressions(env: &Env) -> TestResult {
    let mut rules = Vec::new();
    for dashboard in dashboards().values() {
        let names = list(dashboard, "/templating/list").map(|of| (text(of, "name").to_owned(), vec![".*".to_owned()]));
        let values: Values = names.collect();
        for (_, targets) in panels(dashboard) {
            for expression in targets.iter().filter_map(|target| target["expr"].as_str()) {
                rules.push(
                    json!({ "record": format!("panel:{}", rules.len()), "expr": interpolated(expression, &values) }),
                );
            }
        }
    }
    assert!(rules.len() > 50, "{}", rules.len());
    // YAML takes JSON.
    let file = json!({ "groups": [{ "name": "panels", "rules": rules }] }).to_string();
    let path = env.path().join("panels.yml");
    std::fs::write(&path, file)?;
    let output = Command::new("promtool").args(["check", "rules"]).arg(&path).output()?;
    assert!(
        output.status.success(),
        "{}{}",
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    );
    Ok(())
}
