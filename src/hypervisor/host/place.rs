//! Whether libvirtd is on this host and in this process's network.
//!
//! Links have names only within one network namespace: asked in another one, the kernel would tell of a bridge that
//! has the same name and nothing to do with the VM. The kernel lists a Unix socket in the namespace it was made in.

use std::path::{Path, PathBuf};

/// Where the kernel lists this namespace's Unix sockets.
const SOCKETS: &str = "/proc/self/net/unix";
/// Where the system's daemons listen.
const FOLDERS: [&str; 2] = ["/run/libvirt", "/var/run/libvirt"];

/// Whether what this process sees of the network is what the libvirtd behind `uri` sees.
pub fn holds_libvirtd(uri: &str) -> bool {
    let candidates = sockets_of(uri);
    if candidates.is_empty() {
        return false;
    }
    let Ok(listed) = std::fs::read_to_string(SOCKETS) else { return false };
    let candidates: Vec<PathBuf> = candidates.iter().map(|path| path.canonicalize().unwrap_or(path.clone())).collect();
    listening(&listed).any(|path| {
        let path = Path::new(path);
        candidates.iter().any(|candidate| {
            candidate.file_name() == path.file_name()
                && *candidate == path.canonicalize().unwrap_or_else(|_| path.to_owned())
        })
    })
}

/// The sockets that a connection may lead to; none when it does not lead to one on this host.
fn sockets_of(uri: &str) -> Vec<PathBuf> {
    let Some((scheme, rest)) = uri.split_once("://") else { return Vec::new() };
    let (driver, transport) = scheme.split_once('+').unwrap_or((scheme, "unix"));
    // Without a host name the path comes right after the slashes; the mock driver's world is its own.
    // A session's daemon is the user's own, in a folder of its own.
    if !rest.starts_with('/') || rest.starts_with("/session") || transport != "unix" || driver == "test" {
        return Vec::new();
    }
    let query = rest.split_once('?').map_or("", |(_, query)| query);
    if let Some(socket) = query.split('&').find_map(|pair| pair.strip_prefix("socket=")) {
        return vec![PathBuf::from(socket)];
    }
    let names = ["libvirt-sock".to_owned(), format!("virt{driver}d-sock")];
    FOLDERS.iter().flat_map(|folder| names.iter().map(move |name| Path::new(folder).join(name))).collect()
}

/// The paths on which somebody listens. *Source*: `proc(5)`, `/proc/net/unix`: the fourth word has the flag
/// `__SO_ACCEPTCON`, the eighth is the path.
fn listening(listed: &str) -> impl Iterator<Item = &str> {
    const ACCEPTS: u32 = 0x1_0000;
    listed.lines().skip(1).filter_map(|line| {
        let mut words = line.split_ascii_whitespace();
        let flags = u32::from_str_radix(words.nth(3)?, 16).ok()?;
        let path = words.nth(3)?;
        (flags & ACCEPTS != 0 && path.starts_with('/')).then_some(path)
    })
}

#[cfg(test)]
mod tests {
    use std::os::unix::net::UnixListener;

    use super::*;

    #[test]
    fn a_socket_of_this_namespace_is_found_and_one_of_nobody_is_not() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("libvirt-sock");
        let uri = format!("qemu:///system?socket={}", path.display());
        assert!(!holds_libvirtd(&uri));
        let listener = UnixListener::bind(&path).unwrap();
        assert!(holds_libvirtd(&uri));
        let link = folder.path().join("link");
        std::os::unix::fs::symlink(folder.path(), &link).unwrap();
        assert!(holds_libvirtd(&format!("qemu+unix:///system?no_verify=1&socket={}/libvirt-sock", link.display())));
        drop(listener);
        assert!(!holds_libvirtd(&uri), "nobody listens any more");
    }

    #[test]
    fn a_remote_host_and_the_mock_driver_are_elsewhere() {
        for uri in
            ["qemu://far/system", "qemu+ssh://far/system", "qemu+tls:///system", "qemu:///session", "test:///default"]
        {
            assert_eq!(sockets_of(uri), Vec::<PathBuf>::new(), "{uri}");
        }
        let usual = sockets_of("qemu:///system");
        assert!(usual.contains(&PathBuf::from("/run/libvirt/virtqemud-sock")), "{usual:?}");
    }

    #[test]
    fn only_listeners_count() {
        let listed = "Num       RefCount Protocol Flags    Type St Inode Path\n\
            00000000: 00000002 00000000 00010000 0001 01 11 /run/a\n\
            00000000: 00000003 00000000 00000000 0001 03 12 /run/b\n\
            00000000: 00000002 00000000 00010000 0001 01 13 @abstract\n\
            00000000: 00000002 00000000 00010000 0001 01 14\n";
        assert_eq!(listening(listed).collect::<Vec<_>>(), ["/run/a"]);
    }
}
