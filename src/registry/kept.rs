//! Definitions in a file: a process that is started while the database is away masks what it puts into the spool, and takes
//! nothing for streams that were deleted.

use std::path::Path;

use serde::{Deserialize, Serialize};

use super::definition::{MaskSpec, Mode};
use super::known::{Changed, Known, Stream};
use crate::durable::DurableFile;
use crate::limits::MIB;

const FILE: &str = "streams";
const VERSION: u32 = 1;
const BYTES_MAX: usize = 256 * MIB;

#[derive(Serialize, Deserialize)]
struct Kept {
    streams: Vec<KeptStream>,
}

#[derive(Serialize, Deserialize)]
struct KeptStream {
    tenant_id: String,
    name: String,
    mask: Vec<MaskSpec>,
    deleted: bool,
}

pub struct KeptFile(DurableFile);

impl KeptFile {
    pub fn in_folder(folder: &Path) -> Self {
        Self(DurableFile::new(folder.join(FILE), "streams", VERSION, BYTES_MAX))
    }

    /// What an earlier process knew; None: none did, or it cannot be read. Blocks.
    pub fn load(&self) -> Option<Known> {
        let kept: Kept = serde_json::from_slice(&self.0.load()?).ok()?;
        let mut known = Known { is_partial: true, ..Known::default() };
        let mut changes = Vec::new();
        for KeptStream { tenant_id, name, mask, deleted } in kept.streams {
            let masks = MaskSpec::parse_all(&mask).ok()?;
            changes.push(Changed {
                tenant_id,
                name,
                stream: Stream { mode: Mode::Off, version: None, masks, deleted },
                revision: 0,
            });
        }
        known.note(changes);
        Some(known)
    }

    /// Keeps what is known. Blocks.
    pub fn save(&self, known: &Known) -> std::io::Result<()> {
        let mut streams = Vec::new();
        for (tenant_id, tenant) in &known.tenants {
            let matters = tenant.streams.iter().filter(|(_, stream)| stream.deleted || !stream.masks.is_empty());
            streams.extend(matters.map(|(name, stream)| KeptStream {
                tenant_id: tenant_id.to_string(),
                name: name.to_string(),
                mask: MaskSpec::of_all(&stream.masks),
                deleted: stream.deleted,
            }));
        }
        let text = serde_json::to_vec(&Kept { streams }).map_err(std::io::Error::other)?;
        self.0.save(&text)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test may stop at the first surprise")]
    use super::*;
    use crate::payload::{Action, Mask, Path as MaskPath};

    #[test]
    fn what_masks_and_what_is_deleted_comes_back() {
        let dir = tempfile::tempdir().unwrap();
        let file = KeptFile::in_folder(dir.path());
        assert!(file.load().is_none());
        let mask = Mask { path: MaskPath::parse("/a").unwrap(), action: Action::Remove };
        let stream = |masks, deleted| Stream { mode: Mode::Enforce, version: Some(1), masks, deleted };
        let changed = |name: &str, stream| Changed { tenant_id: "t".into(), name: name.into(), stream, revision: 7 };
        let mut known = Known::default();
        known.note([
            changed("masked", stream(vec![mask.clone()], false)),
            changed("deleted", stream(Vec::new(), true)),
            changed("judged", stream(Vec::new(), false)),
        ]);
        file.save(&known).unwrap();
        let read = file.load().unwrap();
        let tenant = &read.tenants["t"];
        assert_eq!((read.revision, read.is_partial, tenant.streams.len()), (0, true, 2));
        assert_eq!(tenant.streams["masked"].masks, [mask]);
        assert!(tenant.streams["deleted"].deleted && tenant.streams["masked"].judged_by().is_none());
    }
}
