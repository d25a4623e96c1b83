//! The definitions that a process knows: those of all tenants, as far as they make a difference to events.

use std::collections::HashMap;
use std::sync::Arc;

use super::definition::Mode;
use crate::limits::MASKS_OF_ALL_MAX;
use crate::payload::Mask;
use crate::wire::event::StreamMasks;

/// What one change says of a stream.
#[derive(Debug, Clone)]
pub struct Changed {
    pub tenant_id: String,
    pub name: String,
    pub stream: Stream,
    pub revision: i64,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Stream {
    pub mode: Mode,
    /// The version that judges.
    pub version: Option<i32>,
    pub masks: Vec<Mask>,
    pub deleted: bool,
}

impl Stream {
    /// The version that events are judged by, if they are.
    pub fn judged_by(&self) -> Option<i32> {
        self.version.filter(|_| self.mode != Mode::Off && !self.deleted)
    }
}

/// The streams of one tenant that are defined, or were.
#[derive(Debug, Clone, Default)]
pub struct Tenant {
    pub streams: HashMap<Box<str>, Stream>,
    /// The masks of all of them, each once.
    all_masks: Vec<Mask>,
    /// A schema judges events of one of them at least.
    judges: bool,
}

impl Tenant {
    pub fn has_masks(&self) -> bool {
        !self.all_masks.is_empty()
    }

    pub fn judges(&self) -> bool {
        self.judges
    }

    /// Of many streams at once, since what follows from all of them is found again.
    fn note(&mut self, streams: impl IntoIterator<Item = (Box<str>, Stream)>) {
        self.streams.extend(streams);
        let mut all: Vec<Mask> = self.streams.values().flat_map(|stream| stream.masks.iter().cloned()).collect();
        all.sort_unstable();
        all.dedup();
        self.all_masks = all;
        self.judges = self.streams.values().any(|stream| stream.judged_by().is_some());
    }
}

impl StreamMasks for Tenant {
    fn of(&self, stream: &str) -> &[Mask] {
        self.streams.get(stream).map_or(&[], |stream| &stream.masks)
    }

    fn all(&self) -> Option<&[Mask]> {
        (self.all_masks.len() <= MASKS_OF_ALL_MAX).then_some(&self.all_masks)
    }
}

/// All that is known, up to one revision.
#[derive(Debug, Clone, Default)]
pub struct Known {
    pub tenants: HashMap<Arc<str>, Arc<Tenant>>,
    pub revision: i64,
    /// It is from a file, and has only what masks, or was deleted.
    pub is_partial: bool,
}

impl Known {
    /// Takes changes in.
    pub fn note(&mut self, changes: impl IntoIterator<Item = Changed>) {
        let mut of_tenants: HashMap<String, Vec<Changed>> = HashMap::new();
        for change in changes {
            self.revision = self.revision.max(change.revision);
            of_tenants.entry(change.tenant_id.clone()).or_default().push(change);
        }
        for (tenant_id, changes) in of_tenants {
            let known = self.tenants.entry(tenant_id.into()).or_default();
            let mut tenant = Tenant::clone(known);
            tenant.note(changes.into_iter().map(|Changed { name, stream, .. }| (name.into(), stream)));
            *known = Arc::new(tenant);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::payload::{Action, Path};

    fn masks(paths: &[&str]) -> Vec<Mask> {
        paths.iter().map(|path| Mask { path: Path::parse(path).expect(path), action: Action::Hash }).collect()
    }

    fn changed(name: &str, revision: i64, paths: &[&str]) -> Changed {
        let stream = Stream { mode: Mode::Enforce, version: Some(2), masks: masks(paths), deleted: false };
        Changed { tenant_id: "t".into(), name: name.into(), stream, revision }
    }

    #[test]
    fn changes_replace_what_was_known() {
        let mut known = Known::default();
        known.note([changed("a", 3, &["/x", "/y"]), changed("b", 4, &["/y"])]);
        let tenant = Arc::clone(&known.tenants["t"]);
        let all = tenant.all().map(<[Mask]>::len);
        assert_eq!((known.revision, all, tenant.of("b").len(), tenant.of("c").len()), (4, Some(2), 1, 0));
        assert_eq!(tenant.streams["a"].judged_by(), Some(2));
        known.note([changed("a", 5, &[])]);
        let later = &known.tenants["t"];
        assert_eq!((known.revision, later.all(), later.has_masks()), (5, Some(&*masks(&["/y"])), true));
        assert_eq!(tenant.all().map(<[Mask]>::len), Some(2), "who began with the old one goes on with it");
        known.note([changed("b", 6, &[])]);
        let judged = &known.tenants["t"];
        assert!(!judged.has_masks() && judged.judges());
    }
}
