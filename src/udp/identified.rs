//! [`Identified`].

use super::request_id::RequestId;
use crate::datagram::Datagram;
use crate::handler::{Handler, HandlerResult};

/// Serves requests that bear a [`RequestId`]: takes it off, and puts it before every answer. The other side of
/// [`UdpClient::request_identified`](super::UdpClient::request_identified).
///
/// The handler within sees the payload alone, and needs to know nothing of ids. A datagram too short to have one is no request of this
/// protocol: it is dropped without an answer, and counted in [`Stats::dropped`](crate::Stats::dropped).
///
/// ```
/// use socketserver::udp::Identified;
/// use socketserver::{handler_fn, Datagram, UdpClient, UdpServer};
///
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let shout = |request: &mut Datagram| Ok(request.reply(&request.data().to_ascii_uppercase())?);
/// let running = UdpServer::bind("127.0.0.1:0", Identified::new(handler_fn(shout)))?.spawn()?;
///
/// let mut client = UdpClient::connect(running.local_addr())?;
/// assert_eq!(client.request_identified(b"hello")?, b"HELLO");
/// running.stop()?;
/// # Ok(()) }
/// ```
#[derive(Debug, Clone)]
pub struct Identified<H> {
    handler: H,
    /// Each request has a clone of its own, so this is about one.
    accepted: bool,
}

impl<H: Handler<Datagram>> Identified<H> {
    /// Serves with `handler`.
    pub fn new(handler: H) -> Self {
        Identified { handler, accepted: false }
    }
}

impl<H: Handler<Datagram>> Handler<Datagram> for Identified<H> {
    fn setup(&mut self, request: &mut Datagram) -> HandlerResult {
        self.accepted = RequestId::split(request.data()).is_some();
        if !self.accepted {
            request.dropped("too short to bear a request id");
            return Ok(());
        }
        request.take_envelope(RequestId::LEN);
        self.handler.setup(request)
    }

    fn handle(&mut self, request: &mut Datagram) -> HandlerResult {
        match self.accepted {
            true => self.handler.handle(request),
            false => Ok(()),
        }
    }

    fn finish(&mut self, request: &mut Datagram) -> HandlerResult {
        match self.accepted {
            true => self.handler.finish(request),
            false => Ok(()),
        }
    }
}
