//! Whether a provider's own software accepts a bundle: for each format, the consumers that take any VM.
//!
//! What a consumer is, and that it refuses broken bundles, is shown in `tests/consumers_*.rs`.

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use covirt::artifacts::Format;
use serde_json::Value;

use super::consumers::{Consumers, said};
use super::debian::Debian;

const SHARED: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../shared/artifacts/schemas");

/// What the consumers of `format` have against the bundles in `folders`; empty when they accept them all, and none with
/// the reason told when they are not at hand.
pub(crate) fn complaints(test: &str, format: Format, folders: &[PathBuf]) -> Option<Vec<String>> {
    if !Path::new(SHARED).is_dir() {
        super::skip(test, &format!("no schemas at {SHARED}"));
        return None;
    }
    match format {
        Format::NoCloud => each(folders, |folder| cloud_init(&Debian::of(test)?, "nocloud.py", folder)),
        Format::OpenStack => openstack(test, folders),
        Format::Ec2 => {
            let light = Consumers::of(test, "light")?;
            each(folders, |folder| Some(told(&light.python("ec2_botocore.py", &[&folder.join("api")]), "/wrong")))
        }
        Format::KubeVirt => kubevirt(&Consumers::of(test, "light")?, folders),
        Format::Ovf => ovf(&Consumers::of(test, "debian")?, folders),
        Format::CloudStack => {
            let light = Consumers::of(test, "light")?;
            each(folders, |folder| {
                let paths = ["importUnmanagedInstance.json", "listUnmanagedInstances.response.json"];
                let [request, listing] = paths.map(|path| folder.join(path));
                let parameters = Path::new(SHARED).join("cloudstack/import-api-params.json");
                Some(told(&light.python("cloudstack.py", &[&request, &listing, &parameters]), "/problems"))
            })
        }
        Format::Proxmox => {
            let files = all_ending(folders, ".conf");
            let answer = answer(&Consumers::of(test, "light")?.python("proxmox_conf.py", &paths(&files)));
            Some(answer.as_object().unwrap().iter().flat_map(|(path, wrong)| listed(path, wrong)).collect())
        }
        Format::Terraform => {
            let files = all_ending(folders, ".tf");
            let answer = answer(&Consumers::of(test, "light")?.python("terraform.py", &paths(&files)));
            let judged = files.iter().zip(answer.as_array().unwrap());
            Some(judged.flat_map(|(path, told)| listed(&path.display().to_string(), &told["problems"])).collect())
        }
    }
}

/// Asks about one bundle after the other.
fn each(folders: &[PathBuf], ask: impl Fn(&Path) -> Option<Vec<String>>) -> Option<Vec<String>> {
    let mut all = Vec::new();
    for folder in folders {
        all.extend(ask(folder)?.into_iter().map(|complaint| format!("{}: {complaint}", folder.display())));
    }
    Some(all)
}

/// A data source of cloud-init's reads a bundle's folder.
fn cloud_init(debian: &Debian, script: &str, folder: &Path) -> Option<Vec<String>> {
    let work = tempfile::tempdir().unwrap();
    let output = debian.python(script, &[folder, work.path()]);
    Some(if output.status.success() { Vec::new() } else { vec![said(&output)] })
}

/// cloud-init's config drive, Nova with Glance and Neutron, and Cinder.
fn openstack(test: &str, folders: &[PathBuf]) -> Option<Vec<String>> {
    let debian = Debian::of(test)?;
    let consumers = Consumers::of(test, "openstack")?;
    let mut all = each(folders, |folder| cloud_init(&debian, "openstack_cloud_init.py", &folder.join("config-2")))?;
    let schema = Path::new(SHARED).join("openstack/network_data.json");
    let with_schema: Vec<&Path> =
        std::iter::once(schema.as_path()).chain(folders.iter().map(PathBuf::as_path)).collect();
    let nova = answer(&consumers.python("openstack_nova.py", &with_schema));
    let cinder = answer(&consumers.python("openstack_cinder.py", &paths(folders)));
    for answers in [nova, cinder] {
        for (folder, checks) in folders.iter().zip(answers.as_array().unwrap()) {
            let failed = checks.as_object().unwrap().iter().filter(|(_, why)| !why.is_null());
            all.extend(failed.map(|(check, why)| format!("{}: {check}: {why}", folder.display())));
        }
    }
    Some(all)
}

/// The published schemas, and the rules of the admission.
fn kubevirt(light: &Consumers, folders: &[PathBuf]) -> Option<Vec<String>> {
    let schemas = Path::new(SHARED).join("kubevirt");
    let with_schemas: Vec<&Path> =
        std::iter::once(schemas.as_path()).chain(folders.iter().map(PathBuf::as_path)).collect();
    let read = answer(&light.python("kubevirt_crd.py", &with_schemas));
    let rules = answer(&light.python("kubevirt_admission.py", &paths(folders)));
    let by_schema = read.as_object().unwrap().iter().flat_map(|(path, told)| listed(path, &told["errors"]));
    let by_rule = rules.as_object().unwrap().iter().flat_map(|(path, causes)| listed(path, causes));
    Some(by_schema.chain(by_rule).collect())
}

/// DMTF's schema.
fn ovf(debian: &Consumers, folders: &[PathBuf]) -> Option<Vec<String>> {
    let schema = Path::new(SHARED).join("ovf/ovf-envelope.xsd");
    let mut command = Command::new(debian.folder().join("run"));
    command.args(["xmllint", "--noout", "--nonet", "--schema"]).arg(schema).args(all_ending(folders, ".ovf"));
    let output = command.output().expect("xmllint starts");
    Some(if output.status.success() { Vec::new() } else { vec![said(&output)] })
}

/// A script's JSON; one that fails is a fault of the test.
#[track_caller]
fn answer(output: &Output) -> Value {
    assert!(output.status.success(), "{}", said(output));
    let stdout = String::from_utf8_lossy(&output.stdout).into_owned();
    serde_json::from_str(stdout.lines().last().unwrap_or_default())
        .unwrap_or_else(|_| serde_json::from_str(&stdout).unwrap_or_else(|fault| panic!("{fault}: {stdout}")))
}

/// The list at `pointer` of a script's JSON.
#[track_caller]
fn told(output: &Output, pointer: &str) -> Vec<String> {
    let answer = answer(output);
    answer.pointer(pointer).and_then(Value::as_array).expect("the list").iter().map(Value::to_string).collect()
}

fn listed(path: &str, complaints: &Value) -> Vec<String> {
    complaints.as_array().expect("a list").iter().map(|complaint| format!("{path}: {complaint}")).collect()
}

fn paths(files: &[PathBuf]) -> Vec<&Path> {
    files.iter().map(PathBuf::as_path).collect()
}

/// The files directly in the folders whose names end so.
fn all_ending(folders: &[PathBuf], ending: &str) -> Vec<PathBuf> {
    let entries = folders.iter().flat_map(|folder| std::fs::read_dir(folder).unwrap());
    let mut files: Vec<PathBuf> = entries.map(|entry| entry.unwrap().path()).collect();
    files.retain(|path| path.to_str().is_some_and(|path| path.ends_with(ending)));
    files.sort();
    assert!(!files.is_empty(), "no file {ending} in {folders:?}");
    files
}
