//! Which binding goes with which format: named one by one, or found in a folder by the VM's UUID or name.

use std::io::{self, Read};
use std::path::{Path, PathBuf};

use super::super::fault::CarryOutError;
use super::rendering::parse_format;
use crate::artifacts::{BindingText, Format, Syntax};
use crate::discovery::Inventory;

/// Where bindings are.
#[derive(Debug, Clone, Default, clap::Args)]
pub(super) struct BindingArgs {
    /// What libvirt cannot know: a file of TOML, or of JSON where its name ends so; - is standard input. With FORMAT= it is
    /// for that format only; may be given again
    #[arg(long = "binding", value_name = "[FORMAT=]FILE", value_parser = parse_file, help_heading = "Bindings")]
    binding: Vec<BindingFile>,
    /// A folder of bindings named VM.FORMAT.toml or VM.FORMAT.json, where VM is the UUID or the name
    #[arg(long = "bindings", value_name = "DIR", help_heading = "Bindings")]
    bindings: Option<PathBuf>,
}

/// One named binding.
#[derive(Debug, Clone)]
pub(super) struct BindingFile {
    format: Option<Format>,
    path: PathBuf,
}

/// A binding, and the file it is in.
#[derive(Debug, Clone)]
pub(super) struct Bound {
    pub(super) text: BindingText,
    pub(super) path: Option<PathBuf>,
}

fn parse_file(text: &str) -> Result<BindingFile, String> {
    match text.split_once('=') {
        Some((name, path)) if !name.contains(['/', '.']) => {
            Ok(BindingFile { format: Some(parse_format(name)?), path: path.into() })
        }
        _ => Ok(BindingFile { format: None, path: text.into() }),
    }
}

/// The bindings of a command: those that were named, read, and where others may be.
#[derive(Debug)]
pub(super) struct Bindings {
    named: Vec<(Option<Format>, Bound)>,
    folder: Option<PathBuf>,
}

impl BindingArgs {
    /// Reads what is named, before anybody is asked for a VM. One file for several formats is refused: no two formats have
    /// the same fields.
    ///
    /// *Errors*: [`CarryOutError::Usage`], [`CarryOutError::Read`].
    pub(super) fn read(&self, formats: &[Format]) -> Result<Bindings, CarryOutError> {
        let usage = |text: String| Err(CarryOutError::Usage(text));
        if formats.len() > 1
            && let Some(file) = self.binding.iter().find(|file| file.format.is_none())
        {
            return usage(format!("--binding {} is for which format? Say --binding FORMAT=FILE", file.path.display()));
        }
        for format in formats {
            let named = self.binding.iter().filter(|file| file.format.is_none_or(|named| named == *format)).count();
            if named > 1 {
                return usage(format!("there are several bindings for {}", format.name()));
            }
        }
        if let Some(named) = self.binding.iter().filter_map(|file| file.format).find(|named| !formats.contains(named)) {
            return usage(format!("there is a binding for {}, which is not asked for", named.name()));
        }
        let read =
            |file: &BindingFile| Ok((file.format, Bound { text: read(&file.path)?, path: Some(file.path.clone()) }));
        let named = self.binding.iter().map(read).collect::<Result<_, CarryOutError>>()?;
        Ok(Bindings { named, folder: self.bindings.clone() })
    }
}

impl Bindings {
    /// The binding of a VM for a format; an empty one when there is none.
    ///
    /// *Errors*: [`CarryOutError::Read`].
    pub(super) fn of(&self, format: Format, inventory: &Inventory) -> Result<Bound, CarryOutError> {
        let named = self.named.iter().find(|(named, _)| named.is_none_or(|named| named == format));
        if let Some((_, bound)) = named {
            return Ok(bound.clone());
        }
        match self.in_folder(format, inventory) {
            Some(path) => Ok(Bound { text: read(&path)?, path: Some(path) }),
            None => Ok(Bound { text: BindingText::empty(), path: None }),
        }
    }

    fn in_folder(&self, format: Format, inventory: &Inventory) -> Option<PathBuf> {
        let folder = self.folder.as_ref()?;
        let identity = &inventory.domain.identity;
        let uuid = identity.uuid.map(|uuid| uuid.to_string());
        // A name is the VM owner's choice, and must not lead out of the folder.
        let name = Some(identity.name.clone()).filter(|name| !name.contains('/') && !name.starts_with('.'));
        let names = [uuid, name].into_iter().flatten();
        names
            .flat_map(|vm| ["toml", "json"].map(|syntax| folder.join(format!("{vm}.{}.{syntax}", format.name()))))
            .find(|path| path.exists())
    }
}

/// Reads one binding.
///
/// *Errors*: [`CarryOutError::Read`].
pub(super) fn read(path: &Path) -> Result<BindingText, CarryOutError> {
    let unreadable = |source| CarryOutError::Read { path: path.to_owned(), source };
    if path == Path::new("-") {
        let mut text = String::new();
        io::stdin().lock().read_to_string(&mut text).map_err(unreadable)?;
        return Ok(BindingText::of_unknown_syntax(text));
    }
    let text = std::fs::read_to_string(path).map_err(unreadable)?;
    let syntax = if path.extension().is_some_and(|ext| ext == "json") { Syntax::Json } else { Syntax::Toml };
    Ok(BindingText { syntax, text })
}
