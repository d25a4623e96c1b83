//! The unit tests of `load-tests/scaling`: cargo takes none from an example unless it is asked, so they are compiled
//! here.

#![allow(dead_code, reason = "what prints is used by the program")]
#![allow(clippy::unwrap_used, reason = "a test may stop at the first surprise")]

#[path = "../load-tests/scaling/main.rs"]
mod scaling;
