//! `syslog.*`: where syslog is listened for, and in whose name.

use std::fmt;

use jiff::tz::{Offset, TimeZone};

use super::value::ConfigReader;
use super::{ConfigError, ListenAddress};
use crate::limits::STREAM_CHARS_MAX;

#[derive(Clone)]
pub struct SyslogConfig {
    pub listen: ListenAddress,
    /// Datagrams are taken as well.
    pub udp: bool,
    /// Connections speak TLS, with the certificate of the HTTP server.
    pub tls: bool,
    /// The API key that all messages are sent with.
    pub key: String,
    /// None: the default stream.
    pub stream: Option<String>,
    /// Of messages that name none.
    pub zone: TimeZone,
}

impl fmt::Debug for SyslogConfig {
    /// Without the key.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { listen, udp, tls, stream, .. } = self;
        let mut shown = f.debug_struct("SyslogConfig");
        shown.field("listen", listen).field("udp", udp).field("tls", tls).field("stream", stream);
        shown.finish_non_exhaustive()
    }
}

impl SyslogConfig {
    /// None: syslog is not listened for.
    pub(super) fn read(read: &ConfigReader<'_>) -> Result<Option<Self>, ConfigError> {
        let refuse = |key: &str, why: String| Err(ConfigError(format!("{}: {why}", read.whereabouts(key))));
        let on_off = [("true", true), ("false", false)];
        let (udp, tls) = (read.one_of("syslog.udp", &on_off)?, read.one_of("syslog.tls", &on_off)?);
        let stream = Some(read.text("syslog.stream")).filter(|stream| !stream.is_empty());
        if stream.as_ref().is_some_and(|stream| stream.chars().count() > STREAM_CHARS_MAX) {
            return refuse("syslog.stream", format!("must have at most {STREAM_CHARS_MAX} characters"));
        }
        let Some(zone) = zone(&read.text("syslog.utc_offset")) else {
            return refuse("syslog.utc_offset", "must be an offset from UTC such as +00:00, +01:00 or -05:30".into());
        };
        if !read.is_set("syslog.listen") {
            if let Some(key) = [("syslog.udp", udp), ("syslog.tls", tls)].iter().find_map(|(key, on)| on.then_some(key))
            {
                return refuse(key, "needs an address to listen at; set syslog.listen".into());
            }
            return Ok(None);
        }
        let listen = read.parsed("syslog.listen", "an address or name and a port, such as 0.0.0.0:6514")?;
        let key = read.text("syslog.key");
        if key.is_empty() {
            return refuse("syslog.listen", "needs an API key for what is sent there; set syslog.key_file".into());
        }
        if tls && !read.is_set("tls.cert") {
            return refuse("syslog.tls", "needs a certificate; set tls.cert and tls.key".into());
        }
        Ok(Some(Self { listen, udp, tls, key, stream, zone }))
    }
}

/// `+HH:MM` or `-HH:MM`.
fn zone(text: &str) -> Option<TimeZone> {
    let (sign, clock) = match text.split_at_checked(1)? {
        ("+", clock) => (1, clock),
        ("-", clock) => (-1, clock),
        _ => return None,
    };
    let (hours, minutes) = clock.split_once(':')?;
    let number = |text: &str, max: i32| {
        let plain = text.len() == 2 && text.bytes().all(|byte| byte.is_ascii_digit());
        text.parse().ok().filter(|number: &i32| plain && *number <= max)
    };
    let seconds = (number(hours, 23)? * 60 + number(minutes, 59)?) * 60;
    Offset::from_seconds(sign * seconds).ok().map(TimeZone::fixed)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn offsets_are_read_as_they_are_written() {
        let seconds = |text: &str| zone(text).map(|zone| zone.to_offset(jiff::Timestamp::UNIX_EPOCH).seconds());
        for (text, expected) in
            [("+00:00", 0), ("+01:00", 3600), ("-05:30", -19_800), ("-00:15", -900), ("+23:59", 86_340)]
        {
            assert_eq!(seconds(text), Some(expected), "{text}");
        }
        for bad in ["", "01:00", "+1:00", "+24:00", "+01:60", "+0100", "Z", "é", "+-1:00", "+01:+0"] {
            assert_eq!(seconds(bad), None, "{bad}");
        }
    }
}
