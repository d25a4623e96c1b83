//! The hash by which TimescaleDB spreads rows over the partitions of a space dimension: PostgreSQL's hash of text (Bob
//! Jenkins' lookup3 with PostgreSQL's beginning), without its sign. Knowing it is knowing a row's chunk before the
//! database does.

/// What PostgreSQL's `hashtext` begins with, beside the length.
const SEED: u32 = 0x9e37_79b9 + 3_923_095;

/// `hashtext(text) & 2147483647` of a little-endian server.
pub fn space(text: &str) -> u32 {
    hash(text) & 0x7fff_ffff
}

/// `hashtext(text)` of a little-endian server, by which Citus spreads rows over shards.
pub fn signed_hash(text: &str) -> i32 {
    hash(text).cast_signed()
}

fn hash(text: &str) -> u32 {
    let bytes = text.as_bytes();
    let length = u32::try_from(bytes.len()).expect("names are short");
    let mut state = [SEED.wrapping_add(length); 3];
    let mut blocks = bytes.chunks_exact(12);
    for block in &mut blocks {
        for (word, four) in state.iter_mut().zip(block.chunks_exact(4)) {
            *word = word.wrapping_add(u32::from_le_bytes([four[0], four[1], four[2], four[3]]));
        }
        mix(&mut state);
    }
    // The lowest byte of the third word is the length's place.
    for (at, &byte) in blocks.remainder().iter().enumerate() {
        let shift = if at < 8 { at % 4 } else { at % 4 + 1 };
        state[at / 4] = state[at / 4].wrapping_add(u32::from(byte) << (8 * shift));
    }
    last_mix(&mut state);
    state[2]
}

fn mix([a, b, c]: &mut [u32; 3]) {
    *a = a.wrapping_sub(*c) ^ c.rotate_left(4);
    *c = c.wrapping_add(*b);
    *b = b.wrapping_sub(*a) ^ a.rotate_left(6);
    *a = a.wrapping_add(*c);
    *c = c.wrapping_sub(*b) ^ b.rotate_left(8);
    *b = b.wrapping_add(*a);
    *a = a.wrapping_sub(*c) ^ c.rotate_left(16);
    *c = c.wrapping_add(*b);
    *b = b.wrapping_sub(*a) ^ a.rotate_left(19);
    *a = a.wrapping_add(*c);
    *c = c.wrapping_sub(*b) ^ b.rotate_left(4);
    *b = b.wrapping_add(*a);
}

fn last_mix([a, b, c]: &mut [u32; 3]) {
    *c = (*c ^ *b).wrapping_sub(b.rotate_left(14));
    *a = (*a ^ *c).wrapping_sub(c.rotate_left(11));
    *b = (*b ^ *a).wrapping_sub(a.rotate_left(25));
    *c = (*c ^ *b).wrapping_sub(b.rotate_left(16));
    *a = (*a ^ *c).wrapping_sub(c.rotate_left(4));
    *b = (*b ^ *a).wrapping_sub(a.rotate_left(14));
    *c = (*c ^ *b).wrapping_sub(b.rotate_left(24));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_the_hash_of_citus() {
        // As `worker_hash(text)` says.
        for (text, expected) in
            [("default", 822_708_183), ("a", 1_075_015_857), ("b", -68_821_088), ("e", 2_035_879_394)]
        {
            assert_eq!(signed_hash(text), expected, "{text}");
        }
    }

    #[test]
    fn it_is_the_hash_of_postgres() {
        for (text, expected) in [
            ("", 669_664_877),
            ("a", 1_075_015_857),
            ("abc", 1_362_094_999),
            ("abcd", 1_753_548_844),
            ("abcdefgh", 186_555_443),
            ("abcdefghi", 2_055_352_159),
            ("abcdefghijk", 663_679_955),
            ("abcdefghijkl", 561_396_436),
            ("abcdefghijklm", 405_849_808),
            ("gpt-4", 926_395_477),
            ("ä😀 x", 579_244_427),
            ("0123456789012345678901234567890123456789", 1_295_095_736),
        ] {
            assert_eq!(space(text), expected, "{text}");
        }
    }
}
