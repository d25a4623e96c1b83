//! Correlations: pairs of events that belong together, found behind the ingest path.
//!
//! [`Correlations`] works through the minutes that events were written to: causal pairs by parent and by shared correlation
//! id, and what the other rules need; then through the minutes whose types changed, for temporal pairs. [`Anomalies`] ties
//! outliers of metrics to errors of the same asset. Rules, formulae and cost: docs/CORRELATIONS.md.

mod anomaly;
mod causal;
mod chain;
mod chains;
mod child;
mod correlations;
mod kept;
mod lift;
mod orphans;
mod pairs;
mod parents;
mod robust;
mod summary;
mod temporal;
mod upkeep;

pub use anomaly::Anomalies;
pub use correlations::Correlations;
