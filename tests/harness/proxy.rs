//! A TCP proxy between Tidegate and PostgreSQL that does harm on demand. Each fault is one call; the proxy counts what it
//! did, so that a test knows that the fault took effect.

use std::io::{self, Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::SeqCst};
use std::sync::{Arc, Condvar, Mutex};

use nix::sys::socket::{setsockopt, sockopt};

/// Its length, and the number that stands for a version.
const SSL_REQUEST: [u8; 8] = [0, 0, 0, 8, 4, 210, 22, 47];

/// Where in a COMMIT a connection is lost.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Cut {
    /// PostgreSQL never hears of it.
    BeforeCommit,
    /// PostgreSQL has committed and answered; the answer is lost.
    AfterCommit,
}

/// A place in what a writer says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Point {
    /// Half of the first data of a COPY has been passed on.
    CopyData,
    /// The data are there, their end is not.
    CopyDone,
    /// COMMIT has not been passed on.
    Commit,
}

/// What happens next on a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Fault {
    Cut(Cut),
    Hold(Point),
}

#[derive(Default)]
struct State {
    target: Mutex<PathBuf>,
    armed: Mutex<Option<Fault>>,
    cuts: AtomicUsize,
    away: AtomicBool,
    refused: AtomicUsize,
    /// Connections that wait at a point, so far.
    held: AtomicUsize,
    /// How many of them may go on.
    released: Mutex<usize>,
    release: Condvar,
    open: Mutex<Vec<(TcpStream, UnixStream)>>,
}

/// A running proxy.
pub struct Proxy {
    port: u16,
    state: Arc<State>,
}

impl Proxy {
    /// Listens on a free port, for a server's Unix socket.
    pub fn start(server: &Path) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let state = Arc::new(State { target: Mutex::new(server.to_owned()), ..State::default() });
        let shared = Arc::clone(&state);
        std::thread::spawn(move || {
            for client in listener.incoming().flatten() {
                if shared.away.load(SeqCst) {
                    reset(&client);
                    shared.refused.fetch_add(1, SeqCst);
                    continue;
                }
                let shared = Arc::clone(&shared);
                std::thread::spawn(move || forward(client, &shared));
            }
        });
        Self { port, state }
    }

    /// A connection string that leads through the proxy.
    pub fn url(&self, role: &str, database: &str) -> String {
        format!("host=127.0.0.1 port={} user={role} dbname={database}", self.port)
    }

    pub fn port(&self) -> u16 {
        self.port
    }

    /// New connections lead to another server; those that are open stay as they are.
    pub fn lead_to(&self, server: &Path) {
        *self.state.target.lock().unwrap() = server.to_owned();
    }

    /// The next COMMIT on any connection loses it.
    pub fn cut_next(&self, cut: Cut) {
        *self.state.armed.lock().unwrap() = Some(Fault::Cut(cut));
    }

    /// How many COMMITs lost their connection so far.
    pub fn cuts(&self) -> usize {
        self.state.cuts.load(SeqCst)
    }

    /// The next connection that comes to this point stays there, neither lost nor alive.
    pub fn hold_next(&self, point: Point) {
        *self.state.armed.lock().unwrap() = Some(Fault::Hold(point));
    }

    /// Connections that came to where they had to wait, so far.
    pub fn held(&self) -> usize {
        self.state.held.load(SeqCst)
    }

    /// Whatever waits goes on.
    pub fn release(&self) {
        *self.state.released.lock().unwrap() = self.held();
        self.state.release.notify_all();
    }

    /// Every connection is lost and no new one is made, until [`Proxy::back`].
    pub fn away(&self) {
        self.state.away.store(true, SeqCst);
        self.reset_all();
    }

    /// Every connection is lost; new ones are made.
    pub fn reset_all(&self) {
        for (client, server) in self.state.open.lock().unwrap().drain(..) {
            lose(&client, &server);
        }
    }

    pub fn back(&self) {
        self.state.away.store(false, SeqCst);
    }

    /// Connections that were tried in vain.
    pub fn refused(&self) -> usize {
        self.state.refused.load(SeqCst)
    }
}

/// Closing now sends RST: "connection reset by peer".
fn reset(client: &TcpStream) {
    let abrupt = nix::libc::linger { l_onoff: 1, l_linger: 0 };
    let _ = setsockopt(client, sockopt::Linger, &abrupt);
}

/// Both sides end, at once, also for the threads that read them.
fn lose(client: &TcpStream, server: &UnixStream) {
    reset(client);
    let _ = (client.shutdown(Shutdown::Both), server.shutdown(Shutdown::Both));
}

fn forward(client: TcpStream, state: &Arc<State>) {
    let target = state.target.lock().unwrap().clone();
    let Ok(server) = UnixStream::connect(target) else { return reset(&client) };
    let _ = client.set_nodelay(true);
    state.open.lock().unwrap().push((client.try_clone().unwrap(), server.try_clone().unwrap()));
    // While the list was taken, the database may have gone.
    if state.away.load(SeqCst) {
        return lose(&client, &server);
    }
    let muted = Arc::new(AtomicBool::new(false));
    let (from, to) = (server.try_clone().unwrap(), client.try_clone().unwrap());
    let (answers_muted, answers_state) = (Arc::clone(&muted), Arc::clone(state));
    std::thread::spawn(move || {
        let _ = answers(&from, &to, &answers_muted, &answers_state);
        lose(&to, &from);
    });
    let _ = requests(&client, &server, &muted, state);
    lose(&client, &server);
}

/// Client to server, message by message.
fn requests(mut client: &TcpStream, mut server: &UnixStream, muted: &AtomicBool, state: &State) -> io::Result<()> {
    // The first message has no type byte.
    let mut typed = false;
    loop {
        let mut message = vec![0; 4 + usize::from(typed)];
        client.read_exact(&mut message)?;
        let length: [u8; 4] = message[usize::from(typed)..].try_into().unwrap();
        let head = message.len();
        message.resize(head + usize::try_from(u32::from_be_bytes(length)).unwrap() - 4, 0);
        client.read_exact(&mut message[head..])?;
        let mut sent = 0;
        if typed {
            match take(state, &message) {
                Some(Fault::Cut(Cut::BeforeCommit)) => {
                    state.cuts.fetch_add(1, SeqCst);
                    return Ok(());
                }
                Some(Fault::Cut(Cut::AfterCommit)) => muted.store(true, SeqCst),
                Some(Fault::Hold(point)) => {
                    if point == Point::CopyData {
                        sent = message.len() / 2;
                        server.write_all(&message[..sent])?;
                    }
                    hold(state);
                }
                None => {}
            }
        }
        server.write_all(&message[sent..])?;
        // A question whether TLS is spoken comes before the first message, and has no type byte either; a Unix socket says no.
        typed |= message != SSL_REQUEST;
    }
}

/// The fault that is armed, if it is meant for this message.
fn take(state: &State, message: &[u8]) -> Option<Fault> {
    let point = match (message[0], &message[5..]) {
        (b'd', _) => Point::CopyData,
        (b'c', _) => Point::CopyDone,
        (b'Q', b"COMMIT\0") => Point::Commit,
        _ => return None,
    };
    let mut armed = state.armed.lock().unwrap();
    let fault = (*armed)?;
    let meant = match fault {
        Fault::Cut(_) => point == Point::Commit,
        Fault::Hold(at) => point == at,
    };
    if meant { armed.take() } else { None }
}

fn hold(state: &State) {
    let turn = state.held.fetch_add(1, SeqCst) + 1;
    let released = state.released.lock().unwrap();
    drop(state.release.wait_while(released, |released| *released < turn).unwrap());
}

/// Server to client; once muted, the next answer is read to its end and then kept back forever.
fn answers(mut server: &UnixStream, mut client: &TcpStream, muted: &AtomicBool, state: &State) -> io::Result<()> {
    let mut buffer = vec![0; 64 * 1024];
    let mut kept = Vec::new();
    loop {
        let size = server.read(&mut buffer)?;
        if size == 0 {
            return Ok(());
        }
        if !muted.load(SeqCst) {
            client.write_all(&buffer[..size])?;
            continue;
        }
        kept.extend_from_slice(&buffer[..size]);
        // CommandComplete "COMMIT", then ReadyForQuery "idle".
        if kept.ends_with(b"COMMIT\0Z\0\0\0\x05I") {
            state.cuts.fetch_add(1, SeqCst);
            return Ok(());
        }
    }
}
