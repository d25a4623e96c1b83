//! Any bytes as a body of /api/v2/write, of the type text/plain.
#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|input: &[u8]| tidegate_fuzz::protocols::check("/api/v2/write", "text/plain", None, input));
