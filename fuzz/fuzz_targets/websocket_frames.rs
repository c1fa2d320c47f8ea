//! Whatever bytes come over a socket after the upgrade, they are messages within the limit, a skipped one, or an error.
#![no_main]

use bytes::Bytes;
use libfuzzer_sys::fuzz_target;
use mhnos_fuzz::websocket::{Incoming, MessageReader};

fuzz_target!(|input: (u8, &[u8])| {
    let (limit, stream) = (usize::from(input.0), input.1);
    let mut reader = MessageReader::new(stream, Bytes::new(), limit);
    // A slice is always ready: no future ever waits, and a runtime would only cost time.
    let mut context = std::task::Context::from_waker(std::task::Waker::noop());
    loop {
        let message = std::pin::pin!(reader.next());
        match message.poll(&mut context) {
            std::task::Poll::Ready(Ok(Incoming::Close) | Err(_)) => return,
            std::task::Poll::Ready(Ok(Incoming::Text(content) | Incoming::Binary(content))) => {
                assert!(content.len() <= limit, "a message beyond the limit");
            }
            std::task::Poll::Ready(Ok(Incoming::TooLarge { .. } | Incoming::Ping(_))) => {}
            std::task::Poll::Pending => panic!("a slice is always ready"),
        }
    }
});
