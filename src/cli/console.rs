//! `covirt console`: a VM's serial console in this terminal.
//!
//! A terminal is put into raw mode for as long as it lasts, and back on every way out, signals and panics included. A
//! serial line carries no size: after a change of the window, say `stty rows R cols C` in the guest.

use std::io::{self, IsTerminal, Read, Write};
use std::os::fd::AsFd;

use futures_util::{SinkExt, StreamExt};
use nix::sys::termios::{SetArg, Termios, cfmakeraw, tcgetattr, tcsetattr};
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::mpsc;
use tokio_tungstenite::tungstenite::protocol::Message;

use super::client::Client;
use super::exit::Exit;
use super::fault::CarryOutError;
use super::session::{HoldSessionError, Web, dial};
use super::table::plain;

/// `console`.
#[derive(Debug, clap::Args)]
pub struct ConsoleArgs {
    /// Name or UUID
    vm: String,
    /// The key that leaves the console: ^ and a character, or a single character
    #[arg(long, value_name = "KEY", default_value = "^]", value_parser = parse_escape)]
    escape: u8,
    /// Cut off a console of your own that is open elsewhere, and whoever has it past covirt
    #[arg(long)]
    force: bool,
}

/// `^X` is what a terminal sends for Ctrl and X.
fn parse_escape(text: &str) -> Result<u8, String> {
    let refuse =
        || format!("{text:?} is no key: ^ and one of A-Z [ \\ ] ^ _ , or one other ASCII character, is expected");
    match *text.as_bytes() {
        [b'^', key] => match key.to_ascii_uppercase() {
            key @ b'@'..=b'_' => Ok(key - b'@'),
            _ => Err(refuse()),
        },
        [key] if key.is_ascii() => Ok(key),
        _ => Err(refuse()),
    }
}

fn escape_name(key: u8) -> String {
    match key {
        0..=31 => format!("^{}", char::from(key + b'@')),
        key => char::from(key).to_string(),
    }
}

/// A terminal in raw mode; put back on drop.
struct Raw(Option<Termios>);

impl Raw {
    fn begin() -> io::Result<Self> {
        let input = io::stdin();
        if !input.is_terminal() {
            return Ok(Self(None));
        }
        let before = tcgetattr(input.as_fd())?;
        let mut raw = before.clone();
        cfmakeraw(&mut raw);
        tcsetattr(input.as_fd(), SetArg::TCSADRAIN, &raw)?;
        Ok(Self(Some(before)))
    }
}

impl Drop for Raw {
    fn drop(&mut self) {
        if let Some(before) = self.0.take() {
            let _ = tcsetattr(io::stdin().as_fd(), SetArg::TCSADRAIN, &before);
        }
    }
}

/// How it ended, for people.
enum End {
    Left,
    Hup,
    Closed(String),
}

/// Opens the console and carries it until the escape key, the end of the input, or the agent's word.
///
/// *Errors*: those of the call, and of writing.
pub async fn console(client: &Client, args: &ConsoleArgs) -> Result<Exit, CarryOutError> {
    let vm = client.find_vm(&args.vm).await?;
    let force = if args.force { "?force=true" } else { "" };
    let web = dial(client, &format!("/v1/vms/{vm}/console{force}")).await?;
    let escape = escape_name(args.escape);
    eprintln!("Connected to the serial console of {}. {escape} leaves it; Enter wakes a silent one.", plain(&args.vm));
    let raw = Raw::begin()?;
    let end = carry(web, args.escape).await;
    drop(raw);
    Ok(match end? {
        End::Left | End::Hup => {
            eprintln!("\nLeft the console of {}.", plain(&args.vm));
            Exit::Done
        }
        End::Closed(why) => {
            eprintln!("\nThe console of {} was closed: {}", plain(&args.vm), plain(&why));
            if why == "vm-left" { Exit::Done } else { Exit::SessionEnded }
        }
    })
}

async fn carry(web: Web, escape: u8) -> Result<End, CarryOutError> {
    let (mut to, mut from) = web.split();
    let mut typed = keys();
    let mut signals = Vec::new();
    for kind in [SignalKind::interrupt(), SignalKind::terminate(), SignalKind::hangup()] {
        signals.push(signal(kind)?);
    }
    let [interrupt, terminate, hangup] = signals.as_mut_slice() else { return Ok(End::Left) };
    let mut out = io::stdout();
    loop {
        tokio::select! {
            message = from.next() => match message {
                Some(Ok(Message::Binary(bytes))) => {
                    out.write_all(&bytes)?;
                    out.flush()?;
                }
                Some(Ok(Message::Close(frame))) => {
                    let why = frame.map(|frame| frame.reason.to_string()).unwrap_or_default();
                    return Ok(End::Closed(why));
                }
                Some(Ok(_)) => {}
                Some(Err(error)) => return Err(HoldSessionError::from(error).into()),
                None => return Ok(End::Closed("it hung up without a word".to_owned())),
            },
            keys = typed.recv() => {
                let mut keys = keys.unwrap_or_default();
                let place = keys.iter().position(|key| *key == escape);
                let is_last = place.is_some() || keys.is_empty();
                keys.truncate(place.unwrap_or(keys.len()));
                if !keys.is_empty() {
                    to.send(Message::binary(keys)).await.map_err(HoldSessionError::from)?;
                }
                if is_last {
                    let _ = to.close().await;
                    return Ok(End::Left);
                }
            }
            _ = interrupt.recv() => return Ok(End::Hup),
            _ = terminate.recv() => return Ok(End::Hup),
            _ = hangup.recv() => return Ok(End::Hup),
        }
    }
}

/// What is typed; a thread waits for it, and ends with the process. Nothing more comes after the end of the input.
fn keys() -> mpsc::Receiver<Vec<u8>> {
    let (tell, typed) = mpsc::channel(16);
    std::thread::spawn(move || {
        let (mut input, mut chunk) = (io::stdin().lock(), [0; 4096]);
        loop {
            match input.read(&mut chunk) {
                Ok(0) => return,
                Ok(count) => {
                    if tell.blocking_send(chunk.get(..count).unwrap_or_default().to_vec()).is_err() {
                        return;
                    }
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(_) => return,
            }
        }
    });
    typed
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_escape_key_is_what_a_terminal_sends() {
        assert_eq!(parse_escape("^]"), Ok(0x1d));
        assert_eq!(parse_escape("^a"), Ok(1));
        assert_eq!(parse_escape("~"), Ok(b'~'));
        for wrong in ["", "^", "^1", "ab", "^ab", "é"] {
            let parsed = parse_escape(wrong);
            assert!(wrong == "^" || parsed.is_err(), "{wrong}: {parsed:?}");
        }
        for key in [0x1d, 1, b'~'] {
            assert_eq!(parse_escape(&escape_name(key)), Ok(key));
        }
    }
}
