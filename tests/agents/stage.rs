//! A Tidegate that stays at its address, with a PostgreSQL of its own: both can be away while an agent sends.

use std::net::TcpListener;

use crate::books::Books;
use crate::client::Client;
use crate::cluster::Cluster;
use crate::env::{Env, until};
use crate::postgres::Sql;
use crate::process::Tidegate;

pub struct Stage<'a> {
    pub env: &'a Env,
    cluster: Cluster,
    tidegate: Option<Tidegate>,
    settings: Vec<String>,
    address: String,
    syslog: Option<String>,
    key: String,
}

/// The settings of a listener for syslog.
const SYSLOG: [(&str, &str); 3] = [("syslog.listen", "ADDRESS"), ("syslog.udp", "true"), ("syslog.key", "KEY")];

impl<'a> Stage<'a> {
    pub fn new(env: &'a Env) -> Self {
        Self::with(env, &[])
    }

    /// With settings, `key=value`.
    pub fn with(env: &'a Env, settings: &[&str]) -> Self {
        let cluster = Cluster::start(env);
        let settings: Vec<String> =
            settings.iter().flat_map(|setting| ["--set".to_owned(), (*setting).to_owned()]).collect();
        let tidegate = Tidegate::serve(env, &cluster.variables(), &settings);
        let (address, key) = (tidegate.client.address.clone(), tidegate.client.key().to_owned());
        Self { env, cluster, tidegate: Some(tidegate), settings, address, syslog: None, key }
    }

    /// With a listener for syslog, over TCP and UDP.
    pub fn with_syslog(env: &'a Env) -> Self {
        let mut stage = Self::new(env);
        stage.goes_away();
        // Chosen here, because agents are to find it again: one that was free a moment ago.
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap().to_string();
        drop(listener);
        for (name, value) in SYSLOG {
            let value = value.replace("ADDRESS", &address).replace("KEY", &stage.key);
            stage.settings.extend(["--set".to_owned(), format!("{name}={value}")]);
        }
        stage.syslog = Some(address);
        stage.comes_back();
        stage
    }

    /// The port of syslog's listener.
    pub fn syslog_port(&self) -> String {
        self.syslog.as_ref().expect("a listener for syslog").rsplit_once(':').unwrap().1.to_owned()
    }

    /// Where it listens: `127.0.0.1:PORT`.
    pub fn address(&self) -> &str {
        &self.address
    }

    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    pub fn key(&self) -> &str {
        &self.key
    }

    pub fn client(&self) -> &Client {
        &self.tidegate.as_ref().expect("it runs").client
    }

    /// SQL as the owner, for as long as the server runs.
    pub fn sql(&self) -> Sql {
        self.cluster.sql()
    }

    /// Ends Tidegate as an operator does.
    pub fn goes_away(&mut self) {
        let mut tidegate = self.tidegate.take().expect("it runs");
        assert_eq!(tidegate.stop(), Some(0), "{}", tidegate.log());
    }

    /// Waits until an agent has tried to connect where Tidegate was.
    pub fn is_missed(&self) {
        Missed::at(&self.address);
    }

    /// Starts Tidegate again where it was.
    pub fn comes_back(&mut self) {
        let mut settings = self.settings.clone();
        settings.extend(["--set".to_owned(), format!("listen={}", self.address)]);
        self.tidegate = Some(Tidegate::serve(self.env, &self.cluster.variables(), &settings));
        assert_eq!(self.client().address, self.address);
    }

    pub fn database_goes_away(&mut self) {
        self.cluster.stop();
    }

    /// Waits until requests go to the spool.
    pub fn spools(&self) {
        until("what is sent goes to the spool", || (Books::of(self.client()).items("spooled") > 0).then_some(()));
    }

    /// Starts PostgreSQL again, and waits until nothing is left in the spool.
    pub fn database_comes_back(&mut self) {
        self.cluster.run(&[]);
        Books::drained(self.client());
    }

    /// Waits until a query for a number gives this one, and asserts that it never was more.
    pub fn reaches(&self, what: &str, query: &str, number: i64) {
        let mut sql = None;
        let found = until(&format!("{number} {what}"), || {
            let sql: &Sql = sql.get_or_insert_with(|| self.sql());
            let found: i64 = sql.one(query);
            (found >= number).then_some(found)
        });
        assert_eq!(found, number, "{what}");
        Books::drained(self.client());
        assert_eq!(self.sql().one::<i64>(query), number, "{what}, when nothing is on its way any more");
    }

    /// The numbers that a query finds, each of which must be found once: 0, 1, and so on.
    pub fn is_whole(&self, what: &str, query: &str, number: i32) {
        let mut found: Vec<i32> = self.sql().column(query);
        found.sort_unstable();
        let expected: Vec<i32> = (0..number).collect();
        let lost: Vec<&i32> = expected.iter().filter(|n| found.binary_search(n).is_err()).take(20).collect();
        let twice: Vec<i32> = found.windows(2).filter(|pair| pair[0] == pair[1]).map(|pair| pair[0]).take(20).collect();
        assert!(lost.is_empty() && twice.is_empty(), "{what}: lost {lost:?}, twice {twice:?}, of {} rows", found.len());
        assert_eq!(found, expected, "{what}");
    }

    /// Nothing was refused, nothing is on its way, and the books are balanced.
    pub fn is_well(&self) {
        Books::drained(self.client());
        let books = Books::of(self.client());
        books.assert_balanced();
        let letters = "SELECT concat_ws(' ', route, code, reason, left(encode(raw, 'escape'), 500)) \
                       FROM dead_letter_events LIMIT 5";
        let letters: Vec<String> = self.sql().column(letters);
        assert!(letters.is_empty(), "{letters:#?}");
    }
}

/// A listener in the place of a server that is away.
struct Missed;

impl Missed {
    /// Waits for a connection, and closes it.
    fn at(address: &str) {
        let listener = until("the address is free", || TcpListener::bind(address).ok());
        listener.set_nonblocking(true).unwrap();
        until("an agent misses the server", || listener.accept().ok());
    }
}
