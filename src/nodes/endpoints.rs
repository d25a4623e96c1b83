//! Where nodes are asked, by their URL: what they are trusted by is read once.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};

use crate::limits::ASKED_MAX;
use crate::load::Endpoint;

#[derive(Debug, Default)]
pub struct Endpoints(Mutex<HashMap<String, Arc<Endpoint>>>);

impl Endpoints {
    /// An error says what is wrong with the URL.
    pub fn of(&self, url: &str) -> Result<Arc<Endpoint>, String> {
        let mut known = self.0.lock().expect("no code panics while holding it");
        if let Some(endpoint) = known.get(url) {
            return Ok(Arc::clone(endpoint));
        }
        let endpoint = Arc::new(Endpoint::parse(url)?);
        // Nodes come and go; a map of those that were is not kept.
        if known.len() >= 4 * ASKED_MAX {
            known.clear();
        }
        known.insert(url.to_owned(), Arc::clone(&endpoint));
        Ok(endpoint)
    }
}
