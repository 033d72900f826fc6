//! A provider's session: one WebSocket for clock samples, asks and answers, and events from a cursor.

use std::time::Duration;

use axum::Extension;
use axum::extract::State;
use axum::extract::ws::{
    CloseFrame, Message, Utf8Bytes, WebSocket, WebSocketUpgrade, rejection::WebSocketUpgradeRejection,
};
use axum::response::Response;
use futures_util::stream::SplitSink;
use futures_util::{SinkExt, StreamExt};

use super::Api;
use super::events;
use super::exchanges::Exchanges;
use super::problem::ApiProblem;
use super::seats::Seat;
use crate::doors::identity::Caller;
use crate::doors::pass::Pass;
use crate::doors::session::PendingAsk;
use crate::doors::wire::{FromAgent, FromProvider};
use crate::model::{Code, Refusal};

/// The largest message a provider may send.
const MESSAGE_MAX: usize = 64 * 1024;
/// How many messages that make no sense end a session.
const NONSENSE_MAX: u32 = 16;
/// How many records one batch of events covers.
const EVENT_BATCH: usize = 64;
/// How long a provider may take to read what it is sent.
const SEND_TIME: Duration = Duration::from_secs(10);
/// How long it may take to close its side.
const CLOSE_TIME: Duration = Duration::from_secs(1);

/// Opens the caller's session; a newer one takes over from an older one.
#[utoipa::path(get, path = "/v1/session", responses((status = 101, description = "the WebSocket is open")))]
pub(crate) async fn open(
    State(api): State<Api>,
    caller: Caller,
    Extension(seat): Extension<Seat>,
    Extension(pass): Extension<Pass>,
    upgrade: Result<WebSocketUpgrade, WebSocketUpgradeRejection>,
) -> Result<Response, ApiProblem> {
    if caller.provider.is_operator() {
        let message = "the operator is asked through its hook, not through a session";
        return Err(Refusal::new(Code::Forbidden, message).into());
    }
    let upgrade = upgrade.map_err(|_| Refusal::new(Code::Malformed, "a WebSocket upgrade is expected here"))?;
    let upgrade = upgrade.max_message_size(MESSAGE_MAX).max_frame_size(MESSAGE_MAX);
    Ok(upgrade.on_upgrade(async move |socket| {
        run(api, caller, pass, socket).await;
        drop(seat);
    }))
}

async fn run(api: Api, caller: Caller, pass: Pass, socket: WebSocket) {
    let (provider, peer) = (caller.provider.clone(), &caller.peer);
    let mut opened = api.sessions.open(&provider);
    lose(&api, &caller, opened.orphaned.split_off(0)).await;
    tracing::info!(%provider, %peer, session = opened.number, "a session opened");
    let lapsed = pass.lapsed_for(&provider);
    tokio::pin!(lapsed);
    let (mut to, mut from) = socket.split();
    let welcome = FromAgent::Welcome { provider: provider.clone(), cursor: api.lanes.journal().last() };
    let mut exchanges = Exchanges::default();
    let mut nonsense = 0;
    let mut cursor: Option<u64> = None;
    let mut why = "the provider closed it".to_owned();
    if deliver(&mut to, [text(&welcome)]).await.is_ok() {
        loop {
            let replies = tokio::select! {
                biased;
                lapse = lapsed.as_mut() => {
                    why = lapse.to_string();
                    let _ = deliver(&mut to, [close(lapse.code())]).await;
                    break;
                }
                message = from.next() => match message {
                    Some(Ok(Message::Text(message))) => match serde_json::from_str::<FromProvider>(&message) {
                        Ok(FromProvider::Subscribe { after }) => {
                            cursor = Some(after);
                            Vec::new()
                        }
                        Ok(message) => vec![answer(&api, &caller, &mut exchanges, message).await],
                        Err(error) => {
                            nonsense += 1;
                            vec![error_of(Refusal::new(Code::Malformed, format!("the message does not fit: {error}")), None)]
                        }
                    },
                    Some(Ok(Message::Ping(_) | Message::Pong(_))) => Vec::new(),
                    Some(Ok(Message::Binary(_))) => {
                        nonsense += 1;
                        vec![error_of(Refusal::new(Code::Malformed, "messages are text"), None)]
                    }
                    Some(Err(_)) => {
                        why = "it broke off or sent what no session may".to_owned();
                        let _ = deliver(&mut to, [close(Code::SessionMisused)]).await;
                        break;
                    }
                    Some(Ok(Message::Close(_))) | None => break,
                },
                message = opened.inbox.recv() => match message {
                    Some(message) => vec![message],
                    None => {
                        why = "a newer session took over, or the agent stops".to_owned();
                        let _ = deliver(&mut to, [close(api.sessions.why_closed())]).await;
                        break;
                    }
                },
                page = news(&api, &caller, cursor) => {
                    cursor = Some(page.0);
                    page.1
                }
            };
            if nonsense >= NONSENSE_MAX {
                why = "it sent too much that makes no sense".to_owned();
                let _ = deliver(&mut to, [close(Code::SessionMisused)]).await;
                break;
            }
            if deliver(&mut to, replies.iter().map(text)).await.is_err() {
                why = "the provider does not read".to_owned();
                break;
            }
        }
    }
    if let Some(unanswered) = api.sessions.close(&provider, opened.number) {
        lose(&api, &caller, unanswered).await;
        api.lanes.session_lost(&provider);
    }
    tracing::info!(%provider, %peer, session = opened.number, why, "a session ended");
    // The other half of closing, if the provider began it.
    let _ = tokio::time::timeout(CLOSE_TIME, to.close()).await;
}

/// Sends messages; a provider that does not read them in time has lost its session.
async fn deliver(
    to: &mut SplitSink<WebSocket, Message>,
    messages: impl IntoIterator<Item = Message>,
) -> Result<(), axum::Error> {
    let sending = async {
        for message in messages {
            to.feed(message).await?;
        }
        to.flush().await
    };
    tokio::time::timeout(SEND_TIME, sending).await.map_err(axum::Error::new)?
}

/// What happened after the cursor; never returns while nothing is subscribed to.
async fn news(api: &Api, caller: &Caller, cursor: Option<u64>) -> (u64, Vec<FromAgent>) {
    let Some(mut cursor) = cursor else { return std::future::pending().await };
    loop {
        let Ok(page) = events::next(api, caller, cursor, EVENT_BATCH, None).await else {
            return std::future::pending().await; // The journal is closed, and so is the session soon.
        };
        if !page.events.is_empty() {
            return (page.cursor, page.events.into_iter().map(FromAgent::Event).collect());
        }
        cursor = page.cursor;
        events::changed(api, cursor).await;
    }
}

async fn answer(api: &Api, caller: &Caller, exchanges: &mut Exchanges, message: FromProvider) -> FromAgent {
    match message {
        FromProvider::Clock { t0 } => {
            let now = api.lanes.now();
            exchanges.begun(t0, now);
            FromAgent::Clock { t0, t1: now.wall, t2: now.wall }
        }
        FromProvider::ClockSample { t0, t1, t2, t3 } => {
            let now = api.lanes.now();
            let sample = match exchanges.ended([t0, t1, t2, t3], now) {
                Ok(sample) => sample,
                Err(refusal) => return error_of(refusal, None),
            };
            let known = api.sessions.note_clock(&caller.provider, sample, now);
            let limit = api.lanes.policy().clock_limit;
            let warning = known.is_beyond(limit).then(|| {
                format!("this clock is further off than {} ms: its issue times decide nothing", limit.as_millis())
            });
            FromAgent::ClockEstimate { offset_us: known.offset_us, uncertainty_us: known.uncertainty_us, warning }
        }
        FromProvider::Answer { ask, epoch, answer } => {
            let Some(pending) = api.sessions.asked(&caller.provider, ask) else {
                let refusal = Refusal::new(Code::UnknownAsk, format!("this session was not asked about {ask}"));
                return error_of(refusal, Some(ask));
            };
            match api.lanes.answer(pending.vm, ask, epoch, caller.provider.clone(), answer).await {
                Ok(()) => FromAgent::Answered { ask },
                Err(refusal) => error_of(refusal, Some(ask)),
            }
        }
        FromProvider::Subscribe { .. } => {
            error_of(Refusal::new(Code::Internal, "subscriptions are taken elsewhere"), None)
        }
    }
}

async fn lose(api: &Api, caller: &Caller, asks: Vec<PendingAsk>) {
    for ask in asks {
        api.lanes.answer_lost(ask.vm, ask.conflict, ask.epoch, caller.provider.clone()).await;
    }
}

fn error_of(refusal: Refusal, ask: Option<crate::model::ConflictId>) -> FromAgent {
    FromAgent::Error { code: refusal.code, message: refusal.message, ask }
}

fn text(message: &FromAgent) -> Message {
    Message::text(serde_json::to_string(message).unwrap_or_default())
}

/// 4000 and up are an application's own close codes.
fn close(code: Code) -> Message {
    Message::Close(Some(CloseFrame { code: 4000, reason: Utf8Bytes::from(code.as_str()) }))
}
