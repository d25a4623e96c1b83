//! A schema as a list of objects and their parts.

use std::collections::BTreeMap;

use crate::model::listed;

listed! {
    /// What an object or a part of one is, in the order in which a snapshot has them and statements make them.
    #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
    pub enum Part {
        Schema,
        Type,
        Sequence,
        Table,
        Foreign,
        Function,
        Procedure,
        AggregateFunction,
        /// A continuous aggregate of TimescaleDB.
        Aggregate,
        View,
        Materialized,
        Option,
        Column,
        Dimension,
        Columnstore,
        Constraint,
        Index,
        Trigger,
        Rule,
        Policy,
        Job,
        Grant,
        DefaultGrant,
        /// Of a partition or chunk, beyond what its table is granted to.
        PartitionGrant,
    }
}

impl Part {
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Schema => "schema",
            Self::Type => "type",
            Self::Sequence => "sequence",
            Self::Table => "table",
            Self::Foreign => "foreign",
            Self::Function => "function",
            Self::Procedure => "procedure",
            Self::AggregateFunction => "aggregate_function",
            Self::Aggregate => "aggregate",
            Self::View => "view",
            Self::Materialized => "materialized",
            Self::Option => "option",
            Self::Column => "column",
            Self::Dimension => "dimension",
            Self::Columnstore => "columnstore",
            Self::Constraint => "constraint",
            Self::Index => "index",
            Self::Trigger => "trigger",
            Self::Rule => "rule",
            Self::Policy => "policy",
            Self::Job => "job",
            Self::Grant => "grant",
            Self::DefaultGrant => "default_grant",
            Self::PartitionGrant => "partition_grant",
        }
    }

    pub fn of(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|part| part.as_str() == name)
    }

    /// Whether it is an object, and not a part of one.
    pub fn is_object(self) -> bool {
        self <= Self::Materialized
    }

    /// As SQL calls an object.
    pub fn keyword(self) -> &'static str {
        match self {
            Self::AggregateFunction => "AGGREGATE",
            Self::Aggregate | Self::Materialized => "MATERIALIZED VIEW",
            Self::Foreign => "FOREIGN TABLE",
            Self::Function => "FUNCTION",
            Self::Procedure => "PROCEDURE",
            Self::Schema => "SCHEMA",
            Self::Sequence => "SEQUENCE",
            Self::Type => "TYPE",
            Self::View => "VIEW",
            Self::Table
            | Self::Option
            | Self::Column
            | Self::Dimension
            | Self::Columnstore
            | Self::Constraint
            | Self::Index
            | Self::Trigger
            | Self::Rule
            | Self::Policy
            | Self::Job
            | Self::Grant
            | Self::DefaultGrant
            | Self::PartitionGrant => "TABLE",
        }
    }
}

/// Names an object or a part of one.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Key {
    /// The object: a relation, a function with its arguments, the schema; quoted as SQL wants it, without its schema.
    pub block: String,
    pub part: Part,
    /// Of a part of it; of the object itself empty.
    pub name: String,
}

/// What is known of one, by name, in a fixed order.
pub type Facts = Vec<(String, String)>;

/// The value of a fact.
pub fn fact<'a>(facts: &'a Facts, name: &str) -> Option<&'a str> {
    facts.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str())
}

#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Snapshot {
    pub items: BTreeMap<Key, Facts>,
    /// What a variant is without; only layers have it.
    pub without: Vec<Key>,
}

impl Snapshot {
    /// Lays another over it: what that has replaces what is there.
    pub fn lay(&mut self, over: Self) {
        for key in &over.without {
            self.items.remove(key);
        }
        self.items.extend(over.items);
    }

    /// What must be laid over `base` to have this.
    pub fn over(&self, base: &Self) -> Self {
        let same = |key: &Key, facts: &Facts| base.items.get(key) == Some(facts);
        Self {
            items: self.items.iter().filter(|(key, facts)| !same(key, facts)).map(cloned).collect(),
            without: base.items.keys().filter(|key| !self.items.contains_key(key)).cloned().collect(),
        }
    }

    /// An object with its parts.
    pub fn block<'a>(&'a self, block: &'a str) -> impl Iterator<Item = (&'a Key, &'a Facts)> {
        let first = Key { block: block.to_owned(), part: Part::Schema, name: String::new() };
        self.items.range(first..).take_while(move |(key, _)| key.block == block)
    }

    /// The object of a block.
    pub fn object(&self, block: &str) -> Option<(Part, &Facts)> {
        self.items
            .range(Key { block: block.to_owned(), part: Part::Schema, name: String::new() }..)
            .next()
            .filter(|(key, _)| key.block == block && key.part.is_object())
            .map(|(key, facts)| (key.part, facts))
    }

    pub fn facts(&self, block: &str, part: Part, name: &str) -> Option<&Facts> {
        self.items.get(&Key { block: block.to_owned(), part, name: name.to_owned() })
    }
}

fn cloned((key, facts): (&Key, &Facts)) -> (Key, Facts) {
    (key.clone(), facts.clone())
}
