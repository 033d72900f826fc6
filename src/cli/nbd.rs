//! `covirt nbd`: what a pull backup serves, on a Unix socket of this host, for qemu-img, nbdinfo and their like.
//!
//! Each client of the socket has a channel of its own; bytes are only carried. It ends when the agent closes one, and
//! takes the socket with it.

use std::io;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use futures_util::{SinkExt, StreamExt};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{UnixListener, UnixStream};
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::mpsc;
use tokio_tungstenite::tungstenite::protocol::Message;

use super::client::Client;
use super::exit::Exit;
use super::fault::CarryOutError;
use super::session::{Web, dial};
use super::table::plain;

/// How much is moved at once. *Units*: bytes.
const CHUNK: usize = 64 * 1024;

/// `nbd`.
#[derive(Debug, clap::Args)]
pub struct NbdArgs {
    /// Name or UUID
    vm: String,
    /// The Unix socket to make; only you may connect to it
    #[arg(long, value_name = "PATH")]
    listen: PathBuf,
    /// The disk whose address is printed [default: that of any]
    #[arg(long, value_name = "TARGET")]
    disk: Option<String>,
}

/// The socket; its file goes with it.
struct Listening<'a> {
    listener: UnixListener,
    path: &'a Path,
}

impl<'a> Listening<'a> {
    fn at(path: &'a Path) -> Result<Self, CarryOutError> {
        if path.symlink_metadata().is_ok() {
            return Err(CarryOutError::Exists { path: path.to_owned() });
        }
        let failed = |source| CarryOutError::Write { path: path.to_owned(), source };
        let listener = UnixListener::bind(path).map_err(failed)?;
        let listening = Self { listener, path };
        std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o600)).map_err(failed)?;
        Ok(listening)
    }
}

impl Drop for Listening<'_> {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(self.path);
    }
}

/// Serves until a signal, or until the agent closes a channel.
///
/// *Errors*: those of the call and of the socket.
pub async fn nbd(client: &Client, args: &NbdArgs) -> Result<Exit, CarryOutError> {
    let vm = client.find_vm(&args.vm).await?;
    let path = format!("/v1/vms/{vm}/holds/backup/nbd");
    // Whoever may not is told before there is a socket.
    drop(dial(client, &path).await?);
    let listening = Listening::at(&args.listen)?;
    let disk = args.disk.as_deref().unwrap_or("DISK");
    eprintln!("Serving the backup of {} at nbd+unix:///{disk}?socket={}", plain(&args.vm), args.listen.display());
    let (mut interrupt, mut terminate) = (signal(SignalKind::interrupt())?, signal(SignalKind::terminate())?);
    let (tell, mut closed) = mpsc::channel::<String>(1);
    loop {
        let stream = tokio::select! {
            accepted = listening.listener.accept() => accepted?.0,
            Some(why) = closed.recv() => {
                eprintln!("covirt: the agent closed the backup: {}", plain(&why));
                return Ok(Exit::SessionEnded);
            }
            _ = interrupt.recv() => return Ok(Exit::Done),
            _ = terminate.recv() => return Ok(Exit::Done),
        };
        match dial(client, &path).await {
            Ok(web) => {
                let tell = tell.clone();
                tokio::spawn(async move {
                    if let Ok(Some(why)) = carry(web, stream).await {
                        let _ = tell.send(why).await;
                    }
                });
            }
            Err(error) => return Err(error.into()),
        }
    }
}

/// Carries one client to its end; why the agent closed the channel, if it did.
async fn carry(web: Web, mut stream: UnixStream) -> io::Result<Option<String>> {
    let (mut to, mut from) = web.split();
    let (mut read, mut write) = stream.split();
    let mut chunk = vec![0; CHUNK];
    loop {
        tokio::select! {
            message = from.next() => match message {
                Some(Ok(Message::Binary(bytes))) => write.write_all(&bytes).await?,
                Some(Ok(Message::Close(Some(frame)))) if u16::from(frame.code) >= 4000 => {
                    return Ok(Some(frame.reason.to_string()));
                }
                Some(Ok(Message::Close(_)) | Err(_)) | None => return Ok(None),
                Some(Ok(_)) => {}
            },
            count = read.read(&mut chunk) => match count? {
                0 => {
                    let _ = to.close().await;
                    return Ok(None);
                }
                count => {
                    let bytes = chunk.get(..count).unwrap_or_default().to_vec();
                    to.send(Message::binary(bytes)).await.map_err(io::Error::other)?;
                }
            },
        }
    }
}
