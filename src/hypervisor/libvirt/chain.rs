//! The images a disk is made of, from the domain's XML, and who else uses one.

use std::collections::BTreeSet;

use roxmltree::{Document, Node};
use virt::connect::Connect;
use virt::error::Error;
use virt::sys;

use super::xml::{child, devices, without_metadata};
use crate::model::VmId;
use crate::model::xml::parse;

/// One image of a disk.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Image {
    /// libvirt's number of it in this run: `vda[2]`.
    index: Option<u32>,
    /// The file or device, where it is one.
    pub(super) path: Option<String>,
}

impl Image {
    /// Whether it is meant by a path or by a number.
    pub(super) fn is(&self, target: &str, name: &str) -> bool {
        let number = name.strip_prefix(target).and_then(|rest| rest.strip_prefix('[')?.strip_suffix(']'));
        match number {
            Some(number) => self.index.is_some() && number.parse().ok() == self.index,
            None => self.path.as_deref() == Some(name),
        }
    }
}

/// A disk's images, the active one first; none when there is no such disk.
pub(super) fn chain_of(xml: &str, target: &str) -> Vec<Image> {
    let Ok(document) = parse(xml) else { return Vec::new() };
    let disk =
        disks(&document).find(|disk| child(*disk, "target").and_then(|node| node.attribute("dev")) == Some(target));
    let Some(disk) = disk else { return Vec::new() };
    let mut images = vec![Image { index: index(child(disk, "source")), path: path(disk) }];
    let mut store = child(disk, "backingStore");
    // The last is empty: there is nothing under the image.
    while let Some(node) = store.filter(|node| child(*node, "source").is_some()) {
        images.push(Image { index: index(Some(node)), path: path(node) });
        store = child(node, "backingStore");
    }
    images
}

/// Which of these files or devices a VM has among its images, and its name. libvirt's XML of a VM that is off has its
/// active images only, so that a template which only such VMs use is not found.
pub(super) fn in_use(connect: &Connect, paths: &BTreeSet<&str>, but: Option<VmId>) -> Result<Option<String>, Error> {
    for domain in connect.list_all_domains(0)? {
        if but.is_some_and(|vm| domain.uuid().is_ok_and(|id| id == vm.0)) {
            continue;
        }
        let xml = match domain.xml_desc(0) {
            Err(error) if error.code().to_raw() == sys::VIR_ERR_NO_DOMAIN => continue,
            other => other?,
        };
        match images(&without_metadata(&xml)) {
            Some(images) => {
                if let Some(path) = images.into_iter().find(|path| paths.contains(path.as_str())) {
                    return Ok(Some(format!("{path} is an image of the VM {}", domain.name()?)));
                }
            }
            None => return Ok(Some(format!("what images the VM {} has cannot be read", domain.name()?))),
        }
    }
    Ok(None)
}

/// None when the XML cannot be read.
fn images(xml: &str) -> Option<BTreeSet<String>> {
    let document = parse(xml).ok()?;
    let nodes = disks(&document).flat_map(|disk| disk.descendants());
    Some(nodes.filter(|node| node.has_tag_name("source")).filter_map(path_in).collect())
}

fn disks<'a, 'input>(document: &'a Document<'input>) -> impl Iterator<Item = Node<'a, 'input>> {
    devices(document).filter(|node| node.has_tag_name("disk"))
}

fn index(node: Option<Node<'_, '_>>) -> Option<u32> {
    node?.attribute("index")?.parse().ok()
}

fn path(node: Node<'_, '_>) -> Option<String> {
    child(node, "source").and_then(path_in)
}

fn path_in(source: Node<'_, '_>) -> Option<String> {
    ["file", "dev"].into_iter().find_map(|name| source.attribute(name)).map(str::to_owned)
}

#[cfg(test)]
mod tests {
    use super::*;

    const XML: &str = "<domain><devices>\
        <disk type='file' device='disk'><source file='/top' index='4'/>\
        <backingStore type='file' index='3'><format type='qcow2'/><source file='/middle'/>\
        <backingStore type='block' index='1'><format type='raw'/><source dev='/dev/base'/><backingStore/>\
        </backingStore></backingStore><target dev='vda'/></disk>\
        <disk type='file' device='cdrom'><target dev='sda'/></disk></devices></domain>";

    #[test]
    fn images_are_found_by_number_and_by_path() {
        let chain = chain_of(XML, "vda");
        let paths: Vec<_> = chain.iter().map(|image| image.path.as_deref().unwrap()).collect();
        assert_eq!(paths, ["/top", "/middle", "/dev/base"]);
        let position = |name| chain.iter().position(|image| image.is("vda", name));
        assert_eq!(position("vda[3]"), Some(1));
        assert_eq!(position("/dev/base"), Some(2));
        assert_eq!(position("vda[2]"), None);
        assert_eq!(position("/other"), None);
        assert!(chain_of(XML, "vdb").is_empty());
        assert_eq!(chain_of(XML, "sda"), [Image { index: None, path: None }]);
    }

    #[test]
    fn every_image_of_a_vm_counts_as_used() {
        assert_eq!(images(XML).unwrap().into_iter().collect::<Vec<_>>(), ["/dev/base", "/middle", "/top"]);
        assert_eq!(images("<"), None, "nobody knows");
    }
}
