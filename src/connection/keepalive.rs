//! [`Keepalive`].

use std::time::Duration;

use socket2::TcpKeepalive;

use crate::error::{Error, Result};

/// TCP keep-alive (SO_KEEPALIVE, tcp(7)): probes that notice a peer which has vanished from an idle connection.
///
/// The read timeout notices too, unless it is switched off, as in a chat that waits for people.
///
/// ```
/// use socketserver::Keepalive;
/// use std::time::Duration;
///
/// // First probe after a minute of silence, then one every ten seconds, and the connection is given up after three unanswered.
/// let keepalive = Keepalive::new(Duration::from_secs(60)).interval(Duration::from_secs(10)).retries(3);
/// # let _ = keepalive;
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[must_use = "it does nothing until it is set"]
pub struct Keepalive {
    time: Duration,
    interval: Option<Duration>,
    retries: Option<u32>,
}

impl Keepalive {
    /// Probes after `time` of silence; whole seconds, at least one. The rest is the system's (on Linux 75 s apart, nine probes).
    pub fn new(time: Duration) -> Self {
        Keepalive { time, interval: None, retries: None }
    }

    /// The time between two probes; whole seconds, at least one.
    pub fn interval(mut self, interval: Duration) -> Self {
        self.interval = Some(interval);
        self
    }

    /// How many unanswered probes end the connection. Not every system can be told.
    pub fn retries(mut self, retries: u32) -> Self {
        self.retries = Some(retries);
        self
    }

    /// Finds values that no system takes: tcp(7) has 32,767 seconds and 127 probes at the most.
    pub(crate) fn check(&self) -> Result<()> {
        let most = Duration::from_secs(32_767);
        let (value, reason) = if self.time > most || self.interval.is_some_and(|interval| interval > most) {
            (format!("{:?}", self.time.max(self.interval.unwrap_or_default())), "32,767 seconds are the most")
        } else if self.retries.is_some_and(|retries| retries > 127) {
            (format!("{} probes", self.retries.unwrap_or_default()), "127 are the most")
        } else {
            return Ok(());
        };
        Err(Error::InvalidSetting { setting: "keepalive", value, reason: reason.into() })
    }

    pub(crate) fn apply(&self, socket: &socket2::Socket) -> std::io::Result<()> {
        let second = Duration::from_secs(1);
        #[allow(unused_mut)] // not everywhere
        let mut parameters = TcpKeepalive::new().with_time(self.time.max(second));
        #[cfg(not(any(target_os = "openbsd", target_os = "haiku")))]
        if let Some(interval) = self.interval {
            parameters = parameters.with_interval(interval.max(second));
        }
        #[cfg(not(any(target_os = "openbsd", target_os = "haiku")))]
        if let Some(retries) = self.retries {
            parameters = parameters.with_retries(retries.max(1));
        }
        socket.set_tcp_keepalive(&parameters)
    }
}
