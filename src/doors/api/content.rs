//! The contents of a disk of a VM that is off, as they lie in its image.
//!
//! The disk is a channel: it keeps the VM off while it is read, ends with the delegation and with its client's right to
//! speak for its owner, and a client that takes nothing for [`STALL`] loses it. Nothing is read ahead of what the client
//! has taken but one part.

use std::io;
use std::time::Duration;

use axum::Extension;
use axum::body::{Body, Bytes};
use axum::extract::State;
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::Response;
use futures_util::stream;
use tokio::sync::mpsc;

use super::Api;
use super::extract::At;
use super::problem::ApiProblem;
use super::vms::of_hypervisor;
use crate::doors::access::Open;
use crate::doors::identity::Caller;
use crate::doors::pass::{Lapse, Pass};
use crate::hypervisor::Volume;
use crate::lanes::Lanes;
use crate::model::device::is_target;
use crate::model::{ChannelKind, Code, Refusal, VmId};
use crate::resolver::{ChannelEnd, Force};

/// How much is asked of libvirt at once. *Units*: bytes.
const PART: u64 = 4 * 1024 * 1024;
/// How long a client may take nothing.
const STALL: Duration = Duration::from_secs(60);

/// The image of a disk, or a range of it (`Range`, RFC 9110 section 14.2). The VM does not start while it is read.
#[utoipa::path(
    get, path = "/v1/vms/{vm}/disks/{target}/content",
    params(("vm" = String, Path), ("target" = String, Path), ("Range" = Option<String>, Header)),
    responses((status = 200, description = "the image", content_type = "application/octet-stream"),
              (status = 206, description = "the range", content_type = "application/octet-stream"))
)]
pub(crate) async fn show(
    State(api): State<Api>,
    caller: Caller,
    At((vm, target)): At<(VmId, String)>,
    headers: HeaderMap,
    Extension(pass): Extension<Pass>,
) -> Result<Response, ApiProblem> {
    if !is_target(&target) {
        return Err(Refusal::new(Code::NoSuchDisk, "a disk is named by its target, such as vda").into());
    }
    let kind = ChannelKind::Disk(target.clone());
    let opened = api.channels.open(&api.lanes, &caller, vm, kind, Force::No).await?;
    let found = api.lanes.hypervisor().volume(vm, target).await.map_err(|error| of_hypervisor(&error));
    let found = found.and_then(|found| found.map_err(|reason| Refusal::new(Code::NoSuchDisk, reason)));
    let volume = match found {
        Ok(volume) => volume,
        Err(refusal) => {
            opened.over(ChannelEnd::Failed { reason: refusal.message.clone() }).await;
            return Err(refusal.into());
        }
    };
    let Some(wish) = range_of(&headers, volume.length) else {
        opened.over(ChannelEnd::Failed { reason: "the range lies outside".to_owned() }).await;
        let message = format!("the image has {} bytes, and the range lies behind them", volume.length);
        return Err(Refusal::new(Code::RangeUnsatisfiable, message).into());
    };
    let lapsed = async move { pass.lapsed_for(&caller.provider).await };
    Ok(answer(&api.lanes, opened, lapsed, volume, wish))
}

/// Which bytes are wished: from the first up to before the second.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Wish {
    from: u64,
    to: u64,
    status: StatusCode,
}

fn answer(
    lanes: &Lanes,
    opened: Open,
    lapsed: impl Future<Output = Lapse> + Send + 'static,
    volume: Volume,
    wish: Wish,
) -> Response {
    let (parts, mut taken) = mpsc::channel::<io::Result<Bytes>>(1);
    let format = volume.format.clone().unwrap_or_else(|| "raw".to_owned());
    let whole = volume.length;
    tokio::spawn(serve(lanes.clone(), opened, lapsed, volume.key, wish, parts));
    let mut response = Response::new(Body::from_stream(stream::poll_fn(move |context| taken.poll_recv(context))));
    *response.status_mut() = wish.status;
    let heads = response.headers_mut();
    heads.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/octet-stream"));
    heads.insert(header::ACCEPT_RANGES, HeaderValue::from_static("bytes"));
    heads.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    heads.insert(header::CONTENT_LENGTH, HeaderValue::from(wish.to - wish.from));
    if let Ok(format) = HeaderValue::from_str(&format) {
        heads.insert("covirt-image-format", format);
    }
    if wish.status == StatusCode::PARTIAL_CONTENT
        && let Ok(place) = HeaderValue::from_str(&format!("bytes {}-{}/{whole}", wish.from, wish.to.saturating_sub(1)))
    {
        heads.insert(header::CONTENT_RANGE, place);
    }
    response
}

async fn serve(
    lanes: Lanes,
    mut opened: Open,
    lapsed: impl Future<Output = Lapse>,
    key: String,
    wish: Wish,
    parts: mpsc::Sender<io::Result<Bytes>>,
) {
    let mut at = wish.from;
    tokio::pin!(lapsed);
    let how = loop {
        if at >= wish.to {
            break ChannelEnd::Complete {};
        }
        let length = PART.min(wish.to - at);
        let read = tokio::select! {
            biased;
            how = opened.closed() => break how,
            _ = lapsed.as_mut() => break ChannelEnd::PeerRefused {},
            read = lanes.hypervisor().read_volume(key.clone(), at, length) => read,
        };
        let part = match read {
            Ok(part) if !part.is_empty() => part,
            Ok(_) => break ChannelEnd::Failed { reason: "the image is shorter than it was".to_owned() },
            Err(error) => break ChannelEnd::Failed { reason: error.to_string() },
        };
        let count = part.len();
        let sent = tokio::select! {
            biased;
            how = opened.closed() => break how,
            // The connection ends by the same news, and with it what takes the parts.
            _ = lapsed.as_mut() => break ChannelEnd::PeerRefused {},
            sent = parts.send_timeout(Ok(Bytes::from(part)), STALL) => sent,
        };
        match sent {
            Ok(()) => opened.meter.sent(count),
            Err(mpsc::error::SendTimeoutError::Timeout(_)) => break ChannelEnd::Stalled {},
            Err(mpsc::error::SendTimeoutError::Closed(_)) => break ChannelEnd::PeerLeft {},
        }
        at = at.saturating_add(u64::try_from(count).unwrap_or(u64::MAX));
    };
    if how != (ChannelEnd::Complete {}) {
        // The answer ends short of its length, so that nobody takes it for whole.
        let _ = parts.try_send(Err(io::Error::other(how.as_str())));
    }
    opened.over(how).await;
}

/// What is wished of an image of this length; none when there is nothing of that. What is no single range of bytes is
/// ignored, as RFC 9110 has it.
fn range_of(headers: &HeaderMap, length: u64) -> Option<Wish> {
    let whole = Wish { from: 0, to: length, status: StatusCode::OK };
    let asked = headers.get(header::RANGE).and_then(|value| value.to_str().ok());
    let Some((first, last)) = asked.and_then(|text| text.trim().strip_prefix("bytes=")?.split_once('-')) else {
        return Some(whole);
    };
    let part = |from, to| (from < to).then_some(Wish { from, to, status: StatusCode::PARTIAL_CONTENT });
    match (first.trim().parse::<u64>(), last.trim().parse::<u64>()) {
        (Ok(from), Ok(last)) if last >= from => part(from, last.saturating_add(1).min(length)),
        (Ok(from), Err(_)) if last.trim().is_empty() => part(from, length),
        (Err(_), Ok(count)) if first.trim().is_empty() => part(length.saturating_sub(count), length),
        _ => Some(whole),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_range_is_what_rfc_9110_says() {
        let of = |range: &'static str| {
            let mut headers = HeaderMap::new();
            headers.insert(header::RANGE, range.parse().unwrap());
            range_of(&headers, 1000).map(|wish| (wish.from, wish.to, wish.status.as_u16()))
        };
        assert_eq!(of("bytes=0-9"), Some((0, 10, 206)));
        assert_eq!(of("bytes=990-5000"), Some((990, 1000, 206)));
        assert_eq!(of("bytes=990-"), Some((990, 1000, 206)));
        assert_eq!(of("bytes=-10"), Some((990, 1000, 206)));
        assert_eq!(of("bytes=-5000"), Some((0, 1000, 206)));
        assert_eq!(of("bytes=1000-"), None);
        assert_eq!(of("bytes=-0"), None);
        for ignored in ["bytes=9-1", "bytes=0-1,4-5", "lines=1-2", "bytes=a-b", "bytes=18446744073709551616-"] {
            assert_eq!(of(ignored), Some((0, 1000, 200)), "{ignored}");
        }
        assert_eq!(range_of(&HeaderMap::new(), 0), Some(Wish { from: 0, to: 0, status: StatusCode::OK }));
    }
}
