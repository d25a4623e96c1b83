//! An inferred table, as data: what a row is known by, and its columns.

use serde_json::value::RawValue;
use sha2::{Digest, Sha256};
use uuid::Uuid;

use super::values::Values;

/// Namespace of the ids of rows. Changing it would change every id.
const NAMESPACE: Uuid = Uuid::from_u128(0x5b1f_6f0a_9c3d_4e27_8a54_17d0_be62_43c8);

/// A column, and its type in the database.
#[derive(Debug, Clone, Copy)]
pub struct Column {
    pub name: &'static str,
    pub sql_type: &'static str,
}

pub const fn column(name: &'static str, sql_type: &'static str) -> Column {
    Column { name, sql_type }
}

/// What a row of a tenant is known by: the primary key beside its tenant. Made of what events call it, so that a table that is
/// computed again has the same keys.
#[derive(Debug, Clone, Copy)]
pub enum Key {
    /// A UUID in `id`.
    Uuid,
    /// A whole number from 0 to 2^63 - 1 in `id`.
    Number,
    /// The text itself, in this column.
    Text(&'static str),
}

impl Key {
    pub fn column(self) -> Column {
        match self {
            Self::Uuid => column("id", "uuid"),
            Self::Number => column("id", "bigint"),
            Self::Text(name) => column(name, "text"),
        }
    }
}

/// Columns, and what follows for them.
pub type Derived = Vec<(&'static str, Box<RawValue>)>;

pub struct Table {
    pub name: &'static str,
    pub key: Key,
    /// What a new row has whatever its events say; of those that are not among `columns` it stays so.
    pub identity: &'static [Column],
    /// What events say.
    pub columns: &'static [Column],
    /// One more that is large: it is neither read nor written where nothing new is said of it.
    pub large: Option<Column>,
    /// The columns with the first and the last time that is known of a row, where it has them: every event of it widens what lies
    /// between, and so may others who write such rows.
    pub seen: Option<(&'static str, &'static str)>,
    /// Others write rows of it, too: they are not deleted, and columns that no event speaks of are left as they are.
    pub is_shared: bool,
    /// What follows from other columns, by column: it holds where no event has said it.
    pub derive: fn(&Values) -> Derived,
}

/// For tables in which nothing follows from other columns.
pub fn nothing(_: &Values) -> Derived {
    Derived::new()
}

/// The column with the time of the oldest event that told of a row, of tables that are not shared.
pub const CREATED_AT: &str = "created_at";
/// The same of the newest event.
const UPDATED_AT: &str = "updated_at";

impl Table {
    /// The key of the row that events call so.
    pub fn key_of(&self, tenant_id: &str, names: &[&str]) -> String {
        match self.key {
            Key::Text(_) => names.first().copied().unwrap_or_default().to_owned(),
            Key::Uuid => {
                let name = [&[tenant_id, self.name], names].concat().join("\0");
                Uuid::new_v5(&NAMESPACE, name.as_bytes()).to_string()
            }
            Key::Number => {
                let mut digest = Sha256::new();
                for name in [&[tenant_id, self.name], names].concat() {
                    digest.update(name.len().to_be_bytes());
                    digest.update(name);
                }
                let digest = digest.finalize();
                let high = u64::from_be_bytes(std::array::from_fn(|index| digest[index]));
                (high >> 1).to_string()
            }
        }
    }

    /// The column with the time of the newest event that told of a row.
    pub fn told_at(&self) -> &'static str {
        if self.is_shared { "told_at" } else { UPDATED_AT }
    }

    /// The column of this name, among those that events say something of.
    pub fn told_column(&self, name: &str) -> Option<&'static str> {
        let times = if self.is_shared { &[][..] } else { &[CREATED_AT] };
        let columns = self.columns.iter().chain(&self.large).map(|column| column.name);
        columns.chain(times.iter().copied()).chain([self.told_at()]).find(|column| *column == name)
    }

    /// All columns that are written, but for tenant, key and the large one.
    pub fn written(&self) -> Vec<Column> {
        const ORIGIN: [Column; 4] = [
            column("event_id", "uuid"),
            column("event_stream", "text"),
            column("event_offset", "bigint"),
            column("told_by", "jsonb"),
        ];
        let created_at = (!self.is_shared).then_some(column(CREATED_AT, "timestamptz"));
        let seen = self.seen.into_iter().flat_map(|(first, last)| [first, last]);
        let times = created_at.into_iter().chain([column(self.told_at(), "timestamptz")]);
        let times = times.chain(seen.map(|name| column(name, "timestamptz")));
        let columns = self.identity.iter().chain(self.columns.iter().filter(|one| !self.is_identity(one.name)));
        columns.copied().chain(times).chain(ORIGIN).collect()
    }

    /// Whether a new row has this column whatever its events say.
    pub fn is_identity(&self, name: &str) -> bool {
        self.identity.iter().any(|column| column.name == name)
    }
}
