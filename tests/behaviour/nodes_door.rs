//! An address that is known before the node behind it is: what comes is led to where the node listens.

use std::io;
use std::net::{TcpListener, TcpStream};
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::sync::{Arc, Mutex};

#[derive(Default)]
struct State {
    /// None: nothing is behind it, and connections end.
    target: Mutex<Option<String>>,
    connections: AtomicUsize,
}

pub struct Door {
    port: u16,
    state: Arc<State>,
}

impl Door {
    pub fn open() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let state: Arc<State> = Arc::default();
        let shared = Arc::clone(&state);
        std::thread::spawn(move || {
            for client in listener.incoming().flatten() {
                shared.connections.fetch_add(1, SeqCst);
                let target = shared.target.lock().unwrap().clone();
                if let Some(node) = target.and_then(|target| TcpStream::connect(target).ok()) {
                    forward(&client, &node);
                }
            }
        });
        Self { port, state }
    }

    pub fn url(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }

    pub fn lead_to(&self, address: &str) {
        *self.state.target.lock().unwrap() = Some(address.to_owned());
    }

    /// How many came so far.
    pub fn connections(&self) -> usize {
        self.state.connections.load(SeqCst)
    }
}

fn forward(client: &TcpStream, node: &TcpStream) {
    for (from, to) in [(client, node), (node, client)] {
        let (mut from, mut to) = (from.try_clone().unwrap(), to.try_clone().unwrap());
        std::thread::spawn(move || {
            let _ = io::copy(&mut from, &mut to);
            let _ = to.shutdown(std::net::Shutdown::Write);
        });
    }
}
