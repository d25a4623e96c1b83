//! The OpenTelemetry SDKs of Python and Node.js: logs, spans and metrics over HTTP (protobuf, JSON) and gRPC.

use std::path::Path;
use std::process::Command;

use crate::Trial;
use crate::agent::{Agent, command, program, python, without_node, without_python};
use crate::env::{Env, TestResult};
use crate::page::{configuration, variables};
use crate::stage::Stage;

pub const TRIALS: &[Trial] = &[
    Trial {
        name: "opentelemetry_python_http",
        run: |env| sdk(env, Sdk::Python, "http"),
        missing: || without_python("opentelemetry/exporter/otlp/proto/http"),
    },
    Trial {
        name: "opentelemetry_python_grpc",
        run: |env| sdk(env, Sdk::Python, "grpc"),
        missing: || without_python("opentelemetry/exporter/otlp/proto/grpc"),
    },
    Trial {
        name: "opentelemetry_javascript_json",
        run: |env| sdk(env, Sdk::Node, "http"),
        missing: || without_node("@opentelemetry/exporter-logs-otlp-http"),
    },
    Trial {
        name: "opentelemetry_javascript_protobuf",
        run: |env| sdk(env, Sdk::Node, "proto"),
        missing: || without_node("@opentelemetry/exporter-logs-otlp-proto"),
    },
    Trial {
        name: "opentelemetry_javascript_grpc",
        run: |env| sdk(env, Sdk::Node, "grpc"),
        missing: || without_node("@opentelemetry/exporter-logs-otlp-grpc"),
    },
];

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Sdk {
    Python,
    Node,
}

impl Sdk {
    fn command(self, env: &Env) -> Command {
        match self {
            Self::Python => {
                let mut found = command(env, python("python"));
                found.arg(program("otel.py"));
                found
            }
            Self::Node => {
                let mut found = command(env, Path::new("node"));
                found.arg(program("otel.cjs"));
                found
            }
        }
    }
}

/// Logs and spans of a round, and rounds: as it is, with Tidegate restarted, with PostgreSQL restarted.
const COUNT: i32 = 1000;
const ROUNDS: i32 = 3;
const ALL: i32 = COUNT * ROUNDS;

fn sdk(env: &Env, sdk: Sdk, kind: &str) -> TestResult {
    let mut stage = Stage::new(env);
    let mut command = sdk.command(env);
    let block = if kind == "grpc" { "gRPC" } else { "HTTP" };
    variables(&mut command, &configuration("opentelemetry", block, stage.address(), stage.key(), &[]));
    command.args([kind, "trial", &COUNT.to_string(), &ROUNDS.to_string()]);
    let mut agent = Agent::start(env, "opentelemetry", command);
    agent.says("round");

    stage.goes_away();
    if (sdk, kind) == (Sdk::Node, "grpc") {
        // It repeats nothing that was reset.
        stage.comes_back();
        agent.goes_on();
    } else {
        agent.goes_on();
        stage.is_missed();
        stage.comes_back();
    }
    let told = agent.says("round");
    assert_eq!((&told["logs"], &told["spans"]), (&(2 * COUNT).into(), &(2 * COUNT).into()), "{told}");

    stage.database_goes_away();
    agent.goes_on();
    stage.spools();
    stage.database_comes_back();
    let told = agent.says("failed");
    assert_eq!((&told["logs"], &told["spans"]), (&ALL.into(), &ALL.into()), "{told}: {}", agent.logged());
    agent.finish();

    stage.reaches("logs and spans", "SELECT count(*) FROM events", i64::from(2 * ALL));
    for (what, which) in [("spans", "event_type = 'trace.span'"), ("logs", "event_type <> 'trace.span'")] {
        // Each has its number in its name or body, and in an attribute.
        let numbers = format!("SELECT substring(payload::text FROM 'order ([0-9]+)')::int FROM events WHERE {which}");
        stage.is_whole(what, &numbers, ALL);
    }
    logs_are_right(&stage);
    metrics_are_right(&stage);
    stage.is_well();
    Ok(())
}

/// What the program gave each record, by number, is what the rows have.
fn logs_are_right(stage: &Stage<'_>) {
    let sql = stage.sql();
    let logs = "FROM events WHERE event_type <> 'trace.span'";
    assert_eq!(sql.column::<String>(&format!("SELECT DISTINCT source_module {logs}")), ["checkout"]);
    assert_eq!(sql.column::<String>(&format!("SELECT DISTINCT asset_id {logs}")), ["web-1"]);
    assert_eq!(sql.column::<String>(&format!("SELECT DISTINCT environment {logs}")), ["trial"]);
    let severities = format!("SELECT lower(severity) || ' ' || count(*) {logs} GROUP BY severity ORDER BY 1");
    let warnings = ALL / 10;
    let expected = [format!("info {}", ALL - warnings), format!("warn {warnings}")];
    assert_eq!(sql.column::<String>(&severities), expected);
}

/// The last sum of a counter and of what a histogram has counted: both are cumulative.
fn metrics_are_right(stage: &Stage<'_>) {
    let sql = stage.sql();
    let newest = |name: &str, value: &str, by: &str| {
        format!(
            "SELECT sum(found)::bigint FROM (SELECT DISTINCT ON ({by}) {value} AS found FROM metrics \
             WHERE metric_name = '{name}' ORDER BY {by}, timestamp DESC) AS newest"
        )
    };
    assert_eq!(sql.one::<Option<i64>>(&newest("orders", "value_sum", "series_id")), Some(i64::from(ALL)));
    assert_eq!(sql.one::<Option<i64>>(&newest("latency_count", "value_sum", "series_id")), Some(i64::from(ALL)));
    assert_eq!(sql.one::<Option<i64>>(&newest("depth", "value_sum", "series_id")), Some(i64::from(7 * ROUNDS)));
}
