//! [`RequestContext`] and the settings a connection begins with.

use std::sync::Arc;
use std::time::Duration;

use crate::address::Address;
use crate::connection::Keepalive;
use crate::control::{Control, ServerHandle};
use crate::framing::{DEFAULT_MAX_FRAME, DEFAULT_MAX_LINE};

/// No progress for so long ends a read. Long enough for a person who types, short enough that vanished clients are noticed.
pub(crate) const DEFAULT_READ_TIMEOUT: Duration = Duration::from_secs(60);

/// No progress for so long ends a write: the peer does not read.
pub(crate) const DEFAULT_WRITE_TIMEOUT: Duration = Duration::from_secs(30);

/// What [`ConnectionWriter::try_write`](crate::ConnectionWriter::try_write) may have waiting for a peer, in bytes. With the default
/// ceiling of 1,024 connections, none of whose peers reads, this is 256 MiB.
pub(crate) const DEFAULT_WRITE_QUEUE: usize = 256 * 1024;

/// The longest UDP datagram there is, headers and all, in bytes; nothing longer can come.
pub(crate) const MOST_PACKET_SIZE: usize = 65_535;

/// How long a Unix datagram may be at the most, in bytes. The system's own limit is its buffers' (208 KiB on Linux, unless it is set up for
/// more); the server has a buffer of this size, and each datagram that waits or is served may be as much memory.
pub(crate) const MOST_PACKET_SIZE_UNIX: usize = 16 * 1024 * 1024;

/// What a listener needs to make a request: the server it belongs to and the settings it begins with. Cheap to clone.
#[derive(Debug, Clone)]
pub struct RequestContext {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    control: Arc<Control>,
    settings: StreamSettings,
}

impl RequestContext {
    pub(crate) fn new(control: Arc<Control>, settings: StreamSettings) -> Self {
        RequestContext { inner: Arc::new(Inner { control, settings }) }
    }

    /// For a client's connection.
    pub(crate) fn unserved(peer: Address) -> Self {
        RequestContext::new(Arc::new(Control::unserved(peer)), StreamSettings::default())
    }

    /// The server that the request belongs to.
    pub fn server(&self) -> ServerHandle {
        ServerHandle::new(Arc::clone(&self.inner.control))
    }

    /// A datagram is lost before it has become a request.
    pub(crate) fn datagram_dropped(&self, why: impl std::fmt::Display) {
        self.inner.control.datagram_dropped(why);
    }

    /// Whether the server's stop has cut the requests that were under way.
    pub(crate) fn is_cut(&self) -> bool {
        self.inner.control.gate.is_cut()
    }

    pub(crate) fn settings(&self) -> &StreamSettings {
        &self.inner.settings
    }
}

/// What a request begins with.
#[derive(Debug, Clone)]
pub(crate) struct StreamSettings {
    pub(crate) read_timeout: Option<Duration>,
    pub(crate) write_timeout: Option<Duration>,
    /// Counted from the acceptance.
    pub(crate) request_deadline: Option<Duration>,
    pub(crate) max_line: usize,
    pub(crate) max_frame: usize,
    pub(crate) write_queue: usize,
    /// TCP only, as is `keepalive`.
    pub(crate) nodelay: bool,
    pub(crate) keepalive: Option<Keepalive>,
    /// Datagram servers only.
    pub(crate) datagrams: DatagramSettings,
}

/// How datagrams are received.
#[derive(Debug, Clone, Copy)]
pub(crate) struct DatagramSettings {
    pub(crate) max_packet_size: usize,
    pub(crate) deliver_truncated: bool,
    /// How many bytes may be answered to each that was asked.
    pub(crate) answer_limit: Option<usize>,
    /// How long an answer waits for room, if it is not for the socket's kind to say.
    pub(crate) reply_timeout: Option<Duration>,
    /// How many are received by one system call, on Linux with the feature for it.
    pub(crate) receive_batch: usize,
}

impl Default for DatagramSettings {
    fn default() -> Self {
        DatagramSettings {
            max_packet_size: MOST_PACKET_SIZE,
            deliver_truncated: false,
            answer_limit: None,
            reply_timeout: None,
            receive_batch: 1,
        }
    }
}

impl Default for StreamSettings {
    fn default() -> Self {
        StreamSettings {
            read_timeout: Some(DEFAULT_READ_TIMEOUT),
            write_timeout: Some(DEFAULT_WRITE_TIMEOUT),
            request_deadline: None,
            max_line: DEFAULT_MAX_LINE,
            max_frame: DEFAULT_MAX_FRAME,
            write_queue: DEFAULT_WRITE_QUEUE,
            nodelay: true,
            keepalive: None,
            datagrams: DatagramSettings::default(),
        }
    }
}
