//! What a message is made of, and what is known of it from elsewhere.

use jiff::tz::TimeZone;

use super::data::Param;

/// What is known of a message from elsewhere.
#[derive(Debug, Clone, Copy)]
pub struct Context<'a> {
    /// Messages of RFC 3164 have no year: they came before this, or little ahead.
    pub received_at_us: i64,
    /// In which messages without a zone are.
    pub zone: &'a TimeZone,
    /// The address that it came from: the host of a message that names none.
    pub sender: &'a str,
}

/// What a message says of its time.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Time<'a> {
    /// Nothing: it is that of its receipt.
    #[default]
    None,
    /// RFC 3339.
    Text(&'a str),
    /// Microseconds since 1970.
    Us(i64),
}

/// A message in its parts; what is not there is empty.
#[derive(Debug, Default)]
pub struct Message<'a> {
    pub priority: u8,
    /// Whether it is one of RFC 5424.
    pub versioned: bool,
    pub time: Time<'a>,
    /// What stands in the place of a time and was not understood, or not all of it.
    pub time_text: &'a str,
    pub host: &'a str,
    /// Application or tag.
    pub app: &'a str,
    pub procid: &'a str,
    pub msgid: &'a str,
    /// A number that Cisco's devices put before the time.
    pub sequence: &'a str,
    pub params: Vec<Param<'a>>,
    /// Structured data of more than that.
    pub data_text: &'a str,
    pub text: &'a str,
    /// What of it was not as it should be.
    pub note: Option<&'static str>,
}
