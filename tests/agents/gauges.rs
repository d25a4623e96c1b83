//! Something for Prometheus to scrape: series whose values change with each scrape, and what Go programs expose as
//! well.

use std::io::{BufRead, BufReader, Write};
use std::net::TcpListener;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::SeqCst};

/// Answers to `GET /metrics`, for as long as the process runs.
pub struct Gauges {
    pub address: String,
    scrapes: Arc<AtomicU64>,
}

impl Gauges {
    pub fn serve() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap().to_string();
        let scrapes = Arc::new(AtomicU64::new(0));
        let counted = Arc::clone(&scrapes);
        std::thread::spawn(move || {
            for mut stream in listener.incoming().map_while(Result::ok) {
                let asked = BufReader::new(stream.try_clone().unwrap());
                if asked.lines().map_while(Result::ok).any(|line| line.is_empty()) {
                    let body = exposition(counted.fetch_add(1, SeqCst) + 1);
                    let head = format!(
                        "HTTP/1.1 200 OK\r\ncontent-type: text/plain; version=0.0.4\r\n\
                         content-length: {}\r\nconnection: close\r\n\r\n",
                        body.len()
                    );
                    let _ = stream.write_all(head.as_bytes()).and_then(|()| stream.write_all(body.as_bytes()));
                }
            }
        });
        Self { address, scrapes }
    }

    /// How often it was scraped.
    pub fn scrapes(&self) -> u64 {
        self.scrapes.load(SeqCst)
    }
}

fn exposition(n: u64) -> String {
    let half = n / 2;
    format!(
        "# HELP orders_total Orders so far.\n# TYPE orders_total counter\n\
         orders_total{{shop=\"north\"}} {n}\norders_total{{shop=\"größe \\\"1\\\" \\\\ 2\"}} {half}.5\n\
         # TYPE depth gauge\ndepth -{n}e-3\n\
         # TYPE wait_seconds histogram\n\
         wait_seconds_bucket{{le=\"0.1\"}} {half}\nwait_seconds_bucket{{le=\"+Inf\"}} {n}\n\
         wait_seconds_sum {n}.25\nwait_seconds_count {n}\n\
         # A summary that nothing was added to for a while has no quantiles.\n\
         # TYPE pause_seconds summary\n\
         pause_seconds{{quantile=\"0.5\"}} NaN\npause_seconds_sum 0\npause_seconds_count 0\n"
    )
}
