//! [`DatagramSeat`]: a datagram socket and its protocol, from one event to the next.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;

use mio::{Interest, Registry, Token};

use super::protocol::DatagramProtocol;
use super::transport::DatagramTransport;
use crate::address::canonical;
use crate::connection::DatagramSettings;
use crate::control::Control;
use crate::datagram::{AnswerLimit, Forged, Sender, TooLong};
use crate::reactor::channel::{Event, Fate, Turn};
use crate::server::{guarded, Failure, Reception, Slot, Stage};

/// How many datagrams are read for one event before others get their turn: so many of 64 KiB hold them up by a millisecond.
const READS_A_TURN: usize = 64;

/// How many errors in a row are taken for those of earlier datagrams, each of which is told once. More are a trouble that lasts, and wait
/// for the next event.
const ERRORS_A_TURN: usize = 16;

/// A datagram socket in its loop.
pub(crate) struct DatagramSeat {
    transport: DatagramTransport,
    protocol: Option<Box<dyn DatagramProtocol>>,
    reception: Arc<Reception>,
    max_packet_size: usize,
    answer_limit: Option<usize>,
    readable: bool,
    pub(crate) queued: bool,
    /// `connection_made` has been called, so `connection_lost` is to be.
    begun: bool,
    /// Held while the socket is served, so that a stop waits for a callback, and reports one that does not return.
    #[allow(dead_code)] // held for its drop
    slot: Option<Slot>,
}

impl DatagramSeat {
    pub(super) fn new(
        transport: DatagramTransport,
        protocol: Box<dyn DatagramProtocol>,
        reception: Arc<Reception>,
        settings: &DatagramSettings,
    ) -> Self {
        DatagramSeat {
            transport,
            protocol: Some(protocol),
            reception,
            max_packet_size: settings.max_packet_size,
            answer_limit: settings.answer_limit,
            readable: false,
            queued: false,
            begun: false,
            slot: None,
        }
    }

    pub(crate) fn control(&self) -> &Arc<Control> {
        &self.transport.control
    }

    /// Has itself reported by the system. What has come before is reported too.
    pub(crate) fn begin(&mut self, registry: &Registry, token: Token) -> io::Result<()> {
        registry.register(&mut self.transport.socket, token, Interest::READABLE | Interest::WRITABLE)?;
        self.begun = true;
        self.slot = Slot::take(&self.transport.control, None);
        self.call(Stage::ConnectionMade, None, |protocol, transport| protocol.connection_made(transport));
        Ok(())
    }

    pub(crate) fn event(&mut self, event: Event, turn: &mut Turn<'_>) -> Fate {
        self.readable |= event.readable;
        if event.writable || self.transport.has_waiting() {
            self.flush();
        }
        let mut errors = 0;
        for _ in 0..READS_A_TURN {
            if self.transport.closing {
                self.flush();
                self.lose(None);
                return Fate::Gone;
            }
            if !self.readable || errors >= ERRORS_A_TURN {
                return Fate::Stays;
            }
            match self.transport.socket.recv_from(turn.buffer) {
                Ok((count, peer)) => {
                    errors = 0;
                    self.received(turn.buffer.get(..count).unwrap_or_default(), peer);
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => self.readable = false,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => {
                    errors += 1;
                    self.error_received(&error);
                }
            }
        }
        Fate::Again
    }

    fn received(&mut self, data: &[u8], peer: SocketAddr) {
        let control = &self.transport.control;
        if data.len() > self.max_packet_size {
            return control.datagram_dropped(TooLong { peer: &peer, most: self.max_packet_size });
        }
        if Sender::Inet(peer).is_forged() {
            return control.datagram_dropped(Forged { peer: &peer });
        }
        control.counters.accepted.add_one();
        // One after the other has no more than one at once, so it is `verify_request` that says no.
        if self.reception.admit(&canonical(peer).into()).is_err() {
            return control.counters.rejected.add_one();
        }
        self.transport.answering = self.answer_limit.map(|times| (peer, AnswerLimit::new(data.len(), Some(times))));
        self.call(Stage::DatagramReceived, Some(peer), |protocol, transport| {
            protocol.datagram_received(transport, data, peer);
        });
        self.transport.answering = None;
    }

    fn flush(&mut self) {
        // A protocol may answer each error with another datagram that fails.
        for _ in 0..ERRORS_A_TURN {
            let Err(error) = self.transport.flush() else { return };
            self.error_received(&error);
        }
    }

    fn error_received(&mut self, error: &io::Error) {
        self.call(Stage::ErrorReceived, None, |protocol, transport| protocol.error_received(transport, error));
    }

    /// Runs a callback. A panic is reported, and costs nothing else.
    fn call(
        &mut self,
        stage: Stage,
        peer: Option<SocketAddr>,
        callback: impl FnOnce(&mut dyn DatagramProtocol, &mut DatagramTransport),
    ) {
        let DatagramSeat { protocol: Some(protocol), transport, .. } = self else { return };
        if let Err(failure) = guarded(stage, || callback(&mut **protocol, transport)) {
            self.report(match peer {
                Some(peer) => failure.of_peer(&peer.into()),
                None => failure,
            });
        }
    }

    /// Says that the socket is not served any more, once.
    pub(crate) fn lose(&mut self, error: Option<&io::Error>) {
        self.transport.closing = true;
        // The server's only socket.
        self.transport.server().shutdown();
        if self.begun {
            self.call(Stage::ConnectionLost, None, |protocol, transport| protocol.connection_lost(transport, error));
        }
        let protocol = self.protocol.take();
        if let Err(failure) = guarded(Stage::Drop, || drop(protocol)) {
            self.report(failure);
        }
    }

    fn report(&self, failure: Failure) {
        self.reception.report(failure);
    }
}

impl Drop for DatagramSeat {
    /// However the loop ends.
    fn drop(&mut self) {
        if self.protocol.is_some() {
            self.lose(None);
        }
    }
}
