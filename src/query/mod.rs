//! Reads: one file a resource, every query scoped by the tenant of the key, every value a bound parameter.
//!
//! A list is a row declared with its columns ([`Columns`]), a query that is a [`Listing`], and nothing else: pages,
//! streams and CSV follow from these. Pages are made by keyset, so that page 1,000 costs what page 1 costs, and a
//! cursor stays right while events arrive. Those of counts are made by offset: no key of theirs stays.

mod aggregate;
mod catalog;
mod cells;
mod columns;
mod control;
mod correlations;
mod counts;
mod cursor;
mod dead_letters;
mod error;
mod event;
mod events;
mod filter;
mod fresh;
mod inferred;
mod levels;
mod listing;
mod log;
mod lookup;
mod metadata;
mod metrics;
mod newest;
mod pace;
mod payload;
mod place;
mod portal;
mod queue;
mod readers;
mod reads;
mod receipts;
mod related;
mod samples;
mod search;
mod series;
mod slices;
mod sql;
mod steps;
mod timeline;
mod turns;
mod unordered;
mod windows;

pub use aggregate::{Aggregate, AggregateQuery, Aggregated, Fill, GroupBy, Rank};
pub use catalog::{CatalogQuery, Series};
pub(crate) use columns::columns;
pub use columns::{Cells, Columns};
pub use control::{
    AuditQuery, AuditRow, Confined, KeyRow, KeysQuery, OrganizationRow, OrganizationsQuery, SessionRow, SessionsQuery,
    UsageQuery, UsageRow, UserRow, UsersQuery,
};
pub use correlations::{Correlation, CorrelationsQuery};
pub use counts::{Count, CountsQuery};
pub use cursor::{CursorError, CursorScope};
pub use dead_letters::{DeadLetter, DeadLettersQuery, OUTCOMES, PARKED_STAGE, PROJECTED_STAGE, STAGES};
pub use error::{Busy, Gone, ReadError, WhyGone};
pub use event::Event;
pub use events::EventsQuery;
pub use filter::{Filter, FilterField};
pub use inferred::{
    Action, Asset, AssetsQuery, Deployment, InferredQuery, InferredRow, Service, SimilarQuery, SimilarTo,
};
pub use levels::Resolution;
pub use listing::{Found, Listing, Page, PageRequest, Pass};
pub use log::{
    LogPage, LogState, LoggedBatch, LoggedEvent, OrderedBy, PageLimit, Position, SLOTS, Start, Stream, StreamsQuery,
    Stretch, Wanted, stream_cursors,
};
pub use lookup::EventName;
pub use metrics::{Point, PointsQuery};
pub use payload::{Comparison, PathFilter, PathTest, is_number};
pub use place::Direction;
pub use readers::{Readers, ReadersInUse};
pub use reads::{Explained, FoundRows, Reads};
pub use receipts::Receipt;
pub use related::{Related, RelatedBy, RelatedQuery};
pub use samples::{Sample, SamplesQuery};
pub use search::Words;
pub use series::{DimensionsFilter, Pattern, SeriesFilter};
pub use windows::Window;
