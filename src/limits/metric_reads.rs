//! Limits of reading metrics.

use super::PAGE_ROWS_MAX;

/// Points of a page of metrics when the reader names none: what `resolution=auto` gives of one series.
pub const POINTS_DEFAULT: usize = 1000;
/// Points of a series that `resolution=auto` gives at most: more than a screen has pixels for.
pub const POINTS_AUTO_MAX: i64 = 1000;
/// Buckets of a series that a question may span: 34 days of minutes. More is an export of a coarser level.
pub const BUCKETS_MAX: i64 = 50_000;
/// Sets of dimensions that a question may be about: their ids go into its query.
pub const DIMENSION_SETS_MAX: usize = 10_000;
/// Values of an aggregated answer, all of its pages together, each of which computes it again.
pub const AGGREGATED_ROWS_MAX: usize = 100_000;
/// Samples that an aggregate is computed from where no rollup tells it: about two seconds of work.
pub const AGGREGATED_SAMPLES_MAX: usize = 2_000_000;
/// How far before the first bucket a series' newest value is looked for, in buckets of the level: what a counter has grown
/// since then counts to the first bucket.
pub const LOOK_BACK_BUCKETS: i64 = 60;
/// Lines that may be asked for by rank.
pub const TOP_MAX: usize = 1000;
/// Pieces of a range that are computed from rows because a rollup is not up to date there; closer ones are joined.
pub const STALE_PIECES_MAX: usize = 8;

/// Points that a trend is computed from: it looks at each pair of them, 4 MB of slopes for so many.
pub const TREND_POINTS_MAX: usize = 1000;
/// Buckets that a forecast is computed from: smoothing is fitted to them some dozens of times.
pub const FORECAST_POINTS_MAX: usize = 5000;
/// Buckets that are forecast: a day of minutes.
pub const FORECAST_HORIZON_MAX: usize = 1440;

const _: () = assert!(POINTS_DEFAULT <= PAGE_ROWS_MAX && POINTS_AUTO_MAX <= BUCKETS_MAX);
const _: () = assert!(TREND_POINTS_MAX < PAGE_ROWS_MAX && POINTS_AUTO_MAX.unsigned_abs() <= TREND_POINTS_MAX as u64);
const _: () =
    assert!(FORECAST_POINTS_MAX < PAGE_ROWS_MAX && POINTS_AUTO_MAX.unsigned_abs() <= FORECAST_POINTS_MAX as u64);
