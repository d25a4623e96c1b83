//! An event's metadata as it is answered: what the sender said, and what the server knows of its request.
//!
//! The latter are columns of their own, which the same text in each row's JSON would cost PostgreSQL more than all
//! others. Rows from before those columns have it in their JSON, and are answered the same.

use std::error::Error;

use jiff::Timestamp;
use serde::Serialize;
use serde_json::value::RawValue;
use tokio_postgres::types::{FromSql, Type, accepts};
use uuid::Uuid;

type Failure = Box<dyn Error + Sync + Send>;

/// Null where the event is listed without it, see [`super::event::Event`].
#[derive(Debug, Serialize)]
#[serde(transparent)]
pub struct Metadata(Option<Box<RawValue>>);

/// From `ROW(metadata, api_key_id, receipt, created_at)`.
impl<'a> FromSql<'a> for Metadata {
    accepts!(RECORD);

    fn from_sql(_: &Type, raw: &'a [u8]) -> Result<Self, Failure> {
        let mut record = Record::open(raw)?;
        let sent = record.json()?;
        let (api_key_id, receipt) = (record.value::<Uuid>()?, record.value::<Uuid>()?);
        let received_at: Timestamp = record.value()?.ok_or("an event without created_at")?;
        let (Some(api_key_id), Some(receipt)) = (api_key_id, receipt) else {
            return Ok(Self(sent.map(serde_json::from_str).transpose()?));
        };
        let more = match sent {
            None | Some("{}") => "}".to_owned(),
            Some(sent) => format!(", {}", sent.trim_ascii_start().get(1..).ok_or("metadata that is no object")?),
        };
        let text = format!(
            "{{\"receipt\": \"{receipt}\", \"api_key_id\": \"{api_key_id}\", \"received_at\": \"{received_at:.6}\"{more}"
        );
        Ok(Self(Some(RawValue::from_string(text)?)))
    }

    fn from_sql_null(_: &Type) -> Result<Self, Failure> {
        Ok(Self(None))
    }
}

/// A row value as PostgreSQL sends it: how many fields there are, then each one's type, length and bytes.
struct Record<'a> {
    rest: &'a [u8],
}

impl<'a> Record<'a> {
    fn open(raw: &'a [u8]) -> Result<Self, Failure> {
        let (_fields, rest) = raw.split_first_chunk::<4>().ok_or("a row value without a beginning")?;
        Ok(Self { rest })
    }

    fn field(&mut self) -> Result<(Type, Option<&'a [u8]>), Failure> {
        const SHORT: &str = "a row value that ends early";
        let (oid, rest) = self.rest.split_first_chunk::<4>().ok_or(SHORT)?;
        let (length, rest) = rest.split_first_chunk::<4>().ok_or(SHORT)?;
        let ty = Type::from_oid(u32::from_be_bytes(*oid)).ok_or("a row value with a type of an extension")?;
        let Ok(length) = usize::try_from(i32::from_be_bytes(*length)) else {
            self.rest = rest;
            return Ok((ty, None));
        };
        let (value, rest) = rest.split_at_checked(length).ok_or(SHORT)?;
        self.rest = rest;
        Ok((ty, Some(value)))
    }

    fn value<T: FromSql<'a>>(&mut self) -> Result<Option<T>, Failure> {
        let (ty, value) = self.field()?;
        value.map(|value| T::from_sql(&ty, value)).transpose()
    }

    /// The text of a json or jsonb; the latter has a byte for its version in front.
    fn json(&mut self) -> Result<Option<&'a str>, Failure> {
        let (ty, value) = self.field()?;
        let text = match (ty, value) {
            (Type::JSONB, Some([1, text @ ..])) => Some(text),
            (Type::JSON, text) => text,
            (_, None) => None,
            (ty, _) => return Err(format!("metadata of the type {ty}").into()),
        };
        Ok(text.map(std::str::from_utf8).transpose()?)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test may stop at the first surprise")]
    use super::*;

    const KEY: Uuid = Uuid::from_u128(1);
    const RECEIPT: Uuid = Uuid::from_u128(2);

    fn read(fields: &[(Type, Option<&[u8]>)]) -> Result<String, String> {
        let mut raw = 4i32.to_be_bytes().to_vec();
        for (ty, value) in fields {
            raw.extend(ty.oid().to_be_bytes());
            raw.extend(value.map_or(-1, |value| i32::try_from(value.len()).unwrap()).to_be_bytes());
            raw.extend(value.unwrap_or(b""));
        }
        let read = Metadata::from_sql(&Type::RECORD, &raw).map_err(|error| error.to_string())?;
        Ok(serde_json::to_string(&read).unwrap())
    }

    fn record(sent: (Type, Option<&[u8]>), ids: Option<(Uuid, Uuid)>) -> Result<String, String> {
        let (key, receipt) = ids.map(|(key, receipt)| (key.into_bytes(), receipt.into_bytes())).unzip();
        let at = 1_500_000i64.to_be_bytes();
        read(&[
            sent,
            (Type::UUID, key.as_ref().map(<[u8; 16]>::as_slice)),
            (Type::UUID, receipt.as_ref().map(<[u8; 16]>::as_slice)),
            (Type::TIMESTAMPTZ, Some(&at)),
        ])
    }

    #[test]
    fn what_the_server_knows_is_put_to_what_was_sent() {
        let added = "{\"receipt\": \"00000000-0000-0000-0000-000000000002\", \
                     \"api_key_id\": \"00000000-0000-0000-0000-000000000001\", \
                     \"received_at\": \"2000-01-01T00:00:01.500000Z\"";
        let ids = Some((KEY, RECEIPT));
        assert_eq!(record((Type::JSONB, None), ids).unwrap(), format!("{added}}}"));
        assert_eq!(record((Type::JSON, Some(b"{}")), ids).unwrap(), format!("{added}}}"));
        let more = format!("{added}, \"a\": 1.00}}");
        assert_eq!(record((Type::JSONB, Some(b"\x01{\"a\": 1.00}")), ids).unwrap(), more);
        assert_eq!(record((Type::JSON, Some(b"{\"a\": 1.00}")), ids).unwrap(), more);
    }

    #[test]
    fn rows_from_before_the_columns_are_as_they_were() {
        let old = "{\"a\": 1, \"receipt\": \"r\"}";
        assert_eq!(record((Type::JSONB, Some(format!("\x01{old}").as_bytes())), None).unwrap(), old);
        assert_eq!(record((Type::JSONB, None), None).unwrap(), "null");
    }

    #[test]
    fn what_is_no_such_row_is_an_error() {
        assert!(record((Type::TEXT, Some(b"{}")), None).is_err());
        assert!(record((Type::JSONB, Some(b"\x02{}")), None).is_err());
        assert!(read(&[(Type::JSONB, None)]).is_err());
        assert!(Metadata::from_sql(&Type::RECORD, &[0, 0]).is_err());
    }
}
