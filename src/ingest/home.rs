//! Where a tenant's requests go: the lanes of its home, the writers behind them, and what is known of its database. Homes share
//! the spool and everything else.

use std::sync::Arc;

use super::lane::Lane;
use super::lanes::{Lanes, Traffic};
use super::shelter::Shelter;
use super::workers;
use crate::config::Config;
use crate::model::PerKind;
use crate::storage;

pub struct Home {
    pub lanes: Arc<PerKind<Lanes>>,
    pub shelter: Arc<Shelter>,
}

/// The homes of all tenants, once the database is there.
pub struct Homes {
    pub places: storage::Homes,
    /// Of each kind the width of a new slice of time, in microseconds.
    pub slices_us: PerKind<i64>,
    pub homes: Vec<Home>,
}

impl Home {
    pub fn new(shelter: Arc<Shelter>, config: &Config) -> Self {
        let lanes = PerKind::new(|_| Lanes {
            live: Lane::new(workers::seal(config, Traffic::Live)),
            late: Lane::new(workers::seal(config, Traffic::Late)),
        });
        Self { lanes: Arc::new(lanes), shelter }
    }
}

impl Homes {
    pub fn of(&self, tenant_id: &str) -> &Home {
        &self.homes[self.places.of(tenant_id)]
    }

    pub fn lanes(&self) -> impl Iterator<Item = &Lanes> {
        self.homes.iter().flat_map(|home| home.lanes.iter())
    }
}
