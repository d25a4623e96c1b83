//! The line of buckets that a trend or a forecast is computed from: those of one aggregate over all series that are asked for.

use std::borrow::Cow;
use std::time::Duration;

use hyper::StatusCode;
use jiff::Timestamp;

use super::list::problem;
use super::metrics::{bounds, no_series, resolution, series};
use crate::http::Api;
use crate::protocols::params::{Params, invalid};
use crate::protocols::problem::{Problem, ProblemCode};
use crate::query::{Aggregate, AggregateQuery, Aggregated, Listing, PageRequest, Reads, Resolution};
use crate::tenancy::Principal;

/// Which line, by the parameters of a request.
pub struct LineQuery(AggregateQuery);

/// A line as it was read. The turn is held until the answer has its figures.
pub struct Line {
    pub resolution: Option<Cow<'static, str>>,
    /// Buckets with a value, the earliest first.
    pub values: Vec<(Timestamp, f64)>,
    pub reads: Reads,
}

impl LineQuery {
    /// Takes the parameters of the line; without `from` it begins `from_default` before the end.
    pub fn take(params: &mut Params, now: Timestamp, from_default: Duration) -> Result<Self, Problem> {
        let series = series(params)?;
        let resolution = resolution(params)?;
        if resolution == Resolution::Raw {
            return Err(invalid("resolution", "must be a width of buckets, or auto"));
        }
        let aggregate = params.take_one_of("aggregate", &Aggregate::ALL)?.unwrap_or(Aggregate::Avg);
        let (from, to) = bounds(params, now, from_default)?;
        let (group_by, points, fill, top) = (Vec::new(), None, None, None);
        Ok(Self(AggregateQuery { series, aggregate, group_by, resolution, points, fill, top, from, to }))
    }

    /// Reads every bucket there is, none left out; more than `most` are refused, as a `what` (with its article) of them is.
    pub async fn read(self, api: &Api, principal: &Principal, what: &str, most: usize) -> Result<Line, Problem> {
        let Self(query) = self;
        if query.series.metric_names.is_empty() && query.series.asset_ids.is_empty() {
            return Err(no_series());
        }
        let tenant_id = principal.tenant_id.to_string();
        let request = PageRequest { tenant_id, limit: most + 1, cursor: None, streamed: false };
        let reads = api
            .home(&principal.tenant_id)?
            .reads
            .begin(&principal.tenant_id)
            .await
            .map_err(|error| problem(api, error))?;
        let page = query.page(&reads, &request).await.map_err(|error| problem(api, error))?;
        if page.items.len() > most {
            return Err(too_many(what, most));
        }
        let value = |item: &Aggregated| Some((item.bucket, item.value.filter(|value| value.is_finite())?));
        let values = page.items.iter().rev().filter_map(value).collect();
        Ok(Line { resolution: page.resolution, values, reads })
    }
}

pub fn too_many(what: &str, most: usize) -> Problem {
    let detail = format!(
        "{what} is computed from at most {most} buckets, and there are more: narrow from and to, or ask for a coarser resolution"
    );
    Problem::bad_request(ProblemCode::UnboundedQuery, detail)
}

/// What is said of a line that has no point: a name is mistyped more often than a series is young.
pub fn none_at_all(needs: &str, one: &str) -> Problem {
    let detail = format!(
        "a {needs}, and no series that is asked for has {one} with a value from `from` to `to`: \
         GET /v1/metrics/catalog says which there are, and since when; check metric_name, asset_id and the times"
    );
    Problem::new(StatusCode::UNPROCESSABLE_ENTITY, ProblemCode::TooFewPoints, detail)
}
