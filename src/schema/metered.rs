//! A payload as the validator sees it: values, and a count of how often they are looked at.
//!
//! A schema that refers to itself several times at one place can take exponentially long, and one whose references lead far can
//! go deeper than a thread's stack, whatever bounds its text has. The validator has no way to stop; its looks at the payload are
//! counted here, and past a number of them, or beyond a depth of the stack, it is unwound. A look at text counts for as many as
//! the schema's expressions may need to go through it.

use std::borrow::Cow;
use std::cell::Cell;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};

use jsonschema::JsonType;
use jsonschema::json::{Array, Json, Node, NodeIdentity, Object};
use serde_json::{Map, Number, Value};

use crate::limits::SCHEMA_JUDGE_STACK_BYTES;

/// How many looks it is to go through 1 KiB of text.
#[derive(Debug, Clone, Copy, Default)]
pub struct TextLooks {
    /// Of a string.
    pub of_strings: u64,
    /// Of names of members.
    pub of_names: u64,
}

thread_local! {
    static LOOKS_LEFT: Cell<u64> = const { Cell::new(u64::MAX) };
    static TEXT_LOOKS: Cell<TextLooks> = const { Cell::new(TextLooks { of_strings: 0, of_names: 0 }) };
    /// Where the stack was when judging began; 0: it did not.
    static BEGAN_AT: Cell<usize> = const { Cell::new(0) };
}

/// About where the stack is.
#[inline]
fn stack_at() -> usize {
    let here = 0u8;
    std::ptr::from_ref(std::hint::black_box(&here)) as usize
}

/// What unwinds the validator.
struct TooManyLooks;

/// What `judge` finds, if it takes `looks_max` looks at most; and how many it took.
pub fn within<T>(looks_max: u64, text_looks: TextLooks, judge: impl FnOnce() -> T) -> (Option<T>, u64) {
    LOOKS_LEFT.set(looks_max);
    TEXT_LOOKS.set(text_looks);
    BEGAN_AT.set(stack_at());
    let judged = catch_unwind(AssertUnwindSafe(judge));
    let taken = looks_max - LOOKS_LEFT.replace(u64::MAX);
    TEXT_LOOKS.set(TextLooks::default());
    BEGAN_AT.set(0);
    match judged {
        Ok(found) => (Some(found), taken),
        Err(panic) if panic.is::<TooManyLooks>() => (None, taken),
        Err(panic) => resume_unwind(panic),
    }
}

#[inline]
fn look() {
    looks(1);
}

#[inline]
fn looks(count: u64) {
    let began_at = BEGAN_AT.get();
    let is_deep = began_at != 0 && began_at.abs_diff(stack_at()) > SCHEMA_JUDGE_STACK_BYTES;
    match LOOKS_LEFT.get().checked_sub(count) {
        Some(left) if !is_deep => LOOKS_LEFT.set(left),
        // Without the panic hook: nothing is wrong with the program.
        _ => {
            if !is_deep {
                LOOKS_LEFT.set(0);
            }
            resume_unwind(Box::new(TooManyLooks))
        }
    }
}

/// A look at text that an expression may go through.
#[inline]
fn look_through(text: &str, of: impl FnOnce(TextLooks) -> u64) {
    looks(1 + (text.len() as u64).saturating_mul(of(TEXT_LOOKS.get())) / 1024);
}

/// Values as serde_json has them, whose looks are counted.
pub struct Metered;

#[derive(Clone, Copy)]
pub struct Looked<'a>(pub &'a Value);

#[derive(Clone, Copy)]
pub struct Members<'a>(&'a Map<String, Value>);

#[derive(Clone, Copy)]
pub struct Elements<'a>(&'a [Value]);

impl Json for Metered {
    type Node<'a> = Looked<'a>;
    type PreparedKey = String;
    type StringBuffer = Value;

    const KEYS_PER_LOOKUP: usize = 2;

    fn prepare_key(key: &str) -> String {
        key.to_owned()
    }

    fn with_string_node<T>(buffer: &mut Value, string: &str, f: impl FnOnce(Looked<'_>) -> T) -> T {
        *buffer = Value::String(string.to_owned());
        f(Looked(buffer))
    }
}

impl<'a> Node<'a, Metered> for Looked<'a> {
    type Object = Members<'a>;
    type Array = Elements<'a>;
    type Number = &'a Number;

    fn as_object(&self) -> Option<Members<'a>> {
        look();
        self.0.as_object().map(Members)
    }

    fn as_array(&self) -> Option<Elements<'a>> {
        look();
        self.0.as_array().map(|elements| Elements(elements))
    }

    fn as_string(&self) -> Option<Cow<'a, str>> {
        let text = self.0.as_str();
        look_through(text.unwrap_or_default(), |looks| looks.of_strings);
        text.map(Cow::Borrowed)
    }

    fn string_length(&self) -> Option<u64> {
        look();
        self.0.as_str().map(|text| text.chars().count() as u64)
    }

    fn as_number(&self) -> Option<&'a Number> {
        look();
        match self.0 {
            Value::Number(number) => Some(number),
            _ => None,
        }
    }

    fn as_boolean(&self) -> Option<bool> {
        look();
        self.0.as_bool()
    }

    fn is_null(&self) -> bool {
        look();
        self.0.is_null()
    }

    fn json_type(&self) -> JsonType {
        look();
        JsonType::from(self.0)
    }

    fn equals_value(&self, expected: &Value) -> bool {
        look();
        Node::equals_value(&self.0, expected)
    }

    fn to_value(&self) -> Cow<'a, Value> {
        Cow::Borrowed(self.0)
    }

    /// Asked at each reference.
    fn identity(&self) -> Option<NodeIdentity> {
        look();
        Some(NodeIdentity::new(std::ptr::from_ref::<Value>(self.0) as usize))
    }
}

impl<'a> Object<'a, Metered> for Members<'a> {
    type Node = Looked<'a>;
    type MemberName = &'a str;
    type MembersIter = MembersIter<'a>;

    fn len(&self) -> usize {
        self.0.len()
    }

    fn get(&self, key: &String) -> Option<Looked<'a>> {
        look();
        self.0.get(key.as_str()).map(Looked)
    }

    fn members(&self) -> MembersIter<'a> {
        MembersIter(self.0.iter())
    }
}

impl<'a> Array<'a, Metered> for Elements<'a> {
    type Node = Looked<'a>;
    type ElementsIter = ElementsIter<'a>;

    fn len(&self) -> usize {
        self.0.len()
    }

    fn elements(&self) -> ElementsIter<'a> {
        ElementsIter(self.0.iter())
    }
}

pub struct MembersIter<'a>(serde_json::map::Iter<'a>);

impl<'a> Iterator for MembersIter<'a> {
    type Item = (&'a str, Looked<'a>);

    fn next(&mut self) -> Option<Self::Item> {
        let member = self.0.next();
        look_through(member.map_or("", |(name, _)| name.as_str()), |looks| looks.of_names);
        member.map(|(name, value)| (name.as_str(), Looked(value)))
    }
}

pub struct ElementsIter<'a>(std::slice::Iter<'a, Value>);

impl<'a> Iterator for ElementsIter<'a> {
    type Item = Looked<'a>;

    fn next(&mut self) -> Option<Self::Item> {
        look();
        self.0.next().map(Looked)
    }
}
