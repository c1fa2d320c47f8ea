//! Whatever bytes a client sends in a binary frame, they are a header with its payload, or a sentence.
#![no_main]

use libfuzzer_sys::fuzz_target;
use mhnos_protocol::frame::Header;

fuzz_target!(|input: &[u8]| {
    if let Ok((header, payload)) = Header::decode(input.to_vec().into()) {
        assert_eq!([&header.encode(), &payload[..]].concat(), input, "a frame has one form only");
    }
});
