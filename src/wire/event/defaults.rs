//! What a request says of its events as a whole.

/// What the query string says about events that do not say it themselves.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Defaults {
    /// `?event_type=`
    pub event_type: Option<String>,
    /// `?source_module=`
    pub source_module: Option<String>,
    /// `?stream=`
    pub stream: Option<String>,
    /// `?wrap=payload`: each item as a whole is a payload.
    pub wrap: bool,
}
