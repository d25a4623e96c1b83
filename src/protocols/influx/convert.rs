//! A body of lines becomes metrics: a sample for each field.

use memchr::{memchr, memchr_iter};

use super::answer::excerpt;
use super::fault::Fault;
use super::line::{Line, end_of_broken};
use super::series::Series;
use super::version::{Asked, Version};
use crate::protocols::convert::Converter;
use crate::protocols::problem::{Problem, ProblemCode};

/// Writes the samples of all lines. A line that cannot be read is one broken item, or a refusal of the whole request
/// where nothing is to be taken beside it.
pub fn convert(body: &[u8], asked: &Asked<'_>, into: &mut Converter<'_>) -> Result<(), Problem> {
    let database = asked.database.as_deref().map(|value| (asked.version.database(), value));
    let of_v3 = asked.version == Version::V3;
    let mut series = Series::default();
    let mut line = Line::default();
    let mut numbers = Numbers::default();
    // Until a text has no end.
    let mut by_quotes = true;
    let mut at = 0;
    while !into.is_full() {
        let Some(byte) = body.get(at) else { break };
        match byte {
            b' ' | b'\t' | b'\0' | b'\r' | b'\n' => at += 1,
            b'#' => at = memchr(b'\n', &body[at..]).map_or(body.len(), |length| at + length),
            _ => {
                let start = at;
                match read(&mut line, body, start, of_v3, asked) {
                    Ok((end, timestamp_ns)) => {
                        at = end;
                        if timestamp_ns.is_none() {
                            into.repeats();
                        }
                        if line.repeated > 0 {
                            into.note("repeated_fields", line.repeated);
                        }
                        series.begin(&line, database, timestamp_ns);
                        for field in 0..line.fields.len() {
                            if into.is_full() {
                                break;
                            }
                            series.sample(&line, field, into, start..end);
                        }
                    }
                    Err(fault) => {
                        let end = end_of_broken(body, start, by_quotes);
                        by_quotes &= end.is_some();
                        at = end.or_else(|| end_of_broken(body, start, false)).unwrap_or(body.len());
                        let end = if body[..at].ends_with(b"\r") { at - 1 } else { at };
                        let number = numbers.of(body, start);
                        let message = message(body, start, number, &fault);
                        if !asked.accept_partial {
                            return Err(refused(message, number, &body[start..end]));
                        }
                        into.broken(start..end, 0, message);
                    }
                }
            }
        }
    }
    Ok(())
}

fn read<'a>(
    line: &mut Line<'a>,
    body: &'a [u8],
    start: usize,
    of_v3: bool,
    asked: &Asked<'_>,
) -> Result<(usize, Option<i64>), Fault> {
    let end = line.read(body, start, of_v3)?;
    let Some(timestamp) = line.timestamp else { return Ok((end, None)) };
    match asked.precision.nanoseconds(timestamp) {
        None => {
            Err(Fault::new(end, "the timestamp is no time in this precision, which begins in 1677 and ends in 2262"))
        }
        some => Ok((end, some)),
    }
}

/// Numbers of lines, counted forward.
#[derive(Default)]
struct Numbers {
    counted: usize,
    newlines: usize,
}

impl Numbers {
    /// The number, from 1, of the line that begins at `start`, which is behind all that were asked for.
    fn of(&mut self, body: &[u8], start: usize) -> usize {
        self.newlines += memchr_iter(b'\n', &body[self.counted..start]).count();
        self.counted = start;
        self.newlines + 1
    }
}

/// What a fault is, and where; `number` is that of its line, which may go over several.
fn message(body: &[u8], start: usize, number: usize, fault: &Fault) -> String {
    let before = body.get(start..fault.at).unwrap_or_default();
    let lines = memchr_iter(b'\n', before).count();
    let begin = memchr::memrchr(b'\n', before).map_or(start - line_offset(body, start), |at| start + at + 1);
    format!("line {}, column {}: {}", number + lines, fault.at - begin + 1, fault.what)
}

/// How far behind the beginning of its line a byte stands.
fn line_offset(body: &[u8], at: usize) -> usize {
    memchr::memrchr(b'\n', &body[..at]).map_or(at, |newline| at - newline - 1)
}

/// The refusal of a request of which nothing is taken, since a line of it cannot be read.
fn refused(message: String, number: usize, line: &[u8]) -> Problem {
    let problem = Problem::bad_request(ProblemCode::InvalidBody, message);
    problem.with("line_number", number).with("original_line", &*excerpt(line))
}
