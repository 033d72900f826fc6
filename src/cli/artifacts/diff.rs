//! `covirt artifacts diff`: what changed in the VM since its bundles were made, and what they would be now.

use std::collections::BTreeSet;
use std::io;
use std::path::PathBuf;

use serde::Serialize;
use similar::TextDiff;

use super::super::client::Client;
use super::super::exit::Exit;
use super::super::fault::CarryOutError;
use super::super::output::{Output, Shown};
use super::super::vm_diff::{Change, changes_between, print_changes};
use super::bindings::{BindingArgs, Bindings};
use super::chosen::{HeldAgainst, Looked};
use super::folder::{FoundBundle, bundles_in};
use super::rendering::{parse_format, render_one};
use crate::artifacts::{Bundle, Format, FoundFile, INVENTORY_FILE, MANIFEST_FILE, Manifest, verify};
use crate::discovery::Inventory;

/// `artifacts diff`.
#[derive(Debug, clap::Args)]
pub struct DiffArgs {
    /// A folder that `artifacts render` made
    #[arg(value_name = "DIR")]
    folder: PathBuf,
    #[command(flatten)]
    against: HeldAgainst,
    #[command(flatten)]
    bindings: BindingArgs,
    #[command(flatten)]
    pub(super) shown: Shown,
}

/// What is different in one bundle. This is the command's JSON, as a list of these.
#[derive(Debug, Serialize)]
struct Different {
    folder: PathBuf,
    format: String,
    /// Whether the binding is the one the bundle was made with.
    same_binding: bool,
    /// Fields of the inventory.
    inventory: Vec<Change>,
    /// Files, without the manifest and the inventory.
    files: Vec<FileChange>,
}

/// What is different in one file.
#[derive(Debug, Serialize)]
struct FileChange {
    path: String,
    change: Kind,
    /// A unified diff, where both sides are text.
    #[serde(skip_serializing_if = "Option::is_none")]
    diff: Option<String>,
}

/// How a file differs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
enum Kind {
    Added,
    Removed,
    Changed,
}

/// Compares the bundles in a folder with what would be rendered now.
///
/// *Errors*: those of reading, of the calls, of bindings and of rendering.
pub(super) async fn diff(client: &Client, args: &DiffArgs, output: &mut Output) -> Result<Exit, CarryOutError> {
    let (found, _) = bundles_in(&args.folder)?;
    let earlier: Vec<Earlier> = found.into_iter().map(Earlier::of).collect::<Result<_, _>>()?;
    let formats: Vec<Format> = earlier.iter().map(|bundle| bundle.format).collect();
    let bindings = args.bindings.read(&formats)?;
    let mut different = Vec::new();
    for bundle in earlier {
        let looked = args.against.look(client, &bundle.manifest).await?;
        different.push(bundle.compare(&looked, &bindings)?);
    }
    output.show(&different, |output, different| different.iter().try_for_each(|one| print_different(output, one)))?;
    let same = different.iter().all(|one| one.inventory.is_empty() && one.files.is_empty());
    Ok(if same { Exit::Done } else { Exit::Differs })
}

/// A bundle as it was written once.
struct Earlier {
    found: FoundBundle,
    format: Format,
    manifest: Manifest,
    inventory: Inventory,
}

impl Earlier {
    fn of(found: FoundBundle) -> Result<Self, CarryOutError> {
        let verified = verify(&found.files);
        let (Some(manifest), Some(inventory)) = (verified.manifest, verified.inventory) else {
            return Err(CarryOutError::NoBundle { folder: found.folder });
        };
        let format = parse_format(&manifest.format).map_err(CarryOutError::Usage)?;
        Ok(Self { found, format, manifest, inventory })
    }

    fn compare(self, looked: &Looked, bindings: &Bindings) -> Result<Different, CarryOutError> {
        let now = render_one(looked, self.format, bindings)?;
        Ok(Different {
            same_binding: now.manifest.binding == self.manifest.binding,
            inventory: changes_between(&self.inventory, &looked.inventory),
            files: changed_files(&self.found, &now),
            format: self.manifest.format,
            folder: self.found.folder,
        })
    }
}

fn changed_files(found: &FoundBundle, now: &Bundle) -> Vec<FileChange> {
    let paths: BTreeSet<&str> =
        found.files.keys().map(String::as_str).chain(now.files.iter().map(|file| file.path.as_str())).collect();
    let mut changes = Vec::new();
    // What these two say is told field by field, and in digests of the other files.
    for path in paths.into_iter().filter(|path| ![MANIFEST_FILE, INVENTORY_FILE].contains(path)) {
        let before = match found.files.get(path) {
            Some(FoundFile::Regular(bytes)) => Some(bytes.as_slice()),
            Some(FoundFile::Other) | None => None,
        };
        let after = now.file(path).map(|file| file.bytes.as_slice());
        let change = match (before, after) {
            (Some(before), Some(after)) if before == after => continue,
            (Some(_), Some(_)) => Kind::Changed,
            (None, _) => Kind::Added,
            (Some(_), None) => Kind::Removed,
        };
        let diff = unified(path, before.unwrap_or_default(), after.unwrap_or_default());
        changes.push(FileChange { path: path.to_owned(), change, diff });
    }
    changes
}

/// A unified diff; none of what is no text.
fn unified(path: &str, before: &[u8], after: &[u8]) -> Option<String> {
    let text = |bytes| std::str::from_utf8(bytes).ok().filter(|text| !text.contains('\0'));
    let (before, after) = (text(before)?, text(after)?);
    let diff = TextDiff::from_lines(before, after);
    Some(diff.unified_diff().context_radius(3).header(&format!("a/{path}"), &format!("b/{path}")).to_string())
}

fn print_different(output: &mut Output, different: &Different) -> io::Result<()> {
    let Different { folder, format, same_binding, inventory, files } = different;
    if inventory.is_empty() && files.is_empty() {
        return output.line(&format!("{}: {format}: nothing changed", folder.display()));
    }
    output.heading(&format!("{}: {format}", folder.display()))?;
    if !same_binding {
        output.line("the binding is another than the one it was made with")?;
    }
    print_changes(output, inventory, "the VM is the same")?;
    for FileChange { path, change, diff } in files {
        output.gap()?;
        match (diff, change) {
            (Some(diff), _) => diff.lines().try_for_each(|line| output.line(line))?,
            (None, Kind::Added) => output.line(&format!("{path} is new"))?,
            (None, Kind::Removed) => output.line(&format!("{path} is gone"))?,
            (None, Kind::Changed) => output.line(&format!("{path} differs, and is no text"))?,
        }
    }
    Ok(())
}
