//! Managing organizations and keys, on the owner's connection: the statements. Who does it, for whom, and that it is noted, is
//! [`super::control`]'s.

mod error;
mod keys;
mod organizations;

pub use error::AdminError;
pub use keys::{
    KeyChange, KeyInfo, LimitsChange, NewKey, alter_key, create_key, create_limited_key, find_key, key_count,
    list_keys, revoke_key, rotate_key,
};
pub use organizations::{
    Organization, activate_organization, create_organization, find_organization, get_organization, list_organizations,
    rename_organization, slug_of,
};

pub(super) use organizations::{ORGANIZATION, organization};
