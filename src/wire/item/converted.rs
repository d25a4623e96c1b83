//! Items that were made of a body in another protocol: what of that body each of them was, and parts of it of which none
//! could be made.

use bytes::Bytes;

use super::reject::{Code, RejectedItem, Rejection, Stage};

/// Stands in the place of an item that could not be made: no object, so that it is rejected.
pub const BROKEN_ITEM: &[u8] = b"0";

/// Where an item stands in what was sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Place {
    pub start: u32,
    pub end: u32,
    /// What its protocol knows it by.
    pub tag: u8,
}

/// A part of a body of which no item could be made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Broken {
    /// The ordinal of the item in its place.
    pub item: u32,
    pub message: String,
}

/// What was sent, beside the items that were made of it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Original {
    /// Decompressed.
    pub body: Bytes,
    /// One for each item.
    pub places: Vec<Place>,
    /// In the order of their items.
    pub broken: Vec<Broken>,
}

impl Original {
    /// Bytes that it holds.
    pub fn bytes(&self) -> usize {
        self.body.len() + self.places.len() * size_of::<Place>()
    }

    /// What of it became this item; nothing of an item that there is not.
    pub fn of(&self, item: u32) -> &[u8] {
        let place = usize::try_from(item).ok().and_then(|item| self.places.get(item));
        place.and_then(|place| self.body.get(place.start as usize..place.end as usize)).unwrap_or_default()
    }

    /// Says of the rejected items that could not be made why.
    pub fn explain(&self, rejected: &mut [RejectedItem]) {
        for item in rejected {
            if let Ok(at) = self.broken.binary_search_by_key(&item.index, |broken| broken.item) {
                item.rejection = Rejection::new(Stage::Decode, Code::Undecodable, &self.broken[at].message);
            }
        }
    }
}
