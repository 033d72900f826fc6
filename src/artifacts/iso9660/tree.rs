//! The folders of an image, with the numbers by which its structures name them.
//!
//! Assumes files with distinct paths. Guarantees every folder once, parents before their own, and names of eight
//! characters that differ within a folder.

use super::IsoFile;
use super::record::{Extent, Names, SECTOR_SIZE};

/// Every folder, in the order of the path tables: by depth, then by parent, then by name.
pub(super) struct Tree<'a> {
    pub(super) folders: Vec<Folder<'a>>,
}

/// One folder.
pub(super) struct Folder<'a> {
    /// Its path; empty for the root.
    pub(super) path: &'a str,
    /// Its own name on the disc for readers without extensions; one zero byte for the root.
    pub(super) short: Vec<u8>,
    /// Its place in the tree, from 0.
    pub(super) number: u16,
    /// Its parent's place; the root is its own.
    pub(super) parent: u16,
}

impl<'a> Tree<'a> {
    pub(super) fn of(files: &[IsoFile<'a>]) -> Self {
        let mut folders = vec![Folder { path: "", short: vec![0], number: 0, parent: 0 }];
        let mut next = 0;
        // Folders are found level by level, so that a parent always stands before its own.
        while let Some((path, number)) = folders.get(next).map(|folder: &Folder<'a>| (folder.path, folder.number)) {
            let mut names: Vec<&str> =
                files.iter().filter_map(|file| split(path, file.name)?.split_once('/').map(|(name, _)| name)).collect();
            names.sort_unstable();
            names.dedup();
            let found = names.iter().enumerate().filter_map(|(nth, name)| {
                let length = path.len() + usize::from(!path.is_empty()) + name.len();
                let whole =
                    files.iter().find(|file| split(path, file.name).is_some_and(|rest| is_below(rest, name)))?;
                Some(Folder {
                    path: whole.name.get(..length)?,
                    short: plain_name(nth, name),
                    number: 0,
                    parent: number,
                })
            });
            let mut found: Vec<Folder<'a>> = found.collect();
            found.sort_by(|one, other| one.short.cmp(&other.short));
            for folder in found {
                // More than 65,535 folders do not fit their directories, which is refused there.
                let number = u16::try_from(folders.len()).unwrap_or(u16::MAX);
                folders.push(Folder { number, ..folder });
            }
            next += 1;
        }
        Self { folders }
    }

    /// The folders right under the one with that number.
    pub(super) fn under(&self, number: u16) -> impl Iterator<Item = &Folder<'a>> {
        self.folders.iter().skip(1).filter(move |folder| folder.parent == number)
    }
}

impl<'a> Folder<'a> {
    /// The last part of its path.
    pub(super) fn name(&self) -> &'a str {
        self.path.rsplit('/').next().unwrap_or_default()
    }

    /// Its name as `names` spells it.
    pub(super) fn identifier(&self, names: Names) -> Vec<u8> {
        match names {
            Names::Joliet if !self.path.is_empty() => self.name().encode_utf16().flat_map(u16::to_be_bytes).collect(),
            Names::RockRidge | Names::Joliet => self.short.clone(),
        }
    }

    /// Where it is in a view whose folders begin at sector `first`.
    pub(super) fn extent(&self, first: u32) -> Extent {
        Extent { sector: first + u32::from(self.number), size: SECTOR_SIZE }
    }
}

/// What of `path` is below `folder`; none when it is not in there.
pub(super) fn split<'a>(folder: &str, path: &'a str) -> Option<&'a str> {
    if folder.is_empty() { Some(path) } else { path.strip_prefix(folder)?.strip_prefix('/') }
}

/// Whether `path` leads through the folder `name`.
fn is_below(path: &str, name: &str) -> bool {
    path.split_once('/').is_some_and(|(first, _)| first == name)
}

/// A distinct name of eight characters: letters and digits of the real one, then its number.
fn plain_name(nth: usize, name: &str) -> Vec<u8> {
    let letters: String = name.chars().filter(char::is_ascii_alphanumeric).take(6).collect();
    format!("{}{nth:02}", letters.to_ascii_uppercase()).into_bytes()
}

/// The same for a file, which has an extension and a version.
pub(super) fn short_name(nth: usize, name: &str) -> Vec<u8> {
    [plain_name(nth, name), b".;1".to_vec()].concat()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn folders_are_counted_once_and_in_the_order_of_their_depth() {
        let names = ["b/c/one", "b/c/two", "a/one", "top", "b/one"];
        let files = names.map(|name| IsoFile { name, bytes: b"" });
        let tree = Tree::of(&files);
        let paths: Vec<&str> = tree.folders.iter().map(|folder| folder.path).collect();
        assert_eq!(paths, ["", "a", "b", "b/c"]);
        let parents: Vec<u16> = tree.folders.iter().map(|folder| folder.parent).collect();
        assert_eq!(parents, [0, 0, 0, 2]);
    }
}
