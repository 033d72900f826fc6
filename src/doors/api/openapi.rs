//! `/openapi.json`: derived from the handlers' own types.

use axum::Json;
use utoipa::OpenApi;

use crate::doors::wire;

#[derive(OpenApi)]
#[openapi(
    info(title = "covirt", description = "Co-management of running virtual machines by two or more providers."),
    paths(
        super::health,
        super::observe::livez,
        super::observe::readyz,
        super::observe::metrics,
        super::whoami,
        super::audit::verify,
        super::audit::records,
        super::audit::deeds,
        super::vms::list,
        super::vms::show,
        super::vms::enroll,
        super::vms::release,
        super::vms::inventory,
        super::vms::inventories,
        super::artifacts::list,
        super::artifacts::show,
        super::vms::delegations,
        super::vms::delegate,
        super::vms::revoke,
        super::commands::submit,
        super::commands::list,
        super::commands::show,
        super::commands::cancel,
        super::commands::conflicts,
        super::commands::decide,
        super::commands::find,
        super::commands::explain,
        super::holds::list,
        super::holds::list_all,
        super::holds::release,
        super::channels::list,
        super::channels::close,
        super::access::console,
        super::access::vnc,
        super::access::nbd,
        super::looks::screenshot,
        super::looks::guest,
        super::looks::stats,
        super::looks::all_stats,
        super::content::show,
        super::reachable::show,
        super::host::freeze,
        super::host::thaw,
        super::host::list,
        super::host::break_glass,
        super::host::mend_glass,
        super::providers::add,
        super::providers::list,
        super::providers::remove,
        super::providers::remove_key,
        super::providers::replace_key,
        super::events::page,
        super::socket::open
    ),
    components(schemas(wire::Problem))
)]
struct Document;

/// The document.
#[must_use]
pub fn document() -> utoipa::openapi::OpenApi {
    Document::openapi()
}

pub(super) async fn serve() -> Json<utoipa::openapi::OpenApi> {
    Json(document())
}
