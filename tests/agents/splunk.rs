//! The package splunk-handler, a handler of Python's logging that speaks to an HTTP Event Collector.

use crate::Trial;
use crate::agent::{Agent, command, program, python, without_python};
use crate::env::{Env, TestResult};
use crate::rsyslog::NUMBERS;
use crate::stage::Stage;

pub const TRIALS: &[Trial] =
    &[Trial { name: "splunk_handler", run: splunk_handler, missing: || without_python("splunk_handler") }];

const COUNT: i32 = 1000;
const ROUNDS: i32 = 3;
const ALL: i32 = COUNT * ROUNDS;

fn splunk_handler(env: &Env) -> TestResult {
    let mut stage = Stage::new(env);
    let (host, port) = stage.address().rsplit_once(':').unwrap();
    let mut command = command(env, python("python"));
    command.arg(program("splunk.py")).args([host, port, stage.key(), &COUNT.to_string(), &ROUNDS.to_string()]);
    let mut agent = Agent::start(env, "splunk-handler", command);
    agent.says("round");

    stage.goes_away();
    agent.goes_on();
    stage.is_missed();
    stage.comes_back();
    agent.says("round");

    stage.database_goes_away();
    agent.goes_on();
    stage.spools();
    stage.database_comes_back();
    assert_eq!(agent.says("round")["lines"], ALL);
    agent.finish();

    stage.reaches("lines", "SELECT count(*) FROM events", ALL.into());
    stage.is_whole("lines", NUMBERS, ALL);
    let sql = stage.sql();
    assert_eq!(sql.column::<String>("SELECT DISTINCT asset_id FROM events"), ["web-1"]);
    assert_eq!(sql.column::<String>("SELECT DISTINCT source_module FROM events"), ["checkout"]);
    stage.is_well();
    Ok(())
}
