//! [`Port`]: a local port connected to the peer.

use std::io;
use std::net::{SocketAddr, UdpSocket};
use std::time::Duration;

use socket2::{Domain, SockRef, Socket, Type};

use super::client_builder::{Settings, MAX_RETRIES};
use crate::sys;
#[cfg(feature = "coroutine")]
use {
    crate::clock::after,
    crate::task::Datagrams,
    std::{sync::Arc, time::Instant},
};

/// One wait in the kernel. Longer ones are made of several.
const LONGEST_WAIT: Duration = Duration::from_secs(3600);

/// The longest wait that is ended to the tick (see [`kernel_timeout`]): 64 ticks of a millisecond, the shortest there are.
const EXACT_WAIT: Duration = Duration::from_millis(60);

/// What may have come for a port before it was connected. That takes a microsecond or two, so there is hardly ever any.
const MOST_STRAYS: usize = 1024;

/// A local port that was chosen by the system, takes datagrams of the peer alone, and is told when nobody is bound there.
///
/// SO_REUSEADDR and SO_REUSEPORT are off, so that no other program can take the port over.
#[derive(Debug)]
pub(super) struct Port {
    socket: UdpSocket,
    local_addr: SocketAddr,
    #[cfg(feature = "coroutine")]
    peer: SocketAddr,
    /// Drawn with the port, and used up with it, because a port sees no request after the first that was repeated. So a request that
    /// needs no repetition needs no random numbers.
    jitter: [u8; MAX_RETRIES],
    receive_timeout: Option<Duration>,
    send_timeout: Option<Duration>,
    /// How the socket is set at the moment, so that it is only set anew when it has to be.
    nonblocking: bool,
    /// For the coroutines of the loop that it was last used on.
    #[cfg(feature = "coroutine")]
    watched: Option<Arc<dyn Datagrams>>,
}

impl Port {
    pub(super) fn open(peer: SocketAddr, settings: &Settings, jitter: [u8; MAX_RETRIES]) -> io::Result<Self> {
        if peer.port() == 0 {
            return Err(io::Error::new(io::ErrorKind::InvalidInput, "nobody can be bound to port 0"));
        }
        // Nothing in here waits.
        #[cfg(feature = "coroutine")]
        crate::task::tried();
        let socket = Socket::new(Domain::for_address(peer), Type::DGRAM, None)?;
        if let Some(bytes) = settings.recv_buffer_size {
            socket.set_recv_buffer_size(bytes)?;
        }
        if let Some(configure) = &settings.configure {
            configure(SockRef::from(&socket))?;
        }
        if let Some(source) = settings.source_address {
            socket.bind(&source.into())?;
        }
        // Where it is not bound yet, this binds it to a port that the system chooses.
        socket.connect(&peer.into())?;
        let socket = UdpSocket::from(socket);
        let mut port = Port {
            local_addr: socket.local_addr()?,
            #[cfg(feature = "coroutine")]
            peer,
            socket,
            jitter,
            receive_timeout: None,
            send_timeout: None,
            nonblocking: false,
            #[cfg(feature = "coroutine")]
            watched: None,
        };
        // Between the two anybody's datagram was let in.
        for _ in 0..MOST_STRAYS {
            if !port.discard_waiting()? {
                break;
            }
        }
        Ok(port)
    }

    pub(super) fn local_addr(&self) -> SocketAddr {
        self.local_addr
    }

    pub(super) fn jitter(&self) -> [u8; MAX_RETRIES] {
        self.jitter
    }

    pub(super) fn socket(&self) -> SockRef<'_> {
        SockRef::from(&self.socket)
    }

    /// Takes off what has come, a datagram or an error. Whether there was anything.
    pub(super) fn discard_waiting(&mut self) -> io::Result<bool> {
        self.set_nonblocking(sys::DISCARDING_NEEDS_NONBLOCKING || self.nonblocking)?;
        sys::discard_waiting(&self.socket())
    }

    /// Sends a datagram. Waits for room in the system's buffer, `within` that time, or less.
    pub(super) fn send(&mut self, data: &[u8], within: Duration) -> io::Result<()> {
        #[cfg(feature = "coroutine")]
        if let Some(watched) = self.watched()? {
            return watched.send(data, after(Instant::now(), within)).map(|_| ());
        }
        self.set_nonblocking(false)?;
        let timeout = kernel_timeout(within);
        if self.send_timeout != Some(timeout) {
            self.socket.set_write_timeout(Some(timeout))?;
            self.send_timeout = Some(timeout);
        }
        self.socket.send(data).map(|_| ())
    }

    /// Waits `within` that time for a datagram, and says how many bytes of the buffer it took; a full buffer may mean that it was cut.
    /// `None` where none has come yet, which may be said early.
    pub(super) fn receive(&mut self, buffer: &mut [u8], within: Duration) -> io::Result<Option<usize>> {
        #[cfg(feature = "coroutine")]
        if let Some(watched) = self.watched()? {
            return received(watched.recv(buffer, after(Instant::now(), within)), buffer);
        }
        self.set_nonblocking(false)?;
        let timeout = kernel_timeout(within);
        if self.receive_timeout != Some(timeout) {
            self.socket.set_read_timeout(Some(timeout))?;
            self.receive_timeout = Some(timeout);
        }
        received(self.socket.recv(buffer), buffer)
    }

    /// The same without waiting.
    pub(super) fn receive_waiting(&mut self, buffer: &mut [u8]) -> io::Result<Option<usize>> {
        self.set_nonblocking(true)?;
        received(self.socket.recv(buffer), buffer)
    }

    fn set_nonblocking(&mut self, nonblocking: bool) -> io::Result<()> {
        if self.nonblocking != nonblocking {
            self.socket.set_nonblocking(nonblocking)?;
            self.nonblocking = nonblocking;
        }
        Ok(())
    }

    /// Where a coroutine runs: the socket as its loop watches it, by another descriptor.
    #[cfg(feature = "coroutine")]
    fn watched(&mut self) -> io::Result<Option<Arc<dyn Datagrams>>> {
        let Some(task) = crate::task::current() else {
            // Its reports would only wake the loop.
            self.watched = None;
            return Ok(None);
        };
        self.set_nonblocking(true)?;
        let known = self.watched.take().filter(|watched| watched.is_watched_by(task.home()));
        let watched = match known {
            Some(watched) => watched,
            None => {
                let socket = self.socket.try_clone()?;
                // Where a duplicate has a mode of its own.
                socket.set_nonblocking(true)?;
                Arc::clone(task.home()).open(socket, self.peer)
            }
        };
        self.watched = Some(Arc::clone(&watched));
        Ok(Some(watched))
    }
}

fn received(result: io::Result<usize>, buffer: &[u8]) -> io::Result<Option<usize>> {
    match result {
        Ok(length) => Ok(Some(length)),
        Err(error) => match error.kind() {
            // Which of the first two a timeout is called depends on the system.
            io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut | io::ErrorKind::Interrupted => Ok(None),
            // Windows cuts and says so, where others cut and say nothing.
            _ if cfg!(windows) && sys::is_message_size(&error) => Ok(Some(buffer.len())),
            _ => Err(error),
        },
    }
}

/// What to set as the kernel's timeout for a wait, which may then end early and be gone on with.
///
/// Linux keeps such a timeout only to an eighth of it, because its timers lie on a wheel whose slots are the coarser the farther they
/// are: five seconds end up to a quarter of a second late. So a long wait leaves an eighth to the next, until that is short.
///
/// Up to whole milliseconds, never to zero, which would be for ever. Systems count in such steps anyway, and so the same timeout is seldom
/// set twice, whatever microseconds went by before.
fn kernel_timeout(wait: Duration) -> Duration {
    let wait = wait.min(LONGEST_WAIT);
    let wait = if wait > EXACT_WAIT { wait - wait / 8 } else { wait };
    Duration::from_millis(wait.as_secs() * 1000 + u64::from(wait.subsec_millis()) + 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_timeout_is_rounded_up_and_bounded() {
        let micros = Duration::from_micros;
        for (wait, expected) in [
            (Duration::ZERO, 1_000),
            (Duration::from_nanos(1), 1_000),
            (micros(999), 1_000),
            (micros(49_001), 50_000),
            (micros(49_999), 50_000),
            (micros(249_001), 218_000),
            (micros(249_020), 218_000),
            (Duration::MAX, 3_150_001_000),
        ] {
            assert_eq!(kernel_timeout(wait), micros(expected), "{wait:?}");
        }
    }

    /// With a kernel that is late by an eighth, and with one that is never late.
    #[test]
    fn a_wait_ends_in_time_and_takes_few_calls() {
        for lateness in [0, 125] {
            for seconds in [0.01, 0.06, 0.07, 0.25, 1.0, 5.0, 3600.0] {
                let wait = Duration::from_secs_f64(seconds);
                let (mut waited, mut calls) = (Duration::ZERO, 0);
                while waited < wait {
                    let timeout = kernel_timeout(wait - waited);
                    waited += timeout + timeout * lateness / 1000;
                    calls += 1;
                }
                assert!(waited - wait <= Duration::from_millis(9), "{wait:?}: {waited:?}");
                assert!(calls <= 8, "{wait:?}: {calls}");
            }
        }
    }
}
