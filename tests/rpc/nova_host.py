"""Nova's own classes for a hypervisor and its guests, unmodified: nova_host.py URI DOMAIN threading|eventlet

Run by tests/qemu_door_clients.rs with the Python of the openstack environment and Debian's libvirt binding. Prints what
Nova saw; the domain runs before and afterwards.
"""

import logging
import os
import sys
import time

uri, name, backend = sys.argv[1:]
LIMIT = 30.0

# As nova-compute begins.
from nova import monkey_patch  # noqa: E402

monkey_patch.patch(backend=backend)

from nova import conf  # noqa: E402
from nova.compute import power_state  # noqa: E402
from nova.virt import event as virt_event  # noqa: E402
from nova.virt.libvirt import guest as libvirt_guest  # noqa: E402
from nova.virt.libvirt import host as libvirt_host  # noqa: E402

logging.disable(logging.CRITICAL)
conf.CONF([], project="nova", default_config_files=[])
conf.CONF.set_override("virt_type", "qemu", group="libvirt")

events = []
host = libvirt_host.Host(uri, lifecycle_event_handler=events.append)
host.initialize()
print("version", host.get_connection().getLibVersion(), host.has_min_version((6, 0, 0)))
print("capabilities", host.get_capabilities().host.uuid, host.get_capabilities().host.cpu.arch)
print("memory", host.get_memory_mb_total(), "CPUs", sorted(host.get_online_cpus()))
print("guests", name in [guest.name for guest in host.list_guests(only_running=False)])
guest = libvirt_guest.Guest(host.get_connection().lookupByName(name))
print("uuid", guest.uuid, "active", guest.is_active(), "persistent", guest.has_persistent_configuration())


def state():
    return power_state.STATE_MAP[guest.get_info(host).state]


print("at first", state())
guest.pause()
print("paused", state())
guest.resume()
print("resumed", state())
print("disks", [disk.target_dev for disk in guest.get_all_disks()])
guest.poweroff()
print("off", state(), guest.is_active())
guest.launch(pause=True)
print("launched", state())
guest.resume()
print("running", state())

wanted = {virt_event.EVENT_LIFECYCLE_PAUSED, virt_event.EVENT_LIFECYCLE_RESUMED, virt_event.EVENT_LIFECYCLE_STARTED}
end = time.monotonic() + LIMIT
while not wanted <= {event.transition for event in events if event.uuid == guest.uuid}:
    if time.monotonic() > end:
        sys.exit(f"of the events, only {events} came within {LIMIT} s")
    time.sleep(0.02)
print("events came")
sys.stdout.flush()
# Nova's threads run until the process ends.
os._exit(0)
