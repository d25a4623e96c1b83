//! A count of how often a payload is looked at while it is judged, and the stop when that is too often.
//!
//! A schema that refers to itself several times at one place can take exponentially long, and one whose references lead far can
//! go deeper than a thread's stack, whatever bounds its text has. The validator has no way to stop; its looks at the payload are
//! counted here, and past a number of them, or beyond a depth of the stack, it is unwound. What takes longer than a look counts
//! for as many as that is: going through text, through the digits of a number, and through values that are compared whole.

use std::cell::Cell;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};

use crate::limits::{
    SCHEMA_DIGITS_SQUARED_PER_LOOK, SCHEMA_JUDGE_STACK_BYTES, SCHEMA_LONG_NUMBER_DIGITS, SCHEMA_TEXT_BYTES_PER_LOOK,
};

/// How many looks it is for the schema's expressions to go through 1 KiB of text.
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
pub fn look() {
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

/// A look at text that is gone through once: it is counted, compared or hashed.
#[inline]
pub fn look_at_text(text: &str) {
    looks(1 + text.len() as u64 / SCHEMA_TEXT_BYTES_PER_LOOK);
}

/// A look at text that an expression may go through.
#[inline]
pub fn look_through(text: &str, of: impl FnOnce(TextLooks) -> u64) {
    looks(1 + (text.len() as u64).saturating_mul(of(TEXT_LOOKS.get())) / 1024);
}

/// A look at a number of so many digits: exact arithmetic takes the square of them, up to so many that it is not used any more.
#[inline]
pub fn look_at_number(digits: &str) {
    let exact = (digits.len() as u64).min(SCHEMA_LONG_NUMBER_DIGITS);
    looks(1 + exact * exact / SCHEMA_DIGITS_SQUARED_PER_LOOK + digits.len() as u64 / SCHEMA_TEXT_BYTES_PER_LOOK);
}
