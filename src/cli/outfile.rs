//! Files that the command line is asked to write.

use std::fs::OpenOptions;
use std::io::{self, Write as _};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

/// Writes a file, or replaces what is in it. A link in its place is not followed: whoever planted it would say what is
/// overwritten.
///
/// *Errors*: the system's; one for a link.
pub fn write(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let mut open = OpenOptions::new();
    open.write(true).create(true).truncate(true).custom_flags(nix::fcntl::OFlag::O_NOFOLLOW.bits());
    open.open(path)?.write_all(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_link_is_not_written_through() {
        let folder = tempfile::tempdir().unwrap();
        let (target, link) = (folder.path().join("target"), folder.path().join("link"));
        write(&target, b"first, longer").unwrap();
        write(&target, b"second").unwrap();
        std::os::unix::fs::symlink(&target, &link).unwrap();
        assert!(write(&link, b"planted").is_err());
        assert_eq!(std::fs::read(&target).unwrap(), b"second");
        std::fs::remove_file(&target).unwrap();
        assert!(write(&link, b"planted").is_err() && !target.exists(), "a dangling one makes no file");
    }
}
