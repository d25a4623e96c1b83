//! What the machine has to test on: its PostgreSQL installations, by number, each with TimescaleDB where it has it and as plain
//! PostgreSQL.
//!
//! Those on PATH and in the distributions' folders are found; others are named by `TIDEGATE_TEST_POSTGRES=bindir:bindir`.

use std::path::Path;
use std::sync::OnceLock;

use tidegate::limits::{POSTGRES_MAJOR_MIN, POSTGRES_MAJOR_TRIED};
use tidegate::storage::embedded::{Installation, inspect, installations, pick};
use tidegate::storage::{TIMESCALEDB_SUPPORTED, is_supported};

use crate::env::Engine;

/// Folders of further installations.
const NAMED: &str = "TIDEGATE_TEST_POSTGRES";
/// Set to run every behaviour on every installation; otherwise further ones get what a version can change.
const EVERYTHING: &str = "TIDEGATE_TEST_EVERYTHING";

/// An engine of an installation.
#[derive(Debug, Clone)]
pub struct Place {
    pub engine: Engine,
    pub installation: Installation,
    /// Whether every behaviour runs there.
    pub whole: bool,
    /// Partitions spread over cells; there is one server, which is coordinator and worker.
    pub citus: bool,
}

impl Place {
    /// Its number and its engine, with which the names of its trials begin: `pg15.20-ts2.28.3::timescale`.
    pub fn name(&self) -> String {
        let Installation { version, timescaledb, .. } = &self.installation;
        if self.citus {
            return format!("pg{version}::citus");
        }
        match (self.engine, timescaledb) {
            (Engine::Timescale, Some(timescaledb)) => format!("pg{version}-ts{timescaledb}::timescale"),
            (engine, _) => format!("pg{version}::{}", engine.as_str()),
        }
    }
}

/// Where tests run, the machine's own installation first, and what there is not: its name and why.
pub struct Found {
    pub places: Vec<Place>,
    pub missing: Vec<(String, String)>,
}

/// Whether every behaviour is asked for, on every installation.
pub fn everything() -> bool {
    std::env::var_os(EVERYTHING).is_some_and(|value| !value.is_empty())
}

/// Looks at the machine.
pub async fn find() -> Found {
    let own = installations().await;
    let mut all = own.clone();
    let named = std::env::var_os(NAMED).unwrap_or_default();
    for bin_dir in std::env::split_paths(&named).filter(|bin_dir| !bin_dir.as_os_str().is_empty()) {
        all.push(of_folder(&bin_dir).await);
    }
    let everything = everything();
    let mut places: Vec<Place> = Vec::new();
    let mut add = |(engine, citus), installation: &Installation, whole: bool| {
        let place = Place { engine, installation: installation.clone(), whole: whole || everything, citus };
        if why_not(&place).is_none() && places.iter().all(|known| known.name() != place.name()) {
            places.push(place);
        }
    };
    for engine in Engine::ALL {
        let wanted = engine == Engine::Timescale;
        let has = |found: &&Installation| !wanted || found.timescaledb.is_some();
        if let Some(whole) = pick(&own, None, wanted).filter(has).or_else(|| pick(&all, None, wanted)) {
            add((engine, false), whole, true);
        }
    }
    for installation in &all {
        Engine::ALL.into_iter().for_each(|engine| add((engine, false), installation, false));
        if has_citus(&installation.bin_dir) {
            add((Engine::Postgres, true), installation, false);
        }
    }
    let missing = missing(&all, &places);
    Found { places, missing }
}

/// Whether the machine has servers of more than one major version: none that is newer otherwise.
pub fn other_majors() -> Option<()> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let places = runtime.block_on(find()).places;
    let first = places.first()?.installation.major;
    places.iter().any(|place| place.installation.major != first).then_some(())
}

/// What the tests of several servers of Citus lack; looked for once, since each of them asks.
pub fn citus_missing() -> Option<String> {
    static MISSING: OnceLock<Option<String>> = OnceLock::new();
    let look = || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let found = runtime.block_on(installations());
        // A server that is started without a folder of programs is of the machine's own.
        let own = pick(&found, None, false)?;
        let lacks = || format!("there is no Citus in the PostgreSQL {} of this machine", own.major);
        (!has_citus(&own.bin_dir)).then(lacks)
    };
    MISSING.get_or_init(look).clone()
}

/// Whether Citus is installed there.
fn has_citus(bin_dir: &Path) -> bool {
    let asked = std::process::Command::new(bin_dir.join("pg_config")).arg("--sharedir").output();
    asked.is_ok_and(|answer| {
        let folder = String::from_utf8_lossy(&answer.stdout).trim().to_owned();
        Path::new(&folder).join("extension/citus.control").exists()
    })
}

async fn of_folder(bin_dir: &Path) -> Installation {
    let found = inspect(bin_dir).await;
    found.unwrap_or_else(|| panic!("{NAMED} names {}, in which no PostgreSQL server runs", bin_dir.display()))
}

/// Why nothing can be tested there.
fn why_not(place: &Place) -> Option<String> {
    let Installation { major, timescaledb, .. } = &place.installation;
    if *major < POSTGRES_MAJOR_MIN {
        return Some(format!("PostgreSQL {major} is older than {POSTGRES_MAJOR_MIN}"));
    }
    match (place.engine, timescaledb) {
        (Engine::Timescale, None) => Some(format!("there is no TimescaleDB in the PostgreSQL {major} of this machine")),
        (Engine::Timescale, Some(version)) if !is_supported(version) => {
            Some(format!("TimescaleDB {version} is not {TIMESCALEDB_SUPPORTED}"))
        }
        _ => None,
    }
}

/// What is supported and was not found, for each major version.
fn missing(all: &[Installation], places: &[Place]) -> Vec<(String, String)> {
    let mut missing = Vec::new();
    for major in POSTGRES_MAJOR_MIN..=POSTGRES_MAJOR_TRIED {
        for engine in Engine::ALL {
            if places.iter().any(|place| (place.engine, place.installation.major) == (engine, major)) {
                continue;
            }
            let there = all.iter().find(|installation| installation.major == major).cloned();
            let why =
                there.and_then(|installation| why_not(&Place { engine, installation, whole: false, citus: false }));
            let why =
                why.unwrap_or_else(|| format!("there is no PostgreSQL {major} on this machine ({NAMED} names more)"));
            missing.push((format!("pg{major}::{}", engine.as_str()), why));
        }
    }
    missing
}
