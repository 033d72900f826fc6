//! The guest's operating system, from libosinfo's id to Nova's and Glance's words.
//!
//! Assumes libosinfo's form of an id (`http://debian.org/debian/12`). Guarantees a family only where it is sure.
//! *Source*: <https://docs.openstack.org/glance/latest/admin/useful-image-properties.html>.

/// An operating system.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct GuestOs<'a> {
    /// `os_type`: Nova knows `linux` and `windows`.
    pub(super) family: Option<&'static str>,
    /// `os_distro`.
    pub(super) distro: &'a str,
    /// `os_version`, which Glance keeps and Nova does not read.
    pub(super) version: Option<&'a str>,
}

/// libosinfo's names of systems on Linux.
const LINUX: &[&str] = &[
    "almalinux",
    "alpinelinux",
    "alt",
    "altlinux",
    "amazonlinux",
    "archlinux",
    "asianux",
    "caasp",
    "centos",
    "centos-atomic-host",
    "centos-stream",
    "circle",
    "cirros",
    "clearlinux",
    "coreos",
    "debian",
    "endless",
    "eos",
    "eurolinux",
    "fedora",
    "fedora-coreos",
    "gentoo",
    "guix",
    "linux",
    "mageia",
    "mandrake",
    "mandriva",
    "manjaro",
    "mbs",
    "mes",
    "miraclelinux",
    "nixos",
    "ol",
    "opensuse",
    "popos",
    "pureos",
    "rhel",
    "rhel-atomic-host",
    "rhl",
    "rocky",
    "silverblue",
    "sle",
    "sled",
    "slem",
    "sles",
    "slackware",
    "slitaz",
    "trisquel",
    "tails",
    "ubuntu",
    "uos",
    "voidlinux",
    "xubuntu",
];

/// Reads libosinfo's id; none when it is none.
pub(super) fn guest_os(id: &str) -> Option<GuestOs<'_>> {
    let path = id.split_once("://")?.1;
    let mut parts = path.split('/').skip(1).filter(|part| !part.is_empty());
    let name = parts.next()?;
    let version = parts.next();
    let windows = path.starts_with("microsoft.com/") && name.starts_with("win");
    let family = match (windows, LINUX.contains(&name)) {
        (true, _) => Some("windows"),
        (false, true) => Some("linux"),
        (false, false) => None,
    };
    // Glance's own list says `windows`, `arch`, `opensuse`, …; libosinfo's word is kept where it has none.
    let distro = match name {
        _ if windows => "windows",
        "archlinux" => "arch",
        "alpinelinux" => "alpine",
        "ol" => "oraclelinux",
        other => other,
    };
    Some(GuestOs { family, distro, version })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_family_is_said_only_where_it_is_sure() {
        let of = |id| guest_os(id).map(|os| (os.family, os.distro, os.version));
        assert_eq!(of("http://ubuntu.com/ubuntu/22.04"), Some((Some("linux"), "ubuntu", Some("22.04"))));
        assert_eq!(of("http://microsoft.com/win/10"), Some((Some("windows"), "windows", Some("10"))));
        assert_eq!(of("http://freebsd.org/freebsd/13.1"), Some((None, "freebsd", Some("13.1"))));
        assert_eq!(of("ubuntu"), None);
        assert_eq!(of("http://debian.org/"), None);
    }
}
