//! Any bytes as a body of /v1/logs, of the type application/json.
#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|input: &[u8]| tidegate_fuzz::protocols::check("/v1/logs", "application/json", None, input));
