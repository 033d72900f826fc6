"""Reads a config drive with cloud-init's own data source and says in JSON what it understood.

Arguments: the drive's root (the folder that has `openstack`), and an empty folder to work in.
"""

import json
import os
import sys

from cloudinit import helpers
from cloudinit.distros.debian import Distro
from cloudinit.net import network_state
from cloudinit.sources import DataSourceConfigDrive as configdrive
from cloudinit.sources.helpers import openstack

root, work = sys.argv[1:3]
try:
    read = configdrive.read_config_drive(root)
except (openstack.BrokenMetadata, openstack.NonReadable) as fault:
    print(json.dumps({"found": False, "fault": f"{type(fault).__name__}: {fault}"}))
    sys.exit()

paths = helpers.Paths({"cloud_dir": work, "run_dir": work})
os.makedirs(paths.seed_dir)
os.symlink(os.path.realpath(root), os.path.join(paths.seed_dir, "config_drive"))
# No device of this host is looked at, and the drive's interfaces are none of this host's.
configdrive.find_candidate_devs = lambda *_, **__: []
macs = {link["ethernet_mac_address"]: f"eth{nth}" for nth, link in enumerate(read["networkdata"]["links"])}
configdrive.openstack.net.get_interfaces_by_mac = lambda *_: macs
source = configdrive.DataSourceConfigDrive({}, Distro("debian", {}, paths), paths)
found = source.get_data()
network = source.network_config if found else None
state = network_state.parse_net_config_data(network) if network else None
print(
    json.dumps(
        {
            "found": found,
            "version": read["version"],
            "instance_id": source.get_instance_id(),
            "hostname": str(source.get_hostname(fqdn=True).hostname),
            "keys": source.get_public_ssh_keys(),
            "zone": source.availability_zone,
            "user_data": source.get_userdata_raw().decode(),
            "vendor_data": source.vendordata_pure,
            "interfaces": list(state.iter_interfaces()) if state else None,
        },
        default=str,
    )
)
