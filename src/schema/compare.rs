//! Whether one version of a schema takes all that another one takes.
//!
//! Schemas are compared rule by rule: a rule of the wider one holds if a rule of the narrower one says as much. That proves
//! what people change in practice (types, members, bounds, lists of values), and is bounded in steps. What cannot be shown
//! counts as a difference: a promise of compatibility is kept or not made.

use std::collections::HashSet;

use serde_json::{Map, Value};

use super::rules::{Bound, Rules, is_annotation, is_at_least, is_multiple, types_of};
use crate::limits::{SCHEMA_COMPARE_DEPTH_MAX, SCHEMA_COMPARE_STEPS, SCHEMA_REASONS_MAX};

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Direction {
    /// What the old one takes, the new one takes too: readers that know the new one can read what is there.
    Backward,
    /// What the new one takes, the old one takes too: readers that know the old one can read what comes.
    Forward,
}

/// Why they are not compatible, rule by rule; empty: they are.
pub fn compare(old: &Value, new: &Value, direction: Direction) -> Vec<String> {
    let (narrow, wide) = match direction {
        Direction::Backward => (old, new),
        Direction::Forward => (new, old),
    };
    let whose = match direction {
        Direction::Backward => "the version before takes payloads that it refuses",
        Direction::Forward => "it takes payloads that the version before refuses",
    };
    let mut comparison = Comparison {
        narrow: Rules::of(narrow),
        wide: Rules::of(wide),
        steps_left: SCHEMA_COMPARE_STEPS,
        assumed: HashSet::new(),
        reasons: Vec::new(),
    };
    let covered = comparison.covers(&[narrow], wide, "");
    let told = |at: String| {
        format!("{}: {whose}, or it cannot be shown that it does not", if at.is_empty() { "/" } else { &at })
    };
    if comparison.steps_left == 0 || !covered && comparison.reasons.is_empty() {
        comparison.reasons = vec!["/".to_owned()];
    }
    comparison.reasons.into_iter().map(told).collect()
}

struct Comparison<'s> {
    narrow: Rules<'s>,
    wide: Rules<'s>,
    steps_left: usize,
    /// Pairs that are being compared: a schema that refers to itself comes to them again.
    assumed: HashSet<(Vec<usize>, usize)>,
    /// Where the wider one asks for more.
    reasons: Vec<String>,
}

fn address(schema: &Value) -> usize {
    std::ptr::from_ref(schema) as usize
}

impl<'s> Comparison<'s> {
    /// Whether `wide` takes all that every one of `narrow` takes; notes where it does not.
    fn covers(&mut self, narrow: &[&'s Value], wide: &'s Value, at: &str) -> bool {
        self.steps_left = self.steps_left.saturating_sub(1);
        if self.steps_left == 0 {
            return false;
        }
        match wide {
            Value::Bool(true) => return true,
            Value::Object(rules) if rules.keys().all(|name| is_annotation(name)) => return true,
            _ => {}
        }
        if self.assumed.len() >= SCHEMA_COMPARE_DEPTH_MAX {
            return self.differs(at);
        }
        let pair = (narrow.iter().map(|schema| address(schema)).collect(), address(wide));
        if !self.assumed.insert(pair.clone()) {
            return true;
        }
        let covered = match (self.narrow.conjuncts(narrow, &mut self.steps_left), wide) {
            (Some(all), _) if all.iter().any(|schema| **schema == Value::Bool(false)) => true,
            (Some(all), Value::Object(rules)) => self.covers_rules(&all, rules, at),
            _ => self.differs(at),
        };
        self.assumed.remove(&pair);
        covered
    }

    fn differs(&mut self, at: &str) -> bool {
        if self.reasons.len() < SCHEMA_REASONS_MAX && !self.reasons.iter().any(|known| known == at) {
            self.reasons.push(at.to_owned());
        }
        false
    }

    /// Tries something that may fail without being a reason.
    fn tried(&mut self, attempt: impl FnOnce(&mut Self) -> bool) -> bool {
        let reasons = self.reasons.len();
        let held = attempt(self);
        self.reasons.truncate(reasons);
        held
    }

    fn covers_rules(&mut self, all: &[&'s Value], wide: &'s Map<String, Value>, at: &str) -> bool {
        let mut covered = true;
        for (name, rule) in wide {
            let here = format!("{at}/{name}");
            if is_annotation(name) || self.tried(|it| it.holds(all, name, rule, wide, &here)) {
                continue;
            }
            // The choices of the narrower one, each by itself.
            let choices = self.narrow.choices(all);
            let each = !choices.is_empty()
                && choices.iter().any(|choices| {
                    choices.iter().all(|choice| {
                        let one: Vec<&Value> = all
                            .iter()
                            .copied()
                            .filter(|schema| !self.narrow.has_choice(schema, choices))
                            .chain([*choice])
                            .collect();
                        self.tried(|it| it.covers_one(&one, name, rule, wide, &here))
                    })
                });
            if !each {
                // Said where it is: deeper reasons are found once more.
                let before = self.reasons.len();
                let held = self.holds(all, name, rule, wide, &here);
                if !held && self.reasons.len() == before {
                    self.differs(&here);
                }
                covered = false;
            }
        }
        covered
    }

    fn covers_one(
        &mut self,
        narrow: &[&'s Value],
        name: &str,
        rule: &'s Value,
        wide: &'s Map<String, Value>,
        at: &str,
    ) -> bool {
        let Some(all) = self.narrow.conjuncts(narrow, &mut self.steps_left) else { return false };
        all.iter().any(|schema| **schema == Value::Bool(false)) || self.holds(&all, name, rule, wide, at)
    }

    /// Whether all that `all` take keeps a rule of the wider one.
    fn holds(
        &mut self,
        all: &[&'s Value],
        name: &str,
        rule: &'s Value,
        wide: &'s Map<String, Value>,
        at: &str,
    ) -> bool {
        self.steps_left = self.steps_left.saturating_sub(1);
        let types = types_of(all);
        let never = |of: &[&str]| !types.iter().any(|kind| of.contains(kind));
        let said = |keyword: &str| all.iter().filter_map(|schema| schema.get(keyword)).collect::<Vec<&'s Value>>();
        match name {
            "$ref" => match rule.as_str().and_then(|to| self.wide.named(to)) {
                Some(named) => self.covers(all, named, at),
                None => self.differs(at),
            },
            "allOf" => {
                let parts = rule.as_array().map(Vec::as_slice).unwrap_or_default();
                parts
                    .iter()
                    .enumerate()
                    .fold(true, |held, (n, part)| self.covers(all, part, &format!("{at}/{n}")) && held)
            }
            "anyOf" => {
                let parts = rule.as_array().map(Vec::as_slice).unwrap_or_default();
                parts.iter().any(|part| self.tried(|it| it.covers(all, part, at))) || self.is_said(all, name, rule)
            }
            "type" => {
                let wanted = types_of(&[&Value::Object([("type".to_owned(), rule.clone())].into_iter().collect())]);
                types.iter().all(|kind| wanted.contains(kind))
            }
            "const" | "enum" => {
                let taken: Vec<&Value> =
                    if name == "const" { vec![rule] } else { rule.as_array().into_iter().flatten().collect() };
                let is_taken = |value: &&Value| taken.iter().any(|other| jsonschema::json::cmp::equal(value, other));
                said("const").iter().any(is_taken)
                    || said("enum")
                        .iter()
                        .filter_map(|values| values.as_array())
                        .any(|values| values.iter().all(|value| is_taken(&value)))
            }
            "minimum" | "exclusiveMinimum" | "maximum" | "exclusiveMaximum" => {
                never(&["integer", "number"]) || Bound::of(name, rule).is_some_and(|bound| bound.is_kept_by(all))
            }
            "multipleOf" => never(&["integer", "number"]) || said(name).iter().any(|of| is_multiple(of, rule)),
            "minLength" => never(&["string"]) || said(name).iter().any(|least| is_at_least(least, rule)),
            "maxLength" => never(&["string"]) || said(name).iter().any(|most| is_at_least(rule, most)),
            "minItems" => never(&["array"]) || said(name).iter().any(|least| is_at_least(least, rule)),
            "maxItems" => never(&["array"]) || said(name).iter().any(|most| is_at_least(rule, most)),
            "minProperties" => {
                let required = said("required").iter().filter_map(|names| names.as_array()).map(Vec::len).max();
                never(&["object"])
                    || said(name).iter().any(|least| is_at_least(least, rule))
                    || required.is_some_and(|count| is_at_least(&count.into(), rule))
            }
            "maxProperties" => never(&["object"]) || said(name).iter().any(|most| is_at_least(rule, most)),
            "uniqueItems" => {
                never(&["array"]) || rule == &Value::Bool(false) || said(name).contains(&&Value::Bool(true))
            }
            "pattern" => never(&["string"]) || said(name).contains(&rule),
            "required" => {
                let there = |wanted: &Value| {
                    said("required").iter().filter_map(|names| names.as_array()).any(|names| names.contains(wanted))
                };
                never(&["object"]) || rule.as_array().is_some_and(|names| names.iter().all(there))
            }
            "properties" => never(&["object"]) || self.members_hold(all, rule, at),
            "patternProperties" => never(&["object"]) || self.patterns_hold(all, rule, at),
            "additionalProperties" => never(&["object"]) || self.others_hold(all, rule, wide, at),
            "prefixItems" => {
                let parts = rule.as_array().map(Vec::as_slice).unwrap_or_default();
                never(&["array"])
                    || parts.iter().enumerate().fold(true, |held, (n, part)| {
                        let element = Rules::element(all, n);
                        self.covers(&element, part, &format!("{at}/{n}")) && held
                    })
            }
            "items" => never(&["array"]) || self.elements_hold(all, rule, wide, at),
            _ => self.is_said(all, name, rule),
        }
    }

    /// Whether a rule is among those of the narrower one, and means the same there: it refers to nothing.
    fn is_said(&self, all: &[&Value], name: &str, rule: &Value) -> bool {
        let same_root = self.narrow.root == self.wide.root;
        (same_root || !Rules::refers(rule))
            && all.iter().any(|schema| schema.get(name) == Some(rule))
            && !name.starts_with("unevaluated")
            || same_root && all.iter().any(|schema| schema.get(name) == Some(rule))
    }

    fn members_hold(&mut self, all: &[&'s Value], rule: &'s Value, at: &str) -> bool {
        let members = rule.as_object().into_iter().flatten();
        members.fold(true, |held, (name, wanted)| {
            let member = Rules::member(all, name);
            let escaped = name.replace('~', "~0").replace('/', "~1");
            self.covers(&member, wanted, &format!("{at}/{escaped}")) && held
        })
    }

    /// Members that an expression names: all that the narrower one may have, unless it says the same of the same expression.
    fn patterns_hold(&mut self, all: &[&'s Value], rule: &'s Value, at: &str) -> bool {
        let patterns = rule.as_object().into_iter().flatten();
        patterns.fold(true, |held, (pattern, wanted)| {
            let same: Vec<&Value> =
                all.iter().filter_map(|schema| schema.get("patternProperties")?.get(pattern)).collect();
            let holds = !same.is_empty() && self.tried(|it| it.covers(&same, wanted, at))
                || Rules::any_member(all).into_iter().all(|member| self.tried(|it| it.covers(&member, wanted, at)));
            (holds || self.differs(&format!("{at}/{}", pattern.replace('~', "~0").replace('/', "~1")))) && held
        })
    }

    fn others_hold(&mut self, all: &[&'s Value], rule: &'s Value, wide: &Map<String, Value>, at: &str) -> bool {
        let known = wide.get("properties").and_then(Value::as_object);
        let patterns = wide.get("patternProperties").and_then(Value::as_object);
        let is_known = |name: &String| known.is_some_and(|known| known.contains_key(name));
        let is_pattern = |pattern: &String| patterns.is_some_and(|patterns| patterns.contains_key(pattern));
        let named = Rules::names(all).into_iter().filter(|name| !is_known(name));
        let mut held = true;
        for name in named.collect::<Vec<_>>() {
            let member = Rules::member(all, name);
            held &= self.covers(&member, rule, at);
        }
        for (pattern, of_it) in Rules::patterns(all) {
            held &= is_pattern(pattern) || self.covers(&[of_it], rule, at);
        }
        let others = Rules::others(all);
        held & self.covers(&others, rule, at)
    }

    fn elements_hold(&mut self, all: &[&'s Value], rule: &'s Value, wide: &Map<String, Value>, at: &str) -> bool {
        let first = wide.get("prefixItems").and_then(Value::as_array).map_or(0, Vec::len);
        let own =
            all.iter().filter_map(|schema| schema.get("prefixItems")?.as_array()).map(Vec::len).max().unwrap_or(0);
        (first..=own.max(first)).fold(true, |held, n| {
            let element = Rules::element(all, n);
            self.covers(&element, rule, at) && held
        })
    }
}

#[cfg(test)]
#[path = "compare_tests.rs"]
mod tests;
