//! Any bytes as a body of /loki/api/v1/push, of the type application/json.
#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|input: &[u8]| tidegate_fuzz::protocols::check("/loki/api/v1/push", "application/json", None, input));
