//! An agent of which one thread stands still, as it does on a disk that never answers.

use std::time::Duration;

use nix::sys::ptrace;
use nix::sys::wait::{WaitPidFlag, WaitStatus, waitpid};
use nix::unistd::Pid;

use crate::service::Service;
use crate::support::skip;

/// How often the watchdog is fed: twice within what is asked for.
const EVERY: Duration = Duration::from_millis(200);

/// A thread that makes no step until this is dropped. It is traced by the test's own thread.
struct Still(Pid);

impl Still {
    /// *Errors*: this machine lets nobody trace.
    #[track_caller]
    fn hold(process: Pid, name: &str) -> Result<Self, nix::Error> {
        let tasks = std::fs::read_dir(format!("/proc/{process}/task")).expect("its threads");
        let named = tasks
            .map(|task| task.expect("a thread").path())
            .find(|task| std::fs::read_to_string(task.join("comm")).is_ok_and(|comm| comm.trim() == name));
        let task = named.unwrap_or_else(|| panic!("there is no thread {name}"));
        let number = task.file_name().and_then(|name| name.to_str()).and_then(|name| name.parse().ok());
        let thread = Pid::from_raw(number.expect("its number"));
        ptrace::seize(thread, ptrace::Options::empty())?;
        ptrace::interrupt(thread).expect("stop it");
        let stopped = waitpid(thread, Some(WaitPidFlag::__WALL)).expect("it stops");
        assert!(matches!(stopped, WaitStatus::PtraceEvent(..) | WaitStatus::Stopped(..)), "{stopped:?}");
        Ok(Self(thread))
    }
}

impl Drop for Still {
    fn drop(&mut self) {
        // One whose process has ended is not held any more.
        let _ = ptrace::detach(self.0, None);
    }
}

#[test]
fn the_watchdog_is_not_fed_while_the_writer_of_the_journal_stands_still() {
    let mut service = Service::new("");
    service.environment.push(("WATCHDOG_USEC".to_owned(), (2 * EVERY.as_micros()).to_string()));
    service.start();
    service.manager.next("WATCHDOG=1");
    let still = match Still::hold(service.pid(), "journal") {
        Ok(still) => still,
        Err(error) => {
            let test = "the_watchdog_is_not_fed_while_the_writer_of_the_journal_stands_still";
            return skip(test, &format!("no thread can be traced here: {error}"));
        }
    };
    // What it answered before may still be told, once.
    let fed = |messages: &[String]| messages.iter().filter(|message| message.contains("WATCHDOG=1")).count();
    let told = service.manager.within(10 * EVERY);
    assert!(fed(&told) <= 1, "{told:?}");
    assert_eq!(service.manager.within(5 * EVERY), Vec::<String>::new());
    // It is alive otherwise, and says what is wrong with it.
    assert_eq!(service.get("/readyz", "").0, 503);
    drop(still);
    service.manager.next("WATCHDOG=1");
    assert_eq!(service.get("/readyz", "").0, 200);
}
