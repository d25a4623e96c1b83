//! Why something cannot be read.

use std::borrow::Cow;

use crate::protocols::protobuf::Malformed;

/// Why a data point, or a part of one, is no item.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Fault(pub Cow<'static, str>);

impl From<&'static str> for Fault {
    fn from(what: &'static str) -> Self {
        Self(what.into())
    }
}

impl From<Malformed> for Fault {
    fn from(malformed: Malformed) -> Self {
        Self(format!("no protobuf, {}; encode it by the schema of OTLP", malformed.what).into())
    }
}
