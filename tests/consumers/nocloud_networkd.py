"""Renders a network-config with cloud-init's renderer for systemd-networkd, as in a guest that has its interfaces.

Arguments: the network-config, and an empty folder. Prints in JSON each unit that was made, by its name.
"""

import json
import os
import sys

import yaml
from cloudinit.net import network_state, networkd

config, work = sys.argv[1:3]
with open(config, encoding="utf-8") as file:
    network = yaml.safe_load(file)
# The guest's kernel has named its interfaces already.
macs = [device["match"]["macaddress"] for device in network["ethernets"].values()]
names = {mac: f"enp{number}s0" for number, mac in enumerate(macs, 1)}
network_state.get_interfaces_by_mac = lambda: names
network_state.find_interface_name_from_mac = names.get
state = network_state.parse_net_config_data(network)
networkd.util.chownbyname = lambda *_: None
networkd.Renderer().render_network_state(state, target=work + "/")
folder = os.path.join(work, "etc/systemd/network")
units = {}
for name in sorted(os.listdir(folder)):
    with open(os.path.join(folder, name), encoding="utf-8") as file:
        units[name] = file.read()
print(json.dumps(units))
