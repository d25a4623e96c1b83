//! What was measured, as `points.toml` has it.

use std::collections::BTreeMap;

use serde::Deserialize;

const TEXT: &str = include_str!("points.toml");

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Engine {
    Timescale,
    Postgres,
}

impl Engine {
    pub const ALL: [Self; 2] = [Self::Timescale, Self::Postgres];

    pub fn name(self) -> &'static str {
        match self {
            Self::Timescale => "timescale",
            Self::Postgres => "postgres",
        }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Part {
    Node,
    Database,
}

impl Part {
    pub fn name(self) -> &'static str {
        match self {
            Self::Node => "node",
            Self::Database => "database",
        }
    }
}

/// Processor time of an event in one run.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Cost {
    pub of: Part,
    pub engine: Engine,
    pub request: f64,
    pub batch: f64,
    pub us: f64,
    #[serde(default)]
    pub standing: bool,
    #[serde(default)]
    pub fitted: bool,
    pub from: String,
}

/// Events a second of a machine that holds everything.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Rate {
    pub engine: Engine,
    /// Of node, database and sender.
    pub us: [f64; 3],
    pub events_per_second: f64,
    #[serde(default)]
    pub fitted: bool,
    pub not_judged: Option<String>,
    pub from: String,
}

#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Raw {
    pub timescale: [f64; 2],
    pub postgres: [f64; 2],
    pub sender: f64,
    pub from: String,
}

#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Bytes {
    pub body: f64,
    pub from_body: String,
    pub table: BTreeMap<Engine, f64>,
    /// Of the days that are over.
    pub kept: BTreeMap<Engine, f64>,
    pub wal: BTreeMap<Engine, f64>,
    pub from_disk: String,
}

#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Beside {
    pub rollups: BTreeMap<Engine, f64>,
    pub from_rollups: String,
    pub group_database: f64,
    pub group_node: f64,
    pub slow: f64,
    pub quick: f64,
    pub from_group: String,
}

#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Citus {
    pub coordinator: f64,
    pub any_worker: f64,
    pub owner: f64,
    pub without: f64,
    pub from: String,
}

/// A ratio that may be there one day.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Measured {
    pub value: Option<f64>,
    pub from: String,
}

#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Assumed {
    pub request: f64,
    pub batch: f64,
    pub peak: f64,
    pub groups: f64,
    pub busy: f64,
    pub node_cores: f64,
    pub worker_cores: f64,
    pub days: f64,
    pub disk_iops: f64,
    pub disk_mib: f64,
    pub disk_gib: f64,
    pub connections: f64,
    pub network_gbit: f64,
    pub writers: f64,
    pub readers: f64,
    pub cells: f64,
}

#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Points {
    pub cost: Vec<Cost>,
    pub rate: Vec<Rate>,
    pub raw: Raw,
    pub bytes: Bytes,
    pub beside: Beside,
    pub citus: Citus,
    pub measured: BTreeMap<String, Measured>,
    pub assumed: Assumed,
}

impl Points {
    pub fn read() -> Self {
        toml::from_str(TEXT).unwrap_or_else(|error| panic!("load-tests/scaling/points.toml: {error}"))
    }

    pub fn raw_us(&self, engine: Engine) -> f64 {
        let [database, client] = match engine {
            Engine::Timescale => self.raw.timescale,
            Engine::Postgres => self.raw.postgres,
        };
        database + client
    }
}
