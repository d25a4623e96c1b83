//! Lists of inferred tables: services, deployments, assets, actions.

mod actions;
mod assets;
mod deployments;
mod services;
mod similar;

use serde::Serialize;

use super::columns::StoredRow;
use super::error::ReadError;
use super::listing::{Listing, Page, PageRequest};
use super::newest::{Newest, Piece};
use super::place::Order;
use super::reads::Reads;
use super::sql::Sql;
use super::windows::Window;

pub use actions::Action;
pub use assets::{Asset, AssetsQuery};
pub use deployments::Deployment;
pub use services::Service;
pub use similar::{SimilarQuery, SimilarTo};

/// A row that events told of, in a list that is newest first.
pub trait InferredRow: StoredRow + Serialize + Send + 'static {
    /// What is listed, for its cursors.
    const WHAT: &'static str;
    const ORDER: Order;
    /// Names of parameters, which take several values, and their columns.
    const FILTERS: &'static [(&'static str, &'static str)];
    /// What `status` can be.
    const STATUSES: &'static [&'static str];
}

/// Rows that have one of the values of each filter.
#[derive(Debug)]
pub struct InferredQuery<T> {
    filters: Vec<(&'static str, Vec<String>)>,
    /// Of the time by which the list is ordered.
    window: Window,
    of: std::marker::PhantomData<fn() -> T>,
}

impl<T: InferredRow> InferredQuery<T> {
    /// `values` gives those of a filter by the name of its parameter, and by what they can be; None: anything.
    pub fn new<E>(
        window: Window,
        mut values: impl FnMut(&'static str, Option<&'static [&'static str]>) -> Result<Vec<String>, E>,
    ) -> Result<Self, E> {
        let mut filters = Vec::new();
        for (parameter, column) in T::FILTERS {
            let known = (*parameter == "status").then_some(T::STATUSES);
            filters.push((*column, values(parameter, known)?));
        }
        Ok(Self { filters, window, of: std::marker::PhantomData })
    }

    fn push_filters(&self, sql: &mut Sql) {
        for (column, values) in &self.filters {
            sql.push_any_of(column, values);
        }
    }
}

impl<T: InferredRow> Listing for InferredQuery<T> {
    type Item = T;

    async fn page(&self, reads: &Reads, request: &PageRequest) -> Result<Page<T>, ReadError> {
        let what = format!("{} {:?}", T::WHAT, self.filters);
        let list = Newest { what, order: T::ORDER, window: self.window, by_age: false, has_large: false };
        let select = |piece: &Piece| {
            let mut sql = Sql::of_tenant(&T::select(""), &request.tenant_id);
            self.push_filters(&mut sql);
            piece.push(&mut sql);
            sql
        };
        list.page(reads, request, select, T::read).await
    }
}
