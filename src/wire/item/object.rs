//! A JSON object appended to a buffer, of members as they were sent and of members made here.

use super::envelope::Envelope;
use super::scan::{Field, Member};

pub(crate) struct Object<'o> {
    pub out: &'o mut Vec<u8>,
    empty: bool,
}

impl<'o> Object<'o> {
    pub(crate) fn open(out: &'o mut Vec<u8>) -> Self {
        out.push(b'{');
        Self { out, empty: true }
    }

    fn comma(&mut self) {
        if !self.empty {
            self.out.push(b',');
        }
        self.empty = false;
    }

    /// A key that needs no escape, of a value that is written next.
    pub(crate) fn key(&mut self, name: &str) {
        self.comma();
        self.out.push(b'"');
        self.out.extend_from_slice(name.as_bytes());
        self.out.extend_from_slice(b"\":");
    }

    pub(crate) fn member(&mut self, name: &str, value: &str) {
        self.key(name);
        self.out.extend_from_slice(value.as_bytes());
    }

    /// A member as its sender wrote it.
    pub(crate) fn copy<F: Field>(&mut self, envelope: &Envelope<'_, F>, member: &Member<F>) {
        self.comma();
        self.out.extend_from_slice(envelope.raw(member.key).as_bytes());
        self.out.push(b':');
        self.out.extend_from_slice(envelope.raw(member.value).as_bytes());
    }

    /// Whether it has members.
    pub(crate) fn close(self) -> bool {
        self.out.push(b'}');
        !self.empty
    }
}
