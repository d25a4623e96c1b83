//! The quarantine: what could not be delivered or written is kept in a folder of its own for people to look at,
//! outside of `spool.max_bytes`. What becomes of it, [`super::kept`] says.

use std::io::{self, IoSlice};
use std::path::Path;

use uuid::Uuid;

use super::fs::Fs;
use super::read::Entry;
use super::record::{Header, Meta, RecordHead, RecordPayload, RecordType, segment_name};
use super::state::{Quarantined, Segment};
use super::survey::QUARANTINE;

/// Links a damaged segment into the quarantine; false if it is there already.
pub fn link_segment(fs: &dyn Fs, dir: &Path, segment: &Segment) -> io::Result<bool> {
    let quarantine = dir.join(QUARANTINE);
    let name = kept_name(segment);
    match fs.link(&dir.join(segment_name(segment.first)), &quarantine.join(&name)) {
        Ok(()) => {}
        // By an earlier start, or by an attempt whose sync failed.
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => return fs.sync_dir(&quarantine).map(|()| false),
        // Taken away by hand: there is nothing left to keep.
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(false),
        Err(error) => return Err(error),
    }
    fs.sync_dir(&quarantine)?;
    metrics::counter!("tidegate_spool_quarantined_total").increment(1);
    tracing::error!(
        file = name,
        bytes = segment.disk_bytes,
        "a damaged segment of the spool is kept in its quarantine"
    );
    Ok(true)
}

/// Moves a damaged segment that is drained into the quarantine, on a file system without second names.
pub fn move_segment(fs: &dyn Fs, dir: &Path, segment: &Segment) -> io::Result<()> {
    let quarantine = dir.join(QUARANTINE);
    fs.rename(&dir.join(segment_name(segment.first)), &quarantine.join(kept_name(segment)))?;
    fs.sync_dir(&quarantine)
}

fn kept_name(segment: &Segment) -> String {
    // The time tells it from a segment of the same name, made after a cursor was lost.
    format!("{:020}-{}.seg", segment.first, segment.made_us)
}

/// Writes a record that cannot be drained into a file of its own, in the format of a segment: the record, and a note
/// that says why. Returns the file's bytes.
pub fn keep_record(fs: &dyn Fs, dir: &Path, entry: &Entry, reason: &str) -> io::Result<u64> {
    let quarantine = dir.join(QUARANTINE);
    let header = Header { first: entry.sequence, marker: fs.random()?, made_us: fs.now_us() };
    // The receipt tells it from others of the same moment: those that never were in a segment have no sequence.
    let name = format!("{:020}-{}-{}.record", entry.sequence, header.made_us, entry.meta.receipt);
    let path = quarantine.join(name);
    let new = path.with_extension("tmp");
    let payload = RecordPayload::from(entry.payload.clone());
    let record =
        RecordHead::new(header.marker, entry.sequence, RecordType::Request, entry.appended_us, entry.meta, &payload)
            .encode();
    let note = RecordPayload::from(reason.as_bytes().to_vec());
    let nothing = Meta { receipt: Uuid::nil(), items: 0 };
    let note_head =
        RecordHead::new(header.marker, entry.sequence + 1, RecordType::Note, header.made_us, nothing, &note).encode();
    let header = header.encode();
    let parts: [&[u8]; 5] = [&header, &record, &payload.body, &note_head, &note.body];
    let file = fs.create_new(&new)?;
    let written =
        file.write_at(&mut parts.map(IoSlice::new), 0).and_then(|()| file.sync()).and_then(|()| fs.rename(&new, &path));
    if let Err(error) = written {
        let _ = fs.unlink(&new);
        return Err(error);
    }
    fs.sync_dir(&quarantine)?;
    metrics::counter!("tidegate_spool_quarantined_total").increment(1);
    tracing::error!(sequence = entry.sequence, reason, "a spooled request is kept in the spool's quarantine");
    Ok(parts.iter().map(|part| part.len() as u64).sum())
}

/// What the quarantine holds.
pub fn contents(fs: &dyn Fs, dir: &Path) -> io::Result<Quarantined> {
    let files = fs.list(&dir.join(QUARANTINE))?;
    Ok(Quarantined { files: files.len() as u64, bytes: files.iter().map(|file| file.bytes).sum() })
}
