//! Words of disks and of folders shown to the guest.

use super::{RECONNECT, SECLABEL};
use crate::discovery::known::{Known, known, text};

const SECRET: Known = known("secret", &["type", "usage", "uuid"], &[]).many();

pub(super) const INITIATOR: Known = known("initiator", &[], &[known("iqn", &["name"], &[])]);

pub(super) const AUTH: Known = known("auth", &["username"], &[SECRET]);

const ENCRYPTION: Known = known(
    "encryption",
    &["format", "engine"],
    &[SECRET, known("cipher", &["name", "size", "mode", "hash"], &[]), known("ivgen", &["name", "hash"], &[])],
);

const METADATA_CACHE: Known = known("metadata_cache", &[], &[text("max_size", &["unit"])]);

const FORMAT: Known = known("format", &[], &[METADATA_CACHE]);

pub(in crate::discovery::read) const IOTUNE: &[Known] = &[
    text("total_bytes_sec", &[]),
    text("read_bytes_sec", &[]),
    text("write_bytes_sec", &[]),
    text("total_iops_sec", &[]),
    text("read_iops_sec", &[]),
    text("write_iops_sec", &[]),
    text("total_bytes_sec_max", &[]),
    text("read_bytes_sec_max", &[]),
    text("write_bytes_sec_max", &[]),
    text("total_iops_sec_max", &[]),
    text("read_iops_sec_max", &[]),
    text("write_iops_sec_max", &[]),
    text("total_bytes_sec_max_length", &[]),
    text("read_bytes_sec_max_length", &[]),
    text("write_bytes_sec_max_length", &[]),
    text("total_iops_sec_max_length", &[]),
    text("read_iops_sec_max_length", &[]),
    text("write_iops_sec_max_length", &[]),
    text("size_iops_sec", &[]),
    text("group_name", &[]),
];

/// The options of where a disk's bytes are.
pub(in crate::discovery::read) const DISK_SOURCE: Known = known(
    "source",
    &["type", "mode", "tls", "tlsHostname", "managed", "startupPolicy", "fdgroup"],
    &[
        known("host", &["transport"], &[]).many(),
        known("address", &["multifunction"], &[]),
        known("snapshot", &["name"], &[]),
        known("config", &["file"], &[]),
        AUTH,
        ENCRYPTION,
        known("reservations", &["managed"], &[known("source", &["type", "path", "mode"], &[RECONNECT])]),
        known("identity", &["user", "group", "username", "keyfile", "agentsock"], &[]),
        INITIATOR,
        known("slices", &[], &[known("slice", &["type", "offset", "size"], &[]).many()]),
        known("cookies", &[], &[known("cookie", &["name"], &[]).many()]),
        known("ssl", &["verify"], &[]),
        known("readahead", &["size"], &[]),
        known("timeout", &["seconds"], &[]),
        known("knownHosts", &["path"], &[]),
        RECONNECT,
        SECLABEL,
        known("dataStore", &["type"], &[FORMAT]),
    ],
);

pub(in crate::discovery::read) const DISK: Known = known(
    "disk",
    &["model", "rawio", "sgio", "snapshot"],
    &[
        known(
            "driver",
            &[
                "name",
                "error_policy",
                "rerror_policy",
                "ioeventfd",
                "event_idx",
                "copy_on_read",
                "discard_no_unref",
                "detect_zeroes",
                "iothread",
                "queues",
                "queue_size",
                "iommu",
                "ats",
                "packed",
                "page_per_vq",
            ],
            &[
                METADATA_CACHE,
                known("iothreads", &[], &[known("iothread", &["id"], &[known("queue", &["id"], &[]).many()]).many()]),
            ],
        ),
        known("target", &["tray", "removable", "rotation_rate", "dpofua"], &[]),
        known("geometry", &["cyls", "heads", "secs", "trans"], &[]),
        known("blockio", &["logical_block_size", "physical_block_size", "discard_granularity"], &[]),
        known("transient", &["shareBacking"], &[]),
        text("vendor", &[]),
        text("product", &[]),
        known("backenddomain", &["name"], &[]),
        known("throttlefilters", &[], &[known("throttlefilter", &["group"], &[]).many()]),
        AUTH,
        ENCRYPTION,
    ],
);

pub(in crate::discovery::read) const BACKING: Known = known("backingStore", &[], &[FORMAT]);

pub(in crate::discovery::read) const MIRROR: Known = known("mirror", &[], &[FORMAT]);

pub(in crate::discovery::read) const FILESYSTEM: Known = known(
    "filesystem",
    &["accessmode", "model", "multidevs", "fmode", "dmode"],
    &[
        known("driver", &["format", "wrpolicy", "queue", "iommu", "ats", "packed", "page_per_vq"], &[]),
        known(
            "binary",
            &["path", "xattr"],
            &[
                known("cache", &["mode"], &[]),
                known("sandbox", &["mode"], &[]),
                known("lock", &["posix", "flock"], &[]),
                known("thread_pool", &["size"], &[]),
                known("openfiles", &["max"], &[]),
            ],
        ),
        known("source", &["pool", "volume", "usage", "units", "socket", "name", "dir", "dev", "file"], &[]),
        text("space_hard_limit", &["unit"]),
        text("space_soft_limit", &["unit"]),
        known(
            "idmap",
            &[],
            &[
                known("uid", &["start", "target", "count"], &[]).many(),
                known("gid", &["start", "target", "count"], &[]).many(),
            ],
        ),
    ],
);
