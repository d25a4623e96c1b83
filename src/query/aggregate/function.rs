//! What the samples of a bucket and group come to: each function as SQL, over the cells of a level or over samples.
//!
//! A cell has what several samples of one series come to. Counts, sums, bounds, averages and deviations follow exactly from
//! cells, whatever they are of; how a counter grew as well, from the first and last value of each cell and what it grew between
//! them. Percentiles and the last value do not follow from cells of several series, and are computed from samples then.

/// Where the numbers come from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Basis {
    Cells,
    Samples,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Aggregate {
    Avg,
    Sum,
    Min,
    Max,
    Count,
    Stddev,
    P50,
    P95,
    P99,
    Last,
    Rate,
    Increase,
    Delta,
}

/// Whether cells tell how a series went on within them: not for types that keep no first and last value.
const ORDERED: &str = "bool_and(last_value IS NOT NULL OR count = summarized_count)";

impl Aggregate {
    pub const ALL: [(&'static str, Self); 13] = [
        ("avg", Self::Avg),
        ("sum", Self::Sum),
        ("min", Self::Min),
        ("max", Self::Max),
        ("count", Self::Count),
        ("stddev", Self::Stddev),
        ("p50", Self::P50),
        ("p95", Self::P95),
        ("p99", Self::P99),
        ("last", Self::Last),
        ("rate", Self::Rate),
        ("increase", Self::Increase),
        ("delta", Self::Delta),
    ];

    pub fn name(self) -> &'static str {
        Self::ALL.into_iter().find(|(_, aggregate)| *aggregate == self).map_or("", |(name, _)| name)
    }

    /// Whether each cell or sample is seen together with the one before it of its series.
    pub(super) fn has_steps(self) -> bool {
        matches!(self, Self::Rate | Self::Increase | Self::Delta)
    }

    /// The columns that it needs, beside time and series.
    pub(super) fn columns(self, basis: Basis) -> &'static str {
        use {Aggregate::*, Basis::*};
        match (self, basis) {
            (Avg | Sum | Count, Cells) => "count, sum_value",
            (Avg | Sum | Count, Samples) => "value_count AS count, value_sum AS sum_value",
            (Min, Cells) => "min_value",
            (Min, Samples) => "coalesce(value_min, value_sum) AS min_value",
            (Max, Cells) => "max_value",
            (Max, Samples) => "coalesce(value_max, value_sum) AS max_value",
            (Stddev, Cells) => {
                "count, sum_value, CASE count WHEN 1 THEN 0 ELSE stddev_value ^ 2 * (count - 1) END AS m2"
            }
            (Stddev, Samples) => {
                "value_count AS count, value_sum AS sum_value, CASE WHEN value_min IS NULL OR value_count = 1 THEN 0 ELSE value_m2 END AS m2"
            }
            (P50, Cells) => "p50_value AS value",
            (P95, Cells) => "p95_value AS value",
            (P99, Cells) => "p99_value AS value",
            (P50 | P95 | P99, Samples) => "CASE WHEN value_min IS NULL THEN value_sum END AS value",
            (Last, Cells) => "count, summarized_count, last_value",
            (Last, Samples) => "batch_id, batch_seq, CASE WHEN value_min IS NULL THEN value_sum END AS last_value",
            (Rate | Increase | Delta, Cells) => "count, summarized_count, first_value, last_value, increase",
            (Rate | Increase | Delta, Samples) => {
                "batch_id, batch_seq, CASE WHEN value_min IS NULL THEN value_sum END AS first_value, \
                 CASE WHEN value_min IS NULL THEN value_sum END AS last_value, 0::double precision AS increase"
            }
        }
    }

    /// What tells cells, or samples, of one series and time apart.
    pub(super) fn order(basis: Basis) -> &'static str {
        match basis {
            Basis::Cells => "at",
            Basis::Samples => "at, batch_id, batch_seq",
        }
    }

    /// Whether the cells of a group and bucket tell it, as SQL; None: always.
    pub(super) fn told(self) -> Option<String> {
        match self {
            Self::Avg | Self::Sum | Self::Min | Self::Max | Self::Count | Self::Stddev => None,
            Self::P50 | Self::P95 | Self::P99 => Some("count(*) = 1".into()),
            Self::Last => {
                Some(format!("{ORDERED} AND count(DISTINCT (asset_id, metric_type, metric_name, series_id)) = 1"))
            }
            Self::Rate | Self::Increase | Self::Delta => Some(ORDERED.into()),
        }
    }

    /// Its value of a group and bucket of `width_s` seconds; None: of a moment.
    pub(super) fn value(self, basis: Basis, width_s: Option<i64>) -> String {
        let percentile = |share: &str| match basis {
            Basis::Cells => "max(value)".to_owned(),
            Basis::Samples => format!("percentile_disc({share}) WITHIN GROUP (ORDER BY value)"),
        };
        match self {
            Self::Avg => "sum(sum_value) / sum(count)::double precision".into(),
            Self::Sum => "sum(sum_value)".into(),
            Self::Min => "min(min_value)".into(),
            Self::Max => "max(max_value)".into(),
            Self::Count => "sum(count)".into(),
            Self::Stddev => "CASE WHEN count(*) = count(m2) THEN \
                 tidegate.stddev_merge(ARRAY[count, sum_value, m2]::double precision[]) FILTER (WHERE m2 IS NOT NULL) END"
                .into(),
            Self::P50 => percentile("0.5"),
            Self::P95 => percentile("0.95"),
            Self::P99 => percentile("0.99"),
            Self::Last => {
                let newest = Self::order(basis).replace(',', " DESC,");
                format!("(array_agg(last_value ORDER BY {newest} DESC) FILTER (WHERE last_value IS NOT NULL))[1]")
            }
            Self::Increase | Self::Delta => "sum(step)".into(),
            Self::Rate => match width_s {
                Some(width_s) => format!("sum(step) / {width_s}"),
                None => "sum(step / nullif(extract(epoch FROM at - before_at)::double precision, 0))".into(),
            },
        }
    }

    /// What a cell adds to what was `before` it in its series. A counter that is less than it was began at zero again.
    pub(super) fn step(self) -> &'static str {
        match self {
            Self::Delta => "last_value - coalesce(before, first_value)",
            _ => {
                "increase + CASE WHEN before IS NULL THEN 0 WHEN first_value < before THEN first_value ELSE first_value - before END"
            }
        }
    }
}

/// By what lines are ranked: what the values of their buckets come to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Rank {
    Avg,
    Sum,
    Min,
    Max,
    Last,
}

impl Rank {
    pub const ALL: [(&'static str, Self); 5] =
        [("avg", Self::Avg), ("sum", Self::Sum), ("min", Self::Min), ("max", Self::Max), ("last", Self::Last)];

    pub(super) fn sql(self) -> &'static str {
        match self {
            Self::Avg => "avg(value)",
            Self::Sum => "sum(value)",
            Self::Min => "min(value)",
            Self::Max => "max(value)",
            Self::Last => "(array_agg(value ORDER BY bucket DESC) FILTER (WHERE value IS NOT NULL))[1]",
        }
    }
}
