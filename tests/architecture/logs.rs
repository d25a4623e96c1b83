//! What is logged as JSON is one object a line: no field has a name that the line has already.

use std::collections::BTreeSet;

use crate::source::sources;

/// Members of every line beside the event's own fields; `message` is the text of the event.
const OF_THE_LINE: [&str; 11] = [
    "timestamp",
    "level",
    "target",
    "message",
    "fields",
    "span",
    "spans",
    "filename",
    "line_number",
    "threadName",
    "threadId",
];

const MACROS: [&str; 7] = [
    "tracing::trace!(",
    "tracing::debug!(",
    "tracing::info!(",
    "tracing::warn!(",
    "tracing::error!(",
    "tracing::event!(",
    "_span!(",
];

/// The arguments of a macro's call that begins behind its bracket.
fn arguments(text: &str) -> Vec<String> {
    let (mut found, mut depth, mut quoted, mut escaped) = (vec![String::new()], 0, false, false);
    for c in text.chars() {
        match c {
            _ if escaped => escaped = false,
            '\\' if quoted => escaped = true,
            '"' => quoted = !quoted,
            _ if quoted => {}
            '(' | '[' | '{' => depth += 1,
            ')' | ']' | '}' if depth == 0 => return found,
            ')' | ']' | '}' => depth -= 1,
            ',' if depth == 0 => {
                found.push(String::new());
                continue;
            }
            _ => {}
        }
        found.last_mut().unwrap().push(c);
    }
    panic!("a call without an end: {text}");
}

/// The field's name, as in `name = value`, `%name` or `self.name`; None: the event's text, or nothing.
fn field(argument: &str) -> Option<&str> {
    let argument = argument.trim().trim_start_matches(['%', '?']);
    let end = argument.find(|c: char| !(c.is_ascii_alphanumeric() || "_.".contains(c))).unwrap_or(argument.len());
    let (name, rest) = (&argument[..end], argument[end..].trim_start());
    let is_named = rest.is_empty() || (rest.starts_with('=') && !rest.starts_with("=="));
    (is_named && !name.is_empty()).then_some(name)
}

fn faults(code: &str) -> Vec<String> {
    let mut faults = Vec::new();
    for call in MACROS.iter().flat_map(|name| code.match_indices(name).map(|(at, _)| &code[at + name.len()..])) {
        let arguments = arguments(call);
        let mut seen = BTreeSet::from(OF_THE_LINE);
        for name in arguments.iter().filter_map(|argument| field(argument)) {
            if !seen.insert(name) {
                faults.push(format!("`{name}` beside {}", arguments.last().unwrap().trim()));
            }
        }
    }
    faults
}

#[test]
fn no_field_of_the_log_has_the_name_of_another() {
    for path in sources() {
        let faults = faults(&std::fs::read_to_string(&path).unwrap());
        assert!(faults.is_empty(), "{}: {faults:?}", path.display());
    }
}

#[test]
fn such_fields_are_seen() {
    for code in [
        r#"tracing::warn!(message, "the database warns");"#,
        r#"tracing::info!(a = f("x, )", [1, 2]), %level, "b");"#,
        "tracing::error!(error, ?error, \"c\")",
        r#"tracing::debug_span!("d", target = 1)"#,
    ] {
        assert_eq!(faults(code).len(), 1, "{code}: {:?}", faults(code));
    }
    let good = r#"tracing::info!(a, b = self.message, c = x == level, error = %error, "level of a target, message");"#;
    assert_eq!(faults(good), Vec::<String>::new());
}
