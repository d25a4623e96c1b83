//! `tidegate keys create|list|revoke|rotate`.

use jiff::Timestamp;

use super::{Exit, print_table, with_owner};
use crate::cli::KeysAction;
use crate::config::Config;
use crate::storage::StorageError;
use crate::tenancy::admin::{self, KeyInfo, NewKey};

/// Runs the command.
pub async fn run(config: &Config, action: KeysAction) -> Exit {
    match action {
        KeysAction::Create { org, scopes, label, expires_at, json } => {
            let work = async |client: &mut _| admin::create_key(client, &org, scopes, &label, expires_at).await;
            with_owner(config, json, work, show_new).await
        }
        KeysAction::List { org, json } => {
            let work = async |client: &mut _| admin::list_keys(client, org.as_deref()).await;
            with_owner(config, json, work, |keys| show(keys)).await
        }
        KeysAction::Revoke { id, json } => {
            let work = async |client: &mut _| admin::revoke_key(client, id).await;
            with_owner(config, json, work, |key| println!("revoked {}; it is refused everywhere within 5 s", key.id))
                .await
        }
        KeysAction::Rotate { id, grace, json } => {
            let work = async |client: &mut _| {
                let old_ends_at =
                    Timestamp::now().checked_add(grace).map_err(|_| StorageError::fatal("--grace is too long"))?;
                admin::rotate_key(client, id, old_ends_at).await
            };
            with_owner(config, json, work, show_new).await
        }
    }
}

fn show_new(key: &NewKey) {
    println!("id   {}", key.id);
    println!("key  {}   (shown this once)", key.key);
}

fn show(keys: &[KeyInfo]) {
    let state = |key: &KeyInfo| match (key.revoked_at, key.expires_at) {
        (Some(at), _) => format!("revoked {at:.0}"),
        (None, Some(at)) => format!("ends {at:.0}"),
        (None, None) => "active".to_owned(),
    };
    print_table(
        ["ID", "TENANT", "SCOPES", "STATE", "LABEL"],
        keys.iter().map(|key| {
            [key.id.to_string(), key.tenant_id.clone(), key.scopes.join(","), state(key), key.label.clone()]
        }),
    );
}
