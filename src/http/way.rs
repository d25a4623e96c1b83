//! By which way a request came: from whom, and whether anybody could have listened. Passwords and the cookies of sessions go over TLS,
//! or within the machine.

use std::net::{IpAddr, SocketAddr};

use hyper::header::{FORWARDED, HeaderMap, HeaderName, ORIGIN};
use hyper::http::request::Parts;
use hyper::{Method, StatusCode};

use super::Api;
use super::peer::peer_of;
use crate::protocols::{Problem, ProblemCode};

const FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");
const FORWARDED_PROTO: HeaderName = HeaderName::from_static("x-forwarded-proto");
const FETCH_SITE: HeaderName = HeaderName::from_static("sec-fetch-site");

/// The address of a client behind the proxy that `http.tls_in_front` says is there: what that proxy added to X-Forwarded-For last. What
/// stands before it anybody may have written.
pub fn client_of(headers: &HeaderMap, peer: IpAddr) -> IpAddr {
    let last = headers.get_all(FORWARDED_FOR).iter().next_back().and_then(|line| line.to_str().ok());
    let last = last.and_then(|line| line.rsplit(',').next()).map(str::trim);
    let address = last.and_then(|text| {
        let bare = text.strip_prefix('[').and_then(|text| text.strip_suffix(']')).unwrap_or(text);
        bare.parse().ok().or_else(|| text.parse::<SocketAddr>().ok().map(|address| address.ip()))
    });
    address.unwrap_or(peer).to_canonical()
}

/// Refuses what somebody on the way could have read or changed.
pub fn check(api: &Api, parts: &Parts) -> Result<(), Problem> {
    let headers = &parts.headers;
    if api.tls.is_some() {
        return Ok(());
    }
    let refused = |why: &str| {
        let detail = format!(
            "signing in needs TLS, or the machine that the server runs on: {why}. Set tls.cert and tls.key, or put a proxy in front that \
             speaks TLS and set http.tls_in_front=true; programs send an API key"
        );
        Problem::new(StatusCode::FORBIDDEN, ProblemCode::TlsRequired, detail)
    };
    if api.timeouts.tls_in_front {
        let spoken = headers.get_all(FORWARDED_PROTO).iter().next_back();
        return match spoken {
            Some(spoken) if !spoken.as_bytes().eq_ignore_ascii_case(b"https") => {
                Err(refused("the proxy in front says that the request came without it (X-Forwarded-Proto)"))
            }
            _ => Ok(()),
        };
    }
    if !peer_of(parts).to_canonical().is_loopback() {
        return Err(refused("the request came in plain HTTP"));
    }
    // A proxy on this machine makes everybody look local.
    if [FORWARDED_FOR, FORWARDED_PROTO, FORWARDED].iter().any(|name| headers.contains_key(name)) {
        return Err(refused(
            "the request came through a proxy of which the configuration does not say that it speaks TLS",
        ));
    }
    Ok(())
}

/// Refuses what a page of another site, or of another port of this host, had a browser send. Browsers say by Sec-Fetch-Site where a page is
/// from, and by Origin with all that may change something. `required`: a request that may change something must say either.
pub fn check_origin(api: &Api, parts: &Parts, required: bool) -> Result<(), Problem> {
    let refused = |what: &str| Problem::new(StatusCode::FORBIDDEN, ProblemCode::CrossSite, what);
    if let Some(site) = parts.headers.get(FETCH_SITE) {
        return match site.as_bytes() {
            b"same-origin" | b"none" => Ok(()),
            _ => Err(refused("a page of another site asks in the name of the person who has signed in here")),
        };
    }
    let is_secure = api.tls.is_some() || api.timeouts.tls_in_front;
    match parts.headers.get(ORIGIN) {
        Some(origin) if is_own(origin.as_bytes(), host_of(parts).unwrap_or_default(), is_secure) => Ok(()),
        Some(_) => Err(refused("a page of another origin asks in the name of the person who has signed in here")),
        None if required && ![Method::GET, Method::HEAD].contains(&parts.method) => Err(refused(
            "a request with the cookie of a session that changes something says where it is from: send Origin with the server's own, or \
             an API key in the place of the cookie",
        )),
        None => Ok(()),
    }
}

fn host_of(parts: &Parts) -> Option<&str> {
    let authority = parts.uri.authority().map(hyper::http::uri::Authority::as_str);
    authority.or_else(|| parts.headers.get(hyper::header::HOST)?.to_str().ok())
}

/// Whether an origin is that of the host which a request names.
fn is_own(origin: &[u8], host: &str, is_secure: bool) -> bool {
    let Ok(origin) = std::str::from_utf8(origin) else { return false };
    let Some((scheme, named)) = origin.split_once("://") else { return false };
    let port = match scheme {
        "https" => ":443",
        "http" if !is_secure => ":80",
        _ => return false,
    };
    let bare = |text: &str| text.strip_suffix(port).unwrap_or(text).to_ascii_lowercase();
    !host.is_empty() && bare(named) == bare(host)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_origin_is_the_hosts_own_or_it_is_not() {
        for (origin, host, secure) in [
            ("https://a.example", "a.example", true),
            ("https://a.example", "A.Example:443", true),
            ("https://a.example:8443", "a.example:8443", true),
            ("http://localhost:8080", "localhost:8080", false),
            ("http://a.example", "a.example:80", false),
            ("https://a.example", "a.example", false),
        ] {
            assert!(is_own(origin.as_bytes(), host, secure), "{origin} {host}");
        }
        for (origin, host, secure) in [
            ("http://a.example", "a.example", true),
            ("https://a.example", "b.example", true),
            ("https://a.example.evil", "a.example", true),
            ("https://a.example:8443", "a.example", true),
            ("http://localhost:3000", "localhost:8080", false),
            ("https://a.example:80", "a.example", false),
            ("null", "a.example", false),
            ("null", "", false),
            ("https://", "", true),
            ("file://", "", false),
        ] {
            assert!(!is_own(origin.as_bytes(), host, secure), "{origin} {host}");
        }
    }

    #[test]
    fn the_proxy_says_last_who_it_is() {
        let proxy: IpAddr = "192.0.2.9".parse().expect("an address");
        let client = |lines: &[&str]| {
            let mut headers = HeaderMap::new();
            for line in lines {
                headers.append(FORWARDED_FOR, line.parse().expect("ASCII"));
            }
            client_of(&headers, proxy).to_string()
        };
        assert_eq!(client(&[]), "192.0.2.9");
        assert_eq!(client(&["203.0.113.7"]), "203.0.113.7");
        assert_eq!(client(&["127.0.0.1, 203.0.113.7"]), "203.0.113.7");
        assert_eq!(client(&["203.0.113.7", "203.0.113.8"]), "203.0.113.8");
        assert_eq!(client(&["2001:db8::1"]), "2001:db8::1");
        assert_eq!(client(&["[2001:db8::1]:443"]), "2001:db8::1");
        assert_eq!(client(&["203.0.113.7:443"]), "203.0.113.7");
        assert_eq!(client(&["127.0.0.1, unknown"]), "192.0.2.9");
    }
}
