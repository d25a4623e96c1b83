//! The labels of a series: what they must be, and which of them become which field of an item.

use crate::limits::KIB;
use crate::protocols::convert::SeriesText;

/// More labels, or longer ones, has no series: of a few bytes, references of 2.0 could make any number of any length.
const LABELS_MAX: usize = 1024;
const LABELS_BYTES_MAX: usize = 256 * KIB;

/// The labels of one series, in the order in which they were sent. Used for one series after another.
#[derive(Default)]
pub struct Labels<'a> {
    pairs: Vec<(&'a [u8], &'a [u8])>,
    name: &'a [u8],
    instance: &'a [u8],
    job: &'a [u8],
    /// Each name is greater than the one before it, as the protocol asks for, so that no two are the same.
    is_sorted: bool,
    /// Of names and values together.
    bytes: usize,
    /// The metric's name with what is put behind it.
    suffixed: Vec<u8>,
}

impl<'a> Labels<'a> {
    pub fn clear(&mut self) {
        self.pairs.clear();
        (self.name, self.instance, self.job) = Default::default();
        (self.is_sorted, self.bytes) = (true, 0);
    }

    pub fn add(&mut self, name: &'a [u8], value: &'a [u8]) {
        self.bytes = self.bytes.saturating_add(name.len() + value.len());
        if self.pairs.len() > LABELS_MAX {
            return;
        }
        match name {
            b"__name__" => self.name = value,
            b"instance" => self.instance = value,
            b"job" => self.job = value,
            _ => {}
        }
        self.is_sorted &= self.pairs.last().is_none_or(|(before, _)| *before < name);
        self.pairs.push((name, value));
    }

    pub fn name(&self) -> &'a [u8] {
        self.name
    }

    /// Why these are no labels of a series.
    pub fn check(&self) -> Result<(), String> {
        if self.pairs.len() > LABELS_MAX {
            return Err(format!("has more than {LABELS_MAX} labels; send fewer"));
        }
        if self.bytes > LABELS_BYTES_MAX {
            return Err(format!("has labels of {} bytes; {LABELS_BYTES_MAX} are taken", self.bytes));
        }
        if !self.is_sorted {
            let mut names: Vec<&[u8]> = self.pairs.iter().map(|(name, _)| *name).collect();
            names.sort_unstable();
            if let Some(twice) = names.windows(2).find(|pair| pair[0] == pair[1]) {
                return Err(format!("has the label {} twice; send each once", shown(twice[0])));
            }
        }
        if self.name.is_empty() {
            return Err("has no label __name__, or an empty one; send the metric's name in it".into());
        }
        if self.pairs.iter().any(|(name, _)| name.is_empty()) {
            return Err("has a label without a name; send names and values".into());
        }
        Ok(())
    }

    /// Begins items of this series, of a type of its own and with something behind the metric's name. `instance` is the
    /// asset; without it `job`, which is a dimension as well. An empty label is none.
    pub fn begin(&mut self, text: &mut SeriesText, metric_type: &str, suffix: &str) {
        let asset = [self.instance, self.job].into_iter().find(|label| !label.is_empty()).unwrap_or(b"unknown");
        if suffix.is_empty() {
            text.begin(asset, metric_type, self.name);
        } else {
            self.suffixed.clear();
            self.suffixed.extend_from_slice(self.name);
            self.suffixed.extend_from_slice(suffix.as_bytes());
            text.begin(asset, metric_type, &self.suffixed);
        }
        for (name, value) in &self.pairs {
            match *name {
                _ if value.is_empty() => {}
                b"__name__" | b"instance" => {}
                // These are there already; Prometheus renames labels that are in its way so as well.
                b"asset_id" if text.is_shortened() => text.dimension(b"exported_asset_id", value),
                b"metric_name" if text.is_shortened() => text.dimension(b"exported_metric_name", value),
                name => text.dimension(name, value),
            }
        }
        text.close();
    }
}

/// The beginning of a text for a message.
pub fn shown(text: &[u8]) -> String {
    const CHARS_MAX: usize = 100;
    String::from_utf8_lossy(&text[..text.len().min(4 * CHARS_MAX)]).chars().take(CHARS_MAX).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn labels<'a>(pairs: &[(&'a str, &'a str)]) -> Labels<'a> {
        let mut labels = Labels::default();
        labels.clear();
        pairs.iter().for_each(|(name, value)| labels.add(name.as_bytes(), value.as_bytes()));
        labels
    }

    #[test]
    fn the_asset_is_the_instance_else_the_job() {
        let written = |pairs: &[(&str, &str)], suffix: &str| {
            let mut text = SeriesText::new();
            labels(pairs).begin(&mut text, "untyped", suffix);
            String::from_utf8_lossy(text.text()).into_owned()
        };
        assert_eq!(
            written(&[("__name__", "up"), ("instance", "a:9100"), ("job", "node"), ("zone", "")], ""),
            r#"{"asset_id":"a:9100","metric_type":"untyped","metric_name":"up","dimensions":{"job":"node"}"#
        );
        assert_eq!(
            written(&[("__name__", "up"), ("instance", ""), ("job", "node")], "_sum"),
            r#"{"asset_id":"node","metric_type":"untyped","metric_name":"up_sum","dimensions":{"job":"node"}"#
        );
        assert_eq!(
            written(&[("__name__", "up")], ""),
            r#"{"asset_id":"unknown","metric_type":"untyped","metric_name":"up""#
        );
        let long = "n".repeat(101);
        let text = written(&[("__name__", &long), ("asset_id", "1"), ("metric_name", "x")], "");
        assert!(text.ends_with(&format!(
            r#""dimensions":{{"metric_name":"{long}","exported_asset_id":"1","exported_metric_name":"x"}}"#
        )));
    }

    #[test]
    fn labels_have_names_and_no_two_the_same() {
        for good in [
            &[("__name__", "up")][..],
            &[("z", "1"), ("a", "2"), ("__name__", "up")],
            &[("__name__", "a b.c"), ("ä ", "1")],
        ] {
            assert_eq!(labels(good).check(), Ok(()), "{good:?}");
        }
        for (bad, why) in [
            (&[][..], "__name__"),
            (&[("job", "a")], "__name__"),
            (&[("__name__", ""), ("job", "a")], "__name__"),
            (&[("__name__", "up"), ("job", "a"), ("job", "a")], "twice"),
            (&[("__name__", "up"), ("job", "a"), ("a", "b"), ("job", "c")], "job"),
            (&[("", "a"), ("__name__", "up")], "without a name"),
            (&[("__name__", "up"), ("long", &"x".repeat(LABELS_BYTES_MAX))], "bytes"),
        ] {
            assert!(labels(bad).check().is_err_and(|message| message.contains(why)), "{why}");
        }
        let names: Vec<String> = (0..=LABELS_MAX).map(|n| format!("l{n}")).collect();
        let many: Vec<(&str, &str)> = names.iter().map(|name| (name.as_str(), "")).collect();
        assert!(labels(&many).check().is_err_and(|message| message.contains("more than 1024 labels")));
    }
}
