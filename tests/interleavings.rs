//! Ten thousand random interleavings of a server's start, its stops, its clients, and the drops of all that has a hold on it.
// Clippy lets tests unwrap, panic and index, but not the functions that they share.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

#[macro_use]
mod common;

use std::sync::mpsc::{channel, Receiver, Sender};
use std::sync::{Arc, Barrier};
use std::time::Duration;

use common::{eventually, Caller, ComposedKind, Reach, ServerOf, Talk, LONG};
use socketserver::{handler_fn, Error, Handled, Handler, Running, ServerHandle};

/// In all, over all kinds. `INTERLEAVINGS_SEED` repeats a run, as far as the scheduler lets it.
const ROUNDS: u64 = 10_000;

/// Marsaglia's xorshift64*: enough to shuffle by.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        self.0.wrapping_mul(0x2545_F491_4F6C_DD1D) >> 32
    }

    fn below(&mut self, limit: u64) -> u64 {
        self.next() % limit
    }
}

fn seed() -> u64 {
    match std::env::var("INTERLEAVINGS_SEED") {
        Ok(text) => text.parse().expect("a seed is a number"),
        Err(_) => std::process::id().into(),
    }
}

/// A handler that does what the first byte says.
fn handler<R: Talk>() -> impl Handler<R> + Clone {
    handler_fn(|request: &mut R| {
        let mut byte = [0];
        request.read_exact(&mut byte)?;
        match byte {
            [b's'] => request.serving().shutdown(),
            [b'p'] => panic!("told to"),
            _ => request.say(&byte)?,
        }
        Ok(())
    })
}

/// What the others do meanwhile.
fn disturb(handle: ServerHandle, place: &impl Reach, mut random: Random) {
    let mut handles = vec![handle];
    for _ in 0..random.below(6) {
        let Some(handle) = handles.last() else { return };
        match random.below(12) {
            0 => handle.shutdown(),
            1 => handle.shutdown_within(Duration::from_millis(random.below(3))),
            2 => drop(handle.is_shutting_down()),
            3 => drop(handle.stats()),
            4..=5 => handles.push(handle.clone()),
            6 => drop(handles.pop()),
            7..=9 => {
                // It may be too early or too late, and then it sees an error or the end.
                if let Ok(mut client) = place.try_call(&b"spe"[random.below(3) as usize..][..1]) {
                    if random.below(2) == 0 {
                        client.linger();
                    }
                }
            }
            _ => std::thread::yield_now(),
        }
    }
}

/// What the owner does. Each way ends by itself or by the last shutdown.
fn own<K: ComposedKind>(mut server: ServerOf<K>, mut random: Random) {
    match random.below(6) {
        0 => drop(server),
        1 => match server.handle_request() {
            Ok(
                Handled::Served | Handled::ShutDown | Handled::TimedOut | Handled::AcceptError(_) | Handled::Rejected,
            ) => {}
            other => panic!("handle_request: {other:?}"),
        },
        2 => match server.spawn() {
            Ok(running) => finish(running, random.below(3)),
            Err(error) => panic!("spawn: {error}"),
        },
        3 => {
            server.serve_forever().unwrap();
            drop(server);
        }
        _ => {
            let report = server.serve_forever().unwrap();
            assert!(report.still_running <= report.abandoned, "{report:?}");
            assert!(matches!(server.serve_forever(), Err(Error::Closed { .. })));
        }
    }
}

fn finish<A: Clone>(running: Running<A>, how: u64) {
    match how {
        0 => drop(running),
        1 => drop(running.stop().unwrap()),
        _ => drop(running.join().unwrap()),
    }
}

/// A pool of its own: to start threads anew for each round would take most of the time.
struct Worker {
    work: Sender<Box<dyn FnOnce() + Send>>,
    done: Receiver<()>,
    thread: Option<std::thread::JoinHandle<()>>,
}

impl Worker {
    fn new() -> Self {
        let (work, todo) = channel::<Box<dyn FnOnce() + Send>>();
        let (finished, done) = channel();
        let thread = std::thread::spawn(move || {
            for work in todo {
                work();
                finished.send(()).unwrap();
            }
        });
        Worker { work, done, thread: Some(thread) }
    }

    fn start(&self, work: impl FnOnce() + Send + 'static) {
        self.work.send(Box::new(work)).unwrap();
    }

    /// Waits for the work, and panics as it did.
    fn wait(&mut self, what: &str) {
        match self.done.recv_timeout(LONG) {
            Ok(()) => {}
            Err(std::sync::mpsc::RecvTimeoutError::Timeout) => panic!("{what} hangs"),
            Err(_) => {
                let panic = self.thread.take().unwrap().join().unwrap_err();
                std::panic::resume_unwind(panic);
            }
        }
    }
}

fn interleavings<K: ComposedKind>() {
    let seed = seed();
    println!("INTERLEAVINGS_SEED={seed}");
    let mut random = Random(seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1);
    let mut owner = Worker::new();
    let mut others = [Worker::new(), Worker::new()];
    for round in 0..ROUNDS / 8 {
        let builder = K::builder()
            .max_connections(if K::is_threading() { 1 + random.below(3) as usize } else { 1 })
            .drain_timeout(Duration::from_millis(random.below(3)))
            .handle_error(|_| ());
        let (server, place) = K::bind(builder, handler());
        let handle = server.handle();
        let together = Arc::new(Barrier::new(3));
        let (go, owners) = (Arc::clone(&together), Random(random.next() << 1 | 1));
        owner.start(move || {
            go.wait();
            own::<K>(server, owners);
        });
        for other in &others {
            let (go, place, handle) = (Arc::clone(&together), place.clone(), handle.clone());
            let random = Random(random.next() << 1 | 1);
            other.start(move || {
                go.wait();
                disturb(handle, &place, random);
            });
        }
        for other in &mut others {
            other.wait(&format!("a disturber in round {round}"));
        }
        handle.shutdown();
        owner.wait(&format!("the owner in round {round}"));
        assert!(handle.is_shutting_down());
        eventually("every request has ended", || handle.stats().active == 0);
        place.closes();
    }
}

composed_kinds! {
    interleavings
}
