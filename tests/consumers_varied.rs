//! Twenty varied VMs of libvirt's, in all eight formats: nothing is lost without a word, and each provider's own software
//! accepts what was rendered. What cannot be rendered is in `fixtures/varied/`, by format and with the reason.

mod support;

use std::fmt::Write;
use std::path::{Path, PathBuf};

use covirt::artifacts::Format;
use support::bundle::nothing_is_forgotten;
use support::{accept, shop, varied};

/// Renders the twenty in a format and has them judged; returns the refusals, one a line.
fn judge(test: &str, format: Format) -> Option<String> {
    let vms = varied::varied(test);
    if vms.is_empty() {
        return None;
    }
    let work = tempfile::tempdir().unwrap();
    let (mut refused, mut folders): (String, Vec<PathBuf>) = Default::default();
    for (file, inventory) in &vms {
        match varied::render(format, inventory) {
            Ok(bundle) => {
                nothing_is_forgotten(&format!("{file} as {}", format.name()), &bundle);
                let folder = work.path().join(file);
                shop::write_under(&folder, &bundle);
                folders.push(folder);
            }
            Err(reason) => writeln!(refused, "{} {file}: {reason}", format.name()).unwrap(),
        }
    }
    assert!(folders.len() >= vms.len() / 2, "{}: most are refused:\n{refused}", format.name());
    let complaints = accept::complaints(test, format, &folders)?;
    assert!(complaints.is_empty(), "{}:\n{}", format.name(), complaints.join("\n"));
    Some(refused)
}

/// Compares a format's refusals with those that are known, or writes them down under COVIRT_BLESS.
#[track_caller]
fn holds(test: &str, format: Format) {
    let Some(refused) = judge(test, format) else { return };
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("fixtures/varied/{}.txt", format.name()));
    if std::env::var_os("COVIRT_BLESS").is_some() {
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(&path, &refused).unwrap();
    }
    let known = std::fs::read_to_string(&path).expect("the list is there (make it with COVIRT_BLESS=1)");
    assert_eq!(refused, known, "{}", path.display());
}

#[test]
fn openstack_takes_them() {
    holds("openstack_takes_them", Format::OpenStack);
}

#[test]
fn nocloud_takes_them() {
    holds("nocloud_takes_them", Format::NoCloud);
}

#[test]
fn ec2_takes_them() {
    holds("ec2_takes_them", Format::Ec2);
}

#[test]
fn kubevirt_takes_them() {
    holds("kubevirt_takes_them", Format::KubeVirt);
}

#[test]
fn ovf_takes_them() {
    holds("ovf_takes_them", Format::Ovf);
}

#[test]
fn cloudstack_takes_them() {
    holds("cloudstack_takes_them", Format::CloudStack);
}

#[test]
fn proxmox_takes_them() {
    holds("proxmox_takes_them", Format::Proxmox);
}

#[test]
fn terraform_takes_them() {
    holds("terraform_takes_them", Format::Terraform);
}
