//! What the tests of access share: WebSockets, a terminal, RFB as noVNC speaks it, guests with something to reach, and the
//! command line.

// Each test file is a crate of its own and uses a part of this.
#![allow(dead_code)]

pub(crate) mod guests;
pub(crate) mod tls;

use std::io::{Read, Write};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use nix::pty::openpty;
use nix::sys::termios::{Termios, tcgetattr};
use serde_json::Value;
use tokio_tungstenite::tungstenite::client::IntoClientRequest;
use tokio_tungstenite::tungstenite::protocol::WebSocket;
use tokio_tungstenite::tungstenite::{self, Message};

use crate::covirtd::{Client, events};

/// How long anything that comes over a socket is waited for.
const LIMIT: Duration = Duration::from_secs(60);

use tls::Remote;

/// What a WebSocket runs over: a Unix socket, or TLS.
pub(crate) trait Wire: Read + Write {}

impl<T: Read + Write> Wire for T {}

pub(crate) type Web = WebSocket<Box<dyn Wire>>;

/// Opens a WebSocket, or gives the problem that was answered.
pub(crate) fn try_web(socket: &Path, provider: &str, path: &str, protocol: Option<&str>) -> Result<Web, Value> {
    let stream = UnixStream::connect(socket).expect("the agent listens");
    stream.set_read_timeout(Some(LIMIT)).expect("a limit");
    web_over(Box::new(stream), provider, path, protocol)
}

fn web_over(stream: Box<dyn Wire>, provider: &str, path: &str, protocol: Option<&str>) -> Result<Web, Value> {
    let mut request = format!("ws://covirt{path}").into_client_request().expect("a request");
    request.headers_mut().insert("covirt-provider", provider.parse().expect("a header"));
    if let Some(protocol) = protocol {
        request.headers_mut().insert("sec-websocket-protocol", protocol.parse().expect("a header"));
    }
    match tungstenite::client(request, stream) {
        Ok((web, response)) => {
            let given =
                response.headers().get("sec-websocket-protocol").map(|value| value.to_str().unwrap().to_owned());
            assert_eq!(given.as_deref(), protocol, "the subprotocol");
            Ok(web)
        }
        Err(tungstenite::HandshakeError::Failure(tungstenite::Error::Http(response))) => {
            Err(serde_json::from_slice(response.body().as_deref().unwrap_or_default()).expect("a problem"))
        }
        Err(error) => panic!("{path}: {error}"),
    }
}

#[track_caller]
pub(crate) fn open_web(socket: &Path, provider: &str, path: &str, protocol: Option<&str>) -> Web {
    try_web(socket, provider, path, protocol).unwrap_or_else(|problem| panic!("{path}: {problem:#}"))
}

/// The problem by which a WebSocket is refused.
#[track_caller]
pub(crate) fn refused_web(socket: &Path, provider: &str, path: &str) -> Value {
    match try_web(socket, provider, path, None) {
        Ok(_) => panic!("{path} was opened"),
        Err(problem) => problem,
    }
}

/// How channels of a VM ended so far, as the journal says.
#[track_caller]
pub(crate) fn ends(client: &mut Client, vm: &str) -> Vec<String> {
    let closed = events(client, vm).into_iter().filter(|event| event["kind"] == "channel-closed");
    closed.map(|event| event["fact"]["how"]["how"].as_str().expect("how").to_owned()).collect()
}

/// The command line's answer.
#[derive(Debug)]
pub(crate) struct Said {
    pub(crate) code: Option<i32>,
    pub(crate) out: String,
    pub(crate) err: String,
}

impl Said {
    #[track_caller]
    pub(crate) fn ok(self) -> Self {
        assert_eq!(self.code, Some(0), "{}{}", self.out, self.err);
        self
    }

    #[track_caller]
    pub(crate) fn says(self, text: &str) {
        let said = self.ok();
        assert!(said.out.contains(text), "{}", said.out);
    }
}

fn command(socket: &Path, provider: &str, words: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_covirt"));
    command.env("COVIRT_SOCKET", socket).env("COVIRT_AS", provider).args(words);
    command
}

#[track_caller]
pub(crate) fn covirt(socket: &Path, provider: &str, words: &[&str]) -> Said {
    let output = command(socket, provider, words).stdin(Stdio::null()).output().expect("run covirt");
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    Said { code: output.status.code(), out: text(&output.stdout), err: text(&output.stderr) }
}

/// One that goes on; killed on drop.
pub(crate) struct Running(pub(crate) Child);

impl Running {
    #[track_caller]
    pub(crate) fn begin(socket: &Path, provider: &str, words: &[&str]) -> Self {
        Self(command(socket, provider, words).stdin(Stdio::null()).spawn().expect("run covirt"))
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// A pseudo-terminal, as a user has one.
pub(crate) struct Terminal {
    ours: std::fs::File,
    theirs: OwnedFd,
    came: Vec<u8>,
}

impl Terminal {
    pub(crate) fn open() -> Self {
        let pair = openpty(None, None).expect("a terminal");
        nix::fcntl::fcntl(&pair.master, nix::fcntl::FcntlArg::F_SETFL(nix::fcntl::OFlag::O_NONBLOCK))
            .expect("no waits");
        Self { ours: std::fs::File::from(pair.master), theirs: pair.slave, came: Vec::new() }
    }

    pub(crate) fn modes(&self) -> Termios {
        tcgetattr(self.theirs.as_fd()).expect("its modes")
    }

    #[track_caller]
    pub(crate) fn run(&mut self, socket: &Path, provider: &str, words: &[&str]) -> Child {
        self.came.clear();
        let end = || Stdio::from(self.theirs.try_clone().expect("another handle"));
        command(socket, provider, words).stdin(end()).stdout(end()).stderr(end()).spawn().expect("run covirt")
    }

    pub(crate) fn write(&mut self, bytes: &[u8]) {
        self.ours.write_all(bytes).expect("type");
    }

    pub(crate) fn came(&self) -> String {
        String::from_utf8_lossy(&self.came).into_owned()
    }

    fn take(&mut self) {
        let mut chunk = [0; 4096];
        while let Ok(count) = self.ours.read(&mut chunk) {
            if count == 0 {
                return;
            }
            self.came.extend_from_slice(&chunk[..count]);
        }
    }

    #[track_caller]
    pub(crate) fn until(&mut self, text: &str) {
        crate::support::until(text, LIMIT, || {
            self.take();
            self.came().contains(text).then_some(())
        });
    }

    /// Has the guest's shell answer. It may not be there yet, so it is asked until it does; the quotes keep the echo of
    /// what is typed from being taken for the answer.
    #[track_caller]
    pub(crate) fn speak(&mut self) {
        let mut asked = std::time::Instant::now();
        self.write(b"\recho rea''dy\r");
        crate::support::until("the shell answers", LIMIT, || {
            if asked.elapsed() > Duration::from_secs(1) {
                self.write(b"\recho rea''dy\r");
                asked = std::time::Instant::now();
            }
            self.take();
            self.came().contains("ready\r\n").then_some(())
        });
    }
}

/// RFB as noVNC's client speaks it: version 3.8, no security, raw pixels. *Source*: RFC 6143.
pub(crate) struct Rfb {
    web: Web,
    kept: Vec<u8>,
}

impl Rfb {
    #[track_caller]
    pub(crate) fn open(socket: &Path, provider: &str, path: &str) -> Self {
        Self { web: open_web(socket, provider, path, Some("binary")), kept: Vec::new() }
    }

    #[track_caller]
    pub(crate) fn over(remote: &Remote, provider: &str, path: &str) -> Self {
        Self { web: remote.open_web(provider, path, Some("binary")), kept: Vec::new() }
    }

    pub(crate) fn try_open(socket: &Path, provider: &str, path: &str) -> Result<Self, Value> {
        Ok(Self { web: try_web(socket, provider, path, Some("binary"))?, kept: Vec::new() })
    }

    #[track_caller]
    fn take(&mut self, count: usize) -> Vec<u8> {
        while self.kept.len() < count {
            match self.web.read().expect("a message") {
                Message::Binary(bytes) => self.kept.extend_from_slice(&bytes),
                Message::Ping(_) | Message::Pong(_) => {}
                other => panic!("{other:?} after {:?}", self.kept),
            }
        }
        self.kept.drain(..count).collect()
    }

    fn say(&mut self, bytes: &[u8]) {
        self.web.send(Message::binary(bytes.to_vec())).expect("send");
    }

    /// The handshake; the screen's size.
    #[track_caller]
    pub(crate) fn begin(&mut self) -> (u16, u16) {
        assert_eq!(self.take(12), b"RFB 003.008\n");
        self.say(b"RFB 003.008\n");
        let kinds = usize::from(self.take(1)[0]);
        assert!(self.take(kinds).contains(&1), "no password is asked for");
        self.say(&[1]);
        assert_eq!(self.take(4), [0, 0, 0, 0], "security is settled");
        self.say(&[1]);
        let head = self.take(24);
        let name = usize::try_from(u32::from_be_bytes(head[20..24].try_into().unwrap())).unwrap();
        self.take(name);
        (u16::from_be_bytes([head[0], head[1]]), u16::from_be_bytes([head[2], head[3]]))
    }

    /// All of the screen, as raw pixels of 32 bits.
    #[track_caller]
    pub(crate) fn update(&mut self, width: u16, height: u16) -> Vec<u8> {
        // SetPixelFormat as noVNC sends it, SetEncodings to raw alone, FramebufferUpdateRequest of everything.
        self.say(&[0, 0, 0, 0, 32, 24, 0, 1, 0, 255, 0, 255, 0, 255, 0, 8, 16, 0, 0, 0]);
        self.say(&[2, 0, 0, 1, 0, 0, 0, 0]);
        let ([w0, w1], [h0, h1]) = (width.to_be_bytes(), height.to_be_bytes());
        self.say(&[3, 0, 0, 0, 0, 0, w0, w1, h0, h1]);
        let head = self.take(4);
        assert_eq!(head[0], 0, "a framebuffer update");
        let mut pixels = Vec::new();
        for _ in 0..u16::from_be_bytes([head[2], head[3]]) {
            let rectangle = self.take(12);
            assert_eq!(rectangle[8..12], [0, 0, 0, 0], "raw");
            let (wide, high) =
                (u16::from_be_bytes([rectangle[4], rectangle[5]]), u16::from_be_bytes([rectangle[6], rectangle[7]]));
            pixels.extend(self.take(4 * usize::from(wide) * usize::from(high)));
        }
        pixels
    }

    /// How the agent closed it.
    #[track_caller]
    pub(crate) fn closed(&mut self) -> (u16, String) {
        loop {
            match self.web.read() {
                Ok(Message::Close(Some(frame))) => return (frame.code.into(), frame.reason.to_string()),
                Ok(Message::Close(None)) | Err(_) => panic!("closed without a word"),
                Ok(_) => {}
            }
        }
    }
}

/// A PNG's size and its pixels as RGB.
#[track_caller]
pub(crate) fn png(file: &Path) -> (u32, u32, Vec<u8>) {
    let bytes = std::fs::File::open(file).expect("the picture");
    let mut decoder = png::Decoder::new(std::io::BufReader::new(bytes));
    decoder.set_transformations(png::Transformations::EXPAND | png::Transformations::STRIP_16);
    let mut reader = decoder.read_info().expect("a PNG");
    let mut pixels = vec![0; reader.output_buffer_size().expect("a size")];
    let info = reader.next_frame(&mut pixels).expect("its pixels");
    let step = info.color_type.samples();
    let rgb = pixels[..info.buffer_size()]
        .chunks(step)
        .flat_map(|pixel| [pixel[0], pixel[step.min(2) - 1], pixel[step.min(3) - 1]]);
    (info.width, info.height, rgb.collect())
}

/// The libvirtd that tests share; a test of this name is skipped without one.
#[allow(unused_macros, reason = "not every user of this has QEMU")]
macro_rules! libvirt {
    ($test:expr) => {
        match $crate::support::qemu::PrivateLibvirt::get() {
            Ok(libvirt) => libvirt,
            Err($crate::support::qemu::Skip(reason)) => return $crate::support::skip($test, &reason),
        }
    };
}
#[allow(unused_imports, reason = "not every user of this has QEMU")]
pub(crate) use libvirt;
