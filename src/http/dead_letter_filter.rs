//! Which dead letters are to be replayed, said as a JSON object rather than in the query.

use bytes::Bytes;
use serde::Deserialize;
use serde_json::Number;

use super::groups::body::{self, invalid};
use crate::protocols::{Params, Problem};

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Filter {
    stage: Option<Given>,
    code: Option<Given>,
    outcome: Option<Given>,
    from: Option<Given>,
    to: Option<Given>,
    limit: Option<Given>,
    cursor: Option<Given>,
    dry_run: Option<Given>,
}

/// A value, in whichever form of JSON it is natural.
#[derive(Deserialize)]
#[serde(untagged, expecting = "must be a text, a number, true or false, or a list of texts")]
enum Given {
    Text(String),
    Number(Number),
    Switch(bool),
    Texts(Vec<String>),
}

impl Given {
    /// As a parameter of the query has it, in pieces.
    fn pieces(self) -> Vec<String> {
        match self {
            Self::Text(text) => text.split(',').map(str::to_owned).collect(),
            Self::Number(number) => vec![number.to_string()],
            Self::Switch(on) => vec![on.to_string()],
            Self::Texts(texts) => texts,
        }
    }
}

/// Adds what the body says to the parameters of the query: passed over in silence, it would be a replay of all there is. An empty
/// body says nothing.
pub fn join(params: &mut Params, body: &Bytes) -> Result<(), Problem> {
    let Filter { stage, code, outcome, from, to, limit, cursor, dry_run } = body::read(body)?;
    let named = [
        ("stage", stage),
        ("code", code),
        ("outcome", outcome),
        ("from", from),
        ("to", to),
        ("limit", limit),
        ("cursor", cursor),
        ("dry_run", dry_run),
    ];
    for (name, given) in named {
        let Some(given) = given else { continue };
        let pieces = given.pieces();
        if pieces.iter().any(|piece| piece.contains('\0')) {
            return Err(invalid(format!("`{name}` holds a NUL")));
        }
        if !params.give(name, pieces) {
            return Err(invalid(format!(
                "`{name}` is given in the query as well; one of the two would be passed over"
            )));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use jiff::Timestamp;

    use super::*;

    fn joined(query: &str, body: &'static str) -> Result<Params, Problem> {
        let mut params = Params::parse(Some(query)).expect("a query");
        join(&mut params, &Bytes::from_static(body.as_bytes())).map(|()| params)
    }

    #[test]
    fn a_body_says_what_a_query_does() {
        let body = r#"{"code":["a","b,c"],"stage":"decode,write","from":"-1h","limit":7,"dry_run":true,"to":null}"#;
        let mut params = joined("outcome=none", body).expect("a filter");
        assert_eq!(params.take_list("code").expect("some"), ["a", "b,c"]);
        assert_eq!(params.take_list("stage").expect("some"), ["decode", "write"]);
        assert_eq!(params.take_list("outcome").expect("some"), ["none"]);
        assert_eq!(params.take_count("limit", 10).expect("a number"), Some(7));
        assert_eq!(params.take_switch("dry_run").expect("a switch"), Some(true));
        assert!(params.take_time("from", Timestamp::now()).expect("a time").is_some());
        params.finish().expect("nothing more");
        for nothing in ["", " ", "{}"] {
            joined("", nothing).expect("nothing").finish().expect("nothing");
        }
    }

    #[test]
    fn what_a_body_says_is_never_passed_over() {
        for (query, body, says) in [
            ("code=a", r#"{"code":"a"}"#, "in the query as well"),
            ("", r#"{"cod":"a"}"#, "unknown field `cod`"),
            ("", r#"{"code":"a","code":"b"}"#, "duplicate field `code`"),
            ("", r#"{"code":{"in":["a"]}}"#, "a list of texts"),
            ("", r#"{"code":["a",7]}"#, "a list of texts"),
            ("", r#"{"code":"\u0000"}"#, "a NUL"),
            ("", r#"["a"]"#, "must be a JSON object"),
            ("", "code=a", "not JSON"),
        ] {
            let problem = joined(query, body).expect_err(body);
            assert!(problem.detail().contains(says), "{body}: {}", problem.detail());
        }
        assert!(joined("", r#"{"code":[]}"#).expect("an empty list").take_list("code").is_err());
    }
}
