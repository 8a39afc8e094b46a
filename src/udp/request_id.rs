//! [`RequestId`].

use std::fmt;

use crate::error::{Error, Result};
use crate::sys;

/// Eight random bytes in front of a request's payload, and in front of its answer's, by which the two are known to belong together.
///
/// Whoever can see the datagrams can forge an answer all the same. Whoever cannot, and fakes the peer's address, has to guess: a million
/// attempts hit with a probability of one in 18 million million. Eight bytes is what a server is asked to carry back, and enough for
/// the seconds in which an answer counts.
///
/// A client's side is [`UdpClient::request_identified`](super::UdpClient::request_identified). A server takes the id off and puts it
/// before its answer:
///
/// ```
/// use socketserver::udp::RequestId;
/// use socketserver::UdpClient;
///
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let server = std::net::UdpSocket::bind("127.0.0.1:0")?;
/// let mut client = UdpClient::connect(server.local_addr()?)?;
/// let serving = std::thread::spawn(move || -> std::io::Result<()> {
///     let mut buffer = [0; 1500];
///     let (length, peer) = server.recv_from(&mut buffer)?;
///     // What is shorter than an id is no request, and gets no answer.
///     if let Some((id, payload)) = RequestId::split(&buffer[..length]) {
///         server.send_to(&id.prefix(&payload.to_ascii_uppercase()), peer)?;
///     }
///     Ok(())
/// });
/// assert_eq!(client.request_identified(b"hello")?, b"HELLO");
/// serving.join().unwrap()?;
/// # Ok(()) }
/// ```
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct RequestId([u8; RequestId::LEN]);

impl RequestId {
    /// How many bytes it is.
    pub const LEN: usize = 8;

    /// An id that nobody can foresee, from the operating system's random numbers.
    ///
    /// # Errors
    /// [`Error::System`] where the system gives none. There is no weaker id to fall back on.
    pub fn random() -> Result<RequestId> {
        sys::random().map(RequestId).map_err(no_random)
    }

    /// The id in front of a datagram, and what is behind it. `None` for what is too short to have one.
    pub fn split(data: &[u8]) -> Option<(RequestId, &[u8])> {
        let id = data.get(..RequestId::LEN)?.try_into().ok()?;
        Some((RequestId(id), data.get(RequestId::LEN..)?))
    }

    /// A datagram of this id and a payload.
    pub fn prefix(self, payload: &[u8]) -> Vec<u8> {
        [&self.0, payload].concat()
    }

    /// Its bytes, as they are sent.
    pub fn to_bytes(self) -> [u8; RequestId::LEN] {
        self.0
    }
}

impl From<[u8; RequestId::LEN]> for RequestId {
    fn from(bytes: [u8; RequestId::LEN]) -> Self {
        RequestId(bytes)
    }
}

/// Sixteen hexadecimal digits.
impl fmt::Display for RequestId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for RequestId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "RequestId({self})")
    }
}

pub(super) fn no_random(source: std::io::Error) -> Error {
    Error::System { operation: "get random bytes from the operating system".to_owned(), source }
}

#[cfg(test)]
mod tests {
    use super::*;

    const BYTES: [u8; RequestId::LEN] = [0, 1, 2, 0x7f, 0x80, 0xab, 0xfe, 0xff];

    #[test]
    fn an_id_goes_before_a_payload_and_comes_off_again() {
        let id = RequestId::from(BYTES);
        assert_eq!(id.to_bytes(), BYTES);
        for payload in [&b""[..], b"x", b"12345678"] {
            let datagram = id.prefix(payload);
            assert_eq!(datagram, [&BYTES, payload].concat());
            assert_eq!(RequestId::split(&datagram), Some((id, payload)));
        }
        assert_eq!(RequestId::split(&BYTES[1..]), None);
        assert_eq!(RequestId::split(b""), None);
    }

    #[test]
    fn it_is_shown_as_sixteen_digits() {
        let id = RequestId::from(BYTES);
        assert_eq!(id.to_string(), "0001027f80abfeff");
        assert_eq!(format!("{id:?}"), "RequestId(0001027f80abfeff)");
    }

    #[test]
    fn random_ones_differ() {
        assert_ne!(RequestId::random().unwrap(), RequestId::random().unwrap());
    }

    #[test]
    fn a_system_without_random_bytes_says_what_it_was_asked_for() {
        let error = no_random(std::io::ErrorKind::Unsupported.into());
        assert!(matches!(error, Error::System { .. }) && error.to_string().contains("random bytes"), "{error}");
    }
}
