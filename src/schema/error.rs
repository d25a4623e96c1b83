//! Why a text is no schema that is taken.

use std::fmt;

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SchemaError(pub String);

impl SchemaError {
    const NOT_NOW: &str = "it cannot be compiled now";

    /// There was no room for compiling it: nothing is wrong with it.
    pub fn not_now(why: &impl fmt::Display) -> Self {
        Self(format!("{}: {why}", Self::NOT_NOW))
    }

    /// What a reference names could not be found.
    pub fn refers_outside(why: &impl fmt::Display) -> Self {
        Self(format!("it refers to what is not in it: {why}; put what it needs into its $defs, nothing is fetched"))
    }

    pub fn is_passing(&self) -> bool {
        self.0.starts_with(Self::NOT_NOW)
    }
}

impl fmt::Display for SchemaError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for SchemaError {}
