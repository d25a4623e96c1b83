//! Schemas of payloads: JSON Schema 2020-12, within bounds. Pure.
//!
//! `jsonschema` does the judging. What is here keeps it within bounds (size, depth, expressions, looks at a payload), without
//! network or files, and with numbers compared exactly. `format` and `content*` annotate, as the specification has it.

mod apart;
mod bare;
mod bounds;
mod compare;
mod compiled;
mod equality;
mod error;
mod expansion;
mod looks;
mod metered;
mod rules;
#[cfg(test)]
mod soundness_tests;
#[cfg(test)]
mod suite_tests;
mod taken;

pub use compare::{Direction, compare};
pub use compiled::{Schema, Violation};
pub use error::SchemaError;
