//! Items that were made of a body in another protocol: what of that body each of them was, and parts of it of which none
//! could be made.

use bytes::Bytes;

use super::reject::{Code, RejectedItem, Rejection, Stage};

/// Stands in the place of an item that could not be made: no object, so that it is rejected.
pub const BROKEN_ITEM: &[u8] = b"0";

/// Why, where streams mask: another message may quote what was sent.
const MASKED_WHY: &str = "it cannot be read in the protocol that it was sent in";

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

    /// What of it is kept with a rejected item, where `previous` was rejected before it: of several items that were made of
    /// one part the first has it, or a wide line would be kept as often as it has fields.
    pub fn kept(&self, item: u32, previous: Option<u32>) -> Option<&[u8]> {
        let place = |item: u32| self.places.get(usize::try_from(item).ok()?).map(|place| (place.start, place.end));
        let own = place(item)?;
        (previous.and_then(place) != Some(own)).then(|| self.of(item))
    }

    /// Bytes that are kept of it with these items.
    pub fn kept_bytes(&self, rejected: &[RejectedItem]) -> usize {
        let mut previous = None;
        let kept = |item: &RejectedItem| self.kept(item.index, previous.replace(item.index)).map_or(0, <[u8]>::len);
        rejected.iter().map(kept).sum()
    }

    /// It without anything that was sent: of what is masked nothing is kept.
    pub fn without_what_was_sent(&self) -> Self {
        let masked = |broken: &Broken| Broken { item: broken.item, message: MASKED_WHY.into() };
        Self { body: Bytes::new(), places: Vec::new(), broken: self.broken.iter().map(masked).collect() }
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_several_items_were_made_of_is_kept_once() {
        let place = |start, end| Place { start, end, tag: 0 };
        let places = vec![place(0, 4), place(0, 4), place(4, 6), place(0, 4)];
        let original = Original { body: Bytes::from_static(b"abcdef"), places, broken: Vec::new() };
        assert_eq!(original.kept(0, None), Some(&b"abcd"[..]));
        assert_eq!((original.kept(1, Some(0)), original.kept(2, Some(1))), (None, Some(&b"ef"[..])));
        let rejected = |index| RejectedItem {
            index,
            raw: 0..0,
            event_id: None,
            rejection: Rejection::new(Stage::Decode, Code::Undecodable, ""),
        };
        assert_eq!(original.kept_bytes(&[rejected(0), rejected(1), rejected(2)]), 6);
        let masked = original.without_what_was_sent();
        assert_eq!((masked.kept(0, None), masked.kept_bytes(&[rejected(0)])), (None, 0));
    }
}
