//! HTTP: the accept loop, the routes, one file a resource, errors as problem documents.
//!
//! A request is told apart by path and method, its key is verified, its parameters are taken; what it means is asked of
//! [`crate::ingest`] and [`crate::query`], and how items are sent, of [`crate::protocols`]. Deliberately absent: SQL,
//! and any decision about an event.

mod activity;
mod admin;
mod api;
mod body;
mod call;
mod compress;
mod console;
mod cors;
mod dead_letter_filter;
mod deadline;
mod decompress;
mod definitions;
mod exchange;
mod export;
mod extent;
mod gate;
mod groups;
mod grpc;
mod gzip;
mod h1;
mod h2;
mod head;
mod items;
mod keys;
mod lifecycle;
mod metrics;
mod nodes;
mod noting;
mod operation;
mod peer;
mod people;
mod quota;
mod reads;
mod replay;
mod response;
mod router;
mod routes;
mod server;
mod sink;
mod slots;
mod socket;
mod spelling;
mod streams;
mod tls;
mod way;
mod who;
mod wire;
mod zlib;

pub use api::{Api, Attached, Home, Readiness};
pub use routes::noted;
pub use server::{Served, serve};
pub use tls::Tls;
