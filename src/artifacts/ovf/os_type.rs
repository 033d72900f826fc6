//! From libosinfo's ids to the numbers by which CIM, and so OVF, knows operating systems.
//!
//! Assumes an id as libosinfo writes it (`http://debian.org/debian/12`). Guarantees the number of the product where CIM
//! has one for it, else of its family, else "Other". *Source*: CIM_OperatingSystem.OSType, DMTF CIM schema 2.x.

/// How well a number says what the guest is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Fit {
    /// The product.
    Product,
    /// Only the family: Linux, or nothing but the width.
    Family,
}

/// An operating system as OVF names it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct OsType {
    /// CIM's number.
    pub(super) id: u16,
    /// CIM's words.
    pub(super) words: &'static str,
    pub(super) fit: Fit,
}

/// libosinfo's beginning of an id; number and words for 32 and 64 bits.
type Row = (&'static str, (u16, &'static str), (u16, &'static str), Fit);

/// From the special to the general.
const ROWS: &[Row] = &[
    ("http://ubuntu.com/", (93, "Ubuntu"), (94, "Ubuntu 64-Bit"), Fit::Product),
    ("http://debian.org/", (95, "Debian"), (96, "Debian 64-Bit"), Fit::Product),
    ("http://redhat.com/rhel/", (79, "RedHat Enterprise Linux"), (80, "RedHat Enterprise Linux 64-Bit"), Fit::Product),
    ("http://centos.org/", (106, "CentOS 32-bit"), (107, "CentOS 64-bit"), Fit::Product),
    ("http://oracle.com/ol/", (108, "Oracle Linux 32-bit"), (109, "Oracle Linux 64-bit"), Fit::Product),
    ("http://suse.com/sle", (84, "SLES"), (85, "SLES 64-Bit"), Fit::Product),
    ("http://opensuse.org/", (82, "SUSE"), (83, "SUSE 64-Bit"), Fit::Product),
    ("http://freebsd.org/", (42, "FreeBSD"), (78, "FreeBSD 64-Bit"), Fit::Product),
    ("http://netbsd.org/", (43, "NetBSD"), (43, "NetBSD"), Fit::Product),
    ("http://openbsd.org/", (65, "OpenBSD"), (65, "OpenBSD"), Fit::Product),
    ("http://microsoft.com/win/10", (119, "Windows 10"), (120, "Windows 10 64-bit"), Fit::Product),
    ("http://microsoft.com/win/8.1", (117, "Windows 8.1"), (118, "Windows 8.1 64-bit"), Fit::Product),
    ("http://microsoft.com/win/8", (113, "Windows 8"), (114, "Windows 8 64-bit"), Fit::Product),
    ("http://microsoft.com/win/7", (105, "Windows 7"), (105, "Windows 7"), Fit::Product),
    ("http://microsoft.com/win/2k16", (116, "Windows Server 2016"), (116, "Windows Server 2016"), Fit::Product),
    ("http://microsoft.com/win/2k12r2", (115, "Windows Server 2012 R2"), (115, "Windows Server 2012 R2"), Fit::Product),
    ("http://microsoft.com/win/2k12", (112, "Windows Server 2012"), (112, "Windows Server 2012"), Fit::Product),
    ("http://microsoft.com/win/2k8r2", (103, "Windows Server 2008 R2"), (103, "Windows Server 2008 R2"), Fit::Product),
];

/// Makers of Linux systems that CIM has no number for.
const LINUX: &[&str] = &[
    "http://fedoraproject.org/",
    "http://archlinux.org/",
    "http://almalinux.org/",
    "http://rockylinux.org/",
    "http://alpinelinux.org/",
    "http://gentoo.org/",
    "http://nixos.org/",
    "http://libosinfo.org/linux/",
];

/// The operating system of that libosinfo id, on a machine of that architecture.
pub(super) fn os_type(libosinfo: Option<&str>, arch: Option<&str>) -> OsType {
    let narrow = matches!(arch, Some("i686" | "i386" | "armv7l" | "ppc" | "mips"));
    let wide_or = |thin: (u16, &'static str), wide: (u16, &'static str), fit| {
        let (id, words) = if narrow { thin } else { wide };
        OsType { id, words, fit }
    };
    if let Some(libosinfo) = libosinfo {
        for (start, thin, wide, fit) in ROWS {
            if libosinfo.starts_with(start) {
                return wide_or(*thin, *wide, *fit);
            }
        }
        if LINUX.iter().any(|start| libosinfo.starts_with(start)) {
            return wide_or((36, "LINUX"), (101, "Linux 64-Bit"), Fit::Family);
        }
    }
    wide_or((1, "Other"), (102, "Other 64-Bit"), Fit::Family)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_longer_beginning_is_met_first() {
        let id = |os| os_type(Some(os), Some("x86_64")).id;
        assert_eq!(id("http://microsoft.com/win/2k12r2"), 115);
        assert_eq!(id("http://microsoft.com/win/2k12"), 112);
        assert_eq!(id("http://microsoft.com/win/8.1"), 118);
        assert_eq!(id("http://ubuntu.com/ubuntu/22.04"), 94);
    }

    #[test]
    fn what_cim_does_not_know_is_other_in_its_width() {
        assert_eq!(os_type(None, Some("i686")).id, 1);
        assert_eq!(os_type(Some("http://haiku-os.org/haiku/r1"), Some("x86_64")).id, 102);
        assert_eq!(os_type(Some("http://fedoraproject.org/fedora/40"), None).id, 101);
    }
}
