//! An event of a message.

use super::data::{Param, pieces};
use super::parts::{Message, Time};
use crate::protocols::convert::Json;

/// By RFC 5424, table 2, as programs call them.
const SEVERITIES: [&str; 8] = ["emergency", "alert", "critical", "error", "warning", "notice", "info", "debug"];

/// By RFC 5424, table 1.
const FACILITIES: [&str; 24] = [
    "kern", "user", "mail", "daemon", "auth", "syslog", "lpr", "news", "uucp", "cron", "authpriv", "ftp", "ntp",
    "audit", "alert", "clock", "local0", "local1", "local2", "local3", "local4", "local5", "local6", "local7",
];

/// The type of all events of syslog, and the source of those that name none.
const SYSLOG: &str = "syslog";

pub fn event(item: &mut Json<'_>, message: &Message<'_>, cut: bool, sender: &str) {
    item.raw(b"{\"event_type\":\"syslog\",\"source_module\":");
    item.string(if message.app.is_empty() { SYSLOG } else { message.app }.as_bytes());
    match message.time {
        Time::None => {}
        Time::Text(text) => member(item, b",\"timestamp\":", text),
        Time::Us(us) => {
            item.raw(b",\"timestamp\":");
            item.timestamp(us.saturating_mul(1000));
        }
    }
    let priority = usize::from(message.priority);
    member(item, b",\"severity\":", SEVERITIES[priority % 8]);
    member(item, b",\"asset_id\":", if message.host.is_empty() { sender } else { message.host });
    item.raw(b",\"payload\":{\"message\":");
    item.string(message.text.as_bytes());
    if !message.params.is_empty() {
        item.raw(b",\"structured_data\":{");
        elements(item, &message.params);
        item.raw(b"}");
    }
    member(item, b",\"structured_data_text\":", message.data_text);
    item.raw(b"},\"metadata\":{\"syslog\":{\"facility\":");
    item.string(FACILITIES.get(priority / 8).copied().unwrap_or("user").as_bytes());
    item.raw(b",\"priority\":");
    item.u64(u64::from(message.priority));
    if message.versioned {
        item.raw(b",\"version\":1");
    }
    let texts: [(&[u8], &str); 5] = [
        (b",\"procid\":", message.procid),
        (b",\"msgid\":", message.msgid),
        (b",\"sequence\":", message.sequence),
        (b",\"timestamp\":", message.time_text),
        (b",\"sender\":", sender),
    ];
    for (name, text) in texts {
        member(item, name, text);
    }
    if cut {
        item.raw(b",\"cut\":true");
    }
    item.raw(b"}}}");
}

/// A member whose value is text, if there is one.
fn member(item: &mut Json<'_>, name: &[u8], text: &str) {
    if !text.is_empty() {
        item.raw(name);
        item.string(text.as_bytes());
    }
}

/// Elements by their ids. What is named several times in one, as RFC 5424 allows, is an array.
fn elements(item: &mut Json<'_>, params: &[Param<'_>]) {
    for (at, element) in params.iter().enumerate() {
        let is_first = |one: &&Param<'_>| one.id == element.id;
        if !element.name.is_empty() || params[..at].iter().any(|one| is_first(&one)) {
            continue;
        }
        if at > 0 {
            item.raw(b",");
        }
        item.key(element.id.as_bytes());
        let mut separator: &[u8] = b"{";
        let own = || params.iter().enumerate().filter(|(_, one)| one.id == element.id && !one.name.is_empty());
        for (place, param) in own() {
            let same = || own().filter(|(_, one)| one.name == param.name);
            if same().next().is_some_and(|(first, _)| first != place) {
                continue;
            }
            item.raw(separator);
            separator = b",";
            item.key(param.name.as_bytes());
            let many = same().nth(1).is_some();
            let mut before: &[u8] = if many { b"[" } else { b"" };
            for (_, one) in same() {
                item.raw(before);
                before = b",";
                item.raw(b"\"");
                pieces(one.value, |piece| item.part(piece.as_bytes()));
                item.raw(b"\"");
            }
            if many {
                item.raw(b"]");
            }
        }
        if separator == b"{" {
            item.raw(b"{");
        }
        item.raw(b"}");
    }
}
