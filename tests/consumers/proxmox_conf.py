"""Checks Proxmox VE's VM configurations by the documented format of qm.conf(5).

Arguments: files. Prints a JSON object: for each file, by its path, what is wrong with it.
Written from the documentation, option by option; Proxmox's own parser is not in it and was not run.
"""

import json
import pathlib
import re
import sys

BOOLEAN = r"[01]"
UUID = r"[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}"
STORAGE = r"[A-Za-z][A-Za-z0-9\-_.]*[A-Za-z0-9]"
VOLUME = rf"{STORAGE}:[A-Za-z0-9][A-Za-z0-9\-_./+]*"
SIZE = r"\d+(\.\d+)?[KMGT]?"
BASE64 = r"[A-Za-z0-9+/]+={0,2}"
IDS = r"\d+(-\d+)?(;\d+(-\d+)?)*"
MAPPING = r"[A-Za-z][A-Za-z0-9_-]+"
MAC = r"[0-9A-F][02468ACE](:[0-9A-F]{2}){5}"
MACHINE = r"(pc|pc(-i440fx)?-\d+(\.\d+)+(\+pve\d+)?(\.pxe)?|q35|pc-q35-\d+(\.\d+)+(\+pve\d+)?(\.pxe)?|virt(-\d+(\.\d+)+)?(\+pve\d+)?)"
FLAG = r"[+-](aes|amd-no-ssb|amd-ssbd|hv-evmcs|hv-tlbflush|ibpb|md-clear|nested-virt|pcid|pdpe1gb|spec-ctrl|ssbd|virt-ssbd)"
LABEL = r"[A-Za-z0-9]([A-Za-z0-9-]*[A-Za-z0-9])?"
NICS = "e1000 e1000-82540em e1000-82544gc e1000-82545em e1000e i82551 i82557b i82559er ne2k_isa ne2k_pci pcnet rtl8139 virtio vmxnet3"


def number(least, most=None):
    def check(text):
        return bool(re.fullmatch(r"-?\d+", text)) and least <= int(text) and (most is None or int(text) <= most)

    return check


def decimal(least):
    return lambda text: bool(re.fullmatch(r"\d+(\.\d+)?", text)) and float(text) >= least


def word(*words):
    return lambda text: text in words


def matches(value, check):
    return check(value) if callable(check) else bool(re.fullmatch(check, value))


def properties(fields, default=None, required=()):
    """A checker of `[DEFAULT=]VALUE,KEY=VALUE,…`."""

    def check(text):
        seen = {}
        for nth, part in enumerate(text.split(",")):
            key, equals, value = part.partition("=")
            if not equals or (nth == 0 and default and key not in fields):
                if default is None or nth:
                    return f"{part!r} has no key"
                key, value = default, part
            if key not in fields:
                return f"no property {key!r}"
            if key in seen:
                return f"{key!r} twice"
            if not matches(value, fields[key]):
                return f"{key}={value!r}"
            seen[key] = value
        missing = [key for key in required if key not in seen]
        return f"{missing[0]!r} is missing" if missing else None

    return check


def drive(*more):
    fields = {
        "file": rf"none|cdrom|{VOLUME}",
        "aio": r"native|threads|io_uring",
        "cache": r"none|writethrough|writeback|unsafe|directsync",
        "discard": r"ignore|on",
        "format": r"raw|qcow|qcow2|qed|vmdk|cloop",
        "media": r"cdrom|disk",
        "rerror": r"ignore|report|stop",
        "werror": r"enospc|ignore|report|stop",
        "serial": lambda text: bool(re.fullmatch(r"([A-Za-z0-9._~-]|%[0-9A-F]{2})+", text)) and len(re.sub("%..", "x", text)) <= 20,
        "size": SIZE,
    }
    for key in ("backup", "detect_zeroes", "replicate", "shared", "snapshot"):
        fields[key] = BOOLEAN
    for way in ("", "_rd", "_wr"):
        for kind in ("bps", "iops"):
            fields[f"{kind}{way}"] = number(1)
            fields[f"{kind}{way}_max_length"] = number(1)
        fields[f"iops{way}_max"] = number(1)
        fields[f"mbps{way}"] = fields[f"mbps{way}_max"] = decimal(0)
    known = {
        "iothread": BOOLEAN,
        "ro": BOOLEAN,
        "ssd": BOOLEAN,
        "scsiblock": BOOLEAN,
        "queues": number(2),
        "wwn": r"0x[0-9a-f]{16}",
        "model": r"[^,]{1,40}",
        "vendor": r"[A-Za-z0-9 _.+-]{1,8}",
        "product": r"[A-Za-z0-9 _.+-]{1,16}",
    }
    return properties({**fields, **{key: known[key] for key in more}}, "file", ["file"])


def net(text):
    models = NICS.split()
    fields = {
        "model": word(*models),
        "bridge": r"[-_.A-Za-z0-9]+",
        "firewall": BOOLEAN,
        "link_down": BOOLEAN,
        "macaddr": MAC,
        "mtu": number(1, 65520),
        "queues": number(0, 64),
        "rate": decimal(0),
        "tag": number(1, 4094),
        "trunks": lambda text: all(number(1, 4094)(tag) for tag in re.split("[;-]", text)),
        **{model: MAC for model in models},
    }
    fault = properties(fields, "model")(text)
    chosen = [part for part in text.split(",") if part.split("=")[0] in models + ["model"]]
    return fault or (None if len(chosen) == 1 else "one model is expected")


def smbios(text):
    texts = ("family", "manufacturer", "product", "serial", "sku", "version")
    fault = properties({"uuid": UUID, "base64": BOOLEAN, **{key: BASE64 for key in texts}})(text)
    encoded = any(part.split("=")[0] in texts for part in text.split(","))
    return fault or ("base64=1 is missing" if encoded and "base64=1" not in text.split(",") else None)


def hostpci(text):
    fields = {
        "host": r"([0-9a-f]{4}:)?[0-9a-f]{2}:[0-9a-f]{2}(\.[0-7])?",
        "mapping": MAPPING,
        "mdev": r"[^,]+",
        "pcie": BOOLEAN,
        "rombar": BOOLEAN,
        "x-vga": BOOLEAN,
        "legacy-igd": BOOLEAN,
    }
    return properties(fields, "host")(text) or (None if ("mapping=" in text) != ("host=" in text) else "host or mapping")


def usb(text):
    fields = {"host": r"spice|[0-9a-f]{4}:[0-9a-f]{4}|\d+-\d+(\.\d+)*", "mapping": MAPPING, "usb3": BOOLEAN}
    return properties(fields, "host")(text)


def tags(text):
    return None if all(re.fullmatch(r"[a-z0-9_][a-z0-9_\-+.]*", tag) for tag in text.split(";")) else "tag"


def plain(check):
    return lambda text: None if matches(text, check) else f"{text!r}"


# Option: (highest number or none, what its value must be).
OPTIONS = {
    "acpi": (None, plain(BOOLEAN)),
    "affinity": (None, plain(r"\d+(-\d+)?(,\d+(-\d+)?)*")),
    "agent": (None, properties({"enabled": BOOLEAN, "fstrim_cloned_disks": BOOLEAN, "type": "virtio|isa"}, "enabled")),
    "amd-sev": (
        None,
        properties(
            {"type": "std|es|snp", "no-debug": BOOLEAN, "no-key-sharing": BOOLEAN, "kernel-hashes": BOOLEAN, "allow-smt": BOOLEAN},
            "type",
            ["type"],
        ),
    ),
    "arch": (None, plain("x86_64|aarch64")),
    "audio": (0, properties({"device": "ich9-intel-hda|intel-hda|AC97", "driver": "spice|none"}, None, ["device"])),
    "balloon": (None, plain(number(0))),
    "bios": (None, plain("seabios|ovmf")),
    "boot": (None, properties({"order": r"(ide|sata|scsi|virtio|net|hostpci|usb)\d+(;(ide|sata|scsi|virtio|net|hostpci|usb)\d+)*"})),
    "cores": (None, plain(number(1))),
    "cpu": (
        None,
        properties(
            {
                "cputype": r"(custom-)?[A-Za-z0-9_-]+",
                "flags": rf"{FLAG}(;{FLAG})*",
                "hidden": BOOLEAN,
                "hv-vendor-id": r"[A-Za-z0-9]{1,12}",
            },
            "cputype",
        ),
    ),
    "efidisk": (
        0,
        properties({"file": VOLUME, "efitype": "2m|4m", "pre-enrolled-keys": BOOLEAN, "size": SIZE, "format": "raw|qcow2"}, "file", ["file"]),
    ),
    "hostpci": (15, hostpci),
    "hotplug": (None, plain(r"[01]|(network|disk|cpu|memory|usb|cloudinit)(,(network|disk|cpu|memory|usb|cloudinit))*")),
    "hugepages": (None, plain("2|1024|any")),
    "ide": (3, drive("model", "ssd", "wwn")),
    "kvm": (None, plain(BOOLEAN)),
    "localtime": (None, plain(BOOLEAN)),
    "machine": (
        None,
        properties(
            {
                "type": lambda text: len(text) <= 40 and bool(re.fullmatch(MACHINE, text)),
                "viommu": "intel|virtio",
                "enable-s3": BOOLEAN,
                "enable-s4": BOOLEAN,
            },
            "type",
        ),
    ),
    "memory": (None, properties({"current": number(16)}, "current")),
    "name": (None, plain(rf"{LABEL}(\.{LABEL})*")),
    "net": (31, net),
    "numa": (None, plain(BOOLEAN)),
    "onboot": (None, plain(BOOLEAN)),
    "ostype": (None, plain("other|wxp|w2k|w2k3|w2k8|wvista|win7|win8|win10|win11|l24|l26|solaris")),
    "protection": (None, plain(BOOLEAN)),
    "reboot": (None, plain(BOOLEAN)),
    "rng": (0, properties({"source": "/dev/urandom|/dev/random|/dev/hwrng", "max_bytes": number(0), "period": number(1)}, "source", ["source"])),
    "sata": (5, drive("ssd", "wwn")),
    "scsi": (30, drive("iothread", "queues", "ro", "scsiblock", "ssd", "wwn", "vendor", "product")),
    "scsihw": (None, plain("lsi|lsi53c810|virtio-scsi-pci|virtio-scsi-single|megasas|pvscsi")),
    "serial": (3, plain(r"/dev/[^,]+|socket")),
    "smbios": (1, smbios),
    "sockets": (None, plain(number(1))),
    "tablet": (None, plain(BOOLEAN)),
    "tags": (None, tags),
    "tpmstate": (0, properties({"file": VOLUME, "size": SIZE, "version": r"v1\.2|v2\.0"}, "file", ["file"])),
    "usb": (14, usb),
    "vcpus": (None, plain(number(1))),
    "vga": (
        None,
        properties(
            {"type": "cirrus|qxl[234]?|std|virtio|virtio-gl|vmware|none|serial[0-3]", "memory": number(4, 512), "clipboard": "vnc"}, "type"
        ),
    ),
    "virtio": (15, drive("iothread", "ro")),
    "virtiofs": (9, properties({"dirid": MAPPING, "cache": "auto|always|metadata|never"}, "dirid", ["dirid"])),
    "vmgenid": (None, plain(rf"{UUID}|[01]")),
    "watchdog": (None, properties({"model": "i6300esb|ib700", "action": "reset|shutdown|poweroff|pause|debug|none"}, "model")),
}
# `numa0` is another option than `numa`.
NUMA = properties({"cpus": IDS, "hostnodes": IDS, "memory": decimal(1), "policy": "preferred|bind|interleave"}, None, ["cpus"])


def check_value(key, value):
    if key in OPTIONS and OPTIONS[key][0] is None:
        return OPTIONS[key][1](value)
    match = re.fullmatch(r"([a-z-]+?)(0|[1-9]\d*)", key)
    if match and match[1] == "numa":
        return NUMA(value) if int(match[2]) <= 7 else "number"
    most, check = OPTIONS.get(match[1], (None, None)) if match else (None, None)
    if check is None or most is None:
        return "unknown key"
    return check(value) if int(match[2]) <= most or key == "smbios1" else "number"


def check(text):
    errors, seen = [], {}
    for nth, line in enumerate(text.splitlines(), 1):
        if line.startswith("#"):
            if not re.fullmatch(r"#([ -$&-9;-~]|%[0-9A-F]{2})*", line):
                errors.append(f"{nth}: the description is not encoded")
            continue
        match = re.fullmatch(r"([a-z][a-z_-]*\d*): (\S.*)", line)
        if not match or match[2] != match[2].strip():
            errors.append(f"{nth}: not KEY: VALUE")
            continue
        key, value = match.groups()
        if key in seen:
            errors.append(f"{nth}: {key} twice")
        seen[key] = value
        fault = check_value(key, value)
        if fault:
            errors.append(f"{nth}: {key}: {fault}")
    # What one option wants of another.
    for device in seen.get("boot", "order=").removeprefix("order=").split(";"):
        if device and device not in seen:
            errors.append(f"boot: no {device}")
    if "hugepages" in seen and seen.get("numa") != "1":
        errors.append("hugepages need numa")
    if int(seen.get("vcpus", 1)) > int(seen.get("sockets", 1)) * int(seen.get("cores", 1)):
        errors.append("vcpus are more than there are")
    if seen.get("bios") != "ovmf" and "efidisk0" in seen:
        errors.append("efidisk0 without ovmf")
    if "intel" in seen.get("machine", "") and "q35" not in seen["machine"]:
        errors.append("viommu=intel without q35")
    if seen.get("vga", "").startswith("serial") and seen["vga"] not in seen:
        errors.append("vga on a serial port that is not there")
    volumes = [value.split(",")[0] for key, value in seen.items() if re.fullmatch(r"(ide|sata|scsi|virtio|efidisk|tpmstate)\d+", key)]
    volumes = [volume for volume in volumes if volume != "none" and ":iso/" not in volume]
    if len(set(volumes)) != len(volumes):
        errors.append("one volume twice")
    if text and not text.endswith("\n"):
        errors.append("no last line feed")
    return errors


print(json.dumps({path: check(pathlib.Path(path).read_bytes().decode("ascii")) for path in sys.argv[1:]}))
