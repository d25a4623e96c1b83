//! Parts of the program by themselves, on what they need from the machine: a real server, a real file system.

#![allow(clippy::unwrap_used, reason = "a test may stop at the first surprise")]

mod embedded;
mod spool;
