//! Why a command of `covirt` did not do what was asked, as a sentence, a hint and an exit code.

use std::error::Error as _;
use std::io;
use std::path::PathBuf;

use super::artifacts::RenderFormatError;
use super::artifacts_dir::WriteBundleError;
use super::client::CallAgentError;
use super::demo::PlayDemoError;
use super::documents::ReadDocumentError;
use super::exit::Exit;
use super::identity::OpenIdentityError;
use super::output::Format;
use super::session::HoldSessionError;
use crate::artifacts::MANIFEST_FILE;

/// Why a command was not carried out.
#[derive(Debug, thiserror::Error)]
pub enum CarryOutError {
    /// The agent did not do it.
    #[error(transparent)]
    Call(#[from] CallAgentError),
    /// The agent may or may not have taken a command in.
    #[error("command {id} may have been taken in: ask with `covirt command {id}`, or send it again with the same --id")]
    Unsure {
        id: crate::model::CommandId,
        #[source]
        source: CallAgentError,
    },
    /// The session did not last.
    #[error(transparent)]
    Session(#[from] HoldSessionError),
    /// No VM of this name.
    #[error("there is no VM {name:?} that you may see; `covirt vm list` shows them")]
    NoSuchVm { name: String },
    /// A file cannot be read.
    #[error("cannot read {}", path.display())]
    Read {
        path: PathBuf,
        #[source]
        source: io::Error,
    },
    /// The words do not fit together.
    #[error("{0}")]
    Usage(String),
    /// Something given here cannot be used.
    #[error("{0}")]
    Unusable(String),
    /// A folder is no identity.
    #[error(transparent)]
    Identity(#[from] OpenIdentityError),
    /// A file of libvirt XML cannot be used.
    #[error(transparent)]
    Document(#[from] ReadDocumentError),
    /// The inventory cannot be rendered.
    #[error(transparent)]
    Render(#[from] Box<RenderFormatError>),
    /// A folder holds no bundle.
    #[error("{} holds no bundle: there is no {MANIFEST_FILE}", folder.display())]
    NoBundle { folder: PathBuf },
    /// A file that is to be made is there.
    #[error("{} is there already, and nothing in it was touched", path.display())]
    Exists { path: PathBuf },
    /// A file cannot be written.
    #[error("cannot write {}", path.display())]
    Write {
        path: PathBuf,
        #[source]
        source: io::Error,
    },
    /// The bundle cannot be written.
    #[error(transparent)]
    Bundle(#[from] WriteBundleError),
    /// The demonstration failed.
    #[error(transparent)]
    Demo(#[from] PlayDemoError),
    /// Standard output takes nothing more.
    #[error("cannot write the answer")]
    Print(#[from] io::Error),
    /// The system gives no event loop.
    #[error("cannot start")]
    Start(#[source] io::Error),
}

impl CarryOutError {
    /// The exit code.
    #[must_use]
    pub fn exit(&self) -> Exit {
        match self {
            Self::Call(error) | Self::Unsure { source: error, .. } => error.exit(),
            Self::Session(error) => error.exit(),
            Self::NoSuchVm { .. } => Exit::Refused,
            Self::Usage(_) => Exit::Usage,
            // Whoever closed the pipe has read all it wanted.
            Self::Print(error) if error.kind() == io::ErrorKind::BrokenPipe => Exit::Done,
            Self::Read { .. }
            | Self::Unusable(_)
            | Self::Identity(_)
            | Self::Document(_)
            | Self::Render(_)
            | Self::NoBundle { .. }
            | Self::Exists { .. }
            | Self::Write { .. }
            | Self::Bundle(_)
            | Self::Print(_)
            | Self::Start(_) => Exit::Input,
            Self::Demo(_) => Exit::DemoFailed,
        }
    }

    /// What goes to standard error; none when nobody needs to be told.
    #[must_use]
    pub fn report(&self, format: Format) -> Option<String> {
        if matches!(self, Self::Print(error) if error.kind() == io::ErrorKind::BrokenPipe) {
            return None;
        }
        if let (Format::Json, Self::Call(CallAgentError::Refused(problem))) = (format, self) {
            return serde_json::to_string(problem).ok();
        }
        if let (Format::Json, Self::Render(error)) = (format, self) {
            return serde_json::to_string(&error.document()).ok();
        }
        let mut text = format!("covirt: {self}");
        let mut cause = self.source();
        while let Some(error) = cause {
            // Some libraries' errors repeat their cause in their own sentence.
            let sentence = error.to_string();
            if !text.ends_with(&sentence) {
                text.push_str(&format!(": {sentence}"));
            }
            cause = error.source();
        }
        if let Self::Call(error) = self
            && let Some(hint) = error.hint()
        {
            text.push_str(&format!("\n{hint}"));
        }
        Some(text)
    }
}
