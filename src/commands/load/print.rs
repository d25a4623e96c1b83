//! A report of `tidegate load` for people.

use std::io::{self, Write};

use crate::load::{ConservationCheck, ItemKind, LoadReport};

/// Prints a report for people.
pub fn print_report(report: &LoadReport, out: &mut impl Write) -> io::Result<()> {
    let what = match report.kind {
        ItemKind::Events => "events",
        ItemKind::Metrics => "metrics",
    };
    let (sent, requests) = (report.events_sent, report.requests);
    writeln!(out, "{:<14}{sent} {what} in {requests} requests, {:.1} s", "sent", report.elapsed_s)?;
    writeln!(out, "{:<14}{}", "committed", report.committed)?;
    if report.spooled > 0 {
        writeln!(out, "{:<14}{}", "spooled", report.spooled)?;
    }
    let codes: Vec<String> = report.rejected_codes.iter().map(|(code, count)| format!("{code} x {count}")).collect();
    let codes = if codes.is_empty() { String::new() } else { format!(": {}", codes.join(", ")) };
    writeln!(out, "{:<14}{}{codes}", "rejected", report.rejected)?;
    writeln!(out, "{:<14}{}", "duplicates", report.duplicates)?;
    if report.failed_requests > 0 {
        writeln!(out, "{:<14}{} in {} requests", "failed", report.failed_events, report.failed_requests)?;
    }
    writeln!(out, "{:<14}{:.0} {what}/s", "rate", report.events_per_second)?;
    let latency = report.latency_ms;
    let (p50, p95, p99, max) = (latency.p50, latency.p95, latency.p99, latency.max);
    writeln!(out, "{:<14}p50 {p50:.1} ms, p95 {p95:.1} ms, p99 {p99:.1} ms, max {max:.1} ms", "latency")?;
    let statuses: Vec<String> = report.statuses.iter().map(|(status, count)| format!("{status} x {count}")).collect();
    writeln!(out, "{:<14}{}", "answers", if statuses.is_empty() { "none".into() } else { statuses.join(", ") })?;
    if report.retries > 0 {
        writeln!(
            out,
            "{:<14}{}, {} of all attempts got no answer",
            "retries", report.retries, report.connection_errors
        )?;
    }
    if let Some(conservation) = &report.conservation {
        print_conservation(conservation, out)?;
    }
    for error in &report.errors {
        let status = error.status.map_or_else(String::new, |status| format!("{status} "));
        writeln!(out, "{:<14}{status}{} x {}: {}", "error", error.code, error.count, error.message)?;
    }
    if report.interrupted {
        writeln!(out, "{:<14}by the user", "interrupted")?;
    }
    if let Some(reason) = &report.stopped_early {
        writeln!(out, "{:<14}{reason}", "stopped early")?;
    }
    Ok(())
}

fn print_conservation(conservation: &ConservationCheck, out: &mut impl Write) -> io::Result<()> {
    let verdict = if conservation.ok { "ok" } else { "VIOLATED" };
    write!(out, "{:<14}{verdict}: ", "conservation")?;
    write!(out, "{} of {} accepted are stored, ", conservation.found, conservation.expected)?;
    write!(out, "{} of {} rejected are dead letters", conservation.rejected_found, conservation.rejected_expected)?;
    if conservation.still_spooled > 0 {
        write!(out, ", {} still in the spool", conservation.still_spooled)?;
    }
    writeln!(out)?;
    for mismatch in &conservation.mismatches {
        let (receipt, found, expected) = (mismatch.receipt, mismatch.found, mismatch.expected);
        writeln!(out, "{:<14}receipt {receipt}: {found} rows, {expected} accepted", "")?;
    }
    if let Some(note) = &conservation.note {
        writeln!(out, "{:<14}{note}", "")?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::load::{ErrorSample, LatencyMs, Mismatch};

    #[test]
    fn the_report_is_aligned_and_names_what_is_wrong() {
        let receipt = uuid::Uuid::nil();
        let report = LoadReport {
            kind: ItemKind::Events,
            events_sent: 3000,
            committed: 1990,
            spooled: 0,
            duplicates: 0,
            rejected: 10,
            rejected_codes: [("payload_nul".into(), 7), ("too_deep".into(), 3)].into(),
            failed_events: 1000,
            requests: 3,
            failed_requests: 1,
            retries: 3,
            connection_errors: 2,
            elapsed_s: 2.0,
            events_per_second: 995.0,
            latency_ms: LatencyMs { p50: 1.25, p95: 2.0, p99: 3.0, max: 4.0 },
            statuses: [(200, 2), (503, 2)].into(),
            errors: vec![ErrorSample { status: Some(503), code: "full".into(), message: "later".into(), count: 1 }],
            oldest_us: None,
            newest_us: None,
            interrupted: false,
            stopped_early: None,
            receipts: Vec::new(),
            spread: false,
            conservation: Some(ConservationCheck {
                expected: 1990,
                found: 1989,
                still_spooled: 0,
                rejected_expected: 10,
                rejected_found: 10,
                ok: false,
                mismatched_receipts: 1,
                mismatches: vec![Mismatch { receipt, expected: 995, found: 994 }],
                note: None,
            }),
        };
        let mut out = Vec::new();
        print_report(&report, &mut out).expect("a Vec takes every write");
        let expected = "\
sent          3000 events in 3 requests, 2.0 s
committed     1990
rejected      10: payload_nul x 7, too_deep x 3
duplicates    0
failed        1000 in 1 requests
rate          995 events/s
latency       p50 1.2 ms, p95 2.0 ms, p99 3.0 ms, max 4.0 ms
answers       200 x 2, 503 x 2
retries       3, 2 of all attempts got no answer
conservation  VIOLATED: 1989 of 1990 accepted are stored, 10 of 10 rejected are dead letters
              receipt 00000000-0000-0000-0000-000000000000: 994 rows, 995 accepted
error         503 full x 1: later
";
        assert_eq!(String::from_utf8(out).expect("UTF-8"), expected);
        assert!(!report.is_ok());
    }
}
