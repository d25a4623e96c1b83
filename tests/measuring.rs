//! The unit tests of `load-tests/compare`: cargo takes none from a bench that has no harness, so they are compiled here.

#[path = "../load-tests/compare/main.rs"]
mod compare;
