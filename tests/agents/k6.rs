//! k6 with each output that speaks a protocol of Tidegate: InfluxDB's, remote write, OTLP over HTTP and over gRPC. It
//! repeats nothing: PostgreSQL is restarted while it sends, and Tidegate afterwards.

use crate::Trial;
use crate::agent::{Agent, command, folder, program, python};
use crate::env::{Env, TestResult, until};
use crate::page::{configuration, variables};
use crate::stage::Stage;

pub const TRIALS: &[Trial] = &[
    Trial { name: "k6_influxdb", run: |env| k6(env, "influxdb"), missing },
    Trial { name: "k6_prometheus_remote_write", run: |env| k6(env, "remote write"), missing },
    Trial { name: "k6_opentelemetry_http", run: |env| k6(env, "OTLP/HTTP"), missing },
    Trial { name: "k6_opentelemetry_grpc", run: |env| k6(env, "OTLP/gRPC"), missing },
];

/// Iterations, each of which makes three samples of its own.
const ALL: i64 = 2000;

fn missing() -> Option<String> {
    (!python("k6").exists())
        .then(|| format!("k6 is not installed in {}: scripts/install-agents does", folder().display()))
}

fn k6(env: &Env, output: &str) -> TestResult {
    let mut stage = Stage::new(env);
    let text = configuration("k6", output, stage.address(), stage.key(), &[]);
    // Variables, and at the end the command.
    let (set, line) = text.trim_end().rsplit_once('\n').expect("a command behind its variables");
    let mut command = command(env, python("k6"));
    variables(&mut command, set);
    let out = line.split_whitespace().skip_while(|word| *word != "--out").nth(1).expect("an output");
    let out = out.trim_matches('"').to_owned();
    command.args(["run", "--no-usage-report", "--quiet", "--address", "", "--out", &out]);
    command.env("COUNT", ALL.to_string()).env("K6_NO_USAGE_REPORT", "true").args(["-e", &format!("COUNT={ALL}")]);
    command.arg(program("k6.js"));
    let mut agent = Agent::start(env, "k6", command);

    let sql = stage.sql();
    until("the first samples are stored", || (sql.count("metrics") > 0).then_some(()));
    drop(sql);
    stage.database_goes_away();
    stage.spools();
    stage.database_comes_back();
    let told = agent.says("orders");
    assert_eq!((&told["orders"], &told["waits"]), (&ALL.into(), &ALL.into()), "{told}");
    let log = agent.logged();
    agent.finish();
    // It warns of the seconds that an answer took without the database.
    assert!(!log.contains("level=error"), "{log}");
    stage.goes_away();
    stage.comes_back();

    let sql = stage.sql();
    if output == "influxdb" {
        // Every sample for itself.
        for (name, sum) in [("orders", ALL), ("depth", ALL * (ALL - 1) / 2), ("wait", ALL * (ALL - 1) / 2)] {
            let found = format!("SELECT count(*) FROM metrics WHERE metric_name LIKE '{name}%'");
            stage.reaches(name, &found, ALL);
            let found = format!("SELECT sum(value_sum)::bigint FROM metrics WHERE metric_name LIKE '{name}%'");
            assert_eq!(sql.one::<i64>(&found), sum, "{name}");
        }
    } else {
        // What they have come to, series by series: the last sample says all of it.
        let newest = "SELECT sum(found)::bigint FROM (SELECT DISTINCT ON (series_id) value_sum AS found FROM metrics \
                      WHERE metric_name IN ('orders', 'k6_orders_total') ORDER BY series_id, timestamp DESC) AS newest";
        assert_eq!(sql.one::<Option<i64>>(newest), Some(ALL), "{output}");
    }
    stage.is_well();
    Ok(())
}
