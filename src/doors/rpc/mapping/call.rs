//! A call's arguments, one after the other, and what every decoder makes of them.

use std::collections::BTreeSet;

use serde_json::Value;

use super::Subject;
use super::parameters::{self, Parameter};
use crate::doors::rpc::procedures::{Place, Procedure};
use crate::doors::rpc::xdr::{LIST_MAX, ReadXdrError, Reader, STRING_MAX};
use crate::model::operation::RelayedArgs;
use crate::model::{Action, Operation, Resource, VmId};

/// For now, while the VM runs. *Source*: `VIR_DOMAIN_AFFECT_LIVE`.
pub(super) const LIVE: u32 = 1;
/// For every later start. *Source*: `VIR_DOMAIN_AFFECT_CONFIG`.
pub(super) const CONFIG: u32 = 2;

/// A call whose arguments are being read.
#[derive(Debug, Clone, Copy)]
pub(super) struct Call<'a> {
    procedure: &'static Procedure,
    args: Reader<'a>,
}

impl<'a> Call<'a> {
    pub(super) const fn new(procedure: &'static Procedure, payload: &'a [u8]) -> Self {
        Self { procedure, args: Reader::new(payload) }
    }

    pub(super) const fn name(&self) -> &'static str {
        self.procedure.name
    }

    /// The VM, where the table says that it comes first.
    pub(super) fn subject(&mut self) -> Result<Subject, ReadXdrError> {
        match self.procedure.place {
            Place::First => self.vm().map(Subject::Vm),
            Place::InNamed => {
                self.skip_text()?;
                self.vm().map(Subject::Vm)
            }
            Place::Nowhere | Place::Elsewhere => Ok(Subject::None),
        }
    }

    /// As [`Self::subject`], reading on from where it is now.
    pub(super) fn place(&self) -> Result<Subject, ReadXdrError> {
        Self { ..*self }.subject()
    }

    /// A VM by name, UUID and number, of which only the UUID is to be believed.
    pub(super) fn vm(&mut self) -> Result<VmId, ReadXdrError> {
        self.skip_text()?;
        let vm = self.args.uuid()?;
        self.args.i32()?;
        Ok(VmId(vm))
    }

    /// A VM that may be left out.
    pub(super) fn optional_vm(&mut self) -> Result<Option<VmId>, ReadXdrError> {
        if self.args.bool()? { self.vm().map(Some) } else { Ok(None) }
    }

    /// VMs.
    pub(super) fn vms(&mut self) -> Result<Vec<VmId>, ReadXdrError> {
        let count = self.args.count(LIST_MAX)?;
        (0..count).map(|_| self.vm()).collect()
    }

    pub(super) fn uuid(&mut self) -> Result<VmId, ReadXdrError> {
        self.args.uuid().map(VmId)
    }

    pub(super) fn u32(&mut self) -> Result<u32, ReadXdrError> {
        self.args.u32()
    }

    pub(super) fn i32(&mut self) -> Result<i32, ReadXdrError> {
        self.args.i32()
    }

    pub(super) fn u64(&mut self) -> Result<u64, ReadXdrError> {
        self.args.u64()
    }

    pub(super) fn i64(&mut self) -> Result<i64, ReadXdrError> {
        self.args.i64()
    }

    /// A text.
    pub(super) fn text(&mut self) -> Result<&'a str, ReadXdrError> {
        parameters::text(&mut self.args)
    }

    /// A text that may be left out.
    pub(super) fn optional_text(&mut self) -> Result<Option<&'a str>, ReadXdrError> {
        if self.args.bool()? { self.text().map(Some) } else { Ok(None) }
    }

    /// Texts.
    pub(super) fn texts(&mut self, max: u32) -> Result<Vec<&'a str>, ReadXdrError> {
        let count = self.args.count(max)?;
        (0..count).map(|_| self.text()).collect()
    }

    pub(super) fn skip_text(&mut self) -> Result<(), ReadXdrError> {
        self.args.opaque(STRING_MAX).map(|_| ())
    }

    /// libvirt's typed parameters.
    pub(super) fn parameters(&mut self) -> Result<Vec<Parameter<'a>>, ReadXdrError> {
        parameters::read(&mut self.args)
    }

    /// This call under an action, with what it touches.
    pub(super) fn relayed(&self, action: Action, touches: impl IntoIterator<Item = Resource>) -> Operation {
        let touches: BTreeSet<Resource> = touches.into_iter().collect();
        Operation::Relayed(RelayedArgs { action, procedure: self.name().to_owned(), touches })
    }
}

/// The operation of the catalogue that has these arguments; none when they do not fit it.
pub(super) fn said(action: Action, args: Value) -> Option<Operation> {
    Operation::parse(action, args).ok()
}

/// Whether there is nothing in the flags but what is known here: a flag that is not may mean anything.
pub(super) const fn only(flags: u32, known: u32) -> bool {
    flags & !known == 0
}

/// Whether a flag is set.
pub(super) const fn has(flags: u32, flag: u32) -> bool {
    flags & flag != 0
}
