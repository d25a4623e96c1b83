//! What speaks Elasticsearch's _bulk: its client for Python, rsyslog's omelasticsearch, syslog-ng's elasticsearch-http.

use crate::Trial;
use crate::agent::{Agent, command, debian, program, python, without_debian, without_python};
use crate::env::{Env, TestResult};
use crate::rsyslog::{NUMBERS, Rsyslog, modules};
use crate::stage::Stage;
use crate::syslog::{rounds, syslog_ng};

pub const TRIALS: &[Trial] = &[
    Trial { name: "elasticsearch_python", run: client, missing: || without_python("elasticsearch") },
    Trial { name: "rsyslog_omelasticsearch", run: omelasticsearch, missing: without_omelasticsearch },
    Trial {
        name: "syslog_ng_elasticsearch",
        run: elasticsearch_http,
        missing: || without_debian("share/syslog-ng/include/scl/elasticsearch/elastic-http.conf"),
    },
];

const COUNT: i32 = 1000;
const ROUNDS: i32 = 3;
const ALL: i32 = COUNT * ROUNDS;

fn client(env: &Env) -> TestResult {
    let mut stage = Stage::new(env);
    let mut command = command(env, python("python"));
    command.arg(program("elastic.py")).args([&format!("{}/elastic", stage.url()), stage.key(), "trial"]);
    command.args([COUNT.to_string(), ROUNDS.to_string()]);
    let mut agent = Agent::start(env, "elasticsearch", command);
    agent.says("version");
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
    assert_eq!(agent.says("round")["documents"], ALL);
    agent.finish();

    stage.reaches("documents", "SELECT count(*) FROM events", ALL.into());
    stage.is_whole("documents", NUMBERS, ALL);
    let sql = stage.sql();
    assert_eq!(sql.one::<i64>("SELECT count(DISTINCT timestamp) FROM events"), i64::from(ALL));
    assert_eq!(sql.one::<i64>("SELECT count(DISTINCT asset_id) FROM events WHERE asset_id LIKE 'web-_'"), 4);
    let severities = "SELECT severity || ' ' || count(*) FROM events GROUP BY severity ORDER BY 1";
    let warnings = ALL / 10;
    assert_eq!(sql.column::<String>(severities), [format!("info {}", ALL - warnings), format!("warning {warnings}")]);
    stage.is_well();
    Ok(())
}

fn without_omelasticsearch() -> Option<String> {
    without_debian("sbin/rsyslogd").or_else(|| {
        let is_there = modules().join("omelasticsearch.so").exists();
        (!is_there).then(|| "rsyslog-elasticsearch is not installed: scripts/install-agents installs it".to_owned())
    })
}

fn omelasticsearch(env: &Env) -> TestResult {
    let mut stage = Stage::new(env);
    let mut rsyslog = Rsyslog::start(&stage, "elasticsearch", "rsyslog.conf", &[]);
    crate::rsyslog::rounds(&mut stage, &mut rsyslog);
    rsyslog.stop();
    Ok(())
}

fn elasticsearch_http(env: &Env) -> TestResult {
    let mut stage = Stage::new(env);
    let library = debian("share/syslog-ng/include/scl/elasticsearch/elastic-http.conf").display().to_string();
    // Where a package that is installed has it, "scl.conf" does.
    let include = format!("@include \"{library}\"");
    let mut agent = syslog_ng(&stage, "elasticsearch", "syslog-ng.conf", &[("@include \"scl.conf\"", &include)]);
    rounds(&mut stage, &mut agent, "error sending HTTP request");
    agent.stop();
    Ok(())
}
