//! `tidegate audit`.

use jiff::Timestamp;

use super::database::with_owner;
use super::output::{Exit, print_table};
use crate::config::Config;
use crate::protocols::params::time;
use crate::tenancy::acts::{self, Recorded, Which};

/// Show who did what: administrative acts, the newest first
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Only what concerns this organization, by its slug
    #[arg(long)]
    org: Option<String>,
    /// Only this action, such as keys.create
    #[arg(long)]
    action: Option<String>,
    /// Since when: RFC 3339, or an age such as -24h
    #[arg(long, value_name = "TIME", allow_hyphen_values = true, value_parser = at)]
    from: Option<Timestamp>,
    /// Until when, exclusive
    #[arg(long, value_name = "TIME", allow_hyphen_values = true, value_parser = at)]
    to: Option<Timestamp>,
    /// How many at most
    #[arg(long, value_name = "N", default_value_t = 1000, value_parser = clap::value_parser!(i64).range(1..))]
    limit: i64,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

fn at(text: &str) -> Result<Timestamp, String> {
    time(text, Timestamp::now()).ok_or_else(|| {
        "must be an RFC 3339 time (with `T`, seconds and a zone) or date, `now`, or an age such as -24h".into()
    })
}

pub async fn run(config: &Config, Args { org, action, from, to, limit, json }: Args) -> Exit {
    let which = Which { tenant_id: org, action, from, to, limit };
    with_owner(config, json, async |client| acts::list(client, &which).await, |acts| show(acts)).await
}

fn show(acts: &[Recorded]) {
    print_table(
        ["AT", "TENANT", "WHO", "ACTION", "TARGET", "FROM", "DETAILS"],
        acts.iter().map(|act| {
            let text = |text: &Option<String>| text.clone().unwrap_or_else(|| "-".to_owned());
            [
                format!("{:.0}", act.at),
                text(&act.tenant_id),
                format!(
                    "{} {}",
                    act.actor_kind,
                    act.actor_id.map_or_else(|| act.actor.clone(), |id| format!("{id} {}", act.actor))
                ),
                act.action.clone(),
                text(&act.target),
                text(&act.address),
                act.details.to_string(),
            ]
        }),
    );
}
