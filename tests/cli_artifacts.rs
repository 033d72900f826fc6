//! `covirt artifacts` as a user runs it, from files and without an agent.

mod support;

use std::io::Read;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use covirt::artifacts::{Bundle, Format, RenderError, Source, Subject};
use serde_json::Value;
use support::shop;

const ROOT: &str = env!("CARGO_MANIFEST_DIR");
const DOMAIN: &str = "fixtures/domain/live-uefi-two-nics.xml";
const NETWORK: &str = "fixtures/network/front.xml";
/// What is around the reference VM.
const AROUND: [&str; 10] = [
    "--network",
    NETWORK,
    "--pool",
    "fixtures/pool/images.xml",
    "--pool",
    "fixtures/pool/vg0.xml",
    "--volume",
    "fixtures/volume/shop-front.qcow2.xml",
    "--volume",
    "vg0=fixtures/volume/shop-data.xml",
];

/// Runs `covirt` where no agent answers.
fn covirt(words: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_covirt"));
    command.current_dir(ROOT).env_remove("COVIRT_AS").env("COVIRT_SOCKET", "/nonexistent/covirt.sock");
    command.args(words).output().unwrap()
}

/// `covirt artifacts DEED … --domain …` and what is around it.
fn artifacts(deed: &str, words: &[&str]) -> Output {
    covirt(&[&["artifacts", deed], words, &["--domain", DOMAIN], &AROUND].concat())
}

fn code(output: &Output) -> i32 {
    output.status.code().unwrap_or_else(|| panic!("it ended by a signal: {output:?}"))
}

fn out(output: &Output) -> String {
    String::from_utf8(output.stdout.clone()).unwrap()
}

fn err(output: &Output) -> String {
    String::from_utf8(output.stderr.clone()).unwrap()
}

fn json(output: &Output) -> Value {
    serde_json::from_slice(&output.stdout).unwrap_or_else(|fault| panic!("{fault} in {output:?}"))
}

#[track_caller]
fn ends(output: &Output, expected: i32) {
    assert_eq!(code(output), expected, "{}{}", out(output), err(output));
}

/// The binding kept for a format, as words of the command line.
fn binding(format: Format) -> Option<String> {
    let path = format!("fixtures/binding/{}.toml", format.name());
    Path::new(ROOT).join(&path).exists().then(|| format!("{}={path}", format.name()))
}

/// The reference VM in a format, as the library renders it; none while the format is not written.
fn expected(format: Format) -> Option<Bundle> {
    let bound = binding(format);
    let text = match &bound {
        Some(_) => shop::binding(format),
        None => covirt::artifacts::BindingText::empty(),
    };
    match format.render(&Subject::new(&shop::inventory(), &Source::File), &text) {
        Ok(bundle) => Some(bundle),
        Err(RenderError::Refused { why, .. }) if bound.is_none() && why == "it is not written yet" => None,
        Err(error) => panic!("{}: {error}", format.name()),
    }
}

/// Every format that is written, with what it gives.
fn ready() -> Vec<(Format, Bundle)> {
    let all: Vec<(Format, Bundle)> =
        Format::ALL.iter().filter_map(|format| Some((*format, expected(*format)?))).collect();
    assert!(!all.is_empty());
    all
}

/// Renders into a folder as one does from files.
fn render(format: Format, folder: &Path) -> Output {
    let bound = binding(format);
    let mut words = vec!["--for", format.name(), "-o", folder.to_str().unwrap()];
    words.extend(bound.as_deref().map(|bound| ["--binding", bound]).into_iter().flatten());
    artifacts("render", &words)
}

/// A NoCloud bundle of the reference VM, without a binding.
fn nocloud(folder: &Path) -> PathBuf {
    let target = folder.join("seed");
    ends(&artifacts("render", &["--for", "nocloud", "-o", target.to_str().unwrap()]), 0);
    target
}

fn tree(folder: &Path) -> Vec<(PathBuf, Vec<u8>)> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            found.extend(tree(&path));
        } else {
            found.push((path.clone(), std::fs::read(&path).unwrap()));
        }
    }
    found.sort();
    found
}

#[test]
fn every_format_is_written_as_the_library_renders_it_and_for_owner_and_group_only() {
    for (format, bundle) in ready() {
        let work = tempfile::tempdir().unwrap();
        let target = work.path().join("bundle");
        ends(&render(format, &target), 0);
        for file in &bundle.files {
            let path = target.join(&file.path);
            assert!(std::fs::read(&path).unwrap() == file.bytes, "{} {}", format.name(), file.path);
            assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o640, "{}", file.path);
        }
        assert_eq!(tree(&target).len(), bundle.files.len(), "{}", format.name());
        let again = work.path().join("again");
        ends(&render(format, &again), 0);
        let bytes = |folder| tree(folder).into_iter().map(|(_, bytes)| bytes).collect::<Vec<_>>();
        assert_eq!(bytes(&target), bytes(&again), "{}", format.name());
        let check = artifacts("check", &[target.to_str().unwrap()]);
        ends(&check, 0);
        assert!(out(&check).contains("whole") && out(&check).contains("current"), "{}", out(&check));
        ends(&covirt(&["artifacts", "check", target.to_str().unwrap(), "--offline"]), 0);
    }
}

#[test]
fn several_formats_are_written_together_in_folders_of_their_names() {
    let work = tempfile::tempdir().unwrap();
    let target = work.path().join("all");
    let all = ready();
    let mut words = vec!["--for", "all", "--skip-refused", "-o", target.to_str().unwrap()];
    let bound: Vec<String> = all.iter().filter_map(|(format, _)| binding(*format)).collect();
    for bound in &bound {
        words.extend(["--binding", bound]);
    }
    let rendered = artifacts("render", &words);
    ends(&rendered, 0);
    for (format, bundle) in &all {
        for file in &bundle.files {
            let path = target.join(format.name()).join(&file.path);
            assert!(std::fs::read(&path).unwrap() == file.bytes, "{}", path.display());
        }
    }
    assert_eq!(std::fs::read_dir(&target).unwrap().count(), all.len(), "{}", err(&rendered));
    assert_eq!(err(&rendered).matches("left out").count(), Format::ALL.len() - all.len());
    ends(&artifacts("check", &[target.to_str().unwrap()]), 0);
    // What lies beside them belongs to no bundle.
    std::fs::write(target.join("note"), "x").unwrap();
    let check = artifacts("check", &[target.to_str().unwrap()]);
    ends(&check, 7);
    assert!(out(&check).contains("belongs to no bundle"), "{}", out(&check));
}

#[test]
fn one_refusal_keeps_all_of_them_from_being_written() {
    let work = tempfile::tempdir().unwrap();
    let target = work.path().join("all");
    let bad = work.path().join("bad.toml");
    std::fs::write(&bad, "\nhostnam = 'a'\n").unwrap();
    let bad = format!("nocloud={}", bad.display());
    let words = ["--for", "all", "-o", target.to_str().unwrap(), "--binding", &bad];
    ends(&artifacts("render", &words), 1);
    assert!(!target.exists());
    assert_eq!(std::fs::read_dir(work.path()).unwrap().count(), 1);
}

#[test]
fn a_tar_stream_has_the_same_files_and_nothing_of_this_moment() {
    for (format, bundle) in ready() {
        let bytes = render(format, Path::new("-"));
        ends(&bytes, 0);
        assert_eq!(bytes.stdout, render(format, Path::new("-")).stdout, "{}", format.name());
        let mut archive = tar::Archive::new(bytes.stdout.as_slice());
        let mut files = bundle.files.iter();
        for entry in archive.entries().unwrap() {
            let mut entry = entry.unwrap();
            let file = files.next().expect("no file more than there are");
            assert_eq!(entry.path().unwrap().to_str().unwrap(), file.path);
            let header = entry.header();
            assert_eq!((header.mode().unwrap(), header.mtime().unwrap()), (0o640, 0));
            assert_eq!((header.uid().unwrap(), header.gid().unwrap()), (0, 0));
            let mut content = Vec::new();
            entry.read_to_end(&mut content).unwrap();
            assert!(content == file.bytes, "{}", file.path);
        }
        assert!(files.next().is_none(), "{}", format.name());
    }
}

#[test]
fn the_systems_own_tar_unpacks_the_stream() {
    let work = tempfile::tempdir().unwrap();
    let stream = work.path().join("all.tar");
    let words = ["--for", "nocloud", "-o", "-"];
    std::fs::write(&stream, artifacts("render", &words).stdout).unwrap();
    let Ok(unpacked) = Command::new("tar").arg("-xf").arg(&stream).arg("-C").arg(work.path()).output() else {
        support::skip("the_systems_own_tar_unpacks_the_stream", "there is no tar");
        return;
    };
    assert!(unpacked.status.success(), "{unpacked:?}");
    std::fs::remove_file(&stream).unwrap();
    ends(&artifacts("check", &[work.path().to_str().unwrap()]), 0);
}

#[test]
fn every_file_that_was_touched_is_found() {
    let work = tempfile::tempdir().unwrap();
    let target = nocloud(work.path());
    for (path, bytes) in tree(&target) {
        let name = path.strip_prefix(&target).unwrap().to_str().unwrap().to_owned();
        for at in [0, bytes.len() / 2, bytes.len() - 1] {
            let mut touched = bytes.clone();
            touched[at] ^= 1;
            std::fs::write(&path, &touched).unwrap();
            let check = artifacts("check", &[target.to_str().unwrap(), "-o", "json"]);
            ends(&check, 7);
            let flaws = json(&check)["bundles"][0]["flaws"].to_string();
            assert!(flaws.contains(&name) || name == "manifest.json", "{name} at {at}: {flaws}");
        }
        std::fs::remove_file(&path).unwrap();
        let check = artifacts("check", &[target.to_str().unwrap(), "-o", "json"]);
        if name == "manifest.json" {
            ends(&check, 1);
        } else {
            ends(&check, 7);
            assert_eq!(json(&check)["bundles"][0]["flaws"][0]["flaw"], "missing", "{name}");
        }
        std::fs::write(&path, &bytes).unwrap();
    }
    ends(&artifacts("check", &[target.to_str().unwrap()]), 0);
}

#[test]
fn strays_links_and_another_spelling_are_found() {
    let work = tempfile::tempdir().unwrap();
    let target = nocloud(work.path());
    let check = || artifacts("check", &[target.to_str().unwrap(), "-o", "json"]);
    let flaw = |output: &Output| json(output)["bundles"][0]["flaws"][0].clone();
    std::fs::create_dir(target.join("deep")).unwrap();
    std::fs::write(target.join("deep/stray"), "x").unwrap();
    ends(&check(), 7);
    assert_eq!((&flaw(&check())["path"], &flaw(&check())["flaw"]), (&"deep/stray".into(), &"stray".into()));
    std::fs::remove_dir_all(target.join("deep")).unwrap();
    // A link to the very same bytes is still no file of ours.
    let elsewhere = work.path().join("user-data");
    std::fs::rename(target.join("user-data"), &elsewhere).unwrap();
    std::os::unix::fs::symlink(&elsewhere, target.join("user-data")).unwrap();
    ends(&check(), 7);
    assert_eq!(flaw(&check())["path"], "user-data");
    std::fs::remove_file(target.join("user-data")).unwrap();
    std::fs::rename(&elsewhere, target.join("user-data")).unwrap();
    ends(&check(), 0);
    let manifest: Value = serde_json::from_slice(&std::fs::read(target.join("manifest.json")).unwrap()).unwrap();
    std::fs::write(target.join("manifest.json"), manifest.to_string()).unwrap();
    ends(&check(), 7);
}

/// The reference domain with another amount of memory.
fn changed_domain(folder: &Path) -> PathBuf {
    let path = folder.join("changed.xml");
    let text = shop::fixture("domain/live-uefi-two-nics.xml");
    let text = text.replace("3145728", "4194304").replace("shop-front</name>", "shop-back</name>");
    std::fs::write(&path, text).unwrap();
    path
}

fn against(deed: &[&str], target: &Path, domain: &Path, more: &[&str]) -> Output {
    let (target, domain) = (target.to_str().unwrap(), domain.to_str().unwrap());
    covirt(&[deed, &[target, "--domain", domain], &AROUND, more].concat())
}

#[test]
fn artifacts_know_when_they_are_stale_and_what_changed() {
    let work = tempfile::tempdir().unwrap();
    let target = nocloud(work.path());
    let domain = changed_domain(work.path());
    let check = against(&["artifacts", "check"], &target, &domain, &[]);
    ends(&check, 16);
    assert!(out(&check).contains("STALE"), "{}", out(&check));
    let diff = against(&["artifacts", "diff"], &target, &domain, &[]);
    ends(&diff, 16);
    for line in [
        "memory.max_kib",
        "3145728",
        "4194304",
        "--- a/meta-data",
        "-local-hostname: \"shop-front\"",
        "+local-hostname: \"shop-back\"",
        "seed.iso differs",
    ] {
        assert!(out(&diff).contains(line), "{line} is not in\n{}", out(&diff));
    }
    let diff = against(&["artifacts", "diff"], &target, &domain, &["-o", "json"]);
    let fields = json(&diff)[0]["inventory"].clone();
    let field = fields.as_array().unwrap().iter().find(|field| field["path"] == "memory.max_kib").unwrap().clone();
    assert_eq!((&field["before"], &field["after"]), (&"3145728".into(), &"4194304".into()));
    let diff = against(&["vm", "diff"], &target, &domain, &[]);
    ends(&diff, 16);
    assert!(out(&diff).contains("memory.max_kib"), "{}", out(&diff));
    // Against the same VM there is nothing to tell.
    for deed in [["artifacts", "diff"], ["vm", "diff"]] {
        let same = against(&deed, &target, &Path::new(ROOT).join(DOMAIN), &[]);
        ends(&same, 0);
        assert!(out(&same).contains("nothing changed"), "{}", out(&same));
    }
}

#[test]
fn another_binding_is_a_difference_too() {
    let work = tempfile::tempdir().unwrap();
    let target = nocloud(work.path());
    let named = work.path().join("named.json");
    std::fs::write(&named, "{\"hostname\": \"elsewhere\"}").unwrap();
    let words = ["--binding", named.to_str().unwrap()];
    let diff = against(&["artifacts", "diff"], &target, &Path::new(ROOT).join(DOMAIN), &words);
    ends(&diff, 16);
    assert!(out(&diff).contains("+local-hostname: \"elsewhere\""), "{}", out(&diff));
}

#[test]
fn a_damaged_bundle_is_told_before_an_agent_is_asked() {
    let work = tempfile::tempdir().unwrap();
    let target = nocloud(work.path());
    let check = || covirt(&["artifacts", "check", target.to_str().unwrap()]);
    ends(&check(), 4);
    std::fs::write(target.join("meta-data"), "x").unwrap();
    ends(&check(), 7);
}

#[test]
fn a_report_begins_with_the_worst() {
    for (format, bundle) in ready() {
        let bound = binding(format);
        let mut words = vec!["--for", format.name(), "-o", "json"];
        words.extend(bound.as_deref().map(|bound| ["--binding", bound]).into_iter().flatten());
        let report = artifacts("report", &words);
        ends(&report, 0);
        let told = json(&report);
        let fields = told[0]["fields"].as_array().unwrap();
        assert_eq!(fields.len(), bundle.mapping.0.len());
        let order = ["refused", "not-carried", "approximate", "exact"];
        let ranks: Vec<usize> =
            fields.iter().map(|field| order.iter().position(|fate| field["fate"] == *fate).unwrap()).collect();
        assert!(ranks.is_sorted(), "{}", format.name());
    }
    let work = tempfile::tempdir().unwrap();
    let target = nocloud(work.path());
    let report = covirt(&["artifacts", "report", target.to_str().unwrap()]);
    ends(&report, 0);
    assert!(out(&report).starts_with("nocloud\nFATE"), "{}", out(&report));
}

#[test]
fn a_write_that_is_cut_short_leaves_the_earlier_bundle() {
    let work = tempfile::tempdir().unwrap();
    let target = nocloud(work.path());
    let before = tree(&target);
    // The first files fit into a limit of 4 KiB, the next does not: by a signal in the middle, or by an error.
    for trap in ["", "trap '' XFSZ; "] {
        let script = format!("{trap}ulimit -f 8; exec \"$0\" \"$@\"");
        let target = target.to_str().unwrap();
        let program = env!("CARGO_BIN_EXE_covirt");
        let words = ["artifacts", "render", "--for", "nocloud", "-o", target, "--domain", DOMAIN];
        let output = Command::new("/bin/sh").current_dir(ROOT).args(["-c", &script, program]).args(words).output();
        let output = output.unwrap();
        assert!(!output.status.success(), "{output:?}");
        assert_eq!(output.status.code(), if trap.is_empty() { None } else { Some(1) }, "{}", err(&output));
    }
    assert!(tree(&target) == before);
    ends(&artifacts("check", &[target.to_str().unwrap()]), 0);
}

#[test]
fn a_folder_of_somebody_else_is_not_touched() {
    let work = tempfile::tempdir().unwrap();
    std::fs::write(work.path().join("precious"), "x").unwrap();
    let refused = render(Format::NoCloud, work.path());
    ends(&refused, 1);
    assert!(err(&refused).contains("nothing there was touched"), "{}", err(&refused));
    assert_eq!(tree(work.path()).len(), 1);
    ends(&covirt(&["artifacts", "check", work.path().to_str().unwrap()]), 1);
}

#[test]
fn a_bad_binding_is_told_with_file_line_and_hint() {
    let work = tempfile::tempdir().unwrap();
    let path = work.path().join("b.toml");
    std::fs::write(&path, "\nhostnam = 'a'\n").unwrap();
    let bound = path.to_str().unwrap();
    let words = ["--for", "nocloud", "-o", "-", "--binding", bound];
    let refused = artifacts("render", &words);
    ends(&refused, 1);
    let expected = "b.toml: line 2: hostnam: there is no such field (did you mean hostname?) [binding-malformed]\n";
    assert!(err(&refused).ends_with(expected), "{}", err(&refused));
    let refused = artifacts("render", &[&words[..], &["--output", "json"]].concat());
    let told: Value = serde_json::from_str(&err(&refused)).unwrap();
    assert_eq!(
        (&told["code"], &told["line"], &told["field"]),
        (&"binding-malformed".into(), &2.into(), &"hostnam".into())
    );
    for words in [
        &["--for", "nocloud,ovf", "-o", "-", "--binding", bound][..],
        &["--for", "nocloud", "-o", "-", "--binding", &format!("ovf={bound}")],
        &["--for", "nocloud", "-o", "-", "--binding", bound, "--binding", bound],
        &["--for", "paper", "-o", "-"],
    ] {
        ends(&artifacts("render", words), 2);
    }
}

#[test]
fn a_folder_of_bindings_is_searched_by_uuid_then_by_name() {
    let work = tempfile::tempdir().unwrap();
    let words = ["--for", "nocloud", "-o", "-", "--bindings", work.path().to_str().unwrap()];
    let hostname = || {
        let output = artifacts("render", &words);
        ends(&output, 0);
        let stream = String::from_utf8_lossy(&output.stdout).into_owned();
        let line = stream.lines().find_map(|line| line.strip_prefix("local-hostname: ").map(str::to_owned));
        line.unwrap()
    };
    assert_eq!(hostname(), "\"shop-front\"");
    std::fs::write(work.path().join("shop-front.nocloud.json"), "{\"hostname\": \"by-name\"}").unwrap();
    assert_eq!(hostname(), "\"by-name\"");
    let uuid = "0d3f6a51-8f0e-4f6e-9a53-1b7c2d9e4f60";
    std::fs::write(work.path().join(format!("{uuid}.nocloud.toml")), "hostname = 'by-uuid'").unwrap();
    assert_eq!(hostname(), "\"by-uuid\"");
}

#[test]
fn a_binding_is_begun_and_checked_for_every_format() {
    let inventory = shop::inventory();
    for format in Format::ALL {
        let work = tempfile::tempdir().unwrap();
        let path = work.path().join("b.toml");
        let file = path.to_str().unwrap();
        let init = ["--for", format.name(), "--init", "-o", file];
        ends(&artifacts("bind", &init), 0);
        assert_eq!(std::fs::read_to_string(&path).unwrap(), format.draft_toml(&inventory), "{}", format.name());
        assert_eq!(out(&artifacts("bind", &init[..3])), format.draft_toml(&inventory));
        let again = artifacts("bind", &init);
        ends(&again, 1);
        assert!(err(&again).contains("is there already"), "{}", err(&again));
        let open: Vec<String> =
            format.draft(&inventory).iter().filter(|field| field.is_open()).map(|field| field.path.join(".")).collect();
        let check = artifacts("bind", &["--for", format.name(), "--check", file]);
        if !open.is_empty() {
            ends(&check, 1);
            assert!(
                err(&check).contains("b.toml: line ") && err(&check).contains("needed and missing"),
                "{}",
                err(&check)
            );
        }
        if let Some(bound) = binding(*format) {
            let (_, kept) = bound.split_once('=').unwrap();
            ends(&artifacts("bind", &["--for", format.name(), "--check", kept]), 0);
        }
    }
    ends(&artifacts("bind", &["--for", "nocloud"]), 2);
}

#[test]
fn the_formats_are_listed() {
    let list = covirt(&["artifacts", "list", "-o", "json"]);
    ends(&list, 0);
    let listed = json(&list);
    let names: Vec<&str> = listed.as_array().unwrap().iter().map(|format| format["name"].as_str().unwrap()).collect();
    assert_eq!(names, Format::ALL.iter().map(|format| format.name()).collect::<Vec<_>>());
    assert!(out(&covirt(&["artifacts", "list"])).contains("NoCloud seed"));
}

#[test]
fn documents_that_cannot_be_read_are_told_with_file_and_line() {
    let work = tempfile::tempdir().unwrap();
    let bad = work.path().join("bad.xml");
    std::fs::write(&bad, "<network>\n<name>x</nam>").unwrap();
    let bad = bad.to_str().unwrap();
    for words in [
        &["artifacts", "render", "--for", "nocloud", "-o", "-", "--domain", DOMAIN, "--network", bad][..],
        &["discover", DOMAIN, "--network", bad],
    ] {
        let refused = covirt(words);
        ends(&refused, 1);
        assert!(
            err(&refused).contains("bad.xml:2: ") && err(&refused).contains("[network-malformed]"),
            "{}",
            err(&refused)
        );
    }
    let both = covirt(&["artifacts", "render", "web01", "--domain", DOMAIN, "--for", "nocloud", "-o", "-"]);
    ends(&both, 2);
}

#[test]
fn discovery_from_files_knows_the_surroundings() {
    // One volume is found by its pool's folder, the other is named.
    let discovered = covirt(&[&["discover", DOMAIN][..], &AROUND].concat());
    ends(&discovered, 0);
    let inventory = json(&discovered);
    assert_eq!(inventory["disks"][0]["volume"]["pool"], "images", "{}", inventory["disks"][0]);
    assert_eq!(inventory["pools"]["vg0"]["volumes"]["shop-data"]["capacity"], 42_949_672_960_u64);
    let homeless = covirt(&["discover", DOMAIN, "--volume", "fixtures/volume/shop-data.xml"]);
    ends(&homeless, 1);
    assert!(err(&homeless).contains("[volume-without-pool]"), "{}", err(&homeless));
    assert_eq!(inventory["networks"]["front"]["forward"], "nat");
    assert_eq!(inventory["nics"][0]["addresses"][0]["ip"], "192.0.2.21");
}
