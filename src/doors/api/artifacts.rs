//! Artifacts of a VM for other providers, rendered anew: as a tar stream, or as JSON.
//!
//! Who may see a VM's inventory may see what it would be elsewhere; the bindings are the operator's.

use axum::Json;
use axum::extract::State;
use axum::http::{HeaderMap, HeaderValue, header};
use axum::response::{IntoResponse, Response};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use sha2::{Digest, Sha256};

use super::Api;
use super::extract::{At, is_known, unless_known};
use super::problem::ApiProblem;
use super::vms::look;
use crate::artifacts::{BindingText, Bundle, BundleFile, Format, Source, Subject, archive};
use crate::discovery::{Generation, Inventory, hex};
use crate::doors::identity::Caller;
use crate::doors::wire::{ArtifactFile, Artifacts, FormatList, FormatSummary};
use crate::model::{Code, Refusal, VmId};

/// The formats, and which of them this VM has a binding for.
#[utoipa::path(
    get, path = "/v1/vms/{vm}/artifacts", params(("vm" = String, Path)), responses((status = 200, body = FormatList))
)]
pub(crate) async fn list(
    State(api): State<Api>,
    caller: Caller,
    At(vm): At<VmId>,
) -> Result<Json<FormatList>, ApiProblem> {
    let generation = look(&api, &caller, vm).await?.generation();
    let summary = move |format: &Format| FormatSummary {
        name: format.name().to_owned(),
        title: format.title().to_owned(),
        bound: api.bindings.has(vm, *format),
    };
    let formats = apart(move || Format::ALL.iter().map(summary).collect()).await?;
    Ok(Json(FormatList { generation: generation.to_string(), formats }))
}

/// A VM in a format, with the binding that the agent has for it.
#[utoipa::path(
    get, path = "/v1/vms/{vm}/artifacts/{format}",
    params(("vm" = String, Path), ("format" = String, Path), ("Accept" = Option<String>, Header),
           ("If-None-Match" = Option<String>, Header)),
    responses((status = 200, content((Artifacts = "application/json"), (Vec<u8> = "application/x-tar"))),
              (status = 304, description = "the VM's generation and the binding are the same"))
)]
pub(crate) async fn show(
    State(api): State<Api>,
    caller: Caller,
    At((vm, format)): At<(VmId, String)>,
    headers: HeaderMap,
) -> Result<Response, ApiProblem> {
    // Who may not see the VM does not learn from the order of refusals that it is there.
    let inventory = look(&api, &caller, vm).await?;
    let format = Format::from_name(&format)?;
    let shape = Shape::wanted(&headers)?;
    let bindings = api.bindings.clone();
    let binding = apart(move || bindings.of(vm, format)).await??;
    let tag = tag_of(&inventory.generation(), &binding, format, shape);
    let mut response = if is_known(&headers, &tag) {
        unless_known(&headers, &tag, || ().into_response())
    } else {
        let source = Source::Libvirt { uri: api.lanes.hypervisor().uri().to_owned() };
        let answer = apart(move || render(&inventory, &source, format, &binding, shape)).await??;
        unless_known(&headers, &tag, || answer)
    };
    response.headers_mut().insert(header::VARY, HeaderValue::from_static("accept"));
    Ok(response)
}

/// Runs what blocks or computes on a thread of its own, where no other request waits for it.
async fn apart<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> Result<T, Refusal> {
    let lost = |error| {
        tracing::error!(%error, "work on artifacts did not end");
        Refusal::new(Code::Internal, "the artifacts could not be made")
    };
    tokio::task::spawn_blocking(work).await.map_err(lost)
}

/// How the artifacts travel.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Shape {
    Json,
    Tar,
}

impl Shape {
    /// What `Accept` likes best of the two (RFC 9110 section 12.5.1); JSON when it says nothing or likes both the same.
    fn wanted(headers: &HeaderMap) -> Result<Self, Refusal> {
        let accept: Vec<&str> =
            headers.get_all(header::ACCEPT).iter().filter_map(|value| value.to_str().ok()).collect();
        let accept = accept.join(",");
        if accept.trim().is_empty() {
            return Ok(Self::Json);
        }
        let (json, tar) = (quality(&accept, "application/json"), quality(&accept, "application/x-tar"));
        match (json, tar) {
            (0, 0) => Err(Refusal::new(Code::NotAcceptable, "artifacts are application/json or application/x-tar")),
            (json, tar) if json >= tar => Ok(Self::Json),
            _ => Ok(Self::Tar),
        }
    }
}

/// The weight that `Accept` gives to a type, in thousandths: that of the most specific range that covers it.
fn quality(accept: &str, wanted: &str) -> u32 {
    let mut best = (0, 0);
    for range in accept.split(',') {
        let mut parts = range.split(';').map(str::trim);
        let specific = match parts.next().unwrap_or_default().to_ascii_lowercase().as_str() {
            "*/*" => 1,
            "application/*" => 2,
            exact if exact == wanted => 3,
            _ => continue,
        };
        let weight = parts.find_map(|part| part.strip_prefix("q=")).map_or(1000, thousandths);
        if specific > best.0 {
            best = (specific, weight);
        }
    }
    best.1
}

/// `0.5` as 500; what is no weight counts as none.
fn thousandths(text: &str) -> u32 {
    let (whole, rest) = text.split_once('.').unwrap_or((text, ""));
    let digits: String = rest.chars().chain("000".chars()).take(3).collect();
    match (whole.parse::<u32>(), digits.parse::<u32>()) {
        (Ok(whole), Ok(rest)) => whole.saturating_mul(1000).saturating_add(rest).min(1000),
        _ => 0,
    }
}

/// The entity tag: what the artifacts are made from, how they travel, and by which covirt.
fn tag_of(generation: &Generation, binding: &BindingText, format: Format, shape: Shape) -> String {
    let mut digest = Sha256::new();
    for part in [
        generation.as_str(),
        &binding.digest(),
        format.name(),
        match shape {
            Shape::Json => "json",
            Shape::Tar => "tar",
        },
        env!("CARGO_PKG_VERSION"),
    ] {
        digest.update(part);
        digest.update([0]);
    }
    // Weak: addresses that a lease or an agent tells may be in the files, and move without the generation.
    format!("W/\"{}\"", hex(&digest.finalize()))
}

fn render(
    inventory: &Inventory,
    source: &Source,
    format: Format,
    binding: &BindingText,
    shape: Shape,
) -> Result<Response, ApiProblem> {
    let bundle = format.render(&Subject::new(inventory, source), binding)?;
    match shape {
        Shape::Json => {
            let Bundle { files, manifest, mapping } = bundle;
            let files = files.into_iter().map(view).collect();
            Ok(Json(Artifacts { manifest, mapping, files }).into_response())
        }
        Shape::Tar => {
            let bytes = archive(&[("", &bundle)])?;
            Ok(([(header::CONTENT_TYPE, "application/x-tar")], bytes).into_response())
        }
    }
}

fn view(file: BundleFile) -> ArtifactFile {
    let BundleFile { path, mode, bytes } = file;
    let mode = format!("{:04o}", mode.0);
    match String::from_utf8(bytes) {
        Ok(text) => ArtifactFile { path, mode, text: Some(text), base64: None },
        Err(fault) => ArtifactFile { path, mode, text: None, base64: Some(STANDARD.encode(fault.as_bytes())) },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn wanted(accept: &'static str) -> Option<Shape> {
        let mut headers = HeaderMap::new();
        headers.insert(header::ACCEPT, HeaderValue::from_static(accept));
        Shape::wanted(&headers).ok()
    }

    #[test]
    fn the_caller_chooses_the_shape() {
        assert_eq!(Shape::wanted(&HeaderMap::new()).ok(), Some(Shape::Json));
        for (accept, shape) in [
            ("*/*", Some(Shape::Json)),
            ("application/x-tar", Some(Shape::Tar)),
            ("application/json, application/problem+json", Some(Shape::Json)),
            ("application/json;q=0.5, application/x-tar", Some(Shape::Tar)),
            ("application/x-tar;q=0.4, */*;q=0.3", Some(Shape::Tar)),
            ("application/x-tar, application/*;q=0.2", Some(Shape::Tar)),
            ("application/json;q=0, */*", Some(Shape::Tar)),
            ("text/html", None),
            ("application/x-tar;q=0", None),
        ] {
            assert_eq!(wanted(accept), shape, "{accept}");
        }
    }
}
