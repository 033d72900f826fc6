"""Parses Terraform configurations with python-hcl2 and holds them against the schema of dmacvicar/libvirt 0.8.

Arguments: files. Prints in JSON, for each file, what it says and what is wrong with it. The schema below is the
provider's, by name: whether an attribute may be there, and which must be.
"""

import json
import sys

import hcl2

GUARD = {"lifecycle": {"prevent_destroy": None, "ignore_changes": None}}
SCHEMA = {
    "libvirt_domain": {
        **dict.fromkeys(
            "name description metadata vcpu memory firmware running cloudinit coreos_ignition fw_cfg_name autostart "
            "machine arch emulator kernel initrd cmdline qemu_agent type".split()
        ),
        "nvram": dict.fromkeys(["file", "template"]),
        "filesystem": dict.fromkeys(["accessmode", "source", "target", "readonly"]),
        "disk": dict.fromkeys(["volume_id", "url", "file", "scsi", "wwn", "block_device"]),
        "network_interface": dict.fromkeys(
            "network_id network_name bridge vepa macvtap passthrough hostname mac wait_for_lease addresses".split()
        ),
        "graphics": dict.fromkeys(["type", "autoport", "listen_type", "listen_address", "websocket"]),
        "video": dict.fromkeys(["type"]),
        "console": dict.fromkeys(["type", "source_path", "source_host", "source_service", "target_port", "target_type"]),
        "cpu": dict.fromkeys(["mode"]),
        "boot_device": dict.fromkeys(["dev"]),
        "tpm": dict.fromkeys(
            "model backend_type backend_device_path backend_encryption_secret backend_version "
            "backend_persistent_state".split()
        ),
        "xml": dict.fromkeys(["xslt"]),
        **GUARD,
    },
    "libvirt_volume": {
        **dict.fromkeys("name pool source size format base_volume_id base_volume_pool base_volume_name".split()),
        "xml": dict.fromkeys(["xslt"]),
        **GUARD,
    },
    "libvirt_pool": {
        **dict.fromkeys(["name", "type", "capacity", "allocation", "available", "path"]),
        "source": {"name": None, "device": dict.fromkeys(["path"])},
        "target": dict.fromkeys(["path"]),
        "xml": dict.fromkeys(["xslt"]),
        **GUARD,
    },
    "libvirt_network": {
        **dict.fromkeys(["name", "domain", "mode", "bridge", "mtu", "addresses", "autostart", "active"]),
        "dns": {
            **dict.fromkeys(["enabled", "local_only"]),
            "forwarders": dict.fromkeys(["address", "domain"]),
            "srvs": dict.fromkeys("service protocol domain target port weight priority".split()),
            "hosts": dict.fromkeys(["ip", "hostname"]),
        },
        "dhcp": dict.fromkeys(["enabled"]),
        "routes": dict.fromkeys(["cidr", "gateway"]),
        "dnsmasq_options": {"options": dict.fromkeys(["option_name", "option_value"])},
        "xml": dict.fromkeys(["xslt"]),
        **GUARD,
    },
}
ONE = {"nvram", "graphics", "video", "cpu", "tpm", "lifecycle", "dns", "dhcp", "source", "target"}


def bare(value):
    """Without the quotes that this parser keeps, and without its own marks."""
    if isinstance(value, dict):
        return {bare(key): bare(inner) for key, inner in value.items() if key != "__is_block__"}
    if isinstance(value, list):
        return [bare(inner) for inner in value]
    if isinstance(value, str) and len(value) > 1 and value[0] == value[-1] == '"':
        return value[1:-1]
    return value


def check(where, said, schema, problems):
    for name, value in said.items():
        if name not in schema:
            problems.append(f"{where}.{name}: not in the schema")
        elif schema[name] is None:
            if isinstance(value, dict):
                problems.append(f"{where}.{name}: no block")
        else:
            if name in ONE and len(value) != 1:
                problems.append(f"{where}.{name}: one is allowed")
            for inner in value:
                check(f"{where}.{name}", inner, schema[name], problems)


def judge(path):
    with open(path) as file:
        try:
            read = bare(hcl2.load(file))
        except Exception as fault:
            return {"problems": [f"no HCL: {type(fault).__name__}"]}
    problems = []
    resources = {}
    for block in read.get("resource", []):
        for kind, named in block.items():
            for name, body in named.items():
                where = f"{kind}.{name}"
                if where in resources:
                    problems.append(f"{where}: twice")
                resources[where] = body
                check(where, body, SCHEMA.get(kind, {}), problems)
                if "name" not in body:
                    problems.append(f"{where}.name: missing")
                guard = body.get("lifecycle", [{}])[0]
                if guard.get("prevent_destroy") is not True or guard.get("ignore_changes") not in ("all", "${all}"):
                    problems.append(f"{where}: a plan may change it")
    imports = {entry["to"].strip("${}"): entry["id"] for entry in read.get("import", [])}
    problems += [f"{where}: imported by nothing" for where in resources if where not in imports]
    problems += [f"{where}: imported into nothing" for where in imports if where not in resources]
    return {"resources": resources, "imports": imports, "read": read, "problems": problems}


print(json.dumps([judge(path) for path in sys.argv[1:]]))
