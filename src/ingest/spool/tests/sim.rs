//! A file system that forgets. What was not synced may be lost at a power cut, page by page and name by name, in any
//! combination; every call may fail, be cut short, or be the last one that its process makes.

use std::collections::BTreeMap;
use std::io::{Error, ErrorKind, IoSlice, Result};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

use super::rng::Rng;
use crate::files::FileKind;
use crate::ingest::spool::fs::{File, Fs, Listed, LockError, LockGuard};

/// Bytes that are lost or kept together; far fewer than in the world, so that records straddle them.
const PAGE: usize = 64;

#[derive(Clone)]
enum Change {
    Write(usize, Vec<u8>),
    Cut(usize),
}

impl Change {
    fn apply(&self, bytes: &mut Vec<u8>) {
        match self {
            Self::Write(offset, written) => {
                bytes.resize(bytes.len().max(offset + written.len()), 0);
                bytes[*offset..offset + written.len()].copy_from_slice(written);
            }
            Self::Cut(length) => bytes.resize(*length, 0),
        }
    }
}

#[derive(Default)]
struct Inode {
    /// What a reader sees while the power is on.
    cached: Vec<u8>,
    durable: Vec<u8>,
    /// What the next sync makes durable.
    pending: Vec<Change>,
}

impl Inode {
    fn change(&mut self, change: Change) {
        change.apply(&mut self.cached);
        self.pending.push(change);
    }

    /// Each page of what is pending becomes durable, or not, or the first part of it.
    fn keep_some(&mut self, rng: &mut Rng) {
        for change in std::mem::take(&mut self.pending) {
            if rng.chance(50) {
                change.apply(&mut self.durable);
                if rng.chance(30) {
                    continue;
                }
            }
            let Change::Write(offset, bytes) = change else { continue };
            for (nth, page) in bytes.chunks(PAGE).enumerate() {
                let kept =
                    if rng.chance(20) { rng.below(page.len() as u64 + 1) } else { rng.below(2) * page.len() as u64 };
                let kept = page[..usize::try_from(kept).unwrap()].to_vec();
                if !kept.is_empty() {
                    Change::Write(offset + nth * PAGE, kept).apply(&mut self.durable);
                }
            }
        }
    }
}

/// A name in a folder: what it means now, what it means on disk, and what it meant since the folder was synced.
#[derive(Default)]
struct Name {
    now: Option<usize>,
    durable: Option<usize>,
    since: Vec<Option<usize>>,
}

pub struct World {
    pub rng: Rng,
    inodes: Vec<Inode>,
    names: BTreeMap<PathBuf, Name>,
    locked: bool,
    pub clock_us: i64,
    /// Calls made so far.
    pub calls: u64,
    /// The call at which the process ends.
    pub dies_at: Option<u64>,
    /// Calls of a hundred that fail.
    pub failing_percent: u64,
    /// Bytes of all files together; no more can be written.
    pub room: usize,
    /// Syncs that failed; what they were for is on disk in part, and what is read until a power cut is not.
    pub syncs_failed: u64,
}

/// The file system; clones share it.
#[derive(Clone)]
pub struct Sim(pub Arc<Mutex<World>>);

struct SimFile(Sim, usize);

impl Sim {
    pub fn new(seed: u64) -> Self {
        Self(Arc::new(Mutex::new(World {
            rng: Rng(seed),
            inodes: Vec::new(),
            names: BTreeMap::new(),
            locked: false,
            clock_us: 1_700_000_000_000_000,
            calls: 0,
            dies_at: None,
            failing_percent: 0,
            room: usize::MAX,
            syncs_failed: 0,
        })))
    }

    /// The process is dead: nothing it hears or does counts any more.
    pub fn dead(&self) -> bool {
        let world = self.0.lock().unwrap();
        world.dies_at.is_some_and(|at| world.calls >= at)
    }

    /// A new process; after a power cut it finds only what is durable.
    pub fn restart(&self, power_cut: bool) {
        let world = &mut *self.0.lock().unwrap();
        world.dies_at = None;
        world.locked = false;
        if !power_cut {
            return;
        }
        for inode in &mut world.inodes {
            inode.keep_some(&mut world.rng);
            inode.cached = inode.durable.clone();
        }
        for name in world.names.values_mut() {
            name.since.push(name.durable);
            let kept = world.rng.below(name.since.len() as u64);
            (name.now, name.durable) = (name.since[usize::try_from(kept).unwrap()], None);
            name.durable = name.now;
            name.since.clear();
        }
    }

    /// Something was written to a file with this ending and not synced.
    pub fn has_pending(&self, ending: &str) -> bool {
        let world = self.0.lock().unwrap();
        let named = world.names.iter().filter(|(path, _)| path.to_str().unwrap().ends_with(ending));
        named.filter_map(|(_, name)| name.now).any(|inode| !world.inodes[inode].pending.is_empty())
    }

    /// The bytes of a file, to be changed behind everybody's back.
    pub fn alter(&self, path: &Path, change: impl FnOnce(&mut Vec<u8>)) {
        let world = &mut *self.0.lock().unwrap();
        let inode = &mut world.inodes[world.names[path].now.unwrap()];
        change(&mut inode.cached);
        inode.durable = inode.cached.clone();
        inode.pending.clear();
    }

    pub fn bytes_of(&self, path: &Path) -> Option<Vec<u8>> {
        let world = self.0.lock().unwrap();
        Some(world.inodes[world.names.get(path)?.now?].cached.clone())
    }

    /// Names of existing files, in order.
    pub fn paths(&self) -> Vec<PathBuf> {
        let world = self.0.lock().unwrap();
        world.names.iter().filter(|(_, name)| name.now.is_some()).map(|(path, _)| path.clone()).collect()
    }

    /// One call: may it go on?
    fn call<T>(&self, act: impl FnOnce(&mut World, bool) -> Result<T>) -> Result<T> {
        let world = &mut *self.0.lock().unwrap();
        if world.dies_at.is_some_and(|at| world.calls >= at) {
            return Err(Error::other("the process is dead"));
        }
        world.calls += 1;
        world.clock_us += 1000;
        // The last call of a process may have an effect that it never hears of.
        let dies = world.dies_at.is_some_and(|at| world.calls >= at);
        let percent = world.failing_percent;
        let fails = dies || world.rng.chance(percent);
        let result = act(world, fails);
        if dies { Err(Error::other("the process died")) } else { result }
    }
}

impl World {
    fn used(&self) -> usize {
        let mut named: Vec<_> = self.names.values().filter_map(|name| name.now).collect();
        named.sort_unstable();
        named.dedup();
        named.iter().map(|inode| self.inodes[*inode].cached.len()).sum()
    }

    fn set(&mut self, path: &Path, inode: Option<usize>) {
        let name = self.names.entry(path.to_owned()).or_default();
        name.now = inode;
        name.since.push(inode);
    }

    fn get(&self, path: &Path) -> Result<usize> {
        self.names.get(path).and_then(|name| name.now).ok_or_else(|| ErrorKind::NotFound.into())
    }
}

fn eio() -> Error {
    Error::other("input/output error")
}

impl File for SimFile {
    fn write_at(&self, parts: &mut [IoSlice<'_>], offset: u64) -> Result<()> {
        let mut bytes: Vec<u8> = parts.iter().flat_map(|part| part.iter().copied()).collect();
        self.0.call(|world, fails| {
            let offset = usize::try_from(offset).unwrap();
            let grows = (offset + bytes.len()).saturating_sub(world.inodes[self.1].cached.len());
            let lacking = (world.used() + grows).saturating_sub(world.room).min(grows);
            if lacking > 0 {
                bytes.truncate(bytes.len() - lacking);
            } else if fails {
                bytes.truncate(usize::try_from(world.rng.below(bytes.len() as u64 + 1)).unwrap());
            }
            if !bytes.is_empty() {
                world.inodes[self.1].change(Change::Write(offset, bytes.clone()));
            }
            match (lacking > 0, fails) {
                (true, _) => Err(ErrorKind::StorageFull.into()),
                (_, true) => Err(eio()),
                _ => Ok(()),
            }
        })
    }

    fn read_at(&self, buffer: &mut [u8], offset: u64) -> Result<usize> {
        let world = self.0.0.lock().unwrap();
        let cached = &world.inodes[self.1].cached;
        let from = usize::try_from(offset).unwrap().min(cached.len());
        let read = buffer.len().min(cached.len() - from);
        buffer[..read].copy_from_slice(&cached[from..from + read]);
        Ok(read)
    }

    fn sync(&self) -> Result<()> {
        self.0.call(|world, fails| {
            let World { inodes, rng, .. } = world;
            let inode = &mut inodes[self.1];
            if fails {
                // Perhaps written, perhaps not; clean in any case: the next sync will not try again.
                inode.keep_some(rng);
                world.syncs_failed += 1;
                return Err(eio());
            }
            for change in std::mem::take(&mut inode.pending) {
                change.apply(&mut inode.durable);
            }
            Ok(())
        })
    }

    fn truncate(&self, bytes: u64) -> Result<()> {
        self.0.call(|world, fails| {
            if fails {
                return Err(eio());
            }
            world.inodes[self.1].change(Change::Cut(usize::try_from(bytes).unwrap()));
            Ok(())
        })
    }

    fn bytes(&self) -> Result<u64> {
        Ok(self.0.0.lock().unwrap().inodes[self.1].cached.len() as u64)
    }
}

impl Fs for Sim {
    fn create_dir(&self, _: &Path) -> Result<()> {
        Ok(())
    }

    fn create_new(&self, path: &Path) -> Result<Arc<dyn File>> {
        let inode = self.call(|world, fails| {
            if world.get(path).is_ok() {
                return Err(ErrorKind::AlreadyExists.into());
            }
            if world.used() >= world.room {
                return Err(ErrorKind::StorageFull.into());
            }
            if fails && world.rng.chance(50) {
                return Err(eio());
            }
            world.inodes.push(Inode::default());
            let inode = world.inodes.len() - 1;
            world.set(path, Some(inode));
            if fails { Err(eio()) } else { Ok(inode) }
        })?;
        Ok(Arc::new(SimFile(self.clone(), inode)))
    }

    fn open(&self, path: &Path) -> Result<Arc<dyn File>> {
        let inode = self.0.lock().unwrap().get(path)?;
        Ok(Arc::new(SimFile(self.clone(), inode)))
    }

    fn list(&self, path: &Path) -> Result<Vec<Listed>> {
        let world = self.0.lock().unwrap();
        let here = world.names.iter().filter(|(name, _)| name.parent() == Some(path));
        let found = here.filter_map(|(name, state)| {
            let bytes = world.inodes[state.now?].cached.len() as u64;
            let name = name.file_name().unwrap().to_str().unwrap().to_owned();
            Some(Listed { name, bytes, kind: FileKind::File })
        });
        Ok(found.collect())
    }

    fn rename(&self, from: &Path, to: &Path) -> Result<()> {
        self.call(|world, fails| {
            let inode = world.get(from)?;
            if fails && world.rng.chance(50) {
                return Err(eio());
            }
            world.set(to, Some(inode));
            world.set(from, None);
            if fails { Err(eio()) } else { Ok(()) }
        })
    }

    fn link(&self, from: &Path, to: &Path) -> Result<()> {
        self.call(|world, fails| {
            let inode = world.get(from)?;
            if world.get(to).is_ok() {
                return Err(ErrorKind::AlreadyExists.into());
            }
            if fails {
                return Err(eio());
            }
            world.set(to, Some(inode));
            Ok(())
        })
    }

    fn unlink(&self, path: &Path) -> Result<()> {
        self.call(|world, fails| {
            world.get(path)?;
            if fails && world.rng.chance(50) {
                return Err(eio());
            }
            world.set(path, None);
            if fails { Err(eio()) } else { Ok(()) }
        })
    }

    fn sync_dir(&self, path: &Path) -> Result<()> {
        self.call(|world, fails| {
            if fails {
                return Err(eio());
            }
            for (name, state) in &mut world.names {
                if name.parent() == Some(path) {
                    state.durable = state.now;
                    state.since.clear();
                }
            }
            Ok(())
        })
    }

    fn lock(&self, _: &Path) -> std::result::Result<LockGuard, LockError> {
        let mut world = self.0.lock().unwrap();
        if world.locked {
            return Err(LockError::Held("process 7".into()));
        }
        world.locked = true;
        Ok(Box::new(()))
    }

    fn now_us(&self) -> i64 {
        self.0.lock().unwrap().clock_us
    }

    fn random(&self) -> Result<u64> {
        Ok(self.0.lock().unwrap().rng.next())
    }
}
