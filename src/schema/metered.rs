//! A payload as the validator sees it: values whose looks are counted (`looks`).

use std::borrow::Cow;

use jsonschema::JsonType;
use jsonschema::json::{Array, Json, Node, NodeIdentity, Object};
use serde_json::{Map, Number, Value};

use super::equality::{are_unique, equal};
use super::looks::{look, look_at_number, look_at_text, look_through};

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
        look_at_text(string);
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
        let text = self.0.as_str();
        look_at_text(text.unwrap_or_default());
        text.map(|text| text.chars().count() as u64)
    }

    fn as_number(&self) -> Option<&'a Number> {
        match self.0 {
            Value::Number(number) => {
                look_at_number(number.as_str());
                Some(number)
            }
            _ => {
                look();
                None
            }
        }
    }

    fn is_number(&self) -> bool {
        look();
        self.0.is_number()
    }

    fn is_string(&self) -> bool {
        look();
        self.0.is_string()
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
        equal(self.0, expected)
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

    fn is_unique(&self) -> bool {
        are_unique(self.0)
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
