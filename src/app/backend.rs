//! The second phase: what works on the database. Opening it can fail and is tried again; starting what needs it cannot.

use std::sync::Arc;
use std::time::Duration;

use tokio::task::JoinHandle;

use super::front::Front;
use crate::config::Config;
use crate::correlate::{Anomalies, Correlations};
use crate::groups::{AllGroups, GroupCounts, Upkeep};
use crate::http::{Attached, Home};
use crate::inferred::Inferred;
use crate::ingest::{Ingest, Traffic, Workers};
use crate::jobs::minutes::MinuteQueues;
use crate::jobs::{FirstTurns, RunningJob, Spread, start};
use crate::lifecycle::{Lifecycle, LifecycleView, Part, SeriesCounts};
use crate::limits::JOBS_GIVE_WAY;
use crate::precedence::Precedence;
use crate::processor::{Bounds, Processor, Replays};
use crate::query::Readers;
use crate::registry::{Definitions, Pools, Registry};
use crate::rollup::{Late, Refresh, Rollups, SeriesIds};
use crate::storage::{Database, Homes, Installed, KnownDatabase, Location, StorageError};
use crate::streams::{Arrivals, Sequencer};
use crate::tenancy::administration::Administration;
use crate::tenancy::people::People;
use crate::tenancy::usage::UsageFold;
use crate::tenancy::{Tickets, Verifier};

/// After which it is said who is still at work.
const LATE_AFTER: Duration = Duration::from_secs(2);

/// Writers, drain and jobs on a database.
pub struct Backend {
    homes: Homes,
    workers: Workers,
    jobs: Vec<RunningJob>,
    registry: Arc<Registry>,
    keeping: Vec<JoinHandle<()>>,
    verifier: Arc<Verifier>,
}

impl Backend {
    /// A database that is there, up to date, and proven to be what is needed.
    pub async fn open(
        location: &Location,
        config: &Config,
        known: &Arc<KnownDatabase>,
        registry: &Registry,
    ) -> Result<Homes, StorageError> {
        let database = Database::open(location, config, known).await?;
        let proven = async {
            Ingest::prove(&database).await?;
            let homes = Homes::open(database.clone(), location, config).await?;
            // Before anything is written it is known what is masked.
            let pools = Pools { looks: database.verifier.clone(), notes: database.consumers.clone() };
            registry.attach(pools).await?;
            Ok(homes)
        };
        match proven.await {
            Ok(homes) => Ok(homes),
            Err(error) => {
                database.close();
                Err(error)
            }
        }
    }

    /// Puts everything to work on it, and gives it to the front.
    pub fn start(homes: Homes, location: &Location, front: &Front, config: &Config, known: Arc<KnownDatabase>) -> Self {
        let database = &homes.control;
        let installed = &database.installed;
        let (engine, direct_compress) = (engine(installed), installed.layout.direct_compress());
        let payload = installed.stored_json.type_name();
        tracing::info!(engine, direct_compress, payload, "storage engine");
        let workers = front.ingest.attach(&homes, config);
        let mut keeping = Vec::new();
        let of_tenants: Vec<Home> = homes
            .all()
            .map(|database| {
                let (home, hearing) = home(database, front, config, homes.count());
                keeping.push(hearing);
                home
            })
            .collect();
        let counts: Vec<_> =
            of_tenants.iter().map(|home| (home.lifecycle.series.clone(), home.group_counts.clone())).collect();
        let control = match installed.layout.has_cells() {
            true => Readers::new(database, &front.ingest.budget, config, homes.count()),
            false => of_tenants[0].reads.clone(),
        };
        let places = homes.clone();
        let attached = Attached {
            homes: of_tenants,
            number: Box::new(move |tenant_id| places.of(tenant_id)),
            control,
            tickets: Tickets::new(database.verifier.clone()),
            definitions: Definitions::new(database.consumers.clone(), Arc::clone(&front.ingest.registry)),
            administration: Administration::new(database.owner.clone(), &config.retention),
            people: People::new(database.owner.clone()),
        };
        let verifier = front.attach(attached, database.verifier.clone(), database.consumers.clone());
        let ingest = Arc::clone(&front.ingest);
        let behind = move || [Traffic::Live, Traffic::Late].iter().any(|traffic| ingest.is_behind(*traffic));
        let precedence = Precedence::over("jobs", JOBS_GIVE_WAY, behind);
        let turns = FirstTurns::default();
        let mut jobs = Vec::new();
        for (database, counts) in homes.all().zip(counts) {
            jobs.extend(start_jobs(database, config, counts, precedence.clone(), &turns));
        }
        if installed.layout.has_cells() {
            let part = Part::Control { cells: homes.count() };
            jobs.push(start(Lifecycle::new(&database.store, config, part), database, &turns));
        }
        let registry = tokio::spawn(Arc::clone(&front.ingest.registry).keep());
        let watch = database.watch(location, config, &known).map(|watch| tokio::spawn(watch.run()));
        keeping.extend([tokio::spawn(known.keep(database.verifier.clone())), registry]);
        keeping.extend(watch);
        keeping.extend(homes.follow().map(tokio::spawn));
        let registry = Arc::clone(&front.ingest.registry);
        Self { registry, homes, workers, jobs, keeping, verifier }
    }

    /// The engine, and why it is this one.
    pub fn engine(&self) -> String {
        engine(&self.homes.control.installed)
    }

    /// Lets what waits be written, and stops; no request is under way any more.
    pub async fn stop(self) -> bool {
        let Self { homes, mut workers, jobs, registry, keeping, verifier } = self;
        keeping.iter().for_each(JoinHandle::abort);
        let mut in_order = true;
        for writer in workers.writers.drain(..) {
            in_order &= late("a writer", writer).await;
        }
        workers.stop().await;
        for job in jobs {
            job.stop().await;
        }
        registry.note_warnings().await;
        verifier.note_uses().await;
        homes.close();
        in_order
    }
}

fn engine(installed: &Installed) -> String {
    format!("{} ({})", installed.layout.engine(), installed.reason)
}

/// What reads and groups of a home's tenants need, and what wakes who waits there.
fn home(database: &Database, front: &Front, config: &Config, homes: usize) -> (Home, JoinHandle<()>) {
    let reads = Readers::new(database, &front.ingest.budget, config, homes);
    let (arrivals, hearing) = Arrivals::heard(&database.listener, &database.salt);
    let bounds = Bounds::new(config.limits.assets_per_tenant, config.limits.dead_letter_bytes_per_day);
    let home = Home {
        lifecycle: LifecycleView::new(database.reader.clone(), database.installed.layout, config),
        arrivals,
        groups: AllGroups::new(database.consumers.clone(), reads.clone()),
        group_counts: GroupCounts::default(),
        letters: Replays::new(database.owner.clone(), bounds),
        reads,
    };
    (home, hearing)
}

/// The list of background jobs: everything that works on what is stored, beside the requests.
fn start_jobs(
    database: &Database,
    config: &Config,
    (series, groups): (SeriesCounts, GroupCounts),
    precedence: Precedence,
    turns: &FirstTurns,
) -> Vec<RunningJob> {
    let (store, kept) = (&database.store, config.retention.correlations);
    let mut queues = MinuteQueues::behind(&precedence);
    let correlations = Correlations::new(&mut queues, store, kept);
    let anomalies = Anomalies::new(&mut queues, store, kept);
    let inferred = Inferred::new(&mut queues, config.limits.assets_per_tenant);
    let limits = &config.limits;
    let bounds = Bounds::new(limits.assets_per_tenant, limits.dead_letter_bytes_per_day);
    let part = if store.layout().has_cells() { Part::Cell } else { Part::Whole };
    // In the order in which somebody waits for them: for what was sent to be seen in a stream first.
    let mut running = vec![
        start(Sequencer::new(store.layout()), database, turns),
        start(Spread::into(&queues), database, turns),
        start(Rollups::new(store, config), database, turns),
        start(Processor::new(bounds, precedence.clone()), database, turns),
        start(Late::new(store, config, precedence), database, turns),
        start(correlations, database, turns),
        start(inferred, database, turns),
        start(Upkeep::new(groups), database, turns),
        start(anomalies, database, turns),
        start(SeriesIds::new(config), database, turns),
        start(series, database, turns),
        start(UsageFold, database, turns),
        start(Lifecycle::new(store, config, part), database, turns),
    ];
    running.extend(Refresh::both(store, config).into_iter().map(|refresh| start(refresh, database, turns)));
    running
}

/// Waits for a task, saying so when it takes long.
async fn late(who: &str, mut task: JoinHandle<()>) -> bool {
    loop {
        match tokio::time::timeout(LATE_AFTER, &mut task).await {
            Ok(result) => return result.is_ok(),
            Err(_) => tracing::warn!(who, "still at work"),
        }
    }
}
