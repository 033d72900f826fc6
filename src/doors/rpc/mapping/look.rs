//! Reads: of which VM, and whether secrets come with the answer.

use super::call::{Call, has};
use super::{Secrecy, Subject, Treatment};
use crate::doors::rpc::xdr::ReadXdrError;

/// *Source*: `VIR_DOMAIN_XML_SECURE` and its like for snapshots, checkpoints and saved images.
const XML_SECURE: u32 = 1;
/// *Source*: `VIR_DOMAIN_XML_MIGRATABLE`; what is to be sent to another host has everything in it.
const XML_MIGRATABLE: u32 = 8;

pub(super) fn decode(mut call: Call<'_>) -> Result<Treatment, ReadXdrError> {
    let subject = call.subject()?;
    let open = |subject| Ok(Treatment::Look { subject, secret: Secrecy::Open });
    match call.name() {
        "domain_get_xml_desc" => by_flags(&mut call, subject, XML_SECURE | XML_MIGRATABLE),
        "domain_snapshot_get_xml_desc" | "domain_checkpoint_get_xml_desc" | "domain_managed_save_get_xml_desc" => {
            by_flags(&mut call, subject, XML_SECURE)
        }
        "domain_save_image_get_xml_desc" => {
            let path = call.text()?.to_owned();
            by_flags(&mut call, Subject::SavedImage { path, xml: None }, XML_SECURE)
        }
        // The guest's memory and disks hold whatever the guest knows.
        "domain_memory_peek" | "domain_block_peek" => Ok(Treatment::Look { subject, secret: Secrecy::Secret }),
        // The value of a secret, of which the host's owner only knows for which VM it is.
        "secret_get_value" => Ok(Treatment::Look { subject: Subject::None, secret: Secrecy::Secret }),
        "domain_lookup_by_id" => open(Subject::VmNumber(call.i32()?)),
        "domain_lookup_by_name" => open(Subject::VmName(call.text()?.to_owned())),
        "domain_lookup_by_uuid" => open(Subject::Vm(call.uuid()?)),
        "connect_get_all_domain_stats" => {
            let vms = call.vms()?;
            open(if vms.is_empty() { Subject::None } else { Subject::Many(vms) })
        }
        "connect_domain_event_callback_register_any" => {
            call.i32()?;
            open(call.optional_vm()?.map_or(Subject::None, Subject::Vm))
        }
        "connect_domain_monitor_event_register" => open(call.optional_vm()?.map_or(Subject::None, Subject::Vm)),
        _ => open(subject),
    }
}

/// The flags come next: those in `secret` bring secrets with them.
fn by_flags(call: &mut Call<'_>, subject: Subject, secret: u32) -> Result<Treatment, ReadXdrError> {
    let secret = if has(call.u32()?, secret) { Secrecy::Secret } else { Secrecy::Open };
    Ok(Treatment::Look { subject, secret })
}
