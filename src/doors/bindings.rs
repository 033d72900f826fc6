//! The operator's bindings: one file per VM and format in one folder.
//!
//! Assumes the folder of the configuration. Guarantees that a request cannot choose a path (a name is made of a UUID and
//! one of our own formats), that no more than a bounded file is read, and that a binding that is not there is told from one
//! that cannot be read. Its calls block: a handler makes them on a thread where that is no harm.

use std::fs::File;
use std::io::{ErrorKind, Read};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::artifacts::{BindingText, Format, Syntax};
use crate::model::{Code, Refusal, VmId};

/// The largest binding: one with a whole `user-data` in it fits.
const BINDING_MAX: u64 = 1024 * 1024;

/// Where bindings are.
#[derive(Debug, Clone)]
pub struct Bindings {
    folder: Arc<Path>,
}

impl Bindings {
    /// Those in `folder`, which need not be there.
    #[must_use]
    pub fn new(folder: PathBuf) -> Self {
        Self { folder: folder.into() }
    }

    fn candidates(&self, vm: VmId, format: Format) -> [(PathBuf, Syntax); 2] {
        [("toml", Syntax::Toml), ("json", Syntax::Json)]
            .map(|(ending, syntax)| (self.folder.join(format!("{vm}.{}.{ending}", format.name())), syntax))
    }

    /// Whether there is one.
    pub(crate) fn has(&self, vm: VmId, format: Format) -> bool {
        self.candidates(vm, format).iter().any(|(path, _)| path.exists())
    }

    /// The binding of a VM for a format; an empty one when there is none.
    ///
    /// *Errors*: `binding-unreadable`; `binding-malformed` for one that is too large or no text.
    pub(crate) fn of(&self, vm: VmId, format: Format) -> Result<BindingText, Refusal> {
        for (path, syntax) in self.candidates(vm, format) {
            if let Some(text) = read(&path)? {
                return Ok(BindingText { syntax, text });
            }
        }
        Ok(BindingText::empty())
    }
}

/// A file's text; none when there is no such file.
fn read(path: &Path) -> Result<Option<String>, Refusal> {
    // The path is the operator's own and is for the log; callers learn only what is wrong.
    let unreadable = |fault: std::io::Error| {
        tracing::error!(path = %path.display(), %fault, "a binding cannot be read");
        Refusal::new(Code::BindingUnreadable, "the VM's binding for this format cannot be read")
    };
    let malformed =
        |what: &str| Refusal::new(Code::BindingMalformed, format!("the VM's binding for this format {what}"));
    match std::fs::metadata(path) {
        Err(fault) if fault.kind() == ErrorKind::NotFound => return Ok(None),
        Err(fault) => return Err(unreadable(fault)),
        // To open a pipe would wait for its other end.
        Ok(about) if !about.is_file() => return Err(malformed("is not a file")),
        Ok(_) => {}
    }
    let mut bytes = Vec::new();
    let read = File::open(path).and_then(|file| file.take(BINDING_MAX + 1).read_to_end(&mut bytes));
    read.map_err(unreadable)?;
    if bytes.len() as u64 > BINDING_MAX {
        return Err(malformed(&format!("has more than {BINDING_MAX} bytes")));
    }
    String::from_utf8(bytes).map(Some).map_err(|_| malformed("is not UTF-8"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn vm() -> VmId {
        "7c1f9f1e-2f0a-4b7b-9c55-3f6f0e2a6d10".parse().unwrap()
    }

    #[test]
    fn a_binding_is_found_by_uuid_and_format() {
        let folder = tempfile::tempdir().unwrap();
        let bindings = Bindings::new(folder.path().to_owned());
        assert!(!bindings.has(vm(), Format::NoCloud));
        assert_eq!(bindings.of(vm(), Format::NoCloud).unwrap(), BindingText::empty());
        std::fs::write(folder.path().join(format!("{}.nocloud.json", vm())), "{}").unwrap();
        assert!(bindings.has(vm(), Format::NoCloud) && !bindings.has(vm(), Format::Ovf));
        assert_eq!(bindings.of(vm(), Format::NoCloud).unwrap().syntax, Syntax::Json);
    }

    #[test]
    fn what_is_no_binding_is_told_from_what_is_not_there() {
        let folder = tempfile::tempdir().unwrap();
        let bindings = Bindings::new(folder.path().to_owned());
        let path = folder.path().join(format!("{}.nocloud.toml", vm()));
        std::fs::create_dir(&path).unwrap();
        assert_eq!(bindings.of(vm(), Format::NoCloud).unwrap_err().code, Code::BindingMalformed);
        std::fs::remove_dir(&path).unwrap();
        std::fs::write(&path, [0xff]).unwrap();
        assert_eq!(bindings.of(vm(), Format::NoCloud).unwrap_err().code, Code::BindingMalformed);
        std::fs::write(&path, vec![b' '; 1024 * 1024 + 1]).unwrap();
        assert_eq!(bindings.of(vm(), Format::NoCloud).unwrap_err().code, Code::BindingMalformed);
    }
}
