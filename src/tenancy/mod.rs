//! Tenants: organizations, their API keys, and who a request speaks for.

pub mod admin;
mod key;
mod scope;
mod verifier;

pub use key::{ApiKey, MalformedKey};
pub use scope::{Scope, Scopes};
pub use verifier::{KeyError, Principal, Verifier};
