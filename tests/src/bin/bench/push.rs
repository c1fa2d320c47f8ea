//! Files as the published client sends them: each byte a decimal number, in JSON.

use std::fs;
use std::io::{Read, Write};
use std::time::Instant;

use mhnos_protocol::v1;
use serde::Deserialize;

use crate::Result;
use crate::bare::socket_pair;
use crate::client::{Client, Message, Protocol};
use crate::report::{Line, Report};
use crate::runtime::Runtime;
use crate::statistics::{median, megabytes, milliseconds};

const FILES: usize = 5;
const FILE_BYTES: usize = 4 << 20;
const ROUNDS: usize = 5;

/// Contents without a pattern, the same in every run.
fn contents() -> Vec<Vec<u8>> {
    let mut state = 0x9e37_79b9_7f4a_7c15_u64;
    let mut next = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        (state >> 32) as u8
    };
    (0..FILES).map(|_| (0..FILE_BYTES).map(|_| next()).collect()).collect()
}

fn message(contents: &[Vec<u8>]) -> Result<String> {
    let files = contents.iter().enumerate().map(|(index, content)| {
        let content = serde_json::to_string(content)?;
        Ok(format!(
            r#"{{"path":"/pushed-{index}.bin","kind":"file","content":{content},"mtime":1780000000000}}"#
        ))
    });
    let files = files.collect::<Result<Vec<_>>>()?.join(",");
    Ok(format!(r#"{{"type":"fsync","id":"req-1","operation":"push","files":[{files}]}}"#))
}

/// What a general parser does with the same text when it knows what to expect.
#[derive(Deserialize)]
struct General {
    files: Vec<GeneralFile>,
}

#[derive(Deserialize)]
struct GeneralFile {
    content: Vec<u8>,
}

/// The decoding alone.
pub(crate) fn decode(report: &mut Report) -> Result<()> {
    let contents = contents();
    let text = message(&contents)?;
    let (mut bare, mut ours) = (Vec::new(), Vec::new());
    for _ in 0..ROUNDS {
        let began = Instant::now();
        let general: General = serde_json::from_str(&text)?;
        bare.push(text.len() as f64 / began.elapsed().as_secs_f64());
        if general.files.iter().map(|file| &file.content).ne(&contents) {
            return Err("the general parser read something else".into());
        }
        let began = Instant::now();
        let parsed = v1::parse(&text).map_err(|malformed| malformed.error)?;
        ours.push(text.len() as f64 / began.elapsed().as_secs_f64());
        let v1::Request::Push(files) = parsed.request else { return Err("not understood as a push".into()) };
        if files.iter().map(|file| file.content.as_ref()).ne(contents.iter().map(Some)) {
            return Err("the files were decoded wrongly".into());
        }
    }
    let (bare, ours) = (median(&bare), median(&ours));
    report.add(Line {
        what: "1.x push, JSON decoded".into(),
        bare: format!("{} (serde_json)", megabytes(bare)),
        ours: megabytes(ours),
        ratio: Some(ours / bare),
        target: ">= 150 MB/s",
        met: ours >= 150e6,
    });
    Ok(())
}

/// The whole way: one message over the socket, until it is answered.
pub(crate) fn socket(report: &mut Report) -> Result<()> {
    let contents = contents();
    let text = message(&contents)?;
    let runtime = Runtime::start()?;
    let mut client = runtime.connect(Protocol::V1)?;
    let frame = [&[0x81, 0xff][..], &(text.len() as u64).to_be_bytes(), &[0; 4], text.as_bytes()].concat();
    let (mut bare, mut ours) = (Vec::new(), Vec::new());
    for _ in 0..ROUNDS {
        bare.push(bare_push(&runtime, &frame, &contents)?);
        let began = Instant::now();
        client.stream.write_all(&frame)?;
        let answer = answer(&mut client)?;
        ours.push(began.elapsed().as_secs_f64());
        if !answer.contains(r#""synced":5,"failed":0"#) {
            return Err(format!("the push was answered: {answer}").into());
        }
        for (index, content) in contents.iter().enumerate() {
            let path = runtime.workspace().join(format!("pushed-{index}.bin"));
            if &fs::read(&path)? != content {
                return Err(format!("{} was not written as it was sent", path.display()).into());
            }
            fs::remove_file(path)?;
        }
    }
    let (bare, ours) = (median(&bare), median(&ours));
    report.add(Line {
        what: "1.x push, five files of 4 MiB in one message, to the answer".into(),
        bare: format!("{} (TCP, then write and fsync)", milliseconds(bare)),
        ours: milliseconds(ours),
        ratio: Some(ours / bare),
        target: "<= 500 ms",
        met: ours <= 0.5,
    });
    Ok(())
}

fn answer(client: &mut Client) -> Result<String> {
    loop {
        if let Message::Text(text) = client.next()?
            && text.starts_with(br#"{"type":"fsyncResult""#)
        {
            return Ok(String::from_utf8_lossy(text).into_owned());
        }
    }
}

/// The same bytes through a socket of this machine, and the same files onto its disk.
fn bare_push(runtime: &Runtime, frame: &[u8], contents: &[Vec<u8>]) -> Result<f64> {
    let (mut socket, mut other) = socket_pair()?;
    let mut received = vec![0; frame.len()];
    let began = Instant::now();
    std::thread::scope(|scope| {
        let reader = scope.spawn(|| other.read_exact(&mut received));
        socket.write_all(frame)?;
        reader.join().map_err(|_| std::io::ErrorKind::Other)?
    })?;
    for content in contents {
        let mut file = tempfile::NamedTempFile::new_in(runtime.workspace())?;
        file.write_all(content)?;
        file.as_file().sync_all()?;
    }
    Ok(began.elapsed().as_secs_f64())
}
