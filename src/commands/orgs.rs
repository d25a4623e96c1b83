//! `tidegate orgs create|list|retention|deactivate`.

use super::{Exit, print_table, with_owner};
use crate::cli::OrgsAction;
use crate::config::Config;
use crate::tenancy::admin::{self, Organization};
use crate::tenancy::retention::{self, RetentionChange};

pub async fn run(config: &Config, action: OrgsAction) -> Exit {
    match action {
        OrgsAction::Create { name, slug, json } => {
            let work = async |client: &mut _| admin::create_organization(client, &name, slug.as_deref()).await;
            with_owner(config, json, work, |org| show(std::slice::from_ref(org))).await
        }
        OrgsAction::List { json } => {
            with_owner(config, json, async |client| admin::list_organizations(client).await, |orgs| show(orgs)).await
        }
        OrgsAction::Retention { name, events, metrics, correlations, json } => {
            let change = RetentionChange {
                events_days: events.map(|days| days.0),
                metrics_days: metrics.map(|days| days.0),
                correlations_days: correlations.map(|days| days.0),
            };
            let table = config.retention.clone();
            let work = async |client: &mut _| retention::change(client, &name, change, &table).await;
            with_owner(config, json, work, |org| show(std::slice::from_ref(org))).await
        }
        OrgsAction::Deactivate { name, json } => {
            let work = async |client: &mut _| admin::deactivate_organization(client, &name).await;
            with_owner(config, json, work, |org| show(std::slice::from_ref(org))).await
        }
    }
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
