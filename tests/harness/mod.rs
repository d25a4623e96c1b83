//! What the test binaries share: private servers, the program as a child process, a client, a proxy that injects faults,
//! the books of /metrics. Each binary imports these modules at its root, so that they are `crate::env` and so on.

#![allow(dead_code, reason = "no binary uses all of it")]

pub mod authority;
pub mod books;
pub mod cell_sql;
pub mod chromium;
pub mod client;
pub mod copied;
pub mod derived;
pub mod described;
pub mod env;
pub mod frames;
pub mod grafana;
pub mod held;
pub mod installations;
pub mod logins;
pub mod memory_disk;
pub mod old;
pub mod origin;
pub mod pgbouncer;
pub mod postgres;
pub mod private;
pub mod process;
pub mod proxy;
pub mod refresh;
pub mod samples;
pub mod secure;
pub mod shape;
pub mod shared;
pub mod tenant_rows;
pub mod times;
pub mod traffic;
pub mod waits;
pub mod wired;
