//! Words of the machine: processors, memory, firmware, features, tuning.

use super::VIRTIO;
use super::storage::IOTUNE;
use crate::discovery::known::{Known, known, text};

pub(in crate::discovery::read) const LIFECYCLE: &[Known] =
    &[text("on_poweroff", &[]), text("on_reboot", &[]), text("on_crash", &[]), text("on_lockfailure", &[])];

/// Tuning and placement outside processors and memory.
pub(in crate::discovery::read) const DOMAIN: &[Known] = &[
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

pub(in crate::discovery::read) const VCPU: Known = known("vcpu", &["placement"], &[]);

/// What surrounds `<cpu>`.
pub(in crate::discovery::read) const CPU_AROUND: &[Known] = &[
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

pub(in crate::discovery::read) const CPU: Known = known(
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

pub(in crate::discovery::read) const NUMA_CELL: Known = known(
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

pub(in crate::discovery::read) const BOOT_MEMORY: Known = known("memory", &["dumpCore"], &[]);

pub(in crate::discovery::read) const MEMORY: &[Known] = &[
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

pub(in crate::discovery::read) const BALLOON: Known =
    known("memballoon", &["autodeflate", "freePageReporting"], &[known("stats", &["period"], &[]), VIRTIO]);

pub(in crate::discovery::read) const MODULE: Known = known(
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

pub(in crate::discovery::read) const FIRMWARE: Known = known(
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

pub(in crate::discovery::read) const DIRECT_BOOT: &[Known] = &[
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

pub(in crate::discovery::read) const BOOTLOADER: &[Known] = &[text("bootloader", &[]), text("bootloader_args", &[])];

/// Options of features; which feature has which is the hypervisor's to know.
pub(in crate::discovery::read) const FEATURE: Known = known(
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

pub(in crate::discovery::read) const CLOCK: Known = known("clock", &["basis", "start"], &[]);

pub(in crate::discovery::read) const TIMER: Known = known(
    "timer",
    &["track", "tickpolicy", "frequency", "mode", "present"],
    &[known("catchup", &["threshold", "slew", "limit"], &[])],
);

/// The tables of SMBIOS.
pub(in crate::discovery::read) const SMBIOS: &[&str] = &["bios", "system", "baseBoard", "chassis", "oemStrings"];

pub(in crate::discovery::read) const FWCFG: Known = known("entry", &["name", "file"], &[]);

pub(in crate::discovery::read) const LAUNCH_SECURITY: Known = known(
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
