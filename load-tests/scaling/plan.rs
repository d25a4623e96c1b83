//! What a number of events a day needs.

use super::model::Model;
use super::points::{Engine, Points};

const DAY_S: f64 = 86_400.0;
const GIB: f64 = 1_073_741_824.0;
const MIB: f64 = 1_048_576.0;
const PAGE: f64 = 8192.0;
/// What a node opens in a cell besides writers and readers: owner 32, two writers of each kind's side, verifier 2,
/// consumers 8, exports 4.
const FIXED_CONNECTIONS: f64 = 32.0 + 4.0 + 2.0 + 8.0 + 4.0;

/// Where rows are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Layout {
    Timescale,
    Postgres,
    /// Of `postgres` on workers, each reached directly.
    Citus,
}

impl Layout {
    pub const ALL: [Self; 3] = [Self::Timescale, Self::Postgres, Self::Citus];

    pub fn name(self) -> &'static str {
        match self {
            Self::Timescale => "timescale",
            Self::Postgres => "postgres",
            Self::Citus => "citus",
        }
    }

    pub fn engine(self) -> Engine {
        match self {
            Self::Timescale => Engine::Timescale,
            Self::Postgres | Self::Citus => Engine::Postgres,
        }
    }

    /// Whether the database may be more than one machine.
    pub fn has_workers(self) -> bool {
        matches!(self, Self::Citus)
    }
}

/// us of an event, with what goes on beside ingestion.
#[derive(Debug, Clone, Copy)]
pub struct Us {
    pub node: f64,
    pub database: f64,
}

pub fn us(points: &Points, model: &Model, layout: Layout) -> Us {
    let (assumed, beside, engine) = (&points.assumed, &points.beside, layout.engine());
    // The slow machine's, on the one that all else was measured on.
    let quick = beside.quick / beside.slow;
    let write = model.database(engine).us(assumed.request, assumed.batch) + model.standing_of(engine);
    let to_owner = if layout.has_workers() { points.citus.owner / points.citus.without } else { 1.0 };
    Us {
        node: model.node.us(assumed.request, assumed.batch) + assumed.groups * beside.group_node * quick,
        database: write * to_owner + beside.rollups[&engine] + assumed.groups * beside.group_database * quick,
    }
}

/// What all of one need, by the peak.
pub struct Plan {
    pub nodes: f64,
    pub node_cores: f64,
    pub workers: f64,
    pub worker_cores: f64,
    /// Of each worker, from the most pressing to the least: what, how much of it, how much there is.
    pub uses: Vec<Use>,
    /// In all days.
    pub kept_gib: f64,
    pub table_gib_day: f64,
    pub wal_gib_day: f64,
    pub network_gbit: f64,
    pub spool_gib_minute: f64,
    pub connections: f64,
}

pub struct Use {
    pub what: &'static str,
    pub unit: &'static str,
    /// What all workers together need.
    pub needed: f64,
    /// What one has.
    pub has: f64,
}

impl Use {
    /// So many workers it takes.
    pub fn workers(&self) -> f64 {
        self.needed / self.has
    }
}

pub fn plan(points: &Points, model: &Model, layout: Layout, events_per_second: f64) -> Plan {
    let (assumed, bytes, engine) = (&points.assumed, &points.bytes, layout.engine());
    let us = us(points, model, layout);
    let peak = events_per_second * assumed.peak;
    let cores = |us: f64| peak * us / 1e6;
    let day = events_per_second * DAY_S;
    let (table, wal) = (bytes.table[&engine], bytes.wal[&engine]);
    // One more, so that any may be away.
    let nodes = (cores(us.node) / (assumed.node_cores * assumed.busy)).ceil() + 1.0;
    let mut uses = vec![
        Use { what: "processors", unit: "cores", needed: cores(us.database) / assumed.busy, has: assumed.worker_cores },
        Use { what: "disk, written", unit: "MiB/s", needed: peak * (table + wal) / MIB, has: assumed.disk_mib },
        Use {
            what: "disk, writes",
            unit: "a second",
            needed: peak / assumed.batch + peak * table / PAGE,
            has: assumed.disk_iops,
        },
        Use {
            what: "disk, room",
            unit: "GiB",
            needed: day * assumed.days * bytes.kept[&engine] / GIB,
            has: assumed.disk_gib,
        },
        Use { what: "network, in", unit: "Gbit/s", needed: peak * bytes.body * 8.0 / 1e9, has: assumed.network_gbit },
    ];
    uses.sort_by(|left, right| right.workers().total_cmp(&left.workers()));
    let workers = uses.first().map_or(1.0, Use::workers).ceil().max(1.0);
    let cells = if layout.has_workers() { assumed.cells.max(workers) } else { 1.0 };
    let on_each = if layout.has_workers() { (cells / workers).ceil() } else { 1.0 };
    Plan {
        nodes,
        node_cores: cores(us.node),
        workers,
        worker_cores: cores(us.database),
        uses,
        kept_gib: day * assumed.days * bytes.kept[&engine] / GIB,
        table_gib_day: day * table / GIB,
        wal_gib_day: day * wal / GIB,
        network_gbit: peak * bytes.body * 8.0 / 1e9,
        spool_gib_minute: peak * bytes.body * 60.0 / GIB / nodes,
        connections: nodes * on_each * connections(points),
    }
}

/// What a node may open to a cell.
pub fn connections(points: &Points) -> f64 {
    FIXED_CONNECTIONS + 2.0 * points.assumed.writers + points.assumed.readers
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ten_times_as_much_needs_ten_times_as_much() {
        let points = Points::read();
        let model = Model::of(&points);
        for layout in Layout::ALL {
            let [one, ten] = [1e5, 1e6].map(|rate| plan(&points, &model, layout, rate));
            let times = |one: f64, ten: f64| (ten / one - 10.0).abs() < 1e-6;
            assert!(times(one.worker_cores, ten.worker_cores) && times(one.table_gib_day, ten.table_gib_day));
            assert!(ten.workers > one.workers && ten.workers <= one.workers * 10.0);
            // What breaks first is what takes most workers.
            assert!(ten.uses.iter().all(|of| of.workers() <= ten.uses[0].workers()));
        }
    }

    #[test]
    fn connections_are_those_of_the_pools() {
        let mut points = Points::read();
        points.assumed.writers = 4.0;
        points.assumed.readers = 8.0;
        assert!((connections(&points) - 66.0).abs() < 1e-9);
    }

    #[test]
    fn the_owner_of_a_shard_costs_less_than_any_other_way_there() {
        let citus = Points::read().citus;
        assert!(
            citus.owner < citus.without && citus.without < citus.any_worker && citus.any_worker < citus.coordinator
        );
    }
}
