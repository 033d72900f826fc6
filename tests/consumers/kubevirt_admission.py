"""Checks VirtualMachine manifests by the rules of KubeVirt's admission that its schema does not have.

Arguments: files and folders of YAML. Prints a JSON object: for each VirtualMachine, by its path, the rules it breaks.
Written from the list of rules, and not from the renderer: the two are to agree.
"""

import fnmatch
import json
import pathlib
import re
import sys

import yaml

MACHINES = {"amd64": ["q35*", "pc-q35*"], "arm64": ["virt*"], "s390x": ["s390-ccw-virtio*"]}
LABEL = re.compile(r"[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?")
QUANTITY = re.compile(r"(\d+)(|Ki|Mi|Gi|Ti)")
SCALE = {"": 1, "Ki": 2**10, "Mi": 2**20, "Gi": 2**30, "Ti": 2**40}


def size(text):
    match = QUANTITY.fullmatch(str(text))
    return int(match[1]) * SCALE[match[2]] if match else None


def enabled(state):
    return state is not None and state.get("enabled", True)


def causes(vm):
    if vm["spec"].get("runStrategy") != "Halted" or "running" in vm["spec"]:
        yield "not halted"
    spec = vm["spec"]["template"]["spec"]
    domain, arch = spec["domain"], spec.get("architecture", "amd64")
    devices, features = domain.get("devices", {}), domain.get("features", {})
    disks, interfaces = devices.get("disks", []), devices.get("interfaces", [])
    volumes, networks = spec.get("volumes", []), spec.get("networks", [])

    machine = domain.get("machine", {}).get("type")
    if machine and not any(fnmatch.fnmatchcase(machine, pattern) for pattern in MACHINES[arch]):
        yield "machine"

    orders = [device["bootOrder"] for device in disks + interfaces if "bootOrder" in device]
    if len(set(orders)) != len(orders) or any(order < 1 for order in orders):
        yield "boot order"

    for disk in disks:
        shown = [disk[kind] for kind in ("disk", "cdrom", "lun") if kind in disk]
        if len(shown) > 1:
            yield "kind of disk"
        bus = shown[0].get("bus", "virtio") if shown else "virtio"
        if bus not in {"virtio", "scsi", "sata", "usb"} or ("cdrom" in disk and bus == "virtio"):
            yield "bus"
        if arch == "arm64" and bus not in {"virtio", "scsi"}:
            yield "bus"
        if bus == "sata" and disk.get("disk", {}).get("readonly"):
            yield "read-only SATA"
        if not LABEL.fullmatch(disk["name"]) or disk["name"] not in [volume["name"] for volume in volumes]:
            yield "name of disk"
        if "serial" in disk and not re.fullmatch(r"[A-Za-z0-9_.+-]{1,256}", disk["serial"]):
            yield "serial"
        if disk.get("cache", "none") not in {"none", "writethrough", "writeback"}:
            yield "cache"
        if disk.get("io", "native") not in {"native", "threads"}:
            yield "io"
        if disk.get("errorPolicy", "stop") not in {"stop", "ignore", "report", "enospace"}:
            yield "error policy"
        if disk.get("dedicatedIOThread") and bus != "virtio":
            yield "I/O thread"
        for blocks in disk.get("blockSize", {}).get("custom", {}).values():
            if not 512 <= blocks <= 2097152 or blocks & (blocks - 1):
                yield "block size"
    for volume in volumes:
        if len(volume) != 2:
            yield "sources of volume"
        if volume["name"] not in [device["name"] for device in disks + devices.get("filesystems", [])]:
            yield "unused volume"
    for names in ([disk["name"] for disk in disks], [volume["name"] for volume in volumes], [n["name"] for n in networks]):
        if len(set(names)) != len(names):
            yield "names"

    if sorted(interface["name"] for interface in interfaces) != sorted(network["name"] for network in networks):
        yield "networks and interfaces"
    if sum("pod" in network for network in networks) > 1 or any(len(network) != 2 for network in networks):
        yield "networks"
    pods = {network["name"] for network in networks if "pod" in network}
    for interface in interfaces:
        if not re.fullmatch(r"[A-Za-z0-9_-]+", interface["name"]):
            yield "name of interface"
        if interface.get("model", "virtio") not in {"virtio", "e1000", "e1000e", "ne2k_pci", "pcnet", "rtl8139"}:
            yield "model"
        if not re.fullmatch(r"[0-9a-f]{2}(:[0-9a-f]{2}){5}", interface.get("macAddress", "02:00:00:00:00:01")):
            yield "MAC"
        if "pciAddress" in interface and not re.fullmatch(r"[0-9a-f]{4}:[0-9a-f]{2}:[0-9a-f]{2}\.[0-7]", interface["pciAddress"]):
            yield "PCI address"
        ways = {"masquerade", "bridge", "sriov", "binding"} & interface.keys()
        if len(ways) != 1 or ("masquerade" in ways) != (interface["name"] in pods):
            yield "binding"

    boot = domain.get("firmware", {}).get("bootloader", {})
    secure = "efi" in boot and boot["efi"].get("secureBoot", True)
    if secure and not enabled(features.get("smm")):
        yield "secure boot without SMM"
    if "efi" in boot and "bios" in boot or arch == "arm64" and (secure or "bios" in boot):
        yield "bootloader"

    cpu, memory = domain.get("cpu", {}), domain.get("memory", {})
    resources = domain.get("resources", {})
    request, limit = resources.get("requests", {}).get("memory"), resources.get("limits", {}).get("memory")
    for quantity in (memory.get("guest"), memory.get("maxGuest"), request, limit):
        if quantity is not None and size(quantity) is None:
            yield "quantity"
    guest = size(memory.get("guest", "0")) or 0
    if not guest:
        yield "no memory"
    if limit is not None and guest > (size(limit) or 0) or (request is not None and limit is not None and size(request) > size(limit)):
        yield "limit"
    if "hugepages" in memory:
        page = size(memory["hugepages"]["pageSize"])
        if not page or not request or size(request) % page or size(request) < page:
            yield "huge pages"
    if "maxGuest" in memory and ((size(memory["maxGuest"]) or 0) < guest or arch != "amd64"):
        yield "maxGuest"
    if cpu.get("dedicatedCpuPlacement") and (not request or request != (limit or request) or cpu.get("threads", 1) > 2):
        yield "dedicated processors"
    if cpu.get("isolateEmulatorThread") and not cpu.get("dedicatedCpuPlacement"):
        yield "emulator thread"
    if cpu.get("maxSockets", cpu.get("sockets", 1)) < cpu.get("sockets", 1):
        yield "sockets"
    if arch == "arm64" and cpu.get("model", "host-passthrough") != "host-passthrough":
        yield "model of CPU"

    hyperv = features.get("hyperv", {})
    for name, base in (("synic", "vpindex"), ("synictimer", "synic"), ("ipi", "vpindex"), ("tlbflush", "vpindex"), ("evmcs", "vapic")):
        if enabled(hyperv.get(name)) and not enabled(hyperv.get(base)):
            yield "enlightenments"
    for device in devices.get("inputs", []):
        if device["type"] != "tablet" or device.get("bus", "usb") not in {"usb", "virtio"}:
            yield "input"
    watchdog = devices.get("watchdog")
    if watchdog and set(watchdog) - {"name"} != {{"amd64": "i6300esb", "s390x": "diag288"}.get(arch)}:
        yield "watchdog"
    if "sound" in devices and (devices["sound"].get("model", "ich9") not in {"ich9", "ac97"} or arch == "arm64"):
        yield "sound"


def files(arguments):
    for argument in map(pathlib.Path, arguments):
        yield from sorted(argument.rglob("*.yaml")) if argument.is_dir() else [argument]


found = {}
for path in files(sys.argv[1:]):
    document = yaml.safe_load(path.read_text())
    if document.get("kind") == "VirtualMachine":
        found[str(path)] = sorted(set(causes(document)))
print(json.dumps(found))
