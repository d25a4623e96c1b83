//! CloudEvents in binary mode (HTTP protocol binding 1.0.2, 3.1): the attributes in `ce-` headers, the data as the body.
//! The event is written in structured mode, so that everything behind the door knows one form of it.

use std::io::Write;

use base64::display::Base64Display;
use base64::engine::general_purpose::STANDARD;
use hyper::HeaderMap;
use hyper::header::CONTENT_TYPE;
use percent_encoding::percent_decode_str;
use serde_json::value::RawValue;

use crate::protocols::content::media_type;
use crate::protocols::header::unquoted;
use crate::protocols::problem::{Problem, ProblemCode};
use crate::secrets::holds_key;
use crate::wire::item::{Code, place_in};

const PREFIX: &str = "ce-";
/// The attribute that is Content-Type.
const CONTENT: &str = "datacontenttype";
/// What Content-Type begins with in the other modes, which wins over headers (3.2: they may be there as well).
const EVENT_FORMATS: &str = "application/cloudevents";
const BYTE_ORDER_MARK: &[u8] = b"\xef\xbb\xbf";

/// Whether the head says that the body is the data of an event.
pub fn is_meant(headers: &HeaderMap) -> bool {
    headers.keys().any(|name| name.as_str().starts_with(PREFIX))
        && media_type(headers).is_none_or(|media_type| !media_type.starts_with(EVENT_FORMATS))
}

/// The event in structured mode. Where the data is not the JSON that it is said to be, that is text which is none, with
/// all that was sent: it becomes a dead letter.
pub fn structured(headers: &HeaderMap, body: &[u8]) -> Result<Vec<u8>, Problem> {
    compose(headers, body).map(|event| event.text)
}

/// What is said of the event in structured mode, for a sender who never saw that: with headers and bytes of the body.
pub fn as_sent_in(headers: &HeaderMap, body: &[u8], code: &str, message: &str) -> String {
    // It was composed before.
    let Ok(event) = compose(headers, body) else { return message.to_owned() };
    if event.is_broken {
        return "the body is not the JSON that Content-Type says it is".into();
    }
    if code == Code::MissingField.as_str() {
        return format!("{message}; in binary mode these are the headers ce-specversion, ce-id, ce-source and ce-type");
    }
    match place_in(message) {
        Some((stretch, at)) => format!("{}{}{}", &message[..stretch.start], event.place(at), &message[stretch.end..]),
        None => message.to_owned(),
    }
}

/// An event in structured mode, and where in it stands what was sent.
#[derive(Default)]
struct Composed {
    text: Vec<u8>,
    /// The header of each attribute, and where its value ends in the text.
    attributes: Vec<(String, usize)>,
    /// Where JSON data begins in the text, and where in the body.
    data: Option<(usize, usize)>,
    /// The body is not the JSON that it is said to be, and the text no event.
    is_broken: bool,
}

impl Composed {
    fn place(&self, at: usize) -> String {
        match (self.attributes.iter().find(|(_, end)| at < *end), self.data) {
            (Some((header, _)), _) => format!("in the header {header}"),
            (None, Some((in_text, in_body))) if at >= in_text => {
                format!("at byte {} of the body", in_body + at - in_text)
            }
            _ => "in the body".into(),
        }
    }
}

fn compose(headers: &HeaderMap, body: &[u8]) -> Result<Composed, Problem> {
    let attributes = attributes(headers)?;
    let data = body.strip_prefix(BYTE_ORDER_MARK).unwrap_or(body).trim_ascii();
    let media_type = media_type(headers);
    let says_json = media_type.as_deref().is_some_and(is_json);
    let json = (says_json || media_type.is_none()).then(|| serde_json::from_slice::<&RawValue>(data).ok()).flatten();
    let blank = says_json && data.is_empty();
    if says_json && json.is_none() && !blank {
        return Ok(Composed { text: as_sent(&attributes, body), is_broken: true, ..Composed::default() });
    }
    let mut event = Composed { text: Vec::with_capacity(body.len() / 3 * 4 + 512), ..Composed::default() };
    let text = &mut event.text;
    for (name, value) in &attributes {
        text.push(if text.is_empty() { b'{' } else { b',' });
        put(text, name);
        text.push(b':');
        put(text, value);
        let header = if *name == CONTENT { "Content-Type".to_owned() } else { format!("{PREFIX}{name}") };
        event.attributes.push((header, text.len()));
    }
    if let Some(json) = json {
        text.extend_from_slice(b",\"data\":");
        let in_body = json.get().as_ptr().addr() - body.as_ptr().addr();
        event.data = Some((text.len(), in_body));
        text.extend_from_slice(json.get().as_bytes());
    } else if let Some(string) = media_type.as_deref().and_then(|media_type| of_text(media_type, body)) {
        text.extend_from_slice(b",\"data\":");
        put(text, string);
    } else if !body.is_empty() && !blank {
        write!(text, ",\"data_base64\":\"{}\"", Base64Display::new(body, &STANDARD)).expect("a Vec takes every write");
    }
    text.push(b'}');
    Ok(event)
}

/// Names and values, in the order in which they were sent; Content-Type is `datacontenttype`.
fn attributes(headers: &HeaderMap) -> Result<Vec<(&str, String)>, Problem> {
    let mut attributes = Vec::new();
    for (header, value) in headers {
        let Some(name) = header.as_str().strip_prefix(PREFIX) else { continue };
        if matches!(name, "data" | "data_base64" | CONTENT) {
            let instead = if name == CONTENT { "Content-Type" } else { "the body" };
            return Err(invalid(header.as_str(), &format!("is no attribute in binary mode: it is {instead}")));
        }
        let text = std::str::from_utf8(value.as_bytes()).ok();
        let decoded = text.and_then(|text| Some(percent_decode_str(&unquoted(text)).decode_utf8().ok()?.into_owned()));
        let decoded = decoded.ok_or_else(|| invalid(header.as_str(), "is not UTF-8"))?;
        if holds_key(&decoded) {
            let what = "holds an API key, which is a secret and would be stored; leave it out, and revoke the key if it may have \
                        been read on its way (tidegate keys revoke)";
            return Err(invalid(header.as_str(), what));
        }
        attributes.push((name, decoded));
    }
    if let Some(value) = headers.get(CONTENT_TYPE) {
        let text = std::str::from_utf8(value.as_bytes()).map_err(|_| invalid("content-type", "is not UTF-8"))?;
        attributes.push((CONTENT, text.to_owned()));
    }
    Ok(attributes)
}

fn invalid(header: &str, what: &str) -> Problem {
    Problem::bad_request(ProblemCode::InvalidHeader, format!("the header `{header}` {what}"))
}

fn is_json(media_type: &str) -> bool {
    matches!(media_type, "application/json" | "text/json") || media_type.ends_with("+json")
}

/// Data that structured mode writes as a string: text that can be stored as such.
fn of_text<'a>(media_type: &str, body: &'a [u8]) -> Option<&'a str> {
    let is_text = media_type.starts_with("text/") || media_type == "application/xml" || media_type.ends_with("+xml");
    std::str::from_utf8(body).ok().filter(|text| is_text && !text.is_empty() && !text.contains('\0'))
}

fn as_sent(attributes: &[(&str, String)], body: &[u8]) -> Vec<u8> {
    let mut text = b"CloudEvent in binary mode\r\n".to_vec();
    for (name, value) in attributes {
        write!(text, "{name}: {value}\r\n").expect("a Vec takes every write");
    }
    text.extend_from_slice(b"\r\n");
    text.extend_from_slice(body);
    text
}

fn put(event: &mut Vec<u8>, text: &str) {
    serde_json::to_writer(event, text).expect("text is JSON");
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test may stop at the first surprise")]
    use hyper::header::{HeaderName, HeaderValue};
    use serde_json::{Value, json};

    use super::*;

    fn headers(fields: &[(&'static str, &[u8])]) -> HeaderMap {
        let field = |(name, value): &(&'static str, &[u8])| {
            (HeaderName::from_static(name), HeaderValue::from_bytes(value).unwrap())
        };
        fields.iter().map(field).collect()
    }

    fn event(fields: &[(&'static str, &[u8])], body: &[u8]) -> Value {
        serde_json::from_slice(&structured(&headers(fields), body).unwrap()).unwrap()
    }

    const REQUIRED: [(&str, &[u8]); 4] =
        [("ce-specversion", b"1.0"), ("ce-id", b"a-1"), ("ce-source", b"/mine"), ("ce-type", b"t")];

    #[test]
    fn attributes_and_data_are_those_of_structured_mode() {
        for (content_type, body, data) in [
            ("application/json", &b" {\"a\": 1.50} \n"[..], serde_json::from_str(r#"{"data":{"a":1.50}}"#).unwrap()),
            ("Application/JSON; charset=utf-8", b"\xef\xbb\xbf[1]", json!({ "data": [1] })),
            ("application/vnd.x+json", b"null", json!({ "data": null })),
            ("application/json", b"", json!({})),
            ("application/json", b" \n", json!({})),
            ("text/plain", b"hi \"you\"\n", json!({ "data": "hi \"you\"\n" })),
            ("application/xml", b"<a/>", json!({ "data": "<a/>" })),
            ("text/plain", b"", json!({})),
            ("text/plain; charset=latin1", b"\xfc", json!({ "data_base64": "/A==" })),
            ("text/plain", b"a\0", json!({ "data_base64": "YQA=" })),
            ("application/octet-stream", b"{}", json!({ "data_base64": "e30=" })),
            ("multipart/form-data; boundary=x", b"--x--", json!({ "data_base64": "LS14LS0=" })),
        ] {
            let found = event(&[&REQUIRED[..], &[("content-type", content_type.as_bytes())]].concat(), body);
            let mut expected = json!({ "specversion": "1.0", "id": "a-1", "source": "/mine", "type": "t",
                "datacontenttype": content_type });
            expected.as_object_mut().unwrap().extend(data.as_object().unwrap().clone());
            assert_eq!(found, expected, "{content_type} {body:?}");
        }
        let without_type = |body: &[u8]| event(&REQUIRED, body);
        assert_eq!(without_type(b"{\"a\":1}")["data"], json!({ "a": 1 }));
        assert_eq!(without_type(b"text")["data_base64"], "dGV4dA==");
        assert_eq!(without_type(b"").get("datacontenttype"), None);
    }

    #[test]
    fn values_are_decoded() {
        for (value, expected) in [
            (&b"Euro%20%E2%82%AC%20%F0%9F%98%80"[..], "Euro \u{20ac} \u{1f600}"),
            (b"100%", "100%"),
            (b"a%2", "a%2"),
            (b"\"quoted \\\"%22\\\" text\"", "quoted \"\"\" text"),
            ("ü".as_bytes(), "ü"),
            (b"a+b,c;d", "a+b,c;d"),
            (b"", ""),
        ] {
            assert_eq!(event(&[("ce-subject", value)], b"")["subject"], expected);
        }
    }

    #[test]
    fn what_cannot_be_an_attribute_is_refused_by_name() {
        for (name, value) in [
            ("ce-subject", &b"\xfc"[..]),
            ("ce-subject", b"%fc"),
            ("ce-data", b"x"),
            ("ce-data_base64", b"x"),
            ("ce-datacontenttype", b"text/plain"),
        ] {
            let problem = structured(&headers(&[("ce-id", b"1"), (name, value)]), b"").unwrap_err();
            assert_eq!(problem.code(), ProblemCode::InvalidHeader);
            assert!(problem.detail().contains(name), "{}", problem.detail());
        }
    }

    #[test]
    fn data_that_is_not_the_json_it_is_said_to_be_is_kept_as_no_json() {
        for body in [&b"{\"a\":"[..], b"1,\"id\":\"2\"", b"{}{}", b"{\"a\":\"\xff\"}", b"text"] {
            let fields = [&REQUIRED[..], &[("content-type", b"application/json")]].concat();
            let kept = structured(&headers(&fields), body).unwrap();
            assert!(!matches!(kept[0], b'{' | b'[') && kept.ends_with(body));
            assert!(String::from_utf8_lossy(&kept).contains("\r\nid: a-1\r\n"));
        }
    }

    #[test]
    fn places_are_those_of_what_was_sent() {
        let json = ("content-type", &b"application/json"[..]);
        let fields = headers(&[&REQUIRED[..], &[("ce-time", b"soon"), json]].concat());
        let body = b"  {\"n\":1}";
        let text = String::from_utf8(structured(&fields, body).unwrap()).unwrap();
        let said = |word: &str| {
            let at = text.find(word).unwrap();
            as_sent_in(&fields, body, "invalid_field", &format!("x at byte {at} of the item is wrong"))
        };
        for (word, place) in [
            ("\"1.0\"", "in the header ce-specversion"),
            ("\"soon\"", "in the header ce-time"),
            ("\"application", "in the header Content-Type"),
            ("{\"n\"", "at byte 2 of the body"),
            ("1}}", "at byte 7 of the body"),
        ] {
            assert_eq!(said(word), format!("x {place} is wrong"));
        }
        assert_eq!(as_sent_in(&fields, body, "x", "no place"), "no place");
        assert!(as_sent_in(&fields, body, "missing_field", "id is missing").ends_with("ce-source and ce-type"));
        assert!(as_sent_in(&fields, b"{", "invalid_json", "at byte 0 of the item").contains("Content-Type"));
    }

    #[test]
    fn keys_are_refused_wherever_they_are_sent() {
        let key = format!("tg_{}_{}", "a".repeat(32), "b".repeat(64));
        let encoded = key.replace('_', "%5F");
        for (name, value) in
            [("ce-id", &key), ("ce-time", &key), ("ce-subject", &encoded), ("ce-mine", &key.to_uppercase())]
        {
            let problem = structured(&headers(&[(name, value.as_bytes())]), b"").unwrap_err();
            assert!(problem.detail().contains(name) && problem.detail().contains("API key"), "{}", problem.detail());
            assert!(!problem.detail().contains("bbbb"));
        }
    }

    #[test]
    fn the_mode_is_told_by_the_head() {
        let is = |fields: &[(&'static str, &[u8])]| is_meant(&headers(fields));
        assert!(is(&[("ce-id", b"1")]) && is(&[("content-type", b"text/plain"), ("ce-type", b"1")]));
        assert!(!is(&[("content-type", b"application/json")]) && !is(&[("cecil", b"1")]));
        for content_type in
            ["application/cloudevents+json", "application/CloudEvents-batch+json", "application/cloudevents+xml"]
        {
            assert!(!is(&[("content-type", content_type.as_bytes()), ("ce-id", b"1")]));
        }
    }
}
