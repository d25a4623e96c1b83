//! Any bytes as a body of /services/collector, of the type application/json.
#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|input: &[u8]| tidegate_fuzz::protocols::check("/services/collector", "application/json", None, input));
