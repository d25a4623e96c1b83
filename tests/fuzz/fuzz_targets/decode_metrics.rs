//! Any bytes as a body of metrics: no panic, and what is accepted is what was sent.
#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|input: &[u8]| tidegate_fuzz::metrics::check(input));
