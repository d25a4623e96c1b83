//! What /metrics says, and the invariant that it proves.

use std::collections::HashMap;

use crate::client::{Answer, Client};
use crate::env::until;

/// All samples of a scrape, by name with labels.
pub struct Books(HashMap<String, f64>);

const RIGHT: [&str; 6] =
    ["committed_total", "dead_lettered_total", "deduplicated_total", "refused_total", "in_flight", "spooled"];

impl Books {
    /// Scrapes; every line must be a comment or a sample.
    pub fn of(client: &Client) -> Self {
        Self::read(&client.get("/metrics"))
    }

    /// Of an answer to GET /metrics.
    pub fn read(answer: &Answer) -> Self {
        assert_eq!(answer.status, 200);
        let samples = answer.text().lines().filter(|line| !line.is_empty() && !line.starts_with('#'));
        Self(
            samples
                .map(|line| {
                    let (name, value) = line.rsplit_once(' ').unwrap_or_else(|| panic!("no sample: {line}"));
                    (name.to_owned(), value.parse().unwrap_or_else(|_| panic!("no number: {line}")))
                })
                .collect(),
        )
    }

    /// Waits until nothing is left in the spool.
    pub fn drained(client: &Client) {
        until("the spool is drained", || (Self::of(client).items("spooled") == 0).then_some(()));
    }

    /// A sample, 0 when it was never touched.
    pub fn get(&self, name: &str) -> f64 {
        self.0.get(name).copied().unwrap_or(0.0)
    }

    /// An account of the total, in items.
    pub fn items(&self, account: &str) -> u64 {
        let value = self.get(&format!("tidegate_items_{account}"));
        assert!(value >= 0.0 && value.fract() == 0.0, "{account} is {value}");
        format!("{value:.0}").parse().unwrap()
    }

    fn tenant_items(&self, account: &str, tenant: &str) -> f64 {
        self.get(&format!("tidegate_tenant_items_{account}{{tenant=\"{tenant}\"}}"))
    }

    /// The tenants that have accounts of their own.
    pub fn tenants(&self) -> Vec<&str> {
        let prefix = "tidegate_tenant_items_received_total{tenant=\"";
        self.0.keys().filter_map(|name| name.strip_prefix(prefix)?.strip_suffix("\"}")).collect()
    }

    /// received + recovered = committed + dead-lettered + deduplicated + refused + in-flight + spooled, in total and for
    /// each tenant.
    pub fn assert_balanced(&self) {
        let left = self.items("received_total") + self.items("recovered_from_spool_total");
        let right: u64 = RIGHT.iter().map(|account| self.items(account)).sum();
        assert_eq!(left, right, "{:?}", self.0);
        for tenant in self.tenants() {
            let left =
                self.tenant_items("received_total", tenant) + self.tenant_items("recovered_from_spool_total", tenant);
            let right: f64 = RIGHT.iter().map(|account| self.tenant_items(account, tenant)).sum();
            assert!((left - right).abs() < 0.5, "{tenant}: {left} is not {right}: {:?}", self.0);
        }
    }

    /// The same, with nothing in flight and these items in the accounts.
    pub fn assert_items(&self, expected: &[(&str, u64)]) {
        self.assert_balanced();
        assert_eq!(self.items("in_flight"), 0);
        for (account, items) in expected {
            assert_eq!(self.items(&format!("{account}_total")), *items, "{account}");
        }
    }
}
