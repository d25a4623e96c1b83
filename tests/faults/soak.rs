//! Everything at once, for as long as one likes (scenario 50): a mixed load, and one fault a period, drawn with a seed that is
//! printed. The short form takes a minute and a half; `TIDEGATE_FAULTS_HOURS=8` makes it as many hours with a fault a
//! minute, `TIDEGATE_FAULTS_SEED=n` draws others.

use std::io::{Read, Write};
use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::clocks::assert_rollups;
use crate::cluster::Cluster;
use crate::derived;
use crate::draw::Draw;
use crate::drawn::Fault;
use crate::env::{Env, TestResult, until};
use crate::frames::connect_slow;
use crate::invariants::Scene;
use crate::process::Tidegate;
use crate::proxy::Proxy;
use crate::scenario;
use crate::scenario::Scenario;
use crate::senders::Senders;
use crate::shim::{self, Clock, Shim};
use crate::told::Told;

pub const SCENARIOS: &[Scenario] = &[scenario!(s50_mixed_load_and_faults_that_are_drawn).needs(shim::missing).slow()];

const MIB: u64 = 1 << 20;
/// What may be resident at the end beyond what was after the warm-up.
const GROWTH_BYTES: u64 = 32 * MIB;
/// Requests after which a process is warm.
const WARM: usize = 150;
/// How long a frozen program is asked.
const SILENCE: Duration = Duration::from_millis(700);
/// Of the faults of a plain run: one that fails has failed before, or the code has changed.
const SEED: u64 = 783_437;
/// Small enough to be filled and drained many times.
const SPOOL_BYTES: u64 = 32 * MIB;

/// How long, and how fast.
struct Plan {
    length: Duration,
    /// From one fault to the next.
    period: Duration,
    /// Of each sender, between its requests.
    pace: Duration,
    seed: u64,
}

impl Plan {
    fn from_env() -> Self {
        let text = |name: &str| std::env::var(name).ok();
        let seed = text("TIDEGATE_FAULTS_SEED").map_or(SEED, |seed| seed.parse().expect("a number"));
        let millis = Duration::from_millis;
        match text("TIDEGATE_FAULTS_HOURS").map(|hours| hours.parse::<f64>().expect("a number")) {
            Some(hours) => Self {
                length: Duration::from_secs_f64(hours * 3600.0),
                period: millis(60_000),
                pace: millis(200),
                seed,
            },
            None => Self { length: millis(90_000), period: millis(3_500), pace: millis(20), seed },
        }
    }
}

/// A server, a program, and everything that harms them.
pub struct Soak<'a> {
    pub env: &'a Env,
    pub cluster: Cluster,
    pub proxy: Proxy,
    /// The disk of the spool.
    pub disk: Shim,
    pub server_disk: Shim,
    /// The program's.
    pub clock: Clock,
    pub tidegate: Tidegate,
    pub senders: Senders,
    told: Arc<Told>,
    /// Resident once it was warm, of the process that runs now.
    warm_bytes: u64,
}

impl<'a> Soak<'a> {
    fn new(env: &'a Env, pace: Duration) -> Self {
        let mut cluster = Cluster::start(env);
        let server_disk = Shim::new(&cluster.folder("shim"), &cluster.data().join("base"));
        cluster.run_with(&server_disk);
        let proxy = Proxy::start(&cluster.socket());
        let data_dir = env.path().join(".tidegate");
        std::fs::create_dir_all(&data_dir).unwrap();
        let (disk, clock) = (Shim::new(env.path(), &data_dir), Clock::new(env.path()));
        let told = Arc::new(Told::default());
        let tidegate = Tidegate::serve(env, &variables(&proxy, &disk, &clock), &[]);
        let senders = Senders::mixed(&told, &tidegate.client, pace);
        senders.flow(WARM);
        let warm_bytes = tidegate.resident_bytes();
        Self { env, cluster, proxy, disk, server_disk, clock, tidegate, senders, told, warm_bytes }
    }

    /// A process in place of the one that has ended; it is warm when this returns.
    pub fn begin(&mut self) {
        self.tidegate = Tidegate::serve(self.env, &variables(&self.proxy, &self.disk, &self.clock), &[]);
        self.senders.redirect(&self.tidegate.client);
        self.senders.flow(WARM);
        self.warm_bytes = self.tidegate.resident_bytes();
    }

    /// The server that does not run, with its faults.
    pub fn run_server(&mut self) {
        self.cluster.run(&self.server_disk.variables());
    }

    /// Waits in vain for an answer of the program, which is frozen.
    pub fn stays_silent(&self) {
        let mut stream = connect_slow(&self.tidegate.client);
        stream.set_read_timeout(Some(SILENCE)).unwrap();
        stream.write_all(b"GET /healthz HTTP/1.1\r\nhost: t\r\n\r\n").unwrap();
        let read = stream.read(&mut [0; 1]);
        assert!(read.is_err(), "it answers: {read:?}");
    }

    /// All is well again: requests are stored, also those that were spooled.
    fn recovers(&self) {
        self.senders.flow(8);
        until("it says that all is well", || {
            let answer = self.tidegate.client.send("GET", "/readyz", &[], &[]).ok()?;
            (answer.json()["status"] == "ready").then_some(())
        });
    }
}

fn variables(proxy: &Proxy, disk: &Shim, clock: &Clock) -> Vec<(String, String)> {
    let mut variables = Cluster::variables_all_through(proxy);
    variables.extend(disk.variables());
    variables.extend(clock.variables());
    variables.push(("TIDEGATE_SPOOL_MAX_BYTES".into(), SPOOL_BYTES.to_string()));
    variables.push(("TIDEGATE_LIMITS_BODY_BYTES".into(), (SPOOL_BYTES / 16).to_string()));
    variables
}

fn s50_mixed_load_and_faults_that_are_drawn(env: &Env) -> TestResult {
    let plan = Plan::from_env();
    let engine = env.engine.as_str();
    let name = "s50_mixed_load_and_faults_that_are_drawn";
    println!("{engine}: {name}: TIDEGATE_FAULTS_SEED={}", plan.seed);
    let mut draw = Draw::new(plan.seed);
    let mut soak = Soak::new(env, plan.pace);
    let begun = Instant::now();
    let mut struck = 0;
    'length: for round in 0.. {
        for fault in Fault::round(round, &mut draw) {
            if begun.elapsed() >= plan.length {
                break 'length;
            }
            let at = Instant::now();
            println!("{engine}: {name}: seed {}: at {:.0} s: {fault:?}", plan.seed, begun.elapsed().as_secs_f64());
            fault.strike(&mut soak);
            soak.recovers();
            struck += 1;
            // The pace of the faults, not a wait for any of them.
            std::thread::sleep(plan.period.saturating_sub(at.elapsed()));
        }
    }
    let Soak { senders, mut tidegate, cluster, told, warm_bytes, .. } = soak;
    let reads = senders.read();
    senders.finish();
    let sql = cluster.sql();
    Scene::new(env, &tidegate, &sql, &told).assert_invariants(name);
    derived::settled(&sql);
    assert_rollups(&sql);
    let end_bytes = until("memory is given back", || {
        let resident = tidegate.resident_bytes();
        (resident <= warm_bytes + GROWTH_BYTES).then_some(resident)
    });
    println!(
        "{engine}: {name}: seed {}: {struck} faults, {} requests, {reads} reads; resident {} MiB when warm, {} MiB at the end",
        plan.seed,
        told.records().len(),
        warm_bytes / MIB,
        end_bytes / MIB
    );
    assert_eq!(tidegate.stop(), Some(0));
    Ok(())
}
