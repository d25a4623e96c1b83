//! Any bytes as a body: no panic, and the invariants of decoding hold.
#![no_main]

use libfuzzer_sys::fuzz_target;
use tidegate::wire::item::BodyForm;

fuzz_target!(|input: &[u8]| tidegate_fuzz::decoded::check(input, &[BodyForm::Ndjson]));
