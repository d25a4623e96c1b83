//! Tidegate: time-series events and metrics over HTTP into TimescaleDB and PostgreSQL as binary COPY, answered after COMMIT, or, while
//! the database is away, once they are safe on disk.
//!
//! # Nouns
//!
//! - An **event** happened at a time; a **tenant** (an organization's slug) owns it; an API key speaks for one tenant.
//! - A **metric** is a raw **sample** of an asset, or a **summary** of many.
//! - An **item** is one event or metric of a request as it was sent. What is refused becomes a **dead letter**: its bytes, the
//!   **stage** that refused it, a stable **code**.
//! - A **submission** is a decoded request; it waits in a **lane** and is written with others as a **batch**, one
//!   transaction. A **manifest** says what a batch wrote for one tenant and stream.
//! - The **spool** holds requests that the database did not take; the **drain** writes them later.
//! - The **ledger** remembers the answers of requests with an idempotency key; a **receipt** names a request.
//! - A **definition** of a stream says what its payloads must be (a **schema**, in **versions**), and what of them is never kept
//!   (**masks**).
//! - An **engine** is how events are stored: hypertables (`timescale`) or native partitions (`postgres`).
//!
//! # The one direction data flows
//!
//! ```text
//! http -> tenancy (key) -> item (split, scan) -> event or metric (validate, encode) -> ingest (lane -> plan -> one transaction) -> answer
//!                              \-> rejected item ---------------------------------> dead letters, in the same transaction
//! what the database does not take -> ingest (shelter -> spool) -> answer ... drain -> plan -> one transaction
//! http -> tenancy (key) -> query -> answer
//! http -> tenancy (key) -> groups (what is next, to whom) -> query -> answer ... acknowledgement -> groups
//! ```
//!
//! # Invariants
//!
//! - Every item received is committed, dead-lettered, deduplicated, refused, spooled or in flight
//!   ([`ingest::conservation`]).
//! - An answer of 200 comes after COMMIT, one of 202 after fdatasync ([`ingest::spool`]); a request is stored whole, and
//!   with a key once.
//! - What hyper reads of HTTP/1 has one reading, and every answer to it is ours ([`http`]).
//! - [`wire`] is pure: no runtime, no sockets, no database. [`storage`] knows no event. [`http`] has no SQL.
//! - A payload's text reaches PostgreSQL as it was sent, but for what its stream masks; nothing is made of values again.
//! - Every read and write is of the key's tenant. Every limit is in [`limits`], or in [`config`] with bounds.
//!
//! # Deliberately absent
//!
//! Globals read by leaf code; recursion over input; errors told apart by their text; a unique index that exactly-once
//! would depend on. The map is docs/ARCHITECTURE.md.

pub mod app;
pub mod authority;
pub mod backup;
mod budget;
pub mod cli;
pub mod commands;
pub mod config;
pub mod correlate;
mod durable;
mod files;
mod fold;
pub mod forecast;
pub mod groups;
pub mod http;
pub mod inferred;
pub mod ingest;
pub mod jobs;
pub mod lifecycle;
pub mod limits;
pub mod load;
pub mod model;
pub mod nodes;
mod payload;
mod precedence;
pub mod processor;
pub mod projections;
pub mod protocols;
pub mod query;
mod recent;
pub mod registry;
mod rng;
pub mod rollup;
mod schema;
mod secrets;
pub mod shutdown;
pub mod storage;
pub mod streams;
mod syslog;
pub mod telemetry;
pub mod tenancy;
mod timestamp;
pub mod tls;
mod unseen;
mod version;
pub mod wire;
