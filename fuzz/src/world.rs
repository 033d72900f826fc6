//! A host with three VMs, the provider's own one, one of others and one of nobody's, and those who look at it.

use std::cell::Cell;
use std::sync::LazyLock;

use covirt::doors::rpc::conversation::{Around, Role, Standing, Wire};
use covirt::doors::rpc::view::{Eyes, HostNames, Thing, Whose};
use covirt::doors::rpc::xdr::Writer;
use covirt::model::{VmId, Wall};
use uuid::Uuid;

/// A VM, and all by which it is known.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Guest {
    pub vm: VmId,
    pub name: &'static str,
    pub number: u8,
}

const fn guest(number: u8, name: &'static str) -> Guest {
    let vm = VmId(Uuid::from_u128(0x1111_1111_2222_3333_4444_0000_0000_0000 + number as u128));
    Guest { vm, name, number }
}

/// Co-managed by the provider. All three are named as in the recording.
pub const MINE: Guest = guest(1, "mine");
/// Co-managed by others.
pub const THEIRS: Guest = guest(2, "theirs");
/// Co-managed by nobody.
pub const LOOSE: Guest = guest(3, "loose");
pub const GUESTS: [Guest; 3] = [MINE, THEIRS, LOOSE];

impl Guest {
    #[must_use]
    pub fn mac(&self) -> String {
        format!("52:54:00:00:00:0{}", self.number)
    }

    /// The same at the host's end.
    #[must_use]
    pub fn host_mac(&self) -> String {
        format!("fe:54:00:00:00:0{}", self.number)
    }

    #[must_use]
    pub fn nic(&self) -> String {
        format!("vnet{}", self.number)
    }

    #[must_use]
    pub fn path(&self) -> String {
        format!("/pool/{}.qcow2", self.name)
    }

    #[must_use]
    pub const fn port(&self) -> Uuid {
        Uuid::from_u128(self.vm.0.as_u128() ^ (7 << 64))
    }

    /// `remote_nonnull_domain`.
    #[must_use]
    pub fn domain(&self) -> Vec<u8> {
        let mut writer = Writer::new();
        writer.string(self.name).raw(self.vm.0.as_bytes()).i32(i32::from(self.number));
        writer.into_bytes()
    }

    /// Bytes of which none may be in what is shown to those who do not see it.
    #[must_use]
    pub fn signs(&self) -> Vec<Vec<u8>> {
        let texts = [
            self.name.to_owned(),
            self.vm.to_string(),
            self.port().to_string(),
            self.nic(),
            format!("54:00:00:00:0{}", self.number),
            format!("54_00_00_00_00_0{}", self.number),
        ];
        let raw = [self.vm.0, self.port()].map(|uuid| uuid.as_bytes().to_vec());
        texts.into_iter().map(String::into_bytes).chain(raw).collect()
    }

    fn xml(&self) -> String {
        let (name, mac, nic, port) = (self.name, self.mac(), self.nic(), self.port());
        format!(
            "<domain><name>{name}</name><devices><disk><source file='{}'/></disk>\
             <interface type='network'><mac address='{mac}'/><source network='default' portid='{port}'/>\
             <target dev='{nic}'/></interface></devices></domain>",
            self.path()
        )
    }
}

static WHOLE: LazyLock<HostNames> = LazyLock::new(|| {
    let mut host = HostNames::default();
    for guest in GUESTS {
        host.observe(guest.vm, guest.name, &[&guest.xml()]);
    }
    host.observe_pool("images", "/pool/");
    host.is_all();
    host
});

static NOTHING: LazyLock<HostNames> = LazyLock::new(HostNames::default);

/// Somebody who looks at the host.
pub struct World {
    host: &'static HostNames,
    role: Role,
    secrets: bool,
    all: bool,
    /// What the clock says; it only goes on when it is told to.
    pub now: Cell<i64>,
}

impl World {
    /// By a byte: a secondary; a provider with the host role; a secondary on a host of which little is known; one that
    /// reads secrets; whoever sees everything.
    #[must_use]
    pub fn new(byte: u8) -> Self {
        let kind = byte % 5;
        let host: &HostNames = if kind == 2 { &NOTHING } else { &WHOLE };
        let role = if kind == 1 || kind == 4 { Role::Host } else { Role::Plain };
        Self { host, role, secrets: kind >= 3, all: kind == 4, now: Cell::new(0) }
    }

    /// Whether all of the host is known.
    #[must_use]
    pub fn is_whole(&self) -> bool {
        std::ptr::eq(self.host, &*WHOLE)
    }

    /// The VMs that it does not see.
    pub fn hidden(&self) -> impl Iterator<Item = Guest> {
        GUESTS.into_iter().filter(|guest| !self.all && !self.sees(guest.vm))
    }
}

impl Eyes for World {
    fn sees(&self, vm: VmId) -> bool {
        match self.standing(vm) {
            Standing::Own => true,
            Standing::Others => self.all,
            Standing::Free => self.role == Role::Host,
        }
    }

    fn sees_name(&self, name: &str) -> bool {
        self.host.named(name).map_or(self.role == Role::Host, |vm| self.sees(vm))
    }

    fn sees_secrets(&self) -> bool {
        self.secrets
    }

    fn sees_host(&self) -> bool {
        self.role == Role::Host
    }

    fn sees_all(&self) -> bool {
        self.all
    }

    fn whose(&self, thing: Thing<'_>) -> Whose {
        self.host.whose(thing, &|vm| self.sees(vm))
    }
}

impl Around for World {
    fn standing(&self, vm: VmId) -> Standing {
        match vm {
            vm if vm == MINE.vm => Standing::Own,
            vm if vm == THEIRS.vm => Standing::Others,
            _ => Standing::Free,
        }
    }

    fn by_name(&self, name: &str) -> Option<VmId> {
        [MINE, THEIRS].into_iter().find(|guest| guest.name == name).map(|guest| guest.vm)
    }

    fn now(&self) -> Wall {
        Wall::from_micros(self.now.get())
    }

    fn wire(&self) -> Wire {
        Wire::Local
    }

    fn host(&self) -> &HostNames {
        self.host
    }
}
