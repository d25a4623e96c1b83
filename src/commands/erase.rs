//! `tidegate orgs erase`.

use serde::Serialize;
use tokio_postgres::Client;

use super::beside_rows::{backups, quarantined, unusable, waiting};
use super::database::with_owner_at;
use super::erase_events;
use super::output::{Exit, failed, print_json, print_table, say};
use crate::config::Config;
use crate::ingest::spool::kept::{self, Action};
use crate::ingest::spool::{Disk, SpoolPlace};
use crate::storage::{Location, StorageError, cell_of};
use crate::tenancy::admin::{find_organization, get_organization};
use crate::tenancy::contained::Contained;
use crate::tenancy::erase::{self, Holders, OfRelation};

#[derive(Debug, clap::Args)]
pub struct Args {
    /// Its slug or name
    name: String,
    /// Not itself, but its events whose payloads contain this, and what was derived from them; it may be active:
    /// '{"payload":{"user":{"id":7}}}'
    #[arg(long = "where", value_name = "JSON", value_parser = Contained::parse)]
    containing: Option<Contained>,
    /// This is meant; without it, only what there is of it is shown
    #[arg(long)]
    yes: bool,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

/// What was found of an organization, and what became of it.
#[derive(Serialize)]
struct Report {
    tenant_id: String,
    erased: bool,
    /// Why it cannot be erased yet.
    hindered: Option<String>,
    relations: Vec<OfRelation>,
    /// Files of its requests in the quarantine of this machine's spool.
    quarantined: Vec<String>,
    /// Backups that hold what there was of it when they were made.
    backups: Vec<String>,
}

pub async fn run(config: &Config, Args { name, containing, yes, json }: Args) -> Exit {
    if let Some(of) = containing {
        return erase_events::run(config, &name, &of, yes, json).await;
    }
    let work = async |client: &mut Client, location: &Location| -> Result<Report, StorageError> {
        let id = find_organization(client, &name, false).await?;
        let organization = get_organization(client, id).await?;
        let tenant_id = organization.tenant_id.clone();
        let quarantined = quarantined(config, &tenant_id)?;
        let mut hindered = erase::hindered(client, &tenant_id).await?;
        if hindered.is_none() {
            hindered = waiting(config)?;
        }
        let erased = yes && hindered.is_none();
        let cell = cell_of(location, client, &tenant_id).await?;
        let mut holders = Holders { control: client, cell };
        let relations = match erased {
            true => erase::erase(&mut holders, &organization).await?,
            false => erase::look(&mut holders, &tenant_id).await?,
        };
        if erased {
            let place = SpoolPlace::of(&config.data_dir, config.spool.max_bytes);
            for kept in &quarantined {
                kept::ask(&Disk, &place.dir, &kept.file, Action::Drop).map_err(|error| unusable(config, &error))?;
            }
        }
        let quarantined = quarantined.into_iter().map(|kept| kept.file).collect();
        let backups = backups(config)?;
        Ok(Report { tenant_id, erased, hindered, relations, quarantined, backups })
    };
    let report = match with_owner_at(config, work).await {
        Ok(report) => report,
        Err(error) => return failed(&error),
    };
    if json {
        print_json(&report)
    } else {
        show(&report)
    }
    match (&report.hindered, yes) {
        (Some(why), true) => failed(&format!("{} is not erased: {why}", report.tenant_id)),
        _ => Exit::Ok,
    }
}

fn show(report: &Report) {
    let Report { tenant_id, erased, hindered, relations, quarantined, backups } = report;
    print_table(
        ["RELATION", "ROWS"],
        relations.iter().map(|OfRelation { relation, rows }| [relation.clone(), rows.to_string()]),
    );
    let quarantine = quarantined.len();
    match (erased, hindered) {
        (true, _) => say!("{tenant_id} is erased: these rows are gone, and {quarantine} files of the quarantine"),
        (false, None) => {
            say!("nothing was erased: --yes does it, and removes {quarantine} files of the quarantine, too")
        }
        (false, Some(why)) => say!("nothing was erased, nor can it be yet: {why}"),
    }
    say!("Spools of other nodes, copies of logs, and what consumers and readers took are not known here.");
    match backups.len() {
        0 => say!("No backups are in the folder of backup.dir."),
        _ => say!("Backups still hold what there was of it when they were made: {}", backups.join(", ")),
    }
}
