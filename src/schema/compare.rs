//! Whether one version of a schema takes all that another one takes.
//!
//! Schemas are compared rule by rule: a rule of the wider one holds if a rule of the narrower one says as much. That proves
//! what people change in practice (types, members, bounds, lists of values, choices), and is bounded in steps. What cannot be shown
//! counts as a difference: a promise of compatibility is kept or not made.

use std::collections::HashSet;

use serde_json::{Map, Value};

use super::apart::{Of, are_apart};
use super::bare::bare;
use super::equality::are_unique;
use super::rules::{Bound, Rules, is_at_least, is_multiple, is_rule, types_of};
use super::taken::{dependents_hold, is_among, listed, of_type, takes_nothing, typed};
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
    let (old, new) = (bare(old), bare(new));
    if old == new {
        return Vec::new();
    }
    let (narrow, wide) = match direction {
        Direction::Backward => (&old, &new),
        Direction::Forward => (&new, &old),
    };
    let whose = match direction {
        Direction::Backward => "the version before takes payloads that it refuses",
        Direction::Forward => "it takes payloads that the version before refuses",
    };
    let of = (Rules::of(narrow), Rules::of(wide));
    let mut comparison = Comparison {
        defines_the_same: of.0.defines_the_same(&of.1),
        narrow: of.0,
        wide: of.1,
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
    /// Both have the same definitions.
    defines_the_same: bool,
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
            Value::Object(rules) if !rules.keys().any(|name| is_rule(name)) => return true,
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
            (Some(all), _) if takes_nothing(&all) => true,
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
            if !is_rule(name) || self.tried(|it| it.holds(all, name, rule, wide, &here)) {
                continue;
            }
            // The choices of the narrower one, each by itself; and its types, where it names several.
            let mut choices = self.narrow.choices(all);
            choices.extend(typed(all));
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
        takes_nothing(&all) || self.holds(&all, name, rule, wide, at)
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
            "$ref" | "$dynamicRef" => match rule.as_str().and_then(|to| self.wide.named(to)) {
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
                listed(parts).is_some_and(|taken| is_among(all, &types, &taken, &mut self.steps_left))
                    || parts.iter().any(|part| self.tried(|it| it.covers(all, part, at)))
                    || self.is_said(all, name, rule)
            }
            "oneOf" => {
                let parts = rule.as_array().map(Vec::as_slice).unwrap_or_default();
                listed(parts)
                    .filter(|taken| are_unique(taken))
                    .is_some_and(|taken| is_among(all, &types, &taken, &mut self.steps_left))
                    || self.one_holds(all, parts, at)
                    || self.is_said(all, name, rule)
            }
            "type" => {
                let wanted = types_of(&[&Value::Object([("type".to_owned(), rule.clone())].into_iter().collect())]);
                types.iter().all(|kind| wanted.contains(kind))
            }
            "const" => is_among(all, &types, &[rule], &mut self.steps_left),
            "enum" => {
                let taken: Vec<&Value> = rule.as_array().into_iter().flatten().collect();
                is_among(all, &types, &taken, &mut self.steps_left)
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
            "contains" => never(&["array"]) || self.enough_are_in(all, rule, wide, at),
            "maxContains" => never(&["array"]) || self.not_too_many_are_in(all, rule, wide),
            // By what stands beside them.
            "minContains" | "if" => true,
            "then" | "else" => self.consequence_holds(all, name, rule, wide, at),
            "propertyNames" => {
                let names: Vec<&Value> = said(name).into_iter().chain(of_type("string")).collect();
                never(&["object"]) || self.covers(&names, rule, at)
            }
            "dependentRequired" => never(&["object"]) || dependents_hold(all, rule),
            "unevaluatedProperties" | "unevaluatedItems" => {
                // What was evaluated depends on all that stands beside it.
                let same = |schema: &&Value| schema.as_object() == Some(wide);
                let refers = wide.contains_key("$ref") || wide.contains_key("$dynamicRef");
                !refers && all.iter().any(same) && wide.values().all(|rule| self.means_the_same(rule))
            }
            _ => self.is_said(all, name, rule),
        }
    }

    /// Whether a rule is among those of the narrower one, and means the same there.
    fn is_said(&self, all: &[&Value], name: &str, rule: &Value) -> bool {
        self.means_the_same(rule) && all.iter().any(|schema| schema.get(name) == Some(rule))
    }

    /// Whether what is written the same in both documents says the same: it refers to nothing, or to definitions that are the same.
    fn means_the_same(&self, rule: &Value) -> bool {
        let mut refers = false;
        Rules::each_reference(rule, &mut |_| refers = true);
        !refers || self.defines_the_same && Rules::names_definitions(rule)
    }

    /// Whether one of several schemas takes all, and no other any of it.
    fn one_holds(&mut self, all: &[&'s Value], parts: &'s [Value], at: &str) -> bool {
        parts.iter().enumerate().any(|(n, part)| {
            self.tried(|it| it.covers(all, part, at))
                && parts.iter().enumerate().all(|(m, other)| {
                    let narrow = all.iter().map(|schema| Of { schema, rules: &self.narrow });
                    let wide = [part, other].map(|schema| Of { schema, rules: &self.wide });
                    m == n || are_apart(&narrow.chain(wide).collect::<Vec<_>>(), &mut self.steps_left)
                })
        })
    }

    /// Whether as many elements are as `contains` wants them, as there must be.
    fn enough_are_in(&mut self, all: &[&'s Value], rule: &'s Value, wide: &'s Map<String, Value>, at: &str) -> bool {
        let one = Value::from(1);
        let least = wide.get("minContains").unwrap_or(&one);
        is_at_least(&Value::from(0), least)
            || all.iter().any(|schema| {
                let has = is_at_least(schema.get("minContains").unwrap_or(&one), least);
                schema.get("contains").is_some_and(|of_it| has && self.tried(|it| it.covers(&[of_it], rule, at)))
            })
    }

    fn not_too_many_are_in(&self, all: &[&Value], most: &Value, wide: &Map<String, Value>) -> bool {
        let Some(wanted) = wide.get("contains") else { return true };
        let within = |schema: &Value, name: &str| schema.get(name).is_some_and(|own| is_at_least(most, own));
        let same = |schema: &Value| schema.get("contains") == Some(wanted) && self.means_the_same(wanted);
        all.iter().any(|schema| within(schema, "maxItems") || within(schema, "maxContains") && same(schema))
    }

    /// `then` or `else`: what the narrower one says where its own `if` is the same holds there as well.
    fn consequence_holds(
        &mut self,
        all: &[&'s Value],
        name: &str,
        rule: &'s Value,
        wide: &'s Map<String, Value>,
        at: &str,
    ) -> bool {
        let Some(asked) = wide.get("if") else { return true };
        let own = all.iter().copied().filter(|schema| schema.get("if") == Some(asked) && self.means_the_same(asked));
        let told = own.flat_map(|schema| [schema.get(name), schema.get("if").filter(|_| name == "then")]).flatten();
        let narrow: Vec<&Value> = all.iter().copied().chain(told).collect();
        self.covers(&narrow, rule, at)
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
