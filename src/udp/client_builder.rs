//! [`UdpClientBuilder`].

use std::fmt;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use socket2::SockRef;

use super::client::UdpClient;
use crate::error::{Error, Result};
use crate::net::ToEndpoint;

const DEFAULT_TIMEOUT: Duration = Duration::from_secs(5);

/// Four attempts get through a network that loses three datagrams of ten each way 93 times in 100.
const DEFAULT_RETRIES: u32 = 3;

/// With every pause twice the last, the tenth repetition comes 8.5 minutes after the first attempt where the first pause was half a
/// second. What is not answered by then will not be.
pub(super) const MAX_RETRIES: usize = 10;

/// A client on the same network has its answer within a millisecond, on the other side of the earth within 400.
const LONGEST_FIRST_PAUSE: Duration = Duration::from_millis(500);

/// The longest datagram there is, header and all; nothing longer can come.
const DEFAULT_MAX_PACKET_SIZE: usize = 65_535;

/// A [`UdpClient`] to be: settings, then [`connect`](UdpClientBuilder::connect). Got from [`UdpClient::builder`].
///
/// ```
/// use std::time::Duration;
/// use socketserver::UdpClient;
///
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let server = std::net::UdpSocket::bind("127.0.0.1:0")?;
/// # let address = server.local_addr()?;
/// let client = UdpClient::builder()
///     .timeout(Duration::from_secs(2))
///     .retries(5)
///     .max_packet_size(1232)
///     .configure(|socket| socket.set_tos_v4(0x10))
///     .connect(address)?;
/// assert_eq!(client.peer_addr(), address);
/// # Ok(()) }
/// ```
#[derive(Clone)]
#[must_use = "it does nothing until `connect`"]
pub struct UdpClientBuilder {
    settings: Settings,
}

/// What every port of a client is made by, and every exchange.
#[derive(Clone)]
pub(super) struct Settings {
    pub(super) timeout: Duration,
    pub(super) retries: u32,
    first_retry: Option<Duration>,
    pub(super) fail_fast: bool,
    pub(super) max_packet_size: usize,
    pub(super) source_address: Option<SocketAddr>,
    pub(super) recv_buffer_size: Option<usize>,
    #[allow(clippy::type_complexity)] // said once
    pub(super) configure: Option<Arc<dyn Fn(SockRef<'_>) -> io::Result<()> + Send + Sync>>,
}

impl UdpClientBuilder {
    pub(super) fn new() -> Self {
        UdpClientBuilder {
            settings: Settings {
                timeout: DEFAULT_TIMEOUT,
                retries: DEFAULT_RETRIES,
                first_retry: None,
                fail_fast: false,
                max_packet_size: DEFAULT_MAX_PACKET_SIZE,
                source_address: None,
                recv_buffer_size: None,
                configure: None,
            },
        }
    }

    /// How long a request may take, all repetitions together; also a [`recv`](UdpClient::recv), and the look-up of a name in
    /// [`connect`](UdpClientBuilder::connect). Default 5 s. There is always one. Python's `settimeout`, which is for each call.
    pub fn timeout(mut self, timeout: Duration) -> Self {
        self.settings.timeout = timeout;
        self
    }

    /// How often a request that is not answered may be sent again, within the timeout: 0 to 10. Default 3.
    ///
    /// Every pause is twice as long as the last, so not all of them need fit: of the default three, the third does from a
    /// timeout of 4.4 s on. A repetition that would come after the timeout is not sent: where [`first_retry`](UdpClientBuilder::first_retry) is
    /// longer than the timeout there may be none, whatever is set here.
    pub fn retries(mut self, retries: u32) -> Self {
        self.settings.retries = retries;
        self
    }

    /// The pause before a request is sent again for the first time; it varies by up to a quarter, at random, as those after it do.
    /// Default (`None`): a quarter of the timeout, and at most 500 ms. Longer than an answer usually takes, or there
    /// will be needless repetitions. Shorter than the timeout, or there may be [none](UdpClientBuilder::retries).
    pub fn first_retry(mut self, pause: impl Into<Option<Duration>>) -> Self {
        self.settings.first_retry = pause.into();
        self
    }

    /// Whether to give up as soon as the peer's system says that nobody is bound to its port (ECONNREFUSED). Default false: that is
    /// a hint only, which a server that is being restarted causes and which anybody can forge; the client goes on and reports it at
    /// the deadline.
    ///
    /// It is heard only in answer to something sent. With [`retries`](UdpClientBuilder::retries)`(0)`, a server that is killed after it has
    /// received the request refuses nothing, and the end is a timeout; a repetition would have found its port closed.
    pub fn fail_fast(mut self, fail_fast: bool) -> Self {
        self.settings.fail_fast = fail_fast;
        self
    }

    /// The longest answer that is taken, in bytes, with its id where it has one. A longer one is [`Error::Truncated`], never cut.
    /// Default 65,535, which is all there can be. A client keeps a buffer of this size.
    pub fn max_packet_size(mut self, bytes: usize) -> Self {
        self.settings.max_packet_size = bytes;
        self
    }

    /// The local address to send from; only peers of its family are connected to. Its port is 0: the system chooses a fresh one when
    /// it is needed (see [`UdpClient`]), which a fixed one would prevent. Python's `bind` before `connect`.
    pub fn source_address(mut self, source: SocketAddr) -> Self {
        self.settings.source_address = Some(source);
        self
    }

    /// The system's receive buffer (SO_RCVBUF), in bytes: how much may come while the program looks at something else. Default: the
    /// system's, on Linux 208 KiB; above `net.core.rmem_max` the system cuts the size in silence. What is lost in it is counted nowhere
    /// here; on Linux the last column of `/proc/net/udp` shows it.
    pub fn recv_buffer_size(mut self, bytes: usize) -> Self {
        self.settings.recv_buffer_size = Some(bytes);
        self
    }

    /// Sets further options of the socket: called for every socket that the client makes, the first and those of later fresh
    /// ports, before it is bound.
    pub fn configure(mut self, configure: impl Fn(SockRef<'_>) -> io::Result<()> + Send + Sync + 'static) -> Self {
        self.settings.configure = Some(Arc::new(configure));
        self
    }

    /// Makes the client. A name is looked up; of several addresses it takes the first that the system has a route to. Nothing is sent,
    /// so whether there is a server shows at the first request.
    ///
    /// # Errors
    /// [`Error::InvalidAddress`], [`Error::Resolve`], [`Error::Timeout`] of the look-up; [`Error::Connect`] with what the system said of
    /// each address; [`Error::InvalidSetting`]; [`Error::System`] where it gives no random bytes.
    pub fn connect(self, address: impl ToEndpoint) -> Result<UdpClient> {
        self.settings.check()?;
        UdpClient::open(&address.to_endpoint()?, self.settings)
    }
}

impl Settings {
    fn check(&self) -> Result<()> {
        check_timeout(self.timeout)?;
        check_retries(self.retries)?;
        let invalid =
            |setting, value, reason: &'static str| Err(Error::InvalidSetting { setting, value, reason: reason.into() });
        if self.first_retry == Some(Duration::ZERO) {
            return invalid(
                "first_retry",
                "zero".to_owned(),
                "no answer could come in no time; retries(0) is for none",
            );
        }
        if self.max_packet_size > DEFAULT_MAX_PACKET_SIZE {
            let value = self.max_packet_size.to_string();
            return invalid("max_packet_size", value, "no datagram has more than 65,535 bytes");
        }
        match self.source_address {
            Some(source) if source.port() != 0 => invalid(
                "source_address",
                source.to_string(),
                "its port has to be 0; on a fixed port a late answer would be taken for the next request's",
            ),
            _ => Ok(()),
        }
    }

    pub(super) fn first_retry(&self) -> Duration {
        self.first_retry.unwrap_or_else(|| (self.timeout / 4).min(LONGEST_FIRST_PAUSE))
    }
}

pub(super) fn check_timeout(timeout: Duration) -> Result<()> {
    if timeout.is_zero() {
        return Err(Error::InvalidSetting {
            setting: "timeout",
            value: "zero".to_owned(),
            reason: "nothing can be answered in no time".into(),
        });
    }
    Ok(())
}

pub(super) fn check_retries(retries: u32) -> Result<()> {
    if retries as usize > MAX_RETRIES {
        return Err(Error::InvalidSetting {
            setting: "retries",
            value: retries.to_string(),
            reason: "10 is the most; with every pause twice the last, more would come too late".into(),
        });
    }
    Ok(())
}

impl fmt::Debug for UdpClientBuilder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("UdpClientBuilder").field(&self.settings).finish()
    }
}

impl fmt::Debug for Settings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Settings")
            .field("timeout", &self.timeout)
            .field("retries", &self.retries)
            .field("first_retry", &self.first_retry())
            .field("fail_fast", &self.fail_fast)
            .field("max_packet_size", &self.max_packet_size)
            .field("source_address", &self.source_address)
            .field("recv_buffer_size", &self.recv_buffer_size)
            .finish_non_exhaustive()
    }
}
