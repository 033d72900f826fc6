//! `docs/procedures.md` is printed from the table of procedures: it cannot say anything else. `COVIRT_BLESS=1` writes it
//! anew.

use std::fmt::Write as _;
use std::path::Path;

use covirt::doors::rpc::frame::{LXC, QEMU, REMOTE};
use covirt::doors::rpc::procedures::{Handling, Place, Procedure, all};

const HEAD: &str = "# libvirt's procedures at a door

Printed from `src/doors/rpc/procedures.txt` by `tests/procedures_doc.rs`; do not edit. It says what a provider's
libvirt-compatible socket does with each of libvirt's calls. Numbers and names are libvirt's and never change; a call
that is newer than this list may change anything: it is not passed on, and answered as by a libvirt that has it not.

| treated as | what happens |
|---|---|
| pass | passed on: about the connection or the host alone (a number that only the server sends is passed on, too, and libvirt refuses it) |
| read | passed on at once for a VM that the provider sees, answered with \"no domain\" for another; what asks for secrets needs the role `read-secure` |
| host-read | looks at an object of the host; passed on |
| host-write | changes an object of the host: needs the role `host`; a volume that is a co-managed VM's disk is `disk.write` on that VM |
| refuse | not through a door |
| an action | a command on the VM's lane: the provider must hold the action, and the call is forwarded when it is released (see [the actions](actions.md)). Where several are named, arguments decide, and the first is the usual one |

Flags and arguments make another thing of a call than its name says. Two clients' wishes are one only when all of the
call is said by the action's own arguments; everything else is forwarded under its action as a wish of its own. What
libvirt lets only writers do though it changes nothing (questions to the guest's agent, limits of a migration that are
given back, the XML in a saved image) is a read here.
";

fn treated(procedure: &Procedure) -> String {
    match &procedure.handling {
        Handling::Pass => "pass".to_owned(),
        Handling::Read => "read".to_owned(),
        Handling::HostRead => "host-read".to_owned(),
        Handling::HostWrite => "host-write".to_owned(),
        Handling::HostEither => "host-read with the system's own emulator, host-write with another".to_owned(),
        Handling::Refuse => "refuse".to_owned(),
        Handling::Act(actions) => actions.iter().map(|action| format!("`{action}`")).collect::<Vec<_>>().join(", "),
    }
}

const fn place(place: Place) -> &'static str {
    match place {
        Place::Nowhere => "",
        Place::First => "first",
        Place::InNamed => "in the snapshot or checkpoint",
        Place::Elsewhere => "in its own place",
    }
}

fn document() -> String {
    let mut text = HEAD.to_owned();
    let programs = [(REMOTE, "The remote program"), (QEMU, "The QEMU program"), (LXC, "The LXC program")];
    for (program, title) in programs {
        let procedures: Vec<&Procedure> = all().filter(|procedure| procedure.program == program).collect();
        writeln!(text, "\n## {title}\n\nProcedures: {}.\n", procedures.len()).unwrap();
        writeln!(text, "| number | procedure | treated as | its VM |\n|---|---|---|---|").unwrap();
        for procedure in procedures {
            let (number, name) = (procedure.number, procedure.name);
            writeln!(text, "| {number} | `{name}` | {} | {} |", treated(procedure), place(procedure.place)).unwrap();
        }
    }
    text
}

#[test]
fn the_document_says_what_the_table_says() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/procedures.md");
    let document = document();
    if std::env::var_os("COVIRT_BLESS").is_some() {
        std::fs::write(&path, &document).unwrap();
    }
    let written = std::fs::read_to_string(&path).unwrap_or_default();
    assert!(written == document, "docs/procedures.md is out of date: COVIRT_BLESS=1 cargo test --test procedures_doc");
}
