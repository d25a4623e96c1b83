//! What is other in the cells of a database than this version makes them of its schema.

use tokio_postgres::Client;

use super::compare::Change;
use super::verify::Finding;
use crate::config::ConnectionUrl;
use crate::storage::StorageError;
use crate::storage::citus::{Cell, Recipe, cells, differs, enter};

/// Looks at every cell where it is; one that cannot be looked at is a finding, too.
pub async fn verify_cells(coordinator: &Client, owner: &ConnectionUrl) -> Result<Vec<Finding>, StorageError> {
    let recipe = Recipe::of(coordinator).await?;
    let mut findings = Vec::new();
    for cell in cells(coordinator).await? {
        let looked = async { differs(&enter(owner, &cell).await?, &recipe, &cell).await };
        match looked.await {
            Ok(differs) => {
                findings.extend(differs.into_iter().map(|one| finding(&cell, one.object, one.how)));
            }
            Err(error) => findings.push(finding(&cell, "schema".to_owned(), format!("cannot be looked at: {error}"))),
        }
    }
    Ok(findings)
}

fn finding(cell: &Cell, object: String, how: String) -> Finding {
    let change = if how.starts_with("is missing") { Change::Missing } else { Change::Changed };
    Finding {
        drift: true,
        change,
        object: format!("{object} of {} at {}", cell.name, cell.worker()),
        what: how,
        statement: Some(format!("-- tidegate migrate makes {} again", cell.name)),
    }
}
