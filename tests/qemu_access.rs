//! A VM's own resources through the agent's API and its command line, on real guests: console, screen, guest, figures.

mod access;
#[path = "support/covirtd.rs"]
mod covirtd;
#[path = "support/stage.rs"]
mod stage;
mod support;

use std::io::Write;
use std::process::{Command, Stdio};
use std::time::Duration;

use access::{Terminal, ends, libvirt, open_web, refused_web};
use serde_json::{Value, json};
use stage::{LONG, Stage};
use support::{skip, until};
use tokio_tungstenite::tungstenite::Message;

#[test]
fn a_console_is_typed_into_and_ends_with_its_delegation() {
    let libvirt = libvirt!("a_console_is_typed_into_and_ends_with_its_delegation");
    let mut stage = Stage::booted(&libvirt, "console", "");
    stage.delegate(&["console.open"], "shared");
    let vm = stage.vm.clone();
    let mut terminal = Terminal::open();
    let before = terminal.modes();
    let mut covirt = terminal.run(&stage.agent.socket(), "south", &["console", &vm]);
    terminal.until("^] leaves it");
    terminal.speak();
    assert_ne!(terminal.modes(), before, "the terminal is raw meanwhile");
    let open = stage.south.get("/v1/channels").ok()["channels"].clone();
    assert_eq!((&open[0]["kind"], &open[0]["owner"]), (&json!("console"), &json!("south")), "{open:#}");
    assert!(open[0]["sent"].as_u64().unwrap() > 0 && open[0]["received"].as_u64().unwrap() > 0, "{open:#}");
    // One at a time, and whoever comes second is told who has it.
    let refusal = refused_web(&stage.agent.socket(), "north", &format!("/v1/vms/{vm}/console?force=true"));
    assert_eq!((&refusal["code"], &refusal["holder"]), (&json!("held-by-other"), &json!("south")), "{refusal:#}");
    let north = stage.north.get("/v1/channels").ok();
    assert_eq!(north["channels"], json!([]), "what others have open is theirs");
    stage.north.delete(&format!("/v1/vms/{vm}/delegations/south")).ok();
    let ended = covirt.wait().expect("covirt ends");
    assert_eq!(ended.code(), Some(8), "{}", terminal.came());
    terminal.until("delegation-ended");
    assert_eq!(terminal.modes(), before, "the terminal is as it was");
    assert_eq!(ends(&mut stage.north, &vm), ["delegation-ended"]);
    // The escape key leaves it, and the next one finds it free.
    let mut covirt = terminal.run(&stage.agent.socket(), "north", &["console", &vm, "--escape", "^x"]);
    terminal.until("^X leaves it");
    terminal.speak();
    terminal.write(b"\x18");
    assert_eq!(covirt.wait().expect("covirt ends").code(), Some(0), "{}", terminal.came());
    assert_eq!(terminal.modes(), before);
    until("the lane knows", LONG, || (ends(&mut stage.north, &vm).len() == 2).then_some(()));
    assert_eq!(ends(&mut stage.north, &vm)[1], "peer-left");
    let opened = stage.told("channel-opened");
    assert_eq!(opened[0]["fact"]["owner"], "south", "{opened:#?}");
    assert!(opened[0]["fact"].get("from").is_none(), "who was at south's end is not north's to know: {opened:#?}");
    let told = covirtd::events(&mut stage.agent.client("operator"), &vm);
    let opened = told.iter().find(|event| event["kind"] == "channel-opened").expect("it is told");
    assert!(opened["fact"]["from"]["uid"].is_u64(), "{opened:#?}");
}

#[test]
fn a_console_that_nobody_reads_is_bounded_and_comes_to_its_end() {
    let libvirt = libvirt!("a_console_that_nobody_reads_is_bounded_and_comes_to_its_end");
    let mut stage = Stage::booted(&libvirt, "deaf", "");
    let vm = stage.vm.clone();
    let mut web = open_web(&stage.agent.socket(), "north", &format!("/v1/vms/{vm}/console"), None);
    let memory = |pid: u32| -> u64 {
        let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
        let line = status.lines().find(|line| line.starts_with("VmRSS:")).unwrap();
        line.split_whitespace().nth(1).unwrap().parse().unwrap()
    };
    let before = memory(stage.agent.pid());
    // A shell that may not be there yet is asked until it answers; from then on nothing is read.
    let mut came = Vec::new();
    while !came.windows(6).any(|part| part == b"flood\r") {
        web.send(Message::binary(b"\rwhile :; do echo flo''od; done\r".to_vec())).expect("send");
        if let Ok(Message::Binary(bytes)) = web.read() {
            came.extend_from_slice(&bytes);
        }
    }
    until("the channel ends", Duration::from_secs(180), || ends(&mut stage.north, &vm).pop());
    assert_eq!(ends(&mut stage.north, &vm), ["stalled"]);
    let grown = memory(stage.agent.pid()).saturating_sub(before);
    assert!(grown < 64 * 1024, "covirtd grew by {grown} KiB");
    // Whoever comes next has it.
    drop(open_web(&stage.agent.socket(), "north", &format!("/v1/vms/{vm}/console"), None));
}

#[test]
fn a_screen_speaks_rfb_as_novnc_does_and_is_pictured() {
    let libvirt = libvirt!("a_screen_speaks_rfb_as_novnc_does_and_is_pictured");
    let guest = access::guests::screened(&libvirt, "screen");
    let mut stage = Stage::set(&libvirt, guest, "");
    let vm = stage.vm.clone();
    stage.delegate(&["screen.open"], "shared");
    let socket = stage.agent.socket();
    let refusal = stage.south.get(&format!("/v1/vms/{vm}/screenshot"));
    assert_eq!(refusal.code(), "not-delegated", "to watch is not to picture");
    stage.delegate(&["screen.capture"], "shared");
    let mut rfb = access::Rfb::open(&socket, "south", &format!("/v1/vms/{vm}/vnc"));
    let (width, height) = rfb.begin();
    assert!(width >= 320 && height >= 200, "{width}x{height}");
    let picture = rfb.update(width, height);
    assert!(picture.len() >= 4 * usize::from(width) * usize::from(height), "{} bytes", picture.len());
    // The same screen as a picture, once the firmware has written on it.
    let file = stage.agent.folder().join("screen.png");
    let words = ["screenshot", &vm, "-o", file.to_str().unwrap()];
    let colours = until("the firmware writes", LONG, || {
        access::covirt(&socket, "south", &words).ok();
        let (_, _, pixels) = access::png(&file);
        let mut colours: Vec<&[u8]> = pixels.chunks(3).collect();
        colours.sort_unstable();
        colours.dedup();
        (colours.len() > 1).then_some(colours.len())
    });
    let (width, height, _) = access::png(&file);
    assert!(width >= 320 && height >= 200 && colours > 1, "{width}x{height}, {colours} colours");
    if let Ok(kept) = std::env::var("COVIRT_KEEP_PICTURE") {
        std::fs::copy(&file, kept).expect("keep the picture");
    }
    stage.north.delete(&format!("/v1/vms/{vm}/delegations/south")).ok();
    assert_eq!(rfb.closed(), (4000, "delegation-ended".to_owned()));
    let revoked = access::covirt(&socket, "south", &words);
    assert_eq!(revoked.code, Some(3), "{}", revoked.err);
    assert!(!stage.agent.log().contains("s3cr3t-v"));
}

#[test]
fn a_guest_and_its_figures_are_told_by_libvirts_own_names() {
    let libvirt = libvirt!("a_guest_and_its_figures_are_told_by_libvirts_own_names");
    let mut stage = Stage::booted(&libvirt, "figures", "");
    let (vm, socket) = (stage.vm.clone(), stage.agent.socket());
    stage.delegate(&["power.start"], "shared");
    assert_eq!(stage.south.get(&format!("/v1/vms/{vm}/guest")).code(), "not-delegated");
    stage.delegate(&["guest.info"], "shared");
    let told = until("the guest has an address", LONG, || {
        let told = stage.south.get(&format!("/v1/vms/{vm}/guest")).ok();
        let addresses = told["addresses"]["agent"].as_array().cloned().unwrap_or_default();
        addresses.iter().any(|address| address["ip"].as_str().is_some_and(|ip| ip.starts_with("192."))).then_some(told)
    });
    assert!(told["agent"].get("hostname").is_some() || told["agent"].get("os.id").is_some(), "{told:#}");
    assert!(told["filesystems"].as_array().is_some(), "{told:#}");
    access::covirt(&socket, "south", &["guest", &vm]).says("192.");
    // Whoever has a part in it reads the figures: they are libvirt's own.
    let stats = stage.south.get(&format!("/v1/vms/{vm}/stats")).ok();
    let virsh = stage.virsh(&["domstats", "@", "--raw"]);
    for name in ["state.state", "balloon.current", "vcpu.current", "block.count", "block.0.name", "net.count"] {
        let line = virsh.lines().find_map(|line| line.trim().strip_prefix(&format!("{name}=")));
        let found = &stats["figures"][name];
        let found = found.as_str().map_or_else(|| found.to_string(), str::to_owned);
        assert_eq!(Some(found.as_str()), line, "{name}");
    }
    let all = stage.south.get("/v1/stats").ok();
    assert_eq!(all["vms"].as_array().map(Vec::len), Some(1), "{all:#}");
    let text = access::covirt(&socket, "south", &["stats", &vm, "--prometheus"]).out;
    assert!(text.contains(&format!("covirt_vm_vcpu_current{{vm=\"{vm}\"")), "{text}");
    check_exposition(&text);
    stage.north.delete(&format!("/v1/vms/{vm}/delegations/south?actions=guest.info")).ok();
    assert_eq!(stage.south.get(&format!("/v1/vms/{vm}/guest")).code(), "not-delegated", "it was taken back");
}

/// What reads it is not ours: promtool, and the Python client's parser, of whichever are here.
fn check_exposition(text: &str) {
    let parser = "import sys\nfrom prometheus_client.parser import text_string_to_metric_families as parse\n\
                  found = [s for f in parse(sys.stdin.read()) for s in f.samples]\n\
                  assert len(found) > 20, found\nassert any(s.name == 'covirt_vm_state_state' for s in found), found\n";
    let mut checked = 0;
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/tools/promtool-env.sh");
    let found = Command::new(script).stderr(Stdio::null()).output().expect("run promtool-env.sh").stdout;
    let promtool = String::from_utf8_lossy(&found);
    // Debian's own Python has Debian's parser.
    for words in [vec![promtool.trim(), "check", "metrics"], vec!["/usr/bin/python3", "-c", parser]] {
        let child = Command::new(words[0]).args(&words[1..]).stdin(Stdio::piped()).stderr(Stdio::piped()).spawn();
        let Ok(mut child) = child else { continue };
        child.stdin.take().expect("its input").write_all(text.as_bytes()).expect("write");
        let output = child.wait_with_output().expect("it ends");
        let said = String::from_utf8_lossy(&output.stderr);
        if said.contains("No module named") {
            continue;
        }
        // promtool's code 3 is its opinion on names, which are libvirt's.
        assert!(matches!(output.status.code(), Some(0 | 3)), "{words:?}: {said}");
        checked += 1;
    }
    if checked == 0 {
        skip("check_exposition", "neither promtool nor the Python client is here");
    }
}

#[test]
fn channels_are_closed_by_request_release_and_the_vms_end() {
    let libvirt = libvirt!("channels_are_closed_by_request_release_and_the_vms_end");
    let guest = access::guests::screened(&libvirt, "closing");
    let mut stage = Stage::set(&libvirt, guest, "");
    let (vm, socket) = (stage.vm.clone(), stage.agent.socket());
    let path = format!("/v1/vms/{vm}/vnc");
    let mut first = access::Rfb::open(&socket, "north", &path);
    first.begin();
    let channel = stage.north.get("/v1/channels").ok()["channels"][0]["channel"].as_str().unwrap().to_owned();
    assert_eq!(stage.south.delete(&format!("/v1/channels/{channel}")).code(), "unknown-channel");
    access::covirt(&socket, "north", &["channels", "close", &channel, "--reason", "enough"]).ok();
    assert_eq!(first.closed(), (4000, "closed-by-request".to_owned()));
    let mut second = access::Rfb::open(&socket, "north", &path);
    second.begin();
    stage.virsh(&["destroy", "@"]);
    assert_eq!(second.closed(), (1000, "vm-left".to_owned()));
    until("the lane has seen it off", LONG, || {
        (refused_web(&socket, "north", &path)["code"] == "state-forbids").then_some(())
    });
    stage.virsh(&["start", "@"]);
    let mut third = until("the lane has seen it run", LONG, || access::Rfb::try_open(&socket, "north", &path).ok());
    third.begin();
    stage.north.delete(&format!("/v1/vms/{vm}/enrollment")).ok();
    assert_eq!(third.closed(), (4000, "released".to_owned()));
    let told: Vec<Value> = stage.north.get("/v1/channels").ok()["channels"].as_array().cloned().unwrap_or_default();
    assert!(told.is_empty(), "{told:#?}");
}
