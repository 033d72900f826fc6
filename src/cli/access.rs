//! `covirt access bundle`: what a second provider needs to begin with a VM, in one archive, and nothing secret.
//!
//! Assumes the agent's own words: who may do what, how the provider reaches it, and the artifacts of its kind or of the
//! formats that are named. While these are the same, equal words give equal bytes: no time of its making is in it.

use std::collections::BTreeMap;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::time::Duration;

use base64::Engine;
use serde::Serialize;
use serde_json::json;
use tar::{Builder, EntryType, Header};

use super::client::{CallAgentError, Client};
use super::exit::Exit;
use super::fault::CarryOutError;
use super::table::plain;
use crate::artifacts::Format;
use crate::doors::enrollment::Kind;
use crate::doors::wire::{Artifacts, DelegatedAction, Delegations, Reachable, VmDetail};
use crate::model::{Action, Code, ProviderId, VmId, Wall};

/// The shape of an access bundle; raised when a reader of the old shape would go wrong.
const ACCESS_FORMAT: u32 = 1;

/// What a provider needs to begin
#[derive(Debug, clap::Subcommand)]
pub enum AccessCommand {
    /// Write one archive: endpoints, actions with epoch and expiry, artifacts, first steps; nothing secret
    Bundle(BundleArgs),
}

/// `access bundle`.
#[derive(Debug, Clone, clap::Args)]
pub struct BundleArgs {
    /// Name or UUID
    vm: String,
    /// The provider it is for
    #[arg(long = "for", value_name = "PROVIDER")]
    receiver: ProviderId,
    /// The archive to make (tar); - is standard output
    #[arg(short = 'o', long = "out", value_name = "FILE")]
    file: PathBuf,
    /// Where that provider reaches the API, such as https://host:16515; several may be named. Unless said, where the
    /// agent has providers join
    #[arg(long, value_name = "URL")]
    api: Vec<String>,
    /// Where it reaches its libvirt-compatible door, such as qemu://host:16514/system. Unless said, at the same host
    #[arg(long, value_name = "URI")]
    libvirt: Vec<String>,
    /// The fingerprint of another certificate that the server may show, as sha256:HEX, beside the one it shows now
    #[arg(long, value_name = "FINGERPRINT", value_parser = parse_fingerprint)]
    fingerprint: Vec<String>,
    /// The formats of artifacts that the provider takes, with commas between them; see `covirt artifacts list`. Unless
    /// said, that of its kind
    #[arg(long = "format", value_name = "FORMAT", value_delimiter = ',')]
    formats: Vec<String>,
}

fn parse_fingerprint(text: &str) -> Result<String, String> {
    match text.strip_prefix("sha256:") {
        Some(digits) if digits.len() == 64 && digits.bytes().all(|byte| byte.is_ascii_hexdigit()) => {
            Ok(text.to_ascii_lowercase())
        }
        Some(_) | None => Err("sha256: and 64 hexadecimal digits are expected".to_owned()),
    }
}

/// What the bundle says of the access, for programs.
#[derive(Debug, Serialize)]
struct Access<'a> {
    access_format: u32,
    vm: VmId,
    name: &'a str,
    provider: &'a ProviderId,
    #[serde(skip_serializing_if = "Option::is_none")]
    kind: Option<&'a Kind>,
    primary: &'a ProviderId,
    epoch: u64,
    /// When the last of its actions runs out; none when one of them does not by itself.
    expires_at: Option<Wall>,
    actions: Vec<&'a DelegatedAction>,
    endpoints: Endpoints<'a>,
    artifacts: Vec<&'a String>,
    /// The formats that cannot be made yet, and what they need.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    artifacts_missing: &'a BTreeMap<String, String>,
}

/// The artifacts of a bundle.
#[derive(Debug, Default)]
struct Rendered {
    made: BTreeMap<String, Artifacts>,
    missing: BTreeMap<String, String>,
}

#[derive(Debug, Serialize)]
struct Endpoints<'a> {
    api: &'a [String],
    libvirt: &'a [String],
    /// Where a provider with a token gets its certificate.
    #[serde(skip_serializing_if = "Option::is_none")]
    join: Option<&'a String>,
    fingerprints: Fingerprints<'a>,
    paths: BTreeMap<&'static str, String>,
}

/// The certificates by which the provider knows the agent: the one that it shows, and its own authority's.
#[derive(Debug, Serialize)]
struct Fingerprints<'a> {
    server: &'a [String],
    authority: Option<&'a String>,
}

impl BundleArgs {
    /// With what was not said as the agent says it.
    fn completed(&self, told: &Reachable) -> Result<Self, CarryOutError> {
        let mut args = self.clone();
        if let (Some(host), true) = (&told.host, args.api.is_empty()) {
            args.api.extend(told.api_port.map(|port| format!("https://{host}:{port}")));
        }
        if let (Some(host), true) = (&told.host, args.libvirt.is_empty()) {
            args.libvirt.extend(told.libvirt_port.map(|port| format!("qemu://{host}:{port}/system")));
        }
        if args.api.is_empty() {
            let message = "this agent does not know under which name it is reached: say --api https://HOST:PORT";
            return Err(CarryOutError::Usage(message.to_owned()));
        }
        if let Some(server) = told.server.as_ref().filter(|server| !args.fingerprint.contains(server)) {
            args.fingerprint.insert(0, server.clone());
        }
        if args.formats.is_empty() {
            let format =
                told.kind.as_ref().filter(|kind| Format::ALL.iter().any(|format| format.name() == kind.as_str()));
            args.formats.extend(format.map(|kind| kind.as_str().to_owned()));
        }
        Ok(args)
    }
}

/// Writes the archive.
///
/// *Errors*: those of the calls and of writing; [`CarryOutError::Usage`] for a provider that has no part in the VM, or when
/// nobody says where the agent is.
pub async fn access(client: &Client, command: &AccessCommand) -> Result<Exit, CarryOutError> {
    let AccessCommand::Bundle(said) = command;
    let vm = client.find_vm(&said.vm).await?;
    let (detail, delegations) = (client.vm(vm).await?, client.delegations(vm).await?);
    has_part(&said.receiver, &delegations)?;
    let told = client.reachable(vm, &said.receiver).await?;
    let args = &said.completed(&told)?;
    let mut artifacts = Rendered::default();
    for format in &args.formats {
        let name: String = format.chars().filter(|c| c.is_ascii_alphanumeric() || *c == '-').collect();
        let asked: Result<Artifacts, _> = client.get(&format!("/v1/vms/{vm}/artifacts/{name}"), Duration::ZERO).await;
        match asked {
            Ok(made) => _ = artifacts.made.insert(name, made),
            // Nobody asked for it: what it needs is told in the bundle.
            Err(CallAgentError::Refused(problem))
                if said.formats.is_empty() && problem.code == Code::BindingMalformed =>
            {
                eprintln!("covirt: the bundle has no artifacts of {name}: {}", plain(&problem.detail));
                artifacts.missing.insert(name, problem.detail);
            }
            Err(error) => return Err(error.into()),
        }
    }
    let files = files(args, &told, &detail, &delegations, &artifacts)?;
    let bytes = packed(&files)?;
    if args.file == Path::new("-") {
        let mut out = std::io::stdout().lock();
        out.write_all(&bytes)?;
        out.flush()?;
    } else {
        let failed = |source| CarryOutError::Write { path: args.file.clone(), source };
        super::outfile::write(&args.file, &bytes).map_err(failed)?;
    }
    Ok(Exit::Done)
}

fn files(
    args: &BundleArgs,
    told: &Reachable,
    detail: &VmDetail,
    delegations: &Delegations,
    artifacts: &Rendered,
) -> Result<BTreeMap<String, Vec<u8>>, CarryOutError> {
    let actions: Vec<&DelegatedAction> =
        delegations.delegations.iter().filter(|held| held.provider == args.receiver).collect();
    has_part(&args.receiver, delegations)?;
    let access = Access {
        access_format: ACCESS_FORMAT,
        vm: detail.vm,
        name: &detail.name,
        provider: &args.receiver,
        kind: told.kind.as_ref(),
        primary: &delegations.primary,
        epoch: delegations.epoch,
        expires_at: (actions.iter().map(|held| held.expires_at).collect::<Option<Vec<_>>>())
            .and_then(|ends| ends.into_iter().max()),
        actions,
        endpoints: Endpoints {
            api: &args.api,
            libvirt: &args.libvirt,
            join: told.join.as_ref(),
            fingerprints: Fingerprints { server: &args.fingerprint, authority: told.authority.as_ref() },
            paths: paths(detail.vm),
        },
        artifacts: artifacts.made.keys().collect(),
        artifacts_missing: &artifacts.missing,
    };
    let garbled = |error: serde_json::Error| CarryOutError::Usage(format!("the bundle cannot be written: {error}"));
    let mut files = BTreeMap::new();
    let mut text = serde_json::to_string_pretty(&access).map_err(garbled)?;
    text.push('\n');
    files.insert("access.json".to_owned(), text.into_bytes());
    files.insert("README.md".to_owned(), readme(&access).into_bytes());
    for (format, made) in &artifacts.made {
        for file in &made.files {
            let bytes = match (&file.text, &file.base64) {
                (Some(text), _) => text.clone().into_bytes(),
                (None, Some(encoded)) => base64::engine::general_purpose::STANDARD
                    .decode(encoded)
                    .map_err(|error| CarryOutError::Usage(format!("{}: {error}", file.path)))?,
                (None, None) => Vec::new(),
            };
            files.insert(format!("artifacts/{format}/{}", file.path), bytes);
        }
    }
    Ok(files)
}

fn has_part(receiver: &ProviderId, delegations: &Delegations) -> Result<(), CarryOutError> {
    let holds = delegations.delegations.iter().any(|held| held.provider == *receiver);
    if holds || delegations.primary == *receiver {
        return Ok(());
    }
    Err(CarryOutError::Usage(format!("{receiver} has no part in this VM: delegate something to it first")))
}

/// The paths below an API's URL.
fn paths(vm: VmId) -> BTreeMap<&'static str, String> {
    let of = |rest: &str| format!("/v1/vms/{vm}{rest}");
    BTreeMap::from([
        ("commands", of("/commands")),
        ("console", of("/console")),
        ("delegations", of("/delegations")),
        ("disk", of("/disks/{target}/content")),
        ("guest", of("/guest")),
        ("holds", of("/holds")),
        ("nbd", of("/holds/backup/nbd")),
        ("screenshot", of("/screenshot")),
        ("session", "/v1/session".to_owned()),
        ("stats", of("/stats")),
        ("vm", of("")),
        ("vnc", of("/vnc")),
    ])
}

fn readme(access: &Access<'_>) -> String {
    let Access { vm, name, provider, primary, epoch, actions, endpoints, artifacts, artifacts_missing, .. } = access;
    let mut text = format!(
        "# Access of {provider} to {name}\n\n\
         VM {vm}, whose primary is {primary}. What is here is no secret: you prove who you are by your own key or user.\n\n\
         ## Where\n\n"
    );
    let mut line = |words: &str| {
        text.push_str(words);
        text.push('\n');
    };
    for url in endpoints.api {
        line(&format!("- API: {url}"));
    }
    for uri in endpoints.libvirt {
        line(&format!("- libvirt: `virsh -c '{uri}' list --all`"));
    }
    for fingerprint in endpoints.fingerprints.server {
        line(&format!("- the server's certificate: {fingerprint}"));
    }
    if let Some(fingerprint) = endpoints.fingerprints.authority {
        line(&format!("- its authority's certificate: {fingerprint}"));
    }
    line(&format!("\n## What you may do (epoch {epoch})\n"));
    for held in actions {
        let mode = json!(held.mode);
        let until = held.expires_at.map_or_else(|| "until it is revoked".to_owned(), |at| format!("until {at}"));
        line(&format!("- `{}`, {}, {until}", held.action, mode.as_str().unwrap_or_default()));
    }
    if actions.is_empty() {
        line("- everything that nobody else holds alone");
    }
    if let Some(end) = access.expires_at {
        line(&format!("\nAll of it has ended at {end}."));
    }
    line("\n## First steps\n");
    if let Some(to) = endpoints.join {
        line("Unless you have a certificate already: the operator gives you a token by another way, and you say\n");
        line(&format!("    covirt provider join TOKEN --to {to} --dir ./identity\n"));
        line("Then:\n");
    }
    if let Some(url) = endpoints.api.first() {
        line(&format!("    export COVIRT_URL={url} COVIRT_IDENTITY=./identity"));
    }
    let holds = |action: Action| actions.is_empty() || actions.iter().any(|held| held.action == action);
    for (needed, words) in [
        (None, format!("covirt vm show {vm}")),
        (None, format!("covirt stats {vm}")),
        (Some(Action::GuestInfo), format!("covirt guest {vm}")),
        (Some(Action::ConsoleOpen), format!("covirt console {vm}")),
        (Some(Action::ScreenCapture), format!("covirt screenshot {vm} -o screen.png")),
        (Some(Action::BackupBegin), format!("covirt nbd {vm} --disk vda --listen ./backup.sock")),
        (Some(Action::DiskRead), format!("covirt disk download {vm} vda -o vda.img")),
        (None, format!("covirt delegations {vm}")),
    ] {
        if needed.is_none_or(holds) {
            line(&format!("    {words}"));
        }
    }
    for format in artifacts {
        line(&format!(
            "\nThe VM in the format {format} is in artifacts/{format}/; mapping.json there says what fits exactly."
        ));
    }
    for (format, why) in *artifacts_missing {
        line(&format!(
            "\nThe VM in the format {format} is not in here: {why}. The host's operator can say it, and whoever made"
        ));
        line("this bundle make it again.");
    }
    text
}

fn packed(files: &BTreeMap<String, Vec<u8>>) -> Result<Vec<u8>, CarryOutError> {
    let mut builder = Builder::new(Vec::new());
    for (path, bytes) in files {
        let mut header = Header::new_gnu();
        header.set_entry_type(EntryType::Regular);
        header.set_size(u64::try_from(bytes.len()).unwrap_or(u64::MAX));
        header.set_mode(0o644);
        header.set_mtime(0);
        header.set_uid(0);
        header.set_gid(0);
        builder.append_data(&mut header, path, bytes.as_slice())?;
    }
    Ok(builder.into_inner()?)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::Value;

    fn made(provider: &str) -> Result<BTreeMap<String, Vec<u8>>, CarryOutError> {
        let args = BundleArgs {
            vm: "web".to_owned(),
            receiver: provider.parse().unwrap(),
            file: "-".into(),
            api: vec!["https://host:16515".to_owned()],
            libvirt: vec!["qemu://host:16514/system".to_owned()],
            fingerprint: vec![format!("sha256:{}", "ab".repeat(32))],
            formats: Vec::new(),
        };
        let delegations = json!({
            "primary": "north", "epoch": 4,
            "delegations": [
                { "action": "console.open", "provider": "south", "mode": "shared", "epoch": 3,
                  "expires_at": "2027-01-01T00:00:00.000000Z" },
                { "action": "power.start", "provider": "west", "mode": "exclusive", "epoch": 4 },
            ],
        });
        let detail: Value = json!({
            "vm": "00000000-0000-0000-0000-000000000007", "name": "web", "state": "running", "generation": "g", "vcpus": 1,
            "memory_kib": 1, "snapshots": [], "delegations": delegations, "next_seq": 1, "live_commands": 0,
        });
        let detail: VmDetail = serde_json::from_value(detail).unwrap();
        let told = json!({ "provider": provider, "host": "elsewhere", "api_port": 1, "server": "sha256:1", "authority": "sha256:2" });
        let told: Reachable = serde_json::from_value(told).unwrap();
        let args = args.completed(&told).unwrap();
        files(&args, &told, &detail, &serde_json::from_value(delegations).unwrap(), &Rendered::default())
    }

    #[test]
    fn a_bundle_tells_a_provider_what_is_its_own_and_the_same_each_time() {
        let files = made("south").unwrap();
        let access: Value = serde_json::from_slice(&files["access.json"]).unwrap();
        assert_eq!(access["actions"].as_array().map(Vec::len), Some(1), "{access:#}");
        assert_eq!(access["actions"][0]["expires_at"], "2027-01-01T00:00:00.000000Z");
        assert_eq!(access["expires_at"], "2027-01-01T00:00:00.000000Z");
        assert_eq!(access["endpoints"]["api"], json!(["https://host:16515"]), "what is said goes before what is told");
        let fingerprints = &access["endpoints"]["fingerprints"];
        assert_eq!(fingerprints["server"], json!(["sha256:1", format!("sha256:{}", "ab".repeat(32))]));
        assert_eq!(fingerprints["authority"], "sha256:2");
        assert_eq!(access["endpoints"]["paths"]["vnc"], "/v1/vms/00000000-0000-0000-0000-000000000007/vnc");
        let readme = String::from_utf8(files["README.md"].clone()).unwrap();
        assert!(readme.contains("covirt console") && !readme.contains("disk download"), "{readme}");
        assert!(!readme.contains("power.start"), "what others may do is theirs: {readme}");
        assert_eq!(packed(&files).unwrap(), packed(&made("south").unwrap()).unwrap());
    }

    #[test]
    fn whoever_has_no_part_gets_no_bundle() {
        assert!(matches!(made("east"), Err(CarryOutError::Usage(_))));
        made("north").unwrap();
    }
}
