//! Any bytes as a body of /api/v1/write, of the type application/x-protobuf.
#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|input: &[u8]| tidegate_fuzz::protocols::check("/api/v1/write", "application/x-protobuf;proto=io.prometheus.write.v2.Request", None, input));
