//! What is written is read; nothing else is; and the bytes are those in `tests/sync-vectors.json`, which the client's tests read too.

use bytes::BytesMut;
use proptest::prelude::*;
use serde_json::{Value, json};

use super::*;
use crate::limits;

fn text() -> impl Strategy<Value = String> {
    "\\PC{0,12}"
}

fn optional_text() -> impl Strategy<Value = Option<String>> {
    proptest::option::of("\\PC{1,12}")
}

fn file() -> impl Strategy<Value = (ContentHash, u64, bool)> {
    any::<(ContentHash, u64, bool)>()
}

fn present_node() -> impl Strategy<Value = Node> {
    let file = file().prop_map(|(content, size, executable)| Node::File { content, size, executable });
    prop_oneof![Just(Node::Directory), file]
}

fn node() -> impl Strategy<Value = Option<Node>> {
    proptest::option::of(present_node())
}

fn action() -> impl Strategy<Value = Action> {
    let put = (file(), optional_text()).prop_map(|((content, size, executable), copy_from)| Action::Put {
        content,
        size,
        executable,
        copy_from,
    });
    let moved = (text(), present_node()).prop_map(|(from, moved)| Action::Move { from, moved });
    prop_oneof![Just(Action::MakeDirectory), put, moved, Just(Action::Remove)]
}

fn result() -> impl Strategy<Value = OrderResult> {
    prop_oneof![
        Just(OrderResult::Done),
        node().prop_map(OrderResult::Changed),
        text().prop_map(OrderResult::Failed)
    ]
}

fn bytes() -> impl Strategy<Value = Bytes> {
    any::<Vec<u8>>().prop_map(Bytes::from)
}

fn record() -> impl Strategy<Value = Record> {
    let nodes = proptest::collection::vec((text(), node()), 0..8);
    let problem = (text(), text()).prop_map(|(path, reason)| Problem { path, reason });
    prop_oneof![
        (0..3u8, optional_text(), nodes).prop_map(|(flags, within, nodes)| Record::Observed {
            complete: flags == 1,
            more: flags == 2,
            within,
            nodes
        }),
        proptest::collection::vec(problem, 0..8).prop_map(Record::Problems),
        (any::<u64>(), result()).prop_map(|(order, result)| Record::Outcome { order, result }),
        (any::<u64>(), text(), node(), action()).prop_map(|(order, path, expect, action)| Record::Order {
            order,
            path,
            expect,
            action
        }),
        (any::<u64>(), text(), any::<ContentHash>(), any::<u64>())
            .prop_map(|(request, path, content, size)| Record::AskBlocks { request, path, content, size }),
        (any::<u64>(), any::<Vec<ContentHash>>())
            .prop_map(|(request, hashes)| Record::Blocks { request, hashes }),
        (any::<u64>(), text(), any::<ContentHash>(), any::<u64>(), 0..=limits::SYNC_READ_BYTES).prop_map(
            |(request, path, content, offset, length)| Record::Read {
                request,
                path,
                content,
                offset,
                length
            }
        ),
        (any::<u64>(), any::<u64>(), bytes()).prop_map(|(request, offset, bytes)| Record::Data {
            request,
            offset,
            bytes
        }),
        (any::<u64>(), text()).prop_map(|(request, reason)| Record::Unavailable { request, reason }),
        (any::<ContentHash>(), bytes()).prop_map(|(content, bytes)| Record::Content { content, bytes }),
        any::<(u64, bool)>().prop_map(|(sequence, synced)| Record::Committed { sequence, synced }),
        optional_text().prop_map(Record::Halted),
        Just(Record::Rescan),
    ]
}

fn encoded(records: &[Record]) -> Bytes {
    let mut out = BytesMut::new();
    records.iter().for_each(|record| record.encode(&mut out));
    out.freeze()
}

proptest! {
    #[test]
    fn what_is_encoded_is_decoded(records in proptest::collection::vec(record(), 0..6)) {
        prop_assert_eq!(decode(encoded(&records)), Ok(records));
    }

    #[test]
    fn a_record_that_is_cut_is_an_error(record in record(), at: prop::sample::Index) {
        let whole = encoded(&[record]);
        let at = 1 + at.index(whole.len() - 1);
        prop_assume!(at < whole.len());
        prop_assert!(decode(whole.slice(..at)).is_err());
    }

    #[test]
    fn no_bytes_make_it_panic(kind in 0..16u8, body: Vec<u8>) {
        let length = u32::try_from(body.len()).unwrap().to_le_bytes();
        let payload = [&[kind][..], &length, &body].concat();
        if let Ok(records) = decode(payload.clone().into()) {
            prop_assert_eq!(&encoded(&records)[..], &payload[..]);
        }
        let _ = decode(body.into());
    }

    #[test]
    fn a_batch_keeps_order_and_bound(records in proptest::collection::vec(record(), 1..40), large in 0..4usize) {
        let mut records = records;
        let bytes = Bytes::from(vec![7; limits::SYNC_READ_BYTES as usize]);
        for number in 0..large {
            let at = (number * 7) % records.len();
            records.insert(at, Record::Data { request: 1, offset: 0, bytes: bytes.clone() });
        }
        let mut batch = Batch::default();
        let mut payloads: Vec<_> = records.iter().filter_map(|record| batch.push(record)).collect();
        payloads.extend(batch.take());
        let mut decoded = Vec::new();
        for payload in payloads {
            prop_assert!(payload.len() <= limits::SYNC_FRAME_BYTES);
            decoded.extend(decode(payload).unwrap());
        }
        prop_assert_eq!(decoded, records);
    }
}

#[test]
fn counts_that_are_not_borne_out_take_no_room() {
    for kind in [kind::PROBLEMS, kind::OBSERVED, kind::BLOCKS] {
        let mut payload = BytesMut::new();
        payload.extend_from_slice(&[kind, 16, 0, 0, 0]);
        payload.extend_from_slice(&[0xff; 16]);
        assert!(decode(payload.freeze()).is_err());
    }
    let observed = [1, 7, 0, 0, 0, 0, 0, 0, 0xff, 0xff, 0xff, 0xff];
    assert!(decode(Bytes::copy_from_slice(&observed)).unwrap_err().contains("too short"));
}

#[test]
fn only_a_reason_can_be_cut_and_between_characters() {
    let reason = "é".repeat(40_000);
    let payload = encoded(&[Record::Unavailable { request: 1, reason }]);
    let decoded = decode(payload).unwrap();
    assert_eq!(decoded, [Record::Unavailable { request: 1, reason: "é".repeat(32_767) }]);
}

#[test]
fn a_payload_beyond_the_bound_is_refused() {
    let bytes = Bytes::from(vec![0; limits::SYNC_FRAME_BYTES]);
    let payload = encoded(&[Record::Content { content: [0; 32], bytes }]);
    assert!(decode(payload).unwrap_err().contains("at most"));
}

fn hexadecimal(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn shown_node(node: Option<&Node>) -> Value {
    match node {
        None => Value::Null,
        Some(Node::Directory) => json!({"kind": "directory"}),
        Some(Node::File { content, size, executable }) => {
            json!({"kind": "file", "content": hexadecimal(content), "size": size, "executable": executable})
        }
    }
}

/// A record as the client's tests write it.
fn shown(record: &Record) -> Value {
    match record {
        Record::Observed { complete, more, within, nodes } => {
            let nodes: Vec<_> = nodes
                .iter()
                .map(|(path, node)| json!({"path": path, "node": shown_node(node.as_ref())}))
                .collect();
            let within = within.as_deref().unwrap_or_default();
            json!({"type": "observed", "complete": complete, "more": more, "within": within, "nodes": nodes})
        }
        Record::Problems(problems) => {
            let problems: Vec<_> =
                problems.iter().map(|it| json!({"path": it.path, "reason": it.reason})).collect();
            json!({"type": "problems", "problems": problems})
        }
        Record::Outcome { order, result } => {
            let result = match result {
                OrderResult::Done => json!({"kind": "done"}),
                OrderResult::Changed(node) => json!({"kind": "changed", "node": shown_node(node.as_ref())}),
                OrderResult::Failed(reason) => json!({"kind": "failed", "reason": reason}),
            };
            json!({"type": "outcome", "order": order, "result": result})
        }
        Record::Order { order, path, expect, action } => {
            let action = match action {
                Action::MakeDirectory => json!({"kind": "makeDirectory"}),
                Action::Put { content, size, executable, copy_from } => json!({
                    "kind": "put",
                    "node": shown_node(Some(&Node::File { content: *content, size: *size, executable: *executable })),
                    "copyFrom": copy_from.as_deref().unwrap_or_default(),
                }),
                Action::Move { from, moved } => {
                    json!({"kind": "move", "from": from, "moved": shown_node(Some(moved))})
                }
                Action::Remove => json!({"kind": "remove"}),
            };
            json!({"type": "order", "order": order, "path": path, "expect": shown_node(expect.as_ref()), "action": action})
        }
        Record::AskBlocks { request, path, content, size } => {
            json!({"type": "askBlocks", "request": request, "path": path, "content": hexadecimal(content), "size": size})
        }
        Record::Blocks { request, hashes } => {
            let hashes: Vec<_> = hashes.iter().map(|hash| hexadecimal(hash)).collect();
            json!({"type": "blocks", "request": request, "hashes": hashes})
        }
        Record::Read { request, path, content, offset, length } => json!({
            "type": "read", "request": request, "path": path, "content": hexadecimal(content), "offset": offset,
            "length": length,
        }),
        Record::Data { request, offset, bytes } => {
            json!({"type": "data", "request": request, "offset": offset, "bytes": hexadecimal(bytes)})
        }
        Record::Unavailable { request, reason } => {
            json!({"type": "unavailable", "request": request, "reason": reason})
        }
        Record::Content { content, bytes } => {
            json!({"type": "content", "content": hexadecimal(content), "bytes": hexadecimal(bytes)})
        }
        Record::Committed { sequence, synced } => {
            json!({"type": "committed", "sequence": sequence, "synced": synced})
        }
        Record::Halted(reason) => json!({"type": "halted", "reason": reason.as_deref().unwrap_or_default()}),
        Record::Rescan => json!({"type": "rescan"}),
    }
}

/// One of each, with numbers that tell the order of bytes.
fn samples() -> Vec<Record> {
    let content = std::array::from_fn(|index| index as u8);
    let file = Node::File { content, size: 0x0001_0203_0405_0607, executable: false };
    let program = Node::File { content, size: 5, executable: true };
    let path = || "přílohy/kůň 🦀.txt".to_owned();
    let put = Action::Put { content, size: 300_000, executable: true, copy_from: Some("a/b".into()) };
    let put_new = Action::Put { content, size: 3, executable: false, copy_from: None };
    let moved = Action::Move { from: "old".into(), moved: Node::Directory };
    vec![
        Record::Observed {
            complete: false,
            more: false,
            within: None,
            nodes: vec![("a".into(), Some(Node::Directory)), (path(), Some(file)), ("gone".into(), None)],
        },
        Record::Observed { complete: true, more: false, within: Some("a".into()), nodes: Vec::new() },
        Record::Observed {
            complete: false,
            more: true,
            within: None,
            nodes: vec![("x".into(), Some(program))],
        },
        Record::Problems(vec![Problem { path: path(), reason: "is open in another program".into() }]),
        Record::Outcome { order: 0x0102_0304_0506, result: OrderResult::Done },
        Record::Outcome { order: 1, result: OrderResult::Changed(Some(file)) },
        Record::Outcome { order: 2, result: OrderResult::Changed(None) },
        Record::Outcome { order: 3, result: OrderResult::Failed("the disk is full".into()) },
        Record::Order { order: 1, path: path(), expect: None, action: Action::MakeDirectory },
        Record::Order { order: 2, path: path(), expect: Some(file), action: put },
        Record::Order { order: 3, path: "n".into(), expect: None, action: put_new },
        Record::Order { order: 4, path: "new".into(), expect: None, action: moved },
        Record::Order { order: 5, path: path(), expect: Some(program), action: Action::Remove },
        Record::AskBlocks { request: 7, path: path(), content, size: 300_000 },
        Record::Blocks { request: 7, hashes: vec![content, [0xff; 32]] },
        Record::Read { request: 8, path: path(), content, offset: 0x1_0000_0000, length: 0x0010_0000 },
        Record::Data { request: 8, offset: 0x1_0000_0000, bytes: Bytes::from_static(b"hello") },
        Record::Unavailable { request: 8, reason: "was changed".into() },
        Record::Content { content, bytes: Bytes::from_static(b"abc") },
        Record::Committed { sequence: 9, synced: true },
        Record::Halted(Some("half of the files are gone".into())),
        Record::Halted(None),
        Record::Rescan,
    ]
}

/// The file both sides' tests read. To write it anew after a change of the wire: set `MHNOS_WRITE_VECTORS`.
#[test]
fn the_bytes_are_those_the_client_is_tested_with() {
    let records: Vec<_> = samples()
        .iter()
        .map(|record| json!({"record": shown(record), "bytes": hexadecimal(&encoded(std::slice::from_ref(record)))}))
        .collect();
    let entries: Vec<_> = samples()
        .iter()
        .filter_map(|record| match record {
            Record::Observed { nodes, .. } => Some(nodes.clone()),
            _ => None,
        })
        .flatten()
        .filter_map(|(path, node)| node.map(|node| (path, node)))
        .collect();
    let mut digest = [0; 32];
    for (path, node) in &entries {
        let hash = blake3::hash(&entry_bytes(path, node));
        let mut carry = 0;
        for (sum, byte) in digest.iter_mut().zip(hash.as_bytes()) {
            let total = u16::from(*sum) + u16::from(*byte) + carry;
            (*sum, carry) = ((total & 0xff) as u8, total >> 8);
        }
    }
    let shown: Vec<_> =
        entries.iter().map(|(path, node)| json!({"path": path, "node": shown_node(Some(node))})).collect();
    let vectors = json!({"records": records, "tree": {"entries": shown, "digest": hexadecimal(&digest)}});
    let file = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/sync-vectors.json");
    if std::env::var_os("MHNOS_WRITE_VECTORS").is_some() {
        let text = serde_json::to_string_pretty(&vectors).unwrap() + "\n";
        std::fs::write(file, text).unwrap();
    }
    let committed: Value = serde_json::from_str(&std::fs::read_to_string(file).unwrap()).unwrap();
    assert_eq!(committed, vectors, "run this test with MHNOS_WRITE_VECTORS=1 and look at what changed");
}
