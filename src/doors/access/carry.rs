//! Bytes between a WebSocket and what a channel leads to: binary frames, nothing added and nothing taken away.
//!
//! Whoever does not read is not read for: the other side waits, and after [`SEND_TIME`] the channel ends. A peer that
//! answers no ping within [`SILENCE`] is gone.

use std::time::Duration;

use axum::extract::ws::{CloseFrame, Message, Utf8Bytes, WebSocket};
use futures_util::stream::{SplitSink, SplitStream};
use futures_util::{SinkExt, StreamExt};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::UnixStream;
use tokio::net::unix::{OwnedReadHalf, OwnedWriteHalf};
use tokio::time::{interval_at, timeout};

use super::{Meter, Open};
use crate::doors::pass::Lapse;
use crate::hypervisor::{Pipe, PipeEnd};
use crate::resolver::ChannelEnd;

/// How much is sent in one message. *Units*: bytes.
const CHUNK: usize = 64 * 1024;
/// How long a peer may take to read what it is sent.
const SEND_TIME: Duration = Duration::from_secs(10);
/// How often a silent peer is asked whether it is there.
const PING: Duration = Duration::from_secs(30);
/// How long a peer may say nothing at all.
const SILENCE: Duration = Duration::from_secs(90);
/// How long it may take to close its side.
const CLOSE_TIME: Duration = Duration::from_secs(1);

/// Carries a channel to its end, or until its peer may not speak for its owner any more.
pub(crate) async fn carry(mut open: Open, lapsed: impl Future<Output = Lapse>, socket: WebSocket, pipe: Pipe) {
    let (mut to_peer, from_peer) = socket.split();
    let Pipe { stream, mut ended } = pipe;
    let how = match UnixStream::from_std(stream) {
        Err(error) => ChannelEnd::Failed { reason: error.to_string() },
        Ok(stream) => {
            let (from_vm, to_vm) = stream.into_split();
            let meter = open.meter.clone();
            tokio::select! {
                biased;
                how = open.closed() => how,
                _ = lapsed => ChannelEnd::PeerRefused {},
                how = down(&mut to_peer, from_vm, &meter) => how,
                how = up(from_peer, to_vm, &meter) => how,
            }
        }
    };
    let why = ended.try_recv();
    // From here on the other side knows that nobody is here.
    drop(ended);
    let how = match (how, why) {
        (ChannelEnd::VmLeft {}, Ok(PipeEnd::Overrun)) => ChannelEnd::Stalled {},
        (ChannelEnd::VmLeft {}, Ok(PipeEnd::Broken(reason))) => ChannelEnd::Failed { reason },
        (how, _) => how,
    };
    let _ = timeout(CLOSE_TIME, to_peer.send(close_frame(&how))).await;
    open.over(how).await;
    let _ = timeout(CLOSE_TIME, to_peer.close()).await;
}

async fn down(to_peer: &mut SplitSink<WebSocket, Message>, mut from_vm: OwnedReadHalf, meter: &Meter) -> ChannelEnd {
    let mut chunk = vec![0; CHUNK];
    let mut pings = interval_at(tokio::time::Instant::now() + PING, PING);
    loop {
        let message = tokio::select! {
            read = from_vm.read(&mut chunk) => match read {
                Ok(0) => return ChannelEnd::VmLeft {},
                Ok(count) => {
                    meter.sent(count);
                    Message::Binary(axum::body::Bytes::copy_from_slice(chunk.get(..count).unwrap_or_default()))
                }
                Err(error) => return ChannelEnd::Failed { reason: error.to_string() },
            },
            _ = pings.tick() => Message::Ping(axum::body::Bytes::new()),
        };
        match timeout(SEND_TIME, to_peer.send(message)).await {
            Ok(Ok(())) => {}
            Ok(Err(_)) => return ChannelEnd::PeerLeft {},
            Err(_) => return ChannelEnd::Stalled {},
        }
    }
}

async fn up(mut from_peer: SplitStream<WebSocket>, mut to_vm: OwnedWriteHalf, meter: &Meter) -> ChannelEnd {
    loop {
        match timeout(SILENCE, from_peer.next()).await {
            Err(_) => return ChannelEnd::Stalled {},
            Ok(None | Some(Ok(Message::Close(_)) | Err(_))) => return ChannelEnd::PeerLeft {},
            Ok(Some(Ok(Message::Ping(_) | Message::Pong(_)))) => {}
            Ok(Some(Ok(Message::Text(_)))) => return ChannelEnd::Misused {},
            Ok(Some(Ok(Message::Binary(bytes)))) => {
                meter.received(bytes.len());
                if to_vm.write_all(&bytes).await.is_err() {
                    // What it led to has gone; what that said last is on its way.
                    return std::future::pending().await;
                }
            }
        }
    }
}

/// 1000 is the usual end; 4000 and up are an application's own codes.
fn close_frame(how: &ChannelEnd) -> Message {
    let code = match how {
        ChannelEnd::PeerLeft {} | ChannelEnd::VmLeft {} | ChannelEnd::Complete {} => 1000,
        ChannelEnd::Stalled {}
        | ChannelEnd::Misused {}
        | ChannelEnd::PeerRefused {}
        | ChannelEnd::DelegationEnded {}
        | ChannelEnd::Stopped {}
        | ChannelEnd::Released {}
        | ChannelEnd::VmGone {}
        | ChannelEnd::VmStarted {}
        | ChannelEnd::BackupOver {}
        | ChannelEnd::LeaseExpired {}
        | ChannelEnd::Replaced { .. }
        | ChannelEnd::Requested { .. }
        | ChannelEnd::Failed { .. }
        | ChannelEnd::AgentStopped {} => 4000,
    };
    Message::Close(Some(CloseFrame { code, reason: Utf8Bytes::from_static(how.as_str()) }))
}
