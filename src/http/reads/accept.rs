//! In which form a reader wants a list, by `Accept` (RFC 9110, section 12.5.1).

use hyper::header::ACCEPT;
use hyper::{HeaderMap, StatusCode};

use crate::http::export::Form;
use crate::protocols::header::{list, quality};
use crate::protocols::problem::{Problem, ProblemCode};

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ListForm {
    /// One JSON document with a cursor.
    Page,
    /// A stream of all that matches.
    Stream(Form),
}

/// What there is, and the media ranges that it is asked for by, the most exact first; of those that are liked
/// equally, the first.
const FORMS: [(ListForm, &[&str]); 3] = [
    (ListForm::Page, &["application/json", "application/*", "*/*"]),
    (ListForm::Stream(Form::Ndjson), &["application/x-ndjson", "application/ndjson", "application/*", "*/*"]),
    (ListForm::Stream(Form::Csv { safe: false }), &["text/csv", "text/*", "*/*"]),
];

/// Of forms of an answer the one that is liked best: by quality, which the most exact range tells; then in the order of the
/// ranges. Each with the media ranges that it is asked for by, the most exact first.
pub fn best<T: Copy>(headers: &HeaderMap, forms: &[(T, &[&str])]) -> Result<T, Problem> {
    let listed = list(headers, ACCEPT);
    let mut ranges: Vec<(&str, f32)> = listed.iter().map(|range| (range.token.as_str(), quality(range))).collect();
    if ranges.is_empty() {
        ranges.push(("*/*", 1.0));
    }
    let liked = forms.iter().filter_map(|(wanted, names)| {
        let at = names.iter().find_map(|name| ranges.iter().position(|(range, _)| range == name))?;
        Some((ranges[at].1, at, *wanted)).filter(|(quality, ..)| *quality > 0.0)
    });
    let best = liked.min_by(|a, b| b.0.total_cmp(&a.0).then(a.1.cmp(&b.1)));
    best.map(|(_, _, wanted)| wanted).ok_or_else(|| {
        let names: Vec<&str> = forms.iter().filter_map(|(_, names)| names.first().copied()).collect();
        let (last, others) = names.split_last().expect("there is a form of every answer");
        Problem::new(
            StatusCode::NOT_ACCEPTABLE,
            ProblemCode::NotAcceptable,
            format!("Accept must allow {} or {last}", others.join(", ")),
        )
    })
}

/// The form that a list is wanted in.
pub fn wanted(headers: &HeaderMap) -> Result<ListForm, Problem> {
    best(headers, &FORMS)
}

#[cfg(test)]
mod tests {
    use super::*;

    const JSON: Option<ListForm> = Some(ListForm::Page);
    const LINES: Option<ListForm> = Some(ListForm::Stream(Form::Ndjson));
    const CSV: Option<ListForm> = Some(ListForm::Stream(Form::Csv { safe: false }));

    fn of(lines: &[&'static str]) -> Option<ListForm> {
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
            (r#"text/html;x="a, text/csv;q=1", application/json;Q=0.1"#, JSON),
            (r#"text/csv;x="; q=0";q=0.5, application/json;q=0.4"#, CSV),
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
