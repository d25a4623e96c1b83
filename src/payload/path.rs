//! Paths into payloads: JSON pointers, in which `*` stands for every member of an object and every element of an array.

use std::fmt;

use crate::limits::{MASK_PATH_BYTES_MAX, MASK_PATH_SEGMENTS_MAX};

/// A path that names something in a payload, never all of it.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Path {
    text: String,
    segments: Vec<Segment>,
}

#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Segment {
    Any,
    /// A member of this name; in an array the element of this number, if it is one.
    Named(String, Option<usize>),
}

/// Why a text is no path.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PathError {
    NoSlash,
    TooLong,
    BadEscape,
    Nul,
}

impl fmt::Display for PathError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoSlash => {
                f.write_str("must be a JSON pointer into the payload such as /user/email, or /items/*/name")
            }
            Self::TooLong => {
                write!(f, "must have at most {MASK_PATH_SEGMENTS_MAX} segments and {MASK_PATH_BYTES_MAX} bytes")
            }
            Self::BadEscape => f.write_str("has a ~ that is neither ~0 (for ~) nor ~1 (for /)"),
            Self::Nul => f.write_str("must not have U+0000 in it, which no stored payload has"),
        }
    }
}

impl Path {
    pub fn parse(text: &str) -> Result<Self, PathError> {
        let Some(rest) = text.strip_prefix('/') else { return Err(PathError::NoSlash) };
        if text.len() > MASK_PATH_BYTES_MAX {
            return Err(PathError::TooLong);
        }
        if text.contains('\0') {
            return Err(PathError::Nul);
        }
        let segments: Vec<Segment> = rest.split('/').map(Segment::parse).collect::<Result<_, _>>()?;
        if segments.len() > MASK_PATH_SEGMENTS_MAX {
            return Err(PathError::TooLong);
        }
        Ok(Self { text: text.to_owned(), segments })
    }

    /// As it was written.
    pub fn text(&self) -> &str {
        &self.text
    }

    pub fn segments(&self) -> &[Segment] {
        &self.segments
    }
}

impl Segment {
    fn parse(text: &str) -> Result<Self, PathError> {
        if text == "*" {
            return Ok(Self::Any);
        }
        let mut parts = text.split('~');
        let mut name = parts.next().unwrap_or_default().to_owned();
        for part in parts {
            let (escaped, rest) = match (part.strip_prefix('0'), part.strip_prefix('1')) {
                (Some(rest), _) => ('~', rest),
                (_, Some(rest)) => ('/', rest),
                _ => return Err(PathError::BadEscape),
            };
            name.push(escaped);
            name.push_str(rest);
        }
        let index = name.parse().ok().filter(|index: &usize| index.to_string() == name);
        Ok(Self::Named(name, index))
    }

    /// Whether it names the member of this name.
    pub fn is_member(&self, name: &str) -> bool {
        matches!(self, Self::Any) || matches!(self, Self::Named(named, _) if named == name)
    }

    /// Whether it names the element of this number.
    pub fn is_element(&self, index: usize) -> bool {
        matches!(self, Self::Any) || matches!(self, Self::Named(_, Some(named)) if *named == index)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_is_a_pointer_with_stars() {
        let segments = |text: &str| Path::parse(text).expect(text).segments;
        let named = |name: &str| Segment::Named(name.to_owned(), name.parse().ok());
        assert_eq!(segments("/a"), [named("a")]);
        assert_eq!(segments("/a/*/b~1c~0d/"), [named("a"), Segment::Any, named("b/c~d"), named("")]);
        assert_eq!(segments("/**/17"), [named("**"), named("17")]);
        for (text, is_element) in [("/7", true), ("/*", true), ("/07", false), ("/+7", false), ("/x", false)] {
            assert_eq!(segments(text)[0].is_element(7), is_element, "{text}");
        }
        let deep = "/a".repeat(MASK_PATH_SEGMENTS_MAX);
        assert!(Path::parse(&deep).is_ok());
        for (text, error) in [
            ("", PathError::NoSlash),
            ("a/b", PathError::NoSlash),
            ("/a~2", PathError::BadEscape),
            ("/a~", PathError::BadEscape),
            ("/a\0", PathError::Nul),
            (&format!("{deep}/a"), PathError::TooLong),
            (&format!("/{}", "a".repeat(MASK_PATH_BYTES_MAX)), PathError::TooLong),
        ] {
            assert_eq!(Path::parse(text), Err(error), "{text}");
        }
    }
}
