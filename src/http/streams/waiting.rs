//! Waiting for what comes next in a stream.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::sync::{OwnedSemaphorePermit, watch};

use crate::http::call::Call;
use crate::http::peer::peer_of;
use crate::http::{Api, Readiness};
use crate::limits::{
    CATCH_UP_EVENTS, CATCH_UP_GIVES_WAY, STREAM_FOLLOWERS_PER_TENANT, STREAM_KEY_LOOK, STREAM_LOOK_EVERY,
};
use crate::precedence::Precedence;
use crate::protocols::{Problem, ProblemCode};
use crate::streams::Follower;
use crate::tenancy::{KeyError, Named, Scope, Verifier};

/// A consumer that has many events to catch up on gives way to ingestion. One that follows does not: at the rate at which
/// events come it would fall back further with each wait.
pub struct CatchUp(Precedence);

impl CatchUp {
    pub fn beside(api: &Api) -> Self {
        Self(api.behind_ingestion("consumers", CATCH_UP_GIVES_WAY))
    }

    /// With so many offsets left to the end, after it worked so long.
    pub async fn give_way(&self, left: i64, worked: Duration) {
        if left > CATCH_UP_EVENTS {
            self.0.give_way(worked).await;
        }
    }
}

/// Who waits, for as long as it may.
pub struct Waiting {
    follower: Follower,
    stopping: watch::Receiver<Readiness>,
    verifier: Arc<Verifier>,
    named: Named,
    peer: IpAddr,
}

/// Why waiting ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Waited {
    /// Something may have come.
    Look,
    /// The time is over, and nothing came.
    Enough,
    /// The process stops, or the key or the session is no longer good.
    Over,
}

impl Waiting {
    /// Takes a place among those of the tenant who wait.
    pub fn begin(call: &Call<'_>, stream: &str) -> Result<Self, Problem> {
        let Call { api, principal, parts, .. } = call;
        let follower =
            api.home(&principal.tenant_id)?.arrivals.follow(&principal.tenant_id, stream).ok_or_else(|| {
                Problem::new(
                    hyper::StatusCode::TOO_MANY_REQUESTS,
                    ProblemCode::TooManyFollowers,
                    format!("{STREAM_FOLLOWERS_PER_TENANT} requests of the organization wait for events already"),
                )
                .retry_after(1)
            })?;
        let (stopping, verifier) = (api.readiness.clone(), Arc::clone(&api.verifier));
        Ok(Self { follower, stopping, verifier, named: principal.named(), peer: peer_of(parts) })
    }

    /// To be said before a look at the stream; returns what is to be held meanwhile.
    pub async fn look(&mut self) -> OwnedSemaphorePermit {
        self.follower.look().await
    }

    /// Waits for something to come, no longer than `at_most`.
    pub async fn wait(&mut self, at_most: Duration) -> Waited {
        let begun = Instant::now();
        loop {
            let left = at_most.saturating_sub(begun.elapsed());
            if left.is_zero() {
                return Waited::Enough;
            }
            let woken = tokio::select! {
                woken = self.follower.wait(left.min(STREAM_KEY_LOOK)) => woken,
                _ = self.stopping.wait_for(|state| *state == Readiness::Stopping) => return Waited::Over,
            };
            if !self.is_permitted().await {
                return Waited::Over;
            }
            if woken || begun.elapsed() >= STREAM_LOOK_EVERY {
                return Waited::Look;
            }
        }
    }

    /// Whether the key or the session is still good. While nobody can say, it is.
    pub async fn is_permitted(&self) -> bool {
        match self.verifier.holder(self.named, self.peer).await {
            Ok(principal) => principal.may(Scope::Read) || principal.may(Scope::Consume),
            Err(KeyError::Invalid) => false,
            Err(KeyError::TooMany { .. } | KeyError::Unavailable(_)) => true,
        }
    }

    pub fn is_stopping(&self) -> bool {
        *self.stopping.borrow() == Readiness::Stopping
    }
}
