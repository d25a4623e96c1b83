//! Answers against what `openapi.json` says of them: the status is described, the body has its form, and nothing is in it
//! that is not described.

use std::cell::RefCell;
use std::collections::BTreeSet;

use jiff::Timestamp;
use serde_json::{Map, Value};
use uuid::Uuid;

use crate::client::{Answer, Client};

/// An operation and a status with which it was answered.
pub type Seen = (String, u16);

/// The description of the API, and which of it was seen.
pub struct Described {
    pub document: Value,
    seen: RefCell<BTreeSet<Seen>>,
    /// Answers that are not as described.
    wrong: RefCell<Vec<String>>,
}

impl Described {
    pub fn by(client: &Client) -> Self {
        Self::of(client.get("/openapi.json").expect(200))
    }

    pub fn of(document: Value) -> Self {
        Self { document, seen: RefCell::default(), wrong: RefCell::default() }
    }

    /// `GET /v1/streams` and so on, of which the paths begin so.
    pub fn operations(&self, beginnings: &[&str]) -> Vec<String> {
        let paths = self.document["paths"].as_object().expect("paths").iter();
        let wanted = paths.filter(|(path, _)| beginnings.iter().any(|beginning| path.starts_with(beginning)));
        let each = |(path, operations): (&String, &Value)| -> Vec<String> {
            let methods = operations.as_object().expect("operations").keys();
            methods.map(|method| format!("{} {path}", method.to_uppercase())).collect()
        };
        wanted.flat_map(each).collect()
    }

    /// The names of its parameters that stand there: `query`, `path` or `header`.
    pub fn parameters(&self, operation: &str, place: &str) -> Vec<String> {
        let all = self.operation(operation)["parameters"].as_array().into_iter().flatten();
        let there = all.map(|one| self.resolved(one)).filter(|one| one["in"] == place);
        there.map(|one| one["name"].as_str().expect("a name").to_owned()).collect()
    }

    /// The members of the body that it takes; None: it takes none.
    pub fn members_of_body(&self, operation: &str) -> Option<Vec<String>> {
        let schema = &self.operation(operation)["requestBody"]["content"]["application/json"]["schema"];
        let members = self.resolved(schema)["properties"].as_object()?;
        Some(members.keys().cloned().collect())
    }

    /// What is said of a member of its body.
    pub fn member_says(&self, operation: &str, name: &str) -> String {
        let schema = &self.operation(operation)["requestBody"]["content"]["application/json"]["schema"];
        self.resolved(schema)["properties"][name]["description"].as_str().unwrap_or_default().to_owned()
    }

    /// What is described of `POST /v1/streams/{name}/groups`.
    pub fn operation(&self, operation: &str) -> &Value {
        let (method, path) = operation.split_once(' ').expect("a method and a path");
        let found = &self.document["paths"][path][method.to_ascii_lowercase()];
        assert!(found.is_object(), "{operation} is not described");
        found
    }

    /// Sends it to a path of the operation's pattern, and looks at the answer.
    pub fn send(&self, client: &Client, operation: &str, path: &str, body: &str) -> Answer {
        self.send_as(client, operation, path, &[], body)
    }

    pub fn send_as(
        &self,
        client: &Client,
        operation: &str,
        path: &str,
        headers: &[(&str, &str)],
        body: &str,
    ) -> Answer {
        let method = operation.split_once(' ').expect("a method and a path").0;
        let answer = client.send(method, path, headers, body.as_bytes()).unwrap();
        if let Err(why) = self.look_at(operation, &answer) {
            let text = String::from_utf8_lossy(&answer.bytes);
            let shown = |text: &str| text.chars().take(300).collect::<String>();
            self.wrong.borrow_mut().push(format!(
                "{operation}, {path} {}: {why}: {} {}",
                shown(body),
                answer.status,
                shown(&text)
            ));
        }
        self.seen.borrow_mut().insert((operation.to_owned(), answer.status));
        answer
    }

    fn look_at(&self, operation: &str, answer: &Answer) -> Result<(), String> {
        let response = &self.operation(operation)["responses"][answer.status.to_string()];
        if response.is_null() {
            return Err("this status is not described".into());
        }
        let response = self.resolved(response);
        let Some(content) = response.get("content") else {
            return if answer.bytes.is_empty() { Ok(()) } else { Err("no body is described".into()) };
        };
        let media = answer.header("content-type").split(';').next().unwrap_or_default();
        let schema = &content[media]["schema"];
        if schema.is_null() {
            return Err(format!("{media} is not described"));
        }
        match media {
            "application/json" | "application/problem+json" => self.check(schema, &answer.json(), "$"),
            _ => Ok(()),
        }
    }

    pub fn assert_right(&self) {
        let wrong = self.wrong.borrow();
        assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    }

    /// Those statuses of these operations that were not seen, but for these.
    pub fn missed(&self, operations: &[String], but: &[u16]) -> Vec<Seen> {
        let seen = self.seen.borrow();
        let described = operations.iter().flat_map(|operation| {
            let statuses = self.operation(operation)["responses"].as_object().expect("responses").keys();
            statuses.map(|status| (operation.clone(), status.parse().expect("a status")))
        });
        described.filter(|one: &Seen| !but.contains(&one.1) && !seen.contains(one)).collect()
    }

    pub fn resolved<'a>(&'a self, one: &'a Value) -> &'a Value {
        match one.get("$ref").and_then(Value::as_str) {
            Some(at) => self.resolved(self.document.pointer(&at[1..]).unwrap_or_else(|| panic!("{at} is nowhere"))),
            None => one,
        }
    }

    /// Err: where it is not of the form, and why.
    pub fn check(&self, schema: &Value, value: &Value, at: &str) -> Result<(), String> {
        let schema = self.resolved(schema);
        let ways = |name: &str| schema.get(name).and_then(Value::as_array);
        if let Some(ways) = ways("anyOf").or_else(|| ways("oneOf")) {
            let why: Vec<String> = ways.iter().filter_map(|way| self.check(way, value, at).err()).collect();
            if why.len() == ways.len() {
                return Err(why.join("; or "));
            }
        }
        if !value.is_object() {
            // Of an object, what they say together: see `members`.
            ways("allOf").into_iter().flatten().try_for_each(|part| self.check(part, value, at))?;
        }
        let is_of = |name: &str| match name {
            "object" => value.is_object(),
            "array" => value.is_array(),
            "string" => value.is_string(),
            "boolean" => value.is_boolean(),
            "null" => value.is_null(),
            "integer" => value.is_i64() || value.is_u64(),
            "number" => value.is_number(),
            other => panic!("{other} is no type"),
        };
        let fits = match schema.get("type") {
            Some(Value::String(name)) => is_of(name),
            Some(Value::Array(names)) => names.iter().filter_map(Value::as_str).any(is_of),
            _ => true,
        };
        if !fits {
            return Err(format!("{at} is {value}, and not {}", schema["type"]));
        }
        if schema.get("enum").and_then(Value::as_array).is_some_and(|all| !all.contains(value)) {
            return Err(format!("{at} is {value}, and not one of {}", schema["enum"]));
        }
        if schema.get("const").is_some_and(|only| only != value) {
            return Err(format!("{at} is {value}, and not {}", schema["const"]));
        }
        match value {
            Value::String(text) => text_fits(schema, text).map_err(|why| format!("{at} is {value}: {why}")),
            Value::Number(number) => {
                let (number, bound) =
                    (number.as_f64().expect("finite"), |name: &str| schema.get(name).and_then(Value::as_f64));
                match bound("minimum").is_none_or(|least| number >= least)
                    && bound("maximum").is_none_or(|most| number <= most)
                {
                    true => Ok(()),
                    false => Err(format!("{at} is {value}, and out of bounds")),
                }
            }
            Value::Array(items) => match schema.get("items") {
                Some(of) => {
                    items.iter().enumerate().try_for_each(|(n, item)| self.check(of, item, &format!("{at}[{n}]")))
                }
                None => Ok(()),
            },
            Value::Object(members) => self.members(schema, members, at),
            Value::Null | Value::Bool(_) => Ok(()),
        }
    }

    fn members(&self, schema: &Value, members: &Map<String, Value>, at: &str) -> Result<(), String> {
        let (mut described, mut required) = (Map::new(), Vec::new());
        let is_open = self.gather(schema, members, &mut described, &mut required);
        if let Some(missing) = required.iter().find(|name| !members.contains_key(**name)) {
            return Err(format!("{at} lacks {missing}"));
        }
        for (name, value) in members {
            match described.get(name) {
                Some(of) => self.check(of, value, &format!("{at}.{name}"))?,
                None if is_open => {}
                None => return Err(format!("{at}.{name} is not described")),
            }
        }
        Ok(())
    }

    /// What the parts of a schema say of an object together; whether it may have other members: where nothing is said of any,
    /// or that others may be there.
    fn gather<'a>(
        &'a self,
        schema: &'a Value,
        members: &Map<String, Value>,
        described: &mut Map<String, Value>,
        required: &mut Vec<&'a str>,
    ) -> bool {
        let schema = self.resolved(schema);
        let parts = |name: &str| schema.get(name).and_then(Value::as_array).into_iter().flatten();
        required.extend(parts("required").filter_map(Value::as_str));
        let own = schema.get("properties").and_then(Value::as_object);
        described.extend(own.into_iter().flatten().map(|(name, of)| (name.clone(), of.clone())));
        let mut is_open = own.is_none() && parts("allOf").next().is_none() && parts("anyOf").next().is_none();
        is_open |= schema.get("additionalProperties").is_some_and(|others| *others != Value::Bool(false));
        for part in parts("allOf") {
            is_open |= self.gather(part, members, described, required);
        }
        // It fits one of them, whose members these are.
        let value = Value::Object(members.clone());
        if let Some(way) = parts("anyOf").chain(parts("oneOf")).find(|way| self.check(way, &value, "").is_ok()) {
            is_open |= self.gather(way, members, described, required);
        }
        is_open
    }
}

fn text_fits(schema: &Value, text: &str) -> Result<(), &'static str> {
    let length = text.chars().count() as u64;
    let bound = |name: &str| schema.get(name).and_then(Value::as_u64);
    if bound("minLength").is_some_and(|least| length < least) || bound("maxLength").is_some_and(|most| length > most) {
        return Err("too short or too long");
    }
    match schema.get("format").and_then(Value::as_str) {
        Some("uuid") if Uuid::try_parse(text).is_err() => Err("no UUID"),
        Some("date-time") if text.parse::<Timestamp>().is_err() => Err("no time"),
        _ => Ok(()),
    }
}
