//! OTLP's metrics, in protobuf and in JSON, as Tidegate's. `proto` and `json` read a request's data points one after
//! another into a [`point::Point`], of which `output` makes items; nothing of a request is built in memory. Histograms
//! become summaries by the estimates of `estimate`.
//!
//! A body whose framing is broken is one broken item of the tag [`WHOLE`](super::answer::WHOLE), and nothing else is
//! made of it. A data point that cannot be read is a broken item, and costs no other.

mod cursor;
mod estimate;
mod fault;
mod form;
mod json;
mod output;
mod point;
mod proto;
mod text;

#[cfg(test)]
mod tests;

pub use json::{from_json, is_otlp_json};
pub use proto::from_protobuf;
