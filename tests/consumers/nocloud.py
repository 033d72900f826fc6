"""Reads a NoCloud seed with cloud-init's own data source and says in JSON what it understood.

Arguments: the folder of the seed, and an empty folder to work in.
"""

import json
import os
import sys

from cloudinit import helpers
from cloudinit.distros.debian import Distro
from cloudinit.net import network_state
from cloudinit.sources import DataSourceNoCloud as nocloud

seed, work = sys.argv[1:3]
paths = helpers.Paths({"cloud_dir": work, "run_dir": work})
os.makedirs(paths.seed_dir)
os.symlink(os.path.realpath(seed), os.path.join(paths.seed_dir, "nocloud"))

# Without a label no device of this host is looked at, and the host's own DMI and command line say nothing.
nocloud.dmi.read_dmi_data = lambda _: None
nocloud.load_cmdline_data = lambda *_: False
config = {"datasource": {"NoCloud": {"fs_label": None}}}
distro = Distro("debian", {}, paths)
source = nocloud.DataSourceNoCloud(config, distro, paths)
found = source.get_data()
if not found:
    print(json.dumps({"found": False}))
    sys.exit()
network = source.network_config
state = network_state.parse_net_config_data(network) if network else None
print(
    json.dumps(
        {
            "found": True,
            "instance_id": source.get_instance_id(),
            "hostname": str(source.get_hostname(fqdn=True).hostname),
            "keys": source.get_public_ssh_keys(),
            "network": network,
            "interfaces": list(state.iter_interfaces()) if state else None,
        },
        default=str,
    )
)
