//! Any bytes as a body of /elastic/_bulk, of the type application/x-ndjson.
#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|input: &[u8]| tidegate_fuzz::protocols::check("/elastic/_bulk", "application/x-ndjson", None, input));
