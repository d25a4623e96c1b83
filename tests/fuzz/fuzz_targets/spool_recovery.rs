//! A spool whose files were damaged in any way opens, delivers whole records in order, and comes to an end.
//!
//! An input is a list of steps: records are appended, then files are cut, changed, removed, swapped or made up.
#![no_main]

use std::collections::HashSet;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use libfuzzer_sys::fuzz_target;
use tidegate::ingest::spool::{Disk, Meta, Spool, SpoolPlace, SpooledRequest};
use tokio::runtime::Runtime;
use uuid::Uuid;

const APPENDS_MAX: u8 = 12;
/// Small, so that there are several.
const SEGMENT_BYTES: u64 = 600;

thread_local! {
    static RUNTIME: Runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
}

fuzz_target!(|input: &[u8]| {
    // Where a sync costs nothing, if there is such a place.
    let memory = Path::new("/dev/shm");
    let place = if memory.is_dir() { memory.to_owned() } else { std::env::temp_dir() };
    let dir = tempfile::tempdir_in(place).expect("a folder");
    let config = SpoolPlace { dir: dir.path().join("spool"), max_bytes: 1 << 20, segment_bytes: SEGMENT_BYTES };
    RUNTIME.with(|runtime| runtime.block_on(run(&config, input)));
});

async fn run(config: &SpoolPlace, input: &[u8]) {
    let mut input = Input(input);
    let appended = append(config, &mut input).await;
    let mut made_up = false;
    while !input.0.is_empty() {
        made_up |= damage(&config.dir, &mut input);
    }
    let bytes: u64 = files(&config.dir).iter().map(|path| std::fs::metadata(path).map_or(0, |file| file.len())).sum();
    let delivered = deliver(config, bytes, (!made_up).then_some(&appended)).await;
    // What was drained stays so, whatever was there before.
    let again = deliver(config, bytes + 16 * 1024, None).await;
    assert_eq!(again, 0, "of {delivered} records");
}

/// Fills the spool in order; the payloads.
async fn append(config: &SpoolPlace, input: &mut Input<'_>) -> HashSet<Vec<u8>> {
    let (spool, _) = Spool::open(config.clone(), Arc::new(Disk)).expect("an empty spool opens");
    let mut appended = HashSet::new();
    for n in 0..input.byte() % APPENDS_MAX {
        let payload = vec![n; usize::from(input.byte()) * 2];
        let meta = Meta { receipt: Uuid::from_u128(u128::from(n)), items: u32::from(n) };
        spool.append(payload.clone(), meta).await.expect("the disk takes it");
        appended.insert(payload);
    }
    spool.close().await;
    appended
}

/// Segments and cursor, in the order of their names.
fn files(dir: &Path) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(dir).expect("the folder").map(|entry| entry.expect("an entry").path());
    let mut found: Vec<PathBuf> =
        entries.filter(|path| path.is_file() && path.file_name().is_some_and(|name| name != "lock")).collect();
    found.sort();
    found
}

/// One step; true when records may be there that nobody appended.
fn damage(dir: &Path, input: &mut Input<'_>) -> bool {
    let (step, files) = (input.byte(), files(dir));
    if files.is_empty() && step % 8 != 7 {
        return false;
    }
    let pick = |byte: u8| &files[usize::from(byte) % files.len()];
    let change = |path: &Path, change: &mut dyn FnMut(&mut Vec<u8>)| {
        let mut bytes = std::fs::read(path).expect("a file");
        change(&mut bytes);
        std::fs::write(path, bytes).expect("a file");
    };
    match step % 8 {
        0 => change(pick(input.byte()), &mut |bytes| bytes.truncate(usize::from(input.word()))),
        1 => change(pick(input.byte()), &mut |bytes| {
            let (at, bits) = (usize::from(input.word()), input.byte());
            if let Some(byte) = bytes.get_mut(at) {
                *byte ^= bits;
            }
        }),
        2 => std::fs::remove_file(pick(input.byte())).expect("a file"),
        3 => {
            let (from, to) = (pick(input.byte()), pick(input.byte()));
            if from != to {
                std::fs::rename(from, to).expect("a file");
            }
        }
        // Bytes of a file once more, somewhere in it.
        4 => change(pick(input.byte()), &mut |bytes| {
            let (from, to, length) = (usize::from(input.word()), usize::from(input.word()), usize::from(input.byte()));
            let part = bytes.get(from..(from + length).min(bytes.len())).unwrap_or_default().to_vec();
            let to = to.min(bytes.len());
            bytes.splice(to..to, part);
        }),
        // Zeros, as a file system leaves them.
        5 => change(pick(input.byte()), &mut |bytes| {
            let from = usize::from(input.word()).min(bytes.len());
            bytes[from..].fill(0);
        }),
        6 => change(pick(input.byte()), &mut |bytes| {
            let at = usize::from(input.word()).min(bytes.len());
            let length = input.byte();
            bytes.splice(at..at, input.take(length).iter().copied());
        }),
        _ => {
            let (first, length) = (u64::from(input.word()), input.byte());
            std::fs::write(dir.join(format!("{first:020}.seg")), input.take(length)).expect("a file");
            return true;
        }
    }
    false
}

/// Opens, reads to the end, acknowledges everything, and closes; how many records there were.
async fn deliver(config: &SpoolPlace, bytes: u64, appended: Option<&HashSet<Vec<u8>>>) -> usize {
    let (spool, recovery) = Spool::open(config.clone(), Arc::new(Disk)).expect("any folder opens");
    let expected = usize::try_from(recovery.undrained.records).expect("few records");
    let (mut delivered, mut last, mut size) = (0, None, 0);
    while delivered < expected {
        let entries = spool.next(4096).await;
        assert!(!entries.is_empty(), "{delivered} of {expected}");
        for entry in entries {
            assert!(last.is_none_or(|last| last < entry.sequence), "out of order");
            last = Some(entry.sequence);
            delivered += 1;
            size += entry.payload.len() as u64;
            assert!(size <= bytes, "more than there is");
            if let Some(appended) = appended {
                assert!(appended.contains(&entry.payload[..]), "nobody appended it");
            }
            // Whatever it is, it is refused or read.
            let _ = SpooledRequest::decode(&entry.payload);
        }
    }
    if let Some(last) = last {
        spool.acknowledge(last).await.expect("the disk takes it");
    }
    spool.close().await;
    // After the end nothing comes.
    assert!(spool.next(4096).await.is_empty());
    delivered
}

/// What is left of an input; zeros behind its end.
struct Input<'a>(&'a [u8]);

impl<'a> Input<'a> {
    fn byte(&mut self) -> u8 {
        self.take(1).first().copied().unwrap_or(0)
    }

    fn word(&mut self) -> u16 {
        u16::from_le_bytes([self.byte(), self.byte()])
    }

    fn take(&mut self, count: u8) -> &'a [u8] {
        let (taken, rest) = self.0.split_at(usize::from(count).min(self.0.len()));
        self.0 = rest;
        taken
    }
}
