//! What a stream is defined to be.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use uuid::Uuid;

use crate::limits::MASKS_MAX;
use crate::payload::{Action, Mask, Path};
use crate::schema::Direction;

/// What is done about payloads that break the schema.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mode {
    Off,
    /// They are stored and counted.
    Warn,
    /// They are refused.
    Enforce,
}

impl Mode {
    pub const ALL: [(&str, Self); 3] = [("off", Self::Off), ("warn", Self::Warn), ("enforce", Self::Enforce)];

    pub fn as_str(self) -> &'static str {
        match self {
            Self::Off => "off",
            Self::Warn => "warn",
            Self::Enforce => "enforce",
        }
    }

    pub fn of(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|(known, _)| *known == name).map(|(_, mode)| mode)
    }
}

/// What a new version of a schema has to be to the one before.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Compatibility {
    None,
    Backward,
    Forward,
    Full,
}

impl Compatibility {
    pub const ALL: [(&str, Self); 4] =
        [("none", Self::None), ("backward", Self::Backward), ("forward", Self::Forward), ("full", Self::Full)];

    pub fn as_str(self) -> &'static str {
        match self {
            Self::None => "none",
            Self::Backward => "backward",
            Self::Forward => "forward",
            Self::Full => "full",
        }
    }

    pub fn of(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|(known, _)| *known == name).map(|(_, compatibility)| compatibility)
    }

    pub fn directions(self) -> &'static [Direction] {
        match self {
            Self::None => &[],
            Self::Backward => &[Direction::Backward],
            Self::Forward => &[Direction::Forward],
            Self::Full => &[Direction::Backward, Direction::Forward],
        }
    }
}

/// A mask as people write it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct MaskSpec {
    pub path: String,
    /// `hash` or `remove`.
    pub action: String,
}

impl MaskSpec {
    /// Why it is none, with what to do.
    pub fn parse_all(specs: &[Self]) -> Result<Vec<Mask>, String> {
        if specs.len() > MASKS_MAX {
            return Err(format!("a stream has at most {MASKS_MAX} masks"));
        }
        let mut masks: Vec<Mask> = Vec::new();
        for Self { path, action } in specs {
            let action = Action::ALL.into_iter().find(|(name, _)| name == action).map(|(_, action)| action);
            let action = action.ok_or("`action` of a mask must be hash or remove")?;
            let parsed = Path::parse(path).map_err(|error| format!("the path {path:?} of a mask {error}"))?;
            if masks.iter().any(|mask| mask.path == parsed) {
                return Err(format!("the path {path:?} is masked twice"));
            }
            masks.push(Mask { path: parsed, action });
        }
        Ok(masks)
    }

    pub fn of_all(masks: &[Mask]) -> Vec<Self> {
        let spec = |mask: &Mask| Self { path: mask.path.text().to_owned(), action: mask.action.as_str().to_owned() };
        masks.iter().map(spec).collect()
    }
}

/// A stream's definition, as it is read.
#[derive(Debug, Serialize)]
pub struct Definition {
    pub name: String,
    pub id: Uuid,
    pub description: Option<String>,
    pub mode: &'static str,
    pub compatibility: &'static str,
    pub schema_version: Option<i32>,
    pub schema: Option<Box<RawValue>>,
    pub mask: Vec<MaskSpec>,
    pub warnings: Warned,
    pub created_at: Timestamp,
    pub updated_at: Timestamp,
    /// Counts changes, of all streams.
    #[serde(skip)]
    pub revision: i64,
    /// Of how many versions numbers were given.
    #[serde(skip)]
    pub versions: i32,
    #[serde(skip)]
    pub deleted: bool,
}

/// What the version that is in use has warned of.
#[derive(Debug, Default, Serialize)]
pub struct Warned {
    pub events: i64,
    pub last_at: Option<Timestamp>,
    pub field: Option<String>,
    pub rule: Option<String>,
}

/// A version of a schema.
#[derive(Debug, Serialize)]
pub struct Version {
    pub version: i32,
    pub schema: Box<RawValue>,
    pub created_at: Timestamp,
    pub api_key_id: Option<Uuid>,
}

/// What is to be different; None: it stays.
#[derive(Debug, Default)]
pub struct Change {
    pub description: Option<Option<String>>,
    pub mode: Option<Mode>,
    pub compatibility: Option<Compatibility>,
    /// Its text; Some(None): none any more.
    pub schema: Option<Option<String>>,
    pub mask: Option<Vec<Mask>>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn masks_are_read_as_they_are_written() {
        let spec = |path: &str, action: &str| MaskSpec { path: path.to_owned(), action: action.to_owned() };
        let specs = [spec("/a", "hash"), spec("/b/*/c", "remove")];
        let masks = MaskSpec::parse_all(&specs).expect("good ones");
        assert_eq!(MaskSpec::of_all(&masks), specs);
        for (specs, says) in [
            (vec![spec("a", "hash")], "JSON pointer"),
            (vec![spec("/a", "encrypt")], "hash or remove"),
            (vec![spec("/a", "hash"), spec("/a", "remove")], "twice"),
            (vec![spec("/a", "hash"); MASKS_MAX + 1], "at most"),
        ] {
            let why = MaskSpec::parse_all(&specs).expect_err("bad ones");
            assert!(why.contains(says), "{why}");
        }
    }
}
