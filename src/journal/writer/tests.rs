//! Group commit, fences, order of answers, and that nobody is left waiting.

use std::ops::ControlFlow;
use std::sync::mpsc;
use std::sync::{Arc, Mutex};

use super::super::samples::{entry, vm};
use super::super::{Chain, Disk, EncodeError, Entry, Fault, ReplayError, Stored, Verified, VerifyError};
use super::*;

type Answers = mpsc::Receiver<(u64, u64, Result<Position, AppendError>)>;
type Answered = mpsc::Sender<(u64, u64, Result<Position, AppendError>)>;

fn append(journal: &Journal, answers: &Answered, lane: u64, step: u64) {
    let answers = answers.clone();
    journal.append(&entry(lane, step), move |result| answers.send((lane, step, result)).unwrap());
}

fn fenced(lane: u64) -> Result<Position, AppendError> {
    Err(AppendError::Fenced { vm: vm(lane) })
}

/// Keeps the writer in a read until told, so that a test decides what the next batch holds.
struct Stopper {
    go: mpsc::Sender<()>,
}

impl Stopper {
    fn stop(journal: &Journal) -> Self {
        let (go, wait) = mpsc::channel::<()>();
        let (reached, here) = mpsc::channel();
        journal.jobs_for_test(Job::Look(Box::new(move |_| {
            reached.send(()).unwrap();
            wait.recv().unwrap();
        })));
        here.recv().unwrap();
        Self { go }
    }

    fn go(self) {
        self.go.send(()).unwrap();
    }
}

fn start(disk: &Disk) -> (Journal, Answered, Answers) {
    let journal = Journal::start(Box::new(disk.open().unwrap())).unwrap();
    let (answered, answers) = mpsc::channel();
    (journal, answered, answers)
}

#[test]
fn what_is_queued_together_is_one_batch_answered_in_order() {
    let disk = Disk::new();
    let (journal, answered, answers) = start(&disk);
    let stopper = Stopper::stop(&journal);
    for step in 1..=50 {
        append(&journal, &answered, step % 5, step);
    }
    stopper.go();
    for step in 1..=50 {
        assert_eq!(answers.recv().unwrap(), (step % 5, step, Ok(step)));
    }
    assert_eq!(disk.appends(), 1);
    assert_eq!(journal.last(), 50);
}

#[test]
fn a_refused_batch_fences_its_lanes_and_no_others() {
    let disk = Disk::new();
    let (journal, answered, answers) = start(&disk);
    disk.fail_append(1, Fault::Unwritten);
    let stopper = Stopper::stop(&journal);
    append(&journal, &answered, 1, 1);
    append(&journal, &answered, 2, 1);
    stopper.go();
    for lane in [1, 2] {
        let (answered_lane, _, result) = answers.recv().unwrap();
        assert_eq!(answered_lane, lane);
        assert!(matches!(result, Err(AppendError::Unwritable { .. })), "{result:?}");
    }
    append(&journal, &answered, 1, 2);
    append(&journal, &answered, 3, 1);
    assert_eq!(answers.recv().unwrap(), (1, 2, fenced(1)));
    assert_eq!(answers.recv().unwrap(), (3, 1, Ok(1)));
    journal.unfence(vm(1));
    append(&journal, &answered, 1, 3);
    append(&journal, &answered, 2, 2);
    assert_eq!(answers.recv().unwrap(), (1, 3, Ok(2)));
    assert_eq!(answers.recv().unwrap(), (2, 2, fenced(2)));
}

#[test]
fn an_entry_at_fault_is_refused_alone_and_fences_its_lane_within_the_batch() {
    let disk = Disk::new();
    let (journal, answered, answers) = start(&disk);
    let stopper = Stopper::stop(&journal);
    append(&journal, &answered, 1, 1);
    let sender = answered.clone();
    let empty = Entry { facts: vec![], ..entry(1, 2) };
    journal.append(&empty, move |result| sender.send((1, 2, result)).unwrap());
    append(&journal, &answered, 1, 3);
    append(&journal, &answered, 2, 1);
    stopper.go();
    let got: Vec<_> = answers.iter().take(4).collect();
    let no_facts = Err(AppendError::Unencodable(EncodeError::NoFacts));
    assert_eq!(got, [(1, 1, Ok(1)), (1, 2, no_facts), (1, 3, fenced(1)), (2, 1, Ok(2))]);
    assert_eq!(disk.appends(), 1);
}

#[test]
fn beyond_the_bound_entries_are_refused_and_their_lane_is_fenced() {
    let disk = Disk::new();
    let (journal, answered, answers) = start(&disk);
    let stopper = Stopper::stop(&journal);
    for step in 1..=QUEUE_MAX_ENTRIES as u64 {
        journal.append(&entry(1, step), move |result| assert_eq!(result, Ok(step)));
    }
    append(&journal, &answered, 2, 1);
    stopper.go();
    let (_, _, result) = answers.recv().unwrap();
    assert!(matches!(result, Err(AppendError::Full { entries: QUEUE_MAX_ENTRIES, .. })), "{result:?}");
    append(&journal, &answered, 2, 2);
    assert_eq!(answers.recv().unwrap(), (2, 2, fenced(2)));
    append(&journal, &answered, 3, 1);
    assert_eq!(answers.recv().unwrap(), (3, 1, Ok(QUEUE_MAX_ENTRIES as u64 + 1)));
}

#[test]
fn every_refusal_frees_its_place_in_the_queue() {
    let disk = Disk::new();
    let (journal, answered, answers) = start(&disk);
    disk.set_room(Some(0));
    for step in 1..=10 {
        append(&journal, &answered, step % 2, step);
    }
    assert_eq!(answers.iter().take(10).filter(|(_, _, result)| result.is_err()).count(), 10);
    assert_eq!(journal.backlog_for_test(), (0, 0));
}

#[test]
fn closing_writes_what_is_queued_and_refuses_what_comes_later() {
    let disk = Disk::new();
    let (journal, answered, answers) = start(&disk);
    let stopper = Stopper::stop(&journal);
    append(&journal, &answered, 1, 1);
    let closing = journal.clone();
    let thread = std::thread::spawn(move || run(closing.close()));
    stopper.go();
    thread.join().unwrap();
    append(&journal, &answered, 1, 2);
    assert_eq!(answers.recv().unwrap(), (1, 1, Ok(1)));
    assert_eq!(answers.recv().unwrap(), (1, 2, Err(AppendError::Closed)));
    assert_eq!(run(journal.page(0, 1, None)), Err(ReplayError::Closed));
    assert_eq!(run(journal.verify()), Err(VerifyError::Closed));
    run(journal.close());
    assert_eq!(disk.open().unwrap().last(), 1);
}

#[test]
fn a_store_that_panics_leaves_nobody_waiting() {
    struct Broken;
    impl Store for Broken {
        fn append_records(&mut self, _: &[Record]) -> Result<Position, AppendError> {
            panic!("a defect");
        }
        fn slice(&mut self, _: Position, _: usize, _: Option<VmId>) -> Result<Vec<Stored>, ReplayError> {
            Ok(vec![])
        }
        fn count(&mut self, _: VmId, _: Position, _: Position) -> Result<u64, ReplayError> {
            Ok(0)
        }
        fn chain(&self) -> Chain {
            Chain::EMPTY
        }
    }
    let journal = Journal::start(Box::new(Broken)).unwrap();
    let (answered, answers) = mpsc::channel();
    append(&journal, &answered, 1, 1);
    assert_eq!(answers.recv().unwrap(), (1, 1, Err(AppendError::Closed)));
    append(&journal, &answered, 1, 2);
    assert_eq!(answers.recv().unwrap(), (1, 2, Err(AppendError::Closed)));
}

#[test]
fn a_lane_that_panics_when_told_does_not_stop_the_others() {
    let disk = Disk::new();
    let (journal, answered, answers) = start(&disk);
    journal.append(&entry(1, 1), |_| panic!("a defect"));
    append(&journal, &answered, 2, 1);
    assert_eq!(answers.recv().unwrap(), (2, 1, Ok(2)));
}

#[test]
fn a_read_sees_what_was_queued_before_it() {
    let disk = Disk::new();
    let (journal, answered, _answers) = start(&disk);
    for step in 1..=700 {
        append(&journal, &answered, step % 2, step);
    }
    let mut found = Vec::new();
    run(journal.replay_vm(vm(1), |_, entry| {
        found.push(entry);
        ControlFlow::Continue(())
    }))
    .unwrap();
    assert_eq!(found, (1..=700).filter(|step| step % 2 == 1).map(|step| entry(1, step)).collect::<Vec<_>>());
    assert_eq!(run(journal.page(699, 5, None)), Ok(vec![(700, entry(0, 700))]));
    let Verified { records, .. } = run(journal.verify()).unwrap();
    assert_eq!(records, 700);
    disk.remove(700);
    assert!(matches!(run(journal.verify()), Err(VerifyError::Damaged(damage)) if damage.position == 700));
}

#[test]
fn watchers_wake_when_more_is_durable() {
    let disk = Disk::new();
    let (journal, answered, answers) = start(&disk);
    let mut watch = journal.watch();
    assert_eq!(*watch.borrow_and_update(), 0);
    append(&journal, &answered, 1, 1);
    run(watch.changed()).unwrap();
    assert_eq!(*watch.borrow_and_update(), 1);
    answers.recv().unwrap().2.unwrap();
    drop(journal);
    assert!(run(watch.changed()).is_err());
}

#[test]
fn appends_pass_between_the_slices_of_a_long_read() {
    let disk = Disk::new();
    let (journal, answered, answers) = start(&disk);
    for step in 1..=2000 {
        append(&journal, &answered, 1, step);
    }
    let order = Arc::new(Mutex::new(Vec::new()));
    let stopper = Stopper::stop(&journal);
    // Queued behind each other: a slice, an append, a slice, an append.
    for step in 1..=3 {
        let noted = Arc::clone(&order);
        journal.jobs_for_test(Job::Look(Box::new(move |_| noted.lock().unwrap().push("slice"))));
        let noted = Arc::clone(&order);
        journal.append(&entry(2, step), move |_| noted.lock().unwrap().push("append"));
    }
    stopper.go();
    run(journal.close());
    assert_eq!(order.lock().unwrap()[..3], ["append", "append", "append"]);
    assert_eq!(answers.iter().take(2000).count(), 2000);
}

fn run<T>(future: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(future)
}
