//! Which series a sample is of, among those of its asset, type and name: the id of its dimensions. SQL computes the same
//! (`metric_series_id` of migration 20).

use std::hash::{BuildHasher, Hasher, RandomState};

use sha2::{Digest, Sha256};
use uuid::Uuid;

use super::canonical::Canonical;

/// Dimensions whose ids are at hand: those of a sender repeat, and its series are many times that.
const SLOTS: usize = 4096;
/// Longer ones are computed each time.
const BYTES_MAX: usize = 1024;

/// Computes ids of dimensions, and remembers them by the bytes that were sent.
pub(super) struct SeriesIds {
    canonical: Canonical,
    /// Where dimensions are is told by their hash, which no sender can foresee.
    slots: Vec<(Box<str>, Uuid)>,
    hasher: RandomState,
}

impl Default for SeriesIds {
    fn default() -> Self {
        Self { canonical: Canonical::default(), slots: Vec::new(), hasher: RandomState::new() }
    }
}

impl SeriesIds {
    /// The id of dimensions as they were sent; nil where there are none.
    pub fn of(&mut self, dimensions: Option<&str>) -> Uuid {
        let Some(sent) = dimensions else { return Uuid::nil() };
        if sent.len() > BYTES_MAX {
            return self.compute(sent);
        }
        if self.slots.is_empty() {
            self.slots.resize_with(SLOTS, Default::default);
        }
        let mut hasher = self.hasher.build_hasher();
        hasher.write(sent.as_bytes());
        let slot = usize::try_from(hasher.finish() % SLOTS as u64).expect("a slot's number is small");
        if *self.slots[slot].0 != *sent {
            self.slots[slot] = (sent.into(), self.compute(sent));
        }
        self.slots[slot].1
    }

    fn compute(&mut self, sent: &str) -> Uuid {
        match self.canonical.of(sent) {
            "{}" => Uuid::nil(),
            text => {
                let hash: [u8; 32] = Sha256::digest(text).into();
                Uuid::from_slice(&hash[..16]).expect("16 bytes are a UUID")
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn order_and_spelling_make_no_series() {
        let mut ids = SeriesIds::default();
        let id = ids.of(Some(r#"{"region":"eu","n":1.0}"#));
        for same in [r#"{ "n" : 1.0, "region" : "eu" }"#, r#"{"regi\u006fn":"\u0065u","n":10e-1}"#] {
            assert_eq!(ids.of(Some(same)), id, "{same}");
        }
        // 10.0e-1 is 1.00.
        for other in [
            r#"{"region":"eu","n":10.0e-1}"#,
            r#"{"region":"eu","n":1}"#,
            r#"{"region":"us","n":1.0}"#,
            r#"{"region":"eu"}"#,
        ] {
            assert_ne!(ids.of(Some(other)), id);
        }
        assert_eq!([None, Some("{}"), Some(" {\n}")].map(|none| ids.of(none)), [Uuid::nil(); 3]);
    }

    /// `SELECT metric_series_id('{"region": "eu"}')`.
    #[test]
    fn an_id_is_what_sql_computes() {
        let mut ids = SeriesIds::default();
        let long = format!(r#"{{"a":"{}"}}"#, "x".repeat(BYTES_MAX));
        assert_eq!(ids.of(Some(r#"{"region":"eu"}"#)).to_string(), "6f5562e7-168e-6d45-a53a-ad1608bb97eb");
        assert_eq!(ids.of(Some(&long)).to_string(), "0d498758-fb81-c019-9019-3117271790b7");
        assert_eq!(ids.of(Some(&long)), ids.of(Some(&long)));
    }
}
