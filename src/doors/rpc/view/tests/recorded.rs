//! What a real libvirt said, looked at by those who see other parts of its host.

use super::*;

const SPOKEN: &str = include_str!("../../../../../fixtures/rpc/libvirt-9.0.0.txt");

const fn recorded(number: u128) -> VmId {
    VmId(Uuid::from_u128(0x1111_1111_2222_3333_4444_0000_0000_0000 + number))
}

struct Spoken {
    kind: &'static str,
    program: u32,
    procedure: u32,
    call: Vec<u8>,
    answer: Vec<u8>,
}

fn spoken() -> Vec<Spoken> {
    let unhex = |text: &str| -> Vec<u8> {
        let digits = text.trim_matches('-').as_bytes();
        digits.chunks(2).map(|two| u8::from_str_radix(std::str::from_utf8(two).unwrap(), 16).unwrap()).collect()
    };
    let lines = SPOKEN.lines().filter(|line| !line.starts_with('#'));
    lines
        .map(|line| {
            let fields: Vec<&'static str> = line.split(' ').collect();
            Spoken {
                kind: fields[0],
                program: u32::from_str_radix(fields[1], 16).unwrap(),
                procedure: fields[2].parse().unwrap(),
                call: unhex(fields[3]),
                answer: unhex(fields[4]),
            }
        })
        .collect()
}

/// Sees the first of the recorded VMs, and with the host role the third.
struct Looker {
    host: HostNames,
    sees_host: bool,
}

impl Eyes for Looker {
    fn sees(&self, vm: VmId) -> bool {
        vm == recorded(1) || (self.sees_host && vm != recorded(2))
    }

    fn sees_name(&self, name: &str) -> bool {
        self.host.named(name).map_or(self.sees_host, |vm| self.sees(vm))
    }

    fn sees_secrets(&self) -> bool {
        false
    }

    fn sees_host(&self) -> bool {
        self.sees_host
    }

    fn whose(&self, thing: Thing<'_>) -> Whose {
        self.host.whose(thing, &|vm| self.sees(vm))
    }
}

fn looker(sees_host: bool) -> Looker {
    let mut host = HostNames::default();
    let xmls = spoken().into_iter().filter(|spoken| spoken.procedure == 14 && spoken.kind == "reply");
    for (number, (name, xml)) in (1..).zip(["mine", "theirs"].into_iter().zip(xmls)) {
        host.observe(recorded(number), name, &[std::str::from_utf8(&xml.answer[4..]).unwrap().trim_end_matches('\0')]);
    }
    let disk = "<domain><devices><disk><source file='/var/lib/libvirt/images/loose.qcow2'/></disk></devices></domain>";
    host.observe(recorded(3), "loose", &[disk]);
    host.observe_pool("images", "/var/lib/libvirt/images");
    host.is_all();
    Looker { host, sees_host }
}

/// What the client gets in the end, if it gets anything of libvirt's.
fn got(eyes: &Looker, spoken: &Spoken, all: &[Spoken]) -> Option<Vec<u8>> {
    let Spoken { kind, program, procedure, call: asked, answer } = spoken;
    let shown = match *kind {
        "event" => event(*program, *procedure, answer, eyes).unwrap(),
        "error" => error(answer, eyes, &eyes.host).unwrap(),
        _ => match call(*program, *procedure, asked, eyes).unwrap() {
            Asked::Unseen => return None,
            Asked::Seen => reply(*program, *procedure, answer, eyes).unwrap(),
            Asked::Recount(recount) => Shown::Recount(recount),
        },
    };
    match shown {
        Shown::Same => Some(answer.clone()),
        Shown::Changed(payload) => Some(payload),
        Shown::Hidden => None,
        Shown::Recount(recount) => {
            let question = recount.question(asked).unwrap();
            // What was recorded is the list of all, whether they run or not.
            let is_asked = |spoken: &&Spoken| {
                (spoken.procedure, spoken.call.len()) == (question.procedure, question.payload.len())
                    && !spoken.answer.starts_with(&[0, 0, 0, 0])
            };
            let listed = all.iter().find(is_asked)?;
            Some(recount.answer(asked, &listed.answer, eyes).unwrap())
        }
    }
}

#[test]
fn nothing_of_the_vm_of_others_is_in_anything_that_is_shown() {
    let all = spoken();
    let port = all.iter().filter(|spoken| spoken.procedure == 409).map(|spoken| &spoken.call);
    let ports: Vec<&Vec<u8>> = port.collect();
    // Which of the two ports is whose stands in what libvirt says about them.
    let theirs =
        all.iter().filter(|spoken| spoken.procedure == 409).position(|spoken| contains(&spoken.answer, b"theirs"));
    let port = &ports[theirs.unwrap()][ports[0].len() - 20..][..16];
    for sees_host in [false, true] {
        let eyes = looker(sees_host);
        for spoken in &all {
            // Its own secret for somebody's disk the client knows.
            if spoken.procedure == 142 {
                continue;
            }
            let Some(shown) = got(&eyes, spoken, &all) else { continue };
            let what = (spoken.kind, spoken.procedure);
            let uuid = recorded(2).0;
            let needles: [&[u8]; 4] = [b"theirs", uuid.as_bytes(), b"54:00:00:00:02", port];
            for needle in needles {
                assert!(!contains(&shown, needle), "{what:?}: {:?}", String::from_utf8_lossy(&shown));
            }
            if !sees_host {
                assert!(!contains(&shown, b"loose"), "{what:?}");
            }
        }
    }
}

#[test]
fn what_is_seen_is_there() {
    let all = spoken();
    for sees_host in [false, true] {
        let eyes = looker(sees_host);
        for procedure in [21, 23, 24, 43, 92, 95, 97, 99, 273, 282, 341, 344, 397, 398, 401, 404, 405, 409] {
            let of = all.iter().filter(|spoken| spoken.procedure == procedure && spoken.kind == "reply");
            let shown: Vec<Vec<u8>> = of.filter_map(|spoken| got(&eyes, spoken, &all)).collect();
            // The one that is shut off is another's.
            assert!(!shown.is_empty(), "{procedure}");
            let loose = shown.iter().any(|shown| contains(shown, b"loose"));
            assert_eq!(loose, sees_host && [21, 23, 24, 92, 273, 282, 344].contains(&procedure), "{procedure}");
        }
        let count = |procedure| {
            let spoken = all.iter().find(|spoken| spoken.procedure == procedure).unwrap();
            got(&eyes, spoken, &all).unwrap()
        };
        assert_eq!(count(91), bytes(|w| w.i32(if sees_host { 3 } else { 2 })));
        assert_eq!(count(139), bytes(|w| w.i32(1)));
    }
}

#[test]
fn what_is_not_there_is_told_to_the_byte_as_libvirt_told_it() {
    let mut compared = 0;
    for spoken in spoken().iter().filter(|spoken| spoken.kind == "error") {
        if [42, 50, 53, 57, 66, 101, 107].contains(&spoken.answer[3]) {
            assert_eq!(absent(spoken.program, spoken.procedure, &spoken.call), spoken.answer, "{}", spoken.procedure);
            compared += 1;
        }
    }
    assert_eq!(compared, 19);
}

#[test]
fn errors_about_others_lose_their_text_and_all_the_rest_keep_it() {
    for spoken in spoken().iter().filter(|spoken| spoken.kind == "error") {
        let (shown, of_theirs) =
            (error(&spoken.answer, &looker(true), &looker(true).host).unwrap(), contains(&spoken.answer, b"theirs"));
        assert_eq!(shown == Shown::Same, !of_theirs, "{}", String::from_utf8_lossy(&spoken.answer));
    }
}
