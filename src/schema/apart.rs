//! Whether no payload can keep several schemas at once: by its type, by the values that are listed, or by a member that it must have.
//! What is not found is no contradiction.

use serde_json::Value;

use super::equality::Values;
use super::rules::{Rules, types_of};
use crate::limits::SCHEMA_VALUES_PER_STEP;

/// How deep members and choices are followed.
const DEPTH: usize = 6;

/// A schema, and the document in which its references lead on.
#[derive(Clone, Copy)]
pub struct Of<'r, 's> {
    pub schema: &'s Value,
    pub rules: &'r Rules<'s>,
}

/// Whether all of them together take nothing. It takes steps from those that are left.
pub fn are_apart(of: &[Of<'_, '_>], steps_left: &mut usize) -> bool {
    are_apart_within(of, DEPTH, steps_left)
}

fn are_apart_within(of: &[Of<'_, '_>], depth: usize, steps_left: &mut usize) -> bool {
    let Some(all) = conjuncts(of, steps_left).filter(|_| *steps_left > 0) else { return false };
    let schemas: Vec<&Value> = all.iter().map(|one| one.schema).collect();
    if schemas.iter().any(|schema| **schema == Value::Bool(false)) {
        return true;
    }
    let types = types_of(&schemas);
    if types.is_empty() || differ(&schemas, steps_left) {
        return true;
    }
    if depth == 0 {
        return false;
    }
    if types == ["object"] && member_is_apart(&all, depth, steps_left) {
        return true;
    }
    all.iter().any(|one| {
        let choices = one.rules.choices(&[one.schema]);
        choices.iter().any(|choices| {
            choices.iter().all(|choice| {
                let with: Vec<Of<'_, '_>> = all.iter().copied().chain([Of { schema: choice, ..*one }]).collect();
                are_apart_within(&with, depth - 1, steps_left)
            })
        })
    })
}

/// With those that are put together by `allOf` and references.
fn conjuncts<'r, 's>(of: &[Of<'r, 's>], steps_left: &mut usize) -> Option<Vec<Of<'r, 's>>> {
    let mut all: Vec<Of<'r, 's>> = Vec::new();
    for one in of {
        for schema in one.rules.conjuncts(&[one.schema], steps_left)? {
            if !all.iter().any(|known| std::ptr::eq(known.schema, schema)) {
                all.push(Of { schema, ..*one });
            }
        }
    }
    Some(all)
}

/// Whether two of them list values of which none is the same.
fn differ(schemas: &[&Value], steps_left: &mut usize) -> bool {
    let lists: Vec<&[Value]> = schemas
        .iter()
        .flat_map(|schema| {
            let one = schema.get("const").map(std::slice::from_ref);
            [one, schema.get("enum").and_then(Value::as_array).map(Vec::as_slice)]
        })
        .flatten()
        .collect();
    let mut apart = |one: &[Value], other: &[Value]| {
        *steps_left = steps_left.saturating_sub((one.len() + other.len()) / SCHEMA_VALUES_PER_STEP);
        let others = Values::of(other);
        !one.iter().any(|value| others.has(value))
    };
    lists.iter().enumerate().any(|(n, one)| lists[n + 1..].iter().any(|other| apart(one, other)))
}

/// Whether a member that must be there can be nothing.
fn member_is_apart<'r, 's>(all: &[Of<'r, 's>], depth: usize, steps_left: &mut usize) -> bool {
    let required = all.iter().filter_map(|one| one.schema.get("required").and_then(Value::as_array));
    let mut names: Vec<&str> = required.flatten().filter_map(Value::as_str).collect();
    names.sort_unstable();
    names.dedup();
    names.into_iter().any(|name| {
        let of_it = |one: &Of<'r, 's>| Rules::member(&[one.schema], name).first().map(|schema| Of { schema, ..*one });
        let members: Vec<Of<'r, 's>> = all.iter().filter_map(of_it).collect();
        are_apart_within(&members, depth - 1, steps_left)
    })
}
