//! GET /v1/metrics?aggregate=...: series grouped, and one value for each group and bucket.
//!
//! What the cells of a level tell exactly comes from them; the rest is computed from samples, as long as these are kept and
//! as long as there are not too many, and refused beyond. Nothing is approximated.

mod function;
mod grid;
mod groups;
mod lines;
mod query;
mod statement;

pub use function::{Aggregate, Rank};
pub use groups::GroupBy;
pub use lines::Fill;
pub use query::{AggregateQuery, Aggregated};
