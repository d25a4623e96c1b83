//! `filter_path`: which members of an answer its reader wants.

/// Names between dots that count in a pattern; answers are not so deep.
const SEGMENTS_MAX: usize = 16;
/// Patterns that count; clients send three or four.
const PATTERNS_MAX: usize = 64;

/// Patterns of paths: `*` stands for any part of a name, `**` for any number of names, `-` before a pattern leaves out.
/// A path that ends at an object stands for all of it.
pub struct Filter<'a> {
    wanted: Vec<Vec<&'a str>>,
    unwanted: Vec<Vec<&'a str>>,
}

impl<'a> Filter<'a> {
    pub fn parse(text: &'a str) -> Self {
        let (mut wanted, mut unwanted) = (Vec::new(), Vec::new());
        for pattern in text.split(',').map(str::trim).filter(|pattern| !pattern.is_empty()).take(PATTERNS_MAX) {
            let (list, pattern) = match pattern.strip_prefix('-') {
                Some(pattern) => (&mut unwanted, pattern),
                None => (&mut wanted, pattern),
            };
            let mut segments: Vec<&str> = pattern.split('.').take(SEGMENTS_MAX).collect();
            // One says as much as two, which would be tried in every way.
            segments.dedup_by(|next, before| *next == "**" && *before == "**");
            list.push(segments);
        }
        Self { wanted, unwanted }
    }

    /// Whether the value at this path is in the answer.
    pub fn has(&self, path: &[&str]) -> bool {
        let any = |patterns: &[Vec<&str>]| patterns.iter().any(|pattern| leads_to(pattern, path));
        (self.wanted.is_empty() || any(&self.wanted)) && !any(&self.unwanted)
    }
}

/// Both are short, so that this goes a few steps deep.
fn leads_to(pattern: &[&str], path: &[&str]) -> bool {
    match (pattern, path) {
        ([], _) => true,
        (_, []) => false,
        (["**", rest @ ..], [_, below @ ..]) => leads_to(rest, path) || leads_to(pattern, below),
        ([first, rest @ ..], [name, below @ ..]) => is_like(first, name) && leads_to(rest, below),
    }
}

/// Whether a name has the pattern's pieces between its stars, in their order, and begins and ends as it does.
fn is_like(pattern: &str, name: &str) -> bool {
    let Some((first, rest)) = pattern.split_once('*') else { return pattern == name };
    let Some(mut name) = name.strip_prefix(first) else { return false };
    let (middle, last) = rest.rsplit_once('*').unwrap_or(("", rest));
    for piece in middle.split('*').filter(|piece| !piece.is_empty()) {
        let Some(at) = name.find(piece) else { return false };
        name = &name[at + piece.len()..];
    }
    name.ends_with(last)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_are_wanted_by_their_patterns() {
        for (filter, path, has) in [
            ("", "took", true),
            ("errors", "errors", true),
            ("errors", "took", false),
            ("errors,items.*.error", "items.index.error.type", true),
            ("errors,items.*.error", "items.index.status", false),
            ("items.*.error.reason", "items.index.error.type", false),
            ("items.*._index,items.*.status", "items.create._index", true),
            ("items.create.*", "items.index.status", false),
            ("items", "items.index._shards.total", true),
            ("**.type", "items.index.error.type", true),
            ("**.typ", "items.index.error.type", false),
            ("**.er*.**", "items.index.error.type", true),
            ("it*s.*.s*t*s", "items.index.status", true),
            ("it*s.*.s*x*s", "items.index.status", false),
            ("-items", "took", true),
            ("-items", "items.index.status", false),
            ("items.*,-**.error", "items.index.error.type", false),
            ("items.*,-**.error", "items.index.status", true),
            ("*", "took", true),
            ("took.x", "took", false),
        ] {
            let path: Vec<&str> = path.split('.').collect();
            assert_eq!(Filter::parse(filter).has(&path), has, "{filter} {path:?}");
        }
        let long = format!("{}took", "**.*.".repeat(20_000));
        assert!(!Filter::parse(&long).has(&["items", "index", "error", "type"]));
    }
}
