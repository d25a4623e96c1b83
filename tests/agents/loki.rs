//! pino-loki, the transport of Node.js's logger pino, as one of the senders that speak Loki's push. It repeats
//! nothing: Tidegate is restarted between two rounds, and PostgreSQL in the middle of one.

use std::path::Path;

use crate::Trial;
use crate::agent::{Agent, command, program, without_node};
use crate::env::{Env, TestResult};
use crate::rsyslog::NUMBERS;
use crate::stage::Stage;

pub const TRIALS: &[Trial] = &[Trial { name: "pino_loki", run: pino_loki, missing: || without_node("pino-loki") }];

const COUNT: i32 = 1000;
const ROUNDS: i32 = 3;
const ALL: i32 = COUNT * ROUNDS;

fn pino_loki(env: &Env) -> TestResult {
    let mut stage = Stage::new(env);
    let mut command = command(env, Path::new("node"));
    command.arg(program("loki.cjs")).args([&stage.url(), stage.key(), &COUNT.to_string(), &ROUNDS.to_string()]);
    let mut agent = Agent::start(env, "pino-loki", command);
    let lines = "SELECT count(*) FROM events";
    agent.says("round");
    stage.reaches("lines", lines, COUNT.into());

    stage.goes_away();
    stage.comes_back();
    agent.goes_on();
    agent.says("round");
    stage.reaches("lines", lines, (2 * COUNT).into());

    stage.database_goes_away();
    agent.goes_on();
    stage.spools();
    stage.database_comes_back();
    assert_eq!(agent.says("round")["lines"], ALL);
    assert_eq!(agent.logged(), "", "it complains of nothing");
    agent.finish();
    stage.reaches("lines", lines, ALL.into());
    stage.is_whole("lines", NUMBERS, ALL);

    let sql = stage.sql();
    assert_eq!(sql.column::<String>("SELECT DISTINCT asset_id FROM events"), ["web-1"]);
    let severities = "SELECT severity || ' ' || count(*) FROM events GROUP BY severity ORDER BY 1";
    let warnings = ALL / 10;
    assert_eq!(sql.column::<String>(severities), [format!("info {}", ALL - warnings), format!("warning {warnings}")]);
    stage.is_well();
    Ok(())
}
