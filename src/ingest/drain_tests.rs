use bytes::Bytes;
use uuid::Uuid;

use super::super::spool::Meta;
use super::*;

fn entry(sequence: u64, items: u32) -> Entry {
    Entry { sequence, meta: Meta { receipt: Uuid::nil(), items }, appended_us: 0, payload: Bytes::new() }
}

#[test]
fn what_decodes_to_very_many_items_is_decoded_in_parts() {
    let sizes = [10, DRAIN_ITEMS, 5, DRAIN_ITEMS - 5, 1, 3 * DRAIN_ITEMS, 2];
    let entries: Vec<Entry> = (0..).zip(sizes).map(|(sequence, items)| entry(sequence, items)).collect();
    let groups: Vec<Vec<u64>> =
        groups(&entries).iter().map(|group| group.iter().map(|entry| entry.sequence).collect()).collect();
    assert_eq!(groups, [vec![0], vec![1], vec![2, 3], vec![4], vec![5], vec![6]]);
}

/// A key that a sender could send as well would let one tenant's request block the drain for all.
#[test]
fn no_sender_can_name_a_key_of_ours() {
    assert!(own_key(Uuid::now_v7()).bytes().any(|byte| !byte.is_ascii_graphic()));
}
