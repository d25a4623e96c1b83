//! `tidegate orgs create|list|retention|deactivate|activate|erase`.

use clap::Subcommand;

use super::database::with_owner;
use super::erase;
use super::output::{Exit, print_table};
use super::values::OrNone;
use crate::config::{Config, parse_duration};
use crate::limits::ORG_RETENTION_DAYS_MAX;
use crate::tenancy::acts::Actor;
use crate::tenancy::admin::{self, Organization};
use crate::tenancy::control::{self, By, OrganizationChange};
use crate::tenancy::retention::RetentionChange;

/// Manage organizations
#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(subcommand)]
    action: Action,
}

#[derive(Debug, Subcommand)]
enum Action {
    /// Make an organization
    Create {
        /// Its name
        name: String,
        /// Its slug, the tenant of its data [default: derived from the name]
        #[arg(long)]
        slug: Option<String>,
        /// Print JSON
        #[arg(long)]
        json: bool,
    },
    /// List organizations
    List {
        /// Print JSON
        #[arg(long)]
        json: bool,
    },
    /// Show or change how long an organization's rows are kept
    Retention {
        /// Its slug or name
        name: String,
        /// Whole days, such as 30d; default: as long as retention.events
        #[arg(long, value_name = "DAYS|default", value_parser = days)]
        events: Option<OrNone<u32>>,
        /// Whole days, at least 2d; default: as long as retention.metrics
        #[arg(long, value_name = "DAYS|default", value_parser = days)]
        metrics: Option<OrNone<u32>>,
        /// Whole days; default: as long as retention.correlations
        #[arg(long, value_name = "DAYS|default", value_parser = days)]
        correlations: Option<OrNone<u32>>,
        /// Print JSON
        #[arg(long)]
        json: bool,
    },
    /// Deactivate an organization: its keys stop working, its data stay
    Deactivate {
        /// Its slug or name
        name: String,
        /// Print JSON
        #[arg(long)]
        json: bool,
    },
    /// Activate an organization again: its keys work as before, but those that were revoked or have expired
    Activate {
        /// Its slug or name
        name: String,
        /// Print JSON
        #[arg(long)]
        json: bool,
    },
    /// Erase a deactivated organization: what there is of it in every relation, its keys and users, and itself
    Erase(erase::Args),
}

/// A retention of whole days, or the word `default`.
fn days(text: &str) -> Result<OrNone<u32>, String> {
    if text == "default" {
        return Ok(OrNone(None));
    }
    let what = || format!("must be whole days from 1d to {ORG_RETENTION_DAYS_MAX}d, such as 30d; or `default`");
    let seconds = parse_duration(text).map_err(|_| what())?.as_secs();
    let days = u32::try_from(seconds / 86_400).ok().filter(|_| seconds.is_multiple_of(86_400));
    days.filter(|days| (1..=ORG_RETENTION_DAYS_MAX).contains(days)).map(|days| OrNone(Some(days))).ok_or_else(what)
}

pub async fn run(config: &Config, Args { action }: Args) -> Exit {
    match action {
        Action::Create { name, slug, json } => {
            let actor = Actor::of_this_process();
            let work = async |client: &mut _| {
                Ok(control::create_organization(client, &By::command(&actor), &name, slug.as_deref()).await?)
            };
            with_owner(config, json, work, |org| show(std::slice::from_ref(org))).await
        }
        Action::List { json } => {
            with_owner(config, json, async |client| admin::list_organizations(client).await, |orgs| show(orgs)).await
        }
        Action::Retention { name, events, metrics, correlations, json } => {
            let retention = RetentionChange {
                events_days: events.map(|days| days.0),
                metrics_days: metrics.map(|days| days.0),
                correlations_days: correlations.map(|days| days.0),
            };
            alter(config, &name, OrganizationChange { retention, ..Default::default() }, json).await
        }
        Action::Deactivate { name, json } => {
            alter(config, &name, OrganizationChange { is_active: Some(false), ..Default::default() }, json).await
        }
        Action::Activate { name, json } => {
            alter(config, &name, OrganizationChange { is_active: Some(true), ..Default::default() }, json).await
        }
        Action::Erase(args) => erase::run(config, args).await,
    }
}

/// Without a change it is shown.
async fn alter(config: &Config, name: &str, change: OrganizationChange<'_>, json: bool) -> Exit {
    let (actor, table) = (Actor::of_this_process(), config.retention.clone());
    let work = async |client: &mut _| {
        Ok(control::alter_organization(client, &By::command(&actor), name, change, &table).await?)
    };
    with_owner(config, json, work, |org| show(std::slice::from_ref(org))).await
}

fn show(organizations: &[Organization]) {
    print_table(
        ["TENANT", "NAME", "STATE", "KEEPS", "ID"],
        organizations.iter().map(|org| {
            let state = if org.is_active { "active" } else { "deactivated" };
            [org.tenant_id.clone(), org.name.clone(), state.to_owned(), org.keeps.to_string(), org.id.to_string()]
        }),
    );
}
