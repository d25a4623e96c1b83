//! The message of a unary gRPC call: a flag, a length of four bytes, and so many bytes, compressed if the flag says so.

use std::io;

const HEAD_BYTES: usize = 5;

/// What is around a message, while it comes in.
#[derive(Default)]
pub struct GrpcFrame {
    head: Vec<u8>,
    /// Bytes of the message that have come.
    taken: usize,
}

impl GrpcFrame {
    /// What of the next bytes is of the message.
    pub fn strip<'d>(&mut self, data: &'d [u8]) -> io::Result<&'d [u8]> {
        let (head, rest) = data.split_at(data.len().min(HEAD_BYTES - self.head.len()));
        self.head.extend_from_slice(head);
        let Some((_, length)) = self.head() else { return Ok(&[]) };
        self.taken += rest.len();
        if self.taken > length {
            return Err(invalid("there is more behind its message: one is sent with a call"));
        }
        Ok(rest)
    }

    /// Whether the message is compressed, once that is known.
    pub fn is_compressed(&self) -> io::Result<Option<bool>> {
        match self.head() {
            None => Ok(None),
            Some((flag @ (0 | 1), _)) => Ok(Some(flag == 1)),
            Some(_) => Err(invalid("it does not begin as a message of gRPC")),
        }
    }

    /// That the message has come whole.
    pub fn finish(&self) -> io::Result<()> {
        match self.head() {
            Some((_, length)) if self.taken == length => Ok(()),
            _ => Err(io::Error::new(io::ErrorKind::UnexpectedEof, "it ends early, before its message of gRPC does")),
        }
    }

    /// Flag and length.
    fn head(&self) -> Option<(u8, usize)> {
        let [flag, length @ ..] = <[u8; HEAD_BYTES]>::try_from(&*self.head).ok()?;
        Some((flag, u32::from_be_bytes(length) as usize))
    }
}

fn invalid(what: &'static str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, what)
}
