//! The VM that the goldens of every format show: `fixtures/domain/live-uefi-two-nics.xml` with its surroundings.

use std::path::{Path, PathBuf};

use covirt::artifacts::{BindingText, Bundle, Format, INVENTORY_FILE, RenderError, Source, Subject, Syntax};
use covirt::discovery::{Discovered, Inventory, Limits, Pool, parse_domain, parse_network, parse_pool, parse_volume};

const ROOT: &str = env!("CARGO_MANIFEST_DIR");

/// The text of a fixture.
pub(crate) fn fixture(path: &str) -> String {
    std::fs::read_to_string(Path::new(ROOT).join("fixtures").join(path)).unwrap()
}

/// The VM's inventory.
pub(crate) fn inventory() -> Inventory {
    inventory_of(&fixture("domain/live-uefi-two-nics.xml"))
}

/// The inventory of another domain in the same surroundings.
pub(crate) fn inventory_of(domain: &str) -> Inventory {
    let live = parse_domain(domain, Limits::default()).unwrap();
    let network = parse_network(fixture("network/front.xml"), Limits::default()).unwrap();
    let pools = vec![pool("images", "shop-front.qcow2"), pool("vg0", "shop-data")];
    Inventory::build(Discovered { networks: vec![network], pools, ..Discovered::from_domain(live) })
}

/// A pool of the surroundings with one of its volumes.
fn pool(name: &str, volume: &str) -> Pool {
    let mut pool = parse_pool(fixture(&format!("pool/{name}.xml")), Limits::default()).unwrap();
    let volume = parse_volume(fixture(&format!("volume/{volume}.xml")), Limits::default()).unwrap();
    pool.volumes.insert(volume.name.clone(), volume);
    pool
}

/// The binding kept for a format: `fixtures/binding/NAME.toml`.
pub(crate) fn binding(format: Format) -> BindingText {
    toml(fixture(&format!("binding/{}.toml", format.name())))
}

/// A binding in TOML.
pub(crate) fn toml(text: impl Into<String>) -> BindingText {
    BindingText { syntax: Syntax::Toml, text: text.into() }
}

/// Renders an inventory as if it came from a libvirt connection.
pub(crate) fn render(format: Format, inventory: &Inventory, binding: &BindingText) -> Result<Bundle, RenderError> {
    let source = Source::Libvirt { uri: "qemu:///system".to_owned() };
    format.render(&Subject::new(inventory, &source), binding)
}

/// The VM in a format, with the binding kept for it.
pub(crate) fn shop(format: Format) -> Bundle {
    render(format, &inventory(), &binding(format)).unwrap()
}

/// Compares a bundle with `fixtures/bundle/NAME`, or writes it there under COVIRT_BLESS. Disc images are held by their
/// digest in the manifest; the inventory, which is the same in every format, by its own goldens.
#[track_caller]
pub(crate) fn is_golden(bundle: &Bundle, name: &str) {
    let folder = Path::new(ROOT).join("fixtures/bundle").join(name);
    let bless = std::env::var_os("COVIRT_BLESS").is_some();
    if bless {
        let _ = std::fs::remove_dir_all(&folder);
    }
    let mut expected: Vec<PathBuf> = Vec::new();
    let held = |path: &str| !path.ends_with(".iso") && path != INVENTORY_FILE;
    for file in bundle.files.iter().filter(|file| held(&file.path)) {
        let path = folder.join(&file.path);
        if bless {
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(&path, &file.bytes).unwrap();
        }
        let golden = std::fs::read(&path).expect("the golden file is there (make it with COVIRT_BLESS=1)");
        assert!(
            file.bytes == golden,
            "{} differs; it is now:\n{}",
            path.display(),
            String::from_utf8_lossy(&file.bytes)
        );
        expected.push(path);
    }
    for stray in files_in(&folder) {
        assert!(expected.contains(&stray), "{} is rendered no more", stray.display());
    }
}

fn files_in(folder: &Path) -> Vec<PathBuf> {
    let mut files = Vec::new();
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() { files.extend(files_in(&path)) } else { files.push(path) }
    }
    files
}

/// Writes a bundle's files under `folder`.
pub(crate) fn write_under(folder: &Path, bundle: &Bundle) {
    for file in &bundle.files {
        let path = folder.join(&file.path);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, &file.bytes).unwrap();
    }
}

/// Every domain of the real corpus that libvirt accepts, as an inventory without surroundings; none with the reason
/// told when the corpus is not at hand.
pub(crate) fn corpus(test: &str) -> Vec<(String, Inventory)> {
    let folder = Path::new(ROOT).join("../shared/corpus");
    let Ok(names) = std::fs::read_to_string(folder.join("accepted.txt")) else {
        super::skip(test, &format!("no corpus at {}", folder.display()));
        return Vec::new();
    };
    let read = |name: &str| {
        let live = parse_domain(std::fs::read(folder.join("domain").join(name)).unwrap(), Limits::default()).unwrap();
        (name.to_owned(), Inventory::build(Discovered::from_domain(live)))
    };
    names.lines().filter(|name| !name.is_empty()).map(read).collect()
}
