//! What compiling a schema comes to beside what is written.
//!
//! The compiler of `jsonschema` compiles what a reference names once, with two exceptions: for `unevaluatedProperties` and
//! `unevaluatedItems` it compiles it again at each reference that leads there, and where there are documents in a document
//! (`$id`) again for each way through them. Either multiplies with each step, so that a few hundred references come to more than
//! any memory. Nothing can stop the compiler; what it would do is walked here before, as it goes, up to a bound.

use std::collections::HashSet;
use std::collections::hash_map::DefaultHasher;
use std::hash::{Hash, Hasher};

use jsonschema::{Draft, ReferencingError, Registry, uri};
use referencing::{Resolved, Resolver};
use serde_json::{Map, Value};

use super::error::SchemaError;
use crate::limits::{SCHEMA_EXPANSION_DEPTH_MAX, SCHEMA_EXPANSION_MAX};

/// What a schema is called that has no `$id`.
const UNNAMED: &str = "json-schema:///";

/// Subschemas that are compiled beside those that are written, and validators of what `unevaluated…` asks about. What cannot be
/// resolved is refused here: the compiler must not find what was not counted.
pub fn expansion(schema: &Value) -> Result<usize, SchemaError> {
    let resource = Draft::Draft202012.create_resource_ref(schema);
    let outside = |error: ReferencingError| SchemaError::refers_outside(&error);
    let mut base = uri::from_str(resource.id().unwrap_or(UNNAMED)).map_err(outside)?;
    let registry =
        Registry::new().add(base.as_str(), resource).and_then(|builder| builder.prepare()).map_err(outside)?;
    if base.fragment().is_some_and(|fragment| fragment.as_str().is_empty()) {
        base.set_fragment(None);
    }
    let mut walk = Walk::default();
    walk.compile(&Place { resolver: registry.resolver(base), scope: 0, site: 0 }, schema)?;
    Ok(walk.again)
}

/// Where the compiler is.
#[derive(Clone)]
struct Place<'s> {
    resolver: Resolver<'s>,
    /// The documents that have led here, hashed: what `$dynamicRef` means depends on them.
    scope: u64,
    /// The references by which `unevaluated…` has come here, hashed; 0: none. What is known at one is compiled again at another.
    site: u64,
}

impl<'s> Place<'s> {
    fn of(resolved: &Resolved<'s>, site: u64) -> Self {
        let resolver = resolved.resolver().clone();
        let scope = hashed(&resolver.dynamic_scope());
        Self { resolver, scope, site }
    }

    fn within(&self, schema: &Value) -> Self {
        let mut place = self.clone();
        if schema.get("$id").is_some()
            && let Ok(resolver) = self.resolver.in_subresource(Draft::Draft202012.create_resource_ref(schema))
        {
            place.resolver = resolver;
        }
        place
    }
}

/// What was evaluated is asked about members, or about elements.
#[derive(Clone, Copy)]
enum Of {
    Members,
    Elements,
}

#[derive(Default)]
struct Walk {
    /// By site, address and scope.
    compiled: HashSet<(u64, usize, u64)>,
    /// What is written, by address.
    written: HashSet<usize>,
    /// What references name and is being compiled.
    in_progress: HashSet<usize>,
    /// What is asked about members and elements, and not answered yet: there a reference does not lead on.
    pending: [HashSet<usize>; 2],
    again: usize,
    depth: usize,
}

fn hashed(what: &impl Hash) -> u64 {
    let mut hasher = DefaultHasher::new();
    what.hash(&mut hasher);
    hasher.finish()
}

fn address(schema: &Value) -> usize {
    std::ptr::from_ref(schema) as usize
}

impl Walk {
    fn once_more(&mut self) -> Result<(), SchemaError> {
        self.again += 1;
        if self.again <= SCHEMA_EXPANSION_MAX {
            return Ok(());
        }
        Err(SchemaError(format!(
            "its references multiply it: compiled it would be more than {SCHEMA_EXPANSION_MAX} subschemas larger than it is \
             written, because what a reference names counts again at each place from which unevaluatedProperties or \
             unevaluatedItems lead there, and for each way through documents with an $id; name the members (properties with \
             additionalProperties), or refer to less there"
        )))
    }

    fn deeper(&mut self, go: impl FnOnce(&mut Self) -> Result<(), SchemaError>) -> Result<(), SchemaError> {
        self.depth += 1;
        if self.depth > SCHEMA_EXPANSION_DEPTH_MAX {
            return Err(SchemaError(format!(
                "its references lead too deep: unevaluatedProperties or unevaluatedItems have to look through more than \
                 {SCHEMA_EXPANSION_DEPTH_MAX} subschemas that are in each other or refer to each other; make such chains shorter"
            )));
        }
        let gone = go(self);
        self.depth -= 1;
        gone
    }

    fn compile<'s>(&mut self, place: &Place<'s>, schema: &'s Value) -> Result<(), SchemaError> {
        if !self.compiled.insert((place.site, address(schema), place.scope)) {
            return Ok(());
        }
        if !self.written.insert(address(schema)) {
            self.once_more()?;
        }
        let Value::Object(rules) = schema else { return Ok(()) };
        let place = place.within(schema);
        self.deeper(|walk| walk.compile_rules(&place, schema, rules))
    }

    fn compile_rules<'s>(
        &mut self,
        place: &Place<'s>,
        schema: &'s Value,
        rules: &'s Map<String, Value>,
    ) -> Result<(), SchemaError> {
        for (name, rule) in rules {
            match (name.as_str(), rule) {
                ("$ref" | "$dynamicRef", Value::String(reference)) => self.compile_named(place, reference)?,
                ("allOf" | "anyOf" | "oneOf" | "prefixItems", Value::Array(schemas)) => {
                    schemas.iter().try_for_each(|schema| self.compile(place, schema))?;
                }
                ("properties" | "patternProperties" | "dependentSchemas" | "dependencies", Value::Object(schemas)) => {
                    schemas.values().try_for_each(|schema| self.compile(place, schema))?;
                }
                ("unevaluatedProperties", _) => self.evaluated(Of::Members, place, schema)?,
                ("unevaluatedItems", _) => self.evaluated(Of::Elements, place, schema)?,
                (
                    "items" | "contains" | "additionalProperties" | "propertyNames" | "not" | "if" | "then" | "else",
                    _,
                ) => self.compile(place, rule)?,
                _ => {}
            }
        }
        Ok(())
    }

    fn compile_named(&mut self, place: &Place<'_>, reference: &str) -> Result<(), SchemaError> {
        let resolved = place.resolver.lookup(reference).map_err(|error| SchemaError::refers_outside(&error))?;
        let named = resolved.contents();
        if !self.in_progress.insert(address(named)) {
            return Ok(());
        }
        // Chains of these the compiler works off one after the other.
        let depth = std::mem::take(&mut self.depth);
        let compiled = self.compile(&Place::of(&resolved, 0), named);
        self.depth = depth;
        self.in_progress.remove(&address(named));
        compiled
    }

    /// What the compiler makes to know what was evaluated at a schema.
    fn evaluated<'s>(&mut self, of: Of, place: &Place<'s>, schema: &'s Value) -> Result<(), SchemaError> {
        let Value::Object(rules) = schema else { return Ok(()) };
        self.once_more()?;
        let is_first = self.pending[of as usize].insert(address(schema));
        let evaluated = self.deeper(|walk| walk.evaluated_rules(of, place, schema, rules));
        if is_first {
            self.pending[of as usize].remove(&address(schema));
        }
        evaluated
    }

    fn evaluated_rules<'s>(
        &mut self,
        of: Of,
        place: &Place<'s>,
        schema: &'s Value,
        rules: &'s Map<String, Value>,
    ) -> Result<(), SchemaError> {
        for (name, rule) in rules {
            match (of, name.as_str(), rule) {
                (_, "allOf" | "anyOf" | "oneOf", Value::Array(schemas)) => {
                    for schema in schemas {
                        self.compile(place, schema)?;
                        self.evaluated(of, &place.within(schema), schema)?;
                    }
                }
                (_, "if" | "then" | "else", _) => {
                    self.compile(place, rule)?;
                    self.evaluated(of, &place.within(rule), rule)?;
                }
                (Of::Members, "dependentSchemas", Value::Object(schemas)) => {
                    for schema in schemas.values() {
                        self.compile(place, schema)?;
                        self.evaluated(of, &place.within(schema), schema)?;
                    }
                }
                (Of::Members, "patternProperties", Value::Object(schemas)) => {
                    schemas.values().try_for_each(|schema| self.compile(place, schema))?;
                }
                (Of::Members, "additionalProperties" | "unevaluatedProperties", _)
                | (Of::Elements, "contains" | "unevaluatedItems", _) => self.compile(place, rule)?,
                (_, "$ref" | "$dynamicRef", Value::String(reference)) => {
                    self.evaluated_named(of, place, schema, place.resolver.lookup(reference))?;
                }
                (_, "$recursiveRef", _) => {
                    self.evaluated_named(of, place, schema, place.resolver.lookup_recursive_ref())?;
                }
                _ => {}
            }
        }
        Ok(())
    }

    fn evaluated_named<'s>(
        &mut self,
        of: Of,
        place: &Place<'s>,
        from: &Value,
        resolved: Result<Resolved<'s>, ReferencingError>,
    ) -> Result<(), SchemaError> {
        let resolved = resolved.map_err(|error| SchemaError::refers_outside(&error))?;
        let named = resolved.contents();
        if self.pending[of as usize].contains(&address(named)) {
            return Ok(());
        }
        let site = hashed(&(place.site, address(from)));
        self.evaluated(of, &Place::of(&resolved, site), named)
    }
}

#[cfg(test)]
#[path = "expansion_tests.rs"]
mod tests;
