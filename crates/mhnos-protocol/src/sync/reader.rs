//! Reading records: any bytes are records or a sentence, and room is only taken for what is really there.

use bytes::{Buf, Bytes};

use super::{Action, ContentHash, Node, OrderResult, Problem, Record, kind};
use crate::limits;

/// Reads all records of one frame's payload.
///
/// # Errors
/// A sentence naming what is wrong with the first that is not one, or with the payload.
pub fn decode(mut payload: Bytes) -> Result<Vec<Record>, String> {
    if payload.len() > limits::SYNC_FRAME_BYTES {
        return Err(format!(
            "a sync frame has at most {} bytes, this one has {}",
            limits::SYNC_FRAME_BYTES,
            payload.len()
        ));
    }
    let mut records = Vec::new();
    while payload.has_remaining() {
        let cut = |_| format!("sync record {} is cut off", records.len());
        let kind = payload.try_get_u8().map_err(cut)?;
        let length = payload.try_get_u32_le().map_err(cut)?;
        let length = usize::try_from(length).ok().filter(|length| *length <= payload.len());
        let length = length.ok_or_else(|| format!("sync record {} is cut off", records.len()))?;
        let mut body = Body(payload.split_to(length));
        let record = body.record(kind).and_then(|record| body.end().map(|()| record));
        records.push(record.map_err(|fault| {
            format!("sync record {} of type {kind} was not understood: {fault}", records.len())
        })?);
    }
    Ok(records)
}

const CUT: &str = "it is too short";

/// What is left of a record's body.
struct Body(Bytes);

impl Body {
    fn record(&mut self, kind: u8) -> Result<Record, &'static str> {
        Ok(match kind {
            kind::OBSERVED => self.observed()?,
            kind::PROBLEMS => {
                let count = self.u32()?;
                let problems = (0..count).map(|_| self.problem()).collect::<Result<_, _>>()?;
                Record::Problems(problems)
            }
            kind::OUTCOME => Record::Outcome {
                order: self.u64()?,
                result: match self.u8()? {
                    0 => OrderResult::Done,
                    1 => OrderResult::Changed(self.node()?),
                    2 => OrderResult::Failed(self.text()?),
                    _ => return Err("no such result"),
                },
            },
            kind::ORDER => self.order()?,
            kind::ASK_BLOCKS => Record::AskBlocks {
                request: self.u64()?,
                path: self.text()?,
                content: self.content()?,
                size: self.u64()?,
            },
            kind::BLOCKS => {
                let request = self.u64()?;
                let count = self.u32()?;
                let hashes = (0..count).map(|_| self.content()).collect::<Result<_, _>>()?;
                Record::Blocks { request, hashes }
            }
            kind::READ => Record::Read {
                request: self.u64()?,
                path: self.text()?,
                content: self.content()?,
                offset: self.u64()?,
                length: match self.u32()? {
                    length if length <= limits::SYNC_READ_BYTES => length,
                    _ => return Err("it asks for too much at once"),
                },
            },
            kind::DATA => Record::Data { request: self.u64()?, offset: self.u64()?, bytes: self.rest() },
            kind::UNAVAILABLE => Record::Unavailable { request: self.u64()?, reason: self.text()? },
            kind::CONTENT => Record::Content { content: self.content()?, bytes: self.rest() },
            kind::COMMITTED => Record::Committed { sequence: self.u64()?, synced: self.flag()? },
            kind::HALTED => Record::Halted(self.optional_text()?),
            kind::RESCAN => Record::Rescan,
            _ => return Err("no such type"),
        })
    }

    fn observed(&mut self) -> Result<Record, &'static str> {
        let (complete, more) = match self.u8()? {
            0 => (false, false),
            1 => (true, false),
            2 => (false, true),
            _ => return Err("no such flags"),
        };
        let within = self.optional_text()?;
        let count = self.u32()?;
        let nodes =
            (0..count).map(|_| Ok((self.text()?, self.node()?))).collect::<Result<_, &'static str>>()?;
        Ok(Record::Observed { complete, more, within, nodes })
    }

    fn problem(&mut self) -> Result<Problem, &'static str> {
        Ok(Problem { path: self.text()?, reason: self.text()? })
    }

    fn order(&mut self) -> Result<Record, &'static str> {
        let (order, action) = (self.u64()?, self.u8()?);
        let (path, expect) = (self.text()?, self.node()?);
        let action = match action {
            1 => Action::MakeDirectory,
            2 => match self.node()? {
                Some(Node::File { content, size, executable }) => {
                    Action::Put { content, size, executable, copy_from: self.optional_text()? }
                }
                _ => return Err("only a file can be put"),
            },
            3 => Action::Move { from: self.text()?, moved: self.node()?.ok_or("nothing can not be moved")? },
            4 => Action::Remove,
            _ => return Err("no such action"),
        };
        Ok(Record::Order { order, path, expect, action })
    }

    fn node(&mut self) -> Result<Option<Node>, &'static str> {
        match self.u8()? {
            0 => Ok(None),
            1 => Ok(Some(Node::Directory)),
            kind @ (2 | 3) => {
                let size = self.u64()?;
                Ok(Some(Node::File { content: self.content()?, size, executable: kind == 3 }))
            }
            _ => Err("no such node"),
        }
    }

    fn content(&mut self) -> Result<ContentHash, &'static str> {
        let mut content = [0; 32];
        self.0.try_copy_to_slice(&mut content).map_err(|_| CUT)?;
        Ok(content)
    }

    fn text(&mut self) -> Result<String, &'static str> {
        let length = usize::from(self.0.try_get_u16_le().map_err(|_| CUT)?);
        if length > self.0.len() {
            return Err(CUT);
        }
        let bytes = self.0.split_to(length);
        std::str::from_utf8(&bytes).map(str::to_owned).map_err(|_| "a text in it is not UTF-8")
    }

    fn optional_text(&mut self) -> Result<Option<String>, &'static str> {
        self.text().map(|text| Some(text).filter(|text| !text.is_empty()))
    }

    fn flag(&mut self) -> Result<bool, &'static str> {
        match self.u8()? {
            0 => Ok(false),
            1 => Ok(true),
            _ => Err("a flag is neither 0 nor 1"),
        }
    }

    fn u8(&mut self) -> Result<u8, &'static str> {
        self.0.try_get_u8().map_err(|_| CUT)
    }

    fn u32(&mut self) -> Result<u32, &'static str> {
        self.0.try_get_u32_le().map_err(|_| CUT)
    }

    fn u64(&mut self) -> Result<u64, &'static str> {
        self.0.try_get_u64_le().map_err(|_| CUT)
    }

    fn rest(&mut self) -> Bytes {
        std::mem::take(&mut self.0)
    }

    fn end(&self) -> Result<(), &'static str> {
        if self.0.is_empty() { Ok(()) } else { Err("it is too long") }
    }
}
