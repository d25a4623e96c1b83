//! Values of the command line that several commands take.

/// A value, or the word `none`.
#[derive(Debug, Clone, Copy)]
pub struct OrNone<T>(pub Option<T>);

pub fn or_none<T>(parse: fn(&str) -> Result<T, String>) -> impl Fn(&str) -> Result<OrNone<T>, String> + Clone {
    move |text| {
        if text == "none" {
            return Ok(OrNone(None));
        }
        parse(text).map(|value| OrNone(Some(value))).map_err(|error| format!("{error}; or `none`"))
    }
}
