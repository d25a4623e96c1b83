//! The parts of a message: RFC 5424 where a version says so, else what RFC 3164 observed.

use super::bsd;
use super::data;
use super::parts::{Context, Message, Time};
use crate::timestamp::parse_rfc3339;

/// `user.notice`, which RFC 3164 (4.3.3) gives to what says no priority.
const PRIORITY_DEFAULT: u8 = 13;
/// The last facility's last severity: `local7.debug`.
const PRIORITY_MAX: u8 = 191;

impl<'a> Message<'a> {
    pub fn read(text: &'a str, context: Context<'_>) -> Self {
        let Some((priority, rest)) = priority(text) else {
            return Self { priority: PRIORITY_DEFAULT, text, note: Some("no_priority"), ..Self::default() };
        };
        let mut message = Self { priority, text: rest, ..Self::default() };
        match rest.strip_prefix("1 ") {
            Some(fields) if message.versioned(fields).is_some() => {}
            Some(_) => {
                let note = Some("malformed");
                message = Self { priority, text: rest, note, ..Self::default() };
            }
            None => bsd::read(rest, context, &mut message),
        }
        message
    }

    /// Reads what follows the version; None: a field is missing.
    fn versioned(&mut self, fields: &'a str) -> Option<()> {
        let (time, rest) = fields.split_once(' ')?;
        let (host, rest) = rest.split_once(' ')?;
        let (app, rest) = rest.split_once(' ')?;
        let (procid, rest) = rest.split_once(' ')?;
        let (msgid, rest) = rest.split_once(' ')?;
        if [time, host, app, procid, msgid].contains(&"") {
            return None;
        }
        let said = |field: &'a str| if field == "-" { "" } else { field };
        self.versioned = true;
        (self.host, self.app, self.procid, self.msgid) = (said(host), said(app), said(procid), said(msgid));
        if parse_rfc3339(time).is_some() {
            self.time = Time::Text(time);
        } else if time != "-" {
            (self.time_text, self.note) = (time, Some("no_time"));
        }
        let text = match rest.strip_prefix('-') {
            Some(text) if text.is_empty() || text.starts_with(' ') => text,
            _ => match data::read(rest, &mut self.params) {
                Ok(text) => text,
                Err(data::Unread::TooMany(text)) => {
                    self.data_text = &rest[..rest.len() - text.len()];
                    text
                }
                Err(data::Unread::Malformed) => {
                    self.note = Some("malformed");
                    rest
                }
            },
        };
        let text = text.strip_prefix(' ').unwrap_or(text);
        self.text = text.strip_prefix('\u{feff}').unwrap_or(text);
        Some(())
    }
}

/// `<PRI>`, and what follows.
fn priority(text: &str) -> Option<(u8, &str)> {
    let (digits, rest) = text.strip_prefix('<')?.split_once('>')?;
    let plain = (1..=3).contains(&digits.len()) && digits.bytes().all(|byte| byte.is_ascii_digit());
    let priority = digits.parse().ok().filter(|priority| plain && *priority <= PRIORITY_MAX)?;
    Some((priority, rest))
}
