//! The protocols in which items may be sent. Pure: no runtime, no sockets, no database.
//!
//! A [`Protocol`] finds the key in a head, says how the body is read, turns it into Tidegate's own items, and turns a
//! [`Report`] or a [`Problem`] into its own answer. Everything behind the door (quotas, spool, ledger, dead letters,
//! replay) knows Tidegate's items alone. A new protocol is a folder here and a line in [`ALL`].

pub mod agent;
mod best;
mod cloudevents;
mod content;
pub mod convert;
pub mod credential;
mod elastic;
pub mod header;
mod influx;
mod loki;
mod native;
mod otlp;
pub mod params;
mod pieces;
pub mod problem;
mod prometheus;
pub mod protobuf;
mod protocol;
mod report;
mod splunk;
pub mod syslog;

use hyper::HeaderMap;

pub use content::Encoding;
pub use convert::{Converted, Converter};
pub use native::Native;
pub use params::{Params, Segments};
pub use problem::{Answer, Problem, ProblemCode, Trailers};
pub use protocol::{Head, Items, Probe, Protocol, Reading, Route, Sent};
pub use report::{Ending, ItemError, Report};

/// Every protocol. Where several have the same route, those that know their requests by the head come first.
pub const ALL: &[&dyn Protocol] = &[
    &cloudevents::CloudEvents,
    &otlp::Otlp,
    &otlp::OtlpGrpc,
    &prometheus::Prometheus,
    &influx::Influx,
    &loki::Loki,
    &splunk::Splunk,
    &elastic::Elastic,
    &syslog::Syslog,
    // Last on the paths that it shares.
    &native::Native,
];

#[derive(Clone, Copy)]
pub struct Door {
    pub protocol: &'static dyn Protocol,
    pub route: &'static Route,
}

/// Every route of every protocol, in the order of the table.
pub fn doors() -> impl Iterator<Item = Door> {
    ALL.iter().flat_map(|protocol| protocol.routes().iter().map(|route| Door { protocol: *protocol, route }))
}

/// The protocol that a body is of, where it is not the one that its head says: OTLP in JSON is sent to the path of metrics of
/// Tidegate's own.
pub fn by_body(head: &Head<'_>, body: &[u8]) -> Option<&'static dyn Protocol> {
    if is_told_by_body(head) && otlp::is_otlp_json(body) { Some(&otlp::Otlp) } else { None }
}

/// Whether the body may say that the request is of another protocol.
pub fn is_told_by_body(head: &Head<'_>) -> bool {
    head.route.name == "/v1/metrics" && content::media_type(head.headers).as_deref() == Some("application/json")
}

/// The answer to a request for which there is no route.
pub fn unmatched(headers: &HeaderMap, problem: &Problem) -> Answer {
    if content::is_grpc(headers) { otlp::no_method(problem) } else { problem.answer() }
}

/// Every probe of every protocol.
pub fn probes() -> impl Iterator<Item = &'static Probe> {
    ALL.iter().flat_map(|protocol| protocol.probes())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::Kind;

    #[test]
    fn a_name_stands_for_one_route() {
        for one in doors() {
            for other in doors().filter(|other| other.route.name == one.route.name) {
                let shape = |door: Door| (door.route.method.clone(), door.route.path, door.route.kind);
                assert_eq!(shape(one), shape(other), "{}", one.route.name);
            }
        }
        // As every version before called them in ledgers and spools.
        for (name, kind) in [("/v1/events", Kind::Events), ("/v1/metrics", Kind::Metrics)] {
            assert!(doors().any(|door| (door.route.name, door.route.kind) == (name, kind)));
        }
    }
}
