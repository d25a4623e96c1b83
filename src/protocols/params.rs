//! Parameters of a query string: decoded once, taken by name, and refused when nobody took them; and those of a path.

use std::collections::BTreeMap;

use jiff::Timestamp;
use percent_encoding::percent_decode_str;

use super::problem::{Problem, ProblemCode};
use crate::config::parse_duration;
use crate::secrets::holds_key;
use crate::timestamp::{parse_epoch, parse_rfc3339};
use crate::wire::item::reject::excerpt;

const DAYS_PER_WEEK: u32 = 7;

#[derive(Debug, Default)]
pub struct Params {
    /// Each value in the pieces between its literal commas: behind decoding, one that was `%2C` is no separator.
    values: BTreeMap<String, Vec<String>>,
}

impl Params {
    /// Parses a query string; a parameter given twice is refused, since one of the two would be ignored.
    pub fn parse(query: Option<&str>) -> Result<Self, Problem> {
        let mut values = BTreeMap::new();
        for pair in query.unwrap_or_default().split('&').filter(|pair| !pair.is_empty()) {
            let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
            let name = decode(name, name)?;
            let pieces: Vec<String> = value.split(',').map(|piece| decode(&name, piece)).collect::<Result<_, _>>()?;
            if holds_key(&name) || pieces.iter().any(|piece| holds_key(piece)) {
                return Err(Problem::bad_request(
                    ProblemCode::InvalidParameter,
                    "the query holds an API key, which belongs into Authorization or X-API-Key: servers on the way keep URLs \
                     in their logs; revoke it (tidegate keys revoke)",
                ));
            }
            if values.insert(name.clone(), pieces).is_some() {
                return Err(invalid(&name, "is given twice; several values go comma separated into one"));
            }
        }
        Ok(Self { values })
    }

    /// Adds a parameter that was sent otherwise than in the query; false if the query has it as well.
    pub fn give(&mut self, name: &str, pieces: Vec<String>) -> bool {
        let is_new = !self.values.contains_key(name);
        if is_new {
            self.values.insert(name.to_owned(), pieces);
        }
        is_new
    }

    /// Takes one value, in which a comma is a comma.
    pub fn take(&mut self, name: &str) -> Option<String> {
        self.values.remove(name).map(|pieces| pieces.join(","))
    }

    /// Takes a list of comma-separated values as they are; empty when absent. Given without a value (an unset shell
    /// variable), it is refused: it would widen the query. Beside others an empty value is passed over, since nothing is
    /// stored under one.
    pub fn take_list(&mut self, name: &str) -> Result<Vec<String>, Problem> {
        let Some(values) = self.values.remove(name) else { return Ok(Vec::new()) };
        listed(name, values)
    }

    /// Takes the same, each of which is one of these: what is mistyped would find nothing.
    pub fn take_list_of(&mut self, name: &str, known: &[&str]) -> Result<Vec<String>, Problem> {
        let values = self.take_list(name)?;
        match values.iter().find(|value| !known.contains(&value.as_str())) {
            Some(value) => Err(invalid_value(name, value, &format!("must be one or several of {}", known.join(", ")))),
            None => Ok(values),
        }
    }

    /// Takes all whose names begin so, with their values.
    pub fn take_prefixed(&mut self, prefix: &str) -> BTreeMap<String, Vec<String>> {
        let (taken, left) =
            std::mem::take(&mut self.values).into_iter().partition(|(name, _)| name.starts_with(prefix));
        self.values = left;
        taken
    }

    /// Takes a value that is one of these, by name.
    pub fn take_one_of<T: Copy>(&mut self, name: &str, known: &[(&str, T)]) -> Result<Option<T>, Problem> {
        let Some(text) = self.take(name) else { return Ok(None) };
        known.iter().find(|(known, _)| *known == text).map(|(_, value)| Some(*value)).ok_or_else(|| {
            let names: Vec<&str> = known.iter().map(|(name, _)| *name).collect();
            invalid_value(name, &text, &format!("must be one of {}", names.join(", ")))
        })
    }

    /// Takes a time: `now`, an age such as `-24h`, RFC 3339, a date, or an epoch number.
    pub fn take_time(&mut self, name: &str, now: Timestamp) -> Result<Option<Timestamp>, Problem> {
        let Some(text) = self.take(name) else { return Ok(None) };
        time(&text, now).map(Some).ok_or_else(|| {
            invalid_value(
                name,
                &text,
                "must be an RFC 3339 time (with `T`, seconds and a zone: 2026-01-31T12:00:00Z) or date, an epoch number (in s or ms, by its size), an age such as -24h, -15m, \
                 -7d or -1w, or `now`",
            )
        })
    }

    /// Takes a switch; named without a value it is on.
    pub fn take_switch(&mut self, name: &str) -> Result<Option<bool>, Problem> {
        self.take_one_of(name, &[("1", true), ("true", true), ("", true), ("0", false), ("false", false)])
    }

    /// Takes a whole number within bounds.
    pub fn take_count(&mut self, name: &str, max: usize) -> Result<Option<usize>, Problem> {
        let Some(text) = self.take(name) else { return Ok(None) };
        match text.parse() {
            Ok(number) if (1..=max).contains(&number) => Ok(Some(number)),
            _ => Err(invalid_value(name, &text, &format!("must be a whole number from 1 to {max}"))),
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

    /// All of them, with slashes between.
    pub fn joined(&self) -> String {
        self.0.iter().map(|(_, value)| value.as_str()).collect::<Vec<_>>().join("/")
    }

    /// One by its name; empty if the pattern has no such.
    pub fn get(&self, name: &str) -> &str {
        self.0.iter().find(|(found, _)| *found == name).map_or("", |(_, value)| value)
    }
}

/// A time as parameters give it. The end of the calendar stands for what lies behind it: to a bound it makes no difference.
pub fn time(text: &str, now: Timestamp) -> Option<Timestamp> {
    if text == "now" {
        return Some(now);
    }
    if let Some(age) = text.strip_prefix('-') {
        let age = match age.strip_suffix('w') {
            Some(weeks) => parse_duration(&format!("{weeks}d")).ok()?.checked_mul(DAYS_PER_WEEK)?,
            None => parse_duration(age).ok()?,
        };
        return Some(now.checked_sub(age).unwrap_or(Timestamp::UNIX_EPOCH));
    }
    let is_number = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    let (whole, fraction) = text.split_once('.').unwrap_or((text, "0"));
    let us = if is_number(whole) && is_number(fraction) {
        parse_epoch(text)
    } else if text.len() == "YYYY-MM-DD".len() {
        parse_rfc3339(&format!("{text}T00:00:00Z"))?
    } else {
        // A `+` of an offset that was not percent-encoded has become a space.
        let with_plus = || text.rsplit_once(' ').map(|(time, offset)| format!("{time}+{offset}"));
        parse_rfc3339(text).or_else(|| parse_rfc3339(&with_plus()?))?
    };
    Some(Timestamp::from_microsecond(us).unwrap_or(Timestamp::MAX))
}

/// The values of a list but for empty ones, of which there must be some.
fn listed(name: &str, mut values: Vec<String>) -> Result<Vec<String>, Problem> {
    values.retain(|value| !value.is_empty());
    if values.is_empty() { Err(invalid(name, "is given without a value")) } else { Ok(values) }
}

/// 400 for one parameter.
pub fn invalid(name: &str, what: &str) -> Problem {
    let shown: String = name.chars().take(100).collect();
    Problem::bad_request(ProblemCode::InvalidParameter, format!("query parameter `{shown}` {what}"))
}

/// The same, with an excerpt of what it was.
pub fn invalid_value(name: &str, value: &str, what: &str) -> Problem {
    invalid(name, &format!("{what}; it is `{}`", excerpt(value)))
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
    fn names_by_their_beginning() {
        let mut params = Params::parse(Some("dim.b=x,y&dim.a%20c=1,&dim.=2&di=3")).unwrap();
        let taken = params.take_prefixed("dim.");
        assert_eq!(taken.keys().collect::<Vec<_>>(), ["dim.", "dim.a c", "dim.b"]);
        assert_eq!(
            (&taken["dim.b"][..], &taken["dim.a c"][..]),
            (&["x".into(), "y".into()][..], &["1".into(), String::new()][..])
        );
        assert_eq!(listed("dim.a c", taken["dim.a c"].clone()).unwrap(), ["1"]);
        assert!(listed("dim.b", vec![String::new()]).is_err());
        assert_eq!(params.take_one_of("di", &[("2", 'a'), ("3", 'b')]).unwrap(), Some('b'));
        assert_eq!(params.take_one_of("di", &[("3", 'b')]).unwrap(), None);
        params.finish().unwrap();
        let refused =
            Params::parse(Some("di=5")).unwrap().take_one_of("di", &[("2", 'a'), ("3", 'b')]).expect_err("unknown");
        assert!(refused.detail().ends_with("must be one of 2, 3; it is `5`"), "{refused:?}");
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
    fn an_api_key_is_refused_and_not_repeated() {
        let key = format!("tg_{}_{}", "a".repeat(32), "b".repeat(72));
        let escaped = key.replace('_', "%5F");
        for query in [format!("api_key={key}"), format!("asset_id={escaped}"), key.clone(), format!("a=1&{escaped}=2")]
        {
            let refused = Params::parse(Some(&query)).expect_err(&query);
            assert!(!refused.detail().contains("aaaa") && refused.detail().contains("Authorization"), "{refused:?}");
        }
    }

    #[test]
    fn a_literal_comma_separates_and_an_encoded_one_is_data() {
        let list = |query: &str| Params::parse(Some(query)).unwrap().take_list("f").unwrap();
        assert_eq!(list("f=pool:type=Threads%2Cname=web"), ["pool:type=Threads,name=web"]);
        assert_eq!(list("f=a%2c%20b,c"), ["a, b", "c"]);
        assert_eq!(list("f=+edge,edge%20,%20"), [" edge", "edge ", " "]);
        assert_eq!(list("f=%2B%26%25%3D%23,null,%2C,,%22"), ["+&%=#", "null", ",", "\""]);
        assert_eq!(list("f=%2525,%C3%9C"), ["%25", "\u{dc}"]);
        assert_eq!(Params::parse(Some("f=a,b%2Cc,,d,")).unwrap().take("f").unwrap(), "a,b,c,,d,");
    }

    proptest::proptest! {
        /// Whatever is stored has a spelling, alone and beside others.
        #[test]
        fn every_value_has_a_spelling(values in proptest::collection::vec("[^\\x00]{1,40}", 1..4)) {
            use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
            let encoded: Vec<String> =
                values.iter().map(|value| utf8_percent_encode(value, NON_ALPHANUMERIC).to_string()).collect();
            let query = format!("other=1&f={}", encoded.join(","));
            let mut params = Params::parse(Some(&query)).unwrap();
            proptest::prop_assert_eq!(params.take_list("f").unwrap(), values);
        }
    }

    #[test]
    fn times_are_absolute_or_relative() {
        let now: Timestamp = "2026-01-02T00:00:00Z".parse().unwrap();
        let time = |text: &str| Params::parse(Some(&format!("t={text}"))).unwrap().take_time("t", now);
        for (text, expected) in [
            ("now", "2026-01-02T00:00:00Z"),
            ("-24h", "2026-01-01T00:00:00Z"),
            ("-1w", "2025-12-26T00:00:00Z"),
            ("-9999999999d", "1970-01-01T00:00:00Z"),
            ("2026-01-01T01:00:00%2B01:00", "2026-01-01T00:00:00Z"),
            ("2026-01-01T01:00:00+01:00", "2026-01-01T00:00:00Z"),
            ("2026-01-01+01:00:00+01:00", "2026-01-01T00:00:00Z"),
            ("2026-01-01%2001:00:00Z", "2026-01-01T01:00:00Z"),
            ("2026-01-01T00:00:00,5Z", "2026-01-01T00:00:00.5Z"),
            ("2026-01-01", "2026-01-01T00:00:00Z"),
            ("0001-01-01", "0001-01-01T00:00:00Z"),
            ("1767225600", "2026-01-01T00:00:00Z"),
            ("1767225600.25", "2026-01-01T00:00:00.25Z"),
            ("1767225600000", "2026-01-01T00:00:00Z"),
            ("0", "1970-01-01T00:00:00Z"),
        ] {
            assert_eq!(time(text).unwrap().unwrap().to_string(), expected, "{text}");
        }
        let detail = time("2026-11-29+15:00").expect_err("no seconds").detail().to_owned();
        assert!(
            detail.contains("with `T`, seconds and a zone") && detail.ends_with("it is `2026-11-29 15:00`"),
            "{detail}"
        );
        for far in ["9999-12-31", "9999-12-31T23:59:59.999999Z", "9999-12-31T23:59:59-23:59", "99999999999999999999999"]
        {
            assert_eq!(time(far).unwrap().unwrap(), Timestamp::MAX, "{far}");
        }
        for bad in [
            "yesterday",
            "",
            "-",
            "-5",
            "-1.5h",
            "-w",
            "24h",
            "1e9",
            "0x10",
            ".5",
            "5.",
            "2026-01-01T12:30:60Z",
            "2026-01-01T00:00:00",
            "2026-01-01T00:00:00+24:00",
            "2026-02-30",
            "2026-1-1",
            "-009999-01-02T00:00:00Z",
            "%2B002026-01-01T00:00:00Z",
            "10000-01-01",
        ] {
            assert!(time(bad).is_err(), "{bad}");
        }
    }
}
