//! Which node this is: an id that is kept beside the spool, and how many nodes there were last.
//!
//! The id is kept and not made at each start, because the spool is: a node that is started again has the requests that were
//! left, and its row says so, where a row of its own would stay beside it for the process that is gone. Without a spool nothing
//! is left behind, and the id is of the process.

use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard};

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::durable::DurableFile;

/// Its name in the folder of data.
const FILE: &str = "node";
const VERSION: u32 = 1;
const BYTES_MAX: usize = 1024;

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
struct Kept {
    id: Uuid,
    /// Nodes that lived when this one last heard of them: what a start without the database goes by.
    nodes: usize,
}

#[derive(Debug)]
pub struct Identity {
    /// None: the folder is not this process's alone.
    file: Option<DurableFile>,
    kept: Mutex<Kept>,
}

impl Identity {
    /// The one kept in `folder`. Blocks.
    pub fn open(folder: Option<&Path>) -> Arc<Self> {
        let file = folder.map(|folder| DurableFile::new(folder.join(FILE), "node", VERSION, BYTES_MAX));
        let known = file.as_ref().and_then(|file| {
            let kept = serde_json::from_slice(&file.load()?);
            kept.inspect_err(|error| file.set_aside(&error.to_string())).ok()
        });
        let own = Arc::new(Self { file, kept: Mutex::new(known.unwrap_or_else(Kept::new)) });
        if known.is_none() {
            own.save();
        }
        own
    }

    pub fn id(&self) -> Uuid {
        self.kept().id
    }

    pub fn nodes(&self) -> usize {
        self.kept().nodes
    }

    /// Goes on as another one: its id is somebody else's, who has a copy of its folder. Blocks.
    pub fn renew(&self) {
        self.kept().id = Uuid::now_v7();
        self.save();
    }

    /// So many live. Blocks, if it is news.
    pub fn note_nodes(&self, nodes: usize) {
        if std::mem::replace(&mut self.kept().nodes, nodes) != nodes {
            self.save();
        }
    }

    fn save(&self) {
        let Some(file) = &self.file else { return };
        let content = serde_json::to_vec(&*self.kept()).expect("it is made of plain values");
        if let Err(error) = file.save(&content) {
            tracing::error!(path = %file.path().display(), %error, "it cannot be kept which node this is");
        }
    }

    fn kept(&self) -> MutexGuard<'_, Kept> {
        self.kept.lock().expect("no code panics while holding it")
    }
}

impl Kept {
    fn new() -> Self {
        Self { id: Uuid::now_v7(), nodes: 1 }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test may stop at the first surprise")]
    use super::*;

    #[test]
    fn it_is_kept_where_there_is_a_folder() {
        let dir = tempfile::tempdir().unwrap();
        let open = || Identity::open(Some(dir.path()));
        let first = open();
        first.note_nodes(3);
        assert_eq!((open().id(), open().nodes()), (first.id(), 3));
        first.renew();
        assert_eq!((open().id(), open().nodes()), (first.id(), 3));
        std::fs::write(dir.path().join(FILE), "").unwrap();
        assert_ne!(open().id(), first.id(), "what cannot be read is set aside");
        assert_ne!(Identity::open(None).id(), Identity::open(None).id());
    }
}
