"""Checks Kubernetes manifests against the schemas that KubeVirt, CDI and Multus publish for their kinds.

Arguments: the folder of the schemas, then files and folders of YAML. Prints a JSON object: for each file, by its path,
what PyYAML read in it and what is wrong with it. Schemas are closed first: what they do not name is refused, as the
API server's strict decoding does.
"""

import json
import pathlib
import re
import sys

import jsonschema
import yaml

schemas = pathlib.Path(sys.argv[1])


def closed(schema):
    """The schema, with every object that lists its fields refusing others."""
    if isinstance(schema, list):
        return [closed(item) for item in schema]
    if not isinstance(schema, dict):
        return schema
    result = {}
    for key, value in schema.items():
        if key in ("properties", "additionalProperties") and isinstance(value, dict):
            result[key] = {name: closed(inner) for name, inner in value.items()} if key == "properties" else closed(value)
        elif key in ("items", "anyOf", "allOf", "oneOf", "not"):
            result[key] = closed(value)
        else:
            result[key] = value
    is_open = result.get("x-kubernetes-preserve-unknown-fields")
    if "properties" in result and "additionalProperties" not in result and not is_open:
        result["additionalProperties"] = False
    return result


def root(schema):
    """What every object of Kubernetes has beside its own fields."""
    metadata = {
        "type": "object",
        "required": ["name", "namespace"],
        "additionalProperties": False,
        "properties": {
            "name": {"type": "string", "pattern": r"^[a-z0-9]([-a-z0-9]*[a-z0-9])?$", "maxLength": 63},
            "namespace": {"type": "string", "pattern": r"^[a-z0-9]([-a-z0-9]*[a-z0-9])?$", "maxLength": 63},
            "labels": {
                "type": "object",
                "additionalProperties": {"type": "string", "pattern": r"^([A-Za-z0-9]([-A-Za-z0-9_.]{0,61}[A-Za-z0-9])?)?$"},
            },
            "annotations": {
                "type": "object",
                "additionalProperties": {"type": "string"},
                "propertyNames": {"pattern": r"^([a-z0-9.-]+/)?[A-Za-z0-9][A-Za-z0-9_.-]{0,62}$"},
            },
        },
    }
    common = {"apiVersion": {"type": "string"}, "kind": {"type": "string"}, "metadata": metadata}
    return {**schema, "properties": {**schema["properties"], **common}, "required": ["apiVersion", "kind", "metadata", "spec"]}


def read(name):
    return closed(root(json.loads((schemas / name).read_text())))


nad = yaml.safe_load((schemas / "k8s.cni.cncf.io_v1_networks-crd.yaml").read_text())
nad = nad["spec"]["versions"][0]["schema"]["openAPIV3Schema"]
KINDS = {
    ("kubevirt.io/v1", "VirtualMachine"): read("kubevirt.io_v1_virtualmachine.openapiv3.json"),
    ("cdi.kubevirt.io/v1beta1", "DataVolume"): read("cdi.kubevirt.io_v1beta1_datavolume.openapiv3.json"),
    ("k8s.cni.cncf.io/v1", "NetworkAttachmentDefinition"): closed(root(nad)),
}
VALIDATORS = {kind: jsonschema.Draft202012Validator(schema) for kind, schema in KINDS.items()}

# Multus's schema calls the configuration a string; these are the plugins' own documented fields.
PLUGINS = {
    "bridge": {"bridge": str, "vlan": int, "vlanTrunk": list, "mtu": int, "macspoofchk": bool, "ipam": dict},
    "ovs": {"bridge": str, "vlan": int, "trunk": list, "mtu": int},
    "sriov": {"vlan": int, "ipam": dict},
    "macvtap": {"mtu": int},
}


def plugin_errors(document):
    config = json.loads(document["spec"]["config"])
    fields = PLUGINS.get(config.get("type"))
    if fields is None:
        return [f"config: no plugin {config.get('type')!r}"]
    errors = []
    if config.get("name") != document["metadata"]["name"] or not re.fullmatch(r"0\.[34]\.\d|1\.\d\.\d", config["cniVersion"]):
        errors.append("config: name or version")
    for key, value in config.items():
        if key in ("cniVersion", "name", "type"):
            continue
        if key not in fields or type(value) is not fields[key]:
            errors.append(f"config: {key}")
        elif key == "vlan" and not 0 <= value <= 4094:
            errors.append("config: vlan")
    return errors


def check(path):
    text = path.read_text()
    documents = list(yaml.safe_load_all(text))
    if len(documents) != 1 or not isinstance(documents[0], dict):
        return {"document": None, "errors": ["one document with a mapping is expected"]}
    document = documents[0]
    validator = VALIDATORS.get((document.get("apiVersion"), document.get("kind")))
    if validator is None:
        return {"document": document, "errors": ["unknown kind"]}
    errors = [f"{error.json_path}: {error.message}" for error in validator.iter_errors(document)]
    if document["kind"] == "NetworkAttachmentDefinition" and not errors:
        errors = plugin_errors(document)
    return {"document": document, "errors": errors}


def files(arguments):
    for argument in map(pathlib.Path, arguments):
        yield from sorted(argument.rglob("*.yaml")) if argument.is_dir() else [argument]


print(json.dumps({str(path): check(path) for path in files(sys.argv[2:])}))
