//! Tests of the spool.

#![allow(clippy::unwrap_used, reason = "a test may stop at the first surprise")]

mod age;
mod codec;
mod damage;
mod kept;
mod model;
mod rng;
mod sim;
