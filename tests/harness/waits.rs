//! Requests that wait on the server for something to come (`wait=30s`), on a machine of whatever speed.

use std::time::{Duration, Instant};

use crate::client::{Answer, Client};
use crate::env::until;

/// As long as a request waits at most; a busy machine may not have brought about in that time what it waits for.
pub const WAIT: Duration = Duration::from_secs(30);

/// The answer to one that waits (`wait=30s`) for something to come; asked again where nothing came in all that time, and nowhere
/// else.
pub fn waits(client: &Client, path: &str, headers: &[(&str, &str)]) -> Answer {
    let mut path = path.to_owned();
    until("what is waited for", || {
        let begun = Instant::now();
        let answer = client.get_as(&path, headers);
        if answer.status == 404 {
            // Where a stream begins that may be there when it is asked for again.
            path = path.replace("offset=latest", "offset=0");
        }
        let is_over = answer.status == 404 || answer.status == 200 && (answer.bytes.is_empty() || came(&answer) == 0);
        (!is_over || begun.elapsed() < WAIT).then_some(answer)
    })
}

/// How many events an answer has.
fn came(answer: &Answer) -> usize {
    if !answer.header("content-type").starts_with("application/json") {
        return answer.text().lines().count();
    }
    let body = answer.json();
    ["data", "events"].iter().filter_map(|name| body[name].as_array()).map(Vec::len).sum()
}
