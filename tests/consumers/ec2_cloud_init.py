"""Reads a metadata tree over HTTP with cloud-init's own data source and says in JSON what it understood.

Arguments: the tree, an empty folder to work in, and a case: `guest` (a VM that keeps its UUID), `strict` (the same, told
to trust none but EC2), `insists` (the service wants a token, for which this guest does not ask), `aws` (a UUID of EC2's,
with which cloud-init asks for a token and reads the identity document), or `tokens` (no cloud-init: how the service
answers without a token, with a right one and with a wrong one).
"""

import json
import sys
import urllib.error
import urllib.request

import ec2_imds

tree, work, case = sys.argv[1:4]
service = ec2_imds.Service(tree, insists=case == "insists")


def ask(path, method="GET", **headers):
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    request = urllib.request.Request(service.url + path, method=method, headers=named)
    try:
        with urllib.request.urlopen(request) as answer:
            return answer.status, answer.read().decode()
    except urllib.error.HTTPError as refusal:
        return refusal.code, ""


if case == "tokens":
    path = "/latest/meta-data/instance-id"
    _, token = ask("/latest/api/token", "PUT", **{ec2_imds.TTL: "60"})
    tokens = {"none": {}, "right": {ec2_imds.TOKEN: token}, "wrong": {ec2_imds.TOKEN: "x"}}
    answers = {name: ask(path, **headers)[0] for name, headers in tokens.items()}
    answers["no ttl"] = ask("/latest/api/token", "PUT")[0]
    print(json.dumps(answers))
    sys.exit()

from cloudinit import helpers
from cloudinit.distros.debian import Distro
from cloudinit.sources import DataSourceEc2 as ec2

# The host's own DMI says nothing; the UUID is the guest's.
uuid = "ec2d3f6a-8f0e-4f6e-9a53-1b7c2d9e4f60" if case == "aws" else "0d3f6a51-8f0e-4f6e-9a53-1b7c2d9e4f60"
ec2._collect_platform_data = lambda: {
    "uuid": uuid, "uuid_source": "dmi", "serial": uuid, "asset_tag": "", "vendor": "qemu", "product_name": "",
}
ec2.util.get_cmdline = lambda: ""
paths = helpers.Paths({"cloud_dir": work, "run_dir": work})
own = {"metadata_urls": [service.url], "strict_id": case == "strict", "max_wait": 3, "timeout": 2}
source = ec2.DataSourceEc2({"datasource": {"Ec2": own}}, Distro("debian", {}, paths), paths)
try:
    found = source.get_data()
except KeyError as missing:
    # cloud-init names the instance right after it read nothing.
    found = False
    print(f"missing: {missing}", file=sys.stderr)
if not found:
    print(json.dumps({"found": False}))
    sys.exit()
network = source.metadata["network"]
names = {mac: f"enp{number}s0" for number, mac in enumerate(sorted(network["interfaces"]["macs"]), 1)}
print(
    json.dumps(
        {
            "found": True,
            "cloud": source.cloud_name,
            "instance_id": source.get_instance_id(),
            "hostname": str(source.get_hostname(fqdn=True).hostname),
            "keys": source.get_public_ssh_keys(),
            "zone": source.availability_zone,
            "region": source.region,
            "user_data": source.get_userdata_raw().decode(),
            "identity": getattr(source, "identity", None),
            "meta_data": source.metadata,
            "network": ec2.convert_ec2_metadata_network_config(network, names, "enp1s0"),
            "requests": len(service.asked),
        },
        default=str,
    )
)
