//! Any bytes as a reply, an event, an error; and such as libvirt would send about a host with VMs that are not shown.

use covirt::doors::rpc::conversation::Around;
use covirt::doors::rpc::frame::{QEMU, REMOTE};
use covirt::doors::rpc::view::{self, Asked, Eyes, Shown};
use covirt::doors::rpc::xdr::{ReadXdrError, Reader, Writer};

use super::input::Input;
use super::memory::peak_of;
use super::seeds::{self, place, spoken};
use super::world::{GUESTS, Guest, World};

/// What may be added to what came: our own words in the place of libvirt's.
const ALWAYS: usize = 512;
/// What reading may take of an XML, which has a node for every four bytes at most.
const READING_MAX: usize = 256;

/// Bytes say who looks, and at what.
pub fn judge(data: &[u8]) {
    let mut input = Input::new(data);
    let world = World::new(input.byte());
    match input.byte() % 5 {
        0 => {
            let (program, number) = seeds::procedure(input.short());
            // What was asked decides how a count is taken again.
            let asked = usize::from(input.short());
            let (call, payload) = (input.take(asked), input.rest());
            reply(&world, (program, number), call, payload);
        }
        1 => {
            let (program, number) = seeds::procedure(input.short());
            let payload = input.rest();
            let shown = look(payload, &world, || view::event(program, number, payload, &world));
            assert!(matches!(shown, Ok(Shown::Same | Shown::Hidden) | Err(_)), "an event is shown whole or not at all");
        }
        2 => {
            let payload = input.rest();
            error(&world, payload);
        }
        3 => list(&world, &mut input),
        _ => text(&world, &mut input),
    }
}

/// Asks, and holds the answer against what came.
fn look(payload: &[u8], world: &World, ask: impl Fn() -> Result<Shown, ReadXdrError>) -> Result<Shown, ReadXdrError> {
    let (shown, peak) = peak_of(&ask);
    assert!(peak <= READING_MAX * payload.len() + 64 * ALWAYS, "{peak} for {}", payload.len());
    assert_eq!(ask(), shown, "the same twice");
    if let Ok(Shown::Changed(changed)) = &shown {
        assert!(changed.len() <= payload.len() + ALWAYS);
    }
    if world.sees_all() && world.sees_secrets() {
        assert_eq!(shown, Ok(Shown::Same), "who sees everything gets everything");
    }
    shown
}

fn reply(world: &World, (program, number): (u32, u32), call: &[u8], payload: &[u8]) {
    let shown = look(payload, world, || view::reply(program, number, payload, world));
    match shown {
        Ok(Shown::Changed(changed)) => {
            let again = view::reply(program, number, &changed, world);
            // A list of which nothing is left is a count of nothing.
            assert_eq!(again, Ok(Shown::Same), "{number}: nothing is left to be taken out");
            vms_are_seen(world, number, &changed);
        }
        Ok(Shown::Same) if program == REMOTE => vms_are_seen(world, number, payload),
        Ok(Shown::Recount(recount)) => {
            let Ok(question) = recount.question(call) else { return };
            assert!(question.payload.len() <= call.len() + ALWAYS);
            let (answer, peak) = peak_of(|| recount.answer(call, payload, world));
            assert!(peak <= 64 * (call.len() + payload.len() + ALWAYS), "{peak} for {}", payload.len());
            // A UUID takes more as text.
            assert!(answer.is_err() || answer.is_ok_and(|answer| answer.len() <= 4 * (payload.len() + ALWAYS)));
        }
        Ok(Shown::Same | Shown::Hidden) | Err(_) => {}
    }
    if let Ok(Asked::Recount(recount)) = view::call(program, number, call, world) {
        let answer = recount.answer(call, payload, world);
        assert!(answer.is_err() || answer.is_ok_and(|answer| answer.len() <= 4 * (payload.len() + ALWAYS)));
    }
}

/// A list of VMs, read as a client does: those that are seen, and no others.
fn vms_are_seen(world: &World, number: u32, payload: &[u8]) {
    if number != 273 || world.sees_all() {
        return;
    }
    let mut reader = Reader::new(payload);
    let count = reader.u32().expect("the length of a list");
    for _ in 0..count {
        reader.string().expect("a name");
        assert!(world.sees(covirt::model::VmId(reader.uuid().expect("a UUID"))));
        reader.i32().expect("a number");
    }
    assert_eq!(reader.u32(), Ok(count));
    assert!(reader.rest().is_empty());
}

/// Those that say that there is no such thing name what was asked for.
const NOTHING_THERE: [i32; 11] = [42, 43, 49, 50, 53, 57, 62, 66, 101, 103, 107];

fn error(world: &World, payload: &[u8]) {
    let shown = look(payload, world, || view::error(payload, world, world.host()));
    let text = match &shown {
        Ok(Shown::Same) => payload,
        Ok(Shown::Changed(changed)) => {
            assert_eq!(view::error(changed, world, world.host()), Ok(Shown::Same), "nothing is left to be left out");
            changed
        }
        Ok(other) => panic!("an error is always told: {other:?}"),
        Err(_) => return,
    };
    if world.sees_all() {
        return;
    }
    let mut reader = Reader::new(text);
    let code = reader.i32().expect("it was read");
    if NOTHING_THERE.contains(&code) || !world.is_whole() {
        return;
    }
    reader.i32().expect("it was read");
    let message = reader.optional_string().expect("it was read").unwrap_or_default();
    for guest in world.hidden() {
        // As a word: a text may have any letters.
        let quoted = [format!("'{}'", guest.name), guest.vm.to_string(), format!("'{}'", guest.path())];
        assert!(quoted.iter().all(|sign| !message.contains(sign)), "{message}");
    }
}

fn contains(haystack: &[u8], needle: &[u8]) -> bool {
    haystack.windows(needle.len()).any(|window| window == needle)
}

fn is_clean(world: &World, payload: &[u8], what: u32) {
    for guest in world.hidden() {
        for sign in guest.signs() {
            assert!(!contains(payload, &sign), "{what}: {} is in {}", guest.name, String::from_utf8_lossy(payload));
        }
    }
}

/// What is in a list, and of whom: a guest's, or nobody's.
struct Made {
    items: Vec<Option<Guest>>,
    payload: Vec<u8>,
}

const LISTS: [u32; 11] = [273, 344, 282, 112, 285, 127, 284, 287, 341, 404, 401];
/// The look-ups of one thing that a list has many of, in the same order; none where there is none.
const LOOK_UPS: [u32; 11] = [23, 0, 95, 113, 113, 0, 128, 147, 0, 405, 397];
/// Those that begin with a VM, and those that begin with a number and a VM.
const EVENTS: [u32; 6] = [107, 169, 311, 318, 354, 438];

fn list(world: &World, input: &mut Input<'_>) {
    let which = usize::from(input.byte());
    if which >= 128 {
        return event_of_a_vm(world, input);
    }
    let at = which % LISTS.len();
    let number = LISTS[at];
    let count = input.byte() % 24;
    let mut made = Made { items: Vec::new(), payload: u32::from(count).to_be_bytes().to_vec() };
    for _ in 0..count {
        let whose = GUESTS.get(usize::from(input.byte() % 4)).copied();
        let item = item(number, whose, input);
        if LOOK_UPS[at] != 0 {
            single(world, LOOK_UPS[at], whose, &item);
        }
        made.items.push(whose);
        made.payload.extend(item);
    }
    if ![344, 112, 127].contains(&number) {
        made.payload.extend(u32::from(count).to_be_bytes());
    }
    let payload = &made.payload;
    let shown = match look(payload, world, || view::reply(REMOTE, number, payload, world)) {
        Ok(Shown::Same) => payload,
        Ok(Shown::Changed(changed)) => &changed.clone(),
        // Of all that there are, for a client that takes that many.
        Ok(Shown::Recount(recount)) if [112, 127].contains(&number) => {
            let call = if number == 112 { &[0, 0, 0, 0, 0, 0, 1, 0, 0, 0, 0, 0][..] } else { &[0, 0, 1, 0] };
            &recount.answer(call, payload, world).expect("a list of libvirt's")
        }
        other => panic!("{number}: a list of libvirt's is shown: {other:?}"),
    };
    is_clean(world, shown, number);
    let mine = made.items.iter().flatten().filter(|guest| world.sees(guest.vm)).count();
    let nobodys = made.items.iter().filter(|guest| guest.is_none()).count();
    let shown = Reader::new(shown).u32().map(|count| count as usize).expect("the length of a list");
    if world.is_whole() && !world.sees_all() {
        assert!((mine..=mine + nobodys).contains(&shown), "{number}: {shown} of {mine} and {nobodys}");
    }
}

fn single(world: &World, number: u32, whose: Option<Guest>, item: &[u8]) {
    let shown = view::reply(REMOTE, number, item, world);
    let Some(guest) = whose.filter(|_| !world.sees_all()) else { return };
    let seen = shown == Ok(Shown::Same);
    assert!(seen || shown == Ok(Shown::Hidden), "{number}: {shown:?}");
    assert!(!seen || world.sees(guest.vm), "{number} of {}", guest.name);
    assert!(seen || !world.sees(guest.vm) || !world.is_whole(), "{number} of {}", guest.name);
}

fn event_of_a_vm(world: &World, input: &mut Input<'_>) {
    let number = input.one_of(&EVENTS);
    let guest = input.one_of(&GUESTS);
    let before = if number >= 318 { input.word().to_be_bytes().to_vec() } else { Vec::new() };
    let payload = [&before, &guest.domain()[..], input.rest()].concat();
    let shown = view::event(REMOTE, number, &payload, world);
    let expected = if world.sees_all() || world.sees(guest.vm) { Shown::Same } else { Shown::Hidden };
    assert_eq!(shown, Ok(expected.clone()), "{number} of {}", guest.name);
    if number >= 318 {
        assert_eq!(view::event(QEMU, 6, &payload, world), Ok(expected));
    }
}

/// One of a list, as libvirt writes it.
fn item(number: u32, whose: Option<Guest>, input: &mut Input<'_>) -> Vec<u8> {
    let filler = input.filler();
    let mut writer = Writer::new();
    let of = |of: fn(&Guest) -> String, nobodys: &str| whose.as_ref().map_or_else(|| nobodys.to_owned(), of);
    let nic = of(Guest::nic, "eth0");
    match number {
        // There is no VM that is no VM.
        273 => writer.raw(&whose.unwrap_or(GUESTS[0]).domain()),
        344 => {
            writer.raw(&whose.unwrap_or(GUESTS[0]).domain()).u32(3);
            writer.string(&filler).u32(1).u32(input.word()).string("state").u32(7).string(&filler);
            writer.string("cpu.time").u32(4).u64(u64::from(input.word()))
        }
        282 => {
            let pool = if input.byte() < 200 { "images" } else { "other" };
            let path = of(Guest::path, "/pool/nobodys.iso");
            writer.string(pool).string(path.rsplit('/').next().unwrap_or_default()).string(&path)
        }
        112 | 285 => {
            let mac = of(Guest::host_mac, "02:00:00:00:00:99").replace(':', "_");
            if whose.is_some() { writer.string(&format!("net_{nic}_{mac}")) } else { writer.string("pci_0000_00_01_0") }
        }
        127 => writer.string(&nic),
        284 => writer.string(&nic).string(&of(Guest::host_mac, "02:00:00:00:00:99")),
        287 => {
            writer.raw(&[input.byte() | 1; 16]);
            match (whose, input.byte() % 2) {
                (Some(guest), 0) => writer.i32(1).string(&guest.path()),
                (Some(guest), _) => writer.i32(5).string(&guest.vm.to_string()),
                (None, _) => writer.i32(2).string(&filler),
            }
        }
        341 => {
            let mac = of(Guest::mac, "52:54:00:00:00:99");
            writer.string("virbr0").u64(u64::from(input.word())).i32(0).optional_string(Some(&mac));
            writer
                .optional_string(None)
                .string("192.0.2.9")
                .u32(24)
                .optional_string(Some(&of(|guest| guest.name.to_owned(), &filler)));
            writer.optional_string((input.byte() < 128).then_some(&filler))
        }
        404 => {
            let port = whose.map_or(uuid::Uuid::from_u128(99), |guest| guest.port());
            writer.string("default").raw(&[0x99; 16]).raw(port.as_bytes())
        }
        _ => writer.string(&nic).string(&filler),
    };
    writer.into_bytes()
}

/// An XML with things of several guests in it.
fn text(world: &World, input: &mut Input<'_>) {
    let number = input.one_of(&[43, 130, 99, 143, 409, 398, 235]);
    let mut parts = [String::new(), String::new(), String::new()];
    let mut owner = None;
    for _ in 0..input.byte() % 8 {
        let guest = input.one_of(&GUESTS);
        owner = Some(guest);
        let (name, mac, nic, filler) = (guest.name, guest.mac(), guest.nic(), input.filler());
        // What is between them is libvirt's own indentation, or a remark.
        let between = input.one_of(&["", "\n    ", "<!-- äöü -->", "<a/>"]);
        let (at, part) = match input.byte() % 6 {
            0 => (0, format!("<host mac='{mac}' name='{name}' ip='192.0.2.{filler}'/>")),
            // In what goes there may be what would go by itself.
            1 => {
                let inside = input.one_of(&["", "<interface connections='2'/>", "<network connections='3'></network>"]);
                (0, format!("<host mac='{}' ip='192.0.2.7'>{inside}<a name='{name}'/></host>", mac.to_uppercase()))
            }
            2 => (1, format!("<host ip='192.0.2.1'><hostname>{filler}</hostname><hostname> {name} </hostname></host>")),
            3 => (1, format!("<txt name='{name}' value='{filler}'/>")),
            4 => (
                2,
                format!("<interface type='ethernet' name='{nic}'><mac address='{}'/></interface>", guest.host_mac()),
            ),
            _ => (2, format!("<interface type='ethernet' name='{nic}'/>")),
        };
        parts[at].push_str(&part);
        parts[at].push_str(between);
    }
    let [hosts, names, ports] = parts;
    let owner = owner.unwrap_or(GUESTS[0]);
    let below = input.one_of(&GUESTS);
    let xml = match number {
        43 => format!(
            "<network connections='2'><name>default</name><dns>{names}</dns><ip address='192.0.2.1'><dhcp>{hosts}</dhcp>\
             </ip></network>"
        ),
        130 => format!("<interface type='bridge' name='br0'><bridge stp='on'>{ports}</bridge></interface>"),
        99 => format!(
            "<volume><target><path>{}</path></target><backingStore><path>{}</path></backingStore></volume>",
            owner.path(),
            below.path()
        ),
        143 => format!("<secret><usage type='volume'><volume>{}</volume></usage></secret>", owner.path()),
        235 => format!("<domain><name>{}</name><uuid>{}</uuid></domain>", owner.name, owner.vm),
        _ => format!("<owned><owner><name>{}</name><uuid> {} </uuid></owner></owned>", owner.name, owner.vm),
    };
    let mut writer = Writer::new();
    writer.string(&xml);
    let payload = writer.into_bytes();
    match look(&payload, world, || view::reply(REMOTE, number, &payload, world)) {
        Ok(Shown::Same) => is_clean(world, &payload, number),
        Ok(Shown::Changed(changed)) => {
            is_clean(world, &changed, number);
            assert_eq!(view::reply(REMOTE, number, &changed, world), Ok(Shown::Same));
        }
        Ok(Shown::Hidden) => {}
        other => panic!("{number}: {other:?}"),
    }
}

/// The recording, as each kind of provider sees it; a list, a look-up and a text of each layout.
#[must_use]
pub fn seeds() -> Vec<Vec<u8>> {
    let mut seeds = Vec::new();
    for (who, spoken) in (0..5).cycle().zip(spoken().filter(|spoken| spoken.kind != "call")) {
        let (who, place) = ([who], place(spoken.program, spoken.procedure));
        seeds.push(match spoken.kind {
            "event" => [&who, &[1], &place[..], &spoken.answer].concat(),
            "error" => [&who, &[2], &spoken.answer[..]].concat(),
            _ => {
                let asked = u16::try_from(spoken.call.len()).unwrap_or(0).to_be_bytes();
                [&who, &[0], &place[..], &asked, &spoken.call, &spoken.answer].concat()
            }
        });
    }
    for who in 0..3 {
        for at in 0..12 {
            seeds.push([&[who, 3, at, 9], &[0, 2, 1, 2, 1, 3, 0, 2].repeat(9)[..]].concat());
            seeds.push([&[who, 4, at, 6], &[1, 2, 1, 1, 2, 0, 3, 0].repeat(6)[..]].concat());
        }
        seeds.push(vec![who, 3, 200, who, 1, 0, 0, 0, 1, 9, 9]);
    }
    seeds
}
