//! Where a head may hold an API key.

use hyper::HeaderMap;
use hyper::header::{AUTHORIZATION, AsHeaderName};

use super::problem::Problem;

/// The key of Tidegate's own routes: `Authorization: Bearer`, or `X-API-Key` where there is no Authorization.
pub fn own(headers: &HeaderMap) -> Result<&str, Problem> {
    let key = if headers.contains_key(AUTHORIZATION) {
        of_scheme(headers, "bearer")
    } else {
        only(headers, "x-api-key").map(str::trim)
    };
    key.ok_or_else(|| Problem::unauthorized("send an API key: `Authorization: Bearer tg_...` or `X-API-Key: tg_...`"))
}

/// Whether a key is sent, good or not.
pub fn given(headers: &HeaderMap) -> bool {
    headers.contains_key(AUTHORIZATION) || headers.contains_key("x-api-key")
}

/// What follows this scheme, in any case, in Authorization.
pub fn of_scheme<'a>(headers: &'a HeaderMap, scheme: &str) -> Option<&'a str> {
    let (named, key) = only(headers, AUTHORIZATION)?.split_once([' ', '\t'])?;
    named.eq_ignore_ascii_case(scheme).then(|| key.trim())
}

/// A field that is sent once: of two keys one would be passed over.
fn only(headers: &HeaderMap, name: impl AsHeaderName) -> Option<&str> {
    let mut lines = headers.get_all(name).iter();
    let line = lines.next().filter(|_| lines.next().is_none())?;
    line.to_str().ok()
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
        assert_eq!(own(&[("authorization", "Bearer tg_a"), ("authorization", "Bearer tg_b")]), None);
        assert_eq!(own(&[("x-api-key", "tg_a"), ("x-api-key", "tg_b")]), None);
        assert_eq!(own(&[]), None);
    }
}
