//! GET /v1/events.

use std::sync::Arc;

use jiff::Timestamp;

use super::columns::StoredRow;
use super::cursor::CursorScope;
use super::error::ReadError;
use super::event::Event;
use super::filter::Filter;
use super::listing::{Found, Listing, Page, PageRequest, Pass};
use super::place::{Direction, Order, RowKey, before_all_at};
use super::readers::Readers;
use super::reads::Reads;
use super::slices::Slices;
use super::timeline::{Places, Timeline};
use super::unordered::Unordered;
use super::windows::Window;

#[derive(Debug, Clone)]
pub struct EventsQuery {
    pub filter: Filter,
    pub window: Window,
    pub direction: Direction,
    /// Else as the database finds them, which only a stream may be.
    pub ordered: bool,
    /// `since` of an earlier page: what comes behind it, oldest first.
    pub since: Option<String>,
}

impl Listing for EventsQuery {
    type Item = Event;

    async fn page(&self, reads: &Reads, request: &PageRequest) -> Result<Page<Event>, ReadError> {
        let (scope, passed) = request.start::<RowKey>(&self.what())?;
        let after = passed.or(self.since(&request.tenant_id)?);
        let timeline = self.timeline(&request.tenant_id);
        let Places { mut keys, cut, stopped } = timeline.places(reads, &self.window, after, request.limit + 1).await?;
        let more = cut || keys.len() > request.limit;
        keys.truncate(request.limit);
        let mut found = timeline.rows(reads, &keys).await?;
        found.cut |= more;
        reads.with_large(&mut found, Order::Written, request, |at, place| timeline.whole(at, place)).await?;
        let place = |row: &_| Order::Written.place(row);
        let mut page = Page::of(found, request.limit, Event::read, |last| Ok(scope.encode(&place(last)?)))?;
        if let (None, Some(at)) = (&page.next_cursor, stopped) {
            page.next_cursor = Some(scope.encode(&before_all_at(at)));
            page.searched_to = Some(at);
        }
        let newest = match self.direction {
            Direction::NewestFirst if passed.is_none() => keys.first().copied(),
            Direction::OldestFirst if page.next_cursor.is_none() => keys.last().copied().or(after),
            _ => return Ok(page),
        };
        // Where there is nothing yet, all that comes is new.
        let start =
            if stopped.is_some() { Timestamp::now() } else { self.window.from.unwrap_or(Timestamp::UNIX_EPOCH) };
        page.since = Some(self.since_scope(&request.tenant_id).encode(&newest.unwrap_or(before_all_at(start))));
        Ok(page)
    }

    fn pass(
        self,
        readers: Readers,
        tenant_id: Arc<str>,
        request: PageRequest,
        rows: usize,
    ) -> Result<impl Pass<Item = Event>, ReadError> {
        if !self.ordered {
            let unordered = Unordered::new(readers, tenant_id, self.filter, self.window, rows);
            return Ok(EventsPass::Unordered(Box::new(unordered)));
        }
        let (_, passed) = request.start::<RowKey>(&self.what())?;
        let after = passed.or(self.since(&tenant_id)?);
        let slices = Slices::new(readers, tenant_id, self.filter, self.direction, self.window, after, rows);
        Ok(EventsPass::Ordered(Box::new(slices)))
    }
}

/// The way through events.
enum EventsPass {
    Ordered(Box<Slices>),
    Unordered(Box<Unordered>),
}

impl Pass for EventsPass {
    type Item = Event;

    async fn next(&mut self) -> Result<Option<Found<Event>>, ReadError> {
        match self {
            Self::Ordered(slices) => slices.next().await,
            Self::Unordered(unordered) => unordered.next().await,
        }
    }

    async fn pause(&mut self) {
        match self {
            Self::Ordered(slices) => slices.pause().await,
            Self::Unordered(unordered) => unordered.pause().await,
        }
    }
}

impl EventsQuery {
    pub(super) fn timeline<'a>(&'a self, tenant_id: &'a str) -> Timeline<'a> {
        Timeline { tenant_id, filter: &self.filter, direction: self.direction }
    }

    /// What is listed, for its cursors.
    pub(super) fn what(&self) -> String {
        format!("events {:?} {}", self.direction, self.filter.describe())
    }

    /// Of the newest place that a reader has seen, in either direction.
    fn since_scope(&self, tenant_id: &str) -> CursorScope {
        CursorScope::new(tenant_id, &format!("events since {}", self.filter.describe()))
    }

    /// The place that was asked for as `since`.
    pub(super) fn since(&self, tenant_id: &str) -> Result<Option<RowKey>, ReadError> {
        let Some(since) = &self.since else { return Ok(None) };
        let behind = self.since_scope(tenant_id).decode(since);
        behind.map(Some).map_err(|error| ReadError::Cursor { parameter: "since", error })
    }
}
