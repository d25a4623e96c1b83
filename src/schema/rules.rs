//! What schemas say, rule by rule, for comparing them.

use std::cmp::Ordering;

use serde_json::{Map, Number, Value};

const TYPES: [&str; 7] = ["null", "boolean", "integer", "number", "string", "array", "object"];

/// Keywords that say something about what is taken; all others annotate, also those that JSON Schema does not know.
pub fn is_rule(name: &str) -> bool {
    matches!(
        name,
        "$ref"
            | "$dynamicRef"
            | "$recursiveRef"
            | "allOf"
            | "anyOf"
            | "oneOf"
            | "not"
            | "if"
            | "then"
            | "else"
            | "type"
            | "const"
            | "enum"
            | "minimum"
            | "exclusiveMinimum"
            | "maximum"
            | "exclusiveMaximum"
            | "multipleOf"
            | "minLength"
            | "maxLength"
            | "pattern"
            | "minItems"
            | "maxItems"
            | "uniqueItems"
            | "items"
            | "prefixItems"
            | "additionalItems"
            | "unevaluatedItems"
            | "contains"
            | "minContains"
            | "maxContains"
            | "required"
            | "minProperties"
            | "maxProperties"
            | "properties"
            | "patternProperties"
            | "additionalProperties"
            | "propertyNames"
            | "unevaluatedProperties"
            | "dependentRequired"
            | "dependentSchemas"
            | "dependencies"
    )
}

/// A schema's document.
pub struct Rules<'s> {
    root: &'s Value,
    /// There are documents in it, in which references mean their own parts.
    has_documents: bool,
    /// What has a name, or looks as if it had.
    anchors: Vec<(&'s str, &'s Value)>,
}

impl<'s> Rules<'s> {
    pub fn of(root: &'s Value) -> Self {
        fn is_document(schema: &Value) -> bool {
            schema.get("$id").is_some() || has_documents(schema)
        }
        fn has_documents(schema: &Value) -> bool {
            match schema {
                Value::Object(members) => members.values().any(is_document),
                Value::Array(elements) => elements.iter().any(is_document),
                _ => false,
            }
        }
        let mut anchors = Vec::new();
        find_anchors(root, &mut anchors);
        Self { root, has_documents: has_documents(root), anchors }
    }

    pub fn has_documents(&self) -> bool {
        self.has_documents
    }

    /// What a reference within the document names, by a pointer or an anchor; None: it is named otherwise. In one document a dynamic
    /// reference names what another would.
    pub fn named(&self, reference: &str) -> Option<&'s Value> {
        let fragment = reference.strip_prefix('#').filter(|_| !self.has_documents)?;
        let decoded = percent_encoding::percent_decode_str(fragment).decode_utf8().ok()?;
        if decoded.is_empty() || decoded.starts_with('/') {
            return self.root.pointer(&decoded);
        }
        let mut found = self.anchors.iter().filter(|(name, _)| *name == decoded);
        // A value that only looks like it would be one more.
        found.next().filter(|_| found.next().is_none()).map(|(_, schema)| *schema)
    }

    /// All schemas that a payload must keep which keeps these: with those that are put together by `allOf` and `$ref`. None: there
    /// are too many, or one cannot be found.
    pub fn conjuncts(&self, of: &[&'s Value], steps_left: &mut usize) -> Option<Vec<&'s Value>> {
        let mut all: Vec<&'s Value> = Vec::new();
        let mut waiting: Vec<&'s Value> = of.to_vec();
        while let Some(schema) = waiting.pop() {
            *steps_left = steps_left.saturating_sub(1);
            if *steps_left == 0 {
                return None;
            }
            if all.iter().any(|known| std::ptr::eq(*known, schema)) {
                continue;
            }
            all.push(schema);
            for reference in ["$ref", "$dynamicRef"].into_iter().filter_map(|name| schema.get(name)?.as_str()) {
                waiting.push(self.named(reference)?);
            }
            waiting.extend(schema.get("allOf").and_then(Value::as_array).into_iter().flatten());
        }
        Some(all)
    }

    /// The lists of which one schema at least holds.
    pub fn choices(&self, all: &[&'s Value]) -> Vec<Vec<&'s Value>> {
        let lists = all.iter().flat_map(|schema| ["anyOf", "oneOf"].map(|name| schema.get(name)));
        lists.flatten().filter_map(Value::as_array).map(|list| list.iter().collect()).collect()
    }

    /// Whether a list of choices is this schema's only rule.
    pub fn has_choice(&self, schema: &Value, choices: &[&Value]) -> bool {
        let Value::Object(rules) = schema else { return false };
        let mut others = rules.keys().filter(|name| is_rule(name));
        let (first, more) = (others.next(), others.next());
        let list =
            first.filter(|name| matches!(name.as_str(), "anyOf" | "oneOf")).and_then(|name| schema[name].as_array());
        more.is_none()
            && list.is_some_and(|list| {
                list.len() == choices.len() && list.iter().zip(choices).all(|(a, b)| std::ptr::eq(a, *b))
            })
    }

    /// Says the references in a schema, or in a rule.
    pub fn each_reference(of: &Value, say: &mut impl FnMut(&str)) {
        match of {
            Value::Object(members) => {
                for (name, member) in members {
                    if let ("$ref" | "$dynamicRef", Value::String(to)) = (name.as_str(), member) {
                        say(to);
                    }
                    Self::each_reference(member, say);
                }
            }
            Value::Array(elements) => elements.iter().for_each(|element| Self::each_reference(element, say)),
            _ => {}
        }
    }

    /// Whether all references in a schema name definitions by pointers.
    pub fn names_definitions(of: &Value) -> bool {
        let mut all = true;
        Self::each_reference(of, &mut |to| all &= to.starts_with("#/$defs/") || to.starts_with("#/definitions/"));
        all
    }

    /// Whether what names definitions means the same in both documents.
    pub fn defines_the_same(&self, other: &Self) -> bool {
        !self.has_documents
            && !other.has_documents
            && ["$defs", "definitions"].into_iter().all(|name| {
                let defined = self.root.get(name);
                defined == other.root.get(name) && defined.is_none_or(Self::names_definitions)
            })
    }

    /// What the member of this name must keep, as far as it is known without trying expressions.
    pub fn member(all: &[&'s Value], name: &str) -> Vec<&'s Value> {
        let of_it = |schema: &&'s Value| {
            let named = schema.get("properties").and_then(|members| members.get(name));
            // An expression may name it as well, and then the others' schema does not hold.
            let other = schema
                .get("additionalProperties")
                .filter(|_| named.is_none() && schema.get("patternProperties").is_none());
            named.or(other)
        };
        all.iter().filter_map(of_it).collect()
    }

    /// What members that are named nowhere must keep.
    pub fn others(all: &[&'s Value]) -> Vec<&'s Value> {
        all.iter().filter_map(|schema| schema.get("additionalProperties")).collect()
    }

    /// What members may have to keep, however they are called.
    pub fn any_member(all: &[&'s Value]) -> Vec<Vec<&'s Value>> {
        let named = Self::names(all).into_iter().map(|name| Self::member(all, name));
        let patterns = Self::patterns(all).into_iter().map(|(_, schema)| vec![schema]);
        named.chain(patterns).chain([Self::others(all)]).collect()
    }

    pub fn names(all: &[&'s Value]) -> Vec<&'s String> {
        let of = |schema: &&'s Value| schema.get("properties").and_then(Value::as_object);
        all.iter().filter_map(of).flat_map(Map::keys).collect()
    }

    pub fn patterns(all: &[&'s Value]) -> Vec<(&'s String, &'s Value)> {
        let of = |schema: &&'s Value| schema.get("patternProperties").and_then(Value::as_object);
        all.iter().filter_map(of).flatten().collect()
    }

    /// What the element of this number must keep.
    pub fn element(all: &[&'s Value], n: usize) -> Vec<&'s Value> {
        let of_it = |schema: &&'s Value| match schema.get("prefixItems").and_then(|first| first.get(n)) {
            Some(element) => Some(element),
            None => schema.get("items"),
        };
        all.iter().filter_map(of_it).collect()
    }
}

/// What says that it has a name, wherever that is.
fn find_anchors<'s>(schema: &'s Value, found: &mut Vec<(&'s str, &'s Value)>) {
    match schema {
        Value::Object(members) => {
            let names = ["$anchor", "$dynamicAnchor"].into_iter().filter_map(|anchor| members.get(anchor)?.as_str());
            found.extend(names.map(|name| (name, schema)));
            members.values().for_each(|member| find_anchors(member, found));
        }
        Value::Array(elements) => elements.iter().for_each(|element| find_anchors(element, found)),
        _ => {}
    }
}

/// The types that a payload may have which keeps these; `number` stands for those that are not whole.
pub fn types_of(all: &[&Value]) -> Vec<&'static str> {
    let allows = |schema: &Value, kind: &str| {
        let is = |named: &str| named == kind || named == "number" && kind == "integer";
        let listed = match schema.get("type") {
            Some(Value::String(named)) => is(named),
            Some(Value::Array(names)) => names.iter().filter_map(Value::as_str).any(is),
            _ => true,
        };
        let of_value = |value: &Value| match value {
            Value::Null => kind == "null",
            Value::Bool(_) => kind == "boolean",
            Value::Number(number) => {
                kind == "integer" && may_be_whole(number) || kind == "number" && may_be_broken(number)
            }
            Value::String(_) => kind == "string",
            Value::Array(_) => kind == "array",
            Value::Object(_) => kind == "object",
        };
        let by_const = schema.get("const").is_none_or(of_value);
        let by_enum = schema.get("enum").and_then(Value::as_array).is_none_or(|values| values.iter().any(of_value));
        listed && by_const && by_enum
    };
    TYPES.into_iter().filter(|kind| all.iter().all(|schema| allows(schema, kind))).collect()
}

fn may_be_whole(number: &Number) -> bool {
    number.as_f64().is_none_or(|double| double.fract() == 0.0)
}

/// Where doubles do not tell, both may be.
fn may_be_broken(number: &Number) -> bool {
    !number.is_i64() && !number.is_u64()
}

/// Two numbers in order; None: one is no number.
fn order(a: &Value, b: &Value) -> Option<Ordering> {
    let (Value::Number(a), Value::Number(b)) = (a, b) else { return None };
    if jsonschema::json::cmp::equal_numbers(a, b) {
        return Some(Ordering::Equal);
    }
    if let (Some(a), Some(b)) = (a.as_i64(), b.as_i64()) {
        return Some(a.cmp(&b));
    }
    // They differ: where doubles do not tell how, nothing is said.
    a.as_f64()?.partial_cmp(&b.as_f64()?).filter(|order| order.is_ne())
}

pub fn is_at_least(a: &Value, b: &Value) -> bool {
    order(a, b).is_some_and(Ordering::is_ge)
}

pub fn is_multiple(a: &Value, b: &Value) -> bool {
    let whole = a.as_i64().zip(b.as_i64()).is_some_and(|(a, b)| b != 0 && a % b == 0);
    whole || order(a, b) == Some(Ordering::Equal)
}

/// An end of a range of numbers.
#[derive(Clone, Copy)]
pub struct Bound<'s> {
    number: &'s Value,
    is_lower: bool,
    is_open: bool,
}

impl<'s> Bound<'s> {
    pub fn of(keyword: &str, number: &'s Value) -> Option<Self> {
        let (is_lower, is_open) = match keyword {
            "minimum" => (true, false),
            "exclusiveMinimum" => (true, true),
            "maximum" => (false, false),
            "exclusiveMaximum" => (false, true),
            _ => return None,
        };
        Some(Self { number, is_lower, is_open })
    }

    /// Whether numbers that keep these schemas are within it.
    pub fn is_kept_by(&self, all: &[&Value]) -> bool {
        let keywords = ["minimum", "exclusiveMinimum", "maximum", "exclusiveMaximum"];
        let by_bounds = all.iter().flat_map(|schema| {
            keywords.into_iter().filter_map(move |keyword| Bound::of(keyword, schema.get(keyword)?))
        });
        let holds = |value: &Value| self.is_behind(value, false);
        let by_values = all.iter().any(|schema| {
            let one = schema.get("const").is_some_and(|value| !value.is_number() || holds(value));
            let each = schema.get("enum").and_then(Value::as_array);
            one || each.is_some_and(|values| values.iter().all(|value| !value.is_number() || holds(value)))
        });
        by_values
            || by_bounds
                .filter(|bound| bound.is_lower == self.is_lower)
                .any(|bound| self.is_behind(bound.number, bound.is_open))
    }

    /// Whether all from `number` on, without itself where that end is open, are within it.
    fn is_behind(&self, number: &Value, is_open: bool) -> bool {
        match order(number, self.number) {
            Some(Ordering::Equal) => is_open || !self.is_open,
            Some(Ordering::Greater) => self.is_lower,
            Some(Ordering::Less) => !self.is_lower,
            None => false,
        }
    }
}
