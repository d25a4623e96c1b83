//! `tidegate keys create|list|revoke|limit|rotate`.

use jiff::Timestamp;

use super::{Exit, print_table, with_owner};
use crate::cli::KeysAction;
use crate::config::Config;
use crate::limits::RATE_BURST_S_DEFAULT;
use crate::storage::StorageError;
use crate::tenancy::RateLimits;
use crate::tenancy::admin::{self, KeyInfo, LimitsChange, NewKey};

pub async fn run(config: &Config, action: KeysAction) -> Exit {
    match action {
        KeysAction::Create {
            org,
            scopes,
            label,
            expires_at,
            events_per_second,
            bytes_per_second,
            burst: burst_seconds,
            json,
        } => {
            let limits = RateLimits { events_per_second, bytes_per_second, burst_seconds };
            let work = async |client: &mut _| {
                admin::create_limited_key(client, &org, scopes, &label, expires_at, limits).await
            };
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
        KeysAction::Limit { id, events_per_second, bytes_per_second, burst, json } => {
            let change = LimitsChange {
                events_per_second: events_per_second.map(|rate| rate.0),
                bytes_per_second: bytes_per_second.map(|rate| rate.0),
                burst_seconds: burst.map(|seconds| seconds.0),
            };
            let work = async |client: &mut _| admin::limit_key(client, id, change).await;
            let show = |key: &KeyInfo| println!("{}: {}; known everywhere within 5 s", key.id, limits(&key.limits));
            with_owner(config, json, work, show).await
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
        ["ID", "TENANT", "SCOPES", "STATE", "LIMITS", "LABEL"],
        keys.iter().map(|key| {
            [
                key.id.to_string(),
                key.tenant_id.clone(),
                key.scopes.join(","),
                state(key),
                limits(&key.limits),
                key.label.clone(),
            ]
        }),
    );
}

fn limits(limits: &RateLimits) -> String {
    let rates = [(limits.events_per_second, "events/s"), (limits.bytes_per_second, "bytes/s")];
    let rates: Vec<String> =
        rates.into_iter().filter_map(|(rate, unit)| rate.map(|rate| format!("{rate} {unit}"))).collect();
    if rates.is_empty() {
        return "no limits".to_owned();
    }
    format!("{}, burst {} s", rates.join(", "), limits.burst_seconds.unwrap_or(RATE_BURST_S_DEFAULT))
}
