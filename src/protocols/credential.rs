//! Where a head may hold an API key.

use hyper::HeaderMap;
use hyper::header::AUTHORIZATION;

use super::problem::Problem;

/// The key of Tidegate's own routes: `Authorization: Bearer`, or `X-API-Key` where there is no Authorization.
pub fn own(headers: &HeaderMap) -> Result<&str, Problem> {
    let key = if headers.contains_key(AUTHORIZATION) {
        of_scheme(headers, "bearer")
    } else {
        headers.get("x-api-key").and_then(|value| value.to_str().ok()).map(str::trim)
    };
    key.ok_or_else(|| Problem::unauthorized("send an API key: `Authorization: Bearer tg_...` or `X-API-Key: tg_...`"))
}

/// What follows this scheme, in any case, in Authorization.
pub fn of_scheme<'a>(headers: &'a HeaderMap, scheme: &str) -> Option<&'a str> {
    let (named, key) = headers.get(AUTHORIZATION)?.to_str().ok()?.split_once(' ')?;
    named.eq_ignore_ascii_case(scheme).then(|| key.trim())
}

#[cfg(test)]
mod tests {
    use hyper::header::{HeaderName, HeaderValue};

    use super::*;

    #[test]
    fn a_key_is_found_in_any_case_and_authorization_counts_first() {
        let own = |fields: &[(&'static str, &'static str)]| {
            let fields = fields.iter().map(|(n, v)| (HeaderName::from_static(n), HeaderValue::from_static(v)));
            own(&HeaderMap::from_iter(fields)).map(str::to_owned).ok()
        };
        assert_eq!(own(&[("authorization", "bEARER  tg_a ")]).as_deref(), Some("tg_a"));
        assert_eq!(own(&[("x-api-key", " tg_b")]).as_deref(), Some("tg_b"));
        assert_eq!(own(&[("authorization", "Basic eDp5"), ("x-api-key", "tg_b")]), None);
        assert_eq!(own(&[("authorization", "tg_a")]), None);
        assert_eq!(own(&[]), None);
    }
}
