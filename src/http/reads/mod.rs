//! The reads, one file a resource: parameters in, pages out, as JSON, NDJSON or CSV.

mod accept;
mod correlations;
mod counts;
mod dead_letters;
mod events;
mod forecast;
mod inferred;
mod line;
mod list;
mod metrics;
mod receipts;
mod streams;
mod trend;

pub use accept::best;
pub use correlations::correlations;
pub use counts::counts;
pub use dead_letters::{dead_letter, dead_letters, dead_letters_query, original};
pub use events::{event, events, related};
pub use forecast::forecast;
pub use inferred::{actions, asset, assets, deployments, services};
pub use list::{ListAnswer, ListRequest, gone_problem, problem, window};
pub use metrics::{catalog, metrics};
pub use receipts::receipt;
pub use streams::streams;
pub use trend::trend;

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use serde_json::Value;

    use crate::groups::{Parked, Status};
    use crate::http::operation::OPENAPI;
    use crate::query::{
        Action, Aggregated, Asset, AuditRow, Columns, Correlation, Count, DeadLetter, Deployment, Event, KeyRow,
        OrganizationRow, Point, Related, Sample, Series, Service, Stream,
    };

    #[test]
    fn openapi_describes_exactly_the_columns() {
        let document: Value = serde_json::from_str(OPENAPI).expect("openapi.json is JSON");
        for (name, columns) in [
            ("StoredEvent", Event::names()),
            ("Related", Related::names()),
            ("Sample", Sample::names()),
            ("Point", Point::names()),
            ("Aggregated", Aggregated::names()),
            ("Series", Series::names()),
            ("Correlation", Correlation::names()),
            ("DeadLetter", DeadLetter::names()),
            ("Count", Count::names()),
            ("Stream", Stream::names()),
            ("Group", Status::names()),
            ("Parked", Parked::names()),
            ("Service", Service::names()),
            ("Deployment", Deployment::names()),
            ("Asset", Asset::names()),
            ("Action", Action::names()),
            ("Organization", OrganizationRow::names()),
            ("ApiKey", KeyRow::names()),
            ("Act", AuditRow::names()),
        ] {
            let schema = &document["components"]["schemas"][name];
            let described: BTreeSet<&str> =
                schema["properties"].as_object().expect("properties").keys().map(String::as_str).collect();
            assert_eq!(described, columns.iter().copied().collect(), "{name}");
            let required: Vec<&str> =
                schema["required"].as_array().expect("required").iter().filter_map(Value::as_str).collect();
            // Of counts, what was asked for.
            assert_eq!(required, if name == "Count" { vec!["count"] } else { columns }, "{name}");
        }
    }
}
