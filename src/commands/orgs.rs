//! `tidegate orgs create|list|deactivate`.

use super::{Exit, print_table, with_owner};
use crate::cli::OrgsAction;
use crate::config::Config;
use crate::tenancy::admin::{self, Organization};

/// Runs the command.
pub async fn run(config: &Config, action: OrgsAction) -> Exit {
    match action {
        OrgsAction::Create { name, slug, json } => {
            let work = async |client: &mut _| admin::create_organization(client, &name, slug.as_deref()).await;
            with_owner(config, json, work, |org| show(std::slice::from_ref(org))).await
        }
        OrgsAction::List { json } => {
            with_owner(config, json, async |client| admin::list_organizations(client).await, |orgs| show(orgs)).await
        }
        OrgsAction::Deactivate { name, json } => {
            let work = async |client: &mut _| admin::deactivate_organization(client, &name).await;
            with_owner(config, json, work, |org| show(std::slice::from_ref(org))).await
        }
    }
}

fn show(organizations: &[Organization]) {
    print_table(
        ["TENANT", "NAME", "STATE", "ID"],
        organizations.iter().map(|org| {
            let state = if org.is_active { "active" } else { "deactivated" };
            [org.tenant_id.clone(), org.name.clone(), state.to_owned(), org.id.to_string()]
        }),
    );
}
