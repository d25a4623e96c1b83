//! In which form a reader wants a list, by `Accept` (RFC 9110, section 12.5.1).

use hyper::header::ACCEPT;
use hyper::{HeaderMap, StatusCode};

use crate::http::export::Form;
use crate::http::problem::{Code, Problem};

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Wanted {
    /// One JSON document with a cursor.
    Page,
    /// A stream of all that matches.
    Stream(Form),
}

/// What there is, and by which media types it is asked for; of those that are liked equally, the first.
const FORMS: [(Wanted, &[&str]); 3] = [
    (Wanted::Page, &["application/json"]),
    (Wanted::Stream(Form::Ndjson), &["application/x-ndjson", "application/ndjson"]),
    (Wanted::Stream(Form::Csv), &["text/csv"]),
];

/// A media range of `Accept`.
struct Range {
    name: String,
    /// 0: not acceptable.
    quality: f32,
}

impl Range {
    /// Media types, names of parameters and so `q` are compared without case.
    fn parse(text: &str) -> Self {
        let text = text.to_ascii_lowercase();
        let mut parts = text.split(';').map(str::trim);
        let name = parts.next().unwrap_or_default().to_owned();
        let quality = parts.find_map(|part| part.split_once('=').filter(|(name, _)| name.trim() == "q"));
        // A weight that is none: better not.
        let quality = quality.map_or(1.0, |(_, q)| q.trim().parse().unwrap_or(0.0));
        Self { name, quality: if (0.0..=1.0).contains(&quality) { quality } else { 0.0 } }
    }

    /// How exactly it names one of these types; None: not at all.
    fn matches(&self, types: &[&str]) -> Option<u8> {
        let group = |one: &&str| self.name.strip_suffix("/*") == one.split_once('/').map(|(group, _)| group);
        match self.name.as_str() {
            "*/*" => Some(0),
            name if types.contains(&name) => Some(2),
            _ => types.iter().any(group).then_some(1),
        }
    }
}

/// The form that is liked best: by quality, which the most exact range tells; then in the order of the ranges.
pub fn wanted(headers: &HeaderMap) -> Result<Wanted, Problem> {
    let lines = headers.get_all(ACCEPT).iter().filter_map(|line| line.to_str().ok());
    let mut ranges: Vec<Range> =
        lines.flat_map(|line| line.split(',')).filter(|text| !text.trim().is_empty()).map(Range::parse).collect();
    if ranges.is_empty() {
        ranges.push(Range::parse("*/*"));
    }
    let mut best: Option<(f32, usize, Wanted)> = None;
    for (wanted, types) in FORMS {
        let matching = ranges.iter().enumerate().filter_map(|(at, range)| Some((range.matches(types)?, at)));
        let Some((_, at)) = matching.min_by_key(|(exact, at)| (u8::MAX - exact, *at)) else { continue };
        let quality = ranges[at].quality;
        let better = |(best, best_at, _): (f32, usize, Wanted)| quality > best || (quality == best && at < best_at);
        if quality > 0.0 && best.is_none_or(better) {
            best = Some((quality, at, wanted));
        }
    }
    best.map(|(_, _, wanted)| wanted).ok_or_else(|| {
        Problem::new(
            StatusCode::NOT_ACCEPTABLE,
            Code::NotAcceptable,
            "Accept must allow application/json, application/x-ndjson or text/csv",
        )
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const JSON: Option<Wanted> = Some(Wanted::Page);
    const LINES: Option<Wanted> = Some(Wanted::Stream(Form::Ndjson));
    const CSV: Option<Wanted> = Some(Wanted::Stream(Form::Csv));

    fn of(lines: &[&'static str]) -> Option<Wanted> {
        let headers = lines.iter().map(|line| (ACCEPT, hyper::header::HeaderValue::from_static(line))).collect();
        wanted(&headers).ok()
    }

    #[test]
    fn the_form_that_is_liked_best() {
        for (accept, form) in [
            ("", JSON),
            ("*/*", JSON),
            ("Application/JSON", JSON),
            ("TEXT/CSV", CSV),
            ("text/*", CSV),
            ("application/NDJSON", LINES),
            ("text/csv;Q=0.1, application/json", JSON),
            ("text/csv;q=0.1,application/json;q=0.2", JSON),
            (" text/csv ; q = 0.5 , application/x-ndjson;q=0.6", LINES),
            ("text/csv;header=present;q=0.2, application/json;q=0.1", CSV),
            // As much liked: in their order, a range of several by ours.
            ("text/csv, application/json", CSV),
            ("application/json, text/csv", JSON),
            ("application/x-ndjson;q=0.5, text/csv;q=0.5", LINES),
            ("text/csv, */*", CSV),
            ("*/*, text/csv", JSON),
            ("text/html, application/xhtml+xml, */*;q=0.8", JSON),
            // Not acceptable, whatever a wider range says.
            ("application/json;q=0, */*", LINES),
            ("*/*, application/json;q=0, application/ndjson;q=0.000", CSV),
            ("application/json;q=0", None),
            ("*/*;q=0", None),
            ("text/csv;q=x", None),
            ("text/csv;q=nan", None),
            ("text/html", None),
        ] {
            assert_eq!(of(&[accept]), form, "{accept}");
        }
        assert_eq!(of(&[]), JSON);
        assert_eq!(of(&["text/html", "text/csv"]), CSV, "several lines are one list");
    }
}
