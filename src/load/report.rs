//! The books of a run: a tally for each worker, merged into one report.

use std::collections::BTreeMap;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::feed::{LoadRequest, TimeSpan};
use super::latency::{Latencies, LatencyMs};
use super::options::ItemKind;

/// Different errors that a report shows; each is counted.
const ERRORS_SHOWN_MAX: usize = 10;
/// Different codes of rejected items that are counted each by itself; what a server has beyond them goes together.
const CODES_MAX: usize = 200;
const OTHER_CODES: &str = "other";
/// Longest message shown, in characters.
const MESSAGE_CHARS_MAX: usize = 200;

/// What a run did. `sent = committed + spooled + duplicates + rejected + failed_events`.
#[derive(Debug, Default, Serialize)]
pub struct LoadReport {
    pub kind: ItemKind,
    /// Items in all requests, each counted once however often it was retried.
    pub events_sent: u64,
    /// Accepted, and in the database when the answer came.
    pub committed: u64,
    /// Accepted, and safe in the server's spool when the answer came.
    pub spooled: u64,
    /// Accepted by an earlier request with the same idempotency key, a lost answer's or an earlier run's.
    pub duplicates: u64,
    /// Refused one by one; the server keeps them as dead letters.
    pub rejected: u64,
    /// All of these, by code; `unlisted` is what the answers of a server told no code of.
    pub rejected_codes: BTreeMap<String, u64>,
    /// In requests that failed, or missing from the answer's counts.
    pub failed_events: u64,
    /// Requests, each counted once however often it was retried.
    pub requests: u64,
    /// Requests that were refused, or whose retries ran out, or that were abandoned at the end.
    pub failed_requests: u64,
    /// Attempts beyond each request's first.
    pub retries: u64,
    /// Attempts that got no answer.
    pub connection_errors: u64,
    /// From the first request to the last answer, in seconds.
    pub elapsed_s: f64,
    /// Committed and spooled events a second.
    pub events_per_second: f64,
    /// From a request's first attempt to its answer, retries included: what a sender waits.
    pub latency_ms: LatencyMs,
    /// Answers by HTTP status.
    pub statuses: BTreeMap<u16, u64>,
    pub errors: Vec<ErrorSample>,
    /// Oldest timestamp sent, in microseconds since 1970, as far as known.
    pub oldest_us: Option<i64>,
    pub newest_us: Option<i64>,
    /// Stopped by the user.
    pub interrupted: bool,
    /// Why the run ended before its work was done, other than by the user.
    pub stopped_early: Option<String>,
    /// What became of each request, for the conservation check.
    #[serde(skip)]
    pub receipts: Vec<Promise>,
    /// Some items make several rows: there may be more rows than items.
    #[serde(skip)]
    pub spread: bool,
    /// The comparison with the database, when somebody made it.
    pub conservation: Option<ConservationCheck>,
}

#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct ErrorSample {
    /// HTTP status; none when there was no answer.
    pub status: Option<u16>,
    /// The server's stable code, or one of `connection`, `answer_unreadable`, `count_mismatch`, `abandoned`.
    pub code: String,
    /// The first message with this code.
    pub message: String,
    /// How often it was seen.
    pub count: u64,
}

/// What the server promised for one request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Promise {
    /// Names the request in the database.
    pub receipt: Uuid,
    /// Items that must be in the database exactly once.
    pub accepted: u64,
    /// Items that must be dead letters.
    pub rejected: u64,
    /// Whether the answer said that the items are in the spool, and so perhaps not yet in the database.
    pub spooled: bool,
    /// Oldest and newest timestamp of the items, in microseconds; none when only the server knows them.
    pub span_us: Option<(i64, i64)>,
}

/// What the server promised, and what the database holds.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct ConservationCheck {
    pub expected: u64,
    pub found: u64,
    /// Items that the server answered as spooled and that are not in the database yet. Not an error.
    pub still_spooled: u64,
    pub rejected_expected: u64,
    /// Dead letters found with these receipts.
    pub rejected_found: u64,
    /// Everything is where it was promised to be.
    pub ok: bool,
    /// Receipts with too few or too many rows.
    pub mismatched_receipts: u64,
    pub mismatches: Vec<Mismatch>,
    /// What was not checked, and why.
    pub note: Option<String>,
}

/// A request whose rows are not as many as were accepted.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Mismatch {
    pub receipt: Uuid,
    pub expected: u64,
    pub found: u64,
}

/// The server's answer to an accepted or wholly rejected request.
#[derive(Deserialize)]
pub(crate) struct AnswerCounts {
    receipt: Uuid,
    /// A word in an outcome, the HTTP status in a problem document.
    #[serde(default)]
    status: serde_json::Value,
    accepted: u64,
    rejected: u64,
    #[serde(default)]
    duplicate: bool,
    #[serde(default)]
    errors: Vec<ListedError>,
    #[serde(default)]
    codes: BTreeMap<String, u64>,
}

impl AnswerCounts {
    /// All rejected items by code. A server that does not count them lists the first ones.
    fn rejected_codes(&self) -> BTreeMap<String, u64> {
        let mut codes = self.codes.clone();
        if codes.is_empty() {
            self.errors.iter().for_each(|error| *codes.entry(error.code.clone()).or_default() += 1);
        }
        let unlisted = self.rejected.saturating_sub(codes.values().sum());
        if unlisted > 0 {
            *codes.entry("unlisted".into()).or_default() += unlisted;
        }
        codes
    }
}

#[derive(Deserialize)]
struct ListedError {
    code: String,
    #[serde(default)]
    message: String,
}

/// One worker's part of the report.
#[derive(Default)]
pub(crate) struct WorkerTally {
    pub(crate) report: LoadReport,
    latencies: Latencies,
    span: TimeSpan,
}

impl WorkerTally {
    /// A request is about to be sent for the first time.
    pub(crate) fn begin(&mut self, job: &LoadRequest) {
        self.report.requests += 1;
        self.report.events_sent += job.events;
        self.report.spread |= job.spread;
        self.span.merge(job.span);
    }

    pub(crate) fn answered(&mut self, status: u16) {
        *self.report.statuses.entry(status).or_default() += 1;
    }

    pub(crate) fn unanswered(&mut self, message: &str) {
        self.report.connection_errors += 1;
        self.note(None, "connection", message, 1);
    }

    /// Enters an answer's counts; returns how many events are safe because of it.
    pub(crate) fn count(&mut self, job: &LoadRequest, status: u16, answer: AnswerCounts, took: Duration) -> u64 {
        self.latencies.record(took);
        let spooled = answer.status == "spooled";
        let account = match (answer.duplicate, spooled) {
            (true, _) => &mut self.report.duplicates,
            (false, true) => &mut self.report.spooled,
            (false, false) => &mut self.report.committed,
        };
        *account += answer.accepted;
        self.report.rejected += answer.rejected;
        for (code, count) in answer.rejected_codes() {
            self.reject(&printable(&code), count);
            if let Some(listed) = answer.errors.iter().find(|error| error.code == code) {
                self.note(Some(status), &code, &listed.message, count);
            }
        }
        let counted = answer.accepted.saturating_add(answer.rejected);
        if counted != job.events {
            let message = format!("{} sent, {} accepted, {} rejected", job.events, answer.accepted, answer.rejected);
            self.fail(job.events.saturating_sub(counted), Some(status), "count_mismatch", &message);
        }
        self.report.receipts.push(Promise {
            receipt: answer.receipt,
            accepted: answer.accepted,
            rejected: answer.rejected,
            spooled,
            span_us: if job.span.is_open() { None } else { job.span.bounds() },
        });
        answer.accepted
    }

    /// A request failed for good, and so many events with it.
    pub(crate) fn fail(&mut self, events: u64, status: Option<u16>, code: &str, message: &str) {
        self.report.failed_requests += 1;
        self.report.failed_events += events;
        self.note(status, code, message, 1);
    }

    fn reject(&mut self, code: &str, count: u64) {
        let codes = &mut self.report.rejected_codes;
        let known = codes.len() < CODES_MAX || codes.contains_key(code);
        *codes.entry(if known { code } else { OTHER_CODES }.to_owned()).or_default() += count;
    }

    fn note(&mut self, status: Option<u16>, code: &str, message: &str, count: u64) {
        let errors = &mut self.report.errors;
        if let Some(known) = errors.iter_mut().find(|error| error.status == status && error.code == code) {
            known.count += count;
        } else if errors.len() < ERRORS_SHOWN_MAX {
            let (code, message) = (printable(code), printable(message));
            errors.push(ErrorSample { status, code, message, count });
        }
    }

    pub(crate) fn merge(&mut self, other: Self) {
        let (mine, theirs) = (&mut self.report, other.report);
        mine.events_sent += theirs.events_sent;
        mine.committed += theirs.committed;
        mine.spooled += theirs.spooled;
        mine.duplicates += theirs.duplicates;
        mine.rejected += theirs.rejected;
        mine.failed_events += theirs.failed_events;
        mine.requests += theirs.requests;
        mine.failed_requests += theirs.failed_requests;
        mine.retries += theirs.retries;
        mine.connection_errors += theirs.connection_errors;
        mine.receipts.extend(theirs.receipts);
        mine.spread |= theirs.spread;
        mine.stopped_early = mine.stopped_early.take().or(theirs.stopped_early);
        for (status, count) in theirs.statuses {
            *mine.statuses.entry(status).or_default() += count;
        }
        for (code, count) in theirs.rejected_codes {
            self.reject(&code, count);
        }
        for error in theirs.errors {
            self.note(error.status, &error.code, &error.message, error.count);
        }
        self.latencies.merge(&other.latencies);
        self.span.merge(other.span);
    }

    pub(crate) fn into_report(mut self, kind: ItemKind, elapsed: Duration) -> LoadReport {
        let elapsed_s = elapsed.as_secs_f64();
        let stored = self.report.committed + self.report.spooled;
        self.report.kind = kind;
        self.report.elapsed_s = elapsed_s;
        self.report.events_per_second = if elapsed_s > 0.0 { stored as f64 / elapsed_s } else { 0.0 };
        self.report.latency_ms = self.latencies.ms();
        (self.report.oldest_us, self.report.newest_us) = self.span.bounds().unzip();
        self.report
    }
}

impl LoadReport {
    /// Nothing failed or was refused, and the database, if it was asked, holds what was promised. The exit code is 1
    /// otherwise.
    pub fn is_ok(&self) -> bool {
        self.failed_requests == 0
            && self.rejected == 0
            && self.stopped_early.is_none()
            && self.conservation.as_ref().is_none_or(|conservation| conservation.ok)
    }
}

/// Text from outside, made fit for a terminal.
fn printable(text: &str) -> String {
    text.chars().take(MESSAGE_CHARS_MAX).map(|c| if c.is_control() { ' ' } else { c }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn errors_are_counted_by_status_and_code_and_bounded() {
        let mut tally = WorkerTally::default();
        tally.note(Some(200), "payload_nul", "first\u{1b}[31m", 1);
        tally.note(Some(200), "payload_nul", "second", 1);
        (0..100).for_each(|n| tally.note(Some(400), &n.to_string(), "x", 1));
        let errors = tally.report.errors;
        assert_eq!(errors.len(), ERRORS_SHOWN_MAX);
        assert_eq!((errors[0].count, errors[0].message.as_str()), (2, "first [31m"));
    }

    #[test]
    fn every_rejected_item_is_counted_under_a_code() {
        let answer = |json: serde_json::Value| serde_json::from_value::<AnswerCounts>(json).expect("an answer");
        let listed = serde_json::json!([{"index": 0, "code": "a", "message": "m"}, {"index": 1, "code": "a"}]);
        let (receipt, accepted) = (Uuid::nil(), 0);
        let counted = answer(serde_json::json!({
            "receipt": receipt, "accepted": accepted, "rejected": 300, "errors": listed, "codes": {"a": 200, "b": 100}
        }));
        assert_eq!(counted.rejected_codes(), [("a".into(), 200), ("b".into(), 100)].into());
        // A server of a version before.
        let listed_only = answer(serde_json::json!({
            "receipt": receipt, "accepted": accepted, "rejected": 300, "errors": listed
        }));
        assert_eq!(listed_only.rejected_codes(), [("a".into(), 2), ("unlisted".into(), 298)].into());
        let mut tally = WorkerTally::default();
        (0..1000).for_each(|n| tally.reject(&n.to_string(), 1));
        let codes = &tally.report.rejected_codes;
        assert_eq!((codes.len(), codes.values().sum::<u64>()), (CODES_MAX + 1, 1000));
    }
}
