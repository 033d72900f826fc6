//! The persistent definition: replaced, removed, renamed, and whether the host starts the VM.

use serde_json::{Value, json};
use virt::domain::Domain;
use virt::sys;

use super::{Begun, Target};
use crate::hypervisor::libvirt::core::Driver;
use crate::hypervisor::libvirt::failure::Fault;
use crate::hypervisor::libvirt::gather::parsed;
use crate::hypervisor::libvirt::look;
use crate::hypervisor::libvirt::raw::flags;
use crate::model::operation::{AutostartSetArgs, DefinitionDefineArgs, DefinitionRenameArgs, DefinitionUndefineArgs};

/// Has the VM started with its host, or not.
pub(super) fn set_autostart(target: &Target<'_>, args: &AutostartSetArgs) -> Result<Begun, Fault> {
    if !target.ask(Domain::is_persistent)? {
        return Err(Fault::Forbidden("the VM has no definition that its host could start it from".to_owned()));
    }
    target.send(|domain| domain.set_autostart(args.enabled))?;
    Ok(Begun::Complete(json!({ "autostart": args.enabled })))
}

/// Puts another definition in the place of the one there is, and says its generation and whether that is another.
///
/// libvirt is asked to hold the XML against its schema: of what it does not know it would otherwise keep nothing and
/// say nothing.
pub(super) fn define(target: &Target<'_>, args: &DefinitionDefineArgs) -> Result<Begun, Fault> {
    let asked = parsed(&args.xml).map_err(|fault| Fault::Forbidden(fault.text().to_owned()))?.identity.name;
    let name = target.ask(Domain::name)?;
    if asked != name {
        let reason = format!("the XML names the VM {asked:?}, and it is named {name:?}: definition.rename does that");
        return Err(Fault::Forbidden(reason));
    }
    let before = target.ask(look::definition_of)?;
    let after = target.send(|_| {
        let defined = target.connect.define_domain_xml_flags(&args.xml, sys::VIR_DOMAIN_DEFINE_VALIDATE)?;
        look::definition_of(&defined)
    })?;
    Ok(Begun::Complete(json!({ "generation": after, "changed": before != after })))
}

/// Removes the definition; a VM that runs is transient from then on.
pub(super) fn undefine(target: &Target<'_>, args: &DefinitionUndefineArgs) -> Result<Begun, Fault> {
    target.send(|domain| domain.undefine_flags(undefine_flags(args, target.driver)))?;
    Ok(Begun::Complete(Value::Null))
}

fn undefine_flags(args: &DefinitionUndefineArgs, driver: Driver) -> sys::virDomainUndefineFlagsValues {
    let nvram = if args.nvram { sys::VIR_DOMAIN_UNDEFINE_NVRAM } else { sys::VIR_DOMAIN_UNDEFINE_KEEP_NVRAM };
    flags([
        (args.saved_image, sys::VIR_DOMAIN_UNDEFINE_MANAGED_SAVE),
        (args.snapshots_metadata, sys::VIR_DOMAIN_UNDEFINE_SNAPSHOTS_METADATA),
        (args.checkpoints_metadata, sys::VIR_DOMAIN_UNDEFINE_CHECKPOINTS_METADATA),
        // The mock driver has no firmware and refuses the word.
        (driver == Driver::Real, nvram),
    ])
}

/// Gives the VM another name.
pub(super) fn rename(target: &Target<'_>, args: &DefinitionRenameArgs) -> Result<Begun, Fault> {
    // libvirt would refuse the name that the VM has, and asking twice is no fault.
    if target.ask(Domain::name)? != args.name {
        target.send(|domain| domain.rename(&args.name, 0))?;
    }
    Ok(Begun::Complete(json!({ "name": args.name })))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_was_named_goes_with_the_definition() {
        let kept = DefinitionUndefineArgs::default();
        assert_eq!(undefine_flags(&kept, Driver::Real), sys::VIR_DOMAIN_UNDEFINE_KEEP_NVRAM);
        assert_eq!(undefine_flags(&kept, Driver::Mock), 0);
        let all = DefinitionUndefineArgs {
            saved_image: true,
            snapshots_metadata: true,
            checkpoints_metadata: true,
            nvram: true,
        };
        let expected = sys::VIR_DOMAIN_UNDEFINE_MANAGED_SAVE
            | sys::VIR_DOMAIN_UNDEFINE_SNAPSHOTS_METADATA
            | sys::VIR_DOMAIN_UNDEFINE_CHECKPOINTS_METADATA
            | sys::VIR_DOMAIN_UNDEFINE_NVRAM;
        assert_eq!(undefine_flags(&all, Driver::Real), expected);
    }
}
