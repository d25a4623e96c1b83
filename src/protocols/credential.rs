//! Where a head may hold an API key, or the cookie of a session.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use hyper::HeaderMap;
use hyper::header::{AUTHORIZATION, AsHeaderName, COOKIE};

use super::problem::Problem;

/// The cookie of those who have signed in.
pub const SESSION_COOKIE: &str = "tidegate_session";

/// The token of a session, if there is a cookie of its name: two that differ are none, for one of them somebody else has put there.
pub fn session(headers: &HeaderMap) -> Option<Result<&str, Problem>> {
    let pairs = headers.get_all(COOKIE).iter().flat_map(|line| line.as_bytes().split(|byte| *byte == b';'));
    let mut tokens = pairs.filter_map(|pair| {
        let value = pair.trim_ascii().strip_prefix(SESSION_COOKIE.as_bytes())?.strip_prefix(b"=")?;
        Some(value).filter(|value| !value.is_empty())
    });
    let first = tokens.next()?;
    if tokens.any(|other| other != first) {
        let detail =
            "there are two cookies `tidegate_session`: remove them for this site and its parents, and sign in again";
        return Some(Err(Problem::unauthorized(detail)));
    }
    // What is not text is no token either.
    Some(Ok(std::str::from_utf8(first).unwrap_or_default()))
}

/// The key of Tidegate's own routes: `Authorization: Bearer`, or `X-API-Key` where there is no Authorization.
pub fn own(headers: &HeaderMap) -> Result<&str, Problem> {
    let key = if headers.contains_key(AUTHORIZATION) {
        of_scheme(headers, "bearer")
    } else {
        only(headers, "x-api-key").map(str::trim)
    };
    key.ok_or_else(|| Problem::unauthorized("send an API key: `Authorization: Bearer tg_...` or `X-API-Key: tg_...`; people sign in (POST /v1/sessions)"))
}

/// Whether a key is sent, good or not.
pub fn given(headers: &HeaderMap) -> bool {
    headers.contains_key(AUTHORIZATION) || headers.contains_key("x-api-key")
}

/// The password of `Basic`, or its user where that is empty.
pub fn basic(headers: &HeaderMap) -> Option<String> {
    let pair = STANDARD.decode(of_scheme(headers, "basic")?).ok().and_then(|pair| String::from_utf8(pair).ok())?;
    let (user, password) = pair.split_once(':').unwrap_or((&pair, ""));
    Some(if password.is_empty() { user } else { password }.to_owned())
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
    fn the_cookie_of_a_session_is_found_among_others() {
        let session = |line: &'static str| {
            let headers = HeaderMap::from_iter([(COOKIE, HeaderValue::from_static(line))]);
            super::session(&headers).map(|token| token.map(str::to_owned).map_err(|_| ()))
        };
        let token = |text: &str| Some(Ok(text.to_owned()));
        assert_eq!(session("a=b; tidegate_session=tgs_a;c=d"), token("tgs_a"));
        assert_eq!(session("tidegate_session=tgs_a; tidegate_session=tgs_a"), token("tgs_a"));
        assert_eq!(session("tidegate_session=tgs_a; tidegate_session=tgs_b"), Some(Err(())));
        assert_eq!(session("tidegate_session=\"tgs_a\""), token("\"tgs_a\""));
        for none in
            ["", "tidegate_session", "tidegate_session=", "xtidegate_session=tgs_a", "Tidegate_Session=tgs_a", ";;=;"]
        {
            assert_eq!(session(none), None, "{none}");
        }
    }

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
