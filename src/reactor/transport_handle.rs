//! [`TransportHandle`].

use std::fmt;
use std::io;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Weak};

use super::inbox::{Command, Undelivered, OVERHEAD};
use super::link::Link;
use crate::address::Address;

/// Writes to a connection, or closes it, from elsewhere: another thread, another connection's protocol. Cheap to clone; made by
/// [`Transport::handle`](super::Transport::handle).
///
/// Nothing here waits. It keeps neither the connection nor its socket alive. Messages go out in the order in which they were sent
/// through handles, each in one piece, when the connection's loop comes to it, which is at once unless a callback holds it up.
#[derive(Clone)]
pub struct TransportHandle {
    link: Weak<Link>,
    id: u64,
    peer: Address,
}

impl TransportHandle {
    pub(crate) fn new(link: &Arc<Link>) -> Self {
        TransportHandle { link: Arc::downgrade(link), id: link.id, peer: link.peer.clone() }
    }

    /// The [number](super::Transport::id) of the connection.
    pub fn id(&self) -> u64 {
        self.id
    }

    /// The peer.
    pub fn peer_addr(&self) -> Address {
        self.peer.clone()
    }

    /// Sends `data`, all of it or none. asyncio: `loop.call_soon_threadsafe(transport.write, data)`.
    ///
    /// # Errors
    /// [`io::ErrorKind::WouldBlock`] where more than the connection's hard limit (1 MiB) would wait: nothing was taken, and the peer does
    /// not keep up. [`io::ErrorKind::InvalidInput`] for more than the hard limit at once. [`io::ErrorKind::NotConnected`] when the connection is over. What is lost with a connection later shows nowhere, as
    /// with any write.
    pub fn write(&self, data: &[u8]) -> io::Result<()> {
        let link = self.link()?;
        let cost = data.len().saturating_add(OVERHEAD);
        let limit = link.limit.load(Ordering::Relaxed);
        if data.len() > limit {
            return Err(io::Error::new(
                io::ErrorKind::InvalidInput,
                format!("{} bytes at once are more than the hard limit of {limit} of the write buffer", data.len()),
            ));
        }
        let ahead = link.sent.fetch_add(cost, Ordering::Relaxed).saturating_add(link.buffered.load(Ordering::Relaxed));
        if ahead.saturating_add(data.len()) > limit {
            link.sent.fetch_sub(cost, Ordering::Relaxed);
            return Err(io::Error::new(
                io::ErrorKind::WouldBlock,
                format!("{} does not keep up: more than {limit} bytes would wait to be sent to it", self.peer),
            ));
        }
        self.send(&link, |key| Command::Write(key, data.into()))
    }

    /// What [`write`](TransportHandle::write) has counted for a message, once the loop has it.
    pub(crate) fn received(link: &Link, data: &[u8]) {
        link.sent.fetch_sub(data.len().saturating_add(OVERHEAD), Ordering::Relaxed);
    }

    /// Closes the connection when what was sent before is out, as [`Transport::close`](super::Transport::close) does.
    ///
    /// # Errors
    /// [`io::ErrorKind::NotConnected`] when the connection is over.
    pub fn close(&self) -> io::Result<()> {
        self.send(&*self.link()?, Command::Close)
    }

    /// Closes the connection at once, as [`Transport::abort`](super::Transport::abort) does.
    ///
    /// # Errors
    /// [`io::ErrorKind::NotConnected`] when the connection is over.
    pub fn abort(&self) -> io::Result<()> {
        self.send(&*self.link()?, Command::Abort)
    }

    /// Delivers nothing more, once the connection's loop has come to it, as [`Transport::pause_reading`](super::Transport::pause_reading)
    /// does.
    ///
    /// # Errors
    /// [`io::ErrorKind::NotConnected`] when the connection is over.
    pub fn pause_reading(&self) -> io::Result<()> {
        self.send(&*self.link()?, Command::PauseReading)
    }

    /// Delivers again, as [`Transport::resume_reading`](super::Transport::resume_reading) does: for a thread that has done the work for
    /// which a callback has paused.
    ///
    /// # Errors
    /// [`io::ErrorKind::NotConnected`] when the connection is over.
    pub fn resume_reading(&self) -> io::Result<()> {
        self.send(&*self.link()?, Command::ResumeReading)
    }

    /// Whether the connection is over.
    pub fn is_closed(&self) -> bool {
        self.link().is_err()
    }

    fn send(&self, link: &Link, command: impl FnOnce(super::Key) -> Command) -> io::Result<()> {
        let home = link.home().ok_or_else(|| self.over())?;
        home.inbox.send(command(home.key)).map_err(|(reason, _)| match reason {
            Undelivered::Closed => self.over(),
            Undelivered::Full => io::ErrorKind::WouldBlock.into(),
        })
    }

    fn link(&self) -> io::Result<Arc<Link>> {
        self.link.upgrade().filter(|link| !link.over.load(Ordering::Relaxed)).ok_or_else(|| self.over())
    }

    fn over(&self) -> io::Error {
        io::Error::new(io::ErrorKind::NotConnected, format!("the connection with {} is over", self.peer))
    }
}

impl fmt::Debug for TransportHandle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TransportHandle").field("peer", &self.peer).field("closed", &self.is_closed()).finish()
    }
}
