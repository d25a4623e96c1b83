//! The reference: raw COPY as it was at migration 12, which what is faster since then is measured against. Its relations are
//! in a database of their own on the same cluster, its rows have the request's key and receipt in their metadata, and its
//! server is started as it was then: without what its environment says to the allocator.

use std::os::unix::fs::MetadataExt;
use std::os::unix::process::CommandExt;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use nix::sys::signal::{Signal, kill};
use nix::unistd::{Pid, geteuid};
use tidegate::model::{Kind, StoredJson};
use tidegate::storage::embedded::OWNER;
use tidegate::storage::toast::PREFER_LZ4;
use tokio_postgres::Client;

use super::common::{CONNECTIONS, Result, TENANTS, as_f64, per_row};
use super::figures::Figures;
use super::meter::Usage;
use super::raw::{copy, each};
use super::rows::streams;
use super::target::Target;
use super::templates::Template;
use super::then::{COLUMNS, as_then};

const DATABASE: &str = "compare_reference";
const START: Duration = Duration::from_secs(60);
const POLL: Duration = Duration::from_millis(50);
/// What the environment of the server has had only since migration 19.
const ALLOCATOR: &str = "MALLOC_";

/// Writes the events of all templates, and adds the figures; Tidegate is ended meanwhile and started again afterwards.
pub async fn run(target: &mut Target, made: &[Template], figures: &mut Figures, name: &str) -> Result<Usage> {
    target.fresh().await?;
    make(target).await?;
    let streams = streams(Kind::Events, made, &target.tenants[..TENANTS], StoredJson::Jsonb)?;
    let streams: Arc<[Bytes]> = streams.iter().map(as_then).collect::<Result<Vec<_>>>()?.into();
    target.checkpoint().await?;
    let command = Postmaster::of(target)?;
    target.end()?;
    let postmaster = command.start(target).await?;
    let measured = measure(target, streams, figures, name, made.iter().map(|made| made.events).sum()).await;
    postmaster.stop()?;
    target.begin().await?;
    let drop = format!("DROP DATABASE {DATABASE} WITH (FORCE)");
    target.superuser("postgres").await?.batch_execute(&drop).await?;
    measured
}

/// Makes the relations.
async fn make(target: &Target) -> Result<()> {
    let superuser = target.superuser("postgres").await?;
    superuser.batch_execute(&format!("DROP DATABASE IF EXISTS {DATABASE} WITH (FORCE)")).await?;
    superuser.batch_execute(&format!("CREATE DATABASE {DATABASE} OWNER {OWNER}")).await?;
    let inside = target.superuser(DATABASE).await?;
    let events = if target.is_timescale() {
        inside.batch_execute("CREATE EXTENSION IF NOT EXISTS timescaledb").await?;
        include_str!("reference/timescale.sql")
    } else {
        include_str!("reference/postgres.sql")
    };
    inside.batch_execute(&format!("CREATE SCHEMA tidegate AUTHORIZATION {OWNER}")).await?;
    let sql = format!("{}; {}{events}", session(), include_str!("reference/common.sql"));
    Ok(inside.batch_execute(&sql).await?)
}

/// As whom, and where.
fn session() -> String {
    format!("SET ROLE {OWNER}; SET search_path = tidegate, public")
}

async fn measure(
    target: &Target,
    streams: Arc<[Bytes]>,
    figures: &mut Figures,
    name: &str,
    events: u64,
) -> Result<Usage> {
    let look = target.superuser(DATABASE).await?;
    look.batch_execute(&session()).await?;
    let wal_before = wal_bytes(&look).await?;
    let mut writers = Vec::new();
    for _ in 0..CONNECTIONS {
        let writer = target.superuser(DATABASE).await?;
        writer.batch_execute(&session()).await?;
        if target.is_timescale() {
            writer.batch_execute(&format!("SET timescaledb.enable_direct_compress_copy = on; {PREFER_LZ4}")).await?;
        }
        writers.push(writer);
    }
    let (count, table) = (streams.len(), Kind::Events.table());
    let usage = each(target, writers, count, move |client, numbers| {
        let streams = Arc::clone(&streams);
        async move { copy(&client, table, COLUMNS, &streams, &numbers).await }
    })
    .await?;
    let stored: i64 = look.query_one("SELECT count(*) FROM events", &[]).await?.get(0);
    if u64::try_from(stored)? != events {
        return Err(format!("not conserved: {stored} rows of the reference instead of {events}").into());
    }
    usage.add(figures, name, "event", events);
    let size = if target.is_timescale() {
        "SELECT hypertable_size('tidegate.events')::bigint"
    } else {
        "SELECT sum(pg_total_relation_size(inhrelid))::bigint FROM pg_inherits WHERE inhparent = 'events'::regclass"
    };
    let bytes = u64::try_from(look.query_one(size, &[]).await?.get::<_, i64>(0))?;
    figures.add(name, "bytes/event", per_row(as_f64(bytes), events));
    figures.add(name, "WAL bytes/event", per_row(wal_bytes(&look).await? - wal_before, events));
    Ok(usage)
}

async fn wal_bytes(client: &Client) -> Result<f64> {
    let sql = "SELECT pg_wal_lsn_diff(pg_current_wal_lsn(), '0/0')::double precision";
    Ok(client.query_one(sql, &[]).await?.get(0))
}

/// How the server was started.
struct Postmaster {
    arguments: Vec<String>,
    environment: Vec<(String, String)>,
}

impl Postmaster {
    /// As the running one was, but for the allocator.
    fn of(target: &Target) -> Result<Self> {
        let lines = std::fs::read_to_string(target.cluster().join("postmaster.pid"))?;
        let pid: u32 = lines.lines().next().unwrap_or_default().trim().parse()?;
        let read = |what: &str| -> Result<Vec<String>> {
            let text = String::from_utf8(std::fs::read(format!("/proc/{pid}/{what}"))?)?;
            Ok(text.split('\0').filter(|part| !part.is_empty()).map(str::to_owned).collect())
        };
        let pairs = read("environ")?;
        let pairs = pairs.iter().filter_map(|pair| pair.split_once('='));
        let kept = pairs.filter(|(name, _)| !name.starts_with(ALLOCATOR));
        let environment = kept.map(|(name, value)| (name.to_owned(), value.to_owned())).collect();
        Ok(Self { arguments: read("cmdline")?, environment })
    }

    /// Starts it as the cluster's owner, and waits until it answers.
    async fn start(self, target: &Target) -> Result<Server> {
        let (program, arguments) = self.arguments.split_first().ok_or("the server has no command line")?;
        let owner = std::fs::metadata(target.cluster())?;
        let mut command = Command::new(program);
        command.args(arguments).env_clear().envs(self.environment).current_dir("/");
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        if geteuid().is_root() {
            command.uid(owner.uid()).gid(owner.gid());
        }
        let mut server = Server(command.spawn()?);
        let started = Instant::now();
        while let Err(error) = target.superuser("postgres").await {
            if server.0.try_wait()?.is_some() || started.elapsed() > START {
                return Err(format!("the reference's server did not start: {error}").into());
            }
            tokio::time::sleep(POLL).await;
        }
        Ok(server)
    }
}

/// The server; dropped it is stopped as well.
struct Server(Child);

impl Server {
    fn stop(mut self) -> Result<()> {
        self.end()
    }

    /// A fast shutdown, with its checkpoint.
    fn end(&mut self) -> Result<()> {
        if self.0.try_wait()?.is_none() {
            kill(Pid::from_raw(i32::try_from(self.0.id())?), Signal::SIGINT)?;
        }
        let status = self.0.wait()?;
        if status.success() { Ok(()) } else { Err(format!("the reference's server ended with {status}").into()) }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // The error of a measurement that failed is told already.
        let _ = self.end();
    }
}
