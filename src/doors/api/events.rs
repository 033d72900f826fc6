//! Events from a cursor: the journal itself, seen by whoever has a part in the VM.

use std::collections::BTreeMap;
use std::time::Duration;

use axum::Json;
use axum::extract::State;
use serde::Deserialize;

use super::Api;
use super::extract::Asked;
use super::problem::ApiProblem;
use super::vms::require_part;
use crate::doors::identity::Caller;
use crate::doors::view;
use crate::doors::wire::{Event, EventPage};
use crate::model::{Code, Refusal, VmId};

/// How many journal records one page covers at most.
const PAGE_MAX: usize = 256;
/// How long a page waits for something to happen, at most.
const WAIT_MAX: Duration = Duration::from_secs(60);

/// Which events.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct EventQuery {
    #[serde(default)]
    after: u64,
    limit: Option<usize>,
    wait: Option<u64>,
    vm: Option<VmId>,
}

/// Events after a cursor; with `wait` the answer waits for the next one.
#[utoipa::path(
    get, path = "/v1/events",
    params(("after" = Option<u64>, Query), ("limit" = Option<u64>, Query), ("wait" = Option<u64>, Query), ("vm" = Option<String>, Query)),
    responses((status = 200, body = EventPage))
)]
pub(crate) async fn page(
    State(api): State<Api>,
    caller: Caller,
    Asked(query): Asked<EventQuery>,
) -> Result<Json<EventPage>, ApiProblem> {
    let limit = query.limit.unwrap_or(PAGE_MAX).clamp(1, PAGE_MAX);
    let wait = Duration::from_secs(query.wait.unwrap_or(0)).min(WAIT_MAX);
    let reading = async {
        let mut cursor = query.after;
        loop {
            let page = next(&api, &caller, cursor, limit, query.vm).await?;
            if !page.events.is_empty() || wait.is_zero() {
                return Ok(page);
            }
            cursor = page.cursor;
            changed(&api, cursor).await;
        }
    };
    if wait.is_zero() {
        return reading.await.map(Json);
    }
    let empty = EventPage { events: Vec::new(), cursor: query.after };
    tokio::time::timeout(wait, reading).await.unwrap_or(Ok(empty)).map(Json)
}

/// Returns once the journal holds more than `cursor`.
pub(crate) async fn changed(api: &Api, cursor: u64) {
    let mut last = api.lanes.journal().watch();
    // An error means that the journal was closed: the next read says so.
    let _ = last.wait_for(|last| *last > cursor).await;
}

/// The events of the next records that the caller may see; the cursor covers those it may not.
pub(crate) async fn next(
    api: &Api,
    caller: &Caller,
    after: u64,
    limit: usize,
    of: Option<VmId>,
) -> Result<EventPage, ApiProblem> {
    let records = api.lanes.journal().page(after, limit, of).await.map_err(|error| {
        tracing::error!(%error, "events cannot be read");
        Refusal::new(Code::Internal, "the journal cannot be read")
    })?;
    let mut visible: BTreeMap<VmId, bool> = BTreeMap::new();
    let mut page = EventPage { events: Vec::new(), cursor: after };
    for (position, entry) in records {
        page.cursor = position;
        let sees = match visible.get(&entry.vm) {
            Some(sees) => *sees,
            None => {
                let sees = caller.provider.is_operator() || require_part(api, caller, entry.vm).await.is_ok();
                visible.insert(entry.vm, sees);
                sees
            }
        };
        if sees {
            page.events.extend::<Vec<Event>>(view::events(position, &entry, &caller.provider));
        }
    }
    Ok(page)
}
