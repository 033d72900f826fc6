//! Unmodified virsh on another machine, as a provider: `qemu://HOST:PORT/system` with libvirt's own certificate layout.
//!
//! Needs QEMU. Who a client is says its certificate alone: both providers come from one address and one user.

#[path = "support/authority.rs"]
mod authority;
#[path = "support/covirtd.rs"]
mod covirtd;
mod support;

use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use authority::{Authority, Identity, Wanted};
use covirtd::{Client, Covirtd};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::{Value, json};
use support::qemu::{Guest, PrivateLibvirt, Skip};
use support::{skip, until};

const LONG: Duration = Duration::from_secs(120);

/// Two guests that north has enrolled; south has a part in the first.
struct Stage<'a> {
    libvirt: &'a PrivateLibvirt,
    agent: Covirtd,
    authority: Authority,
    guest: Guest,
    hidden: Guest,
    vm: String,
    north: Client,
    folder: tempfile::TempDir,
    port: u16,
}

struct Said {
    code: Option<i32>,
    out: String,
    err: String,
}

fn booted(libvirt: &PrivateLibvirt, label: &str) -> Guest {
    let guest = Guest::boot(libvirt, label);
    guest.await_console("GUEST-READY", 1);
    guest
}

impl<'a> Stage<'a> {
    fn set(libvirt: &'a PrivateLibvirt, actions: &[&str]) -> Self {
        let (guest, hidden) = (booted(libvirt, "far"), booted(libvirt, "hidden"));
        let folder = tempfile::Builder::new().prefix("covirt-").tempdir().expect("make a folder");
        let authority = Authority::new(folder.path(), "authority");
        let server = authority.issue(&Wanted::server("server"), 1);
        let dir = folder.path().display();
        let more = format!(
            "door = true\n[doors]\ndir = '{dir}/doors'\n[tls]\nlibvirt_listen = '127.0.0.1:0'\ncertificate = '{}'\n\
             key = '{}'\nclient_ca = '{}'\ntrust_domain = 'example.org'\ncrl = '{}'\n",
            server.certificate.display(),
            server.key.display(),
            authority.certificate.display(),
            authority.revoke(&[]).display(),
        );
        let north = "door = true\nroles = ['host']";
        let agent = Covirtd::start_with(env!("CARGO_BIN_EXE_covirtd"), libvirt.uri(), north, &more);
        let mut north = agent.client("north");
        let id = |guest: &Guest| guest.domain(&libvirt.connect()).uuid_string().expect("a UUID");
        let vm = id(&guest);
        for vm in [&vm, &id(&hidden)] {
            north.post(&format!("/v1/vms/{vm}/enrollment"), &json!({})).ok();
        }
        let grant = json!({ "to": "south", "actions": actions, "mode": "shared" });
        north.post(&format!("/v1/vms/{vm}/delegations"), &grant).ok();
        let said = "libvirt's clients are served over TLS";
        let line = until(said, LONG, || agent.log().lines().find(|line| line.contains(said)).map(str::to_owned));
        let address = line.split("address=").nth(1).expect("an address").split(' ').next().expect("an address");
        let port = address.parse::<std::net::SocketAddr>().expect("an address").port();
        Self { libvirt, agent, authority, guest, hidden, vm, north, folder, port }
    }

    /// A provider's certificate.
    fn provider(&self, name: &str, serial: u64) -> Identity {
        self.authority.issue(&Wanted::client(name).named(&format!("spiffe://example.org/provider/{name}")), serial)
    }

    /// The folder that a client's `pkipath` names.
    fn pki(&self, name: &str, who: Option<&Identity>) -> PathBuf {
        let folder = self.folder.path().join(format!("pki-{name}"));
        std::fs::create_dir_all(&folder).expect("make a folder");
        std::fs::copy(&self.authority.certificate, folder.join("cacert.pem")).expect("copy a certificate");
        if let Some(who) = who {
            std::fs::copy(&who.certificate, folder.join("clientcert.pem")).expect("copy a certificate");
            std::fs::copy(&who.key, folder.join("clientkey.pem")).expect("copy a key");
        }
        folder
    }

    fn command(&self, pki: &std::path::Path, words: &[&str]) -> Command {
        let mut virsh = Command::new("virsh");
        let uri = format!("qemu://localhost:{}/system?pkipath={}", self.port, pki.display());
        let words = words.iter().map(|word| if *word == "@" { self.guest.name() } else { word });
        virsh.args(["-q", "-c", &uri]).args(words).env("LC_ALL", "C").stdin(Stdio::null());
        virsh
    }

    #[track_caller]
    fn virsh(&self, pki: &std::path::Path, words: &[&str]) -> Said {
        let output = self.command(pki, words).output().expect("run virsh");
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        Said { code: output.status.code(), out: text(&output.stdout), err: text(&output.stderr) }
    }

    #[track_caller]
    fn virsh_ok(&self, pki: &std::path::Path, words: &[&str]) -> String {
        let Said { code, out, err } = self.virsh(pki, words);
        assert_eq!(code, Some(0), "{words:?}: {out}{err}");
        out
    }

    fn state(&self) -> String {
        self.libvirt.virsh(&["domstate", self.guest.name()]).trim().to_owned()
    }

    /// The commands of a provider by a call of this name, as it sees them itself.
    fn carried(&self, provider: &str, procedure: &str) -> Vec<Value> {
        let list = self.agent.client(provider).get(&format!("/v1/vms/{}/commands", self.vm)).ok();
        let all = list["commands"].as_array().expect("commands").clone();
        let is_it = |command: &Value| command["provider"] == provider && command["call"]["procedure"] == procedure;
        all.into_iter().filter(is_it).collect()
    }

    #[track_caller]
    fn said(&self, parts: &[&str]) {
        until(&format!("a line with {parts:?}"), LONG, || {
            self.agent.log().lines().any(|line| parts.iter().all(|part| line.contains(part))).then_some(())
        });
    }
}

/// `virsh event`, which listens until it is ended.
struct Listening(Child, PathBuf);

impl Drop for Listening {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[test]
fn a_virsh_on_another_machine_is_the_provider_of_its_certificate() {
    let libvirt = match PrivateLibvirt::get() {
        Ok(libvirt) => libvirt,
        Err(Skip(reason)) => return skip("a_virsh_on_another_machine_is_the_provider_of_its_certificate", &reason),
    };
    let mut stage = Stage::set(&libvirt, &["power.suspend", "power.resume"]);
    let (north, south) = (stage.provider("north", 10), stage.provider("south", 11));
    let (of_north, of_south) = (stage.pki("north", Some(&north)), stage.pki("south", Some(&south)));
    // South sees what it has a part in; north, from the same address, what it is the primary of.
    let names = |pki| stage.virsh_ok(pki, &["list", "--all", "--name"]);
    let (seen, all) = (names(&of_south), names(&of_north));
    let (guest, hidden) = (stage.guest.name().to_owned(), stage.hidden.name().to_owned());
    assert_eq!(seen.trim(), guest);
    assert!(all.contains(&guest) && all.contains(&hidden), "{all}");
    let hidden = stage.virsh(&of_south, &["dominfo", &hidden]);
    assert!(hidden.code == Some(1) && hidden.err.contains("failed to get domain"), "{}", hidden.err);
    // What it may do passes through the lane, and names the key.
    stage.virsh_ok(&of_south, &["suspend", "@"]);
    assert_eq!(stage.state(), "paused");
    stage.virsh_ok(&of_south, &["resume", "@"]);
    assert_eq!(stage.state(), "running");
    for procedure in ["domain_suspend", "domain_resume"] {
        let commands = stage.carried("south", procedure);
        assert_eq!(commands.len(), 1, "{procedure}");
        assert_eq!(commands[0]["state"], "done");
        assert_eq!(commands[0]["call"]["key"], json!(south.id.to_string()), "{}", commands[0]);
        assert!(commands[0]["call"]["address"].as_str().is_some_and(|from| from.starts_with("127.0.0.1:")));
        // From where it came is not the others' to know.
        let id = commands[0]["id"].as_str().expect("an id");
        let seen = stage.north.get(&format!("/v1/commands/{id}")).ok();
        assert_eq!(seen["call"], json!({ "procedure": procedure }));
    }
    // What it may not is refused with this agent's words.
    for words in [&["destroy", "@"][..], &["reboot", "@"], &["undefine", "@"]] {
        let said = stage.virsh(&of_south, words);
        assert_eq!(said.code, Some(1), "{words:?}");
        assert!(said.err.contains("not-delegated") || said.err.contains("covirt"), "{words:?}: {}", said.err);
    }
    assert_eq!(stage.state(), "running");
    let secrets = stage.virsh(&of_south, &["dumpxml", "--security-info", "@"]);
    assert!(secrets.code == Some(1) && secrets.err.contains("read-secure"), "{}", secrets.err);
    let pool = stage.virsh(&of_south, &["pool-define-as", "x", "dir", "--target", "/nowhere"]);
    assert!(pool.code == Some(1) && pool.err.contains("host role"), "{}", pool.err);
    // One connection, many calls.
    let many = "dominfo @; domstate @; domblklist @; vcpucount @; dumpxml @".replace('@', &guest);
    stage.virsh_ok(&of_south, &[&many]);
}

#[test]
fn what_passes_an_open_file_is_refused_over_tls_and_the_connection_lives() {
    let libvirt = match PrivateLibvirt::get() {
        Ok(libvirt) => libvirt,
        Err(Skip(reason)) => {
            return skip("what_passes_an_open_file_is_refused_over_tls_and_the_connection_lives", &reason);
        }
    };
    let stage = Stage::set(&libvirt, &["screen.open", "console.open"]);
    let pki = stage.pki("south", Some(&stage.provider("south", 11)));
    let uri = format!("qemu://localhost:{}/system?pkipath={}", stage.port, pki.display());
    let connect = virt::connect::Connect::open(Some(&uri)).expect("connect");
    let domain = stage.guest.domain(&connect);
    // SAFETY: the domain is alive for the call, which keeps nothing of it.
    let descriptor = unsafe { virt::sys::virDomainOpenGraphicsFD(domain.as_ptr(), 0, 0) };
    assert_eq!(descriptor, -1);
    let error = virt::error::Error::last_error();
    assert!(error.message().contains("it passes an open file"), "{error:?}");
    // libvirt's client would have ended the connection over a descriptor.
    assert_eq!(domain.name().expect("its name"), stage.guest.name());
    assert!(domain.info().is_ok(), "the connection lives");
    stage.said(&["a client's call was refused", "domain_open_graphics_fd", "provider=south"]);
}

#[test]
fn events_reach_a_client_over_tls_and_a_revoked_one_is_cut_off() {
    let libvirt = match PrivateLibvirt::get() {
        Ok(libvirt) => libvirt,
        Err(Skip(reason)) => return skip("events_reach_a_client_over_tls_and_a_revoked_one_is_cut_off", &reason),
    };
    let stage = Stage::set(&libvirt, &["power.suspend", "power.resume"]);
    let (north, south) = (stage.provider("north", 10), stage.provider("south", 11));
    let (of_north, of_south) = (stage.pki("north", Some(&north)), stage.pki("south", Some(&south)));
    let listen = |pki: &PathBuf, name: &str| {
        let heard = stage.folder.path().join(format!("{name}.heard"));
        let virsh = stage.command(pki, &["event", "--event", "lifecycle", "--loop"]);
        let mut command = Command::new("stdbuf");
        command.arg("-oL").arg(virsh.get_program()).args(virsh.get_args()).env("LC_ALL", "C").stdin(Stdio::null());
        command.stdout(std::fs::File::create(&heard).expect("make a file")).stderr(Stdio::null());
        Listening(command.spawn().expect("start virsh"), heard)
    };
    let (mut by_north, mut by_south) = (listen(&of_north, "north"), listen(&of_south, "south"));
    // Nothing says when a listener is there but that it hears.
    until("both hear", LONG, || {
        stage.virsh_ok(&of_south, &["suspend", "@"]);
        stage.virsh_ok(&of_south, &["resume", "@"]);
        let heard = [&by_north, &by_south].map(|one| std::fs::read_to_string(&one.1).expect("what was heard"));
        heard.iter().all(|text| text.contains("Suspended") && text.contains(stage.guest.name())).then_some(())
    });
    stage.authority.revoke(&[&south]);
    let pid = i32::try_from(stage.agent.pid()).expect("a process id");
    kill(Pid::from_raw(pid), Signal::SIGHUP).expect("SIGHUP");
    until("south's listener is cut off", LONG, || by_south.0.try_wait().expect("ask for virsh"));
    stage.said(&["a client's connection is closed", "provider=south", "its certificate is revoked"]);
    assert_ne!(stage.virsh(&of_south, &["list"]).code, Some(0));
    assert!(by_north.0.try_wait().expect("ask for virsh").is_none(), "north's goes on");
    stage.virsh_ok(&of_north, &["list"]);
}

#[test]
fn a_client_without_a_certificate_that_speaks_for_somebody_is_refused() {
    let libvirt = match PrivateLibvirt::get() {
        Ok(libvirt) => libvirt,
        Err(Skip(reason)) => {
            return skip("a_client_without_a_certificate_that_speaks_for_somebody_is_refused", &reason);
        }
    };
    let stage = Stage::set(&libvirt, &["power.suspend"]);
    let stranger = Authority::new(stage.folder.path(), "stranger");
    let name = "spiffe://example.org/provider/south";
    let wrong = stranger.issue(&Wanted::client("south").named(name), 20);
    let nobody = stage.authority.issue(&Wanted::client("nobody"), 22);
    let two = Wanted::client("two").named(name).named("spiffe://example.org/provider/north");
    let two = stage.authority.issue(&two, 23);
    for (pki, who, reason) in [
        ("none", None, "no-certificate"),
        ("wrong", Some(&wrong), "unknown-authority"),
        ("nobody", Some(&nobody), "stranger"),
        ("two", Some(&two), "several-providers"),
    ] {
        let folder = stage.pki(pki, who);
        // libvirt looks at its own certificate first: to show a stranger's it has to believe the stranger, too. One that has
        // expired it does not show at all.
        let believed =
            [&stage.authority, &stranger].map(|one| std::fs::read_to_string(&one.certificate).expect("read"));
        std::fs::write(folder.join("cacert.pem"), believed.concat()).expect("write the authorities");
        let said = stage.virsh(&folder, &["list"]);
        assert_ne!(said.code, Some(0), "{pki}: {}", said.out);
        stage.said(&["a client was refused", &format!("reason=\"{reason}\""), "127.0.0.1:"]);
    }
    stage.virsh_ok(&stage.pki("south", Some(&stage.provider("south", 24))), &["list"]);
}
