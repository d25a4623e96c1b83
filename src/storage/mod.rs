//! Everything that knows PostgreSQL as a server rather than as a query: where it comes from, and what it is.
pub mod embedded;
