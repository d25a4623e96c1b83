//! Payloads as text: paths into them, their values, and what is masked in them. Pure.
//!
//! A payload is stored as it was sent, digit for digit, so nothing here goes through doubles: numbers keep their text, and
//! what is masked is cut out of the text around it.

mod mask;
mod path;
mod text;
mod value;
mod walk;

pub use mask::{Action, Mask, MaskKey};
pub use path::Path;
pub use value::value;
pub use walk::rewritten;
