//! Tuples read back, for tests, by code that the encoder has no part in.

use std::collections::HashMap;

use uuid::Uuid;

use super::Decoded;

/// The columns of one row, by name.
pub(crate) struct Row(HashMap<&'static str, Option<Vec<u8>>>);

impl Row {
    /// The rows of a body, in order; `columns` is the list for COPY.
    pub(crate) fn all(columns: &'static str, decoded: &Decoded) -> Vec<Self> {
        let (mut end, bytes) = (0, &decoded.rows.bytes);
        let row = |row: &super::RowRef| {
            assert_eq!(row.bytes.start, end, "tuples are back to back");
            end = row.bytes.end;
            Self::parse(columns, &bytes[row.bytes.start as usize..row.bytes.end as usize])
        };
        let rows = decoded.rows.rows.iter().map(row).collect();
        assert_eq!(end as usize, bytes.len());
        rows
    }

    fn parse(columns: &'static str, tuple: &[u8]) -> Self {
        let names: Vec<&str> = columns.split(", ").collect();
        let (count, mut rest) = tuple.split_at(2);
        assert_eq!(usize::from(u16::from_be_bytes(count.try_into().unwrap())), names.len());
        let mut columns = HashMap::new();
        for name in names {
            let (length, after) = rest.split_at(4);
            let length = i32::from_be_bytes(length.try_into().unwrap());
            let value = usize::try_from(length).ok();
            assert!(value.is_some() || length == -1, "length {length} of {name}");
            let (bytes, after) = after.split_at(value.unwrap_or(0));
            columns.insert(name, value.map(|_| bytes.to_vec()));
            rest = after;
        }
        assert_eq!(rest, b"", "bytes behind the last column");
        Self(columns)
    }

    pub(crate) fn bytes(&self, name: &str) -> &[u8] {
        self.0[name].as_deref().unwrap_or_else(|| panic!("{name} is null"))
    }

    pub(crate) fn is_null(&self, name: &str) -> bool {
        self.0[name].is_none()
    }

    pub(crate) fn text(&self, name: &str) -> &str {
        std::str::from_utf8(self.bytes(name)).unwrap()
    }

    pub(crate) fn uuid(&self, name: &str) -> Uuid {
        Uuid::from_slice(self.bytes(name)).unwrap()
    }

    pub(crate) fn int(&self, name: &str) -> i64 {
        let bytes = self.bytes(name);
        match bytes.len() {
            4 => i64::from(i32::from_be_bytes(bytes.try_into().unwrap())),
            _ => i64::from_be_bytes(bytes.try_into().unwrap()),
        }
    }

    pub(crate) fn double(&self, name: &str) -> Option<f64> {
        self.0[name].as_deref().map(|bytes| f64::from_be_bytes(bytes.try_into().unwrap()))
    }

    /// Unix microseconds.
    pub(crate) fn time(&self, name: &str) -> i64 {
        self.int(name) + 946_684_800_000_000
    }

    pub(crate) fn json(&self, name: &str) -> &str {
        let (version, text) = self.bytes(name).split_first().unwrap();
        assert_eq!(*version, 1, "jsonb version");
        std::str::from_utf8(text).unwrap()
    }
}
