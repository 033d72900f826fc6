//! Objects of the host: pools and their volumes, networks, interfaces, node devices, secrets, filters.

use super::call::Call;
use super::{HostAccess, Subject, Treatment};
use crate::doors::rpc::xdr::ReadXdrError;
use crate::model::operation::RelayedArgs;
use crate::model::{Action, Operation};

/// Where a system keeps its own programs.
const SYSTEM_FOLDERS: [&str; 4] = ["/usr/bin/", "/usr/libexec/", "/usr/local/bin/", "/bin/"];

pub(super) fn decode(mut call: Call<'_>, access: HostAccess) -> Result<Treatment, ReadXdrError> {
    let subject = match call.name() {
        "storage_vol_upload"
        | "storage_vol_download"
        | "storage_vol_wipe"
        | "storage_vol_wipe_pattern"
        | "storage_vol_delete"
        | "storage_vol_resize" => volume(&mut call)?,
        // The new volume gets what is in the old one.
        "storage_vol_create_xml_from" => {
            call.skip_text()?;
            call.uuid()?;
            call.skip_text()?;
            volume(&mut call)?
        }
        _ => Subject::None,
    };
    Ok(Treatment::Host(access, subject))
}

fn volume(call: &mut Call<'_>) -> Result<Subject, ReadXdrError> {
    let mut text = || call.text().map(str::to_owned);
    Ok(Subject::Volume { pool: text()?, name: text()?, key: text()? })
}

/// A question that libvirt answers by running the emulator that the caller names: with the system's own it is harmless,
/// with any other it is the caller's program that the host would run.
pub(super) fn emulator(mut call: Call<'_>) -> Result<Treatment, ReadXdrError> {
    let harmless = call.optional_text()?.is_none_or(is_systems);
    Ok(Treatment::Host(if harmless { HostAccess::Read } else { HostAccess::Write }, Subject::None))
}

fn is_systems(path: &str) -> bool {
    let program = SYSTEM_FOLDERS.iter().find_map(|folder| path.strip_prefix(folder));
    program.is_some_and(|program| program.starts_with("qemu") && !program.contains('/'))
}

/// What changing a volume is for the VM of which it is a disk: what is written there the guest does not see coming.
#[must_use]
pub fn past_the_guest(procedure: &str) -> Operation {
    let procedure = procedure.to_owned();
    Operation::Relayed(RelayedArgs { action: Action::DiskWrite, procedure, touches: [].into() })
}
