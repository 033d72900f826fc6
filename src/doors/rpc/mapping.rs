//! Stand-in until the mapping is merged.

use super::xdr::{ReadXdrError, Reader};
use crate::model::operation::{NoArgs, Operation};
use crate::model::VmId;

/// What becomes of a call.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Treatment {
    Pass,
    Look { subject: Subject, secret: Secrecy },
    Change { subject: Subject, operation: Operation, pace: Pace },
    Host(HostAccess, Subject),
    Refuse(Why),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Secrecy { Open, Secret }
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Pace { Held, Never }
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum HostAccess { Read, Write }
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Why { Identity, Monitor, Unknown }
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Returns { Nothing, Domain, Other }

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Subject {
    None,
    Vm(VmId),
    VmName(String),
    VmNumber(i32),
    DomainXml(String),
    SavedImage { path: String, xml: Option<String> },
    Volume { pool: String, name: String, key: String },
    Process(u32),
    Arriving { name: Option<String>, xml: Option<String> },
    Many(Vec<VmId>),
}

pub fn treatment(_program: u32, procedure: u32, payload: &[u8]) -> Result<Treatment, ReadXdrError> {
    let vm = || -> Result<VmId, ReadXdrError> {
        let mut reader = Reader::new(payload);
        reader.string()?;
        Ok(VmId(reader.uuid()?))
    };
    let change = |operation| {
        Ok(Treatment::Change { subject: Subject::Vm(vm()?), operation, pace: Pace::Held })
    };
    match procedure {
        9 | 196 => change(Operation::PowerStart(NoArgs {})),
        12 => change(Operation::PowerStop(NoArgs {})),
        28 => change(Operation::PowerResume(NoArgs {})),
        34 => change(Operation::PowerSuspend(NoArgs {})),
        16 | 212 => Ok(Treatment::Look { subject: Subject::Vm(vm()?), secret: Secrecy::Open }),
        _ => Ok(Treatment::Pass),
    }
}

pub fn name_of(_program: u32, procedure: u32) -> Option<&'static str> {
    match procedure { 34 => Some("domain_suspend"), 12 => Some("domain_destroy"), _ => Some("other") }
}

pub fn returns(_program: u32, procedure: u32) -> Returns {
    match procedure { 196 => Returns::Domain, _ => Returns::Nothing }
}
