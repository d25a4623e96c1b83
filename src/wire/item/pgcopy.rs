//! PostgreSQL's binary COPY format, as far as it is needed: header, trailer, and the fields of one tuple appended to
//! the caller's buffer. Every tuple begins with `batch_id, batch_seq, timestamp, created_at`; the first two only the
//! writer knows, so that [`stamp`] can fill them in place.

use uuid::Uuid;

use super::origin::StoredJson;

/// What a COPY stream begins with: signature, flags 0, header extension of length 0.
pub const COPY_HEADER: [u8; 19] = *b"PGCOPY\n\xff\r\n\0\0\0\0\0\0\0\0\0";

/// What a COPY stream ends with: a field count of -1.
pub const COPY_TRAILER: [u8; 2] = (-1i16).to_be_bytes();

/// 2000-01-01 00:00:00 UTC, PostgreSQL's epoch, in unix microseconds.
const POSTGRES_EPOCH_US: i64 = 946_684_800_000_000;

/// Version byte of binary jsonb.
const JSONB_VERSION: u8 = 1;

const BATCH_ID_AT: usize = 6;
const BATCH_SEQ_AT: usize = 18;

/// Fills in `batch_id` and `batch_seq`, which encoding leaves zero.
///
/// # Panics
///
/// When `tuple` is shorter than any tuple can be.
pub fn stamp(tuple: &mut [u8], batch_id: i64, batch_seq: i32) {
    tuple[BATCH_ID_AT..BATCH_ID_AT + 8].copy_from_slice(&batch_id.to_be_bytes());
    tuple[BATCH_SEQ_AT..BATCH_SEQ_AT + 4].copy_from_slice(&batch_seq.to_be_bytes());
}

/// How many columns a comma-separated list names.
pub(crate) const fn column_count(columns: &str) -> i16 {
    let (mut count, mut at) = (1, 0);
    while at < columns.len() {
        count += (columns.as_bytes()[at] == b',') as i16;
        at += 1;
    }
    count
}

/// A tuple's beginning: how many columns it has, then `batch_id` (0), `batch_seq` (0), `timestamp` and `created_at`.
pub(crate) fn put_head(out: &mut Vec<u8>, columns: i16, timestamp_us: i64, created_at_us: i64) {
    let mut head = [0u8; 46];
    head[0..2].copy_from_slice(&columns.to_be_bytes());
    head[2..6].copy_from_slice(&8i32.to_be_bytes());
    head[14..18].copy_from_slice(&4i32.to_be_bytes());
    head[22..26].copy_from_slice(&8i32.to_be_bytes());
    head[26..34].copy_from_slice(&postgres_us(timestamp_us).to_be_bytes());
    head[34..38].copy_from_slice(&8i32.to_be_bytes());
    head[38..46].copy_from_slice(&postgres_us(created_at_us).to_be_bytes());
    out.extend_from_slice(&head);
}

pub(crate) fn put_text(out: &mut Vec<u8>, text: &str) {
    out.extend_from_slice(&length(text.len()));
    out.extend_from_slice(text.as_bytes());
}

pub(crate) fn put_i32(out: &mut Vec<u8>, value: i32) {
    out.extend_from_slice(&4i32.to_be_bytes());
    out.extend_from_slice(&value.to_be_bytes());
}

pub(crate) fn put_i32_or_null(out: &mut Vec<u8>, value: Option<i32>) {
    match value {
        Some(value) => put_i32(out, value),
        None => put_null(out),
    }
}

pub(crate) fn put_i64(out: &mut Vec<u8>, value: i64) {
    out.extend_from_slice(&8i32.to_be_bytes());
    out.extend_from_slice(&value.to_be_bytes());
}

pub(crate) fn put_f64(out: &mut Vec<u8>, value: f64) {
    out.extend_from_slice(&8i32.to_be_bytes());
    out.extend_from_slice(&value.to_be_bytes());
}

pub(crate) fn put_f64_or_null(out: &mut Vec<u8>, value: Option<f64>) {
    match value {
        Some(value) => put_f64(out, value),
        None => put_null(out),
    }
}

pub(crate) fn put_text_or_null(out: &mut Vec<u8>, text: Option<&str>) {
    match text {
        Some(text) => put_text(out, text),
        None => put_null(out),
    }
}

pub(crate) fn put_uuid(out: &mut Vec<u8>, uuid: Uuid) {
    out.extend_from_slice(&16i32.to_be_bytes());
    out.extend_from_slice(uuid.as_bytes());
}

pub(crate) fn put_uuid_or_null(out: &mut Vec<u8>, uuid: Option<Uuid>) {
    match uuid {
        Some(uuid) => put_uuid(out, uuid),
        None => put_null(out),
    }
}

/// A column of JSON whose text `write` appends; its length is patched in afterwards.
pub(crate) fn put_json(out: &mut Vec<u8>, stored: StoredJson, write: impl FnOnce(&mut Vec<u8>)) {
    let length_at = out.len();
    out.extend_from_slice(match stored {
        StoredJson::Jsonb => &[0, 0, 0, 0, JSONB_VERSION],
        StoredJson::Json => &[0, 0, 0, 0],
    });
    write(out);
    let written = length(out.len() - length_at - 4);
    out[length_at..length_at + 4].copy_from_slice(&written);
}

/// The same, null where `write` says that it wrote nothing of worth.
pub(crate) fn put_json_or_null(out: &mut Vec<u8>, stored: StoredJson, write: impl FnOnce(&mut Vec<u8>) -> bool) {
    let start = out.len();
    let mut is_something = false;
    put_json(out, stored, |out| is_something = write(out));
    if !is_something {
        out.truncate(start);
        put_null(out);
    }
}

pub(crate) fn put_null(out: &mut Vec<u8>) {
    out.extend_from_slice(&(-1i32).to_be_bytes());
}

/// The fields of a tuple that was encoded here, read one after another.
pub(crate) struct Fields<'a> {
    tuple: &'a [u8],
    at: usize,
}

impl<'a> Fields<'a> {
    pub(crate) const fn of(tuple: &'a [u8]) -> Self {
        Self { tuple, at: size_of::<i16>() }
    }

    /// Where the next field begins.
    pub(crate) const fn at(&self) -> usize {
        self.at
    }

    /// The next field; None: it is NULL.
    pub(crate) fn bytes(&mut self) -> Option<&'a [u8]> {
        let length = self.tuple[self.at..].first_chunk().copied().map(i32::from_be_bytes);
        self.at += size_of::<i32>();
        let length = usize::try_from(length.expect("a tuple has the columns that it was encoded with")).ok()?;
        let field = &self.tuple[self.at..self.at + length];
        self.at += length;
        Some(field)
    }

    pub(crate) fn skip(&mut self, fields: usize) {
        for _ in 0..fields {
            self.bytes();
        }
    }

    pub(crate) fn text(&mut self) -> Option<&'a str> {
        self.bytes().map(|bytes| str::from_utf8(bytes).expect("encoded from text"))
    }

    pub(crate) fn jsonb(&mut self) -> Option<&'a str> {
        self.bytes().map(|bytes| str::from_utf8(&bytes[1..]).expect("encoded from text"))
    }
}

fn length(bytes: usize) -> [u8; 4] {
    i32::try_from(bytes).expect("a field is shorter than BODY_BYTES_CEILING and its overhead").to_be_bytes()
}

fn postgres_us(unix_us: i64) -> i64 {
    unix_us.saturating_sub(POSTGRES_EPOCH_US)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stamping_touches_only_the_two_leading_columns() {
        let mut tuple = Vec::new();
        put_head(&mut tuple, 18, POSTGRES_EPOCH_US + 1, POSTGRES_EPOCH_US - 1);
        let before = tuple.clone();
        stamp(&mut tuple, 0x0102_0304_0506_0708, -2);
        assert_eq!(tuple[6..14], [1, 2, 3, 4, 5, 6, 7, 8]);
        assert_eq!(tuple[18..22], (-2i32).to_be_bytes());
        assert_eq!((&tuple[..6], &tuple[14..18], &tuple[22..]), (&before[..6], &before[14..18], &before[22..]));
        assert_eq!(tuple[26..34], 1i64.to_be_bytes());
        assert_eq!(tuple[38..46], (-1i64).to_be_bytes());
    }

    #[test]
    fn the_stream_is_framed_as_postgres_documents_it() {
        assert_eq!(COPY_HEADER[..11], *b"PGCOPY\n\xff\r\n\0");
        assert_eq!(COPY_HEADER[11..], [0; 8]);
        assert_eq!(COPY_TRAILER, [0xff, 0xff]);
    }
}
