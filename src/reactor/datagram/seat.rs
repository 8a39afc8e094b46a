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
use crate::poller::Event;
use crate::reactor::channel::{Fate, Turn};
use crate::server::{guarded, Failure, Reception, Slot, Stage};

/// How many datagrams are read for one event before others get their turn: so many of 64 KiB hold them up by a millisecond.
const READS_A_TURN: usize = 64;

/// How many errors in a row a protocol is told of before others get their turn: it may answer each with another datagram that fails.
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
        let flushed = self.flush();
        let mut errors = 0;
        for _ in 0..READS_A_TURN {
            if self.transport.closing {
                self.lose(None);
                return Fate::Gone;
            }
            if !self.readable && flushed {
                return Fate::Stays;
            }
            if !self.readable || errors >= ERRORS_A_TURN {
                // No event may come for what is left.
                return Fate::Again;
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

    /// Sends what waits, as far as the system takes it. Whether that is done; it is not where too many failed for one turn.
    fn flush(&mut self) -> bool {
        for _ in 0..ERRORS_A_TURN {
            let Err(error) = self.transport.flush() else { return true };
            self.error_received(&error);
        }
        !self.transport.has_waiting()
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

    /// Tries what waits once more, and says that the socket is not served any more, once.
    pub(crate) fn lose(&mut self, error: Option<&io::Error>) {
        self.transport.closing = true;
        // The server's only socket.
        self.transport.server().shutdown();
        // It is closing, so it cannot go on with what the protocol sends at each error.
        while let Err(error) = self.transport.flush() {
            self.error_received(&error);
        }
        self.transport.drop_waiting();
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

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::time::{Duration, Instant};

    use mio::net::UdpSocket;

    use super::*;
    use crate::reactor::event_loop::EventLoop;
    use crate::reactor::inbox::Inbox;
    use crate::server::Overload;

    /// Nothing may be sent there without SO_BROADCAST, so there it fails at once, every time.
    const FORBIDDEN: ([u8; 4], u16) = ([255, 255, 255, 255], 9);

    /// Counts errors.
    struct Counting(Arc<AtomicUsize>);

    impl DatagramProtocol for Counting {
        fn datagram_received(&mut self, transport: &mut DatagramTransport, _: &[u8], _: SocketAddr) {
            assert!(transport.answering.is_none(), "a panic where answers are limited");
        }

        fn error_received(&mut self, transport: &mut DatagramTransport, error: &io::Error) {
            assert_eq!(error.kind(), io::ErrorKind::PermissionDenied);
            self.0.fetch_add(1, Ordering::Relaxed);
            if transport.closing {
                // Or it could go on so for ever.
                assert_eq!(transport.send_to(b"x", FORBIDDEN.into()).unwrap_err().kind(), io::ErrorKind::NotConnected);
            }
        }
    }

    /// A socket for which so many datagrams wait that cannot be sent.
    fn seat(protocol: impl DatagramProtocol, waiting: usize) -> (Box<DatagramSeat>, Arc<Control>) {
        let socket = UdpSocket::bind(([127, 0, 0, 1], 0).into()).unwrap();
        let local_addr = socket.local_addr().unwrap();
        let control = Arc::new(Control::new(local_addr.into(), 1, None, true));
        let reception = Reception::new(Arc::clone(&control), Default::default(), None, Overload::Wait);
        let mut transport = DatagramTransport::new(socket, local_addr, Arc::clone(&control));
        for _ in 0..waiting {
            transport.keep(b"x", FORBIDDEN.into()).unwrap();
        }
        let settings = DatagramSettings::default();
        (Box::new(DatagramSeat::new(transport, Box::new(protocol), Arc::new(reception), &settings)), control)
    }

    #[test]
    fn what_is_sent_after_the_callback_is_no_answer() {
        let (mut seat, control) = seat(Counting(Arc::default()), 0);
        for (limit, panics) in [(None, 0), (Some(3), 1)] {
            seat.answer_limit = limit;
            seat.received(b"x", ([127, 0, 0, 1], 9).into());
            assert_eq!(control.counters.panics.get(), panics);
            assert!(seat.transport.answering.is_none());
        }
    }

    /// After so many errors as a turn takes, the rest waited until something else happened to the socket.
    #[test]
    fn what_fails_does_not_hold_up_what_waits_behind_it() {
        let errors = Arc::new(AtomicUsize::new(0));
        let (seat, control) = seat(Counting(Arc::clone(&errors)), 3 * ERRORS_A_TURN + 1);
        let mut home = EventLoop::new(Inbox::new(), 0).unwrap();
        home.add_datagrams(seat).unwrap();
        let mut last = 0;
        while last <= 3 * ERRORS_A_TURN {
            home.turn(Some(Instant::now() + Duration::from_secs(60))).unwrap();
            let told = errors.load(Ordering::Relaxed);
            // The loop sees to an event and, in the same turn, to those who want another.
            assert!((1..=2 * ERRORS_A_TURN).contains(&(told - last)), "{told} after {last}");
            last = told;
        }
        assert_eq!(last, 3 * ERRORS_A_TURN + 1);
        assert_eq!(control.counters.dropped.get(), last as u64);
    }

    /// It was neither tried nor counted.
    #[test]
    fn what_waits_at_a_stop_is_tried_and_counted() {
        let errors = Arc::new(AtomicUsize::new(0));
        let (seat, control) = seat(Counting(Arc::clone(&errors)), 100);
        let mut home = EventLoop::new(Inbox::new(), 0).unwrap();
        home.add_datagrams(seat).unwrap();
        home.stop_datagrams(&control);
        assert!(home.is_empty());
        assert_eq!(errors.load(Ordering::Relaxed), 100);
        assert_eq!((control.counters.dropped.get(), control.counters.panics.get()), (100, 0));
    }
}
