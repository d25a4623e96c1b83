#![allow(clippy::unwrap_used, reason = "a test may stop at the first surprise")]

use super::*;
use crate::storage::standing::Timeline;

fn url(text: &str) -> ConnectionUrl {
    text.parse().unwrap()
}

fn watch(owner: &str, reader: &str, lag_max: Option<u64>) -> Watch {
    let seen = Arc::new(Seen::default());
    seen.note(Timeline { system: 1, number: 1 });
    let lag_max = lag_max.map(Duration::from_secs);
    Watch::new(&url(owner), &url(reader), (&seen, lag_max), &Servers::default()).unwrap()
}

fn primary(number: u32, position: i64) -> Option<Standing> {
    let timeline = Some(Timeline { system: 1, number });
    Some(Standing { standby: false, read_only: false, timeline, position })
}

fn standby(position: i64) -> Option<Standing> {
    Some(Standing { standby: true, read_only: true, timeline: None, position })
}

fn found(watch: &mut Watch, now: Instant, standings: &[Option<Standing>]) -> Copies {
    for (server, standing) in watch.servers.iter_mut().zip(standings) {
        server.standing = *standing;
    }
    watch.judge(now);
    watch.found.copies()
}

#[test]
fn one_server_is_not_watched() {
    let found = Servers::default();
    let seen = Arc::new(Seen::default());
    for (owner, reader, watched) in
        [("host=a", "host=a user=r", false), ("host=a", "host=b", true), ("host=a,b", "host=a", true)]
    {
        let watch = Watch::new(&url(owner), &url(reader), (&seen, None), &found);
        assert_eq!(watch.is_some(), watched, "{owner} {reader}");
    }
}

#[test]
fn a_lag_is_how_long_ago_the_primary_was_there() {
    let (mut positions, start) = (Positions::default(), Instant::now());
    let at = |seconds: u64| start + Duration::from_secs(seconds);
    assert_eq!(positions.lag(at(0), 5), Duration::ZERO);
    for (seconds, position) in [(0, 100), (1, 200), (2, 200), (3, 300)] {
        positions.note(at(seconds), position);
    }
    // Nothing was written between 1 s and 2 s.
    for (position, lag) in [(300, 0), (400, 0), (299, 2), (200, 2), (199, 4), (100, 4), (50, 4)] {
        assert_eq!(positions.lag(at(4), position), Duration::from_secs(lag), "{position}");
    }
}

#[test]
fn a_copy_that_lags_too_much_is_not_read() {
    let mut watch = watch("host=a", "host=b,c", Some(10));
    let start = Instant::now();
    let view = View { seen: Arc::clone(&watch.seen), reads: true };
    let at = |seconds: u64| start + Duration::from_secs(seconds);
    let copies = found(&mut watch, at(0), &[primary(1, 100), standby(100), standby(100)]);
    assert_eq!(copies, Copies { reachable: 2, of: 2, behind: 0, lag: Some(Duration::ZERO) });
    found(&mut watch, at(5), &[primary(1, 200), standby(200), standby(100)]);
    assert!(!view.is_behind("c:5432"));
    let made = Instant::now();
    let copies = found(&mut watch, at(11), &[primary(1, 300), standby(300), standby(100)]);
    assert_eq!(copies, Copies { reachable: 2, of: 2, behind: 1, lag: Some(Duration::ZERO) });
    assert!(view.is_behind("c:5432") && !view.is_behind("b:5432") && view.is_outdated(made));
    // While the primary is away nothing is known to be newer.
    let copies = found(&mut watch, at(60), &[None, standby(300), None]);
    assert_eq!((copies.reachable, copies.lag), (1, Some(Duration::ZERO)));
    let made = Instant::now();
    found(&mut watch, at(61), &[None, standby(300), standby(300)]);
    assert!(!view.is_behind("c:5432") && view.is_outdated(made));
}

#[test]
fn of_two_that_take_writes_the_older_one_is_left() {
    let mut watch = watch("host=a,b", "host=a,b", None);
    let (now, view) = (Instant::now(), View { seen: Arc::clone(&watch.seen), reads: false });
    found(&mut watch, now, &[primary(1, 100), standby(100)]);
    let made = Instant::now();
    assert!(!view.is_outdated(made) && !watch.split);
    found(&mut watch, now, &[primary(1, 150), primary(2, 120)]);
    assert!(view.is_outdated(made) && watch.split);
    assert!(view.seen.refusal(&primary(1, 150).unwrap()).is_some());
    assert!(view.seen.refusal(&primary(2, 120).unwrap()).is_none());
    found(&mut watch, now, &[standby(150), primary(2, 160)]);
    assert!(!watch.split);
}
