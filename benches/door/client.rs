//! A small client of libvirt's RPC: it blocks, and measures nothing but what it is connected to.

use std::io::{BufReader, Read, Write};
use std::os::unix::net::UnixStream;
use std::path::Path;

use covirt::doors::rpc::frame::{Frame, HEAD, Header, KEEPALIVE, Kind, REMOTE, Status, length_of};
use covirt::doors::rpc::xdr::{Reader, Writer};

const CONNECT_OPEN: u32 = 1;
const LOOKUP_BY_NAME: u32 = 23;
const AUTH_LIST: u32 = 66;
const VOL_LOOKUP_BY_PATH: u32 = 97;
const VOL_UPLOAD: u32 = 208;
const VOL_DOWNLOAD: u32 = 209;
const GET_STATE: u32 = 212;
/// What libvirt's own client puts into one packet of a stream. *Units*: bytes.
const PACKET: usize = 262_120;

/// One connection.
pub(crate) struct Client {
    stream: BufReader<UnixStream>,
    serial: u32,
}

impl Client {
    /// Connects and opens, as libvirt's own client without an event loop does.
    pub(crate) fn open(socket: &Path) -> Self {
        let stream = UnixStream::connect(socket).unwrap_or_else(|error| panic!("{}: {error}", socket.display()));
        let mut client = Self { stream: BufReader::with_capacity(64 * 1024, stream), serial: 0 };
        client.call(AUTH_LIST, &[]);
        let mut open = Writer::new();
        open.optional_string(Some("qemu:///system")).u32(0);
        client.call(CONNECT_OPEN, &open.into_bytes());
        client
    }

    /// The bytes by which a domain is named in calls.
    pub(crate) fn domain(&mut self, name: &str) -> Vec<u8> {
        let mut named = Writer::new();
        named.string(name);
        self.call(LOOKUP_BY_NAME, &named.into_bytes()).payload().to_vec()
    }

    /// Asks for a domain's state.
    pub(crate) fn state(&mut self, domain: &[u8]) -> i32 {
        self.ask_state(domain);
        self.answer_state()
    }

    pub(crate) fn ask_state(&mut self, domain: &[u8]) {
        let mut asked = Writer::new();
        asked.raw(domain).u32(0);
        self.send(GET_STATE, &asked.into_bytes());
    }

    pub(crate) fn answer_state(&mut self) -> i32 {
        let reply = self.receive();
        Reader::new(reply.payload()).i32().expect("a state")
    }

    /// Reads a whole volume; how many bytes came. libvirtd may send the first of them before its reply to the call.
    pub(crate) fn download(&mut self, path: &str) -> usize {
        let asked = self.about(path, 0);
        self.send(VOL_DOWNLOAD, &asked);
        let (mut came, mut is_replied, mut is_over) = (0, false, false);
        while !(is_replied && is_over) {
            let frame = self.receive();
            match frame.payload().len() {
                _ if frame.header().kind == Kind::Reply => is_replied = true,
                0 => is_over = true,
                size => came += size,
            }
        }
        self.finish(VOL_DOWNLOAD);
        came
    }

    /// Writes a whole volume.
    pub(crate) fn upload(&mut self, path: &str, bytes: usize) {
        let asked = self.about(path, bytes);
        self.call(VOL_UPLOAD, &asked);
        let packet = Frame::new(self.stream_header(VOL_UPLOAD, Status::Continue), &vec![0x5a; PACKET]);
        let mut left = bytes;
        while left >= PACKET {
            self.write(&packet);
            left -= PACKET;
        }
        if left > 0 {
            self.write(&Frame::new(self.stream_header(VOL_UPLOAD, Status::Continue), &vec![0x5a; left]));
        }
        self.finish(VOL_UPLOAD);
    }

    /// The arguments of an upload or a download: which volume, from where, how much.
    fn about(&mut self, path: &str, bytes: usize) -> Vec<u8> {
        let mut named = Writer::new();
        named.string(path);
        let mut asked = Writer::new();
        asked.raw(self.call(VOL_LOOKUP_BY_PATH, &named.into_bytes()).payload());
        asked.u64(0).u64(bytes as u64).u32(0);
        asked.into_bytes()
    }

    fn finish(&mut self, procedure: u32) {
        self.write(&Frame::new(self.stream_header(procedure, Status::Ok), &[]));
        while self.receive().header().status != Status::Ok {}
    }

    fn stream_header(&self, procedure: u32, status: Status) -> Header {
        Header { program: REMOTE, version: 1, procedure, kind: Kind::Stream, serial: self.serial, status }
    }

    fn call(&mut self, procedure: u32, payload: &[u8]) -> Frame {
        self.send(procedure, payload);
        self.receive()
    }

    fn send(&mut self, procedure: u32, payload: &[u8]) {
        self.serial += 1;
        let serial = self.serial;
        let header = Header { program: REMOTE, version: 1, procedure, kind: Kind::Call, serial, status: Status::Ok };
        self.write(&Frame::new(header, payload));
    }

    fn write(&mut self, frame: &Frame) {
        self.stream.get_mut().write_all(frame.bytes()).expect("libvirt reads");
    }

    /// The next message that is no sign of life; panics when libvirt says that something failed.
    fn receive(&mut self) -> Frame {
        loop {
            let mut bytes = vec![0; HEAD];
            self.stream.read_exact(&mut bytes).expect("libvirt answers");
            let length = length_of(*bytes.first_chunk().expect("a length")).expect("a message");
            bytes.resize(length, 0);
            self.stream.read_exact(&mut bytes[HEAD..]).expect("a whole message");
            let frame = Frame::parse(bytes).expect("a message");
            if frame.header().status == Status::Error {
                panic!("procedure {}: {}", frame.header().procedure, String::from_utf8_lossy(frame.payload()));
            }
            if frame.header().program != KEEPALIVE {
                return frame;
            }
        }
    }
}
