//! Cursors of another organization are none (404), those of another list or with other filters are refused (400), and so are
//! damaged ones: wherever `openapi.json` says that a cursor is taken. An operation that is new and takes cursors has its line in
//! `CURSORS`, or this fails, and in `LISTS` where they come from; what it names is made in `isolation_things.rs`.

use std::collections::BTreeMap;
use std::fmt::{self, Display, Formatter};

use serde_json::{Value, json};

use crate::client::{Answer, Client};
use crate::described::Described;
use crate::env::{Env, Test, TestResult, until};
use crate::isolation::{NAMED, differ, fill, send};
use crate::isolation_things::{Things, Two, two};
use crate::samples::encode;
use crate::tests;

pub const TESTS: &[Test] = tests!(anothers_cursors_are_none_and_damaged_ones_are_refused);

/// Where a request has a cursor.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum At {
    Query(&'static str),
    Header(&'static str),
    Member(&'static str),
}

impl Display for At {
    fn fmt(&self, to: &mut Formatter<'_>) -> fmt::Result {
        match self {
            Self::Query(name) => write!(to, "?{name}"),
            Self::Header(name) => write!(to, "{name}:"),
            Self::Member(name) => write!(to, ".{name}"),
        }
    }
}

const CURSOR: At = At::Query("cursor");
const OF_BODY: At = At::Member("cursor");

/// An operation that takes cursors of a kind of [`LISTS`].
struct Place {
    operation: &'static str,
    at: At,
    /// What else is in the query, or the body without it.
    rest: &'static str,
    kind: &'static str,
}

const fn place(operation: &'static str, at: At, rest: &'static str, kind: &'static str) -> Place {
    Place { operation, at, rest, kind }
}

const CURSORS: &[Place] = &[
    place("GET /v1/events", CURSOR, "", "events"),
    place("GET /v1/events", At::Query("since"), "", "since"),
    place("GET /v1/events/counts", CURSOR, "&bucket=1h&group_by=event_type", "counts"),
    place("GET /v1/events/{id}/related", CURSOR, "", "related"),
    place("GET /v1/metrics", CURSOR, "&metric_name=latency&resolution=raw", "samples"),
    place("GET /v1/metrics", CURSOR, "&metric_name=latency&resolution=1m", "buckets"),
    place(
        "GET /v1/metrics",
        CURSOR,
        "&metric_name=latency&resolution=1m&aggregate=sum&group_by=asset_id",
        "aggregates",
    ),
    place("GET /v1/metrics/catalog", CURSOR, "", "catalog"),
    place("GET /v1/correlations", CURSOR, "&type=anomaly", "correlations"),
    place("GET /v1/services", CURSOR, "", "services"),
    place("GET /v1/deployments", CURSOR, "", "deployments"),
    place("GET /v1/assets", CURSOR, "", "assets"),
    place("GET /v1/actions", CURSOR, "", "actions"),
    place("GET /v1/dead-letters", CURSOR, "", "letters"),
    place("POST /v1/dead-letters/replay", CURSOR, "&dry_run=1", "replays"),
    place("POST /v1/dead-letters/replay", OF_BODY, r#"{"dry_run":true}"#, "replays"),
    place("GET /v1/users", CURSOR, "", "users"),
    place("GET /v1/sessions", CURSOR, "", "sessions"),
    place("GET /v1/streams", CURSOR, "", "streams"),
    place("GET /v1/streams/{name}/events", CURSOR, "", "log"),
    place("GET /v1/streams/{name}/events", At::Header("Last-Event-ID"), "limit=1&wait=0", "log"),
    place("POST /v1/streams/{name}/groups", At::Member("start"), r#"{"name":"again"}"#, "log"),
    place("GET /v1/streams/{name}/groups/{group}/events", CURSOR, "", "log"),
    place("POST /v1/streams/{name}/groups/{group}/offset", OF_BODY, r#"{"generation":1}"#, "log"),
    place("POST /v1/streams/{name}/groups/{group}/reset", OF_BODY, r#"{"dry_run":true}"#, "log"),
    place("POST /v1/streams/{name}/groups/{group}/reset", At::Member("to"), r#"{"dry_run":true}"#, "log"),
    place("GET /v1/streams/{name}/schemas", CURSOR, "", "versions"),
    place("GET /v1/streams/{name}/groups", CURSOR, "", "groups"),
    place("GET /v1/streams/{name}/groups/{group}/parked", CURSOR, "", "parked"),
    place("GET /v1/organizations", CURSOR, "", "organizations"),
    place("GET /v1/keys", CURSOR, "", "keys"),
    place("GET /v1/audit", CURSOR, "", "acts"),
    place("GET /v1/usage", CURSOR, "", "usage"),
];

/// Where cursors come from: their kind, a path with things in it, and where in the answer. What is empty at first is asked again.
const LISTS: &[(&str, &str, &str)] = &[
    ("events", "/v1/events?limit=1", "next_cursor"),
    ("events of a type", "/v1/events?limit=1&event_type=sample", "next_cursor"),
    ("since", "/v1/events?limit=1", "since"),
    ("counts", "/v1/events/counts?limit=1&bucket=1h&group_by=event_type", "next_cursor"),
    ("related", "/v1/events/{event}/related?limit=1", "next_cursor"),
    ("samples", "/v1/metrics?limit=1&metric_name=latency&resolution=raw", "next_cursor"),
    ("buckets", "/v1/metrics?limit=1&metric_name=latency&resolution=1m", "next_cursor"),
    (
        "aggregates",
        "/v1/metrics?limit=1&metric_name=latency&resolution=1m&aggregate=sum&group_by=asset_id",
        "next_cursor",
    ),
    ("catalog", "/v1/metrics/catalog?limit=1", "next_cursor"),
    ("correlations", "/v1/correlations?limit=1&type=anomaly", "next_cursor"),
    ("services", "/v1/services?limit=1", "next_cursor"),
    ("deployments", "/v1/deployments?limit=1", "next_cursor"),
    ("assets", "/v1/assets?limit=1", "next_cursor"),
    ("actions", "/v1/actions?limit=1", "next_cursor"),
    ("letters", "/v1/dead-letters?limit=1", "next_cursor"),
    ("letters of a stage", "/v1/dead-letters?limit=1&stage=validate", "next_cursor"),
    // What is replayed where nothing is said.
    (
        "replays",
        "/v1/dead-letters?limit=1&stage=decode,validate,package,write,project&outcome=none,failed",
        "next_cursor",
    ),
    ("users", "/v1/users?limit=1", "next_cursor"),
    ("sessions", "/v1/sessions?limit=1", "next_cursor"),
    ("streams", "/v1/streams?limit=1", "next_cursor"),
    ("log", "/v1/streams/{stream}/events?limit=1", "cursor"),
    ("another log", "/v1/streams/{another}/events?limit=1", "cursor"),
    ("versions", "/v1/streams/{stream}/schemas?limit=1", "next_cursor"),
    ("groups", "/v1/streams/{stream}/groups?limit=1", "next_cursor"),
    ("keys", "/v1/keys?limit=1", "next_cursor"),
    ("acts", "/v1/audit?limit=1", "next_cursor"),
    ("parked", "/v1/streams/{stream}/groups/{group}/parked?limit=1", "next_cursor"),
    ("usage", "/v1/usage?limit=1", "next_cursor"),
];

impl Place {
    /// As `CURSORS` has it.
    fn ask(&self, client: &Client, things: &Things, cursor: &str) -> Answer {
        let named = NAMED.iter().find(|one| one.operation == self.operation);
        let values = named.map(|one| one.values(things)).unwrap_or_default();
        let path = fill(self.operation.split_once(' ').unwrap().1, &values);
        let (query, header, body) = match self.at {
            At::Query(name) => (format!("?{name}={}{}", encode(cursor), self.rest), None, String::new()),
            At::Header(name) => (format!("?{}", self.rest), Some((name, cursor)), String::new()),
            At::Member(name) => {
                let mut body: Value = serde_json::from_str(self.rest).unwrap();
                body[name] = json!(cursor);
                (String::new(), None, body.to_string())
            }
        };
        let path = format!("{path}{query}");
        send(client, self.operation, &path, header.as_slice(), &body)
    }
}

/// A cursor of each kind.
fn cursors(client: &Client, things: &Things) -> BTreeMap<&'static str, String> {
    let of = |path: &str, member: &str| {
        let path =
            things.iter().fold(path.to_owned(), |path, (name, value)| path.replace(&format!("{{{name}}}"), value));
        until(&format!("{path} goes on"), || client.get(&path).expect(200)[member].as_str().map(str::to_owned))
    };
    LISTS.iter().map(|(kind, path, member)| (*kind, of(path, member))).collect()
}

/// What is no cursor, though most of it is one.
fn damaged(cursor: &str) -> Vec<String> {
    let flipped = (0..cursor.len()).step_by(7).chain([cursor.len() - 1]).map(|at| {
        let other = if &cursor[at..=at] == "A" { "Q" } else { "A" };
        format!("{}{other}{}", &cursor[..at], &cursor[at + 1..])
    });
    let mut damaged: Vec<String> = flipped.filter(|other| other != cursor).collect();
    damaged.extend([&cursor[1..], &cursor[..cursor.len() - 1], &cursor[..4]].map(str::to_owned));
    damaged.extend([format!("{cursor}="), format!("{cursor}A"), format!("{cursor}{cursor}"), cursor.to_uppercase()]);
    damaged.extend(["x", "null", "%00", "' OR true --", "{}"].map(str::to_owned));
    damaged.push("A".repeat(2000));
    damaged
}

fn anothers_cursors_are_none_and_damaged_ones_are_refused(env: &Env) -> TestResult {
    let Two { tidegate, mine: (mine, own), theirs: (theirs, others) } = two(env);
    let described = Described::by(&tidegate.client);
    let taken = described.operations(&["/"]).into_iter().flat_map(|operation| {
        let queries = described.parameters(&operation, "query").into_iter();
        let queries =
            queries.filter(|name| ["cursor", "since"].contains(&name.as_str())).map(|name| format!("?{name}"));
        let headers = described.parameters(&operation, "header").into_iter();
        let headers = headers.filter(|name| name == "Last-Event-ID").map(|name| format!("{name}:"));
        let members = described.members_of_body(&operation).unwrap_or_default().into_iter();
        let members =
            members.filter(|name| described.member_says(&operation, name).contains("cursor") || name == "cursor");
        let all: Vec<String> = queries.chain(headers).chain(members.map(|name| format!(".{name}"))).collect();
        all.into_iter().map(move |at| format!("{operation} {at}"))
    });
    let missing = differ(taken, CURSORS.iter().map(|one| format!("{} {}", one.operation, one.at)));
    assert_eq!(missing, Vec::<String>::new(), "each has a line in CURSORS");

    // What was sent today is a day; a list goes on from two.
    env.sql().run(
        "INSERT INTO usage_days (tenant_id, day, requests, events, samples, rejected, bytes) \
         SELECT tenant_id, (now() AT TIME ZONE 'UTC')::date - n, 1, 1, 0, 0, 9 FROM organizations, generate_series(1, 2) n",
    );
    let (of_mine, of_theirs) = (cursors(&mine, &own), cursors(&theirs, &others));
    for place in CURSORS {
        let shown = format!("{} {}", place.operation, place.at);
        // Where a body says `earliest`, a time or a cursor, what is none of them is wrong with the body.
        let refused = |cursor: &str, what: &str| {
            let answer = place.ask(&mine, &own, cursor);
            assert_eq!(answer.status, 400, "{shown}, {what} {cursor}: {answer:?}");
            let code = answer.json()["code"].clone();
            assert!(code == "invalid_parameter" || code == "invalid_body", "{shown}, {what} {cursor}: {answer:?}");
        };
        for kind in [place.kind, "log"] {
            // An admin sees one organization, which no cursor follows.
            let Some(theirs) = of_theirs.get(kind) else {
                assert_eq!(kind, "organizations");
                continue;
            };
            let answer = place.ask(&mine, &own, theirs);
            assert_eq!(answer.status, 404, "{shown}, theirs of {kind}: {answer:?}");
            answer.problem(404, "not_found");
        }
        for (kind, cursor) in of_mine.iter().filter(|(kind, _)| **kind != place.kind) {
            refused(cursor, kind);
        }
        let (mine_of_it, theirs_of_it) = (of_mine.get(place.kind), of_theirs.get(place.kind));
        let damaged = mine_of_it.into_iter().flat_map(|cursor| damaged(cursor));
        for cursor in damaged.chain(theirs_of_it.and_then(|cursor| self::damaged(cursor).into_iter().next())) {
            let cursor = &cursor;
            refused(cursor, "damaged");
        }
        let Some(cursor) = mine_of_it else { continue };
        let answer = place.ask(&mine, &own, cursor);
        assert!(matches!(answer.status, 200 | 201), "{shown}, as it came: {answer:?}");
    }
    Ok(())
}
