//! A running server as commands find it: its URL, whose certificate it may have, a key; and for those that ask it over HTTP.

use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http_body_util::Full;
use hyper::header::{ACCEPT, AUTHORIZATION, CONTENT_TYPE};
use hyper::{Method, Request};
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use serde_json::Value;

use super::output::{Exit, failed, text, visible};
use crate::config::secret_of_environment;
use crate::limits::{MIB, PAGE_ROWS_MAX};
use crate::load::{Connection, Endpoint};
use crate::tls::Trust;

/// Where a key is looked for when none is given.
const KEY_VARIABLE: &str = "TIDEGATE_KEY";
/// Its name among systemd's credentials.
const KEY_CREDENTIAL: &str = "key";

/// For one answer: a call may replay many dead letters.
const TIMEOUT: Duration = Duration::from_secs(300);
/// Of one answer: a dead letter of the largest body, as text and in base64.
const ANSWER_BYTES_MAX: usize = 1024 * MIB;

/// Where the server is when no flag says so: `TIDEGATE_URL`, as the examples of docs/examples have it, else this machine.
pub fn usual_url() -> String {
    let named = std::env::var("TIDEGATE_URL").ok().filter(|url| !url.is_empty());
    named.unwrap_or_else(|| "http://127.0.0.1:8080".into())
}

/// Keys of the environment, with commas or each on its line; not looked for where a flag gives one.
pub fn keys_of_environment(given: bool) -> Result<Option<String>, Exit> {
    match secret_of_environment(|name| std::env::var(name).ok(), KEY_VARIABLE, KEY_CREDENTIAL) {
        Ok(found) => Ok(found.map(|(keys, _)| keys)),
        // A flag wins over all of them.
        Err(_) if given => Ok(None),
        Err(error) => {
            failed(&error);
            Err(Exit::BadConfiguration)
        }
    }
}

/// The key of a command that needs one: that of the flag, or the first of the environment. Err: it has been said what is
/// missing.
pub fn key_of(given: Option<String>) -> Result<String, Exit> {
    let environment = keys_of_environment(given.is_some())?;
    let first = |keys: String| keys.split([',', '\n']).map(str::trim).find(|key| !key.is_empty()).map(str::to_owned);
    given.or_else(|| environment.and_then(first)).ok_or_else(|| {
        failed(&"an API key is needed: --key, or TIDEGATE_KEY (tidegate keys create --org ORG makes one)");
        Exit::Usage
    })
}

/// What to look at where nothing answers.
pub const NOT_THERE: &str = "is `tidegate serve` running there? --url or TIDEGATE_URL names another server";

/// Why there is no answer, and what to look at.
pub fn unanswered(url: &str, lost: &impl fmt::Display) -> String {
    format!("{url} does not answer ({lost}): {NOT_THERE}")
}

/// Whose certificates are taken.
pub fn trust(cacert: Option<PathBuf>, insecure: bool) -> Trust {
    if insecure {
        eprintln!("warning: --insecure: nobody knows who the server is; keys and data may go to somebody else");
    }
    match cacert {
        Some(file) => Trust::File(file),
        None if insecure => Trust::Anyone,
        None => Trust::System,
    }
}

#[derive(clap::Args)]
pub struct ServerArgs {
    /// Base URL of the server, http or https [env: TIDEGATE_URL]
    #[arg(long, global = true, default_value_t = usual_url())]
    url: String,
    /// PEM file of the authority that signed an https server's certificate [default: the system's authorities]
    #[arg(long, global = true, value_name = "FILE")]
    cacert: Option<PathBuf>,
    /// Take any certificate of an https server: anyone on the network path can read the key
    #[arg(long, global = true, conflicts_with = "cacert")]
    insecure: bool,
    /// API key [env: TIDEGATE_KEY, or TIDEGATE_KEY_FILE]
    #[arg(long, global = true, value_name = "KEY")]
    key: Option<String>,
}

impl fmt::Debug for ServerArgs {
    /// Without the key: it is a secret.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ServerArgs").field("url", &self.url).finish_non_exhaustive()
    }
}

/// Asks one server with one key.
pub struct Server {
    url: String,
    endpoint: Arc<Endpoint>,
    connection: Connection<Full<Bytes>>,
    key: String,
}

/// An answer; a problem's document as well.
pub struct Answered {
    pub is_success: bool,
    pub body: Value,
}

impl Server {
    /// Err: it has been said what is missing.
    pub fn of(args: ServerArgs) -> Result<Self, Exit> {
        let key = key_of(args.key)?;
        let usage = |error: &str| {
            failed(&error);
            Exit::Usage
        };
        let trust = trust(args.cacert, args.insecure);
        let endpoint = Arc::new(Endpoint::trusting(&args.url, &trust).map_err(|error| usage(&error))?);
        let connection = Connection::new(Arc::clone(&endpoint)).with_answers_of(ANSWER_BYTES_MAX);
        Ok(Self { url: args.url, endpoint, connection, key })
    }

    /// A server of this machine.
    pub fn at(url: &str, key: &str) -> Result<Self, String> {
        let endpoint = Arc::new(Endpoint::trusting(url, &Trust::System).map_err(|error| error.to_string())?);
        let connection = Connection::new(Arc::clone(&endpoint)).with_answers_of(ANSWER_BYTES_MAX);
        Ok(Self { url: url.to_owned(), endpoint, connection, key: key.to_owned() })
    }

    /// One request, and its answer as JSON.
    pub async fn ask(&mut self, method: Method, path: &str) -> Result<Answered, String> {
        self.ask_with(method, path, None).await
    }

    /// The same, with a body.
    async fn ask_with(&mut self, method: Method, path: &str, body: Option<&Value>) -> Result<Answered, String> {
        let body = body.map(Value::to_string).unwrap_or_default();
        let request = Request::builder()
            .method(method)
            .uri(self.endpoint.path(path)?)
            .header(AUTHORIZATION, format!("Bearer {}", self.key))
            .header(ACCEPT, "application/json")
            .header(CONTENT_TYPE, "application/json")
            .body(Full::from(body))
            .map_err(|error| error.to_string())?;
        let reply = self.connection.send(request, TIMEOUT).await.map_err(|lost| unanswered(&self.url, &lost))?;
        if reply.body.is_empty() && reply.status.is_success() {
            return Ok(Answered { is_success: true, body: Value::Null });
        }
        let body = serde_json::from_slice(&reply.body);
        let body = body.map_err(|_| format!("the server answered {}, and no JSON: is it Tidegate?", reply.status))?;
        Ok(Answered { is_success: reply.status.is_success(), body })
    }

    /// The same, where anything but a success is an error.
    pub async fn value(&mut self, method: Method, path: &str) -> Result<Value, String> {
        let Answered { is_success, body } = self.ask(method, path).await?;
        if is_success { Ok(body) } else { Err(told(&body)) }
    }

    /// The first rows of a list, page after page.
    pub async fn list(
        &mut self,
        path: &str,
        filter: &[(&str, Option<&str>)],
        limit: usize,
    ) -> Result<Vec<Value>, String> {
        let (mut rows, mut cursor) = (Vec::new(), None::<String>);
        while rows.len() < limit {
            let of_page = (limit - rows.len()).min(PAGE_ROWS_MAX).to_string();
            let place = [("limit", Some(of_page.as_str())), ("cursor", cursor.as_deref())];
            let query = query(filter.iter().copied().chain(place));
            let mut page = self.value(Method::GET, &format!("{path}?{query}")).await?;
            rows.extend(page["data"].as_array_mut().into_iter().flat_map(std::mem::take));
            cursor = page["next_cursor"].as_str().map(str::to_owned);
            if cursor.is_none() {
                break;
            }
        }
        Ok(rows)
    }

    /// The same of a request with a body.
    pub async fn send(&mut self, method: Method, path: &str, body: &Value) -> Result<Value, String> {
        let Answered { is_success, body } = self.ask_with(method, path, Some(body)).await?;
        if is_success { Ok(body) } else { Err(told(&body)) }
    }
}

/// Members that each problem has; what it has beside them is of the one.
const OF_EACH_PROBLEM: [&str; 5] = ["type", "title", "status", "code", "detail"];

/// A problem in one line, and in a line each what it has beside: where a schema breaks another, where a log ends.
pub fn told(problem: &Value) -> String {
    let member = |name: &str| problem[name].as_str();
    let (Some(code), Some(detail)) = (member("code"), member("detail")) else {
        return "the server's answer is no problem document: is it Tidegate?".to_owned();
    };
    let mut lines = vec![visible(&format!("{code}: {detail}"))];
    let more = problem.as_object().into_iter().flatten();
    for (name, value) in more.filter(|(name, _)| !OF_EACH_PROBLEM.contains(&name.as_str())) {
        let values = value.as_array().map_or(std::slice::from_ref(value), Vec::as_slice);
        lines.extend(values.iter().map(|value| visible(&format!("  {name}: {}", text(value)))));
    }
    lines.join("\n")
}

/// Why something is not made: where it is there already, with the command that alters it.
pub fn why_not_made(why: String, is_there: &str, altered: &str) -> String {
    if why.starts_with(is_there) { format!("{why}\nby command: {}", visible(altered)) } else { why }
}

/// A segment of a path.
pub fn segment(text: &str) -> String {
    utf8_percent_encode(text, NON_ALPHANUMERIC).to_string()
}

/// A query string of those that have values; a comma in one separates values, as in HTTP.
pub fn query<'a>(named: impl IntoIterator<Item = (&'a str, Option<&'a str>)>) -> String {
    let encoded = |text: &str| utf8_percent_encode(text, NON_ALPHANUMERIC).to_string();
    let values = |text: &str| text.split(',').map(encoded).collect::<Vec<_>>().join(",");
    let pairs = named.into_iter().filter_map(|(name, value)| Some(format!("{name}={}", values(value?))));
    pairs.collect::<Vec<_>>().join("&")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn queries_are_encoded_between_commas() {
        let text = query([("code", Some("a,b c")), ("stage", None), ("from", Some("-24h")), ("to", Some("a+b&c"))]);
        assert_eq!(text, "code=a,b%20c&from=%2D24h&to=a%2Bb%26c");
        assert_eq!(query([("a", None)]), "");
    }

    #[test]
    fn a_problem_is_told_with_what_it_has_beside() {
        let problem = serde_json::json!({
            "type": "t", "title": "Conflict", "status": 409, "code": "schema_incompatible", "detail": "see `reasons`",
            "reasons": ["/a: \u{1b}[31m", {"at": "/b"}], "end": 5,
        });
        let lines: Vec<String> = told(&problem).lines().map(str::to_owned).collect();
        assert_eq!(lines[0], "schema_incompatible: see `reasons`");
        for line in ["  reasons: /a: \\u{1b}[31m", "  reasons: {\"at\":\"/b\"}", "  end: 5"] {
            assert!(lines[1..].iter().any(|found| found == line), "{line}: {lines:?}");
        }
        assert_eq!(lines.len(), 4);
    }

    #[test]
    fn debug_output_has_no_key() {
        let args = ServerArgs { url: "u".into(), cacert: None, insecure: false, key: Some("tg_secret".into()) };
        assert!(!format!("{args:?}").contains("secret"));
    }
}
