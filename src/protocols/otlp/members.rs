//! Objects that are written only where they have members.

use crate::protocols::convert::Json;

/// The members of an object that is being written.
pub struct Members {
    before: &'static [u8],
    close: &'static [u8],
    any: bool,
}

impl Members {
    /// `open` is written before the first member, and `close` after the last one; neither if there is none.
    pub fn of(open: &'static [u8], close: &'static [u8]) -> Self {
        Self { before: open, close, any: false }
    }

    /// Where a member is written whose key is `name`, in quotes and with its colon.
    #[inline]
    pub fn member<'j, 'r>(&mut self, json: &'j mut Json<'r>, name: &'static [u8]) -> &'j mut Json<'r> {
        self.comma(json);
        json.raw(name);
        json
    }

    /// Members that are written already.
    pub fn copy(&mut self, json: &mut Json<'_>, members: &[u8]) {
        if !members.is_empty() {
            self.comma(json);
            json.raw(members);
        }
    }

    /// A number, unless it is 0, which is the same as none.
    #[inline]
    pub fn number(&mut self, json: &mut Json<'_>, name: &'static [u8], number: u64) {
        if number != 0 {
            self.member(json, name).u64(number);
        }
    }

    /// Text, unless it is empty, which is the same as none.
    #[inline]
    pub fn text(&mut self, json: &mut Json<'_>, name: &'static [u8], text: &[u8]) {
        if !text.is_empty() {
            self.member(json, name).string(text);
        }
    }

    /// Nanoseconds, as OTLP's own JSON writes them: they have more digits than many readers' numbers. 0 is none.
    #[inline]
    pub fn moment(&mut self, json: &mut Json<'_>, name: &'static [u8], ns: u64) {
        if ns != 0 {
            let json = self.member(json, name);
            json.raw(b"\"");
            json.u64(ns);
            json.raw(b"\"");
        }
    }

    #[inline]
    fn comma(&mut self, json: &mut Json<'_>) {
        json.raw(self.before);
        (self.before, self.any) = (b",", true);
    }

    /// Whether there is a member already.
    pub fn any(&self) -> bool {
        self.any
    }

    pub fn end(self, json: &mut Json<'_>) {
        if self.any {
            json.raw(self.close);
        }
    }
}
