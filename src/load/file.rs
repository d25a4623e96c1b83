//! Reading an NDJSON file, gzipped or not, as request bodies; memory holds one line and one body, whatever the file's size.
//!
//! No line is ever dropped: what is not JSON is sent as it stands, since judging it is the server's work.

use std::fs::File;
use std::io::{self, BufRead, BufReader, Read};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use flate2::bufread::MultiGzDecoder;

use super::feed::{LoadRequest, TimeSpan};
use super::options::{Format, ItemKind};
use super::shift::{Shifts, Stamp, scan};
use crate::limits::MIB;

/// A body is closed when it reaches this size, however few lines it holds: half of the server's default limit.
const BODY_BYTES_MAX: usize = 8 * MIB;
/// Longest line; a file without line ends must not be read into memory whole.
const LINE_BYTES_MAX: usize = 64 * MIB;
const READ_BYTES: usize = 256 * 1024;

/// The non-empty lines of a file.
pub(crate) struct Lines {
    reader: Box<dyn BufRead + Send>,
    line: Vec<u8>,
    number: u64,
}

impl Lines {
    /// Opens a file; gzip is told by content, not by name. Bytes read are added to `position`.
    pub(crate) fn open(path: &Path, position: Arc<AtomicU64>) -> io::Result<Self> {
        let file = File::open(path)?;
        let mut raw = BufReader::with_capacity(READ_BYTES, Counted { file, position });
        let reader: Box<dyn BufRead + Send> = if raw.fill_buf()?.starts_with(&[0x1f, 0x8b]) {
            Box::new(BufReader::with_capacity(READ_BYTES, MultiGzDecoder::new(raw)))
        } else {
            Box::new(raw)
        };
        Ok(Self { reader, line: Vec::new(), number: 0 })
    }

    /// The next line that holds more than white space, without its line end.
    pub(crate) fn next(&mut self) -> io::Result<Option<&[u8]>> {
        loop {
            self.line.clear();
            self.number += 1;
            let mut bounded = (&mut self.reader).take(LINE_BYTES_MAX as u64 + 1);
            if bounded.read_until(b'\n', &mut self.line)? == 0 {
                return Ok(None);
            }
            if self.line.last() == Some(&b'\n') {
                self.line.pop();
            } else if self.line.len() > LINE_BYTES_MAX {
                return Err(io::Error::other(format!("line {} is longer than {LINE_BYTES_MAX} bytes", self.number)));
            }
            if !self.line.trim_ascii().is_empty() {
                break;
            }
        }
        Ok(Some(&self.line))
    }
}

/// Counts what is read from disk, compressed as it is, since only that has a known total.
struct Counted {
    file: File,
    position: Arc<AtomicU64>,
}

impl Read for Counted {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let read = self.file.read(buffer)?;
        self.position.fetch_add(read as u64, Ordering::Relaxed);
        Ok(read)
    }
}

/// The first pass: each stream's newest timestamp. Ends early, and uselessly, when cancelled.
pub(crate) fn find_shifts(path: &Path, kind: ItemKind, now_us: i64, cancelled: &AtomicBool) -> io::Result<Shifts> {
    let mut lines = Lines::open(path, Arc::default())?;
    let mut shifts = Shifts::new(now_us);
    let mut stream = Vec::new();
    while let Some(line) = lines.next()? {
        if cancelled.load(Ordering::Relaxed) {
            break;
        }
        if let Stamp::At { us, .. } = scan(kind, line, &mut stream).stamp {
            shifts.observe(&stream, us);
        }
    }
    Ok(shifts)
}

/// The second pass: groups lines into requests.
pub(crate) struct Batches {
    pub(crate) lines: Lines,
    pub(crate) kind: ItemKind,
    pub(crate) format: Format,
    pub(crate) batch: u64,
    pub(crate) shifts: Option<Shifts>,
    /// Lines still to be sent.
    pub(crate) left: u64,
    pub(crate) number: u64,
}

impl Batches {
    /// The next request body; none at the end of the file.
    pub(crate) fn next(&mut self) -> io::Result<Option<LoadRequest>> {
        // The bracket is there in case this becomes an array, which is known only when all lines were seen.
        let mut body = vec![b'['];
        let (mut events, mut all_json, mut spread, mut span) = (0, true, false, TimeSpan::default());
        let mut stream = Vec::new();
        let batch = self.batch.min(self.left);
        while events < batch && body.len() < BODY_BYTES_MAX {
            let Some(line) = self.lines.next()? else { break };
            let found = scan(self.kind, line, &mut stream);
            let at_us = match (&self.shifts, &found.stamp) {
                (Some(shifts), stamp) => shifts.append(&mut body, line, &stream, stamp),
                (None, stamp) => {
                    body.extend_from_slice(line);
                    if let Stamp::At { us, .. } = stamp { Some(*us) } else { None }
                }
            };
            body.push(b'\n');
            match at_us {
                Some(us) => span.include(us),
                // What is no JSON is never stored; anything else is, at a time that only the server knows.
                None if found.is_json => span.open(),
                None => {}
            }
            all_json &= found.is_json;
            spread |= found.spread;
            events += 1;
        }
        if events == 0 {
            return Ok(None);
        }
        let format = if self.format == Format::Json && all_json {
            // No line holds a line feed, so each one here ends a line.
            body.iter_mut().filter(|byte| **byte == b'\n').for_each(|byte| *byte = b',');
            *body.last_mut().expect("the bracket is there") = b']';
            Format::Json
        } else {
            // One line that is not JSON would spoil an array for all its neighbours.
            body.remove(0);
            Format::Ndjson
        };
        let job = LoadRequest { number: self.number, events, body, format, span, spread };
        self.number += 1;
        self.left -= events;
        Ok(Some(job))
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write;
    use std::path::PathBuf;

    use flate2::Compression;
    use flate2::write::GzEncoder;

    use super::*;

    fn batches(path: &Path, kind: ItemKind, format: Format, batch: u64, shifts: Option<Shifts>) -> Vec<LoadRequest> {
        let lines = Lines::open(path, Arc::default()).expect("the file opens");
        let mut batches = Batches { lines, kind, format, batch, shifts, left: u64::MAX, number: 0 };
        std::iter::from_fn(|| batches.next().expect("the file reads")).collect()
    }

    fn file(content: &[u8]) -> tempfile::NamedTempFile {
        let mut file = tempfile::NamedTempFile::new().expect("a temporary file");
        file.write_all(content).expect("written");
        file
    }

    #[test]
    fn lines_that_are_not_json_are_sent_as_they_are() {
        let content = b"{\"a\":1}\n\n  \r\nnot json \xff\n{\"b\":2}\r\n{\"c\":3}";
        let jobs = batches(file(content).path(), ItemKind::Events, Format::Ndjson, 3, None);
        assert_eq!(jobs.iter().map(|job| job.events).collect::<Vec<_>>(), [3, 1]);
        assert_eq!(jobs[0].body, b"{\"a\":1}\nnot json \xff\n{\"b\":2}\r\n");
        assert_eq!(jobs[1].body, b"{\"c\":3}\n");
        assert_eq!(jobs[1].number, 1);
    }

    #[test]
    fn arrays_where_all_lines_are_json_and_lines_where_not() {
        let content = b"{\"a\":1}\n{\"b\":2}\nnot json\n{\"c\":3}\n";
        let jobs = batches(file(content).path(), ItemKind::Events, Format::Json, 2, None);
        assert_eq!((jobs[0].format, jobs[0].body.as_slice()), (Format::Json, b"[{\"a\":1},{\"b\":2}]".as_slice()));
        assert_eq!((jobs[1].format, jobs[1].body.as_slice()), (Format::Ndjson, b"not json\n{\"c\":3}\n".as_slice()));
    }

    #[test]
    fn gzip_is_told_by_content_and_all_its_members_are_read() {
        let mut content = Vec::new();
        for line in ["{\"a\":1}\n", "{\"b\":2}\n"] {
            let mut member = GzEncoder::new(Vec::new(), Compression::fast());
            member.write_all(line.as_bytes()).expect("a Vec takes every write");
            content.extend(member.finish().expect("a Vec takes every write"));
        }
        let jobs = batches(file(&content).path(), ItemKind::Events, Format::Ndjson, 10, None);
        assert_eq!(jobs[0].body, b"{\"a\":1}\n{\"b\":2}\n");
        assert!(batches(file(b"").path(), ItemKind::Events, Format::Ndjson, 10, None).is_empty());
    }

    #[test]
    fn the_span_of_a_batch_is_open_when_the_server_stamps_an_item() {
        let dated = br#"{"timestamp":"2026-01-01T00:00:01Z"}"#.as_slice();
        let jobs = batches(file(&[dated, b"\n", b"x"].concat()).path(), ItemKind::Events, Format::Ndjson, 10, None);
        assert_eq!(jobs[0].span.bounds(), Some((1_767_225_601_000_000, 1_767_225_601_000_000)));
        assert!(!jobs[0].span.is_open());
        let jobs = batches(file(&[dated, b"\n", b"{}"].concat()).path(), ItemKind::Events, Format::Ndjson, 10, None);
        assert!(jobs[0].span.is_open());
    }

    /// Real data, where the repository is checked out beside it.
    fn real(name: &str) -> Option<PathBuf> {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../shared/data").join(name);
        let found = path.exists();
        if !found {
            eprintln!("skipped: {} is not here", path.display());
        }
        found.then_some(path)
    }

    #[test]
    fn real_files_move_to_now_and_nothing_else_changes() {
        let now_us = 1_767_225_600_000_000;
        let files = [
            ("real-events.ndjson.gz", ItemKind::Events, 3, 6000),
            ("real-metrics.ndjson.gz", ItemKind::Metrics, 17, 67_740),
        ];
        for (name, kind, streams, count) in files {
            let Some(path) = real(name) else { continue };
            let shifts = find_shifts(&path, kind, now_us, &AtomicBool::new(false)).expect("first pass");
            assert_eq!(shifts.streams(), streams);
            let before = batches(&path, kind, Format::Ndjson, 1000, None);
            let after = batches(&path, kind, Format::Ndjson, 1000, Some(shifts));
            assert_eq!(after.iter().map(|job| job.events).sum::<u64>(), count);

            let (mut stream, mut newest) = (Vec::new(), std::collections::HashMap::new());
            for (before, after) in before.iter().zip(&after) {
                let pairs = before.body.split(|&b| b == b'\n').zip(after.body.split(|&b| b == b'\n'));
                for (old, new) in pairs.filter(|(old, _)| !old.is_empty()) {
                    let Stamp::At { span: old_span, .. } = scan(kind, old, &mut stream).stamp else {
                        panic!("no time")
                    };
                    let Stamp::At { us, span } = scan(kind, new, &mut stream).stamp else { panic!("no time") };
                    assert_eq!((&old[..old_span.start], &old[old_span.end..]), (&new[..span.start], &new[span.end..]));
                    let seen = newest.entry(stream.clone()).or_insert(us);
                    *seen = us.max(*seen);
                }
            }
            assert!(newest.len() == streams && newest.values().all(|&us| us == now_us), "{newest:?}");
        }
    }
}
