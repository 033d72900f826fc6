use std::io::{Read, Write};

use proptest::prelude::*;

use super::super::frame::{HEAD, Kind, LENGTH_MAX};
use super::super::samples::{Sample, file, header, message, pair, sample, scramble, send_with, try_send_with};
use super::*;

/// Reads until a message is whole, or nothing more comes, or there is a fault.
fn read(intake: &mut Intake, socket: &std::os::unix::net::UnixStream) -> Result<Option<Frame>, ReadFrameError> {
    loop {
        if let Some(frame) = intake.next()? {
            return Ok(Some(frame));
        }
        match intake.fill(socket)? {
            Filled::Some | Filled::All => {}
            Filled::Nothing | Filled::Closed => return Ok(None),
        }
    }
}

/// How the reading of these bytes ends when nothing follows them.
fn fault(bytes: &[u8]) -> Option<ReadFrameError> {
    let (mut peer, socket) = pair();
    peer.write_all(bytes).unwrap();
    drop(peer);
    let mut intake = Intake::new();
    loop {
        match read(&mut intake, &socket) {
            Ok(Some(_)) => {}
            Ok(None) => return None,
            Err(error) => return Some(error),
        }
    }
}

impl Intake {
    /// What it has room for beside its stage. *Units*: bytes.
    fn room(&self) -> usize {
        self.unfinished.as_ref().map_or(0, |unfinished| unfinished.bytes.capacity())
    }
}

#[test]
fn an_end_in_the_middle_of_a_message_is_a_fault() {
    let whole = message(header(Kind::Call, 1), 0, &[1; 40]);
    for length in 1..whole.len() {
        assert!(matches!(fault(&whole[..length]), Some(ReadFrameError::Half)), "after {length} bytes");
    }
    assert!(fault(&whole).is_none());
    // A descriptor that was announced has not come.
    let announced = message(header(Kind::CallWithDescriptors, 1), 1, &[]);
    assert!(matches!(fault(&announced), Some(ReadFrameError::Half)));
    let large = message(header(Kind::Stream, 1), 0, &[1; 100_000]);
    assert!(matches!(fault(&large[..90_000]), Some(ReadFrameError::Half)));
}

#[test]
fn absurd_lengths_kinds_and_numbers_are_faults_as_soon_as_they_are_seen() {
    for length in [0, 3, 27, LENGTH_MAX + 1, u32::MAX] {
        let error = fault(&length.to_be_bytes());
        assert!(matches!(error, Some(ReadFrameError::Frame(FrameError::Length(said))) if said == length));
    }
    let mut wrong = message(header(Kind::Call, 1), 0, &[]);
    wrong[19] = 9;
    assert!(matches!(fault(&wrong), Some(ReadFrameError::Frame(FrameError::Kind(9)))));
    let many = message(header(Kind::CallWithDescriptors, 1), 33, &[]);
    assert!(matches!(fault(&many), Some(ReadFrameError::Frame(FrameError::Descriptors))));
}

#[test]
fn descriptors_that_came_with_other_bytes_than_theirs_are_a_fault_and_are_closed() {
    let plain = message(header(Kind::Call, 1), 0, &[7; 8]);
    let announcing = message(header(Kind::CallWithDescriptors, 1), 1, &[7; 8]);
    // With a message that announces none; with the bytes of the message itself; two with the byte of one; with the byte
    // behind the message's own; with the beginning of a message.
    type Send = fn(&std::os::unix::net::UnixStream, &[u8], &[OwnedFd]);
    let cases: [(&[u8], Send); 5] = [
        (&plain, |peer, bytes, files| send_with(peer, bytes, &files[..1])),
        (&announcing, |peer, bytes, files| send_with(peer, bytes, &files[..1])),
        (&announcing, |mut peer, bytes, files| {
            peer.write_all(bytes).unwrap();
            send_with(peer, &[0], files);
        }),
        (&announcing, |mut peer, bytes, files| {
            peer.write_all(bytes).unwrap();
            peer.write_all(&[0]).unwrap();
            send_with(peer, &[0], &files[..1]);
        }),
        (&plain, |peer, bytes, files| send_with(peer, &bytes[..2], files)),
    ];
    for (number, (bytes, send)) in cases.into_iter().enumerate() {
        let (peer, socket) = pair();
        let (mut far, near) = pair();
        // A socket's other end tells when all of its descriptors are closed.
        let files = [near.try_clone().unwrap().into(), near.into()];
        send(&peer, bytes, &files);
        drop(files);
        let mut intake = Intake::new();
        let error = loop {
            match read(&mut intake, &socket) {
                Ok(Some(_)) => {}
                other => break other.unwrap_err(),
            }
        };
        assert!(
            matches!(error, ReadFrameError::StrayDescriptors | ReadFrameError::NoDescriptor),
            "case {number}: {error}"
        );
        drop((intake, socket));
        assert_eq!(far.read(&mut [0]).unwrap(), 0, "case {number}");
    }
}

#[test]
fn a_byte_without_its_descriptor_is_a_fault() {
    let mut bytes = message(header(Kind::CallWithDescriptors, 1), 1, &[]);
    bytes.push(0);
    assert!(matches!(fault(&bytes), Some(ReadFrameError::NoDescriptor)));
}

#[test]
fn thirty_two_descriptors_come_with_their_message() {
    let (peer, socket) = pair();
    let sent =
        Sample { bytes: message(header(Kind::ReplyWithDescriptors, 1), 32, b"payload "), files: (0..32).collect() };
    sent.send(&peer, &mut std::iter::empty());
    let frame = read(&mut Intake::new(), &socket).unwrap().unwrap();
    assert_eq!(Sample::of(&frame), sent);
    assert_eq!(frame.payload(), b"payload ");
}

#[test]
fn the_largest_message_is_taken_and_has_room_only_as_it_comes() {
    let (mut peer, socket) = pair();
    let whole = message(header(Kind::Reply, 1), 0, &scramble(LENGTH_MAX as usize - HEAD, 3));
    let mut intake = Intake::new();
    peer.write_all(&whole[..HEAD]).unwrap();
    assert!(read(&mut intake, &socket).unwrap().is_none());
    assert!(intake.room() <= STEP, "{}", intake.room());
    let mut sent = HEAD;
    let frame = loop {
        let piece = &whole[sent..whole.len().min(sent + 100_000)];
        peer.write_all(piece).unwrap();
        sent += piece.len();
        let frame = read(&mut intake, &socket).unwrap();
        assert!(intake.room() <= (2 * sent).max(STEP), "{} for {sent}", intake.room());
        if let Some(frame) = frame {
            break frame;
        }
    };
    assert!(frame.bytes() == whole);
    assert_eq!(intake.room(), 0);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn messages_come_out_as_they_went_in_however_they_are_cut(
        samples in prop::collection::vec(sample(), 1..8),
        pieces in prop::collection::vec(1..60_000_usize, 1..40),
    ) {
        let (peer, socket) = pair();
        let sent = samples.clone();
        let sending = std::thread::spawn(move || {
            let mut pieces = pieces.into_iter().cycle();
            for sample in sent {
                sample.send(&peer, &mut pieces);
            }
        });
        socket.set_nonblocking(false).unwrap();
        let mut intake = Intake::new();
        let mut came = Vec::new();
        loop {
            match intake.next().unwrap() {
                Some(frame) => came.push(Sample::of(&frame)),
                None => match intake.fill(&socket).unwrap() {
                    Filled::Closed => break,
                    Filled::Nothing => std::thread::yield_now(),
                    Filled::Some | Filled::All => {}
                },
            }
        }
        sending.join().unwrap();
        prop_assert_eq!(came, samples);
    }

    #[test]
    fn whatever_comes_nothing_panics_and_memory_is_bounded(
        samples in prop::collection::vec(sample(), 1..4),
        changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 0..12),
        cut in any::<prop::sample::Index>(),
        stray in prop::option::of(any::<prop::sample::Index>()),
    ) {
        let mut bytes: Vec<u8> = samples.into_iter().flat_map(|sample| sample.bytes).collect();
        for (at, value) in changes {
            let at = at.index(bytes.len());
            bytes[at] = value;
        }
        bytes.truncate(cut.index(bytes.len()) + 1);
        let stray = stray.map(|at| at.index(bytes.len()));
        let (mut peer, socket) = pair();
        let sending = std::thread::spawn(move || {
            let (before, after) = bytes.split_at(stray.unwrap_or(bytes.len()));
            // The other side stops reading at a fault.
            let _ = peer.write_all(before);
            if let Some((first, rest)) = after.split_first() {
                let _ = try_send_with(&peer, &[*first], &[file(1)]);
                let _ = peer.write_all(rest);
            }
            bytes.len()
        });
        let mut intake = Intake::new();
        let mut came = 0;
        loop {
            match intake.next() {
                Ok(Some(frame)) => came += frame.bytes().len(),
                Ok(None) => match intake.fill(&socket) {
                    Ok(Filled::Closed) | Err(_) => break,
                    Ok(Filled::Nothing) => std::thread::yield_now(),
                    Ok(Filled::Some | Filled::All) => {}
                },
                Err(_) => break,
            }
            prop_assert!(intake.arrived.len() <= DESCRIPTORS_AT_ONCE);
            let filled = intake.unfinished.as_ref().map_or(0, |unfinished| unfinished.filled);
            prop_assert!(intake.room() <= (2 * filled).max(STEP));
        }
        drop(socket);
        prop_assert!(came <= sending.join().unwrap());
    }
}
