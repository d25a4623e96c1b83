//! A proxy between Tidegate and PostgreSQL, on Unix sockets, that loses connections on demand. Each fault is one call,
//! and the proxy counts what it did, so that a test knows that the fault took effect.

use std::io::{self, Read, Write};
use std::net::Shutdown;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::SeqCst};
use std::sync::{Arc, Mutex};

use tempfile::TempDir;

/// Where in a COMMIT a connection is lost.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Cut {
    /// PostgreSQL never hears of it.
    BeforeCommit,
    /// PostgreSQL has committed and answered; the answer is lost.
    AfterCommit,
}

#[derive(Default)]
struct State {
    /// The next COMMIT meets this.
    armed: Mutex<Option<Cut>>,
    cuts: AtomicUsize,
    away: AtomicBool,
    refused: AtomicUsize,
    open: Mutex<Vec<UnixStream>>,
}

/// A running proxy.
pub struct Proxy {
    dir: TempDir,
    state: Arc<State>,
}

impl Proxy {
    /// Listens under the name that PostgreSQL's socket has, in a folder of its own.
    pub fn start(server: &Path) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let listener = UnixListener::bind(dir.path().join(server.file_name().unwrap())).unwrap();
        let state = Arc::new(State::default());
        let (shared, server) = (Arc::clone(&state), server.to_owned());
        std::thread::spawn(move || {
            for client in listener.incoming().flatten() {
                if shared.away.load(SeqCst) {
                    shared.refused.fetch_add(1, SeqCst);
                    continue;
                }
                let (shared, server) = (Arc::clone(&shared), server.clone());
                std::thread::spawn(move || forward(client, &server, &shared));
            }
        });
        Self { dir, state }
    }

    /// The folder to connect to instead of the server's.
    pub fn folder(&self) -> PathBuf {
        self.dir.path().to_owned()
    }

    /// The next COMMIT on any connection loses it.
    pub fn cut_next(&self, cut: Cut) {
        *self.state.armed.lock().unwrap() = Some(cut);
    }

    /// How many COMMITs lost their connection so far.
    pub fn cuts(&self) -> usize {
        self.state.cuts.load(SeqCst)
    }

    /// Every connection is lost and no new one is made, until [`Proxy::back`].
    pub fn away(&self) {
        self.state.away.store(true, SeqCst);
        for stream in self.state.open.lock().unwrap().drain(..) {
            let _ = stream.shutdown(Shutdown::Both);
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

fn forward(client: UnixStream, server: &Path, state: &Arc<State>) {
    let Ok(server) = UnixStream::connect(server) else { return };
    state.open.lock().unwrap().extend([client.try_clone().unwrap(), server.try_clone().unwrap()]);
    let muted = Arc::new(AtomicBool::new(false));
    let (from, to) = (server.try_clone().unwrap(), client.try_clone().unwrap());
    let (answers_muted, answers_state) = (Arc::clone(&muted), Arc::clone(state));
    std::thread::spawn(move || {
        let _ = answers(&from, &to, &answers_muted, &answers_state);
        let _ = (from.shutdown(Shutdown::Both), to.shutdown(Shutdown::Both));
    });
    let _ = requests(&client, &server, &muted, state);
    let _ = (client.shutdown(Shutdown::Both), server.shutdown(Shutdown::Both));
}

/// Client to server, message by message.
fn requests(mut client: &UnixStream, mut server: &UnixStream, muted: &AtomicBool, state: &State) -> io::Result<()> {
    // The first message has no type byte.
    let mut typed = false;
    loop {
        let mut message = vec![0; 4 + usize::from(typed)];
        client.read_exact(&mut message)?;
        let length: [u8; 4] = message[usize::from(typed)..].try_into().unwrap();
        let head = message.len();
        message.resize(head + usize::try_from(u32::from_be_bytes(length)).unwrap() - 4, 0);
        client.read_exact(&mut message[head..])?;
        if typed && message[0] == b'Q' && &message[head..] == b"COMMIT\0" {
            match state.armed.lock().unwrap().take() {
                Some(Cut::BeforeCommit) => {
                    state.cuts.fetch_add(1, SeqCst);
                    return Ok(());
                }
                Some(Cut::AfterCommit) => muted.store(true, SeqCst),
                None => {}
            }
        }
        server.write_all(&message)?;
        typed = true;
    }
}

/// Server to client; once muted, the next answer is read to its end and then kept back for ever.
fn answers(mut server: &UnixStream, mut client: &UnixStream, muted: &AtomicBool, state: &State) -> io::Result<()> {
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
