"""Hands bundles to Nova's, Glance's (as Nova reads them) and Neutron's own checks, one after the other.

Arguments: a file with Nova's schema of network_data.json (or a name that is not there, which leaves that check out),
and the bundles' folders, each with the domain it was made from as domain.xml (or without, which leaves that check out).
Prints a JSON list, for each folder an object: for each check that something was found for, null, or why it refuses.
"""

import copy
import glob
import json
import logging
import os
import sys

logging.disable(logging.CRITICAL)

from lxml import etree  # noqa: E402
import jsonschema  # noqa: E402
from neutron_lib.api import attributes  # noqa: E402
from neutron_lib.api.definitions import (  # noqa: E402
    network as network_definition,
    network_mtu,
    network_mtu_writable,
    port as port_definition,
    portbindings,
    provider_net,
    trunk as trunk_definition,
)
from nova import objects  # noqa: E402
from nova.api.openstack.compute.schemas import flavors, servers  # noqa: E402
from nova.api.validation import validators  # noqa: E402
from nova.api.validation.extra_specs import validators as extra_specs  # noqa: E402
from nova.virt import driver  # noqa: E402
from nova.virt.libvirt import config as libvirt_config  # noqa: E402
from nova.virt.libvirt import driver as libvirt_driver  # noqa: E402

objects.register_all()
network_schema = sys.argv[1]
folder = None
NOVA = "{http://openstack.org/xmlns/libvirt/nova/1.1}"


def load(path):
    with open(os.path.join(folder, path), encoding="utf-8") as file:
        return json.load(file)


def strip(schema):
    """Without the names of its parts: the published file refers to itself under a name that nobody serves."""
    if isinstance(schema, dict):
        return {
            key: strip(part)
            for key, part in schema.items()
            if not (key in ("$schema", "$id", "id") and isinstance(part, str))
        }
    return [strip(part) for part in schema] if isinstance(schema, list) else schema


def check_network_data():
    with open(network_schema, encoding="utf-8") as file:
        schema = strip(json.load(file))
    for form in ("latest", "2018-08-27"):
        jsonschema.validate(load(f"config-2/openstack/{form}/network_data.json"), schema)


def check_flavor():
    validators._SchemaValidator(flavors.create_v255).validate(load("api/flavor.json"))


def check_extra_specs():
    for name, value in load("api/flavor-extra-specs.json")["extra_specs"].items():
        before = set(extra_specs.VALIDATORS)
        extra_specs.validate(name, value)
        # A name of no known space is let through by Nova; here it would be a slip of ours.
        known = name in before or any(
            __import__("re").fullmatch(validator.name_regex, name) for validator in extra_specs.VALIDATORS.values()
        )
        if not known:
            raise ValueError(f"{name} is no extra spec of Nova's")


def check_server():
    validators._SchemaValidator(servers.create_v294).validate(load("api/server-create.json"))


def image_properties():
    image = load("api/image.json")
    return {key: value for key, value in image.items() if key.startswith(("hw_", "os_", "img_"))}


def check_image():
    properties = image_properties()
    props = objects.ImageMetaProps.from_dict(copy.deepcopy(properties))
    unread = [key for key in properties if key != "os_version" and not props.obj_attr_is_set(key)]
    if unread:
        raise ValueError(f"Nova does not read {unread}")
    known = {"name", "visibility", "container_format", "disk_format", "min_disk", "min_ram", "protected"}
    stray = [key for key in load("api/image.json") if key not in properties and key not in known]
    if stray:
        raise ValueError(f"{stray} are neither Glance's nor Nova's")


def check_conflicts():
    """Flavor and image must not contradict each other, and must make a topology together."""
    from nova.virt import hardware

    flavor = load("api/flavor.json")["flavor"]
    made = objects.Flavor(
        name=flavor["name"],
        flavorid=flavor["id"],
        vcpus=flavor["vcpus"],
        memory_mb=flavor["ram"],
        root_gb=0,
        extra_specs=load("api/flavor-extra-specs.json")["extra_specs"],
    )
    image = objects.ImageMeta.from_dict({"name": "image", "properties": image_properties()})
    hardware.numa_get_constraints(made, image)
    hardware.get_best_cpu_topology(made, image)
    hardware.get_vtpm_constraint(made, image)
    hardware.get_vif_multiqueue_constraint(made, image)
    hardware.get_mem_encryption_constraint(made, image)
    hardware.get_secure_boot_constraint(made, image)
    hardware.get_locked_memory_constraint(made, image)


def check_metadata():
    """The element as Nova's own driver writes it from the facts in the other files."""
    path = os.path.join(folder, "api/nova-instance.xml")
    ours = etree.parse(path).getroot()
    flavor = load("api/flavor.json")["flavor"]
    image = load("api/image.json")
    owner = ours.find(f"{NOVA}owner")
    user, project = owner.find(f"{NOVA}user"), owner.find(f"{NOVA}project")
    root = ours.find(f"{NOVA}root")
    server = load("api/server-create.json")["server"] if os.path.exists(f"{folder}/api/server-create.json") else {}
    network_info = []
    patches = glob.glob(os.path.join(folder, "api", "port-*.patch.json"))
    for patch in sorted(patches, key=lambda path: int(os.path.basename(path)[5:].split(".")[0])):
        body = load(patch.replace(".patch.json", ".json"))["port"]
        ips = [
            {"type": "fixed", "address": ip["ip_address"], "version": 6 if ":" in ip["ip_address"] else 4}
            for ip in body.get("fixed_ips", [])
        ]
        network_info.append({"id": load(patch)["port_id"]["in_these_files"], "network": {"subnets": [{"ips": ips}]}})
    created = ours.find(f"{NOVA}creationTime")
    moment = None
    if created is not None:
        import calendar
        import time

        moment = calendar.timegm(time.strptime(created.text, "%Y-%m-%d %H:%M:%S"))
    facts = driver.InstanceDriverMetadata(
        root_type=None if root is None else root.get("type"),
        root_id=None if root is None else root.get("uuid"),
        instance_meta=driver.NovaInstanceMeta(server.get("name", ours.findtext(f"{NOVA}name")), ""),
        owner=driver.OwnerMeta(user.get("uuid"), user.text, project.get("uuid"), project.text),
        image=driver.ImageMeta(
            id="",
            name="",
            container_format=image["container_format"],
            disk_format=image.get("disk_format"),
            min_disk=image["min_disk"],
            min_ram=image["min_ram"],
            properties=objects.ImageMetaProps.from_dict(image_properties()).to_dict(),
        ),
        flavor=driver.FlavorMeta(
            name=flavor["name"],
            flavorid=flavor["id"],
            memory_mb=flavor["ram"],
            vcpus=flavor["vcpus"],
            root_gb=flavor["disk"],
            ephemeral_gb=flavor["OS-FLV-EXT-DATA:ephemeral"],
            extra_specs=load("api/flavor-extra-specs.json")["extra_specs"],
            swap=flavor["swap"],
        ),
        network_info=network_info,
        nova_package=ours.find(f"{NOVA}package").get("version"),
        creation_time=moment,
    )
    nova = libvirt_driver.LibvirtDriver._get_guest_config_meta(None, facts).to_xml()

    def canonical(text):
        return etree.tostring(etree.fromstring(text), method="c14n").decode().strip()

    with open(path, encoding="utf-8") as file:
        written = canonical(file.read().strip().encode())
    if written != canonical(nova):
        import difflib

        lines = difflib.unified_diff(written.splitlines(), canonical(nova).splitlines(), "ours", "Nova's", lineterm="")
        raise ValueError("\n".join(lines))


def check_domain():
    """Nova reads the domain with the element in its metadata, as its driver does when it starts on a host."""
    domain = etree.parse(os.path.join(folder, "domain.xml")).getroot()
    metadata = domain.find("metadata")
    if metadata is None:
        metadata = etree.SubElement(domain, "metadata")
    metadata.append(etree.parse(os.path.join(folder, "api/nova-instance.xml")).getroot())
    guest = libvirt_config.LibvirtConfigGuest()
    guest.parse_str(etree.tostring(domain, encoding="unicode"))
    if guest.uuid != domain.findtext("uuid"):
        raise ValueError(f"Nova reads the UUID {guest.uuid}")
    macs = [device.mac_addr for device in guest.devices if isinstance(device, libvirt_config.LibvirtConfigGuestInterface)]
    written = [mac.get("address").lower() for mac in domain.iterfind("devices/interface/mac")]
    if [mac.lower() for mac in macs] != written:
        raise ValueError(f"Nova reads the interfaces {macs}")


def check_neutron():
    def of(*definitions, collection):
        merged = {}
        for definition in definitions:
            merged.update(copy.deepcopy(definition.RESOURCE_ATTRIBUTE_MAP.get(collection, {})))
        return attributes.AttributeInfo(merged)

    port = of(port_definition, portbindings, collection="ports")
    network = of(network_definition, provider_net, network_mtu, network_mtu_writable, collection="networks")
    trunk = of(trunk_definition, collection="trunks")
    found = 0
    for pattern, name, info in (("port-*", "port", port), ("network-*", "network", network), ("trunk-*", "trunk", trunk)):
        for path in sorted(glob.glob(os.path.join(folder, "api", f"{pattern}.json"))):
            if path.endswith(".patch.json"):
                continue
            body = load(path)[name]
            before = copy.deepcopy(body)
            info.verify_attributes(body)
            info.fill_post_defaults(body, check_allow_post=True)
            info.convert_values(body)
            if "mac_address" in before and body["mac_address"] != before["mac_address"]:
                raise ValueError(f"Neutron writes {before['mac_address']} as {body['mac_address']}")
            found += 1
    return found


CHECKS = {
    "network_data": check_network_data,
    "flavor": check_flavor,
    "extra_specs": check_extra_specs,
    "server": check_server,
    "image": check_image,
    "conflicts": check_conflicts,
    "metadata": check_metadata,
    "domain": check_domain,
    "neutron": check_neutron,
}
NEEDED = {
    "server": "api/server-create.json",
    "metadata": "api/nova-instance.xml",
    "domain": "domain.xml",
}
verdicts = []
for folder in sys.argv[2:]:
    verdict = {}
    for name, check in CHECKS.items():
        needed = os.path.join(folder, NEEDED[name]) if name in NEEDED else folder
        if not os.path.exists(network_schema if name == "network_data" else needed):
            continue
        try:
            check()
            verdict[name] = None
        except Exception as fault:  # what a check raises is its answer
            verdict[name] = f"{type(fault).__name__}: {fault}"[:2000]
    verdicts.append(verdict)
print(json.dumps(verdicts))
