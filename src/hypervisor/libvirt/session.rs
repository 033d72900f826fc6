//! The connection on which events arrive, and libvirt's callbacks.
//!
//! A callback runs on the event loop's thread, which serves every connection of the process: it only passes on what
//! it was told, and never calls libvirt in a way that would wait for an answer.

use std::ffi::CStr;
use std::os::raw::{c_char, c_int, c_uint, c_ulonglong, c_void};
use std::sync::Arc;

use uuid::Uuid;
use virt::connect::Connect;
use virt::sys;

use super::links;
use super::news::{self, News};
use super::stats;
use crate::model::{Cause, Happening, VmId};

/// Whoever is told.
pub(super) trait Listener: Send + Sync + 'static {
    /// Something happened to a VM.
    fn notice(&self, vm: VmId, news: News);
    /// The connection was closed, and why.
    fn closed(&self, reason: String);
}

type Shared = Arc<dyn Listener>;

/// A connection with its callbacks; they end with it.
pub(super) struct Session {
    connect: Connect,
    callbacks: Vec<c_int>,
}

impl Session {
    /// Opens the connection and asks for the events that lanes look at.
    ///
    /// *Errors*: what libvirt said, when there is no connection or it gives no life-cycle events.
    pub(super) fn open(uri: &str, listener: &Shared) -> Result<Self, String> {
        let connect = links::open(uri)?;
        let mut session = Self { connect, callbacks: Vec::new() };
        session.watch_closing(listener);
        for (id, callback) in wanted_events() {
            match session.register(id, callback, listener) {
                Ok(()) => {}
                Err(reason) if id == sys::VIR_DOMAIN_EVENT_ID_LIFECYCLE => return Err(reason),
                Err(reason) => tracing::debug!(event = id, reason, "libvirt does not report this kind of event"),
            }
        }
        Ok(session)
    }

    /// The name of the driver behind the connection.
    pub(super) fn driver(&self) -> Result<String, String> {
        self.connect.driver_type().map_err(|error| error.message().to_owned())
    }

    fn register(
        &mut self,
        id: sys::virDomainEventID,
        callback: sys::virConnectDomainEventGenericCallback,
        listener: &Shared,
    ) -> Result<(), String> {
        let opaque = into_opaque(listener);
        let id = c_int::try_from(id).map_err(|error| error.to_string())?;
        // SAFETY: the connection is open; `callback` has the signature that libvirt documents for `id`; `opaque` is
        // a box that stays alive until libvirt calls `release` on it. Needed because the safe binding has no events.
        let number = unsafe {
            sys::virConnectDomainEventRegisterAny(
                self.connect.as_ptr(),
                std::ptr::null_mut(),
                id,
                callback,
                opaque,
                Some(release),
            )
        };
        if number < 0 {
            // SAFETY: libvirt did not take the box, so it is still ours, and this is its only use from here on.
            unsafe { release(opaque) };
            return Err(virt::error::Error::last_error().message().to_owned());
        }
        self.callbacks.push(number);
        Ok(())
    }

    fn watch_closing(&self, listener: &Shared) {
        let opaque = into_opaque(listener);
        // SAFETY: as in `register`; the callback has the one signature there is.
        let taken = unsafe {
            sys::virConnectRegisterCloseCallback(self.connect.as_ptr(), Some(on_close), opaque, Some(release))
        };
        if taken < 0 {
            // A driver inside this process cannot be lost and knows no such callback.
            // SAFETY: libvirt did not take the box.
            unsafe { release(opaque) };
        }
    }
}

impl Drop for Session {
    fn drop(&mut self) {
        for number in &self.callbacks {
            // Callbacks hold the connection open. On a dead connection this fails after it did its part locally.
            // SAFETY: the connection is open on our side and the number came from it.
            unsafe { sys::virConnectDomainEventDeregisterAny(self.connect.as_ptr(), *number) };
        }
        // SAFETY: as above; where none was registered, libvirt only says so.
        unsafe { sys::virConnectUnregisterCloseCallback(self.connect.as_ptr(), Some(on_close)) };
    }
}

/// The events that lanes look at, each with a callback of its signature.
///
/// *Source*: libvirt, `virDomainEventID`.
fn wanted_events() -> [(sys::virDomainEventID, sys::virConnectDomainEventGenericCallback); 15] {
    [
        (sys::VIR_DOMAIN_EVENT_ID_LIFECYCLE, of_lifecycle(on_lifecycle)),
        (sys::VIR_DOMAIN_EVENT_ID_REBOOT, Some(on_reboot)),
        (sys::VIR_DOMAIN_EVENT_ID_BALLOON_CHANGE, of_balloon(on_balloon)),
        (sys::VIR_DOMAIN_EVENT_ID_METADATA_CHANGE, of_metadata(on_metadata)),
        (sys::VIR_DOMAIN_EVENT_ID_DEVICE_ADDED, of_device(on_device_added)),
        (sys::VIR_DOMAIN_EVENT_ID_DEVICE_REMOVED, of_device(on_device_removed)),
        (sys::VIR_DOMAIN_EVENT_ID_DEVICE_REMOVAL_FAILED, of_device(on_unplug_refused)),
        (sys::VIR_DOMAIN_EVENT_ID_TUNABLE, of_tunable(on_tunable)),
        (sys::VIR_DOMAIN_EVENT_ID_AGENT_LIFECYCLE, of_pair(on_agent)),
        (sys::VIR_DOMAIN_EVENT_ID_JOB_COMPLETED, of_tunable(on_job_completed)),
        (sys::VIR_DOMAIN_EVENT_ID_BLOCK_JOB_2, of_block_job(on_block_job)),
        (sys::VIR_DOMAIN_EVENT_ID_WATCHDOG, of_number(on_watchdog)),
        (sys::VIR_DOMAIN_EVENT_ID_IO_ERROR_REASON, of_io_error(on_io_error)),
        (sys::VIR_DOMAIN_EVENT_ID_MEMORY_FAILURE, of_memory_failure(on_memory_failure)),
        (sys::VIR_DOMAIN_EVENT_ID_MIGRATION_ITERATION, of_number(on_migration_pass)),
    ]
}

type Generic = unsafe extern "C" fn(sys::virConnectPtr, sys::virDomainPtr, *mut c_void);
type Lifecycle = unsafe extern "C" fn(sys::virConnectPtr, sys::virDomainPtr, c_int, c_int, *mut c_void) -> c_int;
type Pair = unsafe extern "C" fn(sys::virConnectPtr, sys::virDomainPtr, c_int, c_int, *mut c_void);
type Balloon = unsafe extern "C" fn(sys::virConnectPtr, sys::virDomainPtr, c_ulonglong, *mut c_void);
type Metadata = unsafe extern "C" fn(sys::virConnectPtr, sys::virDomainPtr, c_int, *const c_char, *mut c_void);
type Device = unsafe extern "C" fn(sys::virConnectPtr, sys::virDomainPtr, *const c_char, *mut c_void);
type Number = unsafe extern "C" fn(sys::virConnectPtr, sys::virDomainPtr, c_int, *mut c_void);
type Tunable =
    unsafe extern "C" fn(sys::virConnectPtr, sys::virDomainPtr, sys::virTypedParameterPtr, c_int, *mut c_void);
type BlockJob = unsafe extern "C" fn(sys::virConnectPtr, sys::virDomainPtr, *const c_char, c_int, c_int, *mut c_void);
type IoError = unsafe extern "C" fn(
    sys::virConnectPtr,
    sys::virDomainPtr,
    *const c_char,
    *const c_char,
    c_int,
    *const c_char,
    *mut c_void,
);
type MemoryFailure = unsafe extern "C" fn(sys::virConnectPtr, sys::virDomainPtr, c_int, c_int, c_uint, *mut c_void);

macro_rules! as_generic {
    ($($name:ident($kind:ty),)*) => {
        $(fn $name(callback: $kind) -> sys::virConnectDomainEventGenericCallback {
            // SAFETY: both are plain function pointers. libvirt takes every callback as the generic type and calls
            // it with the signature of its event, which is the one it is registered under above.
            Some(unsafe { std::mem::transmute::<$kind, Generic>(callback) })
        })*
    };
}

as_generic! {
    of_lifecycle(Lifecycle),
    of_pair(Pair),
    of_number(Number),
    of_block_job(BlockJob),
    of_io_error(IoError),
    of_memory_failure(MemoryFailure),
    of_balloon(Balloon),
    of_metadata(Metadata),
    of_device(Device),
    of_tunable(Tunable),
}

fn into_opaque(listener: &Shared) -> *mut c_void {
    Box::into_raw(Box::new(Arc::clone(listener))).cast()
}

unsafe extern "C" fn release(opaque: *mut c_void) {
    // SAFETY: the pointer came from `into_opaque`, and libvirt calls this once, after the last callback.
    drop(unsafe { Box::from_raw(opaque.cast::<Shared>()) });
}

/// Passes news on; nothing may unwind into libvirt.
///
/// # Safety
/// `opaque` is from `into_opaque` and not yet released; `domain` is valid for the length of the call.
unsafe fn pass_on(domain: sys::virDomainPtr, news: News, opaque: *mut c_void) {
    let mut bytes = [0_u8; 16];
    // SAFETY: the domain is valid during the callback, and libvirt writes 16 bytes; it asks nobody for them.
    if unsafe { sys::virDomainGetUUID(domain, bytes.as_mut_ptr()) } < 0 {
        return;
    }
    // SAFETY: see above; the box is only read.
    let listener = unsafe { &*opaque.cast::<Shared>() };
    let told = || listener.notice(VmId(Uuid::from_bytes(bytes)), news);
    if std::panic::catch_unwind(std::panic::AssertUnwindSafe(told)).is_err() {
        tracing::error!("an event could not be passed on");
    }
}

/// Text that libvirt passes; none where it passes none.
///
/// # Safety
/// `text` is null or ends with a zero byte and lives as long as the call.
unsafe fn text_at(text: *const c_char) -> Option<String> {
    if text.is_null() {
        return None;
    }
    // SAFETY: see above.
    Some(unsafe { CStr::from_ptr(text) }.to_string_lossy().into_owned())
}

/// The number of a kind that libvirt counts from 0; one beyond all kinds when it is none.
fn kind(number: c_int) -> c_uint {
    c_uint::try_from(number).unwrap_or(c_uint::MAX)
}

// SAFETY of every callback below: libvirt calls it with the arguments of the event it is registered under, with a
// domain and texts that live as long as the call and with the box that was registered.

unsafe extern "C" fn on_lifecycle(
    _: sys::virConnectPtr,
    domain: sys::virDomainPtr,
    event: c_int,
    detail: c_int,
    opaque: *mut c_void,
) -> c_int {
    // SAFETY: see the comment on the callbacks.
    unsafe { pass_on(domain, news::of_lifecycle(kind(event), kind(detail)), opaque) };
    0
}

unsafe extern "C" fn on_reboot(_: sys::virConnectPtr, domain: sys::virDomainPtr, opaque: *mut c_void) {
    // SAFETY: see the comment on the callbacks.
    unsafe { pass_on(domain, News::Happened(Cause::Rebooted.into()), opaque) };
}

unsafe extern "C" fn on_balloon(
    _: sys::virConnectPtr,
    domain: sys::virDomainPtr,
    _kib: c_ulonglong,
    opaque: *mut c_void,
) {
    // SAFETY: see the comment on the callbacks.
    unsafe { pass_on(domain, News::Altered(Some(Cause::Ballooned)), opaque) };
}

unsafe extern "C" fn on_metadata(
    _: sys::virConnectPtr,
    domain: sys::virDomainPtr,
    of: c_int,
    uri: *const c_char,
    opaque: *mut c_void,
) {
    // SAFETY: see the comment on the callbacks.
    unsafe { pass_on(domain, news::of_metadata(kind(of), text_at(uri)), opaque) };
}

macro_rules! on_device {
    ($($name:ident = $cause:ident,)*) => {
        $(unsafe extern "C" fn $name(
            _: sys::virConnectPtr,
            domain: sys::virDomainPtr,
            alias: *const c_char,
            opaque: *mut c_void,
        ) {
            // SAFETY: see the comment on the callbacks.
            let subject = unsafe { text_at(alias) };
            // SAFETY: the same.
            unsafe { pass_on(domain, News::Happened(Happening { cause: Cause::$cause, subject }), opaque) };
        })*
    };
}

on_device! {
    on_device_added = DeviceAdded,
    on_device_removed = DeviceRemoved,
    on_unplug_refused = UnplugRefused,
}

unsafe extern "C" fn on_tunable(
    _: sys::virConnectPtr,
    domain: sys::virDomainPtr,
    _params: sys::virTypedParameterPtr,
    _count: c_int,
    opaque: *mut c_void,
) {
    // SAFETY: see the comment on the callbacks.
    unsafe { pass_on(domain, News::Happened(Cause::Tuned.into()), opaque) };
}

unsafe extern "C" fn on_job_completed(
    _: sys::virConnectPtr,
    domain: sys::virDomainPtr,
    params: sys::virTypedParameterPtr,
    count: c_int,
    opaque: *mut c_void,
) {
    // SAFETY: see the comment on the callbacks; libvirt frees the array after the call.
    let figures = unsafe { stats::numbers(params, count) };
    let mut error: *const c_char = std::ptr::null();
    // SAFETY: as above; libvirt sets the text if it is there, and it lives as long as the array.
    unsafe { sys::virTypedParamsGetString(params, count, sys::VIR_DOMAIN_JOB_ERRMSG.as_ptr(), &raw mut error) };
    // SAFETY: null or a text of the array's.
    let error = unsafe { text_at(error) };
    // SAFETY: see the comment on the callbacks.
    unsafe { pass_on(domain, news::of_job(&figures, error.as_deref()), opaque) };
}

unsafe extern "C" fn on_block_job(
    _: sys::virConnectPtr,
    domain: sys::virDomainPtr,
    _disk: *const c_char,
    of: c_int,
    status: c_int,
    opaque: *mut c_void,
) {
    // SAFETY: see the comment on the callbacks.
    unsafe { pass_on(domain, news::of_block_job(kind(of), kind(status)), opaque) };
}

unsafe extern "C" fn on_agent(
    _: sys::virConnectPtr,
    domain: sys::virDomainPtr,
    state: c_int,
    reason: c_int,
    opaque: *mut c_void,
) {
    // SAFETY: see the comment on the callbacks.
    unsafe { pass_on(domain, news::of_agent(kind(state), kind(reason)), opaque) };
}

unsafe extern "C" fn on_watchdog(
    _: sys::virConnectPtr,
    domain: sys::virDomainPtr,
    _action: c_int,
    opaque: *mut c_void,
) {
    // SAFETY: see the comment on the callbacks.
    unsafe { pass_on(domain, news::of_watchdog(), opaque) };
}

unsafe extern "C" fn on_io_error(
    _: sys::virConnectPtr,
    domain: sys::virDomainPtr,
    _path: *const c_char,
    alias: *const c_char,
    _action: c_int,
    reason: *const c_char,
    opaque: *mut c_void,
) {
    // SAFETY: see the comment on the callbacks.
    let (alias, reason) = unsafe { (text_at(alias), text_at(reason)) };
    // SAFETY: the same.
    unsafe { pass_on(domain, news::of_io_error(alias, &reason.unwrap_or_default()), opaque) };
}

unsafe extern "C" fn on_memory_failure(
    _: sys::virConnectPtr,
    domain: sys::virDomainPtr,
    _recipient: c_int,
    _action: c_int,
    _flags: c_uint,
    opaque: *mut c_void,
) {
    // SAFETY: see the comment on the callbacks.
    unsafe { pass_on(domain, News::Happened(Cause::MemoryFailure.into()), opaque) };
}

/// The first pass is how a migration that somebody else began is noticed.
unsafe extern "C" fn on_migration_pass(
    _: sys::virConnectPtr,
    domain: sys::virDomainPtr,
    _pass: c_int,
    opaque: *mut c_void,
) {
    // SAFETY: see the comment on the callbacks.
    unsafe { pass_on(domain, News::Altered(None), opaque) };
}

unsafe extern "C" fn on_close(_: sys::virConnectPtr, reason: c_int, opaque: *mut c_void) {
    let said = match sys::virConnectCloseReason::try_from(reason) {
        Ok(sys::VIR_CONNECT_CLOSE_REASON_ERROR) => "the connection failed".to_owned(),
        Ok(sys::VIR_CONNECT_CLOSE_REASON_EOF) => "libvirtd closed the connection".to_owned(),
        Ok(sys::VIR_CONNECT_CLOSE_REASON_KEEPALIVE) => "libvirtd did not answer keepalive questions".to_owned(),
        Ok(sys::VIR_CONNECT_CLOSE_REASON_CLIENT) => "the connection was closed on this side".to_owned(),
        _ => format!("the connection was closed (reason {reason})"),
    };
    // SAFETY: the box was registered with this callback and is not yet released.
    let listener = unsafe { &*opaque.cast::<Shared>() };
    let told = || listener.closed(said);
    let _ = std::panic::catch_unwind(std::panic::AssertUnwindSafe(told));
}

#[cfg(test)]
mod tests {
    use std::ffi::CString;
    use std::sync::Mutex;

    use super::*;

    #[derive(Default)]
    struct Heard(Mutex<Vec<(VmId, News)>>);

    impl Listener for Heard {
        fn notice(&self, vm: VmId, news: News) {
            self.0.lock().unwrap().push((vm, news));
        }

        fn closed(&self, _: String) {}
    }

    /// QEMU says DEVICE_UNPLUG_GUEST_ERROR, and libvirt DEVICE_REMOVAL_FAILED: no guest at hand does, so that
    /// the callback is called here as libvirt would.
    #[test]
    fn a_guest_that_refuses_to_let_go_is_heard_with_the_device() {
        let connect = Connect::open(Some("test:///default")).unwrap();
        let domain = connect.list_all_domains(0).unwrap().remove(0);
        let heard = Arc::new(Heard::default());
        let listener: Shared = heard.clone();
        let (opaque, alias) = (into_opaque(&listener), CString::new("virtio-disk1").unwrap());
        assert!(wanted_events().iter().any(|(id, _)| *id == sys::VIR_DOMAIN_EVENT_ID_DEVICE_REMOVAL_FAILED));
        // SAFETY: the connection, the domain and the text outlive the calls, and the box is released once, after them.
        unsafe {
            on_unplug_refused(connect.as_ptr(), domain.as_ptr(), alias.as_ptr(), opaque);
            on_unplug_refused(connect.as_ptr(), domain.as_ptr(), std::ptr::null(), opaque);
            release(opaque);
        }
        let vm = VmId(domain.uuid().unwrap());
        let told = |subject: Option<&str>| {
            News::Happened(Happening { cause: Cause::UnplugRefused, subject: subject.map(Into::into) })
        };
        assert_eq!(*heard.0.lock().unwrap(), [(vm, told(Some("virtio-disk1"))), (vm, told(None))]);
    }
}
