//! Parameters of a query string: decoded once, taken by name, and refused when nobody took them; and those of a path.

use std::collections::BTreeMap;

use jiff::Timestamp;
use percent_encoding::percent_decode_str;

use super::problem::{Problem, ProblemCode};
use crate::config::parse_duration;

#[derive(Debug, Default)]
pub struct Params {
    values: BTreeMap<String, String>,
}

impl Params {
    /// Parses a query string; a parameter given twice is refused, since one of the two would be ignored.
    pub fn parse(query: Option<&str>) -> Result<Self, Problem> {
        let mut values = BTreeMap::new();
        for pair in query.unwrap_or_default().split('&').filter(|pair| !pair.is_empty()) {
            let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
            let name = decode(name, name)?;
            if values.insert(name.clone(), decode(&name, value)?).is_some() {
                return Err(invalid(&name, "is given twice; several values go comma separated into one"));
            }
        }
        Ok(Self { values })
    }

    pub fn take(&mut self, name: &str) -> Option<String> {
        self.values.remove(name)
    }

    /// Takes a list of comma-separated values; empty when absent. Given without a value (an unset shell variable), it
    /// is refused: it would widen the query.
    pub fn take_list(&mut self, name: &str) -> Result<Vec<String>, Problem> {
        let Some(text) = self.take(name) else { return Ok(Vec::new()) };
        let values: Vec<String> =
            text.split(',').map(str::trim).filter(|value| !value.is_empty()).map(str::to_owned).collect();
        if values.is_empty() { Err(invalid(name, "is given without a value")) } else { Ok(values) }
    }

    /// Takes a time: RFC 3339, or relative to now such as `-24h`.
    pub fn take_time(&mut self, name: &str, now: Timestamp) -> Result<Option<Timestamp>, Problem> {
        let Some(text) = self.take(name) else { return Ok(None) };
        let relative = text.strip_prefix('-').and_then(|age| parse_duration(age).ok());
        let time = match relative {
            Some(age) => now.checked_sub(age).ok(),
            // A `+` of an offset that was not percent-encoded has become a space.
            None => text.replace(' ', "+").parse().or_else(|_| text.parse()).ok(),
        };
        time.map(Some).ok_or_else(|| invalid(name, "must be an RFC 3339 time, or an age such as -24h, -15m or -7d"))
    }

    /// Takes a whole number within bounds.
    pub fn take_count(&mut self, name: &str, max: usize) -> Result<Option<usize>, Problem> {
        let Some(text) = self.take(name) else { return Ok(None) };
        match text.parse() {
            Ok(number) if (1..=max).contains(&number) => Ok(Some(number)),
            _ => Err(invalid(name, &format!("must be a whole number from 1 to {max}"))),
        }
    }

    /// Refuses what is left over: a mistyped filter must not silently widen a query.
    pub fn finish(self) -> Result<(), Problem> {
        match self.values.into_keys().next() {
            None => Ok(()),
            Some(name) => Err(invalid(&name, "is not known here; /openapi.json lists what is")),
        }
    }
}

/// The parameters of a path, under their names in the route's pattern.
#[derive(Debug, Default)]
pub struct Segments(Vec<(&'static str, String)>);

impl Segments {
    /// Decodes them. What is not text is no name of anything.
    pub fn decode<'a>(raw: impl Iterator<Item = (&'static str, &'a str)>) -> Result<Self, Problem> {
        let decoded = raw.map(|(name, value)| match percent_decode_str(value).decode_utf8() {
            Ok(value) if !value.contains('\0') => Ok((name, value.into_owned())),
            _ => Err(Problem::not_found("path")),
        });
        decoded.collect::<Result<_, _>>().map(Self)
    }

    /// One by its name; empty if the pattern has no such.
    pub fn get(&self, name: &str) -> &str {
        self.0.iter().find(|(found, _)| *found == name).map_or("", |(_, value)| value)
    }
}

/// 400 for one parameter.
pub fn invalid(name: &str, what: &str) -> Problem {
    let shown: String = name.chars().take(100).collect();
    Problem::bad_request(ProblemCode::InvalidParameter, format!("query parameter `{shown}` {what}"))
}

/// A name or value; a refusal names the parameter `name`.
fn decode(name: &str, text: &str) -> Result<String, Problem> {
    let text = text.replace('+', " ");
    let decoded = percent_decode_str(&text).decode_utf8().map_err(|_| invalid(name, "is not UTF-8"))?;
    if decoded.contains('\0') { Err(invalid(name, "holds a NUL")) } else { Ok(decoded.into_owned()) }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test may stop at the first surprise")]
    use super::*;

    #[test]
    fn values_are_decoded_and_taken_once() {
        let mut params = Params::parse(Some("asset_id=a%20b,c&limit=5&q=x+y")).unwrap();
        assert_eq!(params.take_list("asset_id").unwrap(), ["a b", "c"]);
        assert!(params.take_list("event_type").unwrap().is_empty());
        assert!(Params::parse(Some("asset_id=,")).unwrap().take_list("asset_id").is_err());
        assert_eq!(params.take_count("limit", 10).unwrap(), Some(5));
        assert_eq!(params.take("q").unwrap(), "x y");
        params.finish().unwrap();
    }

    #[test]
    fn mistakes_are_refused() {
        assert!(Params::parse(Some("a=1&a=2")).is_err());
        assert!(Params::parse(Some("a=%ff")).is_err());
        assert!(Params::parse(Some("a=%00")).is_err());
        assert!(Params::parse(Some("sevrity=x")).unwrap().finish().is_err());
        assert!(Params::parse(Some("limit=0")).unwrap().take_count("limit", 10).is_err());
    }

    #[test]
    fn times_are_absolute_or_relative() {
        let now: Timestamp = "2026-01-02T00:00:00Z".parse().unwrap();
        let time = |text: &str| Params::parse(Some(text)).unwrap().take_time("t", now);
        assert_eq!(time("t=-24h").unwrap().unwrap().to_string(), "2026-01-01T00:00:00Z");
        assert_eq!(time("t=2026-01-01T01:00:00%2B01:00").unwrap().unwrap().to_string(), "2026-01-01T00:00:00Z");
        assert_eq!(time("t=2026-01-01T01:00:00+01:00").unwrap().unwrap().to_string(), "2026-01-01T00:00:00Z");
        assert!(time("t=yesterday").is_err());
    }
}
