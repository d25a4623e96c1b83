//! Ingestion: a decoded request becomes a submission, waits in the lane, is written with its neighbours in one
//! transaction, and is answered after COMMIT.
//!
//! `request -> lane -> writer (plan; BEGIN; claims; COPY; ledger; dead letters; manifests; COMMIT) -> answer`
//!
//! Invariants: every item received is settled in exactly one account ([`conservation`]); a submission is written whole
//! or not at all, in one transaction; what cannot be written is kept as it was sent ([`dead_letters`]), and may be sent
//! again ([`replay`]). Deliberately
//! absent: HTTP, tenants' rules, and any knowledge of how an event looks beyond its encoded row.

mod attempts;
mod available;
mod births;
mod connect;
pub mod conservation;
mod copy;
mod dead_letters;
mod drain;
mod health;
mod home;
mod ingestion;
mod intake;
mod isolate;
mod lane;
mod lanes;
mod ledger;
mod manifests;
mod outcome;
mod pending;
mod plan;
mod poison;
mod pressure;
mod queues;
mod reading;
mod received;
mod rejections;
mod replay;
mod request;
mod requeue;
mod series;
mod series_quota;
mod settle;
mod shelter;
pub mod spool;
mod staging;
mod stream_quota;
mod submission;
mod transaction;
mod trials;
mod usage;
mod workers;
mod writer;
mod writers;

pub use conservation::Counts;
pub use health::{Health, Reason};
pub use ingestion::Ingest;
pub use lanes::Traffic;
pub use outcome::{Outcome, Refusal};
pub use pressure::{Drain, Pressure};
pub use received::Received;
pub use rejections::{RejectionMessage, Rejections};
pub use replay::Letter;
pub use request::{Admit, Request, Unanswered};
pub use workers::Workers;
