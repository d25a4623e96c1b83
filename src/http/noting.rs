//! The audit log of what routes do beside it: noted right after the act, also where nobody waits for the answer any more.

use hyper::StatusCode;
use hyper::http::request::Parts;
use percent_encoding::percent_decode_str;
use serde_json::{Map, Value, json};

use super::peer::actor_of;
use crate::limits::NOTED_BYTES_MAX;
use crate::protocols::Segments;
use crate::secrets::redacted;
use crate::tenancy::Principal;
use crate::tenancy::administration::{Administration, Done};

/// What the audit log has of a route that takes a body.
#[derive(Debug, Clone, Copy)]
pub enum Noted {
    /// Nothing: it administers nothing, as who sends, takes and acknowledges.
    Nothing,
    /// Some of these, by the handler, in the transaction of the act.
    Within(&'static [&'static str]),
    /// This, by the router, right after what the handler did in a transaction of its own.
    After(&'static str),
}

/// An act that is under way. What nobody waits for any more may have been done all the same, and is noted as such.
pub struct Noting {
    administration: Administration,
    done: Option<Done>,
}

impl Noting {
    pub fn begin(
        administration: &Administration,
        action: &'static str,
        principal: &Principal,
        parts: &Parts,
        path: &Segments,
        body: &[u8],
    ) -> Option<Self> {
        let (details, dry) = asked(parts.uri.query(), body);
        let done = Done {
            actor: actor_of(principal, parts),
            tenant_id: principal.tenant_id.clone(),
            action,
            target: target(action, path.joined(), &details),
            details,
        };
        // What only says what would be done does nothing.
        (!dry).then(|| Self { administration: administration.clone(), done: Some(done) })
    }

    /// Notes it, unless it was refused. An error of ours may have come behind what was done.
    pub async fn end(mut self, status: StatusCode) {
        let Some(mut done) = self.done.take() else { return };
        if status.is_server_error() {
            done.details["status"] = json!(status.as_u16());
        }
        if status.is_success() || status.is_server_error() {
            self.administration.note(done).await;
        }
    }
}

impl Drop for Noting {
    fn drop(&mut self) {
        if let Some(mut done) = self.done.take() {
            done.details["status"] = json!("given up");
            drop(self.administration.noting(done));
        }
    }
}

/// What it is done to: what the path names, and of what is made the name that it has from the body.
fn target(action: &str, path: String, details: &Value) -> Option<String> {
    let made = details["name"].as_str().filter(|_| action.ends_with(".create"));
    let parts: Vec<&str> = [path.as_str()].into_iter().filter(|path| !path.is_empty()).chain(made).collect();
    (!parts.is_empty()).then(|| parts.join("/"))
}

/// What was asked for, in the query and the body, without keys; and whether it was only tried.
fn asked(query: Option<&str>, body: &[u8]) -> (Value, bool) {
    let mut members = match serde_json::from_slice(body) {
        Ok(Value::Object(members)) => members,
        _ => Map::new(),
    };
    for pair in query.unwrap_or_default().split('&').filter(|pair| !pair.is_empty()) {
        let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
        members.insert(decoded(name), Value::String(decoded(value)));
    }
    let dry = match members.get("dry_run") {
        Some(Value::Bool(dry)) => *dry,
        Some(Value::String(dry)) => ["", "1", "true"].contains(&dry.as_str()),
        _ => false,
    };
    let text = Value::Object(members).to_string();
    let kept = redacted(&text);
    let details = match serde_json::from_str::<Value>(&kept) {
        Ok(Value::Object(members)) if kept.len() > NOTED_BYTES_MAX => json!({ "long": names(&members) }),
        Ok(details) => details,
        Err(_) => json!({}),
    };
    (details, dry)
}

/// A name or value of a query as it was meant.
fn decoded(text: &str) -> String {
    percent_decode_str(&text.replace('+', " ")).decode_utf8_lossy().into_owned()
}

/// The names of what is too long to be noted, a few of them.
fn names(members: &Map<String, Value>) -> Vec<&String> {
    const NAMES: usize = 20;
    members.keys().filter(|name| name.len() < 100).take(NAMES).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_noted_has_no_key_and_is_short() {
        let key = crate::tenancy::ApiKey::generate().expect("randomness").reveal();
        let body = format!(r#"{{"name":"x","reason":"for {key}"}}"#);
        let (details, dry) = asked(Some("force=1"), body.as_bytes());
        assert_eq!((details, dry), (json!({"name": "x", "reason": "for tg_...", "force": "1"}), false));
        assert_eq!(asked(Some("code=out%5Fof%5Fwindow,a+b"), b"").0, json!({"code": "out_of_window,a b"}));
        let escaped = format!("code={}", key.replace('_', "%5F"));
        assert_eq!(asked(Some(&escaped), b"").0, json!({"code": "tg_..."}));
        assert!(asked(None, br#"{"to":"latest","dry_run":true}"#).1);
        assert!(asked(Some("dry_run=1"), b"").1 && asked(Some("dry_run"), b"").1 && !asked(Some("dry_run=0"), b"").1);
        let long = format!(r#"{{"schema":"{}"}}"#, "x".repeat(NOTED_BYTES_MAX));
        assert_eq!(asked(None, long.as_bytes()).0, json!({"long": ["schema"]}));
        assert_eq!(asked(None, b"").0, json!({}));
    }
}
