//! [`Protocol`].

use std::io;

use super::transport::Transport;

/// Serves a connection by callbacks. asyncio's `Protocol`.
///
/// The value given to `bind` is a prototype: each connection is served by a clone of its own, so `&mut self` is private to the
/// connection, and what connections share is an [`Arc`](std::sync::Arc) in a field.
///
/// The order is asyncio's: [`connection_made`](Protocol::connection_made) first;
/// [`data_received`](Protocol::data_received) as bytes come; [`eof_received`](Protocol::eof_received) at most once, when the peer has
/// ended its direction; [`connection_lost`](Protocol::connection_lost) exactly once, last, whatever happens in between. A callback is
/// never called while another of the same connection runs.
///
/// All connections of a loop share its thread: a callback that waits or computes holds all of them up. What takes long belongs in a
/// thread of its own, which answers through a [`TransportHandle`](super::TransportHandle). A protocol that answers later than in the
/// callback itself, be it from a thread or in pieces at [`resume_writing`](Protocol::resume_writing), overrides
/// [`eof_received`](Protocol::eof_received) and [`shutting_down`](Protocol::shutting_down) too, whose defaults close: then it closes when it
/// is done.
///
/// A panic in a callback ends that connection alone: it is counted, `handle_error` is told once, and `connection_lost` follows.
///
/// ```
/// use socketserver::{Protocol, ReactorTcpServer, Transport};
///
/// #[derive(Clone)]
/// struct Echo;
///
/// impl Protocol for Echo {
///     fn data_received(&mut self, transport: &mut Transport, data: &[u8]) {
///         transport.write(data);
///     }
/// }
///
/// # fn main() -> socketserver::Result<()> {
/// let mut server = ReactorTcpServer::bind("127.0.0.1:0", Echo)?;
/// println!("listening on {}", server.local_addr());
/// # server.handle().shutdown(); // or this example would never end
/// server.serve_forever()?;
/// # Ok(()) }
/// ```
///
/// For lines and length-prefixed messages, see [`Framed`](super::Framed).
#[allow(unused_variables)]
pub trait Protocol: Send + 'static {
    /// The connection has been accepted, and let in by `verify_request`.
    fn connection_made(&mut self, transport: &mut Transport) {}

    /// Bytes have come: some, never none, cut anywhere. What the peer sent as one may come as several, and the other way round.
    fn data_received(&mut self, transport: &mut Transport, data: &[u8]);

    /// The peer has ended its direction. The default closes, after what has been written is sent; a protocol that does not close can go
    /// on writing. (asyncio's returns whether to stay open.)
    fn eof_received(&mut self, transport: &mut Transport) {
        transport.close();
    }

    /// The write buffer has risen above its high mark. A producer stops until [`resume_writing`](Protocol::resume_writing).
    fn pause_writing(&mut self, transport: &mut Transport) {}

    /// The write buffer has drained to its low mark. (Reading goes on earlier, below the high one.)
    fn resume_writing(&mut self, transport: &mut Transport) {}

    /// Nothing has come or gone for the timeout. The default gives the connection up, with
    /// [`Error::Timeout`](crate::Error::Timeout); a protocol that does
    /// not close gets the same time again. Twisted's `TimeoutMixin.timeoutConnection`.
    fn timed_out(&mut self, transport: &mut Transport) {
        transport.fail_for_timeout();
    }

    /// The server is stopping. The default closes, after what has been written is sent. A protocol that still has work under way may stay
    /// open, and close when it is done; at the drain deadline the connection is cut, with
    /// [`Error::Cut`](crate::Error::Cut).
    ///
    /// Only the protocol knows whether half a request has come, so the default closes in the middle of one too;
    /// [`Framed`](super::Framed) waits for the rest.
    ///
    /// What the peer had sent by then has been delivered, up to 32 MiB, as far as reading was neither paused nor held up by a full write
    /// buffer.
    fn shutting_down(&mut self, transport: &mut Transport) {
        transport.close();
    }

    /// The connection is over: `None` after a [`close`](Transport::close) or an [`abort`](Transport::abort) of this side's, otherwise
    /// why: a [`std::io::Error`], of which [`Error::of`](crate::Error::of) gives this crate's; after a panic in a callback, an error of kind [`Other`](io::ErrorKind::Other) that names it. Called once, last. What is
    /// written now is dropped.
    ///
    /// Errors are told to `handle_error` too, so a protocol that is not interested loses nothing.
    ///
    /// ```
    /// use socketserver::{Error, Protocol, Transport};
    /// use std::io;
    ///
    /// #[derive(Clone)]
    /// struct Silent;
    ///
    /// impl Protocol for Silent {
    ///     fn data_received(&mut self, _transport: &mut Transport, _data: &[u8]) {}
    ///
    ///     fn connection_lost(&mut self, transport: &mut Transport, error: Option<&io::Error>) {
    ///         match error {
    ///             None => {} // this side has closed
    ///             Some(error) if matches!(Error::of(error), Some(Error::Cut { .. })) => println!("cut by the stop"),
    ///             Some(error) => println!("{} is lost: {error}", transport.peer_addr()),
    ///         }
    ///     }
    /// }
    /// ```
    fn connection_lost(&mut self, transport: &mut Transport, error: Option<&io::Error>) {}
}
