//! Finds the PostgreSQL installations of this machine and chooses the one for a cluster: the cluster's own major
//! version if there is one, else TimescaleDB first and then the newest.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use tokio::process::Command;

use super::error::{Cause, EmbeddedError};
use crate::limits::POSTGRES_MAJOR_MIN;

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Installation {
    pub bin_dir: PathBuf,
    pub major: u32,
    /// The server's, such as 15.20.
    pub version: String,
    /// The version that CREATE EXTENSION gives; None: it is not there.
    pub timescaledb: Option<String>,
    pub stat_statements: bool,
}

impl Installation {
    pub fn program(&self, name: &str) -> PathBuf {
        self.bin_dir.join(name)
    }
}

/// Where distributions put server binaries. `*` stands for one version directory.
const KNOWN_PLACES: [(&str, &str, &str); 5] = [
    ("/usr/lib/postgresql", "", "bin"),
    ("/usr", "pgsql-", "bin"),
    ("/usr/local", "pgsql", "bin"),
    ("/opt/homebrew/opt", "postgresql@", "bin"),
    ("/usr/local/opt", "postgresql@", "bin"),
];

/// The installation for a cluster of major version `cluster_major`, or for a new cluster when that is None: in `bin_dir`, or
/// of those that the machine has.
pub(super) async fn choose(
    cluster_major: Option<u32>,
    want_timescaledb: bool,
    bin_dir: Option<&Path>,
) -> Result<Installation, EmbeddedError> {
    let found = match bin_dir {
        Some(bin_dir) => inspect(bin_dir).await.into_iter().collect(),
        None => installations().await,
    };
    pick(&found, cluster_major, want_timescaledb).cloned().ok_or_else(|| not_installed(&found, cluster_major))
}

/// Those that the machine has, on PATH and where distributions put them.
pub async fn installations() -> Vec<Installation> {
    let mut found = Vec::new();
    for bin_dir in candidates().await {
        found.extend(inspect(&bin_dir).await);
    }
    found
}

/// The one that is used of several: of the major version of a cluster, else with TimescaleDB where that is wanted, and then
/// the newest.
pub fn pick(found: &[Installation], cluster_major: Option<u32>, want_timescaledb: bool) -> Option<&Installation> {
    found
        .iter()
        .filter(|i| cluster_major.map_or(i.major >= POSTGRES_MAJOR_MIN, |major| i.major == major))
        .max_by_key(|i| (want_timescaledb && i.timescaledb.is_some(), i.major))
}

fn not_installed(found: &[Installation], cluster_major: Option<u32>) -> EmbeddedError {
    let seen = match found {
        [] => "no PostgreSQL server was found".to_owned(),
        some => {
            let list: Vec<String> = some.iter().map(|i| format!("{} in {}", i.major, i.bin_dir.display())).collect();
            format!("found only PostgreSQL {}", list.join(", "))
        }
    };
    let need = match cluster_major {
        Some(major) => format!("this data directory was made by PostgreSQL {major} and needs that version's server"),
        None => format!("Tidegate needs the server binaries of PostgreSQL {POSTGRES_MAJOR_MIN} or later"),
    };
    let package = cluster_major.map_or("postgresql".to_owned(), |major| format!("postgresql-{major}"));
    let newest = found.iter().max_by_key(|i| i.major).filter(|newest| cluster_major.is_some_and(|m| newest.major > m));
    let upgrade = newest.map_or(String::new(), |newest| {
        format!(
            "; with both versions installed (a distribution that has the old one no longer: apt.postgresql.org) \
             `tidegate upgrade --to-bin {}` makes it one of PostgreSQL {}",
            newest.bin_dir.display(),
            newest.major
        )
    });
    EmbeddedError::of_kind(
        Cause::NotInstalled,
        format!(
            "{need}, but {seen}; install it (Debian, Ubuntu: apt-get install {package}; `make run` does it), \
             or set database_url to use a server of your own{upgrade}"
        ),
    )
}

/// Directories that hold both `postgres` and `initdb`, links resolved: a `postgres` on PATH is often a link into a
/// versioned directory, and the server finds its libraries from where it really is.
async fn candidates() -> BTreeSet<PathBuf> {
    let mut programs: Vec<PathBuf> = std::env::var_os("PATH")
        .map(|path| std::env::split_paths(&path).map(|dir| dir.join("postgres")).collect())
        .unwrap_or_default();
    if let Some(dir) = ask(Path::new("pg_config"), "--bindir").await {
        programs.push(Path::new(&dir).join("postgres"));
    }
    for (parent, prefix, bin) in KNOWN_PLACES {
        let Ok(entries) = std::fs::read_dir(parent) else { continue };
        let versions = entries.flatten().filter(|e| e.file_name().to_string_lossy().starts_with(prefix));
        programs.extend(versions.map(|e| e.path().join(bin).join("postgres")));
    }
    programs
        .iter()
        .filter_map(|program| program.canonicalize().ok())
        .filter_map(|real| real.parent().map(Path::to_owned))
        .filter(|dir| dir.join("initdb").is_file())
        .collect()
}

/// What is installed there; None when there is no server that runs.
pub async fn inspect(bin_dir: &Path) -> Option<Installation> {
    let answer = ask(&bin_dir.join("postgres"), "--version").await?;
    let (version, major) = parse_version(&answer)?;
    let shares = share_dirs(bin_dir, major).await;
    let control = |extension: &str| {
        let file = format!("extension/{extension}.control");
        shares.iter().find_map(|dir| std::fs::read_to_string(dir.join(&file)).ok())
    };
    Some(Installation {
        bin_dir: bin_dir.to_owned(),
        major,
        version,
        timescaledb: control("timescaledb").map(|text| default_version(&text)),
        stat_statements: control("pg_stat_statements").is_some(),
    })
}

/// What stands in an extension's control file as its version: `default_version = '2.28.3'`.
fn default_version(control: &str) -> String {
    let value = control.lines().find_map(|line| {
        let (name, value) = line.split_once('=')?;
        (name.trim() == "default_version").then(|| value.trim().trim_matches('\'').to_owned())
    });
    value.unwrap_or_else(|| "?".into())
}

/// The installation's own answer if it has one; otherwise the places where its files would be.
async fn share_dirs(bin_dir: &Path, major: u32) -> Vec<PathBuf> {
    if let Some(dir) = ask(&bin_dir.join("pg_config"), "--sharedir").await {
        return vec![dir.into()];
    }
    vec![
        bin_dir.join("../share"),
        bin_dir.join("../share/postgresql"),
        format!("/usr/share/postgresql/{major}").into(),
        format!("/usr/pgsql-{major}/share").into(),
    ]
}

async fn ask(program: &Path, option: &str) -> Option<String> {
    let output = Command::new(program).arg(option).output().await.ok()?;
    output.status.success().then(|| String::from_utf8_lossy(&output.stdout).trim().to_owned())
}

/// Version and major version in "postgres (PostgreSQL) 15.14 (Debian 15.14-0+deb12u1)" or "... 18beta2".
fn parse_version(answer: &str) -> Option<(String, u32)> {
    let version = answer.split_once("(PostgreSQL) ")?.1.split_whitespace().next()?;
    let digits = version.find(|c: char| !c.is_ascii_digit()).unwrap_or(version.len());
    Some((version.to_owned(), version[..digits].parse().ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn installation(major: u32, timescaledb: bool) -> Installation {
        let bin_dir = format!("/pg/{major}/{timescaledb}").into();
        let timescaledb = timescaledb.then(|| "2.28.3".to_owned());
        Installation { bin_dir, major, version: format!("{major}.1"), timescaledb, stat_statements: false }
    }

    #[test]
    fn versions_as_packagers_write_them() {
        let parsed = |answer| parse_version(answer);
        assert_eq!(parsed("postgres (PostgreSQL) 15.14 (Debian 15.14-0+deb12u1)"), Some(("15.14".into(), 15)));
        assert_eq!(parsed("postgres (PostgreSQL) 18beta2"), Some(("18beta2".into(), 18)));
        assert_eq!(parsed("something else 17"), None);
        assert_eq!(default_version("# x\ncomment = 'a = b'\ndefault_version = '2.29.2'\n"), "2.29.2");
    }

    #[test]
    fn timescaledb_first_then_the_newest_and_the_clusters_own_version_always() {
        let found = [installation(14, true), installation(15, true), installation(16, false), installation(17, false)];
        let major = |cluster, want| pick(&found, cluster, want).map(|i| i.major);
        assert_eq!(major(None, true), Some(15));
        assert_eq!(major(None, false), Some(17));
        assert_eq!(major(Some(16), true), Some(16));
        assert_eq!(major(Some(18), true), None);
        let newer = not_installed(&found, Some(18)).to_string();
        assert!(newer.contains("postgresql-18") && !newer.contains("upgrade"), "{newer}");
        let older = not_installed(&found[1..], Some(14)).to_string();
        assert!(
            older.contains("postgresql-14") && older.contains("`tidegate upgrade --to-bin /pg/17/false`"),
            "{older}"
        );
        assert!(!not_installed(&found, None).to_string().contains("upgrade"));
    }
}
