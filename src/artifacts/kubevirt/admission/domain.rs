//! The rules of machine, firmware, processors, memory, features and the remaining devices.

use serde_json::Value;

use super::super::machine::matches;
use super::super::name::is_label;
use super::{Causes, has, is_enabled, is_on, is_serial, items, number, text};

pub(super) fn check(spec: &Value, machines: &[String], causes: &mut Causes) {
    let arch = text(spec, "/architecture").unwrap_or("amd64");
    causes.want(matches!(arch, "amd64" | "arm64" | "s390x"), "architecture", "amd64, arm64 or s390x");
    let hostname = text(spec, "/hostname").is_none_or(is_label);
    causes.want(hostname, "hostname", "the host name is a label of RFC 1123");
    let eviction = text(spec, "/evictionStrategy")
        .is_none_or(|strategy| matches!(strategy, "LiveMigrate" | "LiveMigrateIfPossible" | "None" | "External"));
    causes.want(eviction, "evictionStrategy", "the strategy is one KubeVirt knows");
    let Some(domain) = spec.get("domain") else {
        causes.want(false, "domain", "an instance has a domain");
        return;
    };
    check_machine(domain, arch, machines, causes);
    check_firmware(domain, arch, causes);
    check_cpu(domain, arch, causes);
    check_memory(domain, arch, causes);
    check_hyperv(domain, causes);
    check_devices(domain, arch, causes);
    check_security(domain, causes);
}

/// A machine type matches one of the cluster's patterns, else one of KubeVirt's own for the architecture.
fn check_machine(domain: &Value, arch: &str, machines: &[String], causes: &mut Causes) {
    let Some(kind) = text(domain, "/machine/type") else { return };
    let usual: &[&str] = match arch {
        "arm64" => &["virt*"],
        "s390x" => &["s390-ccw-virtio*"],
        _ => &["q35*", "pc-q35*"],
    };
    let holds = if machines.is_empty() {
        usual.iter().any(|pattern| matches(pattern, kind))
    } else {
        machines.iter().any(|pattern| matches(pattern, kind))
    };
    causes.want(holds, "domain.machine.type", "the cluster admits only machine types of its patterns");
}

fn check_firmware(domain: &Value, arch: &str, causes: &mut Causes) {
    let serial = text(domain, "/firmware/serial").is_none_or(is_serial);
    causes.want(serial, "domain.firmware.serial", "a serial has letters, digits and _.+-, 256 at most");
    let (efi, bios) = (has(domain, "/firmware/bootloader/efi"), has(domain, "/firmware/bootloader/bios"));
    causes.want(!(efi && bios), "domain.firmware.bootloader", "firmware is BIOS or UEFI");
    causes.want(!(bios && arch == "arm64"), "domain.firmware.bootloader", "an arm64 machine has UEFI");
    // Left out, secure boot is on.
    let secure = is_secure(domain);
    let smm = is_enabled(domain, "/features/smm");
    causes.want(!secure || smm || arch == "arm64", "domain.firmware.bootloader.efi", "secure boot needs SMM");
    causes.want(!(secure && arch == "arm64"), "domain.firmware.bootloader.efi", "arm64 has no secure boot");
    if let Some(container) = domain.pointer("/firmware/kernelBoot/container") {
        const FIELD: &str = "domain.firmware.kernelBoot.container";
        causes.want(text(container, "/image").is_some_and(|image| !image.is_empty()), FIELD, "the image is named");
        let (kernel, initrd) = (text(container, "/kernelPath"), text(container, "/initrdPath"));
        causes.want(kernel.is_some() || initrd.is_some(), FIELD, "a kernel or an initrd is named");
        for path in [kernel, initrd].into_iter().flatten() {
            let plain = path.starts_with('/') && path.len() > 1 && !path.contains("//");
            let plain = plain && !path.split('/').any(|part| matches!(part, "." | ".."));
            causes.want(plain, FIELD, "a path in the image is absolute, and plain");
        }
    } else {
        let alone = has(domain, "/firmware/kernelBoot/kernelArgs");
        causes.want(!alone, "domain.firmware.kernelBoot", "a kernel's arguments come with a kernel");
    }
}

fn is_secure(domain: &Value) -> bool {
    let efi = domain.pointer("/firmware/bootloader/efi");
    efi.is_some_and(|efi| efi.get("secureBoot").and_then(Value::as_bool) != Some(false))
}

fn check_cpu(domain: &Value, arch: &str, causes: &mut Causes) {
    for (nth, feature) in items(domain, "/cpu/features").iter().enumerate() {
        let policy = text(feature, "/policy").unwrap_or_default();
        let known = matches!(policy, "" | "force" | "require" | "optional" | "disable" | "forbid");
        causes.want(known, format!("domain.cpu.features[{nth}].policy"), "the policy is one of libvirt's");
    }
    let (sockets, most) = (number(domain, "/cpu/sockets"), number(domain, "/cpu/maxSockets"));
    causes.want(
        most.is_none_or(|most| most == 0 || sockets <= Some(most)),
        "domain.cpu.sockets",
        "maxSockets is the most",
    );
    let dedicated = is_on(domain, "/cpu/dedicatedCpuPlacement");
    let isolated = is_on(domain, "/cpu/isolateEmulatorThread");
    causes.want(!isolated || dedicated, "domain.cpu.isolateEmulatorThread", "it goes with dedicated processors");
    let model = text(domain, "/cpu/model").is_none_or(|model| arch != "arm64" || model == "host-passthrough");
    causes.want(model, "domain.cpu.model", "an arm64 guest has the host's own model");
    let cells = has(domain, "/cpu/numa/guestMappingPassthrough");
    let paged = has(domain, "/memory/hugepages");
    causes.want(!cells || (dedicated && paged), "domain.cpu.numa", "cells go with dedicated processors and huge pages");
    if dedicated {
        let threads = number(domain, "/cpu/threads").unwrap_or(1);
        causes.want(threads <= 2, "domain.cpu.threads", "dedicated processors have two threads at most");
        let some = has(domain, "/resources/requests/memory") || has(domain, "/resources/limits/memory");
        causes.want(some, "domain.resources", "dedicated processors go with a request of memory");
        let equal = match (requested(domain, "requests"), requested(domain, "limits")) {
            (Some(request), Some(limit)) => request == limit,
            (Some(_) | None, None) | (None, Some(_)) => true,
        };
        causes.want(equal, "domain.resources", "with dedicated processors the request is the limit");
    }
}

fn requested(domain: &Value, kind: &str) -> Option<u64> {
    text(domain, &format!("/resources/{kind}/memory")).and_then(bytes)
}

/// A quantity of bytes; only the units that this renderer writes, so that `KiB` is none.
fn bytes(quantity: &str) -> Option<u64> {
    let digits = quantity.bytes().take_while(u8::is_ascii_digit).count();
    let (count, unit) = quantity.split_at_checked(digits)?;
    let scale = match unit {
        "" => 1,
        "Ki" => 1 << 10,
        "Mi" => 1 << 20,
        "Gi" => 1 << 30,
        _ => return None,
    };
    count.parse::<u64>().ok()?.checked_mul(scale)
}

fn check_memory(domain: &Value, arch: &str, causes: &mut Causes) {
    const UNITS: &str = "a quantity has a binary unit: Ki, Mi or Gi";
    for pointer in ["/memory/guest", "/memory/maxGuest", "/resources/requests/memory", "/resources/limits/memory"] {
        let field = format!("domain{}", pointer.replace('/', "."));
        causes.want(text(domain, pointer).is_none_or(|text| bytes(text).is_some()), field, UNITS);
    }
    let guest = text(domain, "/memory/guest").and_then(bytes);
    let (request, limit) = (requested(domain, "requests"), requested(domain, "limits"));
    let some = guest.is_some() || request.is_some() || has(domain, "/memory/hugepages");
    causes.want(some, "domain.memory", "an instance has memory");
    causes.want(request.is_none_or(|size| size >= 1_000_000), "domain.resources.requests.memory", "1M at least");
    let within = limit.is_none_or(|limit| request.unwrap_or(0) <= limit && guest.unwrap_or(0) <= limit);
    causes.want(within, "domain.resources.limits.memory", "neither request nor guest exceed the limit");
    let page = text(domain, "/memory/hugepages/pageSize");
    if let Some(page) = page {
        let whole = match (bytes(page), request) {
            (Some(page), Some(request)) => page > 0 && request >= page && request % page == 0,
            (Some(_) | None, None) | (None, Some(_)) => false,
        };
        causes.want(whole, "domain.memory.hugepages", "the request is a whole number of pages");
    }
    // What may be plugged later starts at a whole block, and only in machines that can do it.
    if let Some(most) = text(domain, "/memory/maxGuest").and_then(bytes) {
        let block: u64 = if page == Some("1Gi") { 1 << 30 } else { 2 << 20 };
        let aligned = most % block == 0 && guest.is_some_and(|guest| guest % block == 0 && guest <= most);
        let able = arch == "amd64"
            && !has(domain, "/launchSecurity")
            && !has(domain, "/cpu/numa")
            && !has(domain, "/cpu/realtime");
        causes.want(aligned && able, "domain.memory.maxGuest", "memory grows in whole blocks, on plain amd64 machines");
    }
}

/// An enlightenment goes with the one it stands on.
fn check_hyperv(domain: &Value, causes: &mut Causes) {
    const BASES: [(&str, &str); 5] = [
        ("evmcs", "vapic"),
        ("ipi", "vpindex"),
        ("tlbflush", "vpindex"),
        ("synictimer", "synic"),
        ("synic", "vpindex"),
    ];
    for (name, base) in BASES {
        let stands = !is_enabled(domain, &format!("/features/hyperv/{name}"))
            || is_enabled(domain, &format!("/features/hyperv/{base}"));
        causes.want(stands, format!("domain.features.hyperv.{name}"), "the enlightenment it stands on is off");
    }
    // Enlightened VMCS is a way to nest, for which the guest sees VMX.
    let vmx = items(domain, "/cpu/features")
        .iter()
        .any(|feature| text(feature, "/name") == Some("vmx") && text(feature, "/policy") == Some("require"));
    let evmcs = is_enabled(domain, "/features/hyperv/evmcs");
    causes.want(!evmcs || vmx, "domain.features.hyperv.evmcs", "it goes with the required feature vmx");
}

fn check_devices(domain: &Value, arch: &str, causes: &mut Causes) {
    for (nth, input) in items(domain, "/devices/inputs").iter().enumerate() {
        let holds =
            text(input, "/type") == Some("tablet") && matches!(text(input, "/bus"), None | Some("usb" | "virtio"));
        causes.want(holds, format!("domain.devices.inputs[{nth}]"), "an input is a tablet on usb or virtio");
    }
    if let Some(watchdog) = domain.pointer("/devices/watchdog") {
        let (intel, diag) = (has(watchdog, "/i6300esb"), has(watchdog, "/diag288"));
        let holds = match arch {
            "amd64" => intel && !diag,
            "s390x" => diag && !intel,
            _ => false,
        };
        causes.want(holds, "domain.devices.watchdog", "i6300esb on amd64, diag288 on s390x, none on arm64");
    }
    if let Some(sound) = domain.pointer("/devices/sound") {
        let named = text(sound, "/name").is_some_and(|name| !name.is_empty());
        let known = matches!(text(sound, "/model"), None | Some("ich9" | "ac97"));
        causes.want(
            named && known && arch != "arm64",
            "domain.devices.sound",
            "a named ich9 or ac97, and none on arm64",
        );
    }
    if let Some(kind) = text(domain, "/devices/video/type") {
        let holds = match arch {
            "arm64" => matches!(kind, "virtio" | "ramfb"),
            "s390x" => kind == "virtio",
            _ => matches!(kind, "vga" | "cirrus" | "virtio" | "ramfb" | "bochs"),
        };
        causes.want(holds, "domain.devices.video.type", "an adapter that the machine has");
        let shown = domain.pointer("/devices/autoattachGraphicsDevice").and_then(Value::as_bool) != Some(false);
        causes.want(shown, "domain.devices.video", "an adapter goes with graphics");
    }
    for (nth, panic) in items(domain, "/devices/panicDevices").iter().enumerate() {
        let known = matches!(text(panic, "/model"), None | Some("hyperv" | "isa" | "pvpanic"));
        causes.want(known, format!("domain.devices.panicDevices[{nth}]"), "the model is hyperv, isa or pvpanic");
    }
}

/// Protected guests boot with UEFI, not from the network, and keep no variables where those are measured.
fn check_security(domain: &Value, causes: &mut Causes) {
    const FIELD: &str = "domain.launchSecurity";
    let Some(security) = domain.get("launchSecurity") else { return };
    let (sev, snp, tdx) = (has(security, "/sev"), has(security, "/snp"), has(security, "/tdx"));
    if !(sev || snp || tdx) {
        return;
    }
    causes.want([sev, snp, tdx].iter().filter(|kind| **kind).count() == 1, FIELD, "protection is of one kind");
    causes.want(has(domain, "/firmware/bootloader/efi"), FIELD, "it goes with UEFI");
    causes.want(tdx || !is_secure(domain), FIELD, "it does not go with secure boot");
    causes.want(!tdx || !is_enabled(domain, "/features/smm"), FIELD, "TDX does not go with SMM");
    let kept = is_on(domain, "/firmware/bootloader/efi/persistent");
    causes.want(sev || !kept, FIELD, "measured variables are not kept");
    let boots = items(domain, "/devices/interfaces").iter().any(|interface| has(interface, "/bootOrder"));
    causes.want(!boots, FIELD, "a protected guest does not boot from the network");
}
