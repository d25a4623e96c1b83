//! The counter of what took too long.

/// Counts a connection, request or handshake that was given up; `what` is one of few.
pub fn timed_out(what: &'static str) {
    metrics::counter!("tidegate_http_timeouts_total", "what" => what).increment(1);
}
