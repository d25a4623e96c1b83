#![allow(clippy::unwrap_used, reason = "a test may stop at the first surprise")]

use std::time::Instant;

use tokio::net::TcpListener;

use super::*;

fn parsed(text: &str) -> ConnectionUrl {
    text.parse().unwrap()
}

/// A setting that is forgotten here is one that several hosts would not have.
#[test]
fn one_of_several_is_the_same_in_all_else() {
    let rest = "user=u password=p dbname=d application_name=a options='-c x=y' connect_timeout=3 tcp_user_timeout=4000 \
                keepalives=0 keepalives_idle=5 keepalives_interval=6 keepalives_retries=7 sslnegotiation=direct \
                channel_binding=require load_balance_hosts=random sslmode=require";
    let all = parsed(&format!("host=a,/run/pg,c port=1,2,3 hostaddr=10.0.0.1,10.0.0.2,10.0.0.3 {rest}"));
    for (n, own) in ["host=a port=1 hostaddr=10.0.0.1", "host=/run/pg port=2 hostaddr=10.0.0.2"].into_iter().enumerate()
    {
        assert_eq!(only(&all, n), parsed(&format!("{own} {rest}")));
    }
    assert_eq!(only(&parsed("host=a,b port=7"), 1), parsed("host=b port=7"));
    assert_eq!(at(&parsed("host=a,b").server, 1), "b:5432");
}

#[test]
fn random_orders_hold_every_host_once() {
    let server = parsed("host=a,b,c,d load_balance_hosts=random").server;
    let mut first = [0; 4];
    for _ in 0..400 {
        let mut order = order(&server);
        first[order[0]] += 1;
        order.sort_unstable();
        assert_eq!(order, [0, 1, 2, 3]);
    }
    assert!(first.iter().all(|times| *times > 20), "{first:?}");
    assert_eq!(order(&parsed("host=a,b,c").server), [0, 1, 2]);
}

#[test]
fn a_refusal_is_found_in_the_error_that_carries_it() {
    let error = refusal("is a standby".into(), true);
    assert_eq!(unsuitable(&error), Some(&Unsuitable { why: "is a standby".into(), left_behind: true }));
    assert!(error.code().is_none());
    assert_eq!(unsuitable(&io_error(io::ErrorKind::TimedOut.into())), None);
}

/// Two hosts that take connections and say nothing, and one that refuses them: the third is reached after two head starts.
#[tokio::test]
async fn a_silent_host_holds_up_the_next_for_a_moment() {
    let silent = [TcpListener::bind("127.0.0.1:0").await.unwrap(), TcpListener::bind("127.0.0.1:0").await.unwrap()];
    let last = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = |listener: &TcpListener| listener.local_addr().unwrap().port();
    let [a, b, c] = [port(&silent[0]), port(&silent[1]), port(&last)];
    let hosts =
        format!("host=127.0.0.1,127.0.0.1,127.0.0.1 port={a},{b},{c} user=u sslmode=disable connect_timeout=60");
    let url = parsed(&hosts).for_writing();
    let begun = Instant::now();
    let view = View::default();
    tokio::select! {
        ended = connect(&url, &view) => panic!("it ended: {:?}", ended.err()),
        reached = last.accept() => drop(reached.unwrap()),
    }
    assert!(begun.elapsed() >= 2 * HOST_HEAD_START, "{:?}", begun.elapsed());
    assert!(begun.elapsed() < 40 * HOST_HEAD_START, "{:?}", begun.elapsed());
    // The next connection does not wait for them again.
    let first = format!("127.0.0.1:{a}");
    assert!(view.seen.is_slow(&first) && !view.seen.is_slow(&format!("127.0.0.1:{c}")));
    let next = connect(&url, &view);
    tokio::select! {
        ended = next => panic!("it ended: {:?}", ended.err()),
        reached = last.accept() => drop(reached.unwrap()),
    }
    view.seen.heard(&first);
    assert!(!view.seen.is_slow(&first));
}

/// As with libpq: a name is all of its addresses, and each keeps the name for TLS.
#[tokio::test]
async fn a_name_is_all_its_addresses() {
    let all = candidates(&parsed("host=localhost,127.0.0.1,/run/pg port=1,2,3")).await;
    let names: Vec<String> = all.iter().map(|one| at(&one.server, 0)).collect();
    let (of_name, others) = names.split_at(names.len() - 2);
    assert!(of_name.iter().all(|name| name == "localhost:1") && !of_name.is_empty(), "{names:?}");
    assert_eq!(others, ["127.0.0.1:2", "/run/pg:3"]);
    let given = candidates(&parsed("host=nowhere.invalid hostaddr=10.0.0.1 port=1")).await;
    assert_eq!(given.iter().map(place).collect::<Vec<_>>(), ["nowhere.invalid:1 (10.0.0.1)"]);
}
