//! What a test is given: its engine, its database, a folder, and ways to start the program.

use std::any::Any;
use std::cell::{Cell, OnceCell, RefCell};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use tempfile::TempDir;
use tidegate::storage::embedded::{Installation, OWNER};

use crate::client::Key;
use crate::postgres::{CITUS, SUPERUSER, Servers, Sql, Template, temp_dir};
use crate::private::variables;
use crate::process::{Finished, Service, Tidegate};
use crate::proxy::Proxy;
use crate::shared::{Shared, make_key};

/// What a test returns; assertions panic.
pub type TestResult = Result<(), Box<dyn std::error::Error>>;

/// For what has no signal: far beyond what any machine needs, so that only a hang reaches it. The job that comes round least
/// often does so once a minute, and once more when it found its lock taken by a process that was killed.
pub const DEADLINE: Duration = Duration::from_secs(180);

/// Between two looks of [`until`]: at least, at most after one that took long, and at most while it is waited.
const LOOK_EVERY: Duration = Duration::from_millis(10);
const LOOK_PAUSE_MAX: Duration = Duration::from_millis(500);
const LOOK_PAUSE_WAITING: Duration = Duration::from_millis(200);

/// Settings on which it depends what partitions there are.
const SHAPES: [&str; 4] = ["chunk_interval", "indexes.", "retention.", "rollups."];

/// The storage engines.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Engine {
    Timescale,
    Postgres,
}

impl Engine {
    pub const ALL: [Self; 2] = [Self::Timescale, Self::Postgres];

    pub fn as_str(self) -> &'static str {
        match self {
            Self::Timescale => "timescale",
            Self::Postgres => "postgres",
        }
    }
}

/// One behaviour.
pub struct Test {
    pub name: &'static str,
    pub engines: &'static [Engine],
    pub run: fn(&Env) -> TestResult,
    /// What the machine lacks for it.
    pub missing: fn() -> Option<String>,
}

/// The tests of a group: `tests!(a, b)` on both engines, `tests!(timescale: c)` on one.
#[macro_export]
macro_rules! tests {
    ($($name:ident),* $(,)?) => { $crate::tests!(@ &$crate::env::Engine::ALL, $($name),*) };
    (timescale: $($name:ident),* $(,)?) => { $crate::tests!(@ &[$crate::env::Engine::Timescale], $($name),*) };
    (postgres: $($name:ident),* $(,)?) => { $crate::tests!(@ &[$crate::env::Engine::Postgres], $($name),*) };
    (@ $engines:expr, $($name:ident),*) => {
        &[$($crate::env::Test { name: stringify!($name), engines: $engines, run: $name, missing: || None }),*]
    };
}

/// A test's surroundings; dropped at its end, with its database.
pub struct Env {
    pub engine: Engine,
    pub dir: TempDir,
    servers: Arc<Servers>,
    place: usize,
    database: String,
    made: Cell<bool>,
    as_json: Cell<bool>,
    /// The program that the test shares, and its organization there, where it has none of its own.
    joined: OnceCell<(Arc<Shared>, String)>,
    /// The program in its place, where none can be shared.
    own: OnceCell<Tidegate>,
    /// The key that was printed at first start.
    pub first_key: RefCell<Option<String>>,
    logs: RefCell<Vec<PathBuf>>,
}

impl Env {
    pub fn new(place: usize, name: &str, servers: Arc<Servers>) -> Self {
        static NUMBER: AtomicU32 = AtomicU32::new(0);
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        let short: String = name.rsplit("::").next().unwrap_or_default().chars().take(40).collect();
        Self {
            engine: servers.places()[place].engine,
            dir: temp_dir(),
            servers,
            place,
            database: format!("t{number}_{short}"),
            made: Cell::new(false),
            as_json: Cell::new(false),
            joined: OnceCell::new(),
            own: OnceCell::new(),
            first_key: RefCell::default(),
            logs: RefCell::default(),
        }
    }

    /// Runs a test; what it started is ended, and on failure what it logged is shown.
    pub fn run(place: usize, name: &str, test: fn(&Self) -> TestResult, servers: Arc<Servers>) -> Result<(), String> {
        let env = Self::new(place, name, Arc::clone(&servers));
        let result = caught(|| test(&env)).map_err(|error| format!("{error}\n{}", env.log_tails()));
        drop(env);
        servers.end_idle();
        result
    }

    /// The last lines of everything that the test started, or that it shares.
    pub fn log_tails(&self) -> String {
        let shared = self.joined.get().map(|(shared, _)| shared.told());
        self.logs.borrow().iter().map(|path| tail(path)).chain(shared).collect()
    }

    /// A new file in the test's folder, whose end is shown when the test fails.
    pub fn log_file(&self, name: &str) -> PathBuf {
        let mut logs = self.logs.borrow_mut();
        let path = self.dir.path().join(format!("{}-{name}.log", logs.len()));
        logs.push(path.clone());
        path
    }

    /// The engine as the program calls it.
    pub fn engine_name(&self) -> &'static str {
        if self.servers.places()[self.place].citus { "citus" } else { self.engine.as_str() }
    }

    /// The installation that it runs on.
    pub fn installation(&self) -> &Installation {
        &self.servers.places()[self.place].installation
    }

    /// All that the machine has.
    pub fn installations(&self) -> Vec<Installation> {
        self.servers.places().iter().map(|place| place.installation.clone()).collect()
    }

    pub fn path(&self) -> &Path {
        self.dir.path()
    }

    /// The test's database, made when first asked for: as `tidegate migrate` leaves it, unless the test began empty.
    pub fn database(&self) -> &str {
        self.made_of(Template::Migrated)
    }

    fn made_of(&self, template: Template) -> &str {
        if let Some((shared, _)) = self.joined.get() {
            return &shared.database;
        }
        if self.made.replace(true) {
            return &self.database;
        }
        if self.as_json.get() {
            self.servers.create_empty(self.place, &self.database, "");
        } else {
            self.servers.create(self.place, template, &self.database);
        }
        &self.database
    }

    /// Whatever starts asks that a new database keeps payload and metadata as json; to be said before anything else.
    pub fn keep_as_json(&self) {
        assert!(!self.made.get() && !self.as_json.replace(true), "the database is there already");
    }

    /// For tests of what happens to a database that has nothing of Tidegate yet; to be said before anything else.
    pub fn begin_empty(&self) {
        self.begin_empty_as("");
    }

    /// The same, with options of CREATE DATABASE.
    pub fn begin_empty_as(&self, options: &str) {
        assert!(!self.made.replace(true), "the database is there already");
        self.servers.create_empty(self.place, &self.database, options);
    }

    /// Goes on with an empty database of the same name.
    pub fn begin_again(&self) {
        self.drop_database().unwrap_or_else(|error| panic!("{error}"));
        self.servers.create_empty(self.place, &self.database, "");
    }

    fn drop_database(&self) -> Result<(), String> {
        self.servers.administer(self.place, &format!("DROP DATABASE IF EXISTS {} WITH (FORCE)", self.database))
    }

    /// A connection string for the test's database.
    pub fn url(&self, role: &str) -> String {
        self.servers.url(self.place, role, self.database())
    }

    /// The PostgreSQL server's socket.
    pub fn socket(&self) -> PathBuf {
        self.servers.socket(self.place)
    }

    /// SQL as the owner; of a program that is shared it sees the rows of the test's organization alone.
    pub fn sql(&self) -> Sql {
        match self.joined.get() {
            Some((shared, organization)) => shared.sql(&self.url(OWNER), organization),
            None => self.sql_as(OWNER),
        }
    }

    /// SQL as a role.
    pub fn sql_as(&self, role: &str) -> Sql {
        let sql = Sql::connect(&self.url(role));
        if self.servers.places()[self.place].citus { sql.in_cell() } else { sql }
    }

    /// The variables that point the program at the test's database, one URL for each role.
    pub fn variables(&self) -> Vec<(String, String)> {
        let mut all = variables(|role| self.url(role));
        if self.servers.places()[self.place].citus {
            all.extend(CITUS.map(|(name, value)| (name.to_owned(), value.to_owned())));
        }
        if self.as_json.get() {
            all.push(("TIDEGATE_STORAGE_PAYLOAD".to_owned(), "json".to_owned()));
        }
        all
    }

    /// The same, with writers and readers led through a proxy; the owner's connection is the server's own.
    pub fn variables_through(&self, proxy: &Proxy) -> Vec<(String, String)> {
        self.lead_cells_through(proxy);
        variables(|role| if role == OWNER { self.url(role) } else { proxy.url(role, self.database()) })
    }

    /// The same, with every role led through it.
    pub fn variables_all_through(&self, proxy: &Proxy) -> Vec<(String, String)> {
        self.lead_cells_through(proxy);
        variables(|role| proxy.url(role, self.database()))
    }

    /// Of the cell every role is led through it: the program goes where Citus says that the cell's server is.
    fn lead_cells_through(&self, proxy: &Proxy) {
        if self.servers.places()[self.place].citus {
            let superuser = Sql::connect(&self.url(SUPERUSER));
            superuser.run(&format!("SELECT citus_set_coordinator_host('127.0.0.1', {})", proxy.port()));
        }
    }

    /// A `tidegate serve` that other tests use at the same time, with an organization that is this test's own: for all that neither
    /// changes nor counts what others have part in. To be said before anything else.
    pub fn share(&self) -> Service {
        assert!(!self.made.get() && !self.as_json.get(), "the test has a database of its own");
        if self.servers.places()[self.place].citus {
            // What keeps tests' rows apart is a setting of the session, which other nodes' sessions do not have.
            return Service { client: self.own.get_or_init(|| self.serve()).client.clone() };
        }
        let shared = self.servers.sharing(self.place).join(&self.servers, self.place);
        let shared = shared.unwrap_or_else(|error| panic!("{error}"));
        let (shared, organization) = self.joined.get_or_init(|| (shared, self.database.clone()));
        Service { client: shared.client(organization) }
    }

    /// The organization of the key that the test began with: its tenant.
    pub fn organization(&self) -> &str {
        self.joined.get().map_or("default", |(_, organization)| organization)
    }

    /// `tidegate serve` on the test's database, ready.
    pub fn serve(&self) -> Tidegate {
        self.serve_with(&[])
    }

    /// The same, with settings: `key=value`.
    pub fn serve_with(&self, settings: &[&str]) -> Tidegate {
        // What it would do first takes most of its start, and is done: unless the test has looked at the database before.
        if self.engine == Engine::Postgres
            && !settings.iter().any(|setting| SHAPES.iter().any(|key| setting.starts_with(key)))
        {
            self.made_of(Template::Partitioned);
        }
        Tidegate::serve(self, &self.variables(), &flags(settings))
    }

    /// Runs `tidegate serve`, which is expected to end by itself.
    pub fn serve_fails(&self, settings: &[&str]) -> Finished {
        let flags = flags(settings);
        let arguments: Vec<&str> =
            ["serve", "--listen", "127.0.0.1:0"].into_iter().chain(flags.iter().map(String::as_str)).collect();
        Finished::run(self, &self.variables(), &arguments)
    }

    /// Runs a command on the test's database to its end.
    pub fn cli(&self, arguments: &[&str]) -> Finished {
        Finished::run(self, &self.variables(), arguments)
    }

    /// A key of an organization of another database, by SQL of its owner.
    pub fn key_by(&self, owner: &Sql, organization: &str, scopes: &str) -> Key {
        make_key(owner, organization, scopes)
    }

    /// A key of an organization, which is made if need be. Of a program that is shared `default` is the test's own, and others are
    /// those of no other test.
    pub fn key(&self, organization: &str, scopes: &str) -> Key {
        match self.joined.get() {
            Some((shared, own)) if organization == "default" => shared.key(own, scopes),
            Some((shared, own)) => shared.key(&format!("{own}-{organization}"), scopes),
            // By the session of who administers, whatever others see.
            None => make_key(&Sql::connect(&self.url(OWNER)), organization, scopes),
        }
    }
}

fn flags(settings: &[&str]) -> Vec<String> {
    settings.iter().flat_map(|setting| ["--set".to_owned(), (*setting).to_owned()]).collect()
}

impl Drop for Env {
    fn drop(&mut self) {
        drop(self.own.take());
        if self.joined.get().is_some() {
            self.servers.sharing(self.place).leave();
        }
        if !self.made.get() {
            return;
        }
        if let Err(error) = self.drop_database() {
            eprintln!("{} is left: {error}", self.database);
        }
    }
}

/// Runs what may panic; the error says why.
pub fn caught<T>(run: impl FnOnce() -> Result<T, Box<dyn std::error::Error>>) -> Result<T, String> {
    match catch_unwind(AssertUnwindSafe(run)) {
        Ok(done) => done.map_err(|error| error.to_string()),
        Err(panic) => Err(message(&*panic)),
    }
}

fn message(panic: &(dyn Any + Send)) -> String {
    let text = panic.downcast_ref::<&str>().map(|text| (*text).to_owned());
    text.or_else(|| panic.downcast_ref::<String>().cloned()).unwrap_or_else(|| "panicked".into())
}

/// The last lines of a log.
pub fn tail(path: &Path) -> String {
    let text = std::fs::read_to_string(path).unwrap_or_default();
    let lines: Vec<&str> = text.lines().collect();
    let tail = lines[lines.len().saturating_sub(40)..].join("\n");
    format!("---- {}\n{tail}\n", path.file_name().unwrap_or_default().to_string_lossy())
}

/// Polls until `ready` gives a value; for what has no signal.
pub fn until<T>(what: &str, ready: impl FnMut() -> Option<T>) -> T {
    in_time(ready).unwrap_or_else(|| panic!("not within {DEADLINE:?}: {what}"))
}

/// The same for those who can say more of why it did not come: none at the deadline.
pub fn in_time<T>(mut ready: impl FnMut() -> Option<T>) -> Option<T> {
    let began = Instant::now();
    loop {
        let looked = Instant::now();
        if let Some(value) = ready() {
            return Some(value);
        }
        let waited = began.elapsed();
        if waited >= DEADLINE {
            return None;
        }
        // A look that is dear is not taken again at once, and what took long may take a tenth longer: what is waited for, and all
        // other tests, need the processors too.
        let waiting = (waited / 10).min(LOOK_PAUSE_WAITING);
        std::thread::sleep((looked.elapsed() * 2).max(waiting).clamp(LOOK_EVERY, LOOK_PAUSE_MAX));
    }
}
