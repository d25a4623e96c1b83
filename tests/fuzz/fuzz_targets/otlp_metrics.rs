//! Any bytes as a body of /v1/metrics, of the type application/x-protobuf.
#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|input: &[u8]| tidegate_fuzz::protocols::check("/v1/metrics", "application/x-protobuf", None, input));
