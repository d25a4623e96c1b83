//! Finds the PostgreSQL installations of this machine and chooses the one for a cluster: the cluster's own major
//! version if there is one, else TimescaleDB first and then the newest.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use tokio::process::Command;

use super::error::{Cause, EmbeddedError};
use crate::limits::POSTGRES_MAJOR_MIN;

#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Installation {
    pub bin_dir: PathBuf,
    pub major: u32,
    pub timescaledb: bool,
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

/// The installation for a cluster of major version `cluster_major`, or for a new cluster when that is None.
pub(super) async fn choose(cluster_major: Option<u32>, want_timescaledb: bool) -> Result<Installation, EmbeddedError> {
    let mut found = Vec::new();
    for bin_dir in candidates().await {
        found.extend(inspect(&bin_dir).await);
    }
    pick(&found, cluster_major, want_timescaledb).cloned().ok_or_else(|| not_installed(&found, cluster_major))
}

fn pick(found: &[Installation], cluster_major: Option<u32>, want_timescaledb: bool) -> Option<&Installation> {
    found
        .iter()
        .filter(|i| cluster_major.map_or(i.major >= POSTGRES_MAJOR_MIN, |major| i.major == major))
        .max_by_key(|i| (want_timescaledb && i.timescaledb, i.major))
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
    EmbeddedError::of_kind(
        Cause::NotInstalled,
        format!(
            "{need}, but {seen}; install it (Debian, Ubuntu: apt-get install {package}; `make run` does it), \
             or set database_url to use a server of your own"
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

async fn inspect(bin_dir: &Path) -> Option<Installation> {
    let version = ask(&bin_dir.join("postgres"), "--version").await?;
    let major = parse_major(&version)?;
    let shares = share_dirs(bin_dir, major).await;
    let has = |name: &str| shares.iter().any(|dir| dir.join("extension").join(name).is_file());
    Some(Installation {
        bin_dir: bin_dir.to_owned(),
        major,
        timescaledb: has("timescaledb.control"),
        stat_statements: has("pg_stat_statements.control"),
    })
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

/// The major version in "postgres (PostgreSQL) 15.14 (Debian 15.14-0+deb12u1)" or "... 18beta2".
fn parse_major(version: &str) -> Option<u32> {
    let number = version.split_once("(PostgreSQL) ")?.1;
    let digits = number.find(|c: char| !c.is_ascii_digit()).unwrap_or(number.len());
    number[..digits].parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn installation(major: u32, timescaledb: bool) -> Installation {
        let bin_dir = format!("/pg/{major}/{timescaledb}").into();
        Installation { bin_dir, major, timescaledb, stat_statements: false }
    }

    #[test]
    fn versions_as_packagers_write_them() {
        assert_eq!(parse_major("postgres (PostgreSQL) 15.14 (Debian 15.14-0+deb12u1)"), Some(15));
        assert_eq!(parse_major("postgres (PostgreSQL) 18beta2"), Some(18));
        assert_eq!(parse_major("something else 17"), None);
    }

    #[test]
    fn timescaledb_first_then_the_newest_and_the_clusters_own_version_always() {
        let found = [installation(14, true), installation(15, true), installation(16, false), installation(17, false)];
        let major = |cluster, want| pick(&found, cluster, want).map(|i| i.major);
        assert_eq!(major(None, true), Some(15));
        assert_eq!(major(None, false), Some(17));
        assert_eq!(major(Some(16), true), Some(16));
        assert_eq!(major(Some(18), true), None);
        assert!(not_installed(&found, Some(18)).to_string().contains("postgresql-18"));
    }
}
