//! What is called compatible is: no payload that keeps the version before breaks the next one.
#![allow(clippy::unwrap_used, reason = "a test may stop at the first surprise")]

use serde_json::{Map, Value, json};

use super::{Direction, Schema, compare};

/// Pairs of schemas that are compared.
const PAIRS: usize = 1_000;

/// splitmix64.
struct Drawn(u64);

impl Drawn {
    fn below(&mut self, bound: usize) -> usize {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        usize::try_from((z ^ (z >> 31)) % bound as u64).unwrap()
    }

    fn one_of(&mut self, values: &[Value]) -> Value {
        values[self.below(values.len())].clone()
    }

    fn schemas(&mut self, count: usize, depth: usize) -> Value {
        (0..count).map(|_| self.schema(depth)).collect::<Vec<_>>().into()
    }

    fn schema(&mut self, depth: usize) -> Value {
        match self.below(12) {
            0 => return json!(true),
            1 => return json!(false),
            _ => {}
        }
        let mut rules = Map::new();
        for _ in 0..1 + self.below(3) {
            self.rule(&mut rules, depth);
        }
        rules.into()
    }

    /// Puts a rule in, and what belongs to it.
    fn rule(&mut self, rules: &mut Map<String, Value>, depth: usize) {
        let scalars = [
            json!(null),
            json!(true),
            json!(1),
            json!(1.0),
            json!(2),
            json!(0.5),
            json!("a"),
            json!("ab"),
            json!([]),
            json!({ "a": 1 }),
        ];
        let numbers = [json!(0), json!(1), json!(2), json!(0.5)];
        let counts = [json!(0), json!(1), json!(2)];
        let types = ["null", "boolean", "integer", "number", "string", "array", "object"];
        let (name, rule) = match self.below(if depth == 0 { 15 } else { 34 }) {
            0 | 1 => ("type", json!(types[self.below(7)])),
            2 => {
                let (one, other) = (types[self.below(3)], types[3 + self.below(4)]);
                ("type", json!([one, other]))
            }
            3 => ("const", self.one_of(&scalars)),
            4 => {
                let (one, other) = (self.one_of(&scalars), self.one_of(&[json!("b"), json!(3)]));
                ("enum", json!([one, other]))
            }
            5 => (["minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum"][self.below(4)], self.one_of(&numbers)),
            6 => ("multipleOf", self.one_of(&numbers[1..])),
            7 => (["minLength", "maxLength"][self.below(2)], self.one_of(&counts)),
            8 => (["minItems", "maxItems"][self.below(2)], self.one_of(&counts)),
            9 => (["minProperties", "maxProperties"][self.below(2)], self.one_of(&counts)),
            10 => ("required", self.one_of(&[json!(["a"]), json!(["b"]), json!(["a", "b"]), json!([])])),
            11 => ("uniqueItems", json!(true)),
            12 => ("pattern", self.one_of(&[json!("^a"), json!("b$")])),
            13 => (
                "dependentRequired",
                self.one_of(&[json!({ "a": ["b"] }), json!({ "b": ["a"] }), json!({ "a": ["a"] })]),
            ),
            14 => (["$ref", "$dynamicRef"][self.below(2)], self.one_of(&[json!("#one"), json!("#two")])),
            15 => ("$ref", self.one_of(&[json!("#/$defs/one"), json!("#/$defs/two")])),
            16 | 17 => ("properties", json!({ "a": self.schema(depth - 1) })),
            18 => {
                let (a, b) = (self.schema(depth - 1), self.schema(depth - 1));
                ("properties", json!({ "a": a, "b": b }))
            }
            19 => ("additionalProperties", self.schema(depth - 1)),
            20 => ("patternProperties", json!({ "^a": self.schema(depth - 1) })),
            21 => ("propertyNames", self.schema(depth - 1)),
            22 => ("items", self.schema(depth - 1)),
            23 => {
                let count = 1 + self.below(2);
                ("prefixItems", self.schemas(count, depth - 1))
            }
            24 | 25 => {
                let bounds =
                    [["minContains", "minContains"], ["maxContains", "maxContains"], ["minContains", "maxContains"]];
                for name in bounds[self.below(3)] {
                    rules.insert(name.to_owned(), self.one_of(&counts));
                }
                ("contains", self.schema(depth - 1))
            }
            26 => ("allOf", self.schemas(2, depth - 1)),
            27 => ("anyOf", self.schemas(2, depth - 1)),
            28 | 29 => ("oneOf", self.schemas(2, depth - 1)),
            30 => ("not", self.schema(depth - 1)),
            31 | 32 => {
                rules.insert("then".to_owned(), self.schema(depth - 1));
                if self.below(2) == 0 {
                    rules.insert("else".to_owned(), self.schema(depth - 1));
                }
                ("if", self.schema(depth - 1))
            }
            _ => (["unevaluatedProperties", "unevaluatedItems"][self.below(2)], json!(false)),
        };
        rules.insert(name.to_owned(), rule);
    }

    /// With definitions that can be referred to.
    fn document(&mut self) -> Value {
        let mut root = self.schema(3);
        let mut defined = [self.schema(1), self.schema(1)];
        for (one, name) in defined.iter_mut().zip(["one", "two"]) {
            let rules = one.as_object().cloned().unwrap_or_default();
            // They refer to nothing: what is only itself has no meaning.
            let kept = rules.into_iter().filter(|(_, rule)| !rule.to_string().contains('#'));
            *one = kept.chain([("$dynamicAnchor".to_owned(), json!(name))]).collect::<Map<_, _>>().into();
        }
        if let Some(rules) = root.as_object_mut() {
            let [one, two] = defined;
            rules.insert("$defs".to_owned(), json!({ "one": one, "two": two }));
        }
        root
    }

    /// Another schema somewhere in it, one rule more or one less.
    fn change(&mut self, schema: &mut Value) {
        let place = self.below(4);
        match schema {
            Value::Object(rules) if !rules.is_empty() && place > 0 => {
                let names: Vec<String> = rules.keys().cloned().collect();
                let name = &names[self.below(names.len())];
                match place {
                    1 => self.rule(rules, 1),
                    2 if name != "$defs" && name != "$dynamicAnchor" => drop(rules.remove(name)),
                    _ if matches!(rules[name], Value::Object(_) | Value::Array(_)) => {
                        self.change(rules.get_mut(name).unwrap())
                    }
                    _ => self.rule(rules, 1),
                }
            }
            Value::Array(elements) if elements.iter().any(Value::is_object) => {
                let at = self.below(elements.len());
                self.change(&mut elements[at]);
            }
            Value::Object(_) | Value::Bool(_) => *schema = self.schema(1),
            _ => {}
        }
    }
}

fn payloads() -> Vec<String> {
    let texts = [
        "null",
        "true",
        "false",
        "0",
        "1",
        "1.0",
        "2",
        "3",
        "0.5",
        "1.5",
        "-1",
        "\"\"",
        "\"a\"",
        "\"ab\"",
        "\"b\"",
        "\"abc\"",
        "[]",
        "[1]",
        "[\"a\"]",
        "[null]",
        "[1,1]",
        "[1,2]",
        "[\"a\",1]",
        "[[],{}]",
        "[1,2,3]",
        "[null,1,\"a\",true]",
        "{}",
        r#"{"a":1}"#,
        r#"{"a":"a"}"#,
        r#"{"b":1}"#,
        r#"{"b":null}"#,
        r#"{"a":1,"b":2}"#,
        r#"{"a":"a","b":"b"}"#,
        r#"{"ab":1}"#,
        r#"{"a":{"a":1}}"#,
        r#"{"a":[]}"#,
        r#"{"a":[1,"a"]}"#,
        r#"{"c":true}"#,
        r#"{"a":1,"b":1,"c":1}"#,
        r#"[{"a":1}]"#,
        r#"[{"a":1},{"b":2}]"#,
    ];
    texts.map(str::to_owned).to_vec()
}

#[test]
fn what_is_compatible_takes_what_was_taken() {
    let (mut drawn, payloads) = (Drawn(7), payloads());
    let (mut compatible, mut taken, mut widened) = (0, 0, 0);
    for pair in 0..PAIRS {
        let old = drawn.document();
        let mut new = old.clone();
        for _ in 0..=drawn.below(2) {
            drawn.change(&mut new);
        }
        let [Ok(before), Ok(after)] = [&old, &new].map(|schema| Schema::compile(&schema.to_string())) else { continue };
        let takes = |schema: &Schema| payloads.iter().map(|payload| schema.judge(payload).is_ok()).collect::<Vec<_>>();
        let (before, after) = (takes(&before), takes(&after));
        for (direction, narrow, wide) in [(Direction::Backward, &before, &after), (Direction::Forward, &after, &before)]
        {
            if !compare(&old, &new, direction).is_empty() {
                continue;
            }
            compatible += 1;
            for (n, payload) in payloads.iter().enumerate() {
                assert!(
                    !narrow[n] || wide[n],
                    "pair {pair}, {direction:?}: {payload} is taken by only one of\n{old}\n{new}"
                );
            }
            taken += narrow.iter().filter(|taken| **taken).count();
            widened += usize::from(old != new && narrow != wide);
        }
    }
    println!("{compatible} of {PAIRS} pairs both ways, {taken} payloads taken, {widened} take more");
    assert!(compatible > PAIRS / 4 && taken > PAIRS && widened > PAIRS / 50, "{compatible} {taken} {widened}");
}
