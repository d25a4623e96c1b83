//! Prometheus with remote_write: what its own database has of a target is what the rows have, sample by sample.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use serde_json::Value;

use crate::Trial;
use crate::agent::{Agent, command, debian, without};
use crate::client::Client;
use crate::env::{Env, TestResult, until};
use crate::gauges::Gauges;
use crate::page::configuration;
use crate::stage::Stage;

pub const TRIALS: &[Trial] = &[Trial { name: "prometheus", run: prometheus, missing }];

/// Its program: the package's that is unpacked, else the machine's.
fn program() -> PathBuf {
    Some(debian("bin/prometheus")).filter(|path| path.exists()).unwrap_or_else(|| Path::new("prometheus").to_owned())
}

pub fn missing() -> Option<String> {
    without(&program()).map(|why| format!("{why}: scripts/install-agents installs it"))
}

/// How often targets are scraped, so that some hundred samples come in seconds.
const INTERVAL: &str = "250ms";

/// Prometheus at work, until its targets are taken away.
pub struct Prometheus<'a> {
    env: &'a Env,
    agent: Agent,
    client: Client,
    config: String,
}

/// A sample: name and labels as they are written, and milliseconds; its value stands beside it.
pub type Samples = BTreeMap<(String, i64), f64>;

impl<'a> Prometheus<'a> {
    /// Starts it with the configuration of a page, on a target that has another name there.
    pub fn start(stage: &Stage<'a>, page: &str, targets: (&str, &str)) -> Self {
        let config = configuration(page, "prometheus.yml", stage.address(), stage.key(), &[targets, ("15s", INTERVAL)]);
        let env = stage.env;
        std::fs::write(env.path().join("prometheus.yml"), &config).unwrap();
        let mut command = command(env, program());
        command.args(["--config.file=prometheus.yml", "--storage.tsdb.path=prometheus", "--web.enable-lifecycle"]);
        command.arg("--web.listen-address=127.0.0.1:0");
        let mut agent = Agent::start(env, "prometheus", command);
        let address = agent.logs("msg=\"Listening on\" address=", "\n");
        until("Prometheus is ready", || {
            let answer = Client::new(&address, None).send("GET", "/-/ready", &[], &[]).ok()?;
            (answer.status == 200).then_some(())
        });
        Self { env, client: Client::new(&address, None), agent, config }
    }

    /// The sum of its own counters of this name.
    fn counter(&self, name: &str) -> f64 {
        let answer = self.client.get("/metrics");
        let lines = answer.text().lines().filter(|line| line.split(['{', ' ']).next() == Some(name));
        lines.map(|line| line.rsplit_once(' ').unwrap().1.parse::<f64>().unwrap()).sum()
    }

    /// Takes its targets away, and waits until all that it has scraped is sent.
    pub fn ends_scraping(&self) {
        let (before, rest) = self.config.split_once("scrape_configs:").expect("targets");
        let (_, after) = rest.split_once("remote_write:").expect("where it writes to, behind its targets");
        let config = format!("{before}\nremote_write:{after}");
        std::fs::write(self.env.path().join("prometheus.yml"), config).unwrap();
        let reloaded = self.client.post("/-/reload", &[], "");
        assert_eq!(reloaded.status, 200, "{}", reloaded.text());
        let mut before = f64::NAN;
        until("Prometheus has sent everything", || {
            let written = self.counter("prometheus_remote_storage_samples_in_total");
            // Each attempt counts.
            let sent = self.counter("prometheus_remote_storage_samples_total")
                - self.counter("prometheus_remote_storage_samples_retried_total");
            let is_over = sent.to_bits() == written.to_bits() && written.to_bits() == before.to_bits();
            before = written;
            is_over.then_some(())
        });
        for lost in ["failed", "dropped"] {
            let name = format!("prometheus_remote_storage_samples_{lost}_total");
            assert!(self.counter(&name) < 0.5, "{lost}: {}", self.agent.logged());
        }
    }

    /// All samples of its own database that are numbers.
    pub fn samples(&self) -> Samples {
        let path = "/api/v1/query?query=%7B__name__%3D~%22.%2B%22%7D%5B1h%5D";
        let answer = self.client.get(path).expect(200);
        let mut found = Samples::new();
        for series in answer["data"]["result"].as_array().unwrap() {
            let mut labels: BTreeMap<&str, &str> = series["metric"]
                .as_object()
                .unwrap()
                .iter()
                .map(|(name, value)| (name.as_str(), value.as_str().unwrap()))
                .collect();
            // Sent with everything, and not kept in its own database.
            labels.insert("cluster", "demo");
            for pair in series["values"].as_array().unwrap() {
                let value: f64 = pair[1].as_str().unwrap().parse().unwrap();
                if value.is_finite() {
                    found.insert((text(&labels), millis(&pair[0])), value);
                }
            }
        }
        found
    }

    pub fn stop(self) {
        self.agent.stop();
    }
}

fn millis(seconds: &Value) -> i64 {
    let text = format!("{:.3}", seconds.as_f64().unwrap());
    text.replace('.', "").parse().unwrap()
}

fn text(labels: &BTreeMap<&str, &str>) -> String {
    serde_json::to_string(labels).unwrap()
}

/// The same of the rows; one that is there twice is a failure.
pub fn stored(stage: &Stage<'_>) -> Samples {
    let rows = stage.sql();
    let rows = rows.rows(
        "SELECT metric_name, asset_id, dimensions::text, (extract(epoch FROM timestamp) * 1000)::bigint, value_sum \
         FROM metrics",
        &[],
    );
    let mut found = Samples::new();
    for row in &rows {
        let (name, asset): (String, String) = (row.get(0), row.get(1));
        let dimensions: Option<String> = row.get(2);
        let dimensions: BTreeMap<String, Value> =
            dimensions.map(|text| serde_json::from_str(&text).unwrap()).unwrap_or_default();
        let mut labels: BTreeMap<&str, &str> =
            dimensions.iter().map(|(name, value)| (name.as_str(), value.as_str().unwrap())).collect();
        labels.insert("__name__", &name);
        labels.insert("instance", &asset);
        let key = (text(&labels), row.get::<_, i64>(3));
        assert!(found.insert(key.clone(), row.get(4)).is_none(), "{key:?} is there twice");
    }
    found
}

/// What one has and the other has not.
pub fn are_equal(sent: &Samples, stored: &Samples) {
    let lost: Vec<_> = sent.iter().filter(|(key, value)| stored.get(*key) != Some(value)).take(10).collect();
    let more: Vec<_> = stored.iter().filter(|(key, _)| !sent.contains_key(*key)).take(10).collect();
    assert!(lost.is_empty() && more.is_empty(), "of {}: lost {lost:?}, too many {more:?}", sent.len());
}

/// Waits until so many more scrapes have been stored.
fn flows(stage: &Stage<'_>, rows: i64) {
    let sql = stage.sql();
    let goal = sql.count("metrics") + rows;
    until("samples are stored", || (sql.count("metrics") >= goal).then_some(()));
}

fn prometheus(env: &Env) -> TestResult {
    let mut stage = Stage::new(env);
    let gauges = Gauges::serve();
    let prometheus = Prometheus::start(&stage, "prometheus", ("localhost:9100", &gauges.address));
    flows(&stage, 100);

    stage.goes_away();
    stage.is_missed();
    stage.comes_back();
    flows(&stage, 100);

    stage.database_goes_away();
    stage.spools();
    stage.database_comes_back();
    flows(&stage, 100);

    prometheus.ends_scraping();
    crate::books::Books::drained(stage.client());
    let (sent, stored) = (prometheus.samples(), stored(&stage));
    println!("prometheus: {} samples of {} scrapes", sent.len(), gauges.scrapes());
    assert!(sent.len() >= 300);
    are_equal(&sent, &stored);
    prometheus.stop();
    stage.is_well();
    Ok(())
}
