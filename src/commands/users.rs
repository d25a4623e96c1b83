//! `tidegate users create|list|role|password|deactivate|activate`.

use clap::Subcommand;
use serde::Serialize;
use tokio_postgres::Client;

use super::database::with_owner;
use super::output::{Exit, print_table, say};
use crate::config::Config;
use crate::storage::StorageError;
use crate::tenancy::Role;
use crate::tenancy::acts::{self, Actor};
use crate::tenancy::people::{Change, Email, Password, PeopleError, User, hashed, users};

/// Manage people who may sign in
#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(subcommand)]
    action: Action,
}

#[derive(Debug, Subcommand)]
enum Action {
    /// Make a user; a password that is not given is made, and printed once
    Create {
        /// The e-mail address to sign in with
        #[arg(value_parser = Email::parse)]
        email: Email,
        /// The organization, by slug, name or id
        #[arg(long)]
        org: String,
        /// admin: reads, consumes, and manages the organization; viewer: reads
        #[arg(long, value_parser = Role::parse)]
        role: Role,
        /// Read the password from standard input, one line
        #[arg(long)]
        password_stdin: bool,
        /// Print JSON
        #[arg(long)]
        json: bool,
    },
    /// List users
    List {
        /// Only of this organization
        #[arg(long)]
        org: Option<String>,
        /// Print JSON
        #[arg(long)]
        json: bool,
    },
    /// Change what a user may do, with the next request
    Role {
        /// The e-mail address
        #[arg(value_parser = Email::parse)]
        email: Email,
        /// admin or viewer
        #[arg(value_parser = Role::parse)]
        role: Role,
        /// Print JSON
        #[arg(long)]
        json: bool,
    },
    /// Set a user's password, which ends all sessions; one that is not given is made, and printed once
    Password {
        /// The e-mail address
        #[arg(value_parser = Email::parse)]
        email: Email,
        /// Read the password from standard input, one line
        #[arg(long)]
        password_stdin: bool,
        /// Print JSON
        #[arg(long)]
        json: bool,
    },
    /// Deactivate a user, which ends all sessions
    Deactivate {
        /// The e-mail address
        #[arg(value_parser = Email::parse)]
        email: Email,
        /// Print JSON
        #[arg(long)]
        json: bool,
    },
    /// Activate a user again
    Activate {
        /// The e-mail address
        #[arg(value_parser = Email::parse)]
        email: Email,
        /// Print JSON
        #[arg(long)]
        json: bool,
    },
}

/// A user, and the password where it was made here; the only time that its text exists.
#[derive(Serialize)]
struct Made {
    #[serde(flatten)]
    user: User,
    #[serde(skip_serializing_if = "Option::is_none")]
    password: Option<String>,
}

pub async fn run(config: &Config, Args { action }: Args) -> Exit {
    match action {
        Action::Create { email, org, role, password_stdin, json } => {
            let work = async |client: &mut Client| {
                let tenant_id = users::tenant_of(client, &org).await?;
                let (hash, made) = chosen(&email, password_stdin)?;
                let user = act(client, async |transaction| {
                    users::create(transaction, &Actor::of_this_process(), &tenant_id, &email, role, &hash).await
                });
                Ok(Made { user: user.await?, password: made })
            };
            with_owner(config, json, work, show_made).await
        }
        Action::List { org, json } => {
            let work = async |client: &mut Client| {
                let tenant_id = match &org {
                    Some(org) => Some(users::tenant_of(client, org).await?),
                    None => None,
                };
                users::list(client, tenant_id.as_deref()).await.map_err(told)
            };
            with_owner(config, json, work, |users| show(users)).await
        }
        Action::Role { email, role, json } => {
            let change = Change { role: Some(role), ..Change::default() };
            alter(config, json, &email, change, |user| say!("{} is {} now", user.email, user.role)).await
        }
        Action::Password { email, password_stdin, json } => {
            let work = async |client: &mut Client| {
                let (hash, made) = chosen(&email, password_stdin)?;
                let change = Change { password_hash: Some(hash), ..Change::default() };
                Ok(Made { user: altered(client, &email, &change).await?, password: made })
            };
            with_owner(config, json, work, show_made).await
        }
        Action::Deactivate { email, json } => {
            let change = Change { is_active: Some(false), ..Change::default() };
            alter(config, json, &email, change, |user| say!("{} is deactivated; all sessions have ended", user.email))
                .await
        }
        Action::Activate { email, json } => {
            let change = Change { is_active: Some(true), ..Change::default() };
            alter(config, json, &email, change, |user| say!("{} may sign in", user.email)).await
        }
    }
}

async fn alter(config: &Config, json: bool, email: &Email, change: Change, show: impl FnOnce(&User)) -> Exit {
    with_owner(config, json, async |client| altered(client, email, &change).await, show).await
}

async fn altered(client: &mut Client, email: &Email, change: &Change) -> Result<User, StorageError> {
    act(client, async |transaction| {
        let user = users::find(transaction, email).await?;
        users::alter(transaction, &Actor::of_this_process(), user.id, change).await
    })
    .await
}

/// Does something in a transaction, and commits it unless it fails.
async fn act<T>(
    client: &mut Client,
    work: impl AsyncFnOnce(&tokio_postgres::Transaction<'_>) -> Result<T, PeopleError>,
) -> Result<T, StorageError> {
    let transaction = acts::begin(client, None).await?;
    let done = work(&transaction).await.map_err(told)?;
    transaction.commit().await?;
    Ok(done)
}

fn told(error: PeopleError) -> StorageError {
    match error {
        PeopleError::NotFound(what) => StorageError::fatal(format!("there is no such {what} (tidegate users list)")),
        PeopleError::Exists => StorageError::fatal("somebody has this e-mail address already (tidegate users list)"),
        PeopleError::Full => StorageError::fatal("the organization has as many users as one may have"),
        PeopleError::Inactive => StorageError::fatal("the organization is deactivated (tidegate orgs activate)"),
        PeopleError::Storage(error) => error,
        PeopleError::Refused | PeopleError::TooMany { .. } | PeopleError::Busy => {
            StorageError::fatal("this is of signing in, and no command does that")
        }
    }
}

/// The hash of the password that is given, or of one that is made here, which is returned as well.
fn chosen(email: &Email, from_stdin: bool) -> Result<(String, Option<String>), StorageError> {
    if !from_stdin {
        let made = Password::generate()?;
        return Ok((hashed(&made)?, Some(made.reveal().to_owned())));
    }
    let mut line = String::new();
    std::io::stdin()
        .read_line(&mut line)
        .map_err(|error| StorageError::fatal(format!("standard input cannot be read: {error}")))?;
    let text = line.strip_suffix('\n').unwrap_or(&line);
    let text = text.strip_suffix('\r').unwrap_or(text).to_owned();
    let password = Password::chosen(text, email.as_str())
        .map_err(|what| StorageError::fatal(format!("the password {what} (--password-stdin reads one line)")))?;
    Ok((hashed(&password)?, None))
}

fn show_made(made: &Made) {
    say!("id        {}", made.user.id);
    say!("email     {}", made.user.email);
    say!("role      {} of {}", made.user.role, made.user.tenant_id);
    if let Some(password) = &made.password {
        say!("password  {password}   (shown this once)");
    }
}

fn show(users: &[User]) {
    print_table(
        ["EMAIL", "TENANT", "ROLE", "STATE", "LAST SIGN-IN", "ID"],
        users.iter().map(|user| {
            let state = if user.is_active { "active" } else { "deactivated" };
            let last = user.last_login_at.map_or_else(|| "-".to_owned(), |at| format!("{at:.0}"));
            [user.email.clone(), user.tenant_id.clone(), user.role.clone(), state.to_owned(), last, user.id.to_string()]
        }),
    );
}
