//! The private PostgreSQL servers, one for each engine of an installation, started when the first test asks and stopped at the
//! end; and SQL for tests.

use std::fs::Permissions;
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::sync::{Mutex, OnceLock};

use futures_util::TryStreamExt;
use tempfile::TempDir;
use tidegate::storage::embedded::{EmbeddedServer, OWNER, Running};
use tokio::runtime::Runtime;
use tokio_postgres::types::{FromSqlOwned, ToSql};
use tokio_postgres::{Client, NoTls, Row};

use crate::cell_sql::CellSql;
use crate::env::{DEADLINE, Engine, until};
use crate::installations::{self, Found, Place};
use crate::memory_disk;
use crate::private::{self, variables};
use crate::shared::Sharing;

/// The role that `initdb` makes.
pub const SUPERUSER: &str = "postgres";

/// What has the program use cells: one, in which SQL of tests finds what the program has there.
pub const CITUS: [(&str, &str); 2] = [("TIDEGATE_ENGINE", "citus"), ("TIDEGATE_CITUS_CELLS", "1")];

/// A directory that PostgreSQL's account can reach, also when the tests run as root.
pub fn temp_dir() -> TempDir {
    tempfile::Builder::new().prefix("tidegate-").permissions(Permissions::from_mode(0o755)).tempdir().unwrap()
}

/// What a test's database is a copy of: made once, because the extension and the migrations take seconds, and partitions most of
/// a first start.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Template {
    /// With the extension, on the timescale engine, and nothing else.
    Empty,
    /// As `tidegate migrate` leaves it.
    Migrated,
    /// With the partitions that `serve` makes as soon as it runs, and nothing else of it.
    Partitioned,
}

impl Template {
    const ALL: [Self; 3] = [Self::Empty, Self::Migrated, Self::Partitioned];

    fn database(self) -> &'static str {
        match self {
            Self::Empty => "empty",
            Self::Migrated => "migrated",
            Self::Partitioned => "partitioned",
        }
    }
}

struct Server {
    running: Running,
    /// Set when a template is there; the error is why it is not.
    templates: [OnceLock<Result<(), String>>; Template::ALL.len()],
    /// The superuser's connections that no test is making or dropping its database on: a new one costs 10 ms of CPU.
    spare: Mutex<Vec<Sql>>,
    /// Taken at the end: the process exits without dropping what is shared.
    server: Mutex<Option<(EmbeddedServer, TempDir)>>,
}

/// All of them.
pub struct Servers {
    runtime: Runtime,
    found: Found,
    /// One for each place that was found.
    servers: Vec<OnceLock<Server>>,
    /// Likewise.
    sharing: Vec<Sharing>,
}

impl Servers {
    pub fn new() -> Self {
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
        let found = runtime.block_on(installations::find());
        let servers = found.places.iter().map(|_| OnceLock::new()).collect();
        let sharing = found.places.iter().map(|_| Sharing::default()).collect();
        Self { runtime, found, servers, sharing }
    }

    /// Where tests run: numbers of places are those of this list.
    pub fn places(&self) -> &[Place] {
        &self.found.places
    }

    /// What of the supported versions the machine does not have: name and why.
    pub fn missing(&self) -> &[(String, String)] {
        &self.found.missing
    }

    /// The place of an engine on which everything runs.
    pub fn own(&self, engine: Engine) -> Option<usize> {
        self.places().iter().position(|place| place.engine == engine && place.whole)
    }

    fn get(&self, place: usize) -> &Server {
        self.servers[place].get_or_init(|| {
            let dir = memory_disk::folder();
            let mut settings = vec![
                ("max_connections", "400"),
                ("max_prepared_transactions", "20"),
                ("shared_buffers", "256MB"),
                ("max_worker_processes", "64"),
            ];
            let Place { engine, installation, .. } = &self.places()[place];
            if installation.stat_statements {
                // Statements of all tests' databases, of which tests count some.
                settings.push(("pg_stat_statements.max", "50000"));
            }
            let mut config = private::config(dir.path(), *engine, &settings);
            config.bin_dir = Some(installation.bin_dir.clone());
            if let (Engine::Timescale, Some(version)) = (engine, &installation.timescaledb) {
                // The library of its version too, which each session loads by itself otherwise: 10 ms of each of tens of thousands.
                let counts = if installation.stat_statements { ",pg_stat_statements" } else { "" };
                let libraries = format!("timescaledb,timescaledb-{version},timescaledb-tsl-{version}{counts}");
                config.extra_settings.push(("shared_preload_libraries".into(), libraries));
            }
            if self.places()[place].citus {
                // Each test has a database of its own, whose sessions on its one server come beside those of the program.
                let libraries = if installation.stat_statements { "citus,pg_stat_statements" } else { "citus" };
                for (name, value) in [
                    ("shared_preload_libraries", libraries),
                    ("citus.enable_statistics_collection", "off"),
                    ("citus.enable_create_database_propagation", "off"),
                    ("max_prepared_transactions", "200"),
                    ("max_connections", "1000"),
                    ("citus.node_conninfo", "sslmode=disable"),
                ] {
                    config.extra_settings.retain(|(set, _)| set != name);
                    config.extra_settings.push((name.into(), value.into()));
                }
            }
            let server = self.runtime.block_on(EmbeddedServer::start(config)).unwrap_or_else(|error| panic!("{error}"));
            let running = Running { socket_dir: server.socket_dir().to_owned(), port: server.port() };
            let server = Mutex::new(Some((server, dir)));
            Server { running, templates: Default::default(), spare: Mutex::default(), server }
        })
    }

    /// Statements on the server itself, in none of the tests' databases.
    pub fn administer(&self, place: usize, sql: &str) -> Result<(), String> {
        let spare = &self.get(place).spare;
        let kept = spare.lock().unwrap().pop().filter(|kept| kept.try_run("").is_ok());
        let server = match kept {
            Some(kept) => kept,
            None => Sql::try_connect(&self.url(place, SUPERUSER, "postgres")).map_err(|error| error.to_string())?,
        };
        let done = server.try_run(sql);
        spare.lock().unwrap().push(server);
        done
    }

    /// Makes a database with nothing in it but, on the timescale engine, the extension.
    pub fn create_empty(&self, place: usize, database: &str, options: &str) {
        if options.is_empty() {
            return self.create(place, Template::Empty, database);
        }
        self.make(place, &format!("CREATE DATABASE {database} OWNER {OWNER} {options}"));
        self.extend(place, database).unwrap_or_else(|error| panic!("{database}: {error}"));
    }

    fn extend(&self, place: usize, database: &str) -> Result<(), String> {
        if self.places()[place].citus {
            let running = &self.get(place).running;
            let (folder, port) = (running.socket_dir.display(), running.port);
            let sql = format!(
                "SET client_min_messages = error; CREATE EXTENSION citus; \
                 SELECT citus_set_coordinator_host('{folder}', {port}); \
                 SELECT citus_set_node_property('{folder}', {port}, 'shouldhaveshards', true)"
            );
            // Each by itself, as nodes are told.
            let superuser =
                Sql::try_connect(&self.url(place, SUPERUSER, database)).map_err(|error| error.to_string())?;
            return sql.split(';').try_for_each(|one| superuser.try_run(one));
        }
        if self.places()[place].engine == Engine::Postgres {
            return Ok(());
        }
        let sql = "SET client_min_messages = error; CREATE EXTENSION timescaledb SCHEMA public";
        Sql::try_connect(&self.url(place, SUPERUSER, database)).map_err(|error| error.to_string())?.try_run(sql)
    }

    /// Makes a database by copying one.
    pub fn create(&self, place: usize, template: Template, database: &str) {
        self.ready(place, template)
            .unwrap_or_else(|error| panic!("the template of all test databases could not be made: {error}"));
        let template = template.database();
        // As files, which costs half of what it does by WAL.
        let copy = format!("CREATE DATABASE {database} TEMPLATE {template} OWNER {OWNER} STRATEGY file_copy");
        if !self.places()[place].citus {
            return self.make(place, &copy);
        }
        // Citus has a worker in every database that was used, and nobody may be in one that is copied.
        let end = format!("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = '{template}'");
        until("nobody is in the template", || {
            self.administer(place, &end).ok()?;
            self.administer(place, &copy).ok()
        });
    }

    /// Makes a template if it is not there yet.
    fn ready(&self, place: usize, template: Template) -> Result<(), String> {
        let made = &self.get(place).templates[template as usize];
        made.get_or_init(|| match template {
            Template::Empty => {
                self.administer(place, &format!("CREATE DATABASE {} OWNER {OWNER}", template.database()))?;
                self.extend(place, template.database())
            }
            Template::Migrated => {
                self.create(place, Template::Empty, template.database());
                self.tidegate(place, template, &["migrate"])
            }
            Template::Partitioned => {
                self.create(place, Template::Migrated, template.database());
                self.tidegate(place, template, &["lifecycle", "run"])?;
                // Of this run nobody is to know.
                let sql = Sql::try_connect(&self.url(place, OWNER, template.database()));
                sql.map_err(|error| error.to_string())?.try_run("TRUNCATE tidegate.job_runs, tidegate.storage_samples")
            }
        })
        .clone()
    }

    fn make(&self, place: usize, sql: &str) {
        self.administer(place, sql).unwrap_or_else(|error| panic!("{sql}: {error}"));
    }

    /// Runs a command on a template.
    fn tidegate(&self, place: usize, template: Template, arguments: &[&str]) -> Result<(), String> {
        let output = std::process::Command::new(env!("CARGO_BIN_EXE_tidegate"))
            .args(arguments)
            .env_clear()
            .envs(variables(|role| self.url(place, role, template.database())))
            .envs(self.places()[place].citus.then_some(CITUS).into_iter().flatten())
            .output()
            .map_err(|error| error.to_string())?;
        if output.status.success() { Ok(()) } else { Err(String::from_utf8_lossy(&output.stderr).into_owned()) }
    }

    /// Where the server of a place listens.
    pub fn socket(&self, place: usize) -> PathBuf {
        let running = &self.get(place).running;
        running.socket_dir.join(format!(".s.PGSQL.{}", running.port))
    }

    /// A connection string.
    pub fn url(&self, place: usize, role: &str, database: &str) -> String {
        self.get(place).running.url(role, database)
    }

    /// The program of a place that trials share.
    pub fn sharing(&self, place: usize) -> &Sharing {
        &self.sharing[place]
    }

    /// Ends the programs that no trial has shared for a while.
    pub fn end_idle(&self) {
        self.sharing.iter().for_each(Sharing::end_idle);
    }

    /// Ends all of them; whether that went well, and the programs that trials shared were well until then.
    #[must_use]
    pub fn stop(&self) -> bool {
        let mut is_well = self.sharing.iter().filter(|sharing| !sharing.stop()).count() == 0;
        for server in self.servers.iter().filter_map(OnceLock::get) {
            if let Some((server, _dir)) = server.server.lock().unwrap().take()
                && let Err(error) = self.runtime.block_on(server.stop())
            {
                eprintln!("a test server did not stop: {error}");
                is_well = false;
            }
        }
        is_well
    }
}

/// A connection, with its own runtime, for tests that are plain functions.
pub struct Sql {
    runtime: Runtime,
    client: Client,
    cell: Option<CellSql>,
}

impl Sql {
    /// Connects; the schema is first on the search path, and nothing waits forever.
    pub fn connect(url: &str) -> Self {
        let sql = Self::bare(url);
        let timeout = DEADLINE.as_secs();
        sql.run(&format!(
            "SET search_path = tidegate, public; SET statement_timeout = '{timeout}s'; SET TimeZone = 'UTC'"
        ));
        sql
    }

    /// Connects as any program would, with the role's own settings.
    pub fn bare(url: &str) -> Self {
        Self::try_connect(url).unwrap_or_else(|error| panic!("{error}"))
    }

    pub fn try_connect(url: &str) -> Result<Self, tokio_postgres::Error> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let client = runtime.block_on(async {
            let (client, connection) = tokio_postgres::connect(url, NoTls).await?;
            tokio::spawn(connection);
            Ok(client)
        })?;
        Ok(Self { runtime, client, cell: None })
    }

    /// The same session, in the one cell.
    pub fn in_cell(mut self) -> Self {
        self.cell = self.runtime.block_on(CellSql::enter(&self.client)).unwrap_or_else(|error| panic!("{error:?}"));
        self
    }

    /// What the program's own functions do with a connection.
    pub fn with<T>(&self, run: impl AsyncFnOnce(&Client) -> T) -> T {
        self.runtime.block_on(run(&self.client))
    }

    /// Statements without an answer.
    pub fn run(&self, sql: &str) {
        self.try_run(sql).unwrap_or_else(|error| panic!("{sql}: {error:?}"));
    }

    /// Changes a relation of a running Tidegate: under the lock of its partitions, because PostgreSQL refuses two changes of
    /// one catalogue row at the same moment.
    pub fn alter(&self, sql: &str) {
        let lock = "LOCK TABLE tidegate.lock_partitions IN EXCLUSIVE MODE";
        let sql = format!("BEGIN; {lock}; {sql}; COMMIT");
        until("nobody is in the way", || match self.try_run(&sql) {
            // What works in a cell locks its shards in an order of its own.
            Err(code) if code == "40P01" => {
                self.run("ROLLBACK");
                None
            }
            Err(code) => panic!("{sql}: {code}"),
            Ok(()) => Some(()),
        });
    }

    /// Statements that may fail; the error is its SQLSTATE.
    pub fn try_run(&self, sql: &str) -> Result<(), String> {
        let result = self.runtime.block_on(async {
            match &self.cell {
                Some(cell) => cell.run(&self.client, sql).await,
                None => self.client.batch_execute(sql).await,
            }
        });
        result.map_err(|error| error.code().map_or_else(|| error.to_string(), |code| code.code().to_owned()))
    }

    pub fn rows(&self, sql: &str, parameters: &[&(dyn ToSql + Sync)]) -> Vec<Row> {
        let placed = self.cell.as_ref().map_or_else(|| sql.to_owned(), |cell| cell.placed(sql));
        self.runtime.block_on(self.client.query(&placed, parameters)).unwrap_or_else(|error| panic!("{sql}: {error:?}"))
    }

    /// The only value of the only row.
    pub fn one<T: FromSqlOwned>(&self, sql: &str) -> T {
        let rows = self.rows(sql, &[]);
        assert_eq!(rows.len(), 1, "{sql}");
        rows[0].get(0)
    }

    /// The first column of all rows.
    pub fn column<T: FromSqlOwned>(&self, sql: &str) -> Vec<T> {
        self.rows(sql, &[]).iter().map(|row| row.get(0)).collect()
    }

    /// What a COPY TO STDOUT gives.
    pub fn copied(&self, copy: &str) -> String {
        let copied = self.runtime.block_on(async {
            let out = self.client.copy_out(copy).await?;
            out.try_fold(Vec::new(), async |mut all, part| {
                all.extend_from_slice(&part);
                Ok(all)
            })
            .await
        });
        String::from_utf8(copied.unwrap_or_else(|error| panic!("{copy}: {error:?}"))).unwrap()
    }

    pub fn count(&self, table: &str) -> i64 {
        self.one(&format!("SELECT count(*) FROM {table}"))
    }
}
