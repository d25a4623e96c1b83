//! GET /v1/actions?similar_to=: the actions whose embeddings point most nearly where a given one does.
//!
//! All embeddings of the tenant that pass the filters are compared, so that the answer is exact. Where they are pgvector's the
//! database compares; it has no operator for arrays, which are read and compared here.

use std::collections::{BinaryHeap, HashMap};

use serde::Serialize;
use tokio_postgres::Row;

use super::{Action, InferredQuery};
use crate::query::columns::StoredRow;
use crate::query::error::ReadError;
use crate::query::listing::{Listing, Page, PageRequest};
use crate::query::reads::Reads;
use crate::query::sql::Sql;

/// What others are compared with.
#[derive(Debug, Clone, Serialize)]
pub enum SimilarTo {
    /// The action of this name; it is not among those that are found.
    Action(String),
    Embedding(Vec<f32>),
}

/// The nearest first; one page, as long as is asked for.
#[derive(Debug)]
pub struct SimilarQuery {
    pub to: SimilarTo,
    pub among: InferredQuery<Action>,
}

/// How near an action is. The greatest of a heap is the one that is given up first.
#[derive(Debug, Clone, Copy, PartialEq)]
struct Near {
    distance: f64,
    id: i64,
}

impl Eq for Near {}

impl Ord for Near {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        self.distance.total_cmp(&other.distance).then(self.id.cmp(&other.id))
    }
}

impl PartialOrd for Near {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl Listing for SimilarQuery {
    type Item = Action;

    async fn page(&self, reads: &Reads, request: &PageRequest) -> Result<Page<Action>, ReadError> {
        let tenant_id = &request.tenant_id;
        let (direction, itself) = match &self.to {
            SimilarTo::Embedding(direction) => (direction.clone(), None),
            SimilarTo::Action(action_id) => {
                let (id, direction) = reads.embedding_of(tenant_id, action_id).await?;
                (direction, Some(id))
            }
        };
        let direction = unit(&direction);
        let near = if reads.has_vectors().await? {
            self.by_database(reads, request, &direction, itself).await?
        } else {
            self.by_hand(reads, request, &direction, itself).await?
        };
        let mut sql = Sql::of_tenant(&Action::select(""), tenant_id);
        sql.push_any_of("id", &near.iter().map(|one| one.id).collect::<Vec<_>>());
        let found = if near.is_empty() { Vec::new() } else { reads.rows(&sql).await?.rows };
        let places: HashMap<i64, (usize, f64)> =
            near.iter().enumerate().map(|(place, one)| (one.id, (place, one.distance))).collect();
        let mut actions: Vec<Action> = found.iter().map(Action::read).collect::<Result<_, _>>()?;
        actions.sort_by_key(|action| places.get(&action.id).map(|(place, _)| *place));
        for action in &mut actions {
            action.distance = places.get(&action.id).map(|(_, distance)| *distance);
        }
        Ok(Page::new(actions, None))
    }
}

impl SimilarQuery {
    fn push_among(&self, sql: &mut Sql, itself: Option<i64>) {
        self.among.push_filters(sql);
        sql.push(" AND has_embedding");
        sql.push_within("action_timestamp", &self.among.window);
        if let Some(id) = itself {
            sql.push(" AND id <> ").bind(id);
        }
    }

    async fn by_database(
        &self,
        reads: &Reads,
        request: &PageRequest,
        direction: &[f32],
        itself: Option<i64>,
    ) -> Result<Vec<Near>, ReadError> {
        let mut sql = Sql::new("SELECT id, embedding <=> ");
        sql.bind(direction.to_vec()).push("::real[]::vector AS distance");
        sql.push_of_tenant(" FROM actions", &request.tenant_id);
        self.push_among(&mut sql, itself);
        sql.push(" ORDER BY distance, id").push_limit(request.limit);
        let rows = reads.rows(&sql).await?.rows;
        rows.iter().map(|row| Ok(Near { id: row.try_get(0)?, distance: row.try_get(1)? })).collect()
    }

    async fn by_hand(
        &self,
        reads: &Reads,
        request: &PageRequest,
        direction: &[f32],
        itself: Option<i64>,
    ) -> Result<Vec<Near>, ReadError> {
        let mut sql = Sql::of_tenant("SELECT id, embedding FROM actions", &request.tenant_id);
        self.push_among(&mut sql, itself);
        let (norm, mut nearest) = (norm(direction), BinaryHeap::new());
        let mut take = |row: Row| -> Result<bool, ReadError> {
            let embedding: Vec<f32> = row.try_get(1)?;
            nearest.push(Near { id: row.try_get(0)?, distance: distance(direction, norm, &embedding) });
            if nearest.len() > request.limit {
                nearest.pop();
            }
            Ok(false)
        };
        reads.each_row(&sql, &mut take).await?;
        Ok(nearest.into_sorted_vec())
    }
}

impl Reads {
    /// Whether embeddings are pgvector's.
    async fn has_vectors(&self) -> Result<bool, ReadError> {
        let sql = "SELECT atttypid::regtype::text = 'vector' FROM pg_attribute \
                   WHERE attrelid = 'tidegate.resource_action_traces'::regclass AND attname = 'embedding'";
        let rows = self.rows(&Sql::new(sql)).await?.rows;
        rows.first().map_or(Ok(false), |row| Ok(row.try_get(0)?))
    }

    async fn embedding_of(&self, tenant_id: &str, action_id: &str) -> Result<(i64, Vec<f32>), ReadError> {
        let mut sql = Sql::of_tenant("SELECT id, embedding::real[] FROM resource_action_traces", tenant_id);
        sql.push(" AND action_id = ").bind(action_id.to_owned()).push(" AND embedding IS NOT NULL");
        let rows = self.rows(&sql).await?.rows;
        let row = rows.first().ok_or(ReadError::NotFound("action with an embedding"))?;
        Ok((row.try_get(0)?, row.try_get(1)?))
    }
}

fn norm(vector: &[f32]) -> f64 {
    dot(vector, vector).sqrt()
}

/// The same direction, 1 long: in single precision, in which pgvector computes, a sum of squares may be too large or too small.
#[expect(clippy::cast_possible_truncation, reason = "no number is over 1")]
fn unit(direction: &[f32]) -> Vec<f32> {
    let norm = norm(direction);
    direction.iter().map(|number| (f64::from(*number) / norm) as f32).collect()
}

/// One less the cosine of the angle between two vectors.
fn distance(direction: &[f32], norm_of_it: f64, other: &[f32]) -> f64 {
    1.0 - (dot(direction, other) / (norm_of_it * norm(other))).clamp(-1.0, 1.0)
}

/// In several sums side by side, so that they do not wait for each other.
fn dot(one: &[f32], other: &[f32]) -> f64 {
    const LANES: usize = 8;
    let mut sums = [0.0; LANES];
    for (one, other) in one.chunks(LANES).zip(other.chunks(LANES)) {
        for (sum, (a, b)) in sums.iter_mut().zip(one.iter().zip(other)) {
            *sum += f64::from(*a) * f64::from(*b);
        }
    }
    sums.iter().sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn distance_is_that_of_directions() {
        let along = |x: f32, y: f32| vec![x, y, 0.0];
        let one = along(1.0, 0.0);
        let to = |other: &[f32]| distance(&one, norm(&one), other);
        assert!(to(&along(7.0, 0.0)).abs() < 1e-12);
        assert!((to(&along(0.0, 3.0)) - 1.0).abs() < 1e-12);
        assert!((to(&along(-2.0, 0.0)) - 2.0).abs() < 1e-12);
        assert!((to(&along(1.0, 1.0)) - (1.0 - 0.5f64.sqrt())).abs() < 1e-7);
        for far in [1e30, 1e-30] {
            let unit = unit(&along(far, far));
            assert!((norm(&unit) - 1.0).abs() < 1e-6 && (unit[0] - unit[1]).abs() < 1e-6, "{unit:?}");
        }
    }
}
