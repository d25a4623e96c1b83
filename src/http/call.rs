//! What a handler is, and what it is given.

use std::net::IpAddr;
use std::pin::Pin;

use bytes::Bytes;
use hyper::http::request::Parts;
use hyper::{Method, Response};

use super::Api;
use super::noting::Noted;
use super::peer::actor_of;
use super::response::Body;
use crate::protocols::{Params, Problem, Segments};
use crate::tenancy::acts::Actor;
use crate::tenancy::{Principal, Scope};

/// A request with a key that may make it.
pub struct Call<'a> {
    pub api: &'a Api,
    pub principal: &'a Principal,
    pub parts: &'a Parts,
    pub path: &'a Segments,
    pub params: Params,
    /// Empty where the handler takes none.
    pub body: Bytes,
}

impl Call<'_> {
    /// Who acts, as the audit log notes it.
    pub fn actor(&self) -> Actor {
        actor_of(self.principal, self.parts)
    }
}

pub type Answering<'a> = Pin<Box<dyn Future<Output = Result<Response<Body>, Problem>> + Send + 'a>>;

/// Somebody who may come without a key, and with one is shown more.
pub struct Visit<'a> {
    pub api: &'a Api,
    pub principal: Option<&'a Principal>,
    pub peer: IpAddr,
}

/// A request of somebody who is not known yet.
pub struct Unkeyed<'a> {
    pub api: &'a Api,
    pub parts: &'a Parts,
    pub body: Bytes,
}

/// A handler, and who may ask it.
pub enum Handler {
    /// Anybody, without a key.
    Open(for<'a> fn(&'a Api) -> Answering<'a>),
    /// The same; a key that is sent must be a good one.
    Either(fn(&Visit<'_>) -> Response<Body>),
    /// The same; a key that is not a good one is passed over.
    Told(for<'a> fn(Visit<'a>) -> Answering<'a>),
    /// Anybody, without a key, with a small body of JSON.
    Unkeyed(for<'a> fn(Unkeyed<'a>) -> Answering<'a>),
    /// Keys, and those who have signed in, with any of these scopes.
    Keyed(&'static [Scope], for<'a> fn(Call<'a>) -> Answering<'a>),
    /// The same, with a small body of JSON, and what the audit log has of it.
    Bodied(&'static [Scope], Noted, for<'a> fn(Call<'a>) -> Answering<'a>),
    /// Keyed, or who has a ticket for the stream that the path names.
    Ticketed(&'static [Scope], for<'a> fn(Call<'a>) -> Answering<'a>),
}

/// A line of the table of routes.
pub struct Endpoint {
    pub method: Method,
    pub path: &'static str,
    pub handler: Handler,
}
