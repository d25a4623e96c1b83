//! Who a connection is from, which request it is, and who acts by it.

use std::net::{IpAddr, Ipv4Addr};

use hyper::header::HeaderValue;
use hyper::http::request::Parts;

use super::slots::Crowd;
use crate::tenancy::acts::{Actor, Source};
use crate::tenancy::{Holder, Principal};

/// Who a connection is from; put into each of its requests by the accept loop.
#[derive(Debug, Clone, Copy)]
pub struct Peer {
    pub address: IpAddr,
    /// Set: its connection is one of the reserve, and asks about health only.
    pub crowd: Option<Crowd>,
}

/// What is answered as X-Request-Id; put into each request before its route is found.
#[derive(Debug, Clone)]
pub struct RequestId(pub HeaderValue);

pub fn peer_of(parts: &Parts) -> IpAddr {
    parts.extensions.get::<Peer>().map_or(Ipv4Addr::UNSPECIFIED.into(), |peer| peer.address)
}

/// Where a request comes from, as the audit log notes it.
pub fn source_of(parts: &Parts) -> Source {
    let request_id = parts.extensions.get::<RequestId>().and_then(|RequestId(value)| value.to_str().ok());
    Source { address: peer_of(parts), request_id: request_id.unwrap_or_default().to_owned() }
}

/// Who acts by a request.
pub fn actor_of(principal: &Principal, parts: &Parts) -> Actor {
    let from = source_of(parts);
    match &principal.holder {
        Holder::Key(id) => Actor::Key { id: *id, from },
        Holder::Person(person) => Actor::User { id: person.user_id, email: person.email.clone(), from },
    }
}
