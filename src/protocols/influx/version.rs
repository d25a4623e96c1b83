//! Which of InfluxDB's interfaces a request is for, and what its query says.

use std::borrow::Cow;

use hyper::Method;

use super::precision::Precision;
use crate::model::Kind;
use crate::protocols::agent::Query;
use crate::protocols::params::invalid_value;
use crate::protocols::problem::Problem;
use crate::protocols::protocol::{Head, Route};

pub const ROUTES: &[Route] = &[
    Route { method: Method::POST, path: "/write", name: "/write", kind: Kind::Metrics },
    Route { method: Method::POST, path: "/api/v2/write", name: "/api/v2/write", kind: Kind::Metrics },
    Route { method: Method::POST, path: "/api/v3/write_lp", name: "/api/v3/write_lp", kind: Kind::Metrics },
];

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Version {
    V1,
    V2,
    V3,
}

impl Version {
    pub fn of(head: &Head<'_>) -> Self {
        match head.route.path {
            "/api/v2/write" => Self::V2,
            "/api/v3/write_lp" => Self::V3,
            _ => Self::V1,
        }
    }

    /// The parameter that names where the lines go.
    pub fn database(self) -> &'static str {
        if self == Self::V2 { "bucket" } else { "db" }
    }

    fn precisions(self) -> &'static [&'static str] {
        match self {
            Self::V1 => &["ns", "n", "us", "u", "µ", "ms", "s", "m", "h"],
            Self::V2 => &["ns", "us", "ms", "s"],
            Self::V3 => {
                &["auto", "nanosecond", "microsecond", "millisecond", "second", "ns", "n", "us", "u", "ms", "s"]
            }
        }
    }
}

/// What a query asks for. Nothing is said of parameters that have no meaning here.
pub struct Asked<'a> {
    pub version: Version,
    pub precision: Precision,
    /// `db` or `bucket`.
    pub database: Option<Cow<'a, str>>,
    /// Lines that can be read are taken beside others that cannot.
    pub accept_partial: bool,
    pub no_sync: bool,
}

impl<'a> Asked<'a> {
    pub fn of(head: &Head<'a>) -> Result<Self, Problem> {
        let version = Version::of(head);
        let mut query = Query::parse(head.query);
        let taken = version.precisions();
        let precision = match query.get("precision") {
            None if version == Version::V3 => Precision::Auto,
            None => Precision::NANOSECONDS,
            Some(name) => Precision::named(name, taken)
                .ok_or_else(|| invalid_value("precision", name, &format!("must be one of {}", taken.join(", "))))?,
        };
        let switch = |name: &str, default: bool| match query.get(name) {
            _ if version != Version::V3 => Ok(default),
            None => Ok(default),
            Some("true") => Ok(true),
            Some("false") => Ok(false),
            Some(other) => Err(invalid_value(name, other, "must be true or false")),
        };
        let (accept_partial, no_sync) = (switch("accept_partial", true)?, switch("no_sync", false)?);
        let database = query.take(version.database());
        Ok(Self { version, precision, database, accept_partial, no_sync })
    }
}
