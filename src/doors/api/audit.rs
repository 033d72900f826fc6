//! The journal for whoever audits it. Only the operator sees who was at the other end.

use axum::Json;
use axum::extract::State;
use serde::Deserialize;

use super::Api;
use super::extract::Asked;
use super::host::require_operator;
use super::problem::ApiProblem;
use crate::doors::identity::Caller;
use crate::doors::view;
use crate::doors::wire::{AuditReport, DeedList, ExportedRecord, RecordList};
use crate::journal::{ReplayError, VerifyError};
use crate::model::{Code, Refusal, VmId, Wall};

/// How many records one page covers at most.
const PAGE_MAX: usize = 256;

/// Which records.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct AuditQuery {
    #[serde(default)]
    after: u64,
    vm: Option<VmId>,
    since: Option<Wall>,
}

fn unreadable(error: &ReplayError) -> Refusal {
    tracing::error!(%error, "the journal cannot be read");
    Refusal::new(Code::Internal, "the journal cannot be read; `covirt audit verify` names the record")
}

/// Checks every record of the journal.
#[utoipa::path(get, path = "/v1/audit/verify", responses((status = 200, body = AuditReport)))]
pub(crate) async fn verify(State(api): State<Api>, caller: Caller) -> Result<Json<AuditReport>, ApiProblem> {
    require_operator(&caller, "verifies the journal")?;
    Ok(Json(match api.lanes.journal().verify().await {
        Ok(verified) => AuditReport {
            verdict: "intact".to_owned(),
            records: verified.records,
            head: Some(verified.head.to_string()),
            damage: None,
        },
        Err(VerifyError::Damaged(damage)) => AuditReport {
            verdict: "damaged".to_owned(),
            records: damage.position,
            head: None,
            damage: Some(damage.to_string()),
        },
        Err(VerifyError::Closed) => return Err(Refusal::new(Code::Closing, "the agent is shutting down").into()),
    }))
}

/// Records with the chain that proves them, from a cursor: one page.
#[utoipa::path(
    get, path = "/v1/audit/records",
    params(("after" = Option<u64>, Query), ("vm" = Option<String>, Query), ("since" = Option<String>, Query)),
    responses((status = 200, body = RecordList))
)]
pub(crate) async fn records(
    State(api): State<Api>,
    caller: Caller,
    Asked(query): Asked<AuditQuery>,
) -> Result<Json<RecordList>, ApiProblem> {
    require_operator(&caller, "exports the journal")?;
    // One more, whose digest the first of the page goes on from.
    let before = query.after.saturating_sub(1);
    let stored = api.lanes.journal().stored(before, PAGE_MAX).await.map_err(|error| unreadable(&error))?;
    let mut list = RecordList { records: Vec::new(), cursor: query.after };
    let mut previous = "0".repeat(64);
    for one in stored {
        let (record, digest) = (&one.record, one.digest.to_string());
        let from = std::mem::replace(&mut previous, digest.clone());
        if one.position <= query.after {
            continue;
        }
        list.cursor = one.position;
        let wanted = query.vm.is_none_or(|vm| vm == record.vm());
        if wanted && query.since.is_none_or(|since| record.at().wall >= since) {
            list.records.push(ExportedRecord {
                position: one.position,
                previous: from,
                digest,
                vm: record.vm(),
                at: record.at().wall,
                wall_us: record.at().wall.micros(),
                mono_us: record.at().mono.0,
                encoding: record.encoding().number(),
                facts: record.facts().to_owned(),
            });
        }
    }
    Ok(Json(list))
}

/// Who did what to a VM, from a cursor: one page.
#[utoipa::path(
    get, path = "/v1/audit/deeds",
    params(("after" = Option<u64>, Query), ("vm" = String, Query), ("since" = Option<String>, Query)),
    responses((status = 200, body = DeedList))
)]
pub(crate) async fn deeds(
    State(api): State<Api>,
    caller: Caller,
    Asked(query): Asked<AuditQuery>,
) -> Result<Json<DeedList>, ApiProblem> {
    require_operator(&caller, "sees who did what")?;
    let vm = query.vm.ok_or_else(|| Refusal::new(Code::Malformed, "vm names the VM"))?;
    let journal = api.lanes.journal();
    let page = journal.page(query.after, PAGE_MAX, Some(vm)).await.map_err(|error| unreadable(&error))?;
    let mut list = DeedList { deeds: Vec::new(), cursor: query.after };
    if page.is_empty() {
        return Ok(Json(list));
    }
    let state = api.lanes.history(vm).await.map_err(|error| unreadable(&error))?;
    for (position, entry) in page {
        list.cursor = position;
        if query.since.is_none_or(|since| entry.at.wall >= since) {
            list.deeds.extend(entry.facts.iter().filter_map(|fact| view::deed(&state, position, entry.at, fact)));
        }
    }
    Ok(Json(list))
}
