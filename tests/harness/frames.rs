//! HTTP/2 frames made by hand: what no client library would send.

use std::io::{Read, Write};
use std::net::{Ipv4Addr, Shutdown, SocketAddr, TcpStream};

use crate::client::Client;
use crate::env::DEADLINE;

pub const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
pub const HEADERS: u8 = 1;
pub const RST_STREAM: u8 = 3;
pub const SETTINGS: u8 = 4;
pub const PING: u8 = 6;
pub const CONTINUATION: u8 = 9;
pub const END_STREAM: u8 = 1;
pub const END_HEADERS: u8 = 4;
/// GET http://t/healthz, by the static table and without indexing.
pub const GET: &[u8] = b"\x82\x86\x01\x01t\x04\x08/healthz";
/// POST http://t/v1/events
pub const POST: &[u8] = b"\x83\x86\x01\x01t\x04\x0a/v1/events";
/// What a flood sends at most before the test is lost.
const FLOOD_BYTES: usize = 64 << 20;

pub fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let length = u32::try_from(payload.len()).unwrap().to_be_bytes();
    let mut frame = length[1..].to_vec();
    frame.extend([kind, flags]);
    frame.extend(stream.to_be_bytes());
    frame.extend(payload);
    frame
}

/// A connection on which nothing was said yet.
pub fn connect(client: &Client) -> TcpStream {
    let stream = TcpStream::connect(&client.address).unwrap();
    stream.set_nodelay(true).unwrap();
    stream.set_read_timeout(Some(DEADLINE)).unwrap();
    stream.set_write_timeout(Some(DEADLINE)).unwrap();
    stream
}

/// The same, from an address of this machine.
pub fn connect_from(client: &Client, from: Ipv4Addr) -> TcpStream {
    connected(client, from, None)
}

/// A connection that takes a few KiB ahead of its reader, and no more.
pub fn connect_slow(client: &Client) -> TcpStream {
    connected(client, Ipv4Addr::LOCALHOST, Some(4096))
}

fn connected(client: &Client, from: Ipv4Addr, ahead_bytes: Option<u32>) -> TcpStream {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_io().build().unwrap();
    let stream = runtime.block_on(async {
        let socket = tokio::net::TcpSocket::new_v4().unwrap();
        socket.bind(SocketAddr::from((from, 0))).unwrap();
        ahead_bytes.into_iter().for_each(|bytes| socket.set_recv_buffer_size(bytes).unwrap());
        socket.connect(client.address.parse().unwrap()).await.unwrap().into_std().unwrap()
    });
    stream.set_nonblocking(false).unwrap();
    stream.set_nodelay(true).unwrap();
    stream.set_read_timeout(Some(DEADLINE)).unwrap();
    stream.set_write_timeout(Some(DEADLINE)).unwrap();
    stream
}

/// Says hello and then what `next` makes, until the server ends the connection; what it said is read meanwhile, so that
/// nothing but the server's own limits stops the flood.
pub fn flood(client: &Client, mut next: impl FnMut(u32) -> Vec<u8>) -> Vec<u8> {
    let mut stream = connect(client);
    stream.write_all(&[PREFACE, &frame(SETTINGS, 0, 0, b"")].concat()).unwrap();
    let mut reader = stream.try_clone().unwrap();
    let reading = std::thread::spawn(move || {
        let mut heard = Vec::new();
        // A reset is an end as well.
        let _ = reader.read_to_end(&mut heard);
        heard
    });
    let mut sent = 0;
    for n in 0.. {
        let bytes = next(n);
        sent += bytes.len();
        if stream.write_all(&bytes).is_err() {
            break;
        }
        assert!(sent < FLOOD_BYTES, "{sent} bytes were taken and the connection still stands");
    }
    let _ = stream.shutdown(Shutdown::Both);
    reading.join().unwrap()
}
