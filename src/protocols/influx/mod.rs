//! Line protocol over HTTP, as InfluxDB 1, 2 and 3 take it. A field of a line is a sample, tags are dimensions, and
//! `host` is the asset. docs/protocols/influx.md says what becomes of what.

mod answer;
mod convert;
mod fault;
mod line;
mod precision;
mod probe;
mod series;
mod text;
mod value;
mod version;

#[cfg(test)]
mod tests;

use std::borrow::Cow;

use bytes::Bytes;

use self::version::{Asked, ROUTES, Version};
use super::agent::{self, Query};
use super::content::Encoding;
use super::convert::Converter;
use super::problem::{Answer, Problem};
use super::protocol::{Head, Items, Probe, Protocol, Reading, Route, Sent};
use super::report::Report;

pub struct Influx;

impl Protocol for Influx {
    fn routes(&self) -> &'static [Route] {
        ROUTES
    }

    /// Version 1 has it in the query as well, where it is asked for first.
    fn credential<'a>(&self, head: &Head<'a>) -> Result<Cow<'a, str>, Problem> {
        if Version::of(head) == Version::V1
            && let Some(password) = Query::parse(head.query).take("p")
        {
            return Ok(password);
        }
        let how = "`Authorization: Token tg_...` or `Bearer tg_...`, or as the password of Basic (version 1: of `p`)";
        let key = agent::required_key(head.headers, &["token", "bearer"], how)?;
        // Version 1 has `user:password` for a token; a key has no colon.
        Ok(match key {
            Cow::Borrowed(key) => key.split_once(':').map_or(key, |(_, password)| password).into(),
            owned => owned,
        })
    }

    fn encodings(&self) -> &'static [Encoding] {
        &[Encoding::Gzip, Encoding::Zstd, Encoding::Deflate, Encoding::Identity]
    }

    fn reading(&self, head: &Head<'_>) -> Result<Reading, Problem> {
        let asked = Asked::of(head)?;
        let reading = agent::reading(head, true)?;
        Ok(Reading { ack_spooled: reading.ack_spooled || asked.no_sync, ..reading })
    }

    fn items(&self, head: &Head<'_>, body: &Bytes, into: &mut Converter<'_>) -> Result<Items, Problem> {
        convert::convert(body, &Asked::of(head)?, into)?;
        Ok(Items::Converted)
    }

    fn answer(&self, head: &Head<'_>, sent: Sent<'_>, report: Report<'_>) -> Answer {
        answer::answer(Version::of(head), sent, report)
    }

    fn refusal(&self, head: &Head<'_>, problem: &Problem) -> Answer {
        answer::refusal(Version::of(head), problem)
    }

    fn probes(&self) -> &'static [Probe] {
        probe::PROBES
    }
}
