//! Tenants: organizations, their API keys, and who a request speaks for.

pub mod acts;
pub mod admin;
pub mod administration;
mod bucket;
pub mod contained;
pub mod control;
pub mod erase;
pub mod erase_events;
mod keeps;
mod key;
mod limiter;
mod lookups;
pub mod people;
mod principal;
mod remembered;
pub mod retention;
mod scope;
mod sessions;
mod shares;
mod tickets;
pub mod usage;
mod uses;
mod verifier;

pub use keeps::OrgRetention;
pub use key::{ApiKey, MalformedKey, SessionToken};
pub use limiter::{Charge, Limit, Limited, Limiter, RateLimits};
pub use lookups::source_of;
pub use principal::{Holder, Named, Person, Principal, Role};
pub use scope::{Scope, Scopes};
pub use sessions::SessionError;
pub use shares::{Demand, Share, Shares};
pub use tickets::{Ticket, TicketError, Tickets};
pub use verifier::{KeyError, Verifier};
