//! libvirt's words that are kept by name, element by element.
//!
//! Assumes that the readers took the typed parts before. Guarantees that no word here carries a secret's value: those
//! are left out on purpose, and the readers pass over them.
//!
//! *Source*: <https://libvirt.org/formatdomain.html> and libvirt's schema `domaincommon.rng`.

use crate::discovery::known::{Known, known, text};

/// Options of every virtio device.
const VIRTIO: Known = known("driver", &["iommu", "ats", "packed", "page_per_vq"], &[]);

const ADDRESS: Known = known("address", &["multifunction"], &[known("zpci", &["uid", "fid"], &[])]);

/// What any device may have.
pub(super) const DEVICE: &[Known] = &[
    known("alias", &[], &[]),
    known("acpi", &["index"], &[]),
    known("boot", &["loadparm"], &[]),
    ADDRESS,
    known("rom", &["bar", "file", "enabled"], &[]),
];

const SECLABEL: Known = known("seclabel", &["model", "relabel", "labelskip"], &[text("label", &[])]).many();

const RECONNECT: Known = known("reconnect", &["enabled", "timeout", "delay"], &[]);

const SECRET: Known = known("secret", &["type", "usage", "uuid"], &[]).many();

const INITIATOR: Known = known("initiator", &[], &[known("iqn", &["name"], &[])]);

const AUTH: Known = known("auth", &["username"], &[SECRET]);

const ENCRYPTION: Known = known(
    "encryption",
    &["format", "engine"],
    &[SECRET, known("cipher", &["name", "size", "mode", "hash"], &[]), known("ivgen", &["name", "hash"], &[])],
);

const METADATA_CACHE: Known = known("metadata_cache", &[], &[text("max_size", &["unit"])]);

const FORMAT: Known = known("format", &[], &[METADATA_CACHE]);

/// Addresses and routes that libvirt gives a container's or a user-mode network's guest.
const IP: Known = known("ip", &["address", "family", "prefix", "peer"], &[]).many();
const ROUTE: Known = known("route", &["family", "address", "netmask", "prefix", "gateway", "metric"], &[]).many();

const TEAMING: Known = known("teaming", &["type", "persistent"], &[]);

pub(super) const LIFECYCLE: &[Known] =
    &[text("on_poweroff", &[]), text("on_reboot", &[]), text("on_crash", &[]), text("on_lockfailure", &[])];

/// Tuning and placement outside processors and memory.
pub(super) const DOMAIN: &[Known] = &[
    known(
        "blkiotune",
        &[],
        &[
            text("weight", &[]),
            known(
                "device",
                &[],
                &[
                    text("path", &[]),
                    text("weight", &[]),
                    text("read_iops_sec", &[]),
                    text("write_iops_sec", &[]),
                    text("read_bytes_sec", &[]),
                    text("write_bytes_sec", &[]),
                ],
            )
            .many(),
        ],
    ),
    known("resource", &[], &[text("partition", &[]), known("fibrechannel", &["appid"], &[])]),
    known("pm", &[], &[known("suspend-to-mem", &["enabled"], &[]), known("suspend-to-disk", &["enabled"], &[])]),
    known("perf", &[], &[known("event", &["name", "enabled"], &[]).many()]),
    known(
        "idmap",
        &[],
        &[
            known("uid", &["start", "target", "count"], &[]).many(),
            known("gid", &["start", "target", "count"], &[]).many(),
        ],
    ),
    known("keywrap", &[], &[known("cipher", &["name", "state"], &[]).many()]),
    known("throttlegroups", &[], &[known("throttlegroup", &[], IOTUNE).many()]),
];

pub(super) const VCPU: Known = known("vcpu", &["placement"], &[]);

/// What surrounds `<cpu>`.
pub(super) const CPU_AROUND: &[Known] = &[
    known("vcpus", &[], &[known("vcpu", &["id", "enabled", "hotpluggable", "order"], &[]).many()]),
    known(
        "iothreadids",
        &[],
        &[known(
            "iothread",
            &["id", "thread_pool_min", "thread_pool_max"],
            &[known("poll", &["max", "grow", "shrink"], &[])],
        )
        .many()],
    ),
    known("defaultiothread", &["thread_pool_min", "thread_pool_max"], &[]),
    known(
        "cputune",
        &[],
        &[
            text("shares", &[]),
            text("period", &[]),
            text("quota", &[]),
            text("global_period", &[]),
            text("global_quota", &[]),
            text("emulator_period", &[]),
            text("emulator_quota", &[]),
            text("iothread_period", &[]),
            text("iothread_quota", &[]),
            known("vcpusched", &["vcpus", "scheduler", "priority"], &[]).many(),
            known("iothreadsched", &["iothreads", "scheduler", "priority"], &[]).many(),
            known("emulatorsched", &["scheduler", "priority"], &[]),
            known(
                "cachetune",
                &["vcpus"],
                &[
                    known("cache", &["id", "level", "type", "size", "unit"], &[]).many(),
                    known("monitor", &["level", "vcpus"], &[]).many(),
                ],
            )
            .many(),
            known(
                "memorytune",
                &["vcpus"],
                &[known("node", &["id", "bandwidth"], &[]).many(), known("monitor", &["vcpus"], &[]).many()],
            )
            .many(),
        ],
    ),
];

pub(super) const CPU: Known = known(
    "cpu",
    &["match", "check", "migratable", "deprecated_features"],
    &[
        known("model", &["fallback", "vendor_id"], &[]),
        known("cache", &["level", "mode"], &[]),
        known("maxphysaddr", &["mode", "bits", "limit"], &[]),
        known(
            "numa",
            &[],
            &[known(
                "interconnects",
                &[],
                &[
                    known("latency", &["initiator", "target", "cache", "type", "value"], &[]).many(),
                    known("bandwidth", &["initiator", "target", "cache", "type", "value", "unit"], &[]).many(),
                ],
            )],
        ),
    ],
);

pub(super) const NUMA_CELL: Known = known(
    "cell",
    &["memAccess", "discard"],
    &[
        known("distances", &[], &[known("sibling", &["id", "value"], &[]).many()]),
        known(
            "cache",
            &["level", "associativity", "policy"],
            &[known("size", &["value", "unit"], &[]), known("line", &["value", "unit"], &[])],
        )
        .many(),
    ],
);

pub(super) const BOOT_MEMORY: Known = known("memory", &["dumpCore"], &[]);

pub(super) const MEMORY: &[Known] = &[
    known(
        "memoryBacking",
        &[],
        &[
            known("nosharepages", &[], &[]),
            known("locked", &[], &[]),
            known("source", &["type"], &[]),
            known("access", &["mode"], &[]),
            known("allocation", &["mode", "threads"], &[]),
            known("discard", &[], &[]),
        ],
    ),
    known(
        "memtune",
        &[],
        &[
            text("hard_limit", &["unit"]),
            text("soft_limit", &["unit"]),
            text("swap_hard_limit", &["unit"]),
            text("min_guarantee", &["unit"]),
        ],
    ),
    known(
        "numatune",
        &[],
        &[
            known("memory", &["mode", "nodeset", "placement"], &[]),
            known("memnode", &["cellid", "mode", "nodeset"], &[]).many(),
        ],
    ),
];

pub(super) const BALLOON: Known =
    known("memballoon", &["autodeflate", "freePageReporting"], &[known("stats", &["period"], &[]), VIRTIO]);

pub(super) const MODULE: Known = known(
    "memory",
    &["access", "discard"],
    &[
        text("uuid", &[]),
        known(
            "source",
            &[],
            &[
                text("pagesize", &["unit"]),
                text("nodemask", &[]),
                text("path", &[]),
                text("alignsize", &["unit"]),
                known("pmem", &[], &[]),
            ],
        ),
        known(
            "target",
            &["dynamicMemslots"],
            &[
                text("block", &["unit"]),
                text("requested", &["unit"]),
                text("current", &["unit"]),
                known("label", &[], &[text("size", &["unit"])]),
                known("readonly", &[], &[]),
                known("address", &["base"], &[]),
            ],
        ),
        VIRTIO,
    ],
);

pub(super) const FIRMWARE: Known = known(
    "os",
    &[],
    &[
        known("loader", &["readonly", "stateless", "format"], &[]),
        known("nvram", &["type", "format", "templateFormat"], &[]),
        text("varstore", &["path", "template"]),
        known("bootmenu", &["enable", "timeout"], &[]),
        known("bios", &["useserial", "rebootTimeout"], &[]),
        known("acpi", &[], &[text("table", &["type"]).many()]),
    ],
);

pub(super) const DIRECT_BOOT: &[Known] = &[
    text("shim", &[]),
    text("dtb", &[]),
    text("init", &[]),
    text("initarg", &[]).many(),
    known("initenv", &["name"], &[]).many(),
    text("initdir", &[]),
    text("inituser", &[]),
    text("initgroup", &[]),
    text("root", &[]),
];

pub(super) const BOOTLOADER: &[Known] = &[text("bootloader", &[]), text("bootloader_args", &[])];

/// Options of features; which feature has which is the hypervisor's to know.
pub(super) const FEATURE: Known = known(
    "feature",
    &["eoi", "driver", "version", "mode", "policy", "resizing", "value", "unknown", "retries", "size"],
    &[
        text("tseg", &["unit"]),
        text("maxpagesize", &["unit"]),
        text("tb-cache", &["unit"]),
        known("direct", &["state"], &[]),
        known("extended", &["state"], &[]),
    ],
);

pub(super) const CLOCK: Known = known("clock", &["basis", "start"], &[]);

pub(super) const TIMER: Known = known(
    "timer",
    &["track", "tickpolicy", "frequency", "mode", "present"],
    &[known("catchup", &["threshold", "slew", "limit"], &[])],
);

/// The tables of SMBIOS.
pub(super) const SMBIOS: &[&str] = &["bios", "system", "baseBoard", "chassis", "oemStrings"];

pub(super) const FWCFG: Known = known("entry", &["name", "file"], &[]);

pub(super) const LAUNCH_SECURITY: Known = known(
    "launchSecurity",
    &["kernelHashes", "authorKey", "vcek"],
    &[
        text("cbitpos", &[]),
        text("reducedPhysBits", &[]),
        text("guestVisibleWorkarounds", &[]),
        text("mrConfigId", &[]),
        text("mrOwner", &[]),
        text("mrOwnerConfig", &[]),
        known("quoteGenerationService", &["path"], &[]),
    ],
);

pub(super) const IOTUNE: &[Known] = &[
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
pub(super) const DISK_SOURCE: Known = known(
    "source",
    &["type", "mode", "query", "tls", "tlsHostname", "managed", "startupPolicy", "fdgroup"],
    &[
        known("host", &["transport"], &[]).many(),
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

pub(super) const DISK: Known = known(
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

pub(super) const BACKING: Known = known("backingStore", &[], &[FORMAT]);

pub(super) const MIRROR: Known = known("mirror", &[], &[FORMAT]);

pub(super) const INTERFACE: Known = known(
    "interface",
    &["managed", "trustGuestRxFilters"],
    &[
        known("mac", &["type", "check", "currentAddress"], &[]),
        known(
            "source",
            &["type", "dev", "mode", "missing", "portgroupid", "switchid", "macTableManager", "name", "fdgroup"],
            &[
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

pub(super) const HOSTDEV: Known = known(
    "hostdev",
    &["mode", "model", "sgio", "rawio", "ramfb"],
    &[
        known(
            "source",
            &["startupPolicy", "writeFiltering", "guestReset"],
            &[known("host", &["name", "port"], &[]).many(), INITIATOR, AUTH],
        ),
        known("driver", &["name", "model"], &[]),
        known("readonly", &[], &[]),
        known("shareable", &[], &[]),
        TEAMING,
        IP,
        ROUTE,
    ],
);

pub(super) const GRAPHICS: Known = known(
    "graphics",
    &[
        "autoport",
        "tlsPort",
        "websocket",
        "socket",
        "keymap",
        "sharePolicy",
        "powerControl",
        "connected",
        "defaultMode",
        "display",
        "xauth",
        "fullscreen",
        "multiUser",
        "replaceUser",
        "username",
        "p2p",
        "address",
    ],
    &[
        known("listen", &["type", "network", "address", "socket"], &[]).many(),
        known("channel", &["name", "mode"], &[]).many(),
        known("image", &["compression"], &[]),
        known("jpeg", &["compression"], &[]),
        known("zlib", &["compression"], &[]),
        known("playback", &["compression"], &[]),
        known("streaming", &["mode"], &[]),
        known("clipboard", &["copypaste"], &[]),
        known("filetransfer", &["enable"], &[]),
        known("mouse", &["mode"], &[]),
        known("gl", &["enable", "rendernode"], &[]),
        known("audio", &["id"], &[]),
    ],
);

pub(super) const VIDEO: Known = known(
    "video",
    &[],
    &[
        known(
            "model",
            &["ram", "vram64", "vgamem", "primary", "blob", "edid"],
            &[known("acceleration", &["accel2d", "accel3d", "rendernode"], &[]), known("resolution", &["x", "y"], &[])],
        ),
        known("driver", &["name", "vgaconf", "iommu", "ats", "packed", "page_per_vq"], &[]),
    ],
);

/// What a character device says of the host's end of it.
const CHARACTER_PARTS: &[Known] = &[
    known(
        "source",
        &["mode", "path", "host", "service", "channel", "append", "tls", "master", "slave", "wiremode"],
        &[known("clipboard", &["copypaste"], &[]), known("mouse", &["mode"], &[]), RECONNECT, SECLABEL],
    )
    .many(),
    known("protocol", &["type"], &[]),
    known("log", &["file", "append"], &[]),
    known("target", &["address", "port", "type"], &[known("model", &["name"], &[])]),
];

pub(super) const CHARACTER: Known = known("character", &[], CHARACTER_PARTS);

pub(super) const RNG: Known = known("rng", &[], &[known("backend", &["type"], CHARACTER_PARTS), VIRTIO]);

pub(super) const TPM: Known = known(
    "tpm",
    &[],
    &[known(
        "backend",
        &["persistent_state", "debug"],
        &[
            known("device", &["path"], &[]),
            known("source", &["type", "mode", "path"], &[]),
            known("profile", &["name", "source", "removeDisabled"], &[]),
            known(
                "active_pcr_banks",
                &[],
                &[
                    known("sha1", &[], &[]),
                    known("sha256", &[], &[]),
                    known("sha384", &[], &[]),
                    known("sha512", &[], &[]),
                ],
            ),
        ],
    )],
);

pub(super) const IOMMU: Known = known(
    "iommu",
    &[],
    &[known(
        "driver",
        &["intremap", "caching_mode", "eim", "iotlb", "aw_bits", "dma_translation", "xtsup", "passthrough"],
        &[],
    )],
);

pub(super) const CONTROLLER: Known = known(
    "controller",
    &["ports", "vectors", "maxGrantFrames", "maxEventChannels"],
    &[
        known(
            "driver",
            &["queues", "cmd_per_lun", "max_sectors", "ioeventfd", "iothread", "iommu", "ats", "packed", "page_per_vq"],
            &[known("iothreads", &[], &[known("iothread", &["id"], &[known("queue", &["id"], &[]).many()]).many()])],
        ),
        known("master", &["startport"], &[]),
        text("pcihole64", &["unit"]),
        known("model", &["name"], &[]),
        known(
            "target",
            &["chassisNr", "chassis", "port", "busNr", "index", "hotplug", "memReserve"],
            &[text("node", &[])],
        ),
    ],
);

pub(super) const FILESYSTEM: Known = known(
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

const AUDIO_SETTINGS: Known = known("settings", &["frequency", "channels", "format"], &[]);

const AUDIO_WORDS: &[&str] = &[
    "mixingEngine",
    "fixedSettings",
    "voices",
    "bufferLength",
    "bufferCount",
    "dev",
    "tryPoll",
    "name",
    "serverName",
    "clientName",
    "connectPorts",
    "exactName",
    "streamName",
    "latency",
];

/// Devices that no provider's format has a field for.
pub(super) const OTHERS: &[Known] = &[
    known("input", &["bus"], &[VIRTIO, known("source", &["dev", "evdev", "grab", "grabToggle", "repeat"], &[])]),
    known(
        "sound",
        &["multichannel", "streams"],
        &[known("codec", &["type"], &[]).many(), known("audio", &["id"], &[]), VIRTIO],
    ),
    known(
        "audio",
        &["id", "driver", "dspPolicy", "exclusive", "path", "serverName", "runtimeDir", "timerPeriod", "tryMMap"],
        &[known("input", AUDIO_WORDS, &[AUDIO_SETTINGS]), known("output", AUDIO_WORDS, &[AUDIO_SETTINGS])],
    ),
    known("hub", &[], &[]),
    known("redirdev", &["bus", "type"], CHARACTER_PARTS),
    known("redirfilter", &[], &[known("usbdev", &["class", "vendor", "product", "version", "allow"], &[]).many()]),
    known(
        "shmem",
        &["name", "role"],
        &[text("size", &["unit"]), known("server", &["path"], &[]), known("msi", &["vectors", "ioeventfd"], &[])],
    ),
    known("panic", &[], &[]),
    known("vsock", &[], &[known("cid", &["auto", "address"], &[]), VIRTIO]),
    known("smartcard", &["type"], &[text("certificate", &[]).many(), text("database", &[])]),
    known("lease", &[], &[text("lockspace", &[]), text("key", &[]), known("target", &["path", "offset"], &[])]),
    known("nvram", &[], &[]),
    known("parallel", &[], CHARACTER_PARTS),
    known("crypto", &["type"], &[known("backend", &["model", "queues"], &[]), VIRTIO]),
    known("pstore", &["backend"], &[text("path", &[]), text("size", &["unit"])]),
    known(
        "tpm",
        &[],
        &[known("backend", &["type", "version", "persistent_state"], &[known("device", &["path"], &[])])],
    ),
];
