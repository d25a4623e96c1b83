//! `tidegate sessions list|revoke`.

use clap::Subcommand;
use serde_json::json;
use tokio_postgres::Client;
use uuid::Uuid;

use super::database::with_owner;
use super::output::{Exit, print_table, say};
use crate::config::Config;
use crate::storage::StorageError;
use crate::tenancy::acts::{self, Act, Actor};
use crate::tenancy::people::{Email, PeopleError, Session, Shown, end_session, list_sessions, users};

/// Look at the sessions of people, and end them
#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(subcommand)]
    action: Action,
}

#[derive(Debug, Subcommand)]
enum Action {
    /// List sessions, newest first, also those that are over
    List {
        /// Only of this organization
        #[arg(long)]
        org: Option<String>,
        /// Only of this user
        #[arg(long, value_name = "EMAIL", value_parser = Email::parse)]
        user: Option<Email>,
        /// Print JSON
        #[arg(long)]
        json: bool,
    },
    /// End a session: refused everywhere with the next request
    Revoke {
        /// The session's id, as `sessions list` shows it
        id: Uuid,
        /// Print JSON
        #[arg(long)]
        json: bool,
    },
}

pub async fn run(config: &Config, Args { action }: Args) -> Exit {
    match action {
        Action::List { org, user, json } => {
            let work = async |client: &mut Client| {
                let tenant_id = match &org {
                    Some(org) => Some(users::tenant_of(client, org).await?),
                    None => None,
                };
                let shown = match &user {
                    Some(email) => Shown::Of(users::find(client, email).await.map_err(told)?.id),
                    None => Shown::All,
                };
                let transaction = acts::begin(client, tenant_id.as_deref()).await?;
                list_sessions(&transaction, shown).await.map_err(told)
            };
            with_owner(config, json, work, |sessions| show(sessions)).await
        }
        Action::Revoke { id, json } => {
            let work = async |client: &mut Client| {
                let transaction = acts::begin(client, None).await?;
                let (tenant_id, user_id) = end_session(&transaction, Shown::All, id).await.map_err(told)?;
                let act = Act {
                    tenant_id: Some(&tenant_id),
                    action: "sessions.revoke",
                    target: Some(id.to_string()),
                    details: json!({ "user_id": user_id }),
                };
                acts::note(&transaction, &Actor::of_this_process(), &act).await?;
                transaction.commit().await?;
                Ok(json!({ "id": id, "user_id": user_id, "tenant_id": tenant_id }))
            };
            with_owner(config, json, work, |_| say!("ended {id}; it is refused everywhere from now on")).await
        }
    }
}

fn told(error: PeopleError) -> StorageError {
    match error {
        PeopleError::NotFound(what) => StorageError::fatal(format!("there is no such {what} (tidegate {what}s list)")),
        PeopleError::Storage(error) => error,
        other => StorageError::fatal(format!("sessions were not looked at: {other:?}")),
    }
}

fn show(sessions: &[Session]) {
    print_table(
        ["EMAIL", "TENANT", "STATE", "BEGUN", "LAST USED", "FROM", "ID"],
        sessions.iter().map(|session| {
            let state = match session.revoked_at {
                _ if session.is_active => "active",
                Some(_) => "revoked",
                None => "over",
            };
            [
                session.email.clone(),
                session.tenant_id.clone(),
                state.to_owned(),
                format!("{:.0}", session.created_at),
                format!("{:.0}", session.last_used_at),
                session.address.clone(),
                session.id.to_string(),
            ]
        }),
    );
}
