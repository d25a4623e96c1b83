//! Splits a body into items and scans each. A broken item costs itself where its end can be found, and otherwise the
//! rest of the body, which then is one item; what came before it stands.

use super::origin::BodyForm;
use super::scan::{Field, Poison, Scanner, Shape, Syntax, end_of_value};

/// What some editors put before UTF-8 text.
const BYTE_ORDER_MARK: &[u8] = b"\xef\xbb\xbf";

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
    /// One value, or, where that is allowed, an array of them.
    Document {
        array: bool,
    },
    /// Behind the array's bracket (`first`) or a comma.
    Element {
        first: bool,
    },
    /// Behind an element that neither comma nor bracket follows.
    Unclosed,
    Trailer,
    Done,
}

/// An iterator of sorts, which lends its scanner out between items.
#[derive(Debug)]
pub(crate) struct Splitter<'b> {
    body: &'b [u8],
    at: usize,
    state: SplitState,
    shape: Shape,
    item_bytes_max: usize,
}

impl<'b> Splitter<'b> {
    pub(crate) fn new(body: &'b [u8], form: BodyForm, shape: Shape, item_bytes_max: usize) -> Self {
        let state = match form {
            BodyForm::Ndjson => SplitState::Lines,
            BodyForm::Json | BodyForm::CloudEventBatch => SplitState::Document { array: true },
            BodyForm::CloudEvent => SplitState::Document { array: false },
        };
        let at = if body.starts_with(BYTE_ORDER_MARK) { BYTE_ORDER_MARK.len() } else { 0 };
        Self { body, at, state, shape, item_bytes_max }
    }

    /// The next item; the scanner then holds its members.
    pub(crate) fn next_item<F: Field>(&mut self, scanner: &mut Scanner<F>) -> Option<Item> {
        if self.state == SplitState::Lines {
            return self.line(scanner);
        }
        let before = self.at;
        self.skip_space();
        if self.state == (SplitState::Document { array: true }) && self.peek() == Some(b'[') {
            self.at += 1;
            self.state = SplitState::Element { first: true };
            return self.element(scanner);
        }
        match self.state {
            SplitState::Document { .. } => self.document(scanner),
            SplitState::Element { .. } => {
                self.at = before;
                self.element(scanner)
            }
            SplitState::Unclosed => Some(self.rest(before, "',' or ']'")),
            SplitState::Trailer => self.trailer(),
            SplitState::Lines | SplitState::Done => None,
        }
    }

    fn line<F: Field>(&mut self, scanner: &mut Scanner<F>) -> Option<Item> {
        while self.at < self.body.len() {
            let rest = &self.body[self.at..];
            let line = &rest[..memchr::memchr(b'\n', rest).unwrap_or(rest.len())];
            let text = line.trim_ascii_start();
            let start = self.at + line.len() - text.len();
            self.at += line.len() + 1;
            let text = text.trim_ascii_end();
            if text.is_empty() {
                continue;
            }
            let scan = match scanner.scan(text, self.shape, self.item_bytes_max) {
                Ok(scanned) if scanned.end == text.len() => Ok(scanned.poison),
                Ok(scanned) => Err(Syntax { at: scanned.end, expected: "the end of the line" }),
                Err(syntax) => Err(syntax),
            };
            return Some(Item { start, end: start + text.len(), scan });
        }
        None
    }

    fn document<F: Field>(&mut self, scanner: &mut Scanner<F>) -> Option<Item> {
        self.peek()?;
        let start = self.at;
        match scanner.scan(&self.body[start..], self.shape, self.item_bytes_max) {
            Ok(scanned) => {
                self.at = start + scanned.end;
                self.state = SplitState::Trailer;
                Some(Item { start, end: self.at, scan: Ok(scanned.poison) })
            }
            Err(syntax) => {
                self.state = SplitState::Done;
                Some(Item { start, end: self.body.len(), scan: Err(syntax) })
            }
        }
    }

    /// Called just behind the separator that precedes the element.
    fn element<F: Field>(&mut self, scanner: &mut Scanner<F>) -> Option<Item> {
        let separator = self.at - 1;
        self.skip_space();
        let start = self.at;
        match self.peek() {
            None => return Some(self.rest(separator, "a value or ']'")),
            Some(b']') if self.state == (SplitState::Element { first: true }) => {
                self.at += 1;
                self.state = SplitState::Trailer;
                return self.trailer();
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
                let end = start + scanned.end;
                self.at = end;
                self.skip_space();
                if !self.separator() {
                    self.at = end;
                    self.state = SplitState::Unclosed;
                }
                Some(Item { start, end, scan: Ok(scanned.poison) })
            }
            Err(syntax) => {
                if let Some(end) = end_of_value(self.body, start) {
                    self.at = end;
                    self.skip_space();
                    if self.separator() {
                        return Some(Item { start, end, scan: Err(syntax) });
                    }
                }
                self.state = SplitState::Done;
                Some(Item { start, end: self.body.len(), scan: Err(syntax) })
            }
        }
    }

    /// Passes the comma or the bracket that ends an element.
    fn separator(&mut self) -> bool {
        self.state = match self.peek() {
            Some(b',') => SplitState::Element { first: false },
            Some(b']') => SplitState::Trailer,
            _ => return false,
        };
        self.at += 1;
        true
    }

    fn trailer(&mut self) -> Option<Item> {
        self.skip_space();
        self.state = SplitState::Done;
        self.peek()?;
        Some(self.rest(self.at, "the end of the body (several items need an array, or application/x-ndjson)"))
    }

    /// All that is left, as one item.
    fn rest(&mut self, start: usize, expected: &'static str) -> Item {
        let at = self.at - start;
        self.state = SplitState::Done;
        Item { start, end: self.body.len(), scan: Err(Syntax { at, expected }) }
    }

    fn skip_space(&mut self) {
        while let Some(b' ' | b'\t' | b'\n' | b'\r') = self.peek() {
            self.at += 1;
        }
    }

    fn peek(&self) -> Option<u8> {
        self.body.get(self.at).copied()
    }
}
