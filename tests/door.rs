//! A provider's door without libvirt behind it: who comes in, how many, and what ends a connection. libvirt's part is
//! played by the test.

#[path = "support/covirtd.rs"]
mod covirtd;
mod support;

use std::io::{IoSlice, Read, Write};
use std::os::fd::AsFd;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::os::unix::net::{UnixListener, UnixStream};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use covirt::doors::rpc::frame::{Frame, Header, Kind, REMOTE, Status};
use covirtd::Covirtd;
use rustix::net::{SendAncillaryBuffer, SendAncillaryMessage, SendFlags, sendmsg};
use support::{skip, until};

const SOON: Duration = Duration::from_secs(60);

/// What kind of connection this is: here, it is answered under another serial.
const ANSWERED_WRONGLY: u32 = 3;

/// An agent whose door leads to a libvirt that answers every call with nothing.
struct House {
    agent: Covirtd,
    /// How many connections libvirt has had.
    connected: Arc<AtomicUsize>,
    folder: tempfile::TempDir,
}

impl House {
    fn open(provider: &str) -> Self {
        let folder = tempfile::Builder::new().prefix("house-").tempdir().expect("make a folder");
        std::fs::set_permissions(folder.path(), std::fs::Permissions::from_mode(0o755)).expect("open the folder");
        let upstream = folder.path().join("upstream");
        let listener = UnixListener::bind(&upstream).expect("bind");
        let connected = Arc::new(AtomicUsize::new(0));
        let count = connected.clone();
        std::thread::spawn(move || {
            for stream in listener.incoming().map_while(Result::ok) {
                count.fetch_add(1, Ordering::Relaxed);
                std::thread::Builder::new().stack_size(64 * 1024).spawn(move || answer(stream)).expect("a thread");
            }
        });
        let (dir, upstream) = (folder.path().join("doors"), upstream.display());
        let config = format!("{provider}\n[doors]\ndir = '{}'\nupstream = '{upstream}'\n", dir.display());
        let agent = Covirtd::start(env!("CARGO_BIN_EXE_covirtd"), "test:///default", &config);
        Self { agent, connected, folder }
    }

    fn socket(&self, provider: &str) -> PathBuf {
        self.folder.path().join("doors").join(provider).join("libvirt-sock")
    }

    fn client(&self) -> UnixStream {
        let client = UnixStream::connect(self.socket("south")).expect("the door is open");
        client.set_read_timeout(Some(SOON)).expect("a limit");
        client
    }

    #[track_caller]
    fn until_logged(&self, what: &str) {
        until(what, SOON, || self.agent.log().contains(what).then_some(()));
    }
}

fn answer(mut stream: UnixStream) {
    while let Some(call) = read(&mut stream) {
        if call.header().kind == Kind::Call {
            let mut head = *call.header();
            head.serial += u32::from(head.procedure == ANSWERED_WRONGLY);
            let reply = Frame::answer(&head, Status::Ok, &[0; 4]);
            if stream.write_all(reply.bytes()).is_err() {
                return;
            }
        }
    }
}

fn read(stream: &mut UnixStream) -> Option<Frame> {
    let mut bytes = vec![0; 4];
    stream.read_exact(&mut bytes).ok()?;
    bytes.resize(u32::from_be_bytes(bytes[..].try_into().ok()?) as usize, 0);
    stream.read_exact(&mut bytes[4..]).ok()?;
    Frame::parse(bytes).ok()
}

/// Which ways of authentication there are: what every client asks first.
fn call(serial: u32) -> Frame {
    message(66, Kind::Call, serial)
}

fn message(procedure: u32, kind: Kind, serial: u32) -> Frame {
    Frame::new(Header { program: REMOTE, version: 1, procedure, kind, serial, status: Status::Ok }, &[])
}

#[track_caller]
fn is_answered(client: &mut UnixStream, serial: u32) {
    client.write_all(call(serial).bytes()).expect("the door takes it");
    let reply = read(client).expect("an answer");
    assert_eq!((reply.header().kind, reply.header().serial), (Kind::Reply, serial));
}

/// That the other end has closed.
#[track_caller]
fn is_closed(client: &mut UnixStream) {
    let mut rest = Vec::new();
    match client.read_to_end(&mut rest) {
        Ok(_) => {}
        Err(error) => assert_eq!(error.kind(), std::io::ErrorKind::ConnectionReset, "{error}"),
    }
}

#[test]
fn five_hundred_clients_are_in_at_once_and_each_is_answered() {
    let house = House::open("door = true");
    let before = house.connected.load(Ordering::Relaxed);
    let mut clients: Vec<UnixStream> = (0..500).map(|_| house.client()).collect();
    for serial in 1..3 {
        clients.iter_mut().for_each(|client| is_answered(client, serial));
    }
    assert_eq!(house.connected.load(Ordering::Relaxed) - before, 500, "each client has its own at libvirt");
}

#[test]
fn a_client_out_of_step_is_closed_with_a_line_in_the_log_and_no_other_is() {
    let house = House::open("door = true");
    let mut other = house.client();
    is_answered(&mut other, 1);
    let half = call(1).bytes()[..20].to_vec();
    let wrong = {
        let mut bytes = call(1).bytes().to_vec();
        bytes[19] = 77;
        bytes
    };
    for (bytes, says) in [
        (3_u32.to_be_bytes().to_vec(), "a message of 3 bytes is announced"),
        (u32::MAX.to_be_bytes().to_vec(), "a message of 4294967295 bytes is announced"),
        (wrong, "a message of kind 77"),
        (half, "ended in the middle of a message"),
    ] {
        let mut client = house.client();
        is_answered(&mut client, 1);
        client.write_all(&bytes).expect("the door takes it");
        if says.contains("middle") {
            client.shutdown(std::net::Shutdown::Write).expect("shut it down");
        }
        is_closed(&mut client);
        house.until_logged(says);
    }
    is_answered(&mut other, 2);
}

#[test]
fn who_breaks_the_protocol_in_whole_messages_ends_its_own_connection_with_a_line_in_the_log() {
    let house = House::open("door = true");
    let mut other = house.client();
    is_answered(&mut other, 1);
    let twice = [call(2), call(2)].iter().flat_map(|frame| frame.bytes().to_vec()).collect();
    let plain = |procedure, kind| message(procedure, kind, 2).bytes().to_vec();
    for (bytes, says) in [
        (twice, "it used the serial of a call that has no answer yet"),
        (plain(66, Kind::Reply), "it sent a reply to a call that nobody made"),
        (plain(318, Kind::Event), "it sent an event, which only libvirtd does"),
        (plain(ANSWERED_WRONGLY, Kind::Call), "libvirtd sent a reply that nobody asked for"),
    ] {
        let mut client = house.client();
        is_answered(&mut client, 1);
        client.write_all(&bytes).expect("the door takes it");
        is_closed(&mut client);
        house.until_logged(says);
    }
    // A descriptor with a message that announces none.
    let mut client = house.client();
    is_answered(&mut client, 1);
    let mut space = [std::mem::MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
    let mut control = SendAncillaryBuffer::new(&mut space);
    let rights = [other.as_fd()];
    assert!(control.push(SendAncillaryMessage::ScmRights(&rights)));
    let (frame, flags) = (call(2), SendFlags::empty());
    sendmsg(&client, &[IoSlice::new(frame.bytes())], &mut control, flags).expect("the door takes it");
    is_closed(&mut client);
    house.until_logged("descriptors came with bytes that they do not belong to");
    is_answered(&mut other, 2);
}

#[test]
fn a_door_is_as_narrow_as_a_file_can_say() {
    let own = nix::unistd::getuid();
    for (provider, mode) in [("", 0o600), ("gids = [0]", 0o660), ("gids = [0, 1]", 0o666)] {
        let house = House::open(&format!("{provider}\ndoor = true"));
        let socket = house.socket("south");
        let found = std::fs::metadata(&socket).expect("the socket");
        assert_eq!((found.mode() & 0o777, found.uid()), (mode, own.as_raw()), "{provider}");
        let folder = std::fs::metadata(socket.parent().expect("a folder")).expect("the folder");
        assert_eq!(folder.mode() & 0o777, 0o711);
        assert!(!house.socket("north").exists(), "north has none");
    }
}

#[test]
fn who_is_none_of_the_provider_s_is_closed_with_a_line_in_the_log() {
    const NAME: &str = "who_is_none_of_the_provider_s_is_closed_with_a_line_in_the_log";
    if !nix::unistd::getuid().is_root() {
        return skip(NAME, "only root can run a client as somebody else");
    }
    let house = House::open("gids = [64000, 64001]\ndoor = true");
    let knock = |uid, gid| knock(&house.socket("south"), uid, gid);
    assert!(knock(0, 0), "the operator");
    assert!(knock(64_000, 64_001), "one of the provider's group");
    assert!(!knock(64_000, 64_002), "nobody of the provider's");
    house.until_logged("user 64000 of group 64002 is not one of this provider's, nor the operator's");
}

/// Whether a client of this user and group is answered.
fn knock(socket: &Path, uid: u32, gid: u32) -> bool {
    // Another process, because this one would not get its own user back.
    let mut client = Command::new("python3");
    client.arg("-c").arg(
        "import socket,sys\n\
         s=socket.socket(socket.AF_UNIX); s.connect(sys.argv[1]); s.settimeout(60)\n\
         try: s.sendall(bytes.fromhex(sys.argv[2])); sys.exit(0 if len(s.recv(4)) == 4 else 9)\n\
         except OSError: sys.exit(9)",
    );
    let hex: String = call(1).bytes().iter().map(|byte| format!("{byte:02x}")).collect();
    let status = client.arg(socket).arg(hex).uid(uid).gid(gid).status().expect("run python3");
    assert!(matches!(status.code(), Some(0 | 9)), "{status}");
    status.success()
}

#[test]
fn a_client_is_told_that_there_is_no_libvirt_behind_the_door() {
    let house = House::open("door = true");
    std::fs::remove_file(house.folder.path().join("upstream")).expect("take it away");
    let mut client = house.client();
    client.write_all(call(7).bytes()).expect("the door takes it");
    let reply = read(&mut client).expect("an answer");
    assert_eq!((reply.header().kind, reply.header().serial, reply.header().status), (Kind::Reply, 7, Status::Error));
    let text = String::from_utf8_lossy(reply.payload());
    assert!(reply.payload().starts_with(&[0, 0, 0, 38]) && text.contains("covirt does not reach libvirt"), "{text}");
    is_closed(&mut client);
}

#[test]
fn a_stopped_agent_closes_its_doors_and_their_clients_and_takes_the_sockets_away() {
    let house = House::open("door = true");
    let mut client = house.client();
    is_answered(&mut client, 1);
    let pid = i32::try_from(house.agent.pid()).expect("a process");
    nix::sys::signal::kill(nix::unistd::Pid::from_raw(pid), nix::sys::signal::Signal::SIGTERM).expect("stop it");
    is_closed(&mut client);
    until("the socket is gone", SOON, || (!house.socket("south").exists()).then_some(()));
}

#[test]
fn a_door_without_a_libvirt_to_lead_to_is_no_configuration() {
    let folder = tempfile::tempdir().expect("make a folder");
    let path = folder.path().join("covirt.toml");
    let text = "[agent]\nconnect = 'test:///default'\n[[provider]]\nid = 'south'\ndoor = true\n";
    std::fs::write(&path, text).expect("write the configuration");
    let check = Command::new(env!("CARGO_BIN_EXE_covirtd")).arg("--check-config").arg("--config").arg(&path).output();
    let output = check.expect("run covirtd");
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(!output.status.success() && said.contains("provider south has a door"), "{said}");
    assert!(said.contains("doors.upstream names libvirt's socket"), "{said}");
}
