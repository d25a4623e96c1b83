//! What is inferred from events and metrics: tables that can be made again from them.

mod seen;

pub use seen::start_derived;
