//! Which of several hosts is connected to: the first in their order that is one of those that are meant
//! (`target_session_attrs`). One that does not answer holds up the next for a moment only, and not until its timeout.

use std::io;
use std::net::IpAddr;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use futures_util::future::join_all;
use futures_util::stream::FuturesUnordered;
use futures_util::{FutureExt, StreamExt};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::lookup_host;
use tokio::time::timeout;
use tokio_postgres::config::{Host, LoadBalanceHosts};
use tokio_postgres::{Client, Config, Error, NoTls};

use super::seen::{Seen, View};
use super::standing::Standing;
use super::tls::{self, Wire};
use crate::config::{ConnectionUrl, TargetSession};
use crate::limits::HOST_HEAD_START;

/// No server was found that is meant, although one or more answered.
#[derive(Debug, PartialEq, Eq)]
pub struct Unsuitable {
    pub why: String,
    /// One of them is an old primary, which is not written to.
    pub left_behind: bool,
}

impl std::fmt::Display for Unsuitable {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.why)
    }
}

impl std::error::Error for Unsuitable {}

/// What this file says of a connection that was not made.
pub fn unsuitable(error: &Error) -> Option<&Unsuitable> {
    let cause = std::error::Error::source(error)?.downcast_ref::<io::Error>()?;
    cause.get_ref()?.downcast_ref()
}

/// How long making a connection, or waiting for a free one, may take; connect_timeout of a URL says otherwise.
pub const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
/// After which a connection is lost whose other end takes nothing: a machine that is gone says no word.
const UNTAKEN_TIMEOUT: Duration = Duration::from_secs(10);
/// For a look at all hosts of a URL.
const LOOK_TIMEOUT: Duration = Duration::from_secs(2);

type Connected = (Client, Wire);

/// Connects to one of the URL's servers that is meant.
pub async fn connect(url: &ConnectionUrl, view: &View) -> Result<Connected, Error> {
    while let Some(lead) = view.seen.lead() {
        let connected = tls::connect(&led_to(url, (&lead.0, lead.1))).await?;
        // Meanwhile connections may have been led elsewhere, and this one would be taken for one that was made after that.
        if view.seen.lead().is_some_and(|now| now == lead) {
            return Ok(connected);
        }
    }
    let target = url.target.unwrap_or(TargetSession::Any);
    if url.hosts() <= 1 && target == TargetSession::Any {
        refuse_a_lagging(url, view)?;
        return tls::connect(url).await;
    }
    let mut candidates = candidates(url).await;
    candidates.sort_by_key(|one| view.seen.is_slow(&place(one)));
    let mut waiting = candidates.iter();
    let (mut trying, mut silent, mut found) = (FuturesUnordered::new(), Vec::new(), Found::default());
    loop {
        if let Some(one) = waiting.next() {
            trying.push(async move { (place(one), attempt(one, view).await) });
            silent.push(place(one));
        }
        let is_patient = waiting.len() == 0 && found.spare.is_none();
        let next = match is_patient {
            true => Ok(trying.next().await),
            false => timeout(HOST_HEAD_START, trying.next()).await,
        };
        match &next {
            Ok(Some((place, _))) => {
                silent.retain(|other| other != place);
                view.seen.heard(place);
            }
            Ok(None) => {}
            Err(_elapsed) => silent.iter().for_each(|place| view.seen.is_silent(place.clone())),
        }
        match next {
            Ok(Some((place, Ok((connected, standing))))) => match standing.refusal(target) {
                None => return Ok(connected),
                Some(_) if target == TargetSession::PreferStandby => {
                    found.spare.get_or_insert(connected);
                }
                Some(why) => found.refuse(format!("{place} {why}"), false),
            },
            Ok(Some((place, Err(error)))) => found.fail(&place, error),
            // All have said what they had to, or those that did not are no better than what there is.
            Ok(None) | Err(_) if waiting.len() == 0 => return found.end(target),
            Ok(None) | Err(_) => {}
        }
    }
}

/// What came of the hosts that were tried so far.
#[derive(Default)]
struct Found {
    /// One that will do if there is no better one.
    spare: Option<Connected>,
    refused: Vec<String>,
    left_behind: bool,
    error: Option<Error>,
}

impl Found {
    fn refuse(&mut self, why: String, left_behind: bool) {
        self.refused.push(why);
        self.left_behind |= left_behind;
    }

    fn fail(&mut self, at: &str, error: Error) {
        match unsuitable(&error) {
            Some(refused) => self.refuse(format!("{at} {}", refused.why), refused.left_behind),
            None => {
                tracing::debug!(host = at, %error, "a host of several cannot be connected to");
                self.error = Some(error);
            }
        }
    }

    fn end(self, target: TargetSession) -> Result<Connected, Error> {
        if let Some(spare) = self.spare {
            return Ok(spare);
        }
        let Self { mut refused, left_behind, error, .. } = self;
        match error {
            Some(error) if refused.is_empty() => Err(error),
            error => {
                refused.extend(error.map(|error| format!("another one cannot be connected to ({error})")));
                let why = format!("none of the hosts is what is meant ({}): {}", target.as_str(), refused.join("; "));
                Err(refusal(why, left_behind))
            }
        }
    }
}

/// What is tried, one after another: each host, and of a name with several addresses each of them.
async fn candidates(url: &ConnectionUrl) -> Vec<ConnectionUrl> {
    let each = order(&url.server).into_iter().map(async |n| {
        let one = only(url, n);
        let (port, addresses) = (one.server.get_ports().first().copied().unwrap_or(5432), one.server.get_hostaddrs());
        let (Some(Host::Tcp(name)), []) = (one.server.get_hosts().first(), addresses) else { return vec![one] };
        // A name that is not found in time, or not at all, is for the connection to complain of.
        let found = match timeout(HOST_HEAD_START, lookup_host((name.as_str(), port))).await {
            Ok(Ok(found)) => found.map(|address| address.ip()).collect(),
            Ok(Err(_)) | Err(_) => Vec::new(),
        };
        if found.len() < 2 {
            return vec![one];
        }
        let addressed = |address: IpAddr| {
            let mut own = one.clone();
            own.server.hostaddr(address);
            own
        };
        found.into_iter().map(addressed).collect()
    });
    join_all(each).await.concat()
}

/// What one of them is called.
fn place(one: &ConnectionUrl) -> String {
    let host = at(&one.server, 0);
    match one.server.get_hostaddrs().first() {
        Some(address) => format!("{host} ({address})"),
        None => host,
    }
}

/// The hosts' numbers, in the order in which they are tried.
fn order(server: &Config) -> Vec<usize> {
    let mut order: Vec<usize> = (0..server.get_hosts().len()).collect();
    if server.get_load_balance_hosts() == LoadBalanceHosts::Random {
        // Without random bytes the order is that of the URL, which is one of them.
        let mut random = usize::try_from(getrandom::u32().unwrap_or(0)).unwrap_or(0);
        for last in (1..order.len()).rev() {
            order.swap(last, random % (last + 1));
            random /= last + 1;
        }
    }
    order
}

/// One server of one host; it may be written to, or read, as far as is known of others.
async fn attempt(url: &ConnectionUrl, view: &View) -> Result<(Connected, Standing), Error> {
    refuse_a_lagging(url, view)?;
    let connecting = async {
        let (client, mut wire) = tls::connect(url).await?;
        let standing = tokio::select! {
            standing = Standing::ask(&client) => standing?,
            // The answer to the question comes with the error.
            ended = &mut wire => match ended { Ok(()) => None, Err(error) => return Err(error) },
        };
        Ok(((client, wire), standing))
    };
    // As libpq counts it: for all that belongs to one host.
    let (connected, standing) = match url.server.get_connect_timeout() {
        Some(time) => match timeout(*time, connecting).await {
            Ok(connected) => connected?,
            Err(_elapsed) => return Err(io_error(io::ErrorKind::TimedOut.into())),
        },
        None => connecting.await?,
    };
    let Some(standing) = standing else { return Err(refusal("does not say what it is".into(), false)) };
    match view.seen.refusal(&standing) {
        Some(why) => Err(refusal(why, true)),
        None => Ok((connected, standing)),
    }
}

/// A copy that is too far behind is not even asked.
fn refuse_a_lagging(url: &ConnectionUrl, view: &View) -> Result<(), Error> {
    match view.is_behind(&at(&url.server, 0)) {
        true => Err(refusal("is a copy that lags more than reader_lag_max".into(), false)),
        false => Ok(()),
    }
}

/// The timeouts that the URL does not name.
pub fn with_timeouts(url: &ConnectionUrl) -> ConnectionUrl {
    let mut url = url.clone();
    if url.server.get_connect_timeout().is_none() {
        url.server.connect_timeout(CONNECT_TIMEOUT);
    }
    if url.server.get_tcp_user_timeout().is_none() {
        url.server.tcp_user_timeout(UNTAKEN_TIMEOUT);
    }
    url
}

/// Where a host of a URL is, for people.
pub fn at(server: &Config, n: usize) -> String {
    let port = server.get_ports().get(n).or_else(|| server.get_ports().first()).copied().unwrap_or(5432);
    match server.get_hosts().get(n) {
        Some(Host::Tcp(name)) => format!("{name}:{port}"),
        Some(Host::Unix(path)) => format!("{}:{port}", path.display()),
        None => format!(":{port}"),
    }
}

/// The same URL with this one of its hosts, whichever server that is.
pub fn only(url: &ConnectionUrl, n: usize) -> ConnectionUrl {
    ConnectionUrl { server: with_hosts(&url.server, &[n]), target: None, tls: url.tls.clone() }
}

/// The same database on another server.
pub fn led_to(url: &ConnectionUrl, (host, port): (&str, u16)) -> ConnectionUrl {
    let mut server = with_hosts(&url.server, &[]);
    server.host(host).port(port);
    ConnectionUrl { server, target: None, tls: url.tls.clone() }
}

/// Every server of a URL, by its place, and how it stands.
pub async fn each(url: &ConnectionUrl) -> Vec<(String, Result<Standing, Error>)> {
    let url = &with_timeouts(url);
    let look = async |n| match timeout(LOOK_TIMEOUT, attempt(&only(url, n), &View::default())).await {
        Ok(connected) => connected.map(|(_connection, standing)| standing),
        Err(_elapsed) => Err(io_error(io::ErrorKind::TimedOut.into())),
    };
    join_all((0..url.hosts()).map(async |n| (at(&url.server, n), look(n).await))).await
}

/// The same URL for who connects without knowing what others have seen: without old primaries, so that none of them is come to,
/// and with hosts that do not answer behind the others. Where nothing but old primaries is left they stay, for others to refuse.
pub async fn for_start(url: &ConnectionUrl, seen: &Seen) -> ConnectionUrl {
    if url.hosts() <= 1 {
        return url.clone();
    }
    let looked = each(url).await;
    let standings: Vec<Option<&Standing>> = looked.iter().map(|(_, standing)| standing.as_ref().ok()).collect();
    let timelines = || standings.iter().flatten().filter_map(|standing| standing.timeline).chain(seen.newest());
    let is_left = |n: &usize| {
        let own = standings[*n].and_then(|standing| standing.timeline);
        own.is_some_and(|own| timelines().any(|other| own.is_left_for(other)))
    };
    let (left, mut kept): (Vec<usize>, Vec<usize>) = (0..url.hosts()).partition(is_left);
    let places: Vec<&str> = left.iter().map(|n| &*looked[*n].0).collect();
    if kept.is_empty() {
        return url.clone();
    }
    if !places.is_empty() {
        let hosts = places.join(", ");
        tracing::error!(hosts, "an old primary takes writes, and is left alone: stop it, or make it a standby");
    }
    kept.sort_by_key(|n| standings[*n].is_none());
    ConnectionUrl { server: with_hosts(&url.server, &kept), ..url.clone() }
}

fn with_hosts(all: &Config, kept: &[usize]) -> Config {
    let mut one = Config::new();
    for &n in kept {
        match all.get_hosts().get(n) {
            Some(Host::Tcp(name)) => one.host(name),
            Some(Host::Unix(path)) => one.host_path(path),
            None => &mut one,
        };
        if let Some(address) = all.get_hostaddrs().get(n) {
            one.hostaddr(*address);
        }
        if let Some(port) = all.get_ports().get(n).or_else(|| all.get_ports().first()) {
            one.port(*port);
        }
    }
    if let Some(user) = all.get_user() {
        one.user(user);
    }
    if let Some(password) = all.get_password() {
        one.password(password);
    }
    if let Some(database) = all.get_dbname() {
        one.dbname(database);
    }
    if let Some(options) = all.get_options() {
        one.options(options);
    }
    if let Some(name) = all.get_application_name() {
        one.application_name(name);
    }
    if let Some(time) = all.get_connect_timeout() {
        one.connect_timeout(*time);
    }
    if let Some(time) = all.get_tcp_user_timeout() {
        one.tcp_user_timeout(*time);
    }
    if let Some(time) = all.get_keepalives_interval() {
        one.keepalives_interval(time);
    }
    if let Some(times) = all.get_keepalives_retries() {
        one.keepalives_retries(times);
    }
    one.keepalives(all.get_keepalives())
        .keepalives_idle(all.get_keepalives_idle())
        .ssl_mode(all.get_ssl_mode())
        .ssl_negotiation(all.get_ssl_negotiation())
        .channel_binding(all.get_channel_binding())
        .load_balance_hosts(all.get_load_balance_hosts());
    one
}

/// An error of tokio-postgres' that says why; it has none of its own for others to make.
fn refusal(why: String, left_behind: bool) -> Error {
    io_error(io::Error::other(Unsuitable { why, left_behind }))
}

/// A connection over a stream that fails at once is how one comes to an error with a cause.
fn io_error(cause: io::Error) -> Error {
    let failing = Failing(Some(cause));
    let mut config = Config::new();
    config.user("nobody");
    match config.connect_raw(failing, NoTls).now_or_never() {
        Some(Err(error)) => error,
        Some(Ok(_)) | None => unreachable!("the stream neither takes a byte nor waits"),
    }
}

struct Failing(Option<io::Error>);

impl Failing {
    fn fail<T>(&mut self) -> Poll<io::Result<T>> {
        Poll::Ready(Err(self.0.take().unwrap_or_else(|| io::ErrorKind::NotConnected.into())))
    }
}

impl AsyncRead for Failing {
    fn poll_read(mut self: Pin<&mut Self>, _: &mut Context<'_>, _: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        self.fail()
    }
}

impl AsyncWrite for Failing {
    fn poll_write(mut self: Pin<&mut Self>, _: &mut Context<'_>, _: &[u8]) -> Poll<io::Result<usize>> {
        self.fail()
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}

#[cfg(test)]
#[path = "hosts_tests.rs"]
mod tests;
