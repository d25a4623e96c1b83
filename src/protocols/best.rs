//! Of several names that say the same, the one that is listed first counts.

/// The best value so far.
pub struct Best<V> {
    names: &'static [&'static [u8]],
    rank: usize,
    value: Option<V>,
}

impl<V> Best<V> {
    pub const fn of(names: &'static [&'static [u8]]) -> Self {
        Self { names, rank: names.len(), value: None }
    }

    /// Looks at a value of this name, which is only asked for where it may count; None: it says nothing.
    #[inline]
    pub fn look(&mut self, name: &[u8], value: impl FnOnce() -> Option<V>) {
        let Some(rank) = self.names[..self.rank].iter().position(|known| *known == name) else { return };
        if let Some(value) = value() {
            (self.rank, self.value) = (rank, Some(value));
        }
    }

    pub fn found(&self) -> Option<&V> {
        self.value.as_ref()
    }

    pub fn into_found(self) -> Option<V> {
        self.value
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_name_that_says_something_counts() {
        let best = |said: &[(&str, Option<i32>)]| {
            let mut best = Best::of(&[b"a", b"b", b"c"]);
            said.iter().for_each(|(name, value)| best.look(name.as_bytes(), || *value));
            best.into_found()
        };
        assert_eq!(best(&[("c", Some(3)), ("a", Some(1)), ("b", Some(2))]), Some(1));
        assert_eq!(best(&[("c", Some(3)), ("a", None), ("b", Some(2)), ("d", Some(4))]), Some(2));
        assert_eq!(best(&[("d", Some(4)), ("b", None)]), None);
        assert_eq!(best(&[("a", Some(1)), ("a", Some(2))]), Some(1));
    }
}
