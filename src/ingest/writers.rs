//! The writers of all homes, for who writes what is of several: the drain.

use std::sync::Arc;

use super::health::Health;
use super::submission::Submission;
use super::writer::Writer;
use crate::storage;

pub struct Writers {
    /// By the numbers of the homes.
    pub writers: Vec<Arc<Writer>>,
    pub places: storage::Homes,
}

impl Writers {
    pub fn number(&self, submission: &Submission) -> usize {
        self.places.of(&submission.received.tenant_id)
    }

    pub fn writer(&self, submission: &Submission) -> &Arc<Writer> {
        &self.writers[self.number(submission)]
    }

    pub fn is_there(&self, submission: &Submission) -> bool {
        *self.writer(submission).shelter.health().borrow() == Health::Available
    }

    /// Waits until a home is there.
    pub async fn one_is_there(&self) {
        let there = self.writers.iter().map(|writer| {
            let mut health = writer.shelter.health();
            Box::pin(async move {
                // The shelters live as long as this.
                let _ = health.wait_for(|health| *health == Health::Available).await;
            })
        });
        futures_util::future::select_all(there).await;
    }
}
