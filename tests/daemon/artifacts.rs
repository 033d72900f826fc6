//! Inventories and artifacts over the API: entity tags, shapes, bindings of the operator, and the command line on them.

use std::io::Read;
use std::process::{Command, Output};

use covirt::artifacts::Format;
use serde_json::{Value, json};

use crate::support::agent::{Agent, Answer, Setup};

async fn get(agent: &Agent, tail: &str, headers: &[(&str, &str)]) -> Answer {
    let path = format!("/v1/vms/{}{tail}", agent.vm(1));
    agent.request_with("GET", &path, "north", String::new(), headers).await
}

fn tag(answer: &Answer) -> String {
    answer.headers["etag"].to_str().expect("text").to_owned()
}

/// The files of an answer in JSON, by path.
fn text_of(answer: &Answer, path: &str) -> String {
    let files = answer.json["files"].as_array().expect("files");
    let file = files.iter().find(|file| file["path"] == path).unwrap_or_else(|| panic!("no {path}"));
    file["text"].as_str().expect("text").to_owned()
}

#[tokio::test]
async fn an_inventory_is_told_once_as_long_as_its_generation_is_the_same() {
    let agent = Setup::with_vms(1).start();
    agent.enroll(1).await;
    let first = get(&agent, "/inventory", &[]).await.expect(200);
    let etag = tag(&first);
    assert_eq!(etag.len(), 68, "a generation in quotes, weak: {etag}");
    for known in [etag.as_str(), "*", etag.trim_start_matches("W/"), &format!("\"x\", {etag}")] {
        let again = get(&agent, "/inventory", &[("if-none-match", known)]).await.expect(304);
        assert_eq!((tag(&again), again.body.len()), (etag.clone(), 0), "{known}");
    }
    get(&agent, "/inventory", &[("if-none-match", "\"another\"")]).await.expect(200);
    agent.run_command(1, "north", "cpu.set", json!({ "args": { "vcpus": 2 } })).await.expect(200);
    let changed = get(&agent, "/inventory", &[("if-none-match", &etag)]).await.expect(200);
    assert_ne!(tag(&changed), etag);
}

#[tokio::test]
async fn the_formats_are_listed_with_what_is_bound() {
    let agent = Setup::with_vms(2).start();
    agent.enroll(1).await;
    agent.bind(1, "nocloud.toml", "hostname = 'bound'\n");
    let list = get(&agent, "/artifacts", &[]).await.expect(200).json;
    let formats = list["formats"].as_array().expect("formats");
    assert_eq!(formats.len(), Format::ALL.len());
    for format in formats {
        assert_eq!(format["bound"], json!(format["name"] == "nocloud"), "{format}");
        assert!(format["title"].as_str().is_some_and(|title| !title.is_empty()));
    }
    assert_eq!(
        format!("W/\"{}\"", list["generation"].as_str().expect("text")),
        tag(&get(&agent, "/inventory", &[]).await)
    );
}

#[tokio::test]
async fn artifacts_come_as_json_or_tar_and_are_the_same_files() {
    let agent = Setup::with_vms(1).start();
    agent.enroll(1).await;
    let json = get(&agent, "/artifacts/nocloud", &[]).await.expect(200);
    assert_eq!(json.headers["content-type"], "application/json");
    let tar = get(&agent, "/artifacts/nocloud", &[("accept", "application/x-tar")]).await.expect(200);
    assert_eq!(tar.headers["content-type"], "application/x-tar");
    assert_ne!(tag(&json), tag(&tar), "another representation has another tag");
    let mut archive = tar::Archive::new(&tar.body[..]);
    let mut paths = Vec::new();
    for entry in archive.entries().expect("a tar stream") {
        let mut entry = entry.expect("a whole entry");
        let path = entry.path().expect("a path").to_str().expect("text").to_owned();
        let mut content = Vec::new();
        entry.read_to_end(&mut content).expect("a whole file");
        let files = json.json["files"].as_array().expect("files");
        let file = files.iter().find(|file| file["path"] == *path).expect("in both");
        match file["text"].as_str() {
            Some(text) => assert_eq!(text.as_bytes(), content, "{path}"),
            None => assert!(file["base64"].is_string() && path == "seed.iso", "{file}"),
        }
        assert_eq!(file["mode"], "0640");
        paths.push(path);
    }
    assert!(paths.iter().any(|path| path == "manifest.json"), "{paths:?}");
    let manifest: Value = serde_json::from_str(&text_of(&json, "manifest.json")).expect("JSON");
    assert_eq!(manifest, json.json["manifest"]);
    for (answer, accept) in [(&json, "application/json"), (&tar, "application/x-tar")] {
        assert_eq!(answer.headers["vary"], "accept");
        let known = tag(answer);
        let headers = [("accept", accept), ("if-none-match", known.as_str())];
        let again = get(&agent, "/artifacts/nocloud", &headers).await.expect(304);
        assert_eq!((tag(&again), &again.headers["vary"]), (known, &answer.headers["vary"]));
    }
    get(&agent, "/artifacts/nocloud", &[("accept", "text/html")]).await.refused(406, "not-acceptable");
}

#[tokio::test]
async fn the_operators_binding_is_used_and_changes_the_tag() {
    let agent = Setup::with_vms(1).start();
    agent.enroll(1).await;
    let plain = get(&agent, "/artifacts/nocloud", &[]).await.expect(200);
    agent.bind(1, "nocloud.json", "{\"hostname\": \"bound\"}");
    let known = tag(&plain);
    let bound = get(&agent, "/artifacts/nocloud", &[("if-none-match", known.as_str())]).await.expect(200);
    assert!(text_of(&bound, "meta-data").contains("bound"), "{}", bound.json);
    // TOML is looked for first.
    agent.bind(1, "nocloud.toml", "hostname = 'in-toml'");
    let toml = get(&agent, "/artifacts/nocloud", &[]).await.expect(200);
    assert!(text_of(&toml, "meta-data").contains("in-toml"));
}

#[tokio::test]
async fn what_is_wrong_with_a_binding_is_told_with_field_line_and_hint() {
    let agent = Setup::with_vms(1).start();
    agent.enroll(1).await;
    agent.bind(1, "nocloud.toml", "\nhostnam = 'a'\n");
    let problem = get(&agent, "/artifacts/nocloud", &[]).await.refused(422, "binding-malformed").json;
    assert_eq!((&problem["field"], &problem["line"]), (&json!("hostnam"), &json!(2)));
    assert_eq!(problem["hint"], "did you mean hostname?");
    agent.bind(1, "nocloud.toml", "user_data = \"#cloud-config\\npassword: hunter2\\n\"\n");
    let problem = get(&agent, "/artifacts/nocloud", &[]).await.refused(422, "artifact-secret").json;
    assert!(!problem.to_string().contains("hunter2"), "{problem}");
    agent.bind(1, "nocloud.toml", &" ".repeat(1024 * 1024 + 1));
    get(&agent, "/artifacts/nocloud", &[]).await.refused(422, "binding-malformed");
}

#[tokio::test]
async fn nobody_learns_of_a_vm_by_asking_for_its_artifacts() {
    let agent = Setup::with_vms(2).start();
    agent.enroll(1).await;
    get(&agent, "/artifacts/paper", &[]).await.refused(404, "format-unknown");
    get(&agent, "/artifacts/..%2f..%2fetc", &[]).await.refused(404, "format-unknown");
    for tail in ["/artifacts", "/artifacts/nocloud", "/artifacts/paper"] {
        for number in [1, 2] {
            let path = format!("/v1/vms/{}{tail}", agent.vm(number));
            agent.get(&path, "south").await.refused(404, "unknown-vm");
        }
        // Before anybody enrolled it, whoever may do that sees what it would be.
        if tail != "/artifacts/paper" {
            agent.get(&format!("/v1/vms/{}{tail}", agent.vm(2)), "north").await.expect(200);
        }
    }
}

fn covirt(agent: &Agent, words: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_covirt"));
    command.env("COVIRT_SOCKET", agent.socket()).env("COVIRT_AS", "north").args(words);
    command.output().expect("covirt runs")
}

#[tokio::test]
async fn the_command_line_renders_checks_and_compares_with_the_agents_vm() {
    let agent = Setup::with_vms(1).start();
    agent.enroll(1).await;
    let work = tempfile::tempdir().expect("a folder");
    let seed = work.path().join("seed");
    let seed = seed.to_str().expect("text");
    let run = |words: &[&str]| {
        let output = covirt(&agent, words);
        let said = format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
        (output.status.code(), said)
    };
    let (code, said) = run(&["artifacts", "render", "vm1", "--for", "nocloud", "-o", seed]);
    assert_eq!(code, Some(0), "{said}");
    // What the command line writes is what the API gives.
    let api = get(&agent, "/artifacts/nocloud", &[]).await.expect(200);
    let manifest = std::fs::read_to_string(work.path().join("seed/manifest.json")).expect("a manifest");
    assert_eq!(text_of(&api, "manifest.json"), manifest);
    let (code, said) = run(&["artifacts", "check", seed]);
    assert_eq!((code, said.contains("current")), (Some(0), true), "{said}");
    agent.run_command(1, "north", "cpu.set", json!({ "args": { "vcpus": 3 } })).await.expect(200);
    let (code, said) = run(&["artifacts", "check", seed]);
    assert_eq!((code, said.contains("STALE")), (Some(16), true), "{said}");
    for words in [&["artifacts", "diff", seed][..], &["vm", "diff", "vm1", seed]] {
        let (code, said) = run(words);
        assert_eq!((code, said.contains("cpu.vcpus")), (Some(16), true), "{said}");
    }
    let (code, said) = run(&["artifacts", "report", "vm1", "--for", "nocloud"]);
    assert_eq!((code, said.contains("identity.uuid")), (Some(0), true), "{said}");
    let (code, said) = run(&["vm", "show", "vm1", "--unknown"]);
    assert_eq!(code, Some(0), "{said}");
    let (code, said) = run(&["vm", "show", "vm1"]);
    assert_eq!((code, said.contains("vCPUs of at most 4")), (Some(0), true), "{said}");
    let (code, said) = run(&["vm", "diff", "vm1"]);
    assert!(matches!(code, Some(0 | 16)) && said.contains("next start"), "{said}");
    let (code, said) = run(&["artifacts", "bind", "vm1", "--for", "nocloud", "--init"]);
    assert_eq!((code, said.contains("# hostname =")), (Some(0), true), "{said}");
}
