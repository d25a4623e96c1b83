//! curl with a body of each protocol, as docs/agents/curl.md has them: the commands of the page are run as they stand
//! there.

use std::path::Path;

use jiff::Timestamp;

use crate::Trial;
use crate::agent::{Agent, command, without};
use crate::env::{Env, TestResult};
use crate::page::configuration;
use crate::stage::Stage;

pub const TRIALS: &[Trial] = &[Trial { name: "curl", run: curl, missing: || without(Path::new("curl")) }];

/// Blocks of the page; what of them is stored, as events and as metrics; and what they print.
const BLOCKS: [(&str, i64, i64, &str); 9] = [
    ("OTLP logs", 1, 0, "{"),
    ("OTLP metrics", 0, 1, "{"),
    ("OTLP traces", 1, 0, "{"),
    ("InfluxDB 2", 0, 2, "204"),
    ("InfluxDB 1", 0, 1, "204"),
    ("Loki", 2, 0, "204"),
    ("Splunk", 2, 0, "\"code\":0"),
    ("Elasticsearch", 2, 0, "\"errors\":false"),
    ("CloudEvents", 1, 0, "\"accepted\":1"),
];

fn curl(env: &Env) -> TestResult {
    let mut stage = Stage::new(env);
    // The same each time, so that a request can be sent again.
    let now = Timestamp::now().as_second().to_string();
    let run = |stage: &Stage<'_>, name: &str| {
        let text = configuration("curl", name, stage.address(), stage.key(), &[]).replace("$(date +%s)", &now);
        let mut command = command(env, "bash");
        command.args(["-euo", "pipefail", "-c", &text]);
        Agent::start(env, "curl", command).finish().join("\n")
    };
    let (mut events, mut metrics) = (0, 0);
    for (name, more_events, more_metrics, printed) in BLOCKS {
        let said = run(&stage, name);
        assert!(said.contains(printed), "{name}: {said}");
        (events, metrics) = (events + more_events, metrics + more_metrics);
        stage.reaches(&format!("events after {name}"), "SELECT count(*) FROM events", events);
        stage.reaches(&format!("metrics after {name}"), "SELECT count(*) FROM metrics", metrics);
    }
    // The same once more is the same request, where a protocol has no other way to say so.
    stage.goes_away();
    stage.comes_back();
    for (name, ..) in BLOCKS.into_iter().take(3) {
        run(&stage, name);
    }
    stage.reaches("events", "SELECT count(*) FROM events", events);
    stage.reaches("metrics", "SELECT count(*) FROM metrics", metrics);
    stage.is_well();
    Ok(())
}
