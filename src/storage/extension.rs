//! TimescaleDB as a database has it: which version, which edition, and what is wrong with it.

use tokio_postgres::Client;

use super::StorageError;

/// First TimescaleDB release that has what direct compress into the columnstore needs.
const VERSION_MIN: (u32, u32, u32) = (2, 28, 1);
/// The same in words, with the edition.
pub const TIMESCALEDB_SUPPORTED: &str = "2.28.1 or newer in its Community edition";

/// Whether this version is one that Tidegate uses.
pub fn is_supported(version: &str) -> bool {
    version_of(version) >= VERSION_MIN
}

pub(super) struct Extension {
    pub version: String,
    /// None: the library is not loaded.
    pub license: Option<String>,
}

impl Extension {
    /// None: it is not in this database. Looks only.
    pub async fn look(client: &Client) -> Result<Option<Self>, StorageError> {
        let sql = "SELECT extversion, current_setting('timescaledb.license', true) FROM pg_extension \
                   WHERE extname = 'timescaledb'";
        let row = client.query_opt(sql, &[]).await?;
        Ok(row.map(|row| Self { version: row.get(0), license: row.get(1) }))
    }

    /// Why hypertables cannot be kept with it, and what to do.
    pub fn fault(&self) -> Option<(String, &'static str)> {
        let version = &self.version;
        match self.license.as_deref() {
            None => Some((
                format!("TimescaleDB {version} is in this database, but the server does not load it"),
                "add timescaledb to shared_preload_libraries and restart the server",
            )),
            Some("timescale") if !is_supported(version) => Some((
                format!("this server has TimescaleDB {version}; {TIMESCALEDB_SUPPORTED} is needed"),
                "update the extension: ALTER EXTENSION timescaledb UPDATE, as the first statement of a session",
            )),
            Some("timescale") => None,
            Some(_) => Some((
                format!(
                    "this server has TimescaleDB {version} in its Apache-2 edition, which lacks compression and \
                     continuous aggregates"
                ),
                "install the Community edition (timescaledb.license = timescale)",
            )),
        }
    }
}

fn version_of(text: &str) -> (u32, u32, u32) {
    let mut parts = text.split(['.', '-']).map(|part| part.parse().unwrap_or(0));
    let mut next = || parts.next().unwrap_or(0);
    (next(), next(), next())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_compare_by_number() {
        assert!(["2.28.1", "2.28.3", "2.29.0-dev", "2.29.2", "2.100.0", "3.0.0"].into_iter().all(is_supported));
        assert!(!["2.9.1", "2.28.0", "1.99.9", "?", ""].into_iter().any(is_supported));
    }

    #[test]
    fn what_is_wrong_is_told_apart() {
        let fault = |version: &str, license: Option<&str>| {
            Extension { version: version.into(), license: license.map(str::to_owned) }.fault().map(|(found, _)| found)
        };
        assert_eq!(fault("2.28.3", Some("timescale")), None);
        assert!(fault("2.28.3", Some("apache")).is_some_and(|found| found.contains("Apache-2")));
        assert!(fault("2.28.0", Some("timescale")).is_some_and(|found| found.contains("2.28.1 or newer")));
        assert!(fault("2.28.3", None).is_some_and(|found| found.contains("does not load it")));
    }
}
