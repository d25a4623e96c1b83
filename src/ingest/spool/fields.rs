//! Fields of a spooled request: every length is checked before anything is taken.

/// Stands for the length of a text that is absent.
const ABSENT: u32 = u32::MAX;

/// Why bytes are no request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DecodeError {
    Short,
    Version(u8),
    /// A text is not UTF-8, or a choice is none of those known.
    Invalid(&'static str),
}

impl std::fmt::Display for DecodeError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Short => f.write_str("a spooled request is cut short"),
            Self::Version(version) => write!(f, "a spooled request is of version {version}, which is not known"),
            Self::Invalid(field) => write!(f, "a spooled request has an invalid {field}"),
        }
    }
}

impl std::error::Error for DecodeError {}

pub fn put_count(into: &mut Vec<u8>, count: usize) {
    let count = u32::try_from(count).ok().filter(|count| *count != ABSENT).expect("requests are smaller than 4 GiB");
    into.extend_from_slice(&count.to_le_bytes());
}

/// Bytes behind a flag that says whether they are there.
pub fn put_flagged<const N: usize>(into: &mut Vec<u8>, bytes: Option<&[u8; N]>) {
    into.push(bytes.is_some().into());
    into.extend_from_slice(bytes.map_or(&[], <[u8; N]>::as_slice));
}

pub fn put_text(into: &mut Vec<u8>, text: Option<&str>) {
    match text {
        None => into.extend_from_slice(&ABSENT.to_le_bytes()),
        Some(text) => {
            put_count(into, text.len());
            into.extend_from_slice(text.as_bytes());
        }
    }
}

/// What is left to be read.
pub struct Reader<'a>(pub &'a [u8]);

impl<'a> Reader<'a> {
    pub fn bytes(&mut self, count: u64) -> Result<&'a [u8], DecodeError> {
        let count = usize::try_from(count).map_err(|_| DecodeError::Short)?;
        let (taken, rest) = self.0.split_at_checked(count).ok_or(DecodeError::Short)?;
        self.0 = rest;
        Ok(taken)
    }

    pub fn array<const N: usize>(&mut self) -> Result<[u8; N], DecodeError> {
        let (taken, rest) = self.0.split_first_chunk().ok_or(DecodeError::Short)?;
        self.0 = rest;
        Ok(*taken)
    }

    pub fn u32(&mut self) -> Result<u32, DecodeError> {
        self.array().map(u32::from_le_bytes)
    }

    pub fn flag(&mut self, field: &'static str) -> Result<bool, DecodeError> {
        match self.array::<1>()?[0] {
            0 => Ok(false),
            1 => Ok(true),
            _ => Err(DecodeError::Invalid(field)),
        }
    }

    /// As `put_flagged` writes them.
    pub fn flagged<const N: usize>(&mut self, field: &'static str) -> Result<Option<[u8; N]>, DecodeError> {
        if self.flag(field)? { self.array().map(Some) } else { Ok(None) }
    }

    pub fn text(&mut self, field: &'static str) -> Result<Option<String>, DecodeError> {
        let length = self.u32()?;
        if length == ABSENT {
            return Ok(None);
        }
        let text = std::str::from_utf8(self.bytes(length.into())?).map_err(|_| DecodeError::Invalid(field))?;
        Ok(Some(text.to_owned()))
    }

    pub fn required(&mut self, field: &'static str) -> Result<String, DecodeError> {
        self.text(field)?.ok_or(DecodeError::Invalid(field))
    }
}
