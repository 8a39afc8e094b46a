//! [`Broadcaster`].

use std::fmt;
use std::io;
use std::sync::Arc;

use super::house::House;
use super::inbox::{Broadcast, Command, Filter, Undelivered};
use super::transport::Transport;

/// Sends to all connections of a server, or to those that a filter picks. Cheap to clone; got from a server or a
/// [`Transport`].
///
/// Nobody is held up by a peer that does not read: what it does not take waits in its own write buffer, and when that is above its
/// hard limit, that connection alone is closed.
#[derive(Clone)]
pub struct Broadcaster {
    house: Arc<House>,
}

impl Broadcaster {
    pub(crate) fn new(house: Arc<House>) -> Self {
        Broadcaster { house }
    }

    /// Sends `data` to every connection that the server has when its loop comes to it, which is at once unless a callback holds it
    /// up. Never waits. Before the server starts there is nobody to send to, which is no error.
    ///
    /// # Errors
    /// [`io::ErrorKind::WouldBlock`] where a loop is held up and a mebibyte of broadcasts waits for it: some connections
    /// may miss this one. [`io::ErrorKind::NotConnected`] when its event loops have ended.
    pub fn broadcast(&self, data: &[u8]) -> io::Result<()> {
        self.send(data, None)
    }

    /// The same to those for which `filter` says so. It runs on the connections' loops; a panic in it leaves that connection out.
    ///
    /// ```
    /// # use socketserver::{Protocol, Transport};
    /// # struct Chat;
    /// # impl Protocol for Chat {
    /// fn data_received(&mut self, transport: &mut Transport, data: &[u8]) {
    ///     let _ = transport.broadcaster().broadcast_to(data, |member| member.write_buffer_size() == 0);
    /// }
    /// # }
    /// ```
    ///
    /// # Errors
    /// As [`broadcast`](Broadcaster::broadcast).
    pub fn broadcast_to(
        &self,
        data: &[u8],
        filter: impl Fn(&Transport) -> bool + Send + Sync + 'static,
    ) -> io::Result<()> {
        self.send(data, Some(Box::new(filter)))
    }

    /// The same to everyone but the connection of that [number](Transport::id): what somebody says in a chat, to all the others.
    ///
    /// ```
    /// # use socketserver::{Protocol, Transport};
    /// # struct Chat;
    /// # impl Protocol for Chat {
    /// fn data_received(&mut self, transport: &mut Transport, data: &[u8]) {
    ///     let _ = transport.broadcaster().broadcast_except(transport.id(), data);
    /// }
    /// # }
    /// ```
    ///
    /// # Errors
    /// As [`broadcast`](Broadcaster::broadcast).
    pub fn broadcast_except(&self, id: u64, data: &[u8]) -> io::Result<()> {
        self.broadcast_to(data, move |member| member.id() != id)
    }

    fn send(&self, data: &[u8], filter: Option<Filter>) -> io::Result<()> {
        let broadcast = Arc::new(Broadcast { house: Arc::clone(&self.house), data: data.into(), filter });
        let mut result = Ok(());
        for inbox in self.house.inboxes() {
            match inbox.send(Command::Broadcast(Arc::clone(&broadcast))) {
                Ok(()) => {}
                Err((Undelivered::Closed, _)) => result = Err(io::ErrorKind::NotConnected.into()),
                Err((Undelivered::Full, _)) => {
                    result = Err(io::Error::new(
                        io::ErrorKind::WouldBlock,
                        "an event loop is held up, and too many broadcasts wait for it",
                    ));
                }
            }
        }
        result
    }
}

impl fmt::Debug for Broadcaster {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Broadcaster").field("server", &self.house.handle()).finish()
    }
}
