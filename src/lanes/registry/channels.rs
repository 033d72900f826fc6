//! Channels: a lane says who may open one, and tells its door when it is to be closed.

use tokio::sync::oneshot;

use super::Lanes;
use crate::lanes::runner::{Mail, Request};
use crate::model::{ChannelId, Code, ProviderId, Refusal, VmId};
use crate::resolver::{ChannelEnd, ChannelRequest, Input};

/// How much a channel has carried.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Carried {
    /// From its peer. *Units*: bytes.
    pub received: u64,
    /// To its peer. *Units*: bytes.
    pub sent: u64,
}

impl Lanes {
    /// Has a channel opened; what is given back says why it is to be closed, or ends without a word when the lane does
    /// not know the channel any more. Returns once the opening is durable.
    ///
    /// *Errors*: why it may not be opened.
    pub async fn open_channel(
        &self,
        vm: VmId,
        request: ChannelRequest,
    ) -> Result<oneshot::Receiver<ChannelEnd>, Refusal> {
        let address = self.address(vm)?;
        let (tell, closing) = oneshot::channel();
        let (reply, answer) = oneshot::channel();
        let watch = Some((request.id, tell));
        let make = Box::new(move |token| Input::OpenChannel { token, request });
        let mail = Mail::Request(Box::new(Request { make, reply, ended: None, carrier: None, closing: watch }));
        let gone = || Refusal::new(Code::Closing, "the agent is shutting down");
        address.mail.send(mail).await.map_err(|_| gone())?;
        answer.await.map_err(|_| gone())??;
        Ok(closing)
    }

    /// Closes a channel of `by`'s; the operator closes any.
    ///
    /// *Errors*: [`Code::UnknownChannel`], [`Code::Malformed`].
    pub async fn close_channel(
        &self,
        vm: VmId,
        by: ProviderId,
        channel: ChannelId,
        reason: String,
    ) -> Result<(), Refusal> {
        let address = self.address(vm)?;
        let make = move |token| Input::CloseChannel { token, by, channel, reason };
        self.request(&address, make).await.map(drop)
    }

    /// A channel has ended by itself.
    pub async fn channel_over(&self, vm: VmId, channel: ChannelId, how: ChannelEnd, carried: Carried) {
        let Ok(address) = self.address(vm) else { return };
        let Carried { received, sent } = carried;
        let over = Input::ChannelOver { channel, how, received, sent };
        let _ = address.mail.send(Mail::Tell(Box::new(over))).await;
    }
}
