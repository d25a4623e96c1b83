//! The members of an item as the scanner notes them, and what it must know of the names of one kind of item.

use std::fmt::Debug;

use crate::wire::item::reject::Code;

/// Nested objects of an item whose members are noted as well, at most.
pub(crate) const NESTS_MAX: usize = 2;

/// The names by which the members of one kind of item are known. The scanner is made for each kind by itself, so that
/// none of this is decided while it runs.
pub(crate) trait Field: Copy + Eq + Debug {
    /// No field; kept as it is.
    const UNKNOWN: Self;
    /// How many of the fields that come first can be text or a number.
    const SCALARS: usize;

    /// The field that a key names, and the rank of that name: 0 for the canonical one, then the aliases in their
    /// order.
    fn lookup(name: &[u8]) -> (Self, u8);

    /// Its place in an envelope; from `SLOTS_MAX` on it has none.
    fn position(self) -> usize;

    fn name(self) -> &'static str;

    /// The list, if any, that the members of its object are noted in.
    fn nest(self) -> Option<usize>;

    /// What NUL inside its value is called.
    fn nul_code(self) -> Code;

    /// Whether it is also read inside an object that is noted in list 0.
    fn is_read_nested(self) -> bool {
        false
    }

    /// Whether a value of this type makes a member the field; one that is not is like an unknown one.
    fn may_be(self, _kind: JsonType) -> bool {
        true
    }
}

/// A stretch of an item's text.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Span {
    pub start: usize,
    pub end: usize,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum JsonType {
    Null,
    Bool,
    Number,
    String,
    Object,
    Array,
}

impl JsonType {
    /// The type's name with its article, for messages.
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Null => "null",
            Self::Bool => "a boolean",
            Self::Number => "a number",
            Self::String => "a string",
            Self::Object => "an object",
            Self::Array => "an array",
        }
    }
}

#[derive(Debug, Clone, Copy)]
pub(crate) struct Member<F> {
    pub field: F,
    /// 0 for the canonical name, then the aliases in their order.
    pub rank: u8,
    pub key: Span,
    /// With its quotes or brackets.
    pub value: Span,
    pub kind: JsonType,
    /// A string with a backslash in it.
    pub escaped: bool,
}

impl<F: Field> Member<F> {
    pub(super) const NONE: Self = Self {
        field: F::UNKNOWN,
        rank: 0,
        key: Span { start: 0, end: 0 },
        value: Span { start: 0, end: 0 },
        kind: JsonType::Null,
        escaped: false,
    };
}
