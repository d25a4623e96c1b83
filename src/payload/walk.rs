//! Goes through the text of a value that is known to be JSON, and copies it with what is masked replaced.

use super::mask::{Action, Mask, MaskKey};
use super::path::Segment;
use super::text::unescaped;

/// How many bytes lie before the quote that ends a string, whose first quote has been read.
pub(super) fn string_end(inside: &[u8]) -> Option<usize> {
    let mut at = 0;
    loop {
        at += memchr::memchr2(b'"', b'\\', &inside[at..])?;
        if inside[at] == b'"' {
            return Some(at);
        }
        at += 2;
        if at > inside.len() {
            return None;
        }
    }
}

/// What is left of a mask below the value that is looked at.
#[derive(Clone, Copy)]
struct Left<'m> {
    segments: &'m [Segment],
    action: Action,
}

/// Steps that a hash counts for; one is a look at what a mask names, some nanoseconds.
const HASH_STEPS: usize = 1000;
/// Bytes that are hashed, or passed, in a step.
const BYTES_PER_STEP: usize = 16;

/// Appends a value's text with the masks applied; `text` is one value, and known to be JSON. What no mask names stays as it
/// was written. It counts down how many steps are left; when none is, it stops, and what it has written is of no use.
pub fn rewritten<'m>(
    text: &[u8],
    masks: impl IntoIterator<Item = &'m Mask>,
    key: &MaskKey<'_>,
    out: &mut Vec<u8>,
    steps_left: &mut u64,
) {
    let left: Vec<Left<'m>> =
        masks.into_iter().map(|mask| Left { segments: mask.path.segments(), action: mask.action }).collect();
    Writer { text, key, out, steps_left }.value(0, text.len(), &left);
}

struct Writer<'w> {
    text: &'w [u8],
    key: &'w MaskKey<'w>,
    out: &'w mut Vec<u8>,
    steps_left: &'w mut u64,
}

impl Writer<'_> {
    /// Whether some are left behind these.
    fn takes(&mut self, steps: usize) -> bool {
        *self.steps_left = self.steps_left.saturating_sub(steps as u64);
        *self.steps_left > 0
    }

    /// Copies the value between two places. It goes as deep as paths are long.
    fn value(&mut self, start: usize, end: usize, masks: &[Left<'_>]) {
        match self.text.get(start) {
            Some(b'{') if !masks.is_empty() => self.object(start, masks),
            Some(b'[') if !masks.is_empty() => self.array(start, masks),
            _ => self.out.extend_from_slice(&self.text[start..end]),
        }
    }

    fn object(&mut self, start: usize, masks: &[Left<'_>]) {
        self.out.push(b'{');
        let (mut at, mut is_first) = (self.space(start + 1), true);
        while self.text.get(at) == Some(&b'"') && self.takes(1 + masks.len()) {
            let key = at..self.end_of(at);
            let name = unescaped(&self.text[key.start + 1..key.end - 1]);
            let value_start = self.space(self.space(key.end) + 1);
            let value_end = self.end_of(value_start);
            let below = below(masks, |segment| segment.is_member(&name));
            if !below.iter().any(|left| left.segments.is_empty() && left.action == Action::Remove) {
                if !is_first {
                    self.out.push(b',');
                }
                is_first = false;
                self.out.extend_from_slice(&self.text[key]);
                self.out.push(b':');
                self.masked(value_start, value_end, &below);
            }
            at = self.behind_comma(value_end);
        }
        self.out.push(b'}');
    }

    fn array(&mut self, start: usize, masks: &[Left<'_>]) {
        self.out.push(b'[');
        let (mut at, mut index) = (self.space(start + 1), 0);
        while at < self.text.len() && self.text[at] != b']' && self.takes(1 + masks.len()) {
            let end = self.end_of(at);
            if index > 0 {
                self.out.push(b',');
            }
            let below = below(masks, |segment| segment.is_element(index));
            match below.iter().any(|left| left.segments.is_empty() && left.action == Action::Remove) {
                // The elements behind it keep their numbers.
                true => self.out.extend_from_slice(b"null"),
                false => self.masked(at, end, &below),
            }
            at = self.behind_comma(end);
            index += 1;
        }
        self.out.push(b']');
    }

    /// A value, hashed if a mask ends here.
    fn masked(&mut self, start: usize, end: usize, below: &[Left<'_>]) {
        let bytes = (end - start) / BYTES_PER_STEP;
        if below.iter().any(|left| left.segments.is_empty()) {
            self.takes(HASH_STEPS + bytes);
            self.key.put_hashed(&self.text[start..end], self.out);
        } else {
            self.takes(bytes);
            self.value(start, end, below);
        }
    }

    fn space(&self, mut at: usize) -> usize {
        while matches!(self.text.get(at), Some(b' ' | b'\t' | b'\n' | b'\r')) {
            at += 1;
        }
        at
    }

    /// Where the next member or element begins, or the container ends.
    fn behind_comma(&self, end: usize) -> usize {
        let at = self.space(end);
        if self.text.get(at) == Some(&b',') { self.space(at + 1) } else { at }
    }

    /// Where the value that begins here ends.
    fn end_of(&self, start: usize) -> usize {
        let whole = self.text.len();
        match self.text.get(start) {
            Some(b'"') => string_end(&self.text[start + 1..]).map_or(whole, |length| start + length + 2),
            Some(b'{' | b'[') => {
                let (mut at, mut open) = (start, 0usize);
                while let Some(byte) = self.text.get(at) {
                    match byte {
                        b'"' => at = string_end(&self.text[at + 1..]).map_or(whole, |length| at + length + 1),
                        b'{' | b'[' => open += 1,
                        b'}' | b']' => open -= 1,
                        _ => {}
                    }
                    at += 1;
                    if open == 0 {
                        break;
                    }
                }
                at.min(whole)
            }
            _ => {
                let ends = |byte: &u8| matches!(byte, b',' | b'}' | b']' | b' ' | b'\t' | b'\n' | b'\r');
                self.text[start..].iter().position(ends).map_or(whole, |length| start + length)
            }
        }
    }
}

/// What is left of the masks below a member or an element.
fn below<'m>(masks: &[Left<'m>], is_named: impl Fn(&Segment) -> bool) -> Vec<Left<'m>> {
    let step = |left: &Left<'m>| {
        let (first, segments) = left.segments.split_first()?;
        is_named(first).then_some(Left { segments, action: left.action })
    };
    masks.iter().filter_map(step).collect()
}
