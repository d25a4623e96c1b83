//! `tidegate keys create|list|revoke|limit|rotate`.

use std::time::Duration;

use clap::Subcommand;
use jiff::Timestamp;
use uuid::Uuid;

use super::database::with_owner;
use super::output::{Exit, print_table, say};
use super::values::{OrNone, or_none};
use crate::config::{Config, parse_bytes};
use crate::limits::{RATE_BURST_S_DEFAULT, RATE_BURST_S_MAX, RATE_PER_SECOND_MAX};
use crate::load::parse_duration;
use crate::secrets::holds_key;
use crate::storage::StorageError;
use crate::tenancy::acts::Actor;
use crate::tenancy::admin::{self, AdminError, KeyChange, KeyInfo, LimitsChange, NewKey};
use crate::tenancy::control::{self, By, KeyWanted};
use crate::tenancy::{RateLimits, Scopes};
use crate::unseen::is_unseen;

/// Manage API keys
#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(subcommand)]
    action: Action,
}

#[derive(Debug, Subcommand)]
enum Action {
    /// Make a key; its text is printed once
    Create {
        /// The organization, by slug, name or id
        #[arg(long)]
        org: String,
        /// What it may do: ingest, read, consume, admin, operator
        #[arg(long, default_value = "ingest,read", value_parser = Scopes::parse)]
        scopes: Scopes,
        /// What it is for
        #[arg(long, default_value = "")]
        label: String,
        /// When it ends by itself (RFC 3339)
        #[arg(long, value_name = "TIME")]
        expires_at: Option<Timestamp>,
        /// Most events a second in the long run, on all nodes together [default: no limit]
        #[arg(long, value_name = "N", value_parser = rate)]
        events_per_second: Option<u64>,
        /// Most bytes of bodies a second, after decompression, such as 1MiB [default: no limit]
        #[arg(long, value_name = "SIZE", value_parser = size_rate)]
        bytes_per_second: Option<u64>,
        /// How much of either may come at once, in time at that rate [default: 10s]
        #[arg(long, value_name = "DURATION", value_parser = burst)]
        burst: Option<u32>,
        /// Print JSON
        #[arg(long)]
        json: bool,
    },
    /// List keys
    List {
        /// Only of this organization
        #[arg(long)]
        org: Option<String>,
        /// Print JSON
        #[arg(long)]
        json: bool,
    },
    /// Revoke a key: refused everywhere within 5 s
    Revoke {
        /// The key's id, as `keys list` shows it
        #[arg(value_parser = key_id)]
        id: Uuid,
        /// Print JSON
        #[arg(long)]
        json: bool,
    },
    /// Change what a key may send; takes effect within 5 s
    #[command(group(clap::ArgGroup::new("change").required(true).multiple(true)))]
    Limit {
        /// The key's id, as `keys list` shows it
        #[arg(value_parser = key_id)]
        id: Uuid,
        /// Most events a second in the long run, on all nodes together; none: no limit
        #[arg(long, value_name = "N|none", group = "change", value_parser = or_none(rate))]
        events_per_second: Option<OrNone<u64>>,
        /// Most bytes of bodies a second, after decompression, such as 1MiB; none: no limit
        #[arg(long, value_name = "SIZE|none", group = "change", value_parser = or_none(size_rate))]
        bytes_per_second: Option<OrNone<u64>>,
        /// How much of either may come at once, in time at that rate; none: the default, 10s
        #[arg(long, value_name = "DURATION|none", group = "change", value_parser = or_none(burst))]
        burst: Option<OrNone<u32>>,
        /// Print JSON
        #[arg(long)]
        json: bool,
    },
    /// Make a successor of a key; the old one ends after the grace
    Rotate {
        /// The key's id, as `keys list` shows it
        #[arg(value_parser = key_id)]
        id: Uuid,
        /// How long the old key still works
        #[arg(long, default_value = "24h", value_parser = parse_duration)]
        grace: Duration,
        /// Print JSON
        #[arg(long)]
        json: bool,
    },
}

/// A key's id: a UUID, also taken out of the key's text.
fn key_id(text: &str) -> Result<Uuid, String> {
    let id = text.strip_prefix("tg_").map_or(text, |rest| rest.split('_').next().unwrap_or_default());
    Uuid::try_parse(id).map_err(|_| "not the id of a key: `tidegate keys list` shows them".to_owned())
}

fn rate(text: &str) -> Result<u64, String> {
    let parsed = text.parse().ok().filter(|rate| (1..=RATE_PER_SECOND_MAX).contains(rate));
    parsed.ok_or_else(|| format!("must be a whole number from 1 to {RATE_PER_SECOND_MAX}; to stop a key, revoke it"))
}

fn size_rate(text: &str) -> Result<u64, String> {
    let bytes = parse_bytes(text).map_err(|error| error.0.to_owned())?;
    rate(&bytes.to_string())
}

/// In whole seconds.
fn burst(text: &str) -> Result<u32, String> {
    let duration = parse_duration(text)?;
    let seconds = u32::try_from(duration.as_secs()).ok().filter(|_| duration.subsec_nanos() == 0);
    seconds
        .filter(|seconds| (1..=RATE_BURST_S_MAX).contains(seconds))
        .ok_or_else(|| format!("must be whole seconds, from 1s to {RATE_BURST_S_MAX}s"))
}

pub async fn run(config: &Config, Args { action }: Args) -> Exit {
    let actor = Actor::of_this_process();
    let by = By::command(&actor);
    match action {
        Action::Create {
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
                if holds_key(&label) {
                    return Err(StorageError::fatal(
                        "--label holds an API key, and labels are listed: say what the key is for",
                    ));
                }
                if label.chars().any(is_unseen) {
                    return Err(StorageError::fatal("--label has characters that nobody sees: write it without them"));
                }
                let wanted = KeyWanted { organization: org, scopes, label, expires_at, limits };
                Ok(control::create_key(client, &by, &wanted).await?.1)
            };
            with_owner(config, json, work, show_new).await
        }
        Action::List { org, json } => {
            let work = async |client: &mut _| Ok(admin::list_keys(client, org.as_deref()).await?);
            with_owner(config, json, work, |keys| show(keys)).await
        }
        Action::Revoke { id, json } => {
            let work = async |client: &mut _| Ok(control::revoke_key(client, &by, id).await?);
            with_owner(config, json, work, |key| say!("revoked {}; it is refused everywhere within 5 s", key.id)).await
        }
        Action::Limit { id, events_per_second, bytes_per_second, burst, json } => {
            let limits_change = LimitsChange {
                events_per_second: events_per_second.map(|rate| rate.0),
                bytes_per_second: bytes_per_second.map(|rate| rate.0),
                burst_seconds: burst.map(|seconds| seconds.0),
            };
            let change = KeyChange { limits: limits_change, ..KeyChange::default() };
            let work = async |client: &mut _| Ok(control::alter_key(client, &by, id, &change).await?);
            let show = |key: &KeyInfo| say!("{}: {}; known everywhere within 5 s", key.id, limits(&key.limits));
            with_owner(config, json, work, show).await
        }
        Action::Rotate { id, grace, json } => {
            let work = async |client: &mut _| {
                let old_ends_at =
                    Timestamp::now().checked_add(grace).map_err(|_| StorageError::fatal("--grace is too long"))?;
                match control::rotate_key(client, &by, id, old_ends_at).await {
                    // The same is said of one that is unknown as of one that is over.
                    Err(AdminError::NoKey(id)) => Err(AdminError::KeyOver(id).into()),
                    rotated => Ok(rotated?.1),
                }
            };
            with_owner(config, json, work, show_new).await
        }
    }
}

fn show_new(key: &NewKey) {
    say!("id   {}", key.id);
    say!("key  {}   (shown this once)", key.key);
}

fn show(keys: &[KeyInfo]) {
    let state = |key: &KeyInfo| match (key.revoked_at, key.expires_at) {
        (Some(at), _) => format!("revoked {at:.0}"),
        (None, Some(at)) => format!("ends {at:.0}"),
        (None, None) => "active".to_owned(),
    };
    print_table(
        ["ID", "TENANT", "SCOPES", "STATE", "LAST USED", "LIMITS", "LABEL"],
        keys.iter().map(|key| {
            [
                key.id.to_string(),
                key.tenant_id.clone(),
                key.scopes.join(","),
                state(key),
                key.last_used_at.map_or("-".to_owned(), |at| format!("{at:.0}")),
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
