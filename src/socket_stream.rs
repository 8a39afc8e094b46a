//! [`SocketStream`]: a blocking socket as a [`Stream`].

use std::fmt;
use std::io::{self, Read, Write};
use std::net::Shutdown;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use socket2::SockRef;

use crate::stream::{Stream, Wait};
use crate::sys;

/// The smallest timeout a socket is given: below a microsecond the system would take it for none.
const MIN_TIMEOUT: Duration = Duration::from_micros(1);

/// A std socket in blocking mode, bounded by SO_RCVTIMEO and SO_SNDTIMEO.
///
/// std's reads and writes rather than raw ones, because they keep SIGPIPE away whatever its disposition.
#[derive(Debug)]
pub(crate) struct SocketStream<S> {
    socket: S,
    receive_timeout: KernelTimeout,
    send_timeout: KernelTimeout,
}

/// The std sockets, and how to get at the socket in them.
pub(crate) trait StdSocket: Send + Sync + fmt::Debug + 'static {
    fn receive(&self, buf: &mut [u8]) -> io::Result<usize>;
    fn send(&self, buf: &[u8]) -> io::Result<usize>;
    fn as_sock_ref(&self) -> SockRef<'_>;
}

macro_rules! std_socket {
    ($type:ty) => {
        impl StdSocket for $type {
            fn receive(&self, buf: &mut [u8]) -> io::Result<usize> {
                (&*self).read(buf)
            }

            fn send(&self, buf: &[u8]) -> io::Result<usize> {
                (&*self).write(buf)
            }

            fn as_sock_ref(&self) -> SockRef<'_> {
                SockRef::from(self)
            }
        }
    };
}

std_socket!(std::net::TcpStream);
#[cfg(unix)]
std_socket!(std::os::unix::net::UnixStream);

/// The timeouts that a socket has in the kernel from the start.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct KernelTimeouts {
    pub(crate) read: Option<Duration>,
    pub(crate) write: Option<Duration>,
}

impl<S: StdSocket> SocketStream<S> {
    /// `inherited` are the timeouts the socket has already; a new socket has none, in both senses.
    pub(crate) fn new(socket: S, inherited: KernelTimeouts) -> Self {
        let receive = KernelTimeout::known(inherited.read);
        let send = KernelTimeout::known(inherited.write);
        SocketStream { socket, receive_timeout: receive, send_timeout: send }
    }
}

impl<S: StdSocket> SocketStream<S> {
    /// For a socket that somebody else has had: each timeout is set at its first use.
    pub(crate) fn with_unknown_timeouts(socket: S) -> Self {
        SocketStream { socket, receive_timeout: KernelTimeout::unknown(), send_timeout: KernelTimeout::unknown() }
    }
}

impl<S: StdSocket> Stream for SocketStream<S> {
    fn read(&self, buf: &mut [u8], wait: Wait) -> io::Result<usize> {
        bounded(
            wait,
            |timeout| self.receive_timeout.set(timeout, |timeout| self.socket.as_sock_ref().set_read_timeout(timeout)),
            || self.socket.receive(buf),
        )
    }

    fn write(&self, buf: &[u8], wait: Wait) -> io::Result<usize> {
        bounded(
            wait,
            |timeout| self.send_timeout.set(timeout, |timeout| self.socket.as_sock_ref().set_write_timeout(timeout)),
            || self.socket.send(buf),
        )
    }

    fn try_write(&self, buf: &[u8]) -> io::Result<usize> {
        sys::send_now(&self.socket.as_sock_ref(), buf).unwrap_or_else(|| Err(io::ErrorKind::WouldBlock.into()))
    }

    fn shutdown(&self, how: Shutdown) -> io::Result<()> {
        self.socket.as_sock_ref().shutdown(how)
    }

    fn socket(&self) -> Option<SockRef<'_>> {
        Some(self.socket.as_sock_ref())
    }
}

/// One system call under a limit. Interruptions do not begin the wait anew each time: on Linux a stopped and continued process
/// sees EINTR from every socket call with a timeout (signal(7)).
fn bounded(
    wait: Wait,
    set_timeout: impl Fn(Option<Duration>) -> io::Result<()>,
    mut call: impl FnMut() -> io::Result<usize>,
) -> io::Result<usize> {
    // Without a deadline the clock is read at the first interruption only, from which the wait then counts: a look at the clock
    // for each call is a hundredth of a small exchange.
    let mut started = wait.deadline.map(|_| Instant::now());
    let mut timeout = match wait.deadline {
        None => wait.timeout,
        Some(deadline) => {
            let left = deadline.saturating_duration_since(started.unwrap_or(deadline));
            if left.is_zero() {
                return Err(io::ErrorKind::TimedOut.into());
            }
            Some(wait.timeout.map_or(left, |timeout| timeout.min(left)))
        }
    };
    let mut last_try = false;
    loop {
        set_timeout(timeout)?;
        match call() {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {
                if wait.timeout.is_none() && wait.deadline.is_none() {
                    continue;
                }
                let started = *started.get_or_insert_with(Instant::now);
                timeout = match wait.left(started) {
                    Ok(left) => left,
                    // The process was stopped for longer than the timeout. The peer may have kept to it: what has come meanwhile
                    // is still looked at, once. A deadline is one whatever happened.
                    Err(_) if !last_try && wait.deadline.map_or(true, |deadline| deadline > Instant::now()) => {
                        last_try = true;
                        Some(MIN_TIMEOUT)
                    }
                    Err(error) => return Err(error),
                };
            }
            // What Unix says when a socket's timeout has passed; Windows says that it has.
            Err(error)
                if error.kind() == io::ErrorKind::WouldBlock
                    || (cfg!(windows) && error.kind() == io::ErrorKind::TimedOut) =>
            {
                return Err(io::ErrorKind::TimedOut.into());
            }
            result => return result,
        }
    }
}

/// The timeout a socket has in the kernel, remembered to save the call that would set it again.
#[derive(Debug)]
struct KernelTimeout(AtomicU64);

impl KernelTimeout {
    const NONE: u64 = 0;
    const UNKNOWN: u64 = u64::MAX;

    fn known(timeout: Option<Duration>) -> Self {
        KernelTimeout(AtomicU64::new(Self::code(timeout)))
    }

    fn unknown() -> Self {
        KernelTimeout(AtomicU64::new(Self::UNKNOWN))
    }

    fn code(timeout: Option<Duration>) -> u64 {
        timeout.map_or(Self::NONE, |timeout| u64::try_from(timeout.as_nanos()).unwrap_or(Self::UNKNOWN - 1).max(1))
    }

    fn set(&self, timeout: Option<Duration>, set: impl FnOnce(Option<Duration>) -> io::Result<()>) -> io::Result<()> {
        let code = Self::code(timeout);
        if self.0.load(Ordering::Relaxed) == code {
            return Ok(());
        }
        set(timeout.map(|timeout| timeout.max(MIN_TIMEOUT)))?;
        self.0.store(code, Ordering::Relaxed);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::{TcpListener, TcpStream};

    fn pair() -> (SocketStream<TcpStream>, TcpStream) {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let client = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        (SocketStream::new(listener.accept().unwrap().0, KernelTimeouts::default()), client)
    }

    #[test]
    fn a_read_ends_at_the_nearer_of_timeout_and_deadline() {
        let (stream, _client) = pair();
        for wait in [
            Wait { timeout: Some(Duration::from_millis(30)), deadline: Some(Instant::now() + Duration::from_secs(60)) },
            Wait { timeout: Some(Duration::from_secs(60)), deadline: Some(Instant::now() + Duration::from_millis(30)) },
            Wait::until(Instant::now()),
        ] {
            let started = Instant::now();
            let error = stream.read(&mut [0; 1], wait).unwrap_err();
            assert_eq!(error.kind(), io::ErrorKind::TimedOut);
            assert!(started.elapsed() < Duration::from_secs(30), "{wait:?}");
        }
    }

    #[test]
    fn a_timeout_is_set_once() {
        let timeout = KernelTimeout::known(None);
        let second = Some(Duration::from_secs(1));
        timeout.set(None, |_| panic!("none is what it has")).unwrap();
        timeout.set(second, |_| Ok(())).unwrap();
        timeout.set(second, |_| panic!("a second is what it has")).unwrap();
        timeout
            .set(Some(Duration::from_nanos(1)), |timeout| {
                assert_eq!(timeout, Some(MIN_TIMEOUT));
                Ok(())
            })
            .unwrap();
    }
}
