//! From the bytes of a body to the tuples of a COPY. Pure: no runtime, no sockets, no database.

pub mod event;
pub mod item;
pub mod metric;
