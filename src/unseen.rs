//! Characters that nobody sees, or that show others in another order: a name with them can look like another name.

/// Controls, and of the format characters of Unicode those that have no width or turn the direction of text.
pub fn is_unseen(character: char) -> bool {
    character.is_control()
        || matches!(character, '\u{ad}' | '\u{61c}' | '\u{180e}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}')
        || matches!(character, '\u{2060}'..='\u{206f}' | '\u{feff}' | '\u{fff9}'..='\u{fffb}' | '\u{e0000}'..='\u{e007f}')
}

#[cfg(test)]
mod tests {
    use super::is_unseen;

    #[test]
    fn what_can_be_read_is_seen() {
        assert!(!"Wall é 東京 עברית 👍 a\u{301}\u{a0}".chars().any(is_unseen));
        for character in ['\0', '\u{1b}', '\u{85}', '\u{200b}', '\u{202e}', '\u{2066}', '\u{feff}'] {
            assert!(is_unseen(character), "{character:?}");
        }
    }
}
