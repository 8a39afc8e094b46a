//! [`Framed`] and [`MessageProtocol`].

use std::io;

use super::protocol::Protocol;
use super::transport::Transport;
use crate::error::Error;
use crate::framing::{Decoder, FramingError};

/// How many messages are delivered at a time. One read may bring 65,536 of them, each of which a callback may answer; others want
/// their turn.
const MESSAGES_A_TURN: usize = 256;

/// A protocol whose bytes are cut into messages: Twisted's `LineReceiver` and `Int32StringReceiver`. Served by
/// [`Framed`].
///
/// All callbacks but `message_received` and `framing_failed` are those of [`Protocol`], with the same defaults.
#[allow(unused_variables)]
pub trait MessageProtocol: Send + 'static {
    /// As [`Protocol::connection_made`].
    fn connection_made(&mut self, transport: &mut Transport) {}

    /// A message has come, whole: a line without its terminator, a frame without its prefix. None is delivered once
    /// [`pause_reading`](Transport::pause_reading) or [`close`](Transport::close) has been called, not even one that has arrived already.
    fn message_received(&mut self, transport: &mut Transport, message: &[u8]);

    /// The peer has broken the limit or the form, so that nothing it sends can be understood any more. The default gives the connection
    /// up, with [`Error::Framing`]; a protocol of your own may say something first. The connection closes in any case.
    fn framing_failed(&mut self, transport: &mut Transport, error: FramingError) {
        let address = transport.peer_addr().to_string();
        transport.fail(Error::Framing { address, source: error });
    }

    /// As [`Protocol::eof_received`]. A last line without its terminator has been delivered.
    fn eof_received(&mut self, transport: &mut Transport) {
        transport.close();
    }

    /// As [`Protocol::pause_writing`].
    fn pause_writing(&mut self, transport: &mut Transport) {}

    /// As [`Protocol::resume_writing`].
    fn resume_writing(&mut self, transport: &mut Transport) {}

    /// As [`Protocol::timed_out`].
    fn timed_out(&mut self, transport: &mut Transport) {
        transport.fail_for_timeout();
    }

    /// As [`Protocol::shutting_down`]; but where half a message has come, when the other half has been delivered, unless reading is paused. A peer
    /// that does not send it is cut at the drain deadline.
    fn shutting_down(&mut self, transport: &mut Transport) {
        transport.close();
    }

    /// As [`Protocol::connection_lost`].
    fn connection_lost(&mut self, transport: &mut Transport, error: Option<&io::Error>) {}
}

/// Puts messages together with one of the decoders of [`framing`](crate::framing), which blocking handlers use too, and gives them to a
/// [`MessageProtocol`].
///
/// ```
/// use socketserver::framing::LineDecoder;
/// use socketserver::reactor::{Framed, MessageProtocol};
/// use socketserver::{ReactorTcpServer, Transport};
///
/// #[derive(Clone)]
/// struct Greeter;
///
/// impl MessageProtocol for Greeter {
///     fn message_received(&mut self, transport: &mut Transport, line: &[u8]) {
///         transport.write(&[b"hello, ", line, b"\n"].concat());
///     }
/// }
///
/// # fn main() -> socketserver::Result<()> {
/// let lines = LineDecoder::new().strip_cr(true);
/// let server = ReactorTcpServer::bind("127.0.0.1:0", Framed::new(lines, Greeter))?;
/// # Ok(()) }
/// ```
///
/// What the callbacks of one batch of messages write goes out together. No message is delivered while the write buffer stands above its
/// high mark, although it may have come already. The protocol has to be [`Clone`], as each connection is served by a clone of its own.
///
/// The decoder's limit is what bounds a message; the builder's `max_line` and `max_frame` are for blocking handlers.
#[derive(Debug, Clone)]
pub struct Framed<D, P> {
    decoder: D,
    protocol: P,
    /// The server is stopping, and the protocol is told when the message that was under way has been delivered.
    to_be_told: bool,
}

impl<D: Decoder, P: MessageProtocol> Framed<D, P> {
    /// Serves `protocol` with the messages that `decoder` makes.
    pub fn new(decoder: D, protocol: P) -> Self {
        Framed { decoder, protocol, to_be_told: false }
    }

    fn deliver(&mut self, transport: &mut Transport, mut data: &[u8]) {
        for _ in 0..MESSAGES_A_TURN {
            if !transport.is_delivering() {
                // The rest comes back when it goes on.
                return transport.push_back_for_later(data);
            }
            match self.decoder.decode(&mut data) {
                Ok(Some(message)) => self.protocol.message_received(transport, message),
                Ok(None) => return,
                Err(error) => return self.fail(transport, error),
            }
            self.tell_late(transport);
        }
        transport.push_back_for_later(data);
    }

    /// Tells of a stop that came while a message was under way.
    fn tell_late(&mut self, transport: &mut Transport) {
        if std::mem::take(&mut self.to_be_told) && !transport.is_closing() {
            self.protocol.shutting_down(transport);
        }
    }

    fn fail(&mut self, transport: &mut Transport, error: FramingError) {
        self.protocol.framing_failed(transport, error);
        // Where the next message begins is not known.
        transport.close();
    }
}

impl<D: Decoder + Send + 'static, P: MessageProtocol> Protocol for Framed<D, P> {
    fn connection_made(&mut self, transport: &mut Transport) {
        self.protocol.connection_made(transport);
    }

    fn data_received(&mut self, transport: &mut Transport, data: &[u8]) {
        transport.cork();
        self.deliver(transport, data);
        transport.uncork();
    }

    fn eof_received(&mut self, transport: &mut Transport) {
        match self.decoder.finish() {
            Ok(Some(message)) => self.protocol.message_received(transport, message),
            Ok(None) => {}
            Err(error) => return self.fail(transport, error),
        }
        if !transport.is_closing() {
            self.protocol.eof_received(transport);
        }
        self.tell_late(transport);
    }

    fn pause_writing(&mut self, transport: &mut Transport) {
        self.protocol.pause_writing(transport);
    }

    fn resume_writing(&mut self, transport: &mut Transport) {
        self.protocol.resume_writing(transport);
    }

    fn timed_out(&mut self, transport: &mut Transport) {
        self.protocol.timed_out(transport);
    }

    fn shutting_down(&mut self, transport: &mut Transport) {
        self.to_be_told = true;
        // Where nothing is delivered, the other half would be waited for in vain.
        if self.decoder.buffered() == 0 || !transport.is_delivering() {
            self.tell_late(transport);
        }
    }

    fn connection_lost(&mut self, transport: &mut Transport, error: Option<&io::Error>) {
        self.protocol.connection_lost(transport, error);
    }
}
