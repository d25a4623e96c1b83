//! Faults of the file system and of the clock, in processes that are started with a small C library preloaded (shim.c).
//! A fault is one call; the library counts each call that met it, which is the signal that it took effect.

use std::fs::{File, OpenOptions, Permissions};
use std::os::unix::fs::{FileExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

use jiff::SignedDuration;

use crate::env::until;

/// Calls that can be met; a set.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Call(u32);

impl Call {
    pub const WRITE: Self = Self(1);
    pub const SYNC: Self = Self(2);
    pub const TRUNCATE: Self = Self(4);
    pub const RENAME: Self = Self(8);
    pub const UNLINK: Self = Self(16);
    /// Whatever takes room on a disk.
    pub const GROW: Self = Self(1 | 32);
}

/// What such a call meets.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Harm {
    /// ENOSPC, for calls that need room.
    Full = 1,
    /// EIO.
    Broken = 2,
    /// The first is done by half; it and those after it have no room for more.
    Torn = 3,
    /// SIGKILL before it is done.
    KillBefore = 4,
    /// SIGKILL after it was done.
    KillAfter = 5,
    /// It waits until the fault is cleared.
    Hold = 6,
}

/// One fault.
#[derive(Debug, Clone, Copy)]
pub struct Rule<'a> {
    pub call: Call,
    pub harm: Harm,
    /// A part of the path; empty for any.
    pub part: &'a str,
    /// So many calls pass first.
    pub skip: i64,
    /// So many are met, then it is over; -1 for all.
    pub times: i64,
}

impl<'a> Rule<'a> {
    /// Meets every such call on paths with this part.
    pub fn always(call: Call, harm: Harm, part: &'a str) -> Self {
        Self { call, harm, part, skip: 0, times: -1 }
    }

    /// Meets the call after `skip` others, and no further one.
    pub fn once(call: Call, harm: Harm, part: &'a str, skip: i64) -> Self {
        Self { call, harm, part, skip, times: 1 }
    }
}

/// Bytes of a rule and rules of a control file, as in shim.c.
const RULE_BYTES: usize = 128;
const RULES: usize = 4;
const PART_BYTES: usize = 96;

/// The faults of one process, or of a server and all of its children.
pub struct Shim {
    library: PathBuf,
    control: File,
    control_path: PathBuf,
    prefix: PathBuf,
}

impl Shim {
    /// Faults below `prefix`; the library and its control file are put into `dir`, where any account finds them.
    pub fn new(dir: &Path, prefix: &Path) -> Self {
        let library = dir.join("shim.so");
        std::fs::copy(compiled().as_ref().unwrap_or_else(|error| panic!("{error}")), &library).unwrap();
        std::fs::set_permissions(&library, Permissions::from_mode(0o755)).unwrap();
        let control_path = dir.join("shim.control");
        let control =
            OpenOptions::new().create(true).truncate(true).read(true).write(true).open(&control_path).unwrap();
        control.set_len((RULES * RULE_BYTES) as u64).unwrap();
        control.set_permissions(Permissions::from_mode(0o666)).unwrap();
        let prefix = prefix.canonicalize().unwrap_or_else(|error| panic!("{}: {error}", prefix.display()));
        Self { library, control, control_path, prefix }
    }

    /// The variables of a process that is to have these faults.
    pub fn variables(&self) -> Vec<(String, String)> {
        let text = |path: &Path| path.to_str().unwrap().to_owned();
        vec![
            ("LD_PRELOAD".into(), text(&self.library)),
            ("FAULT_PREFIX".into(), text(&self.prefix)),
            ("FAULT_CONTROL".into(), text(&self.control_path)),
        ]
    }

    /// From now on this fault is met, and no other.
    pub fn arm(&self, rule: Rule<'_>) {
        self.arm_all(&[rule]);
    }

    /// From now on these faults are met, and no others.
    pub fn arm_all(&self, rules: &[Rule<'_>]) {
        assert!(rules.len() <= RULES);
        let mut all = [0; RULES * RULE_BYTES];
        for (rule, bytes) in rules.iter().zip(all.chunks_exact_mut(RULE_BYTES)) {
            bytes[4..8].copy_from_slice(&(rule.harm as u32).to_ne_bytes());
            bytes[8..16].copy_from_slice(&rule.skip.to_ne_bytes());
            bytes[16..24].copy_from_slice(&rule.times.to_ne_bytes());
            assert!(rule.part.len() < PART_BYTES);
            bytes[32..32 + rule.part.len()].copy_from_slice(rule.part.as_bytes());
        }
        self.control.write_all_at(&all, 0).unwrap();
        // Last, because the process reads along.
        for (n, rule) in rules.iter().enumerate() {
            self.control.write_all_at(&rule.call.0.to_ne_bytes(), (n * RULE_BYTES) as u64).unwrap();
        }
    }

    /// Nothing is met any more; what waits goes on.
    pub fn clear(&self) {
        self.arm_all(&[]);
    }

    /// How many calls met the fault that is armed.
    pub fn hits(&self) -> i64 {
        let mut bytes = [0; 8];
        self.control.read_exact_at(&mut bytes, 24).unwrap();
        i64::from_ne_bytes(bytes)
    }

    /// Waits until the fault was met.
    pub fn wait_hit(&self, what: &str) {
        until(what, || (self.hits() > 0).then_some(()));
    }
}

/// The wall clock of the processes that have its variables, which may be set while they run.
pub struct Clock {
    library: PathBuf,
    offset: File,
    offset_path: PathBuf,
}

impl Clock {
    /// One that is right; the library and its file are put into `dir`, where any account finds them.
    pub fn new(dir: &Path) -> Self {
        let library = dir.join("shim-clock.so");
        std::fs::copy(compiled().as_ref().unwrap_or_else(|error| panic!("{error}")), &library).unwrap();
        std::fs::set_permissions(&library, Permissions::from_mode(0o755)).unwrap();
        let offset_path = dir.join("shim.clock");
        let offset = File::create(&offset_path).unwrap();
        offset.set_permissions(Permissions::from_mode(0o644)).unwrap();
        let clock = Self { library, offset, offset_path };
        clock.set(SignedDuration::ZERO);
        clock
    }

    /// From now on it is off by this much.
    pub fn set(&self, off: SignedDuration) {
        let off_us = i64::try_from(off.as_micros()).unwrap();
        self.offset.write_all_at(&off_us.to_ne_bytes(), 0).unwrap();
    }

    /// The variables of a process that is to have it. They go together with those of [`Shim`], which is the same library.
    pub fn variables(&self) -> Vec<(String, String)> {
        let text = |path: &Path| path.to_str().unwrap().to_owned();
        vec![("LD_PRELOAD".into(), text(&self.library)), ("FAULT_CLOCK".into(), text(&self.offset_path))]
    }
}

/// What this machine lacks for such faults.
pub fn missing() -> Option<String> {
    if !cfg!(target_os = "linux") {
        return Some("faults of the file system are preloaded on Linux only".into());
    }
    compiled().as_ref().err().cloned()
}

/// The library, compiled once a run.
fn compiled() -> &'static Result<PathBuf, String> {
    static LIBRARY: OnceLock<Result<PathBuf, String>> = OnceLock::new();
    LIBRARY.get_or_init(|| {
        let folder = Path::new(env!("CARGO_TARGET_TMPDIR"));
        let source = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/faults/shim.c");
        let library = folder.join(format!("shim-{}.so", std::process::id()));
        let arguments = ["-std=gnu11", "-O2", "-Wall", "-Werror", "-shared", "-fPIC", "-o"];
        let output = Command::new("cc").args(arguments).arg(&library).args([source, "-ldl"]).output();
        let output = output.map_err(|error| format!("there is no C compiler called cc ({error})"))?;
        if !output.status.success() {
            return Err(format!("cc could not compile {source}: {}", String::from_utf8_lossy(&output.stderr)));
        }
        Ok(library)
    })
}

/// Removes what was compiled.
pub fn remove() {
    let library = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("shim-{}.so", std::process::id()));
    let _ = std::fs::remove_file(library);
}
