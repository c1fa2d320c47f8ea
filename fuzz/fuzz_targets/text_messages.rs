//! Whatever text a client sends, the parsers of both protocols answer with a message or a sentence, never with a panic.
#![no_main]

use libfuzzer_sys::fuzz_target;
use mhnos_protocol::{v1, v2};

fuzz_target!(|text: &str| {
    let _ = v1::parse(text);
    let _ = v2::parse(text);
});
