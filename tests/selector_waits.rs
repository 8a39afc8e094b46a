//! How a [`Selector`] waits: CPython's `test_selectors` on `select` and its timeouts, interruptions, and the waker.
// Clippy lets tests unwrap, panic and index, but not the functions that they share.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

mod common;
mod selecting;

use std::io::{Read, Write};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::channel;
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use common::{receive, watchdog, LONG};
use selecting::{drain, look, seen, tcp_pair, udp, until, wait, MOMENT, R, RW, W};
use socketserver::mio::net::TcpStream;
use socketserver::reactor::{Key, Selector, SelectorWaker};
use socketserver::Error;

/// That nothing ends a wait before its time.
fn assert_waits<T>(selector: &mut Selector<T>) {
    let started = Instant::now();
    assert_eq!(seen(&selector.select(Some(MOMENT)).unwrap()), []);
    assert!(started.elapsed() >= MOMENT);
}

/// Python: `test_select`.
#[test]
fn only_what_is_ready_is_reported() {
    let _watchdog = watchdog();
    let mut selector = Selector::new().unwrap();
    let (reader, mut peer) = tcp_pair();
    let (writer, _writers_peer) = tcp_pair();
    let (idle, _idles_peer) = tcp_pair();
    let reader = selector.register(reader, R, ()).unwrap();
    let writer = selector.register(writer, W, ()).unwrap();
    let idle = selector.register(idle, R, ()).unwrap();
    assert_eq!(look(&mut selector), [(writer, "w")]);
    peer.write_all(b"x").unwrap();
    until(&mut selector, vec![(reader, "r"), (writer, "w")]);
    selector.modify(idle, RW).unwrap();
    assert_eq!(look(&mut selector), [(reader, "r"), (writer, "w"), (idle, "w")]);
}

/// Python: `test_select_read_write` (#110038).
#[test]
fn both_directions_are_one_entry() {
    let _watchdog = watchdog();
    let mut selector = Selector::new().unwrap();
    let (stream, mut peer) = tcp_pair();
    let key = selector.register(stream, RW, ()).unwrap();
    assert_eq!(look(&mut selector), [(key, "w")]);
    peer.write_all(b"x").unwrap();
    until(&mut selector, vec![(key, "rw")]);
    assert_eq!(selector.select(Some(Duration::ZERO)).unwrap().len(), 1);
}

/// As on systems that tell of each direction by itself, made here with a source of two descriptors.
#[test]
#[cfg(unix)]
fn events_of_one_source_become_one_entry() {
    use selecting::unix_pair;
    use socketserver::mio::event::Source;
    use socketserver::mio::net::UnixStream;
    use socketserver::mio::{Interest, Registry, Token};

    struct Both(UnixStream, UnixStream);

    impl Source for Both {
        fn register(&mut self, registry: &Registry, token: Token, _: Interest) -> std::io::Result<()> {
            self.0.register(registry, token, R)?;
            self.1.register(registry, token, W)
        }

        fn reregister(&mut self, registry: &Registry, token: Token, _: Interest) -> std::io::Result<()> {
            self.0.reregister(registry, token, R)?;
            self.1.reregister(registry, token, W)
        }

        fn deregister(&mut self, registry: &Registry) -> std::io::Result<()> {
            self.0.deregister(registry)?;
            self.1.deregister(registry)
        }
    }

    let _watchdog = watchdog();
    for reader_first in [true, false] {
        let mut selector = Selector::new().unwrap();
        let (reader, mut peer) = unix_pair();
        let (writer, mut writers_peer) = unix_pair();
        let mut both = Both(reader, writer);
        // The one that becomes ready first is told first.
        if reader_first {
            selecting::fill(&mut both.1);
        }
        let key = selector.register(both, RW, ()).unwrap();
        if reader_first {
            peer.write_all(b"x").unwrap();
            while writers_peer.read(&mut [0; 4096]).is_ok() {}
        } else {
            peer.write_all(b"x").unwrap();
        }
        for _ in 0..3 {
            assert_eq!(look(&mut selector), [(key, "rw")]);
        }
        drain(&mut selector.get_mut::<Both>(key).unwrap().0, 1);
        assert_eq!(look(&mut selector), [(key, "w")]);
    }
}

/// Python: `test_selector`.
#[test]
fn twelve_pairs_talk() {
    const MESSAGE: &[u8] = b" This is a test.";
    let _watchdog = watchdog();
    let mut selector: Selector<usize> = Selector::new().unwrap();
    let mut readers: Vec<Option<Key>> = Vec::new();
    let mut writers: Vec<(usize, Key)> = Vec::new();
    for pair in 0..12 {
        let (reader, writer) = tcp_pair();
        writer.set_nonblocking(true).unwrap();
        readers.push(Some(selector.register(reader, R, pair).unwrap()));
        writers.push((pair, selector.register(TcpStream::from_std(writer), W, pair).unwrap()));
    }
    let mut read = Vec::new();
    while !writers.is_empty() {
        // Every writer that is left, at every select, though none has changed.
        let ready = seen(&selector.select(Some(LONG)).unwrap());
        assert_eq!(ready, writers.iter().map(|(_, key)| (*key, "w")).collect::<Vec<_>>());
        let (pair, writer) = writers.remove(writers.len() * 5 / 7);
        selector.get_mut::<TcpStream>(writer).unwrap().write_all(MESSAGE).unwrap();
        let reader = readers[pair].take().unwrap();
        let started = Instant::now();
        while !wait(&mut selector).contains(&(reader, "r")) {
            assert!(started.elapsed() < LONG);
        }
        let mut stream: TcpStream = selector.unregister(reader).unwrap();
        drain(&mut stream, MESSAGE.len());
        read.push(pair);
        assert_eq!(selector.remove(writer).unwrap(), pair);
    }
    read.sort();
    assert_eq!(read, (0..12).collect::<Vec<_>>());
    assert!(selector.is_empty());
}

/// Python: `test_empty_select` (bpo-23009), `test_empty_select_timeout` (bpo-29255).
#[test]
fn with_nothing_registered_a_select_waits_all_the_same() {
    let _watchdog = watchdog();
    let mut selector = Selector::<()>::new().unwrap();
    assert_eq!(look(&mut selector), []);
    assert_waits(&mut selector);
}

/// Python: `test_timeout`.
#[test]
fn a_timeout_is_kept_and_never_early() {
    let _watchdog = watchdog();
    let mut selector = Selector::new().unwrap();
    let (stream, _peer) = tcp_pair();
    let key = selector.register(stream, W, ()).unwrap();
    // Two that follow each other report the same source, with whatever timeout, and at once.
    for timeout in [Some(Duration::ZERO), Some(Duration::from_nanos(1)), Some(LONG), Some(Duration::MAX), None] {
        let started = Instant::now();
        for _ in 0..2 {
            assert_eq!(seen(&selector.select(timeout).unwrap()), [(key, "w")], "{timeout:?}");
        }
        assert!(started.elapsed() < LONG / 2);
    }
    selector.modify(key, R).unwrap();
    for _ in 0..3 {
        let micros = [0, 1, 999, 1000, 1001, 1999, 2500, 9999, 10_000, 50_500, 100_000, 300_000];
        for timeout in micros.map(Duration::from_micros).into_iter().chain([Duration::from_nanos(1_000_001)]) {
            let started = Instant::now();
            assert_eq!(seen(&selector.select(Some(timeout)).unwrap()), []);
            let waited = started.elapsed();
            assert!(waited >= timeout && waited < timeout + LONG / 2, "{timeout:?}: {waited:?}");
        }
    }
}

#[test]
fn readiness_ends_a_wait_without_a_timeout() {
    let _watchdog = watchdog();
    let mut selector = Selector::new().unwrap();
    let (stream, mut peer) = tcp_pair();
    let key = selector.register(stream, R, ()).unwrap();
    let (go, gone) = channel();
    let writer = thread::spawn(move || {
        for _ in 0..200 {
            receive(&gone);
            peer.write_all(b"x").unwrap();
        }
        peer // whose end is not to be read
    });
    for _ in 0..200 {
        go.send(()).unwrap();
        assert_eq!(seen(&selector.select(None).unwrap()), [(key, "r")]);
        drain(selector.get_mut::<TcpStream>(key).unwrap(), 1);
    }
    drop(writer.join().unwrap());
}

/// Python: `test_select_interrupt_noraise`.
#[test]
#[cfg(target_os = "linux")]
fn an_interruption_neither_ends_a_wait_nor_begins_it_anew() {
    use nix::sys::signal::{kill, sigaction, SaFlags, SigAction, SigHandler, SigSet, Signal};
    use std::sync::mpsc::RecvTimeoutError;

    static HANDLED: AtomicUsize = AtomicUsize::new(0);

    extern "C" fn handle(_: std::ffi::c_int) {
        HANDLED.fetch_add(1, Ordering::SeqCst);
    }

    /// Signals this thread, a moment apart, while `work` runs, and says how often.
    fn interrupted(work: impl FnOnce()) -> usize {
        let before = HANDLED.load(Ordering::SeqCst);
        let selecting = nix::unistd::gettid();
        let (over, ended) = channel::<()>();
        thread::scope(|scope| {
            scope.spawn(move || {
                let started = Instant::now();
                while ended.recv_timeout(Duration::from_millis(5)) == Err(RecvTimeoutError::Timeout) {
                    // Were each wait begun anew, this is when the last would begin.
                    if started.elapsed() < LONG {
                        kill(selecting, Signal::SIGUSR1).unwrap();
                    }
                }
            });
            work();
            drop(over);
        });
        HANDLED.load(Ordering::SeqCst) - before
    }

    let _watchdog = watchdog();
    // Without SA_RESTART, though epoll_wait is never restarted anyway.
    let action = SigAction::new(SigHandler::Handler(handle), SaFlags::empty(), SigSet::empty());
    // SAFETY: the handler touches nothing but an atomic.
    unsafe { sigaction(Signal::SIGUSR1, &action) }.unwrap();
    let timeout = Duration::from_millis(300);
    let (stream, peer) = tcp_pair();
    let mut selector = Selector::new().unwrap();
    let key = selector.register(stream, R, ()).unwrap();
    // Where the machine was too busy to signal, again.
    loop {
        let interruptions = interrupted(|| {
            let started = Instant::now();
            assert_eq!(seen(&selector.select(Some(timeout)).unwrap()), []);
            let waited = started.elapsed();
            assert!(waited >= timeout, "{waited:?}");
            assert!(waited < LONG / 2, "{waited:?}");
        });
        if interruptions >= 3 {
            break;
        }
    }
    // Nor does it keep anything else from ending it: a timer, a waker, a source.
    loop {
        let interruptions = interrupted(|| {
            let started = Instant::now();
            let timer = selector.set_timer(timeout, ()).unwrap();
            assert_eq!(seen(&selector.select(None).unwrap()), [(timer, "t")]);
            assert!(started.elapsed() >= timeout);
            assert!(started.elapsed() < LONG / 2);
            let waker = selector.waker().unwrap();
            thread::scope(|scope| {
                scope.spawn(|| waker.wake().unwrap());
                assert_eq!(seen(&selector.select(Some(LONG)).unwrap()), []);
            });
            thread::scope(|scope| {
                scope.spawn(|| (&peer).write_all(b"x").unwrap());
                assert_eq!(seen(&selector.select(None).unwrap()), [(key, "r")]);
            });
            drain(selector.get_mut::<TcpStream>(key).unwrap(), 1);
            assert!(started.elapsed() < LONG);
        });
        if interruptions >= 3 {
            break;
        }
    }
}

/// Python: `test_above_fd_setsize`.
#[test]
fn there_is_no_limit_to_what_one_select_reports() {
    let _watchdog = watchdog();
    // Not all that there are: other tests run beside this.
    #[cfg(target_os = "linux")]
    let count = {
        use nix::sys::resource::{getrlimit, setrlimit, Resource};
        let (_, hard) = getrlimit(Resource::RLIMIT_NOFILE).unwrap();
        setrlimit(Resource::RLIMIT_NOFILE, hard, hard).unwrap();
        usize::try_from(hard.saturating_sub(256).min(16_384)).unwrap()
    };
    #[cfg(not(target_os = "linux"))]
    let count = 100;
    let mut selector = Selector::new().unwrap();
    // What has room for the first few must make room for the rest.
    assert_eq!(look(&mut selector), []);
    // Of a kind that takes no port, where there is one.
    #[cfg(unix)]
    let source = || socketserver::mio::net::UnixDatagram::unbound().unwrap();
    #[cfg(not(unix))]
    let source = udp;
    let keys: Vec<Key> = (0..count).map(|number| selector.register(source(), W, number).unwrap()).collect();
    let expected: Vec<_> = keys.iter().map(|key| (*key, "w")).collect();
    for _ in 0..2 {
        let ready = look(&mut selector);
        assert_eq!(ready.len(), count);
        assert!(ready == expected);
    }
    // Nor does a wake lack room among them.
    selector.waker().unwrap().wake().unwrap();
    assert_eq!(look(&mut selector).len(), count);
    for key in keys {
        selector.modify(key, R).unwrap();
    }
    assert_waits(&mut selector);
}

#[test]
fn a_wake_ends_a_wait_of_another_thread() {
    let _watchdog = watchdog();
    let mut selector = Selector::new().unwrap();
    let (stream, _peer) = tcp_pair();
    selector.register(stream, R, ()).unwrap();
    let waker = selector.waker().unwrap();
    let (told, tells) = channel();
    let selecting = thread::spawn(move || {
        for _ in 0..200 {
            told.send(selector.select(None).unwrap().len()).unwrap();
        }
    });
    for _ in 0..200 {
        waker.wake().unwrap();
        // One wake, one end; it does not matter whether the wait had begun.
        assert_eq!(receive(&tells), 0);
    }
    selecting.join().unwrap();
    assert!(matches!(waker.wake(), Err(Error::SelectorClosed)));
}

#[test]
fn several_wakes_count_as_one() {
    let _watchdog = watchdog();
    let mut selector = Selector::<()>::new().unwrap();
    let waker = selector.waker().unwrap();
    let clones = [waker.clone(), selector.waker().unwrap(), waker.clone()];
    for clone in clones.iter().cycle().take(100) {
        clone.wake().unwrap();
    }
    // It ends the wait that comes next, whatever its timeout.
    assert_eq!(seen(&selector.select(None).unwrap()), []);
    assert_waits(&mut selector);
    waker.wake().unwrap();
    let started = Instant::now();
    assert_eq!(wait(&mut selector), []);
    assert!(started.elapsed() < LONG / 2);
    // Even one that would not have waited.
    waker.wake().unwrap();
    assert_eq!(look(&mut selector), []);
    assert_waits(&mut selector);
}

#[test]
fn what_is_ready_is_reported_with_a_wake() {
    let _watchdog = watchdog();
    let mut selector = Selector::new().unwrap();
    let key = selector.register(udp(), W, ()).unwrap();
    selector.waker().unwrap().wake().unwrap();
    assert_eq!(wait(&mut selector), [(key, "w")]);
    selector.modify(key, R).unwrap();
    assert_waits(&mut selector);
}

#[test]
fn no_wake_is_lost() {
    let _watchdog = watchdog();
    const THREADS: usize = 4;
    const ROUNDS: usize = 500;
    let mut selector = Selector::<()>::new().unwrap();
    let waker = selector.waker().unwrap();
    let done = Arc::new(AtomicUsize::new(0));
    let threads: Vec<_> = (0..THREADS)
        .map(|_| {
            let (waker, done) = (waker.clone(), Arc::clone(&done));
            thread::spawn(move || {
                for _ in 0..ROUNDS {
                    done.fetch_add(1, Ordering::SeqCst);
                    waker.wake().unwrap();
                }
            })
        })
        .collect();
    // Whoever looks after each end misses nothing that was done before a wake.
    while done.load(Ordering::SeqCst) < THREADS * ROUNDS {
        assert_eq!(seen(&selector.select(None).unwrap()), []);
    }
    for thread in threads {
        thread.join().unwrap();
    }
}

#[test]
fn a_waker_outlives_its_selector_without_effect() {
    fn closed(waker: &SelectorWaker) {
        assert!(matches!(waker.wake(), Err(Error::SelectorClosed)));
        assert!(matches!(waker.clone().wake(), Err(Error::SelectorClosed)));
    }
    let _watchdog = watchdog();
    let mut selector = Selector::<()>::new().unwrap();
    let waker = selector.waker().unwrap();
    waker.wake().unwrap();
    selector.close();
    closed(&waker);
    let selector = Selector::<()>::new().unwrap();
    let waker = selector.waker().unwrap();
    drop(selector);
    closed(&waker);
}

#[test]
fn threads_can_have_it() {
    fn sent<T: Send + 'static>() {}
    fn shared<T: Send + Sync + Clone + 'static>() {}
    sent::<Selector<String>>();
    shared::<SelectorWaker>();
    shared::<Key>();
}
