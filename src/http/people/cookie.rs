//! The cookie of a session: scripts do not see it, plain HTTP does not carry it, and no other site has it sent.

use hyper::Response;
use hyper::header::{HeaderValue, SET_COOKIE};

use crate::http::response::Body;
use crate::limits::SESSION_LIFE;
use crate::protocols::credential::SESSION_COOKIE;

pub fn set(response: &mut Response<Body>, token: &str) {
    write(response, token, SESSION_LIFE.as_secs());
}

pub fn clear(response: &mut Response<Body>) {
    write(response, "", 0);
}

fn write(response: &mut Response<Body>, token: &str, life_s: u64) {
    let cookie = format!("{SESSION_COOKIE}={token}; HttpOnly; Secure; SameSite=Strict; Path=/; Max-Age={life_s}");
    let mut cookie = HeaderValue::try_from(cookie).expect("ASCII");
    cookie.set_sensitive(true);
    response.headers_mut().insert(SET_COOKIE, cookie);
}
