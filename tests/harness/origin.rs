//! Where pages come from that are not the server's, and an address that stays while servers come and go.

use std::io::{BufRead, BufReader, Write, copy};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::thread::spawn;

/// Serves one page under every path, for as long as the process runs; its origin.
pub fn serve(file: &Path) -> String {
    let page = std::fs::read(file).unwrap();
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let origin = format!("http://{}", listener.local_addr().unwrap());
    spawn(move || {
        for mut stream in listener.incoming().map_while(Result::ok) {
            let head = format!(
                "HTTP/1.1 200 OK\r\ncontent-type: text/html; charset=utf-8\r\ncontent-length: {}\r\nconnection: close\r\n\r\n",
                page.len()
            );
            let asked = BufReader::new(stream.try_clone().unwrap());
            // A browser may open a connection that it does not use.
            spawn({
                let page = page.clone();
                move || {
                    if asked.lines().map_while(Result::ok).any(|line| line.is_empty()) {
                        let _ = stream.write_all(head.as_bytes()).and_then(|()| stream.write_all(&page));
                    }
                }
            });
        }
    });
    origin
}

/// Passes connections on to a server; closes them while it leads to none.
pub struct Front {
    address: String,
    server: Arc<Mutex<String>>,
}

impl Front {
    pub fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap().to_string();
        let server = Arc::new(Mutex::new(String::new()));
        let to = Arc::clone(&server);
        spawn(move || {
            for near in listener.incoming().map_while(Result::ok) {
                let Ok(far) = TcpStream::connect(&*to.lock().unwrap()) else { continue };
                pass(&near, &far);
                pass(&far, &near);
            }
        });
        Self { address, server }
    }

    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    pub fn lead_to(&self, address: &str) {
        address.clone_into(&mut self.server.lock().unwrap());
    }
}

fn pass(from: &TcpStream, to: &TcpStream) {
    let (mut from, mut to) = (from.try_clone().unwrap(), to.try_clone().unwrap());
    spawn(move || {
        let _ = copy(&mut from, &mut to);
        let _ = to.shutdown(Shutdown::Both);
        let _ = from.shutdown(Shutdown::Both);
    });
}
