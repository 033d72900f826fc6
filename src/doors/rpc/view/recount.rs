//! Replies that only count, or that are cut off at a length before anything could be left out of them: the whole list is
//! asked for instead, sifted, and counted here.

use super::super::xdr::{ReadXdrError, Reader, Writer};
use super::eyes::Eyes;
use super::listing::{Item, Listing};
use super::shapes::{self, MAX};

/// A call whose reply cannot be sifted: the question whose reply can, and the answer that follows from that.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Recount {
    /// The client's call.
    pub(super) procedure: u32,
}

/// What is asked of libvirt in the stead of the client's call.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Question {
    /// Of the remote program.
    pub procedure: u32,
    pub payload: Vec<u8>,
}

/// *Source*: `VIR_CONNECT_LIST_DOMAINS_ACTIVE`, `VIR_CONNECT_LIST_DOMAINS_INACTIVE`.
const ACTIVE: u32 = 1;
const INACTIVE: u32 = 2;

impl Recount {
    /// What to ask instead, on the client's own upstream connection and with an own serial. `call` is the payload of
    /// the client's call.
    ///
    /// *Errors*: [`ReadXdrError`].
    pub fn question(self, call: &[u8]) -> Result<Question, ReadXdrError> {
        let mut reader = Reader::new(call);
        let mut payload = Writer::new();
        let procedure = match self.procedure {
            37 | 51 => {
                payload.bool(true).u32(ACTIVE);
                273
            }
            21 | 25 => {
                payload.bool(true).u32(INACTIVE);
                273
            }
            91 | 92 => {
                shapes::named(&mut reader)?;
                payload.raw(reader.since(0)).bool(true).u32(0);
                282
            }
            111 | 112 => {
                reader.optional_string()?;
                payload.raw(reader.since(0)).u32(MAX);
                if self.procedure == 112 {
                    reader.u32()?;
                }
                payload.u32(reader.u32()?);
                112
            }
            126 | 127 => {
                payload.u32(MAX);
                127
            }
            137 | 138 => {
                payload.u32(MAX);
                138
            }
            139 | 140 => {
                payload.bool(true).u32(0);
                287
            }
            _ => {
                needs_results(self.procedure, &mut reader)?;
                let before = reader.position().saturating_sub(4);
                payload.raw(call.get(..before).unwrap_or_default()).bool(true).raw(reader.rest());
                self.procedure
            }
        };
        Ok(Question { procedure, payload: payload.into_bytes() })
    }

    /// The payload that answers the client's call. `reply` is the payload that answered the question; if that was an
    /// error instead, the client gets it.
    ///
    /// *Errors*: [`ReadXdrError`].
    pub fn answer(self, call: &[u8], reply: &[u8], eyes: &dyn Eyes) -> Result<Vec<u8>, ReadXdrError> {
        let question = self.question(call)?;
        let listing = Listing::of(question.procedure).ok_or(ReadXdrError::NoSuchValue(question.procedure))?;
        let (mut count, mut items) = (0_u32, Writer::new());
        let most = self.most(call)?;
        listing.each_seen(reply, eyes, |item| {
            if count < most {
                count += 1;
                self.write(&item, &mut items);
            }
        })?;
        let mut answer = Writer::new();
        match self.procedure {
            // A bare number.
            25 | 51 | 91 | 111 | 126 | 137 | 139 => answer.u32(count),
            21 | 37 | 92 | 112 | 127 | 138 | 140 => answer.u32(count).raw(&items.into_bytes()),
            // An empty list and its length.
            _ => answer.u32(0).u32(count),
        };
        Ok(answer.into_bytes())
    }

    /// How many the client takes.
    fn most(self, call: &[u8]) -> Result<u32, ReadXdrError> {
        let mut reader = Reader::new(call);
        match self.procedure {
            21 | 37 | 127 | 138 | 140 => {}
            92 => shapes::named(&mut reader).map(|_| ())?,
            112 => reader.optional_string().map(|_| ())?,
            _ => return Ok(u32::MAX),
        }
        Ok(u32::try_from(reader.i32()?).unwrap_or(0))
    }

    /// One of the list, as the client's call has it.
    fn write(self, item: &Item<'_>, items: &mut Writer) {
        match item {
            Item::Vm { number, .. } if self.procedure == 37 => items.i32(*number),
            Item::Vm { name, .. } if self.procedure == 21 => items.string(name),
            Item::Volume(volume) if self.procedure == 92 => items.string(volume.name),
            Item::Device(name) if self.procedure == 112 => items.string(name),
            Item::Interface(name, _) if matches!(self.procedure, 127 | 138) => items.string(name),
            Item::Secret(secret) if self.procedure == 140 => items.string(&secret.uuid.to_string()),
            Item::Vm { .. }
            | Item::Stats(_)
            | Item::Volume(_)
            | Item::Device(_)
            | Item::Interface(..)
            | Item::Secret(_)
            | Item::Lease(_)
            | Item::Port(_)
            | Item::Binding(_) => return,
        };
    }
}

/// Whether a call for a list wants more than its length. Read up to the word that says so.
///
/// *Errors*: [`ReadXdrError`], also when the procedure is no such.
pub(super) fn needs_results(procedure: u32, reader: &mut Reader<'_>) -> Result<bool, ReadXdrError> {
    match procedure {
        273 | 284 | 285 | 287 | 401 => {}
        282 | 404 => shapes::named(reader).map(|_| ())?,
        341 => {
            shapes::named(reader)?;
            reader.optional_string()?;
        }
        other => return Err(ReadXdrError::NoSuchValue(other)),
    }
    Ok(reader.i32()? != 0)
}
