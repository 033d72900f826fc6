//! One question to an OVSDB server over its Unix socket, and how its values are spelled.
//!
//! Bounded: two seconds in all, 16 MiB of answer.

use std::collections::BTreeMap;
use std::io::{self, Read, Write};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::{Duration, Instant};

use nix::sys::socket::{AddressFamily, SockFlag, SockType, UnixAddr, connect, socket};
use serde_json::{Value, json};

use super::ReadOvsError;

/// How long the server is given, over all.
const TIME_LIMIT: Duration = Duration::from_secs(2);
/// How much it may answer: a port takes about half a kilobyte.
const ANSWER_MAX: u64 = 16 << 20;

/// Sends one transaction and waits for its result.
pub(super) fn ask(path: &Path, transaction: &Value) -> Result<Value, ReadOvsError> {
    let until = Instant::now() + TIME_LIMIT;
    let mut stream = open(path)?;
    stream.set_write_timeout(Some(TIME_LIMIT))?;
    stream.write_all(json!({ "method": "transact", "params": transaction, "id": 0 }).to_string().as_bytes())?;
    let reader = io::BufReader::new(Deadlined { stream, until }.take(ANSWER_MAX));
    for message in serde_json::Deserializer::from_reader(reader).into_iter::<Value>() {
        let mut message = message.map_err(broken)?;
        // The server may ask whether we live before it answers.
        if !message["method"].is_null() {
            continue;
        }
        if !message["error"].is_null() {
            return Err(ReadOvsError::Answer(message["error"].to_string().chars().take(200).collect()));
        }
        return Ok(message["result"].take());
    }
    Err(ReadOvsError::Answer("nothing".to_owned()))
}

fn broken(fault: serde_json::Error) -> ReadOvsError {
    if fault.is_io() { ReadOvsError::Io(fault.into()) } else { ReadOvsError::Answer(fault.to_string()) }
}

/// Connects without waiting for a server that takes no more clients.
fn open(path: &Path) -> io::Result<UnixStream> {
    let flags = SockFlag::SOCK_CLOEXEC | SockFlag::SOCK_NONBLOCK;
    let descriptor = socket(AddressFamily::Unix, SockType::Stream, flags, None)?;
    connect(std::os::fd::AsRawFd::as_raw_fd(&descriptor), &UnixAddr::new(path)?)?;
    let stream = UnixStream::from(descriptor);
    stream.set_nonblocking(false)?;
    Ok(stream)
}

/// A stream that is read until a point of time, however slowly it trickles.
struct Deadlined {
    stream: UnixStream,
    until: Instant,
}

impl Read for Deadlined {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        let left = self.until.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return Err(io::ErrorKind::TimedOut.into());
        }
        self.stream.set_read_timeout(Some(left))?;
        self.stream.read(into)
    }
}

/// The members of a set; a set of one may be written as the member itself.
pub(super) fn set_of(value: &Value) -> Vec<&Value> {
    match value.as_array().map(Vec::as_slice) {
        Some([kind, members]) if kind == "set" => members.as_array().into_iter().flatten().collect(),
        _ if value.is_null() => Vec::new(),
        _ => vec![value],
    }
}

/// The texts of a map by their keys.
pub(super) fn map_of(value: &Value) -> BTreeMap<&str, &str> {
    let pairs = match value.as_array().map(Vec::as_slice) {
        Some([kind, pairs]) if kind == "map" => pairs.as_array(),
        _ => None,
    };
    pairs.into_iter().flatten().filter_map(|pair| Some((pair[0].as_str()?, pair[1].as_str()?))).collect()
}

/// The id in `["uuid", ID]`.
pub(super) fn row_id(value: &Value) -> Option<&str> {
    match value.as_array()?.as_slice() {
        [kind, id] if kind == "uuid" => id.as_str(),
        _ => None,
    }
}

/// A text that is there; an empty one is none.
pub(super) fn text_of(value: &Value) -> Option<&str> {
    value.as_str().filter(|text| !text.is_empty())
}
