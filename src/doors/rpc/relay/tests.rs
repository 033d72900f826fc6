use std::io::{ErrorKind, Read, Write};
use std::os::fd::OwnedFd;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use proptest::prelude::*;
use tokio::runtime::Runtime;
use tokio::task::JoinHandle;

use super::super::frame::{Header, KEEPALIVE, Kind, Status};
use super::super::samples::{SOON, Sample, header, message, pair, receive, sample, scramble};
use super::*;

type Ended = Result<Ending, RelayError>;

/// A relay under test, its two peers, and the runtime it is on.
struct World<N> {
    client: UnixStream,
    upstream: UnixStream,
    news: mpsc::Sender<N>,
    relay: JoinHandle<Ended>,
    runtime: Runtime,
}

fn world<P: Policy>(policy: P) -> World<P::News> {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
    let ((client, near), (upstream, far)) = (pair(), pair());
    let (news, inbox) = mpsc::channel(4);
    let guard = runtime.enter();
    let relay = Relay::new(near, far, policy, inbox).unwrap();
    drop(guard);
    let relay = runtime.spawn(relay.run());
    World { client, upstream, news, relay, runtime }
}

impl<N> World<N> {
    /// How it ended; both peers are told.
    #[track_caller]
    fn ended(self) -> Ended {
        let relay = self.relay;
        let ended = self.runtime.block_on(async { tokio::time::timeout(SOON, relay).await });
        for mut peer in [&self.client, &self.upstream] {
            // What is still on its way comes before the end.
            while !matches!(peer.read(&mut [0; 4096]), Ok(0) | Err(_)) {}
        }
        ended.expect("the relay ends").unwrap()
    }
}

fn ping(serial: u32) -> Vec<u8> {
    message(Header { program: KEEPALIVE, version: 1, procedure: 1, ..header(Kind::Event, serial) }, 0, &[])
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(32))]

    #[test]
    fn both_directions_pass_every_byte_and_descriptor_in_order(
        samples in [prop::collection::vec(sample(), 0..8), prop::collection::vec(sample(), 0..8)],
        pieces in prop::collection::vec(1..60_000_usize, 1..40),
    ) {
        let world = world(Transparent);
        let [from_client, from_upstream] = &samples;
        std::thread::scope(|scope| {
            for (socket, samples) in [(&world.client, from_client), (&world.upstream, from_upstream)] {
                let mut pieces = pieces.iter().copied().cycle();
                scope.spawn(move || samples.iter().for_each(|sample| sample.send(socket, &mut pieces)));
            }
            for (socket, samples) in [(&world.client, from_upstream), (&world.upstream, from_client)] {
                scope.spawn(move || {
                    for sample in samples {
                        assert!(receive(socket).as_ref() == Some(sample), "a message came through changed");
                    }
                });
            }
        });
        world.client.shutdown(std::net::Shutdown::Both).unwrap();
        prop_assert!(matches!(world.ended(), Ok(Ending::ClientLeft)));
    }
}

/// Writes to an end until the relay takes no more: there is a bound to what is kept.
fn flood(socket: &UnixStream) {
    let packet = message(header(Kind::Stream, 1), 0, &scramble(262_120, 1));
    socket.set_nonblocking(true).unwrap();
    let (mut taken, mut refused_since) = (0, None);
    while refused_since.is_none_or(|since: std::time::Instant| since.elapsed() < Duration::from_millis(500)) {
        match { socket }.write(&packet[taken % packet.len()..]) {
            Ok(count) => (taken, refused_since) = (taken + count, None),
            Err(error) if error.kind() == ErrorKind::WouldBlock => {
                refused_since.get_or_insert_with(std::time::Instant::now);
                std::thread::yield_now();
            }
            Err(error) => panic!("{error}"),
        }
        assert!(taken < 16 * 1024 * 1024, "{taken} bytes were taken for an end that reads none");
    }
}

#[test]
fn a_libvirtd_that_never_reads_stops_neither_the_other_direction_nor_fills_memory() {
    let mut world = world(Transparent);
    flood(&world.client);
    for serial in 0..1000 {
        (&world.upstream).write_all(&ping(serial)).unwrap();
        assert_eq!(receive_from(&world.client).bytes, ping(serial));
    }
    world.upstream = pair().0;
    let relay = world.relay;
    let ended = world.runtime.block_on(async { tokio::time::timeout(SOON, relay).await }).unwrap().unwrap();
    assert!(matches!(ended, Ok(Ending::UpstreamLeft)), "{ended:?}");
}

#[test]
fn a_client_that_never_reads_stops_neither_the_other_direction_nor_fills_memory() {
    let world = world(Transparent);
    flood(&world.upstream);
    for serial in 0..1000 {
        (&world.client).write_all(&ping(serial)).unwrap();
        assert_eq!(receive_from(&world.upstream).bytes, ping(serial));
    }
    drop(world.client);
    let relay = world.relay;
    let ended = world.runtime.block_on(async { tokio::time::timeout(SOON, relay).await }).unwrap().unwrap();
    assert!(matches!(ended, Ok(Ending::ClientLeft)), "{ended:?}");
}

#[tokio::test(start_paused = true)]
async fn a_client_that_takes_nothing_for_long_is_closed() {
    let ((_client, near), (upstream, far)) = (pair(), pair());
    let (_news, inbox) = mpsc::channel(4);
    let relay = tokio::spawn(Relay::new(near, far, Transparent, inbox).unwrap().run());
    let writing = std::thread::spawn(move || {
        let packet = message(header(Kind::Stream, 1), 0, &scramble(262_120, 1));
        // Until the relay has gone.
        while (&upstream).write_all(&packet).is_ok() {}
    });
    let ended = relay.await.unwrap();
    assert!(matches!(ended, Err(RelayError::Stalled(Side::Client))), "{ended:?}");
    writing.join().unwrap();
}

#[track_caller]
fn receive_from(socket: &UnixStream) -> Sample {
    socket.set_nonblocking(false).unwrap();
    receive(socket).expect("a message")
}

#[test]
fn what_libvirt_said_before_it_went_is_still_delivered() {
    let world = world(Transparent);
    let last = Sample { bytes: message(header(Kind::Reply, 3), 0, &scramble(3_000_000, 5)), files: vec![] };
    std::thread::scope(|scope| {
        let upstream = &world.upstream;
        scope.spawn(|| {
            last.send(upstream, &mut std::iter::empty());
            upstream.shutdown(std::net::Shutdown::Both).unwrap();
        });
        assert!(receive(&world.client).as_ref() == Some(&last));
        assert_eq!(receive(&world.client), None);
    });
    assert!(matches!(world.ended(), Ok(Ending::UpstreamLeft)));
}

#[test]
fn what_a_client_sent_before_it_went_still_arrives() {
    let world = world(Transparent);
    let last = Sample { bytes: message(header(Kind::CallWithDescriptors, 3), 2, b"last"), files: vec![5, 6] };
    last.send(&world.client, &mut std::iter::empty());
    world.client.shutdown(std::net::Shutdown::Both).unwrap();
    assert_eq!(receive(&world.upstream), Some(last));
    assert_eq!(receive(&world.upstream), None);
    assert!(matches!(world.ended(), Ok(Ending::ClientLeft)));
}

#[test]
fn a_fault_of_either_end_ends_its_own_connection_and_no_other() {
    for side in [Side::Client, Side::Upstream] {
        let (faulty, other) = (world(Transparent), world(Transparent));
        let mut culprit = match side {
            Side::Client => &faulty.client,
            Side::Upstream => &faulty.upstream,
        };
        culprit.write_all(&[0, 0, 0, 9]).unwrap();
        match faulty.ended() {
            Err(error @ RelayError::Read { .. }) => assert!(error.to_string().contains(&side.to_string()), "{error}"),
            other => panic!("{other:?}"),
        }
        (&other.client).write_all(&ping(1)).unwrap();
        assert_eq!(receive_from(&other.upstream).bytes, ping(1));
    }
}

/// Answers every call itself, and lets go of calls with descriptors.
struct Refusing;

impl Policy for Refusing {
    type News = Frame;

    fn client_says(&mut self, frame: Frame, out: &mut Outputs) {
        out.to_client(Frame::answer(frame.header(), Status::Error, &[0; 64]));
    }

    fn upstream_says(&mut self, frame: Frame, out: &mut Outputs) {
        out.to_client(frame);
    }

    fn told(&mut self, news: Frame, out: &mut Outputs) {
        out.to_client(news);
        out.close("it was told so");
    }

    fn gone(&mut self, side: Side, out: &mut Outputs) {
        out.close(format!("{side} is gone"));
    }
}

#[test]
fn the_descriptors_of_a_message_that_is_not_passed_on_are_closed() {
    let world = world(Refusing);
    let (mut far, near) = pair();
    let call = message(header(Kind::CallWithDescriptors, 1), 1, &[]);
    (&world.client).write_all(&call).unwrap();
    super::super::samples::send_with(&world.client, &[0], &[OwnedFd::from(near)]);
    assert_eq!(receive_from(&world.client).bytes[16..20], Kind::Reply.number().to_be_bytes());
    assert_eq!(far.read(&mut [0]).unwrap(), 0);
}

#[test]
fn answers_that_nobody_takes_end_the_reading_of_calls() {
    let world = world(Refusing);
    let call = message(header(Kind::Call, 1), 0, &[]);
    world.client.set_nonblocking(true).unwrap();
    let mut taken = 0;
    let mut refused_since = None;
    while refused_since.is_none_or(|since: std::time::Instant| since.elapsed() < Duration::from_millis(500)) {
        match (&world.client).write(&call[taken % call.len()..]) {
            Ok(count) => (taken, refused_since) = (taken + count, None),
            Err(_) => {
                refused_since.get_or_insert_with(std::time::Instant::now);
                std::thread::yield_now();
            }
        }
        assert!(taken < 4 * 1024 * 1024, "{taken} bytes of calls were taken");
    }
}

#[test]
fn other_tasks_reach_the_client_and_a_policy_that_closes_has_said_its_last() {
    let world = world(Refusing);
    let news = Frame::new(header(Kind::Reply, 8), &scramble(2_000_000, 8));
    let wanted = news.bytes().to_vec();
    world.news.try_send(news).unwrap();
    assert!(receive_from(&world.client).bytes == wanted);
    assert_eq!(receive(&world.client), None);
    assert!(matches!(world.ended(), Ok(Ending::Decided(why)) if why == "it was told so"));
}

/// Goes on without its client until libvirt has answered.
struct Staying(Arc<AtomicUsize>);

impl Policy for Staying {
    type News = NoNews;

    fn client_says(&mut self, frame: Frame, out: &mut Outputs) {
        out.to_upstream(frame);
    }

    fn upstream_says(&mut self, frame: Frame, out: &mut Outputs) {
        self.0.fetch_add(1, Ordering::Relaxed);
        out.to_client(frame);
        out.close("all is answered");
    }

    fn told(&mut self, news: NoNews, _out: &mut Outputs) {
        match news {}
    }

    fn gone(&mut self, _side: Side, _out: &mut Outputs) {}
}

#[test]
fn a_policy_may_wait_for_the_answer_to_a_client_that_is_gone() {
    let answered = Arc::new(AtomicUsize::new(0));
    let world = world(Staying(answered.clone()));
    let call = Sample { bytes: message(header(Kind::Call, 1), 0, &[]), files: vec![] };
    call.send(&world.client, &mut std::iter::empty());
    world.client.shutdown(std::net::Shutdown::Both).unwrap();
    assert_eq!(receive_from(&world.upstream), call);
    assert!(!world.relay.is_finished());
    (&world.upstream).write_all(&message(header(Kind::Reply, 1), 0, &[])).unwrap();
    assert!(matches!(world.ended(), Ok(Ending::ClientLeft)));
    assert_eq!(answered.load(Ordering::Relaxed), 1);
}

#[test]
fn what_was_not_passed_on_yet_is_closed_with_the_relay() {
    let world = world(Transparent);
    let (mut far, near) = pair();
    // More than libvirt's socket takes, so that the descriptor behind it has to wait.
    let large = message(header(Kind::CallWithDescriptors, 1), 1, &scramble(4_000_000, 2));
    (&world.client).write_all(&large).unwrap();
    super::super::samples::send_with(&world.client, &[0], &[OwnedFd::from(near)]);
    world.relay.abort();
    let _ = world.runtime.block_on(world.relay);
    assert_eq!(far.read(&mut [0]).unwrap(), 0);
}

#[test]
fn a_relay_that_stops_waits_until_its_client_has_taken_its_leave() {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
    let ((mut client, near), (_upstream, far)) = (pair(), pair());
    let (_news, inbox) = mpsc::channel(4);
    let (stop, stopped) = tokio::sync::oneshot::channel();
    let guard = runtime.enter();
    let relay = Relay::new(near, far, Transparent, inbox).unwrap();
    drop(guard);
    let relay = runtime.spawn(relay.run_until(async { stopped.await.unwrap() }));
    stop.send(()).unwrap();
    assert_eq!(client.read(&mut [0]).unwrap(), 0);
    client.write_all(&ping(1)).unwrap();
    assert!(!relay.is_finished());
    drop(client);
    let ended = runtime.block_on(async { tokio::time::timeout(SOON, relay).await });
    assert!(matches!(ended.unwrap().unwrap(), Ok(Ending::Stopped)));
}

#[test]
fn neither_direction_waits_for_the_other_under_load() {
    let world = world(Transparent);
    let packet = message(header(Kind::Stream, 1), 0, &scramble(262_120, 4));
    let rounds = Mutex::new(0);
    std::thread::scope(|scope| {
        // A download that fills one direction …
        let (client, mut upstream) = (&world.client, &world.upstream);
        scope.spawn(move || {
            for _ in 0..100 {
                upstream.write_all(&packet).unwrap();
            }
        });
        // … while the other has calls.
        scope.spawn(|| {
            for serial in 0..100 {
                (&world.client).write_all(&ping(serial)).unwrap();
                assert_eq!(receive(&world.upstream).unwrap().bytes, ping(serial));
                *rounds.lock().unwrap() += 1;
            }
        });
        for _ in 0..100 {
            assert_eq!(receive(client).unwrap().bytes.len(), 262_148);
        }
    });
    assert_eq!(*rounds.lock().unwrap(), 100);
}
