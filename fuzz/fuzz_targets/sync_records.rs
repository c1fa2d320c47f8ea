//! Whatever a payload of a sync frame holds, it is records with one form each, or a sentence.
#![no_main]

use bytes::BytesMut;
use libfuzzer_sys::fuzz_target;
use mhnos_protocol::sync::decode;

fuzz_target!(|payload: &[u8]| {
    if let Ok(records) = decode(payload.to_vec().into()) {
        let mut written = BytesMut::new();
        records.iter().for_each(|record| record.encode(&mut written));
        assert_eq!(&written[..], payload, "records have one form only");
    }
});
