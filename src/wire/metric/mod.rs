//! Metrics: a request body in, COPY tuples and rejections out. Pure: no runtime, no sockets, no database.
//!
//! An item is one raw sample (`value`), several raw samples of one moment (`values`, a row each), or the summary of
//! many (`count`, `sum`, `min`, `max` and, where its sender knew the spread, `sumsq` or `stddev`).
//!
//! - `series` computes which series a sample is of, from its dimensions as `canonical` writes them.
//! - `fields` has the names by which a metric's fields are known.
//! - `number` makes doubles of JSON numbers, and refuses those that a double cannot hold as they are written.
//! - `measure` tells the three forms apart and checks that a summary's numbers can be those of one set of values.
//! - `row` reads the series of an encoded row back.
//! - `validate` applies the other rules; it alone makes a `ValidMetric`. `encode` appends its tuples.

mod canonical;
mod decode;
mod encode;
mod fields;
mod measure;
mod number;
mod row;
mod series;
mod validate;

#[cfg(test)]
mod tests;

pub use decode::Decoder;
pub use encode::{COPY_COLUMN_COUNT, COPY_COLUMNS};
pub use row::{Series, series, series_key};
