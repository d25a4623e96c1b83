//! What the quarantine holds, for people to look at, send again or drop.
//!
//! A command moves a file into the folder `resend` or `drop`, in one step, and the process that has the spool does the
//! rest: it alone writes segments and keeps the books. Without such a process the next one does it at its start.

use std::collections::hash_map::{self, HashMap};
use std::io;
use std::path::Path;

use bytes::Bytes;
use uuid::Uuid;

use super::fs::{File, Fs, Listed};
use super::lost;
use super::read::Entry;
use super::record::{HEAD_BYTES, HEADER_BYTES, RecordHead, RecordType};
use super::request::{SpooledRequest, SpooledSummary};
use super::scan::{Beginning, Found, SegmentScanner, beginning};
use super::survey::{DROP, QUARANTINE, RESEND};
use super::window::read_or_zeros;
use crate::files::FileKind;

/// Of a request in a list: all but its body lies within.
const LISTED_BYTES: usize = 64 << 10;

/// A file of the quarantine.
#[derive(Debug, Clone)]
pub struct Kept {
    /// Its name, which nothing else in the quarantine has.
    pub file: String,
    pub bytes: u64,
    pub what: KeptWhat,
}

#[derive(Debug, Clone)]
pub enum KeptWhat {
    /// A request that could not be written, and why. In a list its payload is the first bytes only.
    Request { entry: Entry, reason: String, kept_at_us: i64 },
    /// A segment that is damaged; what was whole in it went on its way. Of what was not, these requests can be named.
    Segment { lost: Vec<SpooledSummary> },
    /// A folder, which no process puts there, and none takes away.
    Folder,
    /// It cannot be read: why.
    Unreadable(String),
}

impl Kept {
    /// What its request says of itself, if it is one that can be read.
    pub fn summary(&self) -> Option<SpooledSummary> {
        let KeptWhat::Request { entry, .. } = &self.what else { return None };
        SpooledSummary::decode(&entry.payload).ok()
    }

    /// The same with all that is known of it but for its body, which may be cut short.
    pub fn request(&self) -> Option<SpooledRequest> {
        let KeptWhat::Request { entry, .. } = &self.what else { return None };
        SpooledRequest::decode(&entry.payload).ok()
    }
}

/// What becomes of a file of the quarantine.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Action {
    Resend,
    Drop,
}

impl Action {
    pub const ALL: [Self; 2] = [Self::Resend, Self::Drop];

    fn folder(self) -> &'static str {
        match self {
            Self::Resend => RESEND,
            Self::Drop => DROP,
        }
    }
}

/// What is in the quarantine of the spool in `dir`, in the order of the spool.
pub fn quarantined(fs: &dyn Fs, dir: &Path) -> io::Result<Vec<Kept>> {
    list(fs, &dir.join(QUARANTINE))
}

/// Those of the quarantine whose request has this receipt; their names say so.
pub fn with_receipt(fs: &dyn Fs, dir: &Path, receipt: Uuid) -> io::Result<Vec<Kept>> {
    let (folder, ending) = (dir.join(QUARANTINE), format!("-{receipt}.record"));
    let mut listed = fs.list(&folder)?;
    listed.retain(|file| file.name.ends_with(&ending));
    Ok(listed.into_iter().map(|file| kept(fs, &folder, file)).collect())
}

/// What is known of requests that were lost to damage, by the segment's file: each is read once, for what is in the
/// quarantine does not change.
#[derive(Debug, Default)]
pub struct LostRequests(HashMap<String, Vec<SpooledSummary>>);

impl LostRequests {
    /// The request of this tenant with this receipt, if it was lost and can be named.
    pub fn find(
        &mut self,
        fs: &dyn Fs,
        dir: &Path,
        tenant_id: &str,
        receipt: Uuid,
    ) -> io::Result<Option<SpooledSummary>> {
        let folder = dir.join(QUARANTINE);
        let mut listed = fs.list(&folder)?;
        listed.retain(|file| is_segment(&file.name) && file.kind == FileKind::File);
        self.0.retain(|name, _| listed.iter().any(|file| file.name == *name));
        for Listed { name, bytes, .. } in listed {
            let path = folder.join(&name);
            if let hash_map::Entry::Vacant(unread) = self.0.entry(name) {
                let lost = lost_of(&*fs.open(&path)?, unread.key(), bytes);
                unread.insert(lost);
            }
        }
        let is = |lost: &&SpooledSummary| lost.receipt == receipt && lost.tenant_id == tenant_id;
        Ok(self.0.values().flatten().find(is).cloned())
    }
}

/// Asks for something to be done to a file of the quarantine.
pub fn ask(fs: &dyn Fs, dir: &Path, file: &str, action: Action) -> io::Result<()> {
    let (from, to) = (dir.join(QUARANTINE), dir.join(action.folder()));
    fs.create_dir(&to)?;
    fs.rename(&from.join(file), &to.join(file))?;
    fs.sync_dir(&to)?;
    fs.sync_dir(&from)
}

/// Whether what was asked for is still to be done.
pub fn is_asked(fs: &dyn Fs, dir: &Path, file: &str, action: Action) -> io::Result<bool> {
    Ok(fs.list(&dir.join(action.folder()))?.iter().any(|listed| listed.name == file))
}

/// The files for which something was asked.
pub fn asked(fs: &dyn Fs, dir: &Path, action: Action) -> io::Result<Vec<Kept>> {
    list(fs, &dir.join(action.folder()))
}

/// The whole request of a file that is to be sent again.
pub fn to_resend(fs: &dyn Fs, dir: &Path, file: &str) -> Result<Entry, String> {
    whole(fs, &dir.join(RESEND), file)
}

/// The whole request of a file of the quarantine.
pub fn whole_request(fs: &dyn Fs, dir: &Path, file: &str) -> Result<SpooledRequest, String> {
    let entry = whole(fs, &dir.join(QUARANTINE), file)?;
    SpooledRequest::decode(&entry.payload).map_err(|error| error.to_string())
}

fn whole(fs: &dyn Fs, folder: &Path, file: &str) -> Result<Entry, String> {
    let opened = fs.open(&folder.join(file)).map_err(|error| error.to_string())?;
    let bytes = opened.bytes().map_err(|error| error.to_string())?;
    match request(&*opened, file, bytes, usize::MAX)? {
        KeptWhat::Request { entry, .. } => Ok(entry),
        KeptWhat::Segment { .. } | KeptWhat::Folder | KeptWhat::Unreadable(_) => Err("it holds no request".into()),
    }
}

/// Takes a file away once what was asked is done.
pub fn done(fs: &dyn Fs, dir: &Path, file: &str, action: Action) -> io::Result<()> {
    let folder = dir.join(action.folder());
    fs.unlink(&folder.join(file))?;
    fs.sync_dir(&folder)
}

/// Puts a file back for which nothing could be done.
pub fn put_back(fs: &dyn Fs, dir: &Path, file: &str, action: Action) -> io::Result<()> {
    let (from, to) = (dir.join(action.folder()), dir.join(QUARANTINE));
    fs.rename(&from.join(file), &to.join(file))?;
    fs.sync_dir(&to)?;
    fs.sync_dir(&from)
}

fn list(fs: &dyn Fs, folder: &Path) -> io::Result<Vec<Kept>> {
    let mut listed = match fs.list(folder) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        other => other?,
    };
    listed.retain(|file| !file.name.ends_with(".tmp"));
    listed.sort_by(|a, b| a.name.cmp(&b.name));
    Ok(listed.into_iter().map(|file| kept(fs, folder, file)).collect())
}

fn kept(fs: &dyn Fs, folder: &Path, Listed { name: file, bytes, kind }: Listed) -> Kept {
    let what = match fs.open(&folder.join(&file)).map_err(|error| error.to_string()) {
        _ if kind == FileKind::Folder => KeptWhat::Folder,
        Ok(opened) if is_segment(&file) => KeptWhat::Segment { lost: lost_of(&*opened, &file, bytes) },
        Ok(opened) => request(&*opened, &file, bytes, LISTED_BYTES).unwrap_or_else(KeptWhat::Unreadable),
        Err(why) => KeptWhat::Unreadable(why),
    };
    Kept { file, bytes, what }
}

fn is_segment(file: &str) -> bool {
    file.ends_with(".seg")
}

fn lost_of(opened: &dyn File, name: &str, bytes: u64) -> Vec<SpooledSummary> {
    first_of(name).map_or_else(Vec::new, |first| lost::requests(opened, first, bytes))
}

/// The sequence that a name in the quarantine begins with.
fn first_of(name: &str) -> Option<u64> {
    name.split('-').next()?.parse().ok()
}

/// Reads a file of one request: a segment of two records, the request and the note why it is there.
fn request(file: &dyn File, name: &str, bytes: u64, payload_max: usize) -> Result<KeptWhat, String> {
    let first = first_of(name).ok_or("its name is not one of ours")?;
    let header = match beginning(file, first, bytes) {
        Beginning::Whole(header) | Beginning::Mended(header) => header,
        Beginning::Unreadable(error) => return Err(error.to_string()),
    };
    let scanner = SegmentScanner::new(file, header.marker, HEADER_BYTES as u64, bytes, first, u64::MAX);
    let (mut entry, mut reason) = (None, String::new());
    for found in scanner {
        let Found::Record { offset, head } = found else { continue };
        let payload = payload(file, offset, &head, payload_max);
        match head.kind {
            RecordType::Request => {
                let RecordHead { sequence, meta, appended_us, .. } = head;
                entry = Some(Entry { sequence, meta, appended_us, payload });
            }
            RecordType::Note => reason = String::from_utf8_lossy(&payload).into_owned(),
        }
    }
    let entry = entry.ok_or("its request is damaged")?;
    Ok(KeptWhat::Request { entry, reason, kept_at_us: header.made_us })
}

fn payload(file: &dyn File, offset: u64, head: &RecordHead, bytes_max: usize) -> Bytes {
    let bytes = usize::try_from(head.bytes).expect("bounded by the decoder") - HEAD_BYTES;
    let mut payload = vec![0; bytes.min(bytes_max)];
    read_or_zeros(file, &mut payload, offset + HEAD_BYTES as u64, &mut false);
    payload.into()
}
