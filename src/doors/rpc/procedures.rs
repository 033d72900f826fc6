//! The table of libvirt's procedures: how a door treats each of them. It is data, `procedures.txt`; a test holds it
//! against the list of libvirt's own.

use std::sync::LazyLock;

use super::frame::{LXC, QEMU, REMOTE};
use crate::model::Action;

const TABLE: &str = include_str!("procedures.txt");

/// A procedure, and what the table says of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Procedure {
    /// `REMOTE`, `QEMU` or `LXC`.
    pub program: u32,
    /// libvirt's number.
    pub number: u32,
    /// libvirt's name, in small letters: `domain_create`.
    pub name: &'static str,
    /// How a door treats it.
    pub handling: Handling,
    /// Where the VM is in its arguments.
    pub place: Place,
    /// What a reply that says "done" carries.
    pub returns: Returns,
}

/// How a door treats a procedure.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Handling {
    /// Passed on.
    Pass,
    /// Looks at VMs.
    Read,
    /// Looks at an object of the host.
    HostRead,
    /// Changes an object of the host.
    HostWrite,
    /// Looks at the host, or makes it run what the caller names, as the arguments say.
    HostEither,
    /// Not through a door.
    Refuse,
    /// Acts on a VM: by the first of these actions usually, by another where the arguments say so.
    Act(Vec<Action>),
}

/// Where the VM is in a procedure's arguments.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Place {
    /// They name none.
    Nowhere,
    /// First.
    First,
    /// In the snapshot or the checkpoint that comes first.
    InNamed,
    /// Elsewhere.
    Elsewhere,
}

/// What a reply that says "done" carries.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Returns {
    /// Nothing: a door can make it itself.
    Nothing,
    /// The number nought: a door can make it itself.
    Zero,
    /// The VM, by name, UUID and number.
    Domain,
    /// What only libvirt can say.
    Other,
}

/// Every procedure of one program, by number.
struct Program {
    number: u32,
    procedures: Vec<Option<Procedure>>,
}

static PROGRAMS: LazyLock<Vec<Program>> = LazyLock::new(|| {
    [REMOTE, QEMU, LXC].into_iter().map(|number| Program { number, procedures: by_number(number) }).collect()
});

fn by_number(program: u32) -> Vec<Option<Procedure>> {
    let mut procedures = Vec::new();
    for procedure in read(TABLE).flatten().filter(|procedure| procedure.program == program) {
        let Ok(number) = usize::try_from(procedure.number) else { continue };
        if procedures.len() <= number {
            procedures.resize(number + 1, None);
        }
        if let Some(slot) = procedures.get_mut(number) {
            *slot = Some(procedure);
        }
    }
    procedures
}

/// Every line that says something; none for one that cannot be read.
fn read(table: &'static str) -> impl Iterator<Item = Option<Procedure>> {
    let mut program = None;
    (table.lines()).filter(|line| !line.is_empty() && !line.starts_with('#')).filter_map(move |line| {
        match line.strip_prefix("program ") {
            Some("remote") => program = Some(REMOTE),
            Some("qemu") => program = Some(QEMU),
            Some("lxc") => program = Some(LXC),
            Some(_) => program = None,
            None => return Some(program.and_then(|program| read_line(program, line))),
        }
        None
    })
}

fn read_line(program: u32, line: &'static str) -> Option<Procedure> {
    let mut words = line.split_ascii_whitespace();
    let (number, name) = (words.next()?.parse().ok()?, words.next()?);
    let place = match words.next()? {
        "-" => Place::Nowhere,
        "vm" => Place::First,
        "vm-of-named" => Place::InNamed,
        "own" => Place::Elsewhere,
        _ => return None,
    };
    let returns = match words.next()? {
        "nothing" => Returns::Nothing,
        "zero" => Returns::Zero,
        "domain" => Returns::Domain,
        "other" => Returns::Other,
        _ => return None,
    };
    let handling = match words.next()? {
        "pass" => Handling::Pass,
        "read" => Handling::Read,
        "host-read" => Handling::HostRead,
        "host-write" => Handling::HostWrite,
        "host-read,host-write" => Handling::HostEither,
        "refuse" => Handling::Refuse,
        actions => Handling::Act(actions.split(',').map(|action| action.parse().ok()).collect::<Option<_>>()?),
    };
    words.next().is_none().then_some(Procedure { program, number, name, handling, place, returns })
}

/// What the table says of a procedure; none for one that is newer than the table.
#[must_use]
pub fn find(program: u32, procedure: u32) -> Option<&'static Procedure> {
    let program = PROGRAMS.iter().find(|known| known.number == program)?;
    program.procedures.get(usize::try_from(procedure).ok()?)?.as_ref()
}

/// libvirt's name of a procedure.
#[must_use]
pub fn name_of(program: u32, procedure: u32) -> Option<&'static str> {
    find(program, procedure).map(|procedure| procedure.name)
}

/// What a reply that says "done" carries.
#[must_use]
pub fn returns(program: u32, procedure: u32) -> Returns {
    find(program, procedure).map_or(Returns::Other, |procedure| procedure.returns)
}

/// Those whose call or reply passes open files: only a Unix socket carries them.
const PASS_FILES: [(u32, u32); 6] = [
    (REMOTE, 249), // domain_open_graphics
    (REMOTE, 309), // domain_create_xml_with_files
    (REMOTE, 310), // domain_create_with_files
    (REMOTE, 343), // domain_open_graphics_fd
    (REMOTE, 443), // domain_fd_associate
    (QEMU, 7),     // domain_monitor_command_with_files
];

/// Whether a procedure's call or reply passes open files.
#[must_use]
pub fn passes_files(program: u32, procedure: u32) -> bool {
    PASS_FILES.contains(&(program, procedure))
}

/// Every procedure, in the order of the table.
pub fn all() -> impl Iterator<Item = &'static Procedure> {
    PROGRAMS.iter().flat_map(|program| program.procedures.iter().flatten())
}

#[cfg(test)]
mod tests;
