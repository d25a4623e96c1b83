//! `tidegate orgs erase ORG --where`: events by what their payloads contain.

use serde::Serialize;
use tokio_postgres::Client;

use super::beside_rows::{backups, quarantined, unusable, waiting};
use super::database::with_owner_at;
use super::output::{Exit, failed, print_json, print_table, say};
use crate::config::Config;
use crate::ingest::spool::kept::{self, Kept};
use crate::ingest::spool::{Disk, SpoolPlace};
use crate::projections;
use crate::storage::{Location, StorageError, cell_of};
use crate::tenancy::admin::{find_organization, get_organization};
use crate::tenancy::contained::Contained;
use crate::tenancy::erase::{Holders, OfRelation};
use crate::tenancy::erase_events::{self, Matching};

/// What was found of what payloads contain, and what became of it.
#[derive(Serialize)]
struct Report {
    tenant_id: String,
    erased: bool,
    relations: Vec<OfRelation>,
    /// Dead letters that cannot be read as JSON: they may hold it.
    unreadable_dead_letters: u64,
    /// Files in the quarantine of this machine's spool that hold it, or cannot be read.
    quarantined: Vec<String>,
    /// What waits in this machine's spool may hold it.
    spool: Option<String>,
    /// Projections with rows that are gone; other events may have told of them, too.
    rebuild: Vec<&'static str>,
    /// Backups that hold what there was when they were made.
    backups: Vec<String>,
}

pub async fn run(config: &Config, name: &str, of: &Contained, yes: bool, json: bool) -> Exit {
    let work = async |client: &mut Client, location: &Location| -> Result<Report, StorageError> {
        let id = find_organization(client, name, false).await?;
        let tenant_id = get_organization(client, id).await?.tenant_id;
        let cell = cell_of(location, client, &tenant_id).await?;
        let mut holders = Holders { control: client, cell };
        let Matching { relations, unreadable_letters } = match yes {
            true => erase_events::erase(&mut holders, &tenant_id, of).await?,
            false => erase_events::look(&mut holders, &tenant_id, of).await?,
        };
        Ok(Report {
            erased: yes,
            unreadable_dead_letters: unreadable_letters,
            quarantined: holding(config, &tenant_id, of)?,
            spool: waiting(config)?,
            rebuild: projections_of(&relations),
            backups: backups(config)?,
            tenant_id,
            relations,
        })
    };
    match with_owner_at(config, work).await {
        Ok(report) if json => print_json(&report),
        Ok(report) => show(&report),
        Err(error) => return failed(&error),
    }
    Exit::Ok
}

/// Files of the quarantine with requests of it that hold what is looked for.
fn holding(config: &Config, tenant_id: &str, of: &Contained) -> Result<Vec<String>, StorageError> {
    let place = SpoolPlace::of(&config.data_dir, config.spool.max_bytes);
    let mut files = Vec::new();
    for Kept { file, .. } in quarantined(config, tenant_id)? {
        let request = kept::whole_request(&Disk, &place.dir, &file)
            .map_err(|why| unusable(config, &std::io::Error::other(format!("{file}: {why}"))))?;
        // What cannot be read may hold it.
        if of.is_in(&request.received.body) != Some(false) {
            files.push(file);
        }
    }
    Ok(files)
}

fn projections_of(relations: &[OfRelation]) -> Vec<&'static str> {
    let has_rows = |table: &str| relations.iter().any(|of| of.relation == table);
    projections::ALL
        .iter()
        .filter(|projection| projection.tables.iter().any(|table| has_rows(table.name)))
        .map(|projection| projection.name)
        .collect()
}

fn show(report: &Report) {
    let Report { tenant_id, erased, relations, unreadable_dead_letters, quarantined, spool, rebuild, backups } = report;
    print_table(
        ["RELATION", "ROWS"],
        relations.iter().map(|OfRelation { relation, rows }| [relation.clone(), rows.to_string()]),
    );
    match erased {
        true => say!("these rows of {tenant_id} are gone"),
        false => say!("nothing was erased: --yes does it"),
    }
    if *unreadable_dead_letters > 0 {
        say!("{unreadable_dead_letters} dead letters are no JSON and may hold it, too: tidegate dead-letters list");
    }
    for file in quarantined {
        say!("In the quarantine of the spool {file} holds it, too: tidegate spool drop");
    }
    if let Some(waiting) = spool {
        say!("Of the spool: {waiting}");
    }
    if *erased && !rebuild.is_empty() {
        say!("What other events told of the same rows comes back by: tidegate rebuild {}", rebuild.join(", then "));
    }
    say!("Counts, logs, the archive of WAL, exports, and what consumers took are as they were.");
    match backups.len() {
        0 => say!("No backups are in the folder of backup.dir."),
        _ => say!("Backups still hold what there was when they were made: {}", backups.join(", ")),
    }
}
