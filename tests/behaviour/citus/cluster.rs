//! A cluster of Citus of a test's own: a coordinator, and workers that die, are joined by others, and between which cells are moved.

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use tempfile::TempDir;
use tidegate::storage::embedded::{DATABASE, EmbeddedServer, OWNER, Running};
use tokio::runtime::Runtime;

use crate::client::{Client, Key};
use crate::env::{Engine, Env, in_time};
use crate::postgres::{SUPERUSER, Sql, temp_dir};
use crate::private::{config, variables};
use crate::process::Tidegate;
use crate::samples::array;

const TENANTS: usize = 6;

/// A server, which may be killed and started again.
pub struct Node {
    pub dir: TempDir,
    /// Off at workers, which refuse what the server makes when it is started again.
    propagates: bool,
    pub server: Option<EmbeddedServer>,
}

impl Node {
    fn start(runtime: &Runtime, propagates: bool) -> Self {
        let mut node = Self { dir: temp_dir(), propagates, server: None };
        node.run(runtime);
        node
    }

    pub fn run(&mut self, runtime: &Runtime) {
        // By which a node connects to itself.
        let socket_dir = self.dir.path().join("postgres/run").display().to_string();
        let settings = [
            ("citus.local_hostname", socket_dir.as_str()),
            ("shared_preload_libraries", "citus"),
            ("citus.enable_statistics_collection", "off"),
            ("citus.node_conninfo", "sslmode=disable"),
            ("citus.enable_create_database_propagation", "off"),
            ("max_prepared_transactions", "200"),
            ("max_connections", "300"),
            ("citus.enable_ddl_propagation", if self.propagates { "on" } else { "off" }),
            ("wal_level", "logical"),
            ("max_replication_slots", "40"),
            ("max_wal_senders", "40"),
            ("max_logical_replication_workers", "20"),
            ("max_worker_processes", "48"),
        ];
        let config = config(self.dir.path(), Engine::Postgres, &settings);
        self.server = Some(runtime.block_on(EmbeddedServer::start(config)).unwrap_or_else(|error| panic!("{error}")));
    }

    pub fn running(&self) -> Running {
        let server = self.server.as_ref().expect("it runs");
        Running { socket_dir: server.socket_dir().to_owned(), port: server.port() }
    }

    /// As functions of Citus are told of it.
    pub fn place(&self) -> String {
        let Running { socket_dir, port } = self.running();
        format!("'{}', {port}", socket_dir.display())
    }

    pub fn kill(&mut self) {
        let server = self.server.take().expect("it runs");
        kill(Pid::from_raw(i32::try_from(server.server_pid()).unwrap()), Signal::SIGKILL).unwrap();
        drop(server);
    }

    pub fn superuser(&self) -> Sql {
        Sql::connect(&self.running().url(SUPERUSER, DATABASE))
    }
}

pub struct Cluster {
    pub runtime: Runtime,
    pub coordinator: Node,
    pub workers: Vec<Node>,
}

impl Cluster {
    pub fn start(workers: usize) -> Self {
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
        let coordinator = Node::start(&runtime, true);
        let superuser = coordinator.superuser();
        superuser.run("SET client_min_messages = error; CREATE EXTENSION citus");
        superuser.run(&format!("SELECT citus_set_coordinator_host({})", coordinator.place()));
        let mut cluster = Self { runtime, coordinator, workers: Vec::new() };
        (0..workers).for_each(|_| cluster.grow());
        cluster
    }

    /// Another worker, without cells.
    pub fn grow(&mut self) {
        let worker = Node::start(&self.runtime, false);
        worker.superuser().run("SET client_min_messages = error; CREATE EXTENSION citus");
        self.tell("a worker is added", &format!("SELECT citus_add_node({})", worker.place()));
        self.workers.push(worker);
    }

    /// Has the coordinator do something, once it can: while partitions are made nothing is moved.
    pub fn tell(&self, what: &str, sql: &str) {
        let superuser = self.coordinator.superuser();
        let mut why = String::new();
        let done = in_time(|| superuser.try_run(sql).map_err(|error| why = error).ok());
        assert!(done.is_some(), "{what}: it is refused in the end, too: {why}");
    }

    /// Moves the cell that a tenant is in.
    pub fn move_cell(&self, tenant: &str, to: usize) {
        let from = self.worker_of(tenant);
        let sql = format!("SELECT get_shard_id_for_distribution_column('tidegate.events', '{tenant}')");
        let shard: i64 = self.coordinator.superuser().one(&sql);
        let [source, target] = [from, to].map(|n| self.workers[n].place());
        let sql = format!("SELECT citus_move_shard_placement({shard}, {source}, {target}, 'force_logical')");
        self.tell("the cell is moved", &sql);
        assert_eq!(self.worker_of(tenant), to);
    }

    /// How many cells a worker has.
    pub fn cells_of(&self, worker: usize) -> i64 {
        let folder = self.workers[worker].running().socket_dir.display().to_string();
        self.coordinator.superuser().one(&format!(
            "SELECT count(*) FROM pg_dist_shard JOIN pg_dist_placement USING (shardid) JOIN pg_dist_node USING (groupid) \
             WHERE logicalrelid = 'tidegate.ingest_ledger'::regclass AND nodename = '{folder}'"
        ))
    }

    pub fn serve(&self, env: &Env) -> Tidegate {
        self.serve_as(env, &[])
    }

    /// One of several nodes, called by its folder.
    pub fn node(&self, env: &Env, name: &str) -> Tidegate {
        let settings = [format!("data_dir={name}"), format!("node.name={name}")];
        let flags: Vec<String> = settings.into_iter().flat_map(|setting| ["--set".to_owned(), setting]).collect();
        self.serve_as(env, &flags)
    }

    fn serve_as(&self, env: &Env, flags: &[String]) -> Tidegate {
        Tidegate::serve(env, &self.variables(), flags)
    }

    /// Of the program, on this cluster.
    pub fn variables(&self) -> Vec<(String, String)> {
        let running = self.coordinator.running();
        let mut variables = variables(|role| running.url(role, DATABASE));
        variables
            .extend([("TIDEGATE_ENGINE", "citus"), ("TIDEGATE_CITUS_CELLS", "4")].map(|(k, v)| (k.into(), v.into())));
        variables
    }

    pub fn sql(&self) -> Sql {
        Sql::connect(&self.coordinator.running().url(OWNER, DATABASE))
    }

    /// The number of the worker that has a tenant's rows.
    pub fn worker_of(&self, tenant: &str) -> usize {
        let sql = "SELECT nodename FROM pg_dist_placement p JOIN pg_dist_node n USING (groupid) \
                   WHERE p.shardid = get_shard_id_for_distribution_column('tidegate.events', $1::text)";
        let folder: String = self.coordinator.superuser().rows(sql, &[&tenant])[0].get(0);
        self.workers.iter().position(|worker| worker.running().socket_dir.display().to_string() == folder).unwrap()
    }

    pub fn stop(self) {
        for node in [self.coordinator].into_iter().chain(self.workers) {
            if let Some(server) = node.server {
                self.runtime.block_on(server.stop()).unwrap_or_else(|error| panic!("{error}"));
            }
        }
    }
}

pub fn key(cluster: &Cluster, env: &Env, tenant: &str) -> Key {
    let running = cluster.coordinator.running();
    env.key_by(&Sql::connect(&running.url(OWNER, DATABASE)), tenant, "ingest,read,consume,admin")
}

pub fn tenants(cluster: &Cluster, env: &Env, tidegate: &Tidegate) -> Vec<(String, Client)> {
    let name = |n: usize| format!("tenant-{n}");
    (0..TENANTS).map(|n| (name(n), tidegate.with(&key(cluster, env, &name(n))))).collect()
}

pub fn sent(n: usize, count: usize) -> Vec<u8> {
    array((0..count).map(|m| format!(r#"{{"event_type":"t","source_module":"s","payload":{{"n":{n},"m":{m}}}}}"#)))
}
