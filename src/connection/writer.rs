//! [`ConnectionWriter`].

use std::fmt;
use std::io::{self, Write};
use std::sync::{Arc, Weak};

use super::shared::Shared;
use crate::address::Address;

/// Writes to a connection from elsewhere: another thread, another request's handler. Cheap to clone; made by
/// [`Connection::writer`](crate::Connection::writer).
///
/// A chat's broadcast holds one for each member. It keeps neither the request nor its socket alive: once the request is over,
/// writing fails with [`io::ErrorKind::NotConnected`].
///
/// Each `write_all`, `writeln!` and `try_write` goes out in one piece: bytes of different writers never mix.
///
/// ```
/// use std::collections::HashMap;
/// use std::sync::{Arc, Mutex};
/// use socketserver::ConnectionWriter;
///
/// /// By their connections' numbers: clients of a Unix socket have no addresses to tell them apart.
/// type Members = Arc<Mutex<HashMap<u64, ConnectionWriter>>>;
///
/// /// Sends to everyone, held up by no one; who does not keep up is put out.
/// fn broadcast(members: &Members, message: &[u8]) {
///     members.lock().unwrap().retain(|_, member| {
///         let taken = member.try_write(message).is_ok();
///         if !taken {
///             let _ = member.shutdown();
///         }
///         taken
///     });
/// }
/// ```
#[derive(Clone)]
pub struct ConnectionWriter {
    shared: Weak<Shared>,
    id: u64,
    peer: Address,
}

impl ConnectionWriter {
    pub(crate) fn new(shared: &Arc<Shared>, id: u64, peer: Address) -> Self {
        ConnectionWriter { shared: Arc::downgrade(shared), id, peer }
    }

    /// The [number](crate::Connection::id) of the connection it writes to.
    pub fn id(&self) -> u64 {
        self.id
    }

    /// The peer it writes to.
    pub fn peer_addr(&self) -> Address {
        self.peer.clone()
    }

    /// Accepts all of `buf` or none of it, without ever waiting. What the system does not take at once is queued, up to the
    /// builder's `write_queue` (256 KiB by default), and goes out in order, ahead of anything written later.
    ///
    /// # Errors
    /// [`io::ErrorKind::WouldBlock`] where `buf` would pass the limit of the queue: nothing of it was taken, and the peer
    /// does not keep up. [`io::ErrorKind::NotConnected`] when the request is over. [`io::ErrorKind::BrokenPipe`] when an
    /// earlier write failed half-way. [`io::ErrorKind::ConnectionAborted`] when the server's stop has cut the connection.
    /// What is queued and cannot be sent later shows as an error of the next write.
    ///
    /// A peer that does not keep up costs a thread until its queue has gone out, 1,024 in the whole process at the most; beyond
    /// those a queue goes out with the next write, or at the close.
    pub fn try_write(&self, buf: &[u8]) -> io::Result<()> {
        self.shared()?.try_write(buf)
    }

    /// Ends this direction, after what writers have queued, while the connection lives on: half-close. The peer reads the end of
    /// the file, and its answer can still be read, as a client with a thread for either direction does. All later writes fail.
    /// Python's `sock.shutdown(SHUT_WR)`.
    ///
    /// # Errors
    /// [`io::ErrorKind::NotConnected`] when the request is over, this direction has ended before, or the peer has gone. Those of
    /// writing, where something is queued.
    pub fn shutdown_write(&self) -> io::Result<()> {
        self.shared()?.shutdown_write()
    }

    /// Ends the connection in both directions, at once: nothing that is queued is waited for, and the handler reads the
    /// end. For a member who does not keep up, or is put out. Python's `request.shutdown(SHUT_RDWR)` from another thread.
    ///
    /// # Errors
    /// [`io::ErrorKind::NotConnected`] when the request is over, or the peer has gone.
    pub fn shutdown(&self) -> io::Result<()> {
        self.shared()?.disconnect()
    }

    /// Whether the request is over, so that nothing can be written any more.
    pub fn is_closed(&self) -> bool {
        self.shared.strong_count() == 0
    }

    fn shared(&self) -> io::Result<Arc<Shared>> {
        self.shared.upgrade().ok_or_else(|| {
            io::Error::new(io::ErrorKind::NotConnected, format!("cannot write to {}: the request is over", self.peer))
        })
    }
}

impl Write for ConnectionWriter {
    /// As [`Connection`](crate::Connection)'s: waits for room, within the connection's write timeout and deadline.
    fn write(&mut self, buf: &[u8]) -> io::Result<usize> {
        self.shared()?.write(buf)
    }

    fn write_all(&mut self, buf: &[u8]) -> io::Result<()> {
        self.shared()?.write_all(buf)
    }

    fn write_fmt(&mut self, arguments: fmt::Arguments<'_>) -> io::Result<()> {
        self.shared()?.write_all(super::formatted(arguments)?.as_bytes())
    }

    /// Waits until what `try_write` accepted has been handed to the system.
    fn flush(&mut self) -> io::Result<()> {
        self.shared()?.flush()
    }
}

impl fmt::Debug for ConnectionWriter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ConnectionWriter").field("peer", &self.peer).field("closed", &self.is_closed()).finish()
    }
}
