//! Splits a body into items and scans each: documents behind each other, whatever white space is between them, of which
//! an array stands for its elements; or lines. A broken item costs itself where its end can be found (`recover`), and
//! otherwise the rest of the body, which then is one item; what came before it stands.

use super::origin::BodyForm;
use super::recover::{RECORD_SEPARATOR, Resume, resume};
use super::scan::{Field, Poison, Scanner, Shape, Syntax};

/// What some editors put before UTF-8 text, also where several files were put together.
const BYTE_ORDER_MARK: &[u8] = b"\xef\xbb\xbf";
/// How many times its own length a body may cost in scans that fail: what is broken on purpose is read to its end from
/// every line again.
const WASTE_FACTOR: usize = 8;

/// An item and what the scanner made of it.
#[derive(Debug)]
pub(crate) struct Item {
    pub start: usize,
    pub end: usize,
    /// Positions are within the item.
    pub scan: Result<Option<Poison>, Syntax>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum SplitState {
    Lines,
    /// Before a document, or behind one.
    Documents,
    /// Behind an array's bracket (`first`), a comma, or an element that the next follows without one.
    Element {
        first: bool,
    },
    /// Behind an element, where the body ends or a new record begins.
    Unclosed,
    Done,
}

/// An iterator of sorts, which lends its scanner out between items.
#[derive(Debug)]
pub(crate) struct Splitter<'b> {
    body: &'b [u8],
    at: usize,
    state: SplitState,
    /// Arrays are no items, but their elements are.
    arrays: bool,
    /// A document was read: the body is JSON, whatever else is in it.
    json: bool,
    /// Where the line begins that an item before stood in.
    line_start: usize,
    /// Bytes that scans may still have read in vain.
    waste_left: usize,
    shape: Shape,
    item_bytes_max: usize,
}

impl<'b> Splitter<'b> {
    pub(crate) fn new(body: &'b [u8], form: BodyForm, shape: Shape, item_bytes_max: usize) -> Self {
        let state = if matches!(form, BodyForm::Ndjson | BodyForm::Converted) {
            SplitState::Lines
        } else {
            SplitState::Documents
        };
        let arrays = matches!(form, BodyForm::Json | BodyForm::CloudEventBatch);
        let waste_left = body.len().saturating_mul(WASTE_FACTOR);
        Self { body, at: 0, state, arrays, json: false, line_start: 0, waste_left, shape, item_bytes_max }
    }

    /// The next item; the scanner then holds its members.
    pub(crate) fn next_item<F: Field>(&mut self, scanner: &mut Scanner<F>) -> Option<Item> {
        loop {
            match self.state {
                SplitState::Lines => return self.line(scanner),
                SplitState::Documents => {
                    self.skip_between();
                    if !(self.arrays && self.peek()? == b'[') {
                        return self.document(scanner);
                    }
                    self.at += 1;
                    self.state = SplitState::Element { first: true };
                }
                SplitState::Element { first } => {
                    if let Some(item) = self.element(scanner, first) {
                        return Some(item);
                    }
                }
                SplitState::Unclosed => return Some(self.unclosed(self.at, "',' or ']'")),
                SplitState::Done => return None,
            }
        }
    }

    fn line<F: Field>(&mut self, scanner: &mut Scanner<F>) -> Option<Item> {
        self.skip_between();
        let start = self.at;
        let rest = self.body.get(start..).filter(|rest| !rest.is_empty())?;
        let line = &rest[..memchr::memchr(b'\n', rest).unwrap_or(rest.len())];
        self.at += line.len() + 1;
        let text = line.trim_ascii_end();
        let scan = match scanner.scan(text, self.shape, self.item_bytes_max) {
            Ok(scanned) if scanned.end == text.len() => Ok(scanned.poison),
            Ok(scanned) => Err(Syntax { at: scanned.end, expected: "the end of the line" }),
            // Cut off at the line's end: perhaps a document over several lines.
            Err(syntax) if syntax.at >= text.len() => match self.lines(scanner, start) {
                Some(item) => return Some(item),
                None => Err(syntax),
            },
            Err(syntax) => Err(syntax),
        };
        Some(Item { start, end: start + text.len(), scan })
    }

    /// The object at `start`, if it is one over several lines and ends where a line does.
    #[cold]
    fn lines<F: Field>(&mut self, scanner: &mut Scanner<F>, start: usize) -> Option<Item> {
        let text = &self.body[start..];
        if text[0] != b'{' || self.waste_left == 0 {
            return None;
        }
        match scanner.scan(text, self.shape, self.item_bytes_max) {
            Ok(scanned) => {
                let behind = &text[scanned.end..];
                let line_end = memchr::memchr(b'\n', behind).unwrap_or(behind.len());
                if !behind[..line_end].trim_ascii().is_empty() {
                    self.waste(scanned.end);
                    return None;
                }
                let end = start + scanned.end;
                self.at = end + line_end + 1;
                Some(Item { start, end, scan: Ok(scanned.poison) })
            }
            Err(syntax) => {
                self.waste(syntax.at);
                None
            }
        }
    }

    fn document<F: Field>(&mut self, scanner: &mut Scanner<F>) -> Option<Item> {
        let start = self.at;
        let first = self.peek()?;
        match scanner.scan(&self.body[start..], self.shape, self.item_bytes_max) {
            Ok(scanned) => {
                self.json = true;
                self.at = start + scanned.end;
                Some(Item { start, end: self.at, scan: Ok(scanned.poison) })
            }
            // Text that is no JSON may well have some in it.
            Err(syntax) if !self.json && !matches!(first, b'{' | b'[') => Some(self.rest_of(start, syntax)),
            Err(syntax) if matches!(first, b'}' | b']') => {
                self.at += 1;
                Some(Item { start, end: self.at, scan: Err(syntax) })
            }
            Err(syntax) => Some(self.broken(start, syntax)),
        }
    }

    /// None: the array has ended.
    fn element<F: Field>(&mut self, scanner: &mut Scanner<F>, first: bool) -> Option<Item> {
        // Just behind the separator that precedes the element.
        let separator = self.at - 1;
        self.skip_space();
        let start = self.at;
        match self.peek() {
            None | Some(RECORD_SEPARATOR) => return Some(self.unclosed(separator, "a value or ']'")),
            Some(b']') if first => {
                self.at += 1;
                self.state = SplitState::Documents;
                return None;
            }
            Some(b',' | b']') => {
                let scan = Err(Syntax { at: start - separator, expected: "a value" });
                self.separator();
                return Some(Item { start: separator, end: start, scan });
            }
            Some(_) => {}
        }
        match scanner.scan(&self.body[start..], self.shape, self.item_bytes_max) {
            Ok(scanned) => {
                self.json = true;
                self.at = start + scanned.end;
                let end = self.at;
                self.separator();
                Some(Item { start, end, scan: Ok(scanned.poison) })
            }
            Err(syntax) => Some(self.broken(start, syntax)),
        }
    }

    /// A document or an element that breaks the grammar, up to where the structure goes on.
    #[cold]
    fn broken(&mut self, start: usize, syntax: Syntax) -> Item {
        self.waste(syntax.at);
        let in_array = matches!(self.state, SplitState::Element { .. });
        if let Some(at) = memchr::memrchr(b'\n', &self.body[self.line_start..start]) {
            self.line_start += at + 1;
        }
        let found = if self.waste_left == 0 { None } else { resume(self.body, start, self.line_start, in_array) };
        let Some(Resume { end, next, record }) = found else { return self.rest_of(start, syntax) };
        self.at = next;
        if !in_array || (record && matches!(self.peek(), Some(b'[' | RECORD_SEPARATOR))) {
            // An array that was left open before it ends with it.
            self.state = SplitState::Documents;
        } else if record {
            self.state = SplitState::Element { first: false };
        } else {
            self.separator();
            if self.state == SplitState::Unclosed && self.body[next..].trim_ascii().is_empty() {
                return self.rest_of(start, syntax);
            }
        }
        Item { start, end, scan: Err(syntax) }
    }

    fn waste(&mut self, bytes: usize) {
        self.waste_left = self.waste_left.saturating_sub(bytes);
    }

    /// Passes what follows an element: a comma, or the bracket that ends the array. Where the comma is missing, the next
    /// element is still seen by its bracket.
    fn separator(&mut self) {
        let end = self.at;
        self.skip_space();
        self.state = match self.peek() {
            Some(b',') => SplitState::Element { first: false },
            Some(b']') => SplitState::Documents,
            None | Some(b'[' | RECORD_SEPARATOR) => {
                self.at = end;
                SplitState::Unclosed
            }
            Some(_) => {
                self.state = SplitState::Element { first: false };
                return;
            }
        };
        if self.state != SplitState::Unclosed {
            self.at += 1;
        }
    }

    /// What is left of an array that does not close, as an item.
    fn unclosed(&mut self, start: usize, expected: &'static str) -> Item {
        self.skip_space();
        self.state = SplitState::Documents;
        Item { start, end: self.at, scan: Err(Syntax { at: self.at - start, expected }) }
    }

    /// All that is left, as one item.
    fn rest_of(&mut self, start: usize, syntax: Syntax) -> Item {
        self.state = SplitState::Done;
        Item { start, end: self.body.len(), scan: Err(syntax) }
    }

    /// White space of JSON.
    fn skip_space(&mut self) {
        while let Some(b' ' | b'\t' | b'\n' | b'\r') = self.peek() {
            self.at += 1;
        }
    }

    /// What may be between documents: white space and what separates records; commas behind a document.
    fn skip_between(&mut self) {
        while let Some(byte) = self.peek() {
            self.at += match byte {
                b' ' | b'\t' | b'\n' | b'\r' | b'\x0c' | RECORD_SEPARATOR => 1,
                b',' if self.json && self.state == SplitState::Documents => 1,
                _ if self.body[self.at..].starts_with(BYTE_ORDER_MARK) => BYTE_ORDER_MARK.len(),
                _ => return,
            }
        }
    }

    fn peek(&self) -> Option<u8> {
        self.body.get(self.at).copied()
    }
}
