"""Lets Ceilometer discover a domain that has the bundle's element in its metadata.

Arguments: the bundle's folder and the domain XML it was made from. The domain's object is a stand-in with libvirt's own
methods; what reads it is Ceilometer. Prints the instance it found, or null when it skips the domain.
"""

import json
import logging
import os
import sys
from unittest import mock

logging.disable(logging.CRITICAL)

from lxml import etree  # noqa: E402
from oslo_config import cfg  # noqa: E402
from ceilometer.compute import discovery  # noqa: E402
from ceilometer.compute.virt.libvirt import utils  # noqa: E402

folder, domain_xml = sys.argv[1:3]
NAMESPACE = "http://openstack.org/xmlns/libvirt/nova/1.1"
with open(domain_xml, encoding="utf-8") as file:
    domain = etree.fromstring(file.read().encode())
with open(os.path.join(folder, "api/nova-instance.xml"), encoding="utf-8") as file:
    element = file.read()


class Domain:
    """A domain as libvirt's binding shows it."""

    def UUIDString(self):
        return domain.findtext("uuid")

    def name(self):
        return domain.findtext("name")

    def XMLDesc(self, *_):
        return etree.tostring(domain, encoding="unicode")

    def metadata(self, _kind, uri, *_):
        if uri != NAMESPACE:
            raise ValueError(f"no metadata of {uri}")
        # libvirt hands the element out without its prefix.
        return element.replace("nova:", "").replace("xmlns:nova", "xmlns:kept")

    def state(self, *_):
        return (1, 1)


conf = mock.Mock()
conf.host = "kvm-host-1"
conf.compute.instance_discovery_method = "libvirt_metadata"
conf.compute.fetch_extra_metadata = False
connection = mock.Mock()
connection.listAllDomains.return_value = [Domain()]
with mock.patch.object(utils, "instance_metadata", lambda found: found.metadata(2, NAMESPACE)), mock.patch.object(
    utils, "refresh_libvirt_connection", lambda *_: connection
), mock.patch.object(discovery.nova_client, "Client"):
    found = discovery.InstanceDiscovery(conf)
    instances = found.discover_libvirt_polling(None)
print(json.dumps([vars(instance) for instance in instances][0] if instances else None, default=str))
