//! Somebody signs in, or changes a password with the present one.
//!
//! Whether the address is known or not, the password right or wrong, the user or the organization deactivated: the same work is done
//! before the same answer. What is noted of a failure is noted after it.

use serde_json::json;
use tokio_postgres::Transaction;
use uuid::Uuid;

use super::attempts::Attempt;
use super::email::Email;
use super::error::PeopleError;
use super::password::Password;
use super::users::{self, Change, User};
use super::{People, sessions};
use crate::limits::{SESSION_LIFE, SIGN_IN_FAILURES_NOTED, SIGN_IN_PLACE_KNOWN, USER_AGENT_CHARS_MAX};
use crate::storage::StorageError;
use crate::tenancy::SessionToken;
use crate::tenancy::acts::{self, Act, Actor, Source};
use crate::tenancy::principal::{Person, Role};

const ACCOUNT: &str = include_str!("../../../sql/queries/sign_in_account.sql");
const BEGIN: &str = include_str!("../../../sql/queries/session_begin.sql");

/// What somebody signs in with, and from where.
pub struct SignIn {
    pub email: Email,
    pub password: Password,
    pub from: Source,
    pub user_agent: Option<String>,
}

/// A session just begun; the only time that its token's text exists.
pub struct SignedIn {
    pub token: SessionToken,
    pub tenant_id: String,
    pub person: Person,
}

struct Account {
    user_id: Uuid,
    password_hash: String,
    tenant_id: String,
    role: Role,
    is_active: bool,
}

/// That a password is an account's.
struct Proof {
    account: Account,
    attempt: Attempt,
    /// A hash with the parameters of today, where the password's was made with others.
    renewed: Option<String>,
}

impl People {
    /// Begins a session.
    pub async fn sign_in(&self, sign_in: SignIn) -> Result<SignedIn, PeopleError> {
        let signed_in = self.judge(sign_in).await;
        let outcome = match &signed_in {
            Ok(_) => "signed_in",
            Err(PeopleError::Refused) => "refused",
            Err(PeopleError::TooMany { .. }) => "too_many",
            Err(_) => "failed",
        };
        metrics::counter!("tidegate_sign_ins_total", "outcome" => outcome).increment(1);
        signed_in
    }

    async fn judge(&self, sign_in: SignIn) -> Result<SignedIn, PeopleError> {
        let SignIn { email, password, from, user_agent } = sign_in;
        let Proof { account, attempt, renewed } = self.prove(&email, password, &from).await?;
        let actor = Actor::User { id: account.user_id, email: email.as_str().to_owned(), from: from.clone() };
        let begun = self.act(Some(&account.tenant_id), async |transaction| {
            let begun = begin(transaction, &account, renewed.as_deref(), &from, user_agent.as_deref()).await?;
            attempt.forget(transaction).await?;
            let act = Act {
                tenant_id: Some(&account.tenant_id),
                action: "sessions.create",
                target: Some(begun.0.id.to_string()),
                details: json!({ "email": email.as_str() }),
            };
            acts::note(transaction, &actor, &act).await?;
            Ok(begun)
        });
        let (token, expires_at) = begun.await?;
        let Account { user_id, tenant_id, role, .. } = account;
        let person = Person { user_id, session_id: token.id, email: email.as_str().to_owned(), role, expires_at };
        Ok(SignedIn { token, tenant_id, person })
    }

    /// Gives a person another password, for the present one; ends all sessions.
    pub async fn change_password(
        &self,
        person: &Person,
        from: Source,
        present: Password,
        chosen: Password,
    ) -> Result<User, PeopleError> {
        let Proof { account, attempt, .. } = self.prove(&Email::given(&person.email), present, &from).await?;
        let change = Change { password_hash: Some(self.hash(chosen).await?), ..Change::default() };
        let actor = Actor::User { id: person.user_id, email: person.email.clone(), from };
        self.act(Some(&account.tenant_id), async |transaction| {
            attempt.forget(transaction).await?;
            users::alter(transaction, &actor, person.user_id, &change).await
        })
        .await
    }

    /// Whose account it is, if the password is right and the account is active.
    async fn prove(&self, email: &Email, password: Password, from: &Source) -> Result<Proof, PeopleError> {
        let (account, attempt) = self
            .timed(async |client| {
                let known_s = SIGN_IN_PLACE_KNOWN.as_secs_f64();
                let row = client.query_opt(ACCOUNT, &[&email.as_str(), &from.address, &known_s]).await?;
                let is_known = row.as_ref().is_some_and(|row| row.get(5));
                let attempt = Attempt::begin(&***client, email, from.address, is_known).await?;
                Ok((row.as_ref().map(Account::of).transpose()?, attempt))
            })
            .await?;
        let phc = account.as_ref().map(|account| account.password_hash.clone());
        let verdict = self.hasher.verify(password, phc).await??;
        let Some(account) = account else { return Err(PeopleError::Refused) };
        if verdict.is_right && account.is_active {
            return Ok(Proof { account, attempt, renewed: verdict.renewed });
        }
        if attempt.others < SIGN_IN_FAILURES_NOTED {
            let (people, email, from) = (self.clone(), email.clone(), from.clone());
            tokio::spawn(async move { people.note_refusal(account, &email, verdict.is_right, from).await });
        }
        Err(PeopleError::Refused)
    }

    /// Notes that somebody failed to sign in to an account that there is. Those that there are not are counted alone: anybody could
    /// fill the log with them.
    async fn note_refusal(&self, account: Account, email: &Email, is_right: bool, from: Source) {
        let actor = Actor::User { id: account.user_id, email: email.as_str().to_owned(), from };
        let act = Act {
            tenant_id: Some(&account.tenant_id),
            action: "sessions.refuse",
            target: Some(account.user_id.to_string()),
            details: json!({ "email": email.as_str(), "reason": if is_right { "deactivated" } else { "password" } }),
        };
        let noted = self
            .act(Some(&account.tenant_id), async |transaction| Ok(acts::note(transaction, &actor, &act).await?))
            .await;
        if let Err(error) = noted {
            tracing::warn!(?error, user_id = %account.user_id, "that somebody failed to sign in was not noted");
        }
    }
}

impl Account {
    fn of(row: &tokio_postgres::Row) -> Result<Self, StorageError> {
        Ok(Self {
            user_id: row.get(0),
            password_hash: row.get(1),
            tenant_id: row.get(2),
            role: Role::parse(row.get(3)).map_err(StorageError::fatal)?,
            is_active: row.get(4),
        })
    }
}

/// The token of a new session, and when it ends.
async fn begin(
    transaction: &Transaction<'_>,
    account: &Account,
    renewed: Option<&str>,
    from: &Source,
    user_agent: Option<&str>,
) -> Result<(SessionToken, jiff::Timestamp), PeopleError> {
    let token = SessionToken::generate().map_err(|error| StorageError::fatal(format!("no random bytes: {error}")))?;
    let user_agent: Option<String> = user_agent.map(|text| text.chars().take(USER_AGENT_CHARS_MAX).collect());
    let begun = transaction
        .query_opt(
            BEGIN,
            &[
                &token.id,
                &account.user_id,
                &token.hash().as_slice(),
                &SESSION_LIFE.as_secs_f64(),
                &from.address,
                &user_agent,
                &account.password_hash,
                &renewed,
            ],
        )
        .await?;
    // The password was changed meanwhile, or the user deactivated.
    let expires_at = begun.ok_or(PeopleError::Refused)?.get(0);
    sessions::make_room(transaction, account.user_id).await?;
    Ok((token, expires_at))
}
