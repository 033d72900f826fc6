//! Words of all other devices.

use super::{RECONNECT, SECLABEL, VIRTIO};
use crate::discovery::known::{Known, known, text};

pub(in crate::discovery::read) const GRAPHICS: Known = known(
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

pub(in crate::discovery::read) const VIDEO: Known = known(
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

pub(in crate::discovery::read) const CHARACTER: Known = known("character", &[], CHARACTER_PARTS);

pub(in crate::discovery::read) const RNG: Known =
    known("rng", &[], &[known("backend", &["type"], CHARACTER_PARTS), VIRTIO]);

pub(in crate::discovery::read) const TPM: Known = known(
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

pub(in crate::discovery::read) const IOMMU: Known = known(
    "iommu",
    &[],
    &[known(
        "driver",
        &["intremap", "caching_mode", "eim", "iotlb", "aw_bits", "dma_translation", "xtsup", "passthrough"],
        &[],
    )],
);

pub(in crate::discovery::read) const CONTROLLER: Known = known(
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
pub(in crate::discovery::read) const OTHERS: &[Known] = &[
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
