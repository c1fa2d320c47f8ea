use super::*;
use proptest::prelude::*;

fn decode(pieces: &[&[u8]]) -> String {
    let mut cut = CutCharacter::new(false);
    let mut text = String::new();
    for piece in pieces {
        cut.decode(piece, |whole| text.push_str(whole));
    }
    if cut.is_cut() {
        text.push('\u{fffd}');
    }
    text
}

#[test]
fn a_character_may_be_cut_anywhere() {
    let text = "aä€😀z";
    for first in 0..text.len() {
        for second in first..text.len() {
            let bytes = text.as_bytes();
            assert_eq!(decode(&[&bytes[..first], &bytes[first..second], &bytes[second..]]), text);
        }
    }
    assert_eq!(decode(&[b"\xf0\x9f"]), "\u{fffd}");
    let mut cut = CutCharacter::new(true);
    cut.decode(&"€a".as_bytes()[1..], |text| assert_eq!(text, "a"));
}

/// On two threads, so that reply and block may come between any two steps of the one that writes.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_block_never_overtakes_the_reply_it_follows() {
    const PAIRS: u64 = 20_000;
    let (written, mut read) = tokio::io::duplex(1 << 20);
    let (outbox, emptied) = open(MessageWriter::new(written));
    let emptier = tokio::spawn(emptied);
    let sender = tokio::spawn(async move {
        for offset in 0..PAIRS {
            outbox.send(Outgoing::Text("{}".into())).await;
            let header = Header { kind: Kind::Sync, channel: 1, offset };
            assert!(outbox.send_block(Block { header, content: Bytes::new() }).await);
            tokio::task::yield_now().await;
        }
    });
    let (mut replies, mut blocks) = (0_u64, 0_u64);
    while blocks < PAIRS {
        use tokio::io::AsyncReadExt as _;
        let mut head = [0; 2];
        read.read_exact(&mut head).await.unwrap();
        let mut payload = vec![0; usize::from(head[1])];
        read.read_exact(&mut payload).await.unwrap();
        if head[0] & 0xf == 1 {
            replies += 1
        } else {
            blocks += 1
        }
        assert!(blocks <= replies, "block {blocks} came before its reply");
    }
    sender.await.unwrap();
    emptier.abort();
}

proptest! {
    #[test]
    fn any_bytes_in_any_pieces_are_read_as_if_in_one(bytes: Vec<u8>, cuts in proptest::collection::vec(0..40usize, 0..6)) {
        let mut pieces = Vec::new();
        let mut rest = &bytes[..];
        for cut in cuts {
            let (piece, after) = rest.split_at(cut.min(rest.len()));
            pieces.push(piece);
            rest = after;
        }
        pieces.push(rest);
        prop_assert_eq!(decode(&pieces), String::from_utf8_lossy(&bytes));
    }

    #[test]
    fn text_in_any_pieces_is_unharmed(text in "[a-zä€😀]{0,20}", cut in 0..60usize) {
        let cut = cut.min(text.len());
        prop_assert_eq!(decode(&[&text.as_bytes()[..cut], &text.as_bytes()[cut..]]), text);
    }
}
