//! What requests and servers both know: the handle, the slots, the stop, the counters.

mod gate;
#[cfg(test)]
mod gate_tests;
mod handle;
mod report;
mod stats;
mod throttle;

use std::fmt;
use std::io;
use std::panic::{catch_unwind, AssertUnwindSafe};
use std::sync::{Arc, Weak};
use std::time::{Duration, Instant};

use crate::address::Address;
use crate::sync::{lock, Condvar, Mutex};

pub(crate) use gate::{Gate, Wake};
pub use handle::ServerHandle;
pub use report::ShutdownReport;
pub(crate) use stats::Counters;
pub use stats::Stats;
pub(crate) use throttle::Throttle;

/// How long a cut request may take to notice before it counts as still running. Waking from a read takes microseconds; the rest
/// is for a busy machine.
const CUT_GRACE: Duration = Duration::from_millis(150);

/// How long a close reads on after the last byte has been sent. Closing a TCP socket that still receives makes the kernel send a
/// reset, which can overtake the answer and destroy it in the peer's buffer (RFC 1122, 4.2.2.13).
pub(crate) const LINGER: Duration = Duration::from_secs(1);

/// How long an event loop has at a stop to let in who waits in the kernel's queue. It takes microseconds, unless a callback holds the
/// loop up.
const QUEUE_GRACE: Duration = Duration::from_millis(50);

/// Something a stop can cut at its deadline.
#[allow(unreachable_pub)] // named by the sealed half of a public trait
pub trait Cut: Send + Sync {
    /// The server is stopping. Ends the wait for a next request that has lasted for [`LINGER`], and nothing else. Never blocks.
    fn dismiss(&self) {}

    /// Ends all reading and writing, now and from now on. Never blocks.
    fn cut(&self);

    /// Says to the peer that it is cut off, where nobody has taken note of the cut.
    fn force(&self) {}
}

/// What the gate keeps of a request; `None` where there is nothing to cut, as with a datagram, which asks [`Gate::is_cut`] instead.
pub(crate) type Target = Option<Weak<dyn Cut>>;

/// Wakes the serving thread's poller, while there is one. It is a descriptor, which must not live on in handles that are kept.
#[derive(Debug)]
pub(crate) struct PollWaker(Mutex<Option<Arc<mio::Waker>>>);

impl Wake for PollWaker {
    fn wake(&self) {
        let waker = lock(&self.0);
        let Some(waker) = &*waker else { return };
        if let Err(error) = waker.wake() {
            log::error!("cannot wake the serving thread: {error}");
        }
    }
}

/// One server's shared state.
pub(crate) struct Control {
    pub(crate) gate: Gate<Target, PollWaker>,
    pub(crate) counters: Counters,
    pub(crate) address: Address,
    drops: Throttle,
    drain_timeout: Option<Duration>,
    block_on_close: bool,
    /// An event loop closes the listener at a stop, having let in who waited there.
    loop_closes: bool,
    /// Closes the listener from whichever thread sees to the stop.
    close_listener: Mutex<Option<Box<dyn FnOnce() + Send>>>,
    ending: Mutex<Ending>,
    ended: Condvar,
}

#[derive(Debug, Default)]
struct Ending {
    listener_closed: bool,
    report: Option<ShutdownReport>,
    /// The serving thread has returned.
    served: bool,
}

impl Control {
    /// A server's. It wakes nobody until a waker is attached.
    pub(crate) fn new(address: Address, limit: usize, drain_timeout: Option<Duration>, block_on_close: bool) -> Self {
        Control {
            gate: Gate::new(limit, PollWaker(Mutex::new(None))),
            counters: Counters::default(),
            address,
            drops: Throttle::default(),
            drain_timeout,
            block_on_close,
            loop_closes: false,
            close_listener: Mutex::new(None),
            ending: Mutex::new(Ending::default()),
            ended: Condvar::new(),
        }
    }

    /// Counts a datagram that is lost, and says why.
    pub(crate) fn datagram_dropped(&self, why: impl fmt::Display) {
        self.counters.dropped.add_one();
        self.drops.log(log::Level::Warn, format_args!("a datagram was dropped on {}: {why}", self.address));
    }

    /// Leaves it to an event loop to close the listener at a stop, unless that takes long.
    pub(crate) fn closed_by_its_loop(mut self) -> Self {
        self.loop_closes = true;
        self
    }

    /// For a connection that no server serves.
    pub(crate) fn unserved(address: Address) -> Self {
        Control::new(address, 0, None, true)
    }

    /// The serving thread waits with this waker's poller.
    pub(crate) fn attach_waker(&self, waker: &Arc<mio::Waker>) {
        *lock(&self.gate.waker().0) = Some(Arc::clone(waker));
    }

    pub(crate) fn set_listener_closer(&self, close: impl FnOnce() + Send + 'static) {
        *lock(&self.close_listener) = Some(Box::new(close));
    }

    pub(crate) fn close_listener(&self) {
        let close = lock(&self.close_listener).take();
        if let Some(close) = close {
            contained("closing the listener", close);
        }
        lock(&self.ending).listener_closed = true;
        self.ended.notify_all();
    }

    /// Sees a stop through: closes the listener, waits for the requests under way, cuts them at the deadline, and publishes the
    /// report. Whoever claimed the drain calls it, once.
    pub(crate) fn drain(&self) -> ShutdownReport {
        if self.loop_closes {
            self.wait_listener_closed(QUEUE_GRACE);
        }
        self.close_listener();
        self.dismiss_targets();
        let report = if self.block_on_close {
            // Whoever has been answered within the last second may not have read that yet, and goes when he has had as long as at any close.
            self.gate.wait_drained_until(Some(Instant::now() + LINGER));
            self.dismiss_targets();
            let (drained, abandoned) = self.gate.wait_drained();
            let still_running = if abandoned > 0 { self.cut_all() } else { 0 };
            ShutdownReport { drained, abandoned, still_running }
        } else {
            ShutdownReport { still_running: self.gate.active(), ..ShutdownReport::default() }
        };
        self.publish(report);
        report
    }

    /// Cuts what is left and returns how many requests do not end even so.
    fn cut_all(&self) -> usize {
        self.cut_targets();
        self.gate.set_deadline(Instant::now() + CUT_GRACE);
        let (_, still_running) = self.gate.wait_drained();
        // Those that are left.
        self.each_target(|target| target.force());
        still_running
    }

    fn dismiss_targets(&self) {
        self.each_target(|target| target.dismiss());
    }

    fn cut_targets(&self) {
        self.each_target(|target| target.cut());
    }

    fn each_target(&self, work: impl Fn(&dyn Cut)) {
        for target in self.gate.targets().into_iter().flatten() {
            if let Some(target) = target.upgrade() {
                contained("ending a connection", || work(&*target));
            }
        }
    }

    fn publish(&self, report: ShutdownReport) {
        lock(&self.ending).report = Some(report);
        self.ended.notify_all();
    }

    /// Has the drain done by a thread of its own, because the serving thread is held up by a handler. Never blocks.
    pub(crate) fn drain_elsewhere(self: &Arc<Self>) {
        let control = Arc::clone(self);
        let spawned = std::thread::Builder::new().name("ss-drain".into()).spawn(move || {
            control.drain();
        });
        if let Err(error) = spawned {
            log::error!("cannot start the drain's thread, so what is under way is cut at once: {error}");
            self.close_listener();
            self.dismiss_targets();
            let still_running = self.gate.active();
            let abandoned = if self.block_on_close { still_running } else { 0 };
            if self.block_on_close {
                self.cut_targets();
                self.gate.set_deadline(Instant::now());
            }
            self.publish(ShutdownReport { drained: 0, abandoned, still_running });
        }
    }

    /// The serving thread polls no more.
    pub(crate) fn retire_waker(&self) {
        lock(&self.gate.waker().0).take();
    }

    pub(crate) fn wait_report(&self) -> ShutdownReport {
        let mut ending = lock(&self.ending);
        loop {
            if let Some(report) = ending.report {
                return report;
            }
            ending = self.ended.wait(ending).unwrap_or_else(std::sync::PoisonError::into_inner);
        }
    }

    /// Says that the serving thread has returned, with a report or an error.
    pub(crate) fn set_served(&self) {
        lock(&self.ending).served = true;
        self.ended.notify_all();
    }

    pub(crate) fn wait_listener_closed(&self, limit: Duration) {
        self.wait_ending(limit, |ending| ending.listener_closed);
    }

    /// Waits until the server has ended, and says whether its thread has returned. Where the report is out already, the thread
    /// gets `grace` to return, and is left behind after that: its handler cannot be cut.
    pub(crate) fn wait_ended(&self, grace: Duration) -> (bool, Option<ShutdownReport>) {
        let mut ending = lock(&self.ending);
        while ending.report.is_none() && !ending.served {
            ending = self.ended.wait(ending).unwrap_or_else(std::sync::PoisonError::into_inner);
        }
        drop(ending);
        self.wait_ending(grace, |ending| ending.served);
        let ending = lock(&self.ending);
        (ending.served, ending.report)
    }

    fn wait_ending(&self, limit: Duration, done: impl Fn(&Ending) -> bool) {
        let _ = self
            .ended
            .wait_timeout_while(lock(&self.ending), limit, |ending| !done(ending))
            .unwrap_or_else(std::sync::PoisonError::into_inner);
    }
}

impl fmt::Debug for Control {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Control")
            .field("address", &self.address)
            .field("stats", &self.counters.snapshot(self.gate.active()))
            .field("stopping", &self.gate.is_stopping())
            .finish_non_exhaustive()
    }
}

/// Says that the serving thread has returned.
pub(crate) struct SaysServed(Arc<Control>);

impl SaysServed {
    pub(crate) fn new(control: Arc<Control>) -> Self {
        SaysServed(control)
    }
}

impl Drop for SaysServed {
    fn drop(&mut self) {
        self.0.set_served();
    }
}

/// Runs what a listener or a stream of the user's own does at a stop, which must go on whatever that does.
fn contained(what: &str, code: impl FnOnce()) {
    if catch_unwind(AssertUnwindSafe(code)).is_err() {
        log::error!("a panic in {what} during a shutdown");
    }
}

/// A thread could not be started; the error says what for.
pub(crate) fn spawn_error(what: &str, source: io::Error) -> crate::Error {
    crate::Error::System { operation: format!("start a thread for {what}"), source }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use super::*;

    /// What a busy machine takes at most for what should be at once.
    const PROMPT: Duration = Duration::from_secs(20);

    fn control() -> Arc<Control> {
        Arc::new(Control::new(Address::Unnamed, 1, None, true))
    }

    #[derive(Default)]
    struct Counts {
        cuts: AtomicUsize,
        forced: AtomicUsize,
    }

    impl Cut for Counts {
        fn cut(&self) {
            self.cuts.fetch_add(1, Ordering::SeqCst);
        }

        fn force(&self) {
            self.forced.fetch_add(1, Ordering::SeqCst);
        }
    }

    #[test]
    fn a_request_that_takes_no_note_of_its_cut_is_forced() {
        let control = control();
        let request = Arc::new(Counts::default());
        let target: Weak<dyn Cut> = Arc::<Counts>::downgrade(&request);
        control.gate.admit(Some(target)).map_err(|_| "full").unwrap();
        control.gate.stop(Some(Instant::now()));
        let report = control.drain();
        assert_eq!((report.drained, report.abandoned, report.still_running), (0, 1, 1));
        assert_eq!((request.cuts.load(Ordering::SeqCst), request.forced.load(Ordering::SeqCst)), (1, 1));
        assert!(format!("{control:?}").contains("stopping: true"));
    }

    #[test]
    fn a_request_that_ends_in_time_is_not_cut() {
        let control = control();
        let request = Arc::new(Counts::default());
        let target: Weak<dyn Cut> = Arc::<Counts>::downgrade(&request);
        let slot = control.gate.admit(Some(target)).map_err(|_| "full").unwrap();
        control.gate.stop(None);
        let ending = Arc::clone(&control);
        let thread = std::thread::spawn(move || ending.gate.release(slot));
        let report = control.drain();
        assert_eq!((report.drained, report.abandoned, report.still_running), (1, 0, 0));
        assert_eq!((request.cuts.load(Ordering::SeqCst), request.forced.load(Ordering::SeqCst)), (0, 0));
        assert!(!control.gate.is_cut());
        thread.join().unwrap();
    }

    #[test]
    fn whoever_waits_for_the_end_learns_of_the_report_and_of_the_return() {
        let control = control();
        control.gate.stop(None);
        control.drain();
        assert!(!control.wait_ended(Duration::ZERO).0, "its thread has not returned");
        let returning = SaysServed::new(Arc::clone(&control));
        let thread = std::thread::spawn(move || drop(returning));
        let started = Instant::now();
        let (served, report) = control.wait_ended(2 * PROMPT);
        assert!(served && report.is_some() && started.elapsed() < PROMPT);
        thread.join().unwrap();
    }
}
