//! What there is, once, as data: the kinds of items.

mod kind;

pub use kind::{Kind, PerKind};
