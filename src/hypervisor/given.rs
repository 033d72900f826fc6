//! What a call gives back to its provider, where libvirt gives nothing. The same for every hypervisor.

use serde_json::{Map, Value, json};

use crate::model::operation::{BackupBeginArgs, BackupMode, BlockCommitArgs, BlockCopyArgs, BlockPullArgs};

/// How a backup of these disks is read, or where it is written.
pub(super) fn backup<'a>(args: &BackupBeginArgs, disks: impl Iterator<Item = &'a str>) -> Value {
    let mut given = Map::new();
    given.insert("mode".to_owned(), json!(args.mode));
    given.insert("checkpoint".to_owned(), json!(args.checkpoint));
    given.insert("incremental".to_owned(), json!(args.incremental));
    if let Some(socket) = &args.socket {
        given.insert("socket".to_owned(), json!(socket));
    }
    let of_disk = |disk: &str| match (args.mode, &args.socket) {
        (BackupMode::Push, _) | (_, None) => json!({ "file": args.files.get(disk), "format": "qcow2" }),
        (BackupMode::Pull, Some(socket)) => json!({
            "export": disk,
            "bitmap": args.incremental.as_ref().map(|_| export_bitmap(disk)),
            "uri": format!("nbd+unix:///{disk}?socket={socket}"),
        }),
    };
    let disks: Map<String, Value> = disks.map(|disk| (disk.to_owned(), of_disk(disk))).collect();
    given.insert("disks".to_owned(), Value::Object(disks));
    Value::Object(given)
}

/// The name of the bitmap that says over NBD what an incremental backup holds of a disk.
pub(super) fn export_bitmap(disk: &str) -> String {
    format!("backup-{disk}")
}

/// A checkpoint.
pub(super) fn checkpoint(name: &str) -> Value {
    json!({ "name": name })
}

/// A commit that has begun: whether it waits for `block.abort` with `pivot`.
pub(super) fn commit(args: &BlockCommitArgs, active: bool) -> Value {
    json!({ "disk": args.disk, "job": "commit", "pivot": active })
}

/// A pull that has begun.
pub(super) fn pull(args: &BlockPullArgs) -> Value {
    json!({ "disk": args.disk, "job": "pull", "pivot": false })
}

/// A copy that has begun.
pub(super) fn copy(args: &BlockCopyArgs) -> Value {
    json!({ "disk": args.disk, "job": "copy", "pivot": true, "to": args.to, "format": args.format })
}
