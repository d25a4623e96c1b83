//! The scanner: one pass over an item's text that checks the whole JSON grammar, refuses what PostgreSQL cannot store
//! or would silently change, and notes where the item's members are. It neither recurses nor allocates per item, and
//! it copies nothing: payload text is later taken from the body as it was sent.

mod keys;
mod members;
mod text;

pub(crate) use members::{Field, JsonType, Member, NESTS_MAX, Span};
pub(crate) use text::Syntax;

use keys::{Keys, MAX_OPEN};
use text::{Flaw, next_special, number, string};

use super::reject::Code;
use crate::limits::JSON_DEPTH_MAX;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Shape {
    Envelope,
    /// Payload, the item as a whole.
    Wrapped,
}

/// What makes a grammatical item unacceptable.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Poison {
    pub code: Code,
    pub at: usize,
}

#[derive(Debug, Clone, Copy)]
pub(crate) struct Scanned {
    /// Its length in bytes.
    pub end: usize,
    /// The first thing wrong with it.
    pub poison: Option<Poison>,
}

/// The scanner, with buffers that items share. After a scan, `members` are the item's own, `nested` those of its
/// fields that have a list there, where they are objects.
#[derive(Debug)]
pub(crate) struct Scanner<F> {
    pub members: Vec<Member<F>>,
    pub nested: [Vec<Member<F>>; NESTS_MAX],
    keys: Keys,
}

impl<F: Field> Scanner<F> {
    pub(crate) fn new() -> Self {
        Self { members: Vec::new(), nested: [const { Vec::new() }; NESTS_MAX], keys: Keys::new() }
    }

    /// Scans the value at the start of `text`, which must not be white space. What follows it is not looked at.
    pub(crate) fn scan(&mut self, text: &[u8], shape: Shape, item_bytes_max: usize) -> Result<Scanned, Syntax> {
        self.members.clear();
        self.nested.iter_mut().for_each(Vec::clear);
        self.keys.clear();
        let enveloped = shape == Shape::Envelope && text.first() == Some(&b'{');
        let mut walk = Walk {
            text,
            at: 0,
            open: 0,
            open_max: if shape == Shape::Wrapped { JSON_DEPTH_MAX } else { MAX_OPEN },
            objects: 0,
            shape,
            growth: 0,
            poison: None,
            current: [Member::NONE; 2],
            records: if enveloped { 1 } else { 0 },
            scanner: self,
        };
        if text.first() != Some(&b'{') {
            walk.poison(Code::NotAnObject, 0);
        }
        walk.item()?;
        let expanded = i64::try_from(walk.at).unwrap_or(i64::MAX).saturating_add(walk.growth);
        if expanded > i64::try_from(item_bytes_max).unwrap_or(i64::MAX) {
            walk.poison(Code::NumberTooLarge, 0);
        }
        Ok(Scanned { end: walk.at, poison: walk.poison })
    }
}

struct Walk<'t, 's, F> {
    text: &'t [u8],
    at: usize,
    open: usize,
    open_max: usize,
    /// Bit n: the container at level n is an object.
    objects: u128,
    shape: Shape,
    growth: i64,
    poison: Option<Poison>,
    /// The member being read of the item, and of the object in it whose members are noted too.
    current: [Member<F>; 2],
    /// Down to which level members are noted: 0 none, 1 the item's, 2 those of an object in it too.
    records: usize,
    scanner: &'s mut Scanner<F>,
}

impl<F: Field> Walk<'_, '_, F> {
    fn item(&mut self) -> Result<(), Syntax> {
        loop {
            if self.value()? {
                continue;
            }
            loop {
                if self.open == 0 {
                    return Ok(());
                }
                if self.open <= self.records {
                    self.note_end();
                }
                self.skip_space();
                let object = self.in_object();
                match self.peek() {
                    Some(b',') => {
                        self.at += 1;
                        self.skip_space();
                        if object {
                            self.key()?;
                        }
                        break;
                    }
                    Some(b'}') if object => self.close(),
                    Some(b']') if !object => self.close(),
                    _ => return Err(self.expected(if object { "',' or '}'" } else { "',' or ']'" })),
                }
            }
        }
    }

    /// Reads a value or, of a container that is not empty, its beginning; says whether another value must follow.
    #[inline]
    fn value(&mut self) -> Result<bool, Syntax> {
        let start = self.at;
        let (kind, escaped) = match self.peek() {
            Some(b'"') => (JsonType::String, self.string()?),
            Some(open @ (b'{' | b'[')) => {
                let kind = if open == b'{' { JsonType::Object } else { JsonType::Array };
                self.note_start(start, kind, false);
                return self.container(open == b'{');
            }
            Some(b'-' | b'0'..=b'9') => {
                let number = number(self.text, start)?;
                self.at = number.end;
                self.growth = self.growth.saturating_add(number.growth);
                if number.too_large {
                    self.poison(Code::NumberTooLarge, start);
                }
                (JsonType::Number, false)
            }
            Some(b't') => (JsonType::Bool, self.word(b"true")?),
            Some(b'f') => (JsonType::Bool, self.word(b"false")?),
            Some(b'n') => (JsonType::Null, self.word(b"null")?),
            _ => return Err(self.expected("a value")),
        };
        self.note_start(start, kind, escaped);
        Ok(false)
    }

    fn container(&mut self, object: bool) -> Result<bool, Syntax> {
        if self.open == self.open_max {
            self.poison(Code::TooDeep, self.at);
            self.skip_container()?;
            return Ok(false);
        }
        if object && self.records == 1 && self.open == 1 && self.current[0].field.nest().is_some() {
            self.records = 2;
        }
        self.at += 1;
        self.open += 1;
        self.objects = self.objects & !(1 << self.open) | u128::from(object) << self.open;
        self.skip_space();
        if object {
            self.scanner.keys.open(self.open);
            if self.peek() == Some(b'}') {
                self.close();
                return Ok(false);
            }
            self.key()?;
        } else if self.peek() == Some(b']') {
            self.close();
            return Ok(false);
        }
        Ok(true)
    }

    fn close(&mut self) {
        if self.in_object() && self.scanner.keys.close(self.open, self.text) {
            self.poison(Code::DuplicateKey, self.at);
        }
        self.open -= 1;
        self.at += 1;
        if self.open == 1 && self.records == 2 {
            self.records = 1;
        }
    }

    fn key(&mut self) -> Result<(), Syntax> {
        if self.peek() != Some(b'"') {
            return Err(self.expected("a key in quotes"));
        }
        let start = self.at;
        let noted = self.open <= self.records;
        if noted && self.open == 1 {
            self.current[0] = Member::NONE;
        }
        let escaped = self.string()?;
        let end = self.at;
        let inserted = self.scanner.keys.insert(self.open, self.text, (start + 1, end - 1), escaped);
        if noted {
            let (field, rank) = F::lookup(inserted.name);
            self.current[self.open - 1] = Member { key: Span { start, end }, field, rank, ..Member::NONE };
        }
        if inserted.duplicate {
            self.poison(Code::DuplicateKey, start);
        }
        self.skip_space();
        if self.peek() != Some(b':') {
            return Err(self.expected("':'"));
        }
        self.at += 1;
        self.skip_space();
        Ok(())
    }

    #[inline]
    fn note_start(&mut self, start: usize, kind: JsonType, escaped: bool) {
        if self.open != 0 && self.open <= self.records {
            let member = &mut self.current[self.open - 1];
            (member.value.start, member.kind, member.escaped) = (start, kind, escaped);
        }
    }

    #[inline]
    fn note_end(&mut self) {
        let member = &mut self.current[self.open - 1];
        member.value.end = self.at;
        let list = match (self.open, self.current[0].field.nest()) {
            (2, Some(nest)) => &mut self.scanner.nested[nest],
            _ => &mut self.scanner.members,
        };
        list.push(self.current[self.open - 1]);
    }

    /// Says whether the string holds a backslash; nearly none does, nor ends anywhere but at its quote.
    #[inline]
    fn string(&mut self) -> Result<bool, Syntax> {
        let end = next_special(self.text, self.at + 1);
        if self.text.get(end) == Some(&b'"') {
            self.at = end + 1;
            return Ok(false);
        }
        self.special_string()
    }

    #[inline(never)]
    fn special_string(&mut self) -> Result<bool, Syntax> {
        let string = string(self.text, self.at)?;
        match string.flaw {
            None => {}
            Some(Flaw::Nul { at }) => self.poison(self.nul_code(), at),
            Some(Flaw::LoneSurrogate { at }) => self.poison(Code::LoneSurrogate, at),
        }
        self.at = string.end;
        Ok(string.escaped)
    }

    /// A key of the item itself is read before its field is known, and counts as unknown.
    fn nul_code(&self) -> Code {
        if self.shape == Shape::Wrapped { Code::PayloadNul } else { self.current[0].field.nul_code() }
    }

    fn word(&mut self, word: &[u8]) -> Result<bool, Syntax> {
        if !self.text[self.at..].starts_with(word) {
            return Err(self.expected("true, false or null"));
        }
        self.at += word.len();
        Ok(false)
    }

    /// Passes over a container that is too deep to be looked into, in constant memory.
    fn skip_container(&mut self) -> Result<(), Syntax> {
        self.at = end_of_container(self.text, self.at).ok_or(Syntax { at: self.text.len(), expected: "'}' or ']'" })?;
        Ok(())
    }

    #[inline]
    fn skip_space(&mut self) {
        while let Some(b' ' | b'\t' | b'\n' | b'\r') = self.peek() {
            self.at += 1;
        }
    }

    #[inline]
    fn peek(&self) -> Option<u8> {
        self.text.get(self.at).copied()
    }

    #[inline]
    fn in_object(&self) -> bool {
        self.objects >> self.open & 1 == 1
    }

    #[cold]
    fn poison(&mut self, code: Code, at: usize) {
        self.poison.get_or_insert(Poison { code, at });
    }

    #[cold]
    fn expected(&self, expected: &'static str) -> Syntax {
        Syntax { at: self.at, expected }
    }
}

/// Where the container at `start` ends, by brackets and quotes alone.
fn end_of_container(text: &[u8], start: usize) -> Option<usize> {
    let mut open = 0usize;
    let mut at = start;
    while let Some(&byte) = text.get(at) {
        match byte {
            b'"' => at = end_of_string(text, at)? - 1,
            b'{' | b'[' => open += 1,
            b'}' | b']' if open == 1 => return Some(at + 1),
            b'}' | b']' => open -= 1,
            _ => {}
        }
        at += 1;
    }
    None
}

fn end_of_string(text: &[u8], start: usize) -> Option<usize> {
    let mut at = start + 1;
    loop {
        at += memchr::memchr2(b'"', b'\\', text.get(at..)?)?;
        if text[at] == b'"' {
            return Some(at + 1);
        }
        at += 2;
    }
}
