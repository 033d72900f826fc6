//! Words of interfaces and of host devices.

use super::RECONNECT;
use super::storage::{AUTH, INITIATOR};
use crate::discovery::known::{Known, known, text};

/// Addresses and routes that libvirt gives a container's or a user-mode network's guest.
const IP: Known = known("ip", &["address", "family", "prefix", "peer"], &[]).many();

const ROUTE: Known = known("route", &["family", "address", "netmask", "prefix", "gateway", "metric"], &[]).many();

const TEAMING: Known = known("teaming", &["type", "persistent"], &[]);

pub(in crate::discovery::read) const INTERFACE: Known = known(
    "interface",
    &["managed", "trustGuestRxFilters"],
    &[
        known("mac", &["type", "check", "currentAddress"], &[]),
        known(
            "source",
            &["type", "dev", "mode", "missing", "portgroupid", "switchid", "macTableManager", "name", "fdgroup"],
            &[
                known("address", &["multifunction"], &[]),
                known("local", &["address", "port"], &[]),
                known("vendor", &["id"], &[]),
                known("product", &["id"], &[]),
                RECONNECT,
                IP,
                ROUTE,
            ],
        ),
        known("target", &["managed"], &[]),
        known("guest", &["dev", "actual"], &[]),
        known("script", &["path"], &[]),
        known("downscript", &["path"], &[]),
        known("backend", &["type", "logFile", "tap", "vhost", "hostname", "fqdn"], &[]),
        known("backenddomain", &["name"], &[]),
        known(
            "driver",
            &[
                "name",
                "txmode",
                "ioeventfd",
                "event_idx",
                "queues",
                "rx_queue_size",
                "tx_queue_size",
                "rss",
                "rss_hash_report",
                "iommu",
                "ats",
                "packed",
                "page_per_vq",
                "model",
            ],
            &[
                known("host", &["csum", "gso", "tso4", "tso6", "ecn", "ufo", "mrg_rxbuf"], &[]),
                known("guest", &["csum", "tso4", "tso6", "ecn", "ufo"], &[]),
            ],
        ),
        known("coalesce", &[], &[known("rx", &[], &[known("frames", &["max"], &[])])]),
        known("tune", &[], &[text("sndbuf", &[])]),
        known("port", &["isolated"], &[]),
        known("vlan", &[], &[known("tag", &["nativeMode"], &[]).many()]),
        TEAMING,
        IP,
        ROUTE,
        known(
            "portForward",
            &["proto", "address", "dev"],
            &[known("range", &["start", "end", "to", "exclude"], &[]).many()],
        )
        .many(),
    ],
);

pub(in crate::discovery::read) const HOSTDEV: Known = known(
    "hostdev",
    &["mode", "model", "sgio", "rawio", "ramfb"],
    &[
        known(
            "source",
            &["startupPolicy", "writeFiltering", "guestReset"],
            &[known("host", &["name", "port"], &[]).many(), known("address", &["multifunction"], &[]), INITIATOR, AUTH],
        ),
        known("driver", &["name", "model"], &[]),
        known("readonly", &[], &[]),
        known("shareable", &[], &[]),
        TEAMING,
        IP,
        ROUTE,
    ],
);
