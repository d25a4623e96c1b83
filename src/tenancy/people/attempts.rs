//! How many attempts to sign in may fail: counted in the database, so that all nodes count together.
//!
//! An attempt counts from before the password is looked at until it has turned out right, so that a thousand at once are no more than
//! one after the other. Three limits: one account from one address, one address whatever accounts, one account whatever addresses. The last
//! is not asked where the account has signed in lately from the address: an attacker with many addresses can use it up, but locks nobody
//! out of a place that is known. An attempt that is refused does not count, so that waiting helps.

use std::net::IpAddr;

use tokio_postgres::GenericClient;

use super::email::Email;
use super::error::PeopleError;
use crate::limits::{
    SIGN_IN_ATTEMPTS_MAX, SIGN_IN_FAILURES_PER_ACCOUNT, SIGN_IN_FAILURES_PER_ADDRESS, SIGN_IN_FAILURES_PER_PAIR,
    SIGN_IN_WINDOW,
};
use crate::tenancy::source_of;

const BEGIN: &str = include_str!("../../../sql/queries/sign_in_begin.sql");
const WAITS: &str = include_str!("../../../sql/queries/sign_in_waits.sql");

/// An attempt under way.
pub struct Attempt {
    id: i64,
    account: [u8; 32],
    source: IpAddr,
    /// How many of the account have failed in the window, or are under way, but for this one.
    pub others: i64,
}

impl Attempt {
    /// Counts an attempt, unless too many have failed. `is_known`: from this address the account has signed in lately.
    pub async fn begin(
        client: &impl GenericClient,
        email: &Email,
        address: IpAddr,
        is_known: bool,
    ) -> Result<Self, PeopleError> {
        let (account, source) = (email.account(), source_of(address));
        let window_s = SIGN_IN_WINDOW.as_secs_f64();
        let row = client.query_one(BEGIN, &[&account.as_slice(), &source, &window_s, &SIGN_IN_ATTEMPTS_MAX]).await?;
        let id: i64 = row.get(0);
        let limits = [SIGN_IN_FAILURES_PER_PAIR, SIGN_IN_FAILURES_PER_ADDRESS, SIGN_IN_FAILURES_PER_ACCOUNT];
        let [of_pair, of_address, of_account] = limits;
        let row = client
            .query_one(WAITS, &[&id, &account.as_slice(), &source, &window_s, &of_pair, &of_address, &of_account])
            .await?;
        let (pair, everybody, all): (Option<f64>, Option<f64>, Option<f64>) = (row.get(0), row.get(1), row.get(2));
        let waits = [pair, everybody, all.filter(|_| !is_known)];
        let attempt = Self { id, account, source, others: row.get(3) };
        let Some(wait_s) = waits.into_iter().flatten().reduce(f64::max) else { return Ok(attempt) };
        client.execute("DELETE FROM sign_in_attempts WHERE id = $1", &[&attempt.id]).await?;
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "within the window")]
        let retry_after_s = wait_s.ceil().clamp(1.0, window_s) as u32;
        Err(PeopleError::TooMany { retry_after_s })
    }

    /// It has turned out right: those before it from the same address were slips.
    pub async fn forget(&self, client: &impl GenericClient) -> Result<(), PeopleError> {
        let forget = "DELETE FROM sign_in_attempts WHERE account = $1 AND address = $2";
        client.execute(forget, &[&self.account.as_slice(), &self.source]).await?;
        Ok(())
    }
}
