//! The load generator and file loader behind `tidegate load`.
//!
//! It speaks HTTP/1.1 to a running Tidegate, one connection a worker, and keeps the books: every event sent ends as
//! committed, spooled, duplicate, rejected or failed, and [`check_conservation`] compares those books with the database.
//! Every request carries an idempotency key, so a retry after a lost answer cannot store an event twice.
//!
//! Data flow: a feed (the generator, or one thread reading a file) makes bodies, workers take one each, wait for the
//! pacer, and deliver it with retries into their own tally; the tallies are merged into a [`LoadReport`].
//!
//! Deliberately absent: HTTP/2, and any knowledge of the server's code.

mod client;
mod conserve;
mod deliver;
mod feed;
mod file;
mod generate;
mod latency;
mod options;
mod pace;
mod progress;
mod report;
mod run;
mod samples;
mod shift;
#[cfg(test)]
mod test_server;
#[cfg(test)]
mod tests;

pub use client::{Connection, Endpoint, HttpReply, Lost};
pub use conserve::check_conservation;
pub use generate::{Clock, Generator};
pub use latency::{Latencies, LatencyMs};
pub use options::{ASSETS_DEFAULT, Format, ItemKind, LoadOptions, SendRate, Source, parse_duration};
pub use report::{ConservationCheck, ErrorSample, LoadReport, Mismatch, Promise};
pub use run::{LoadError, run};
pub use samples::SampleGenerator;
