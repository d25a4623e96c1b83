//! The client libraries of InfluxDB 1, 2 and 3 for Python: line protocol over HTTP.

use crate::Trial;
use crate::agent::{Agent, command, program, python, without_python};
use crate::env::{Env, TestResult};
use crate::stage::Stage;

pub const TRIALS: &[Trial] = &[
    Trial { name: "influxdb_python_1", run: |env| client(env, "1"), missing: || without_python("influxdb") },
    Trial {
        name: "influxdb_client_python",
        run: |env| client(env, "2"),
        missing: || without_python("influxdb_client"),
    },
    Trial { name: "influxdb3_python", run: |env| client(env, "3"), missing: || without_python("influxdb_client_3") },
];

const COUNT: i32 = 2000;
const ROUNDS: i32 = 3;
const ALL: i32 = COUNT * ROUNDS;

/// The number of each point is the value of its field `n`, and twice that of `half`.
fn field(name: &str, value: &str) -> String {
    format!("SELECT ({value})::int FROM metrics WHERE metric_name ~ '[._]{name}$'")
}

fn client(env: &Env, version: &str) -> TestResult {
    let mut stage = Stage::new(env);
    let mut command = command(env, python("python"));
    command.arg(program("influx.py")).args([version, &stage.url(), stage.key(), "trial"]);
    command.args([COUNT.to_string(), ROUNDS.to_string()]);
    let mut agent = Agent::start(env, "influxdb", command);
    if version != "3" {
        let ping = agent.says("ping");
        assert!(ping["ping"] == true || ping["ping"].is_string(), "{ping}");
    }
    agent.says("round");

    stage.goes_away();
    agent.goes_on();
    stage.is_missed();
    stage.comes_back();
    agent.says("round");
    // It may have said so before it had an answer.
    let of_n = "SELECT count(*) FROM metrics WHERE metric_name ~ '[._]n$'";
    stage.reaches("points", of_n, i64::from(2 * COUNT));

    stage.database_goes_away();
    agent.goes_on();
    stage.spools();
    stage.database_comes_back();
    let told = agent.says("round");
    assert_eq!(told["points"], ALL);
    agent.finish();

    stage.reaches("points", of_n, i64::from(ALL));
    stage.is_whole("points by their number", &field("n", "value_sum"), ALL);
    stage.is_whole("points by half of it", &field("half", "value_sum * 2"), ALL);
    let sql = stage.sql();
    // Each a microsecond after the one before.
    let spread = "SELECT (extract(epoch FROM max(timestamp) - min(timestamp)) * 1e6)::bigint FROM metrics";
    assert_eq!(sql.one::<i64>(spread), i64::from(ALL - 1));
    let host = "SELECT count(DISTINCT asset_id) FROM metrics WHERE asset_id LIKE 'web-_'";
    assert_eq!(sql.one::<i64>(host), 4);
    let room = "SELECT count(*) FROM metrics WHERE metric_name ~ '[._]n$' AND dimensions->>'room' = 'größe, 1=2'";
    assert_eq!(sql.one::<i64>(room), i64::from(ALL));
    stage.is_well();
    Ok(())
}
