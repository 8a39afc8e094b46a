//! [`UdpClient`].

use std::fmt;
use std::io;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use socket2::SockRef;

use super::client_builder::{check_retries, check_timeout, Settings, UdpClientBuilder, MAX_RETRIES};
use super::client_stats::UdpClientStats;
use super::port::Port;
use super::request_id::{no_random, RequestId};
use super::retries::Retries;
use super::trouble::Trouble;
use crate::clock::after;
use crate::datagram::check_length;
use crate::error::{Error, Phase, Result};
use crate::net::order::interleave;
use crate::net::{Endpoint, ToEndpoint};
use crate::sys;

/// Asks one peer over UDP: sends a request, waits for the answer, and asks again if none comes, all within one deadline. In Python, a
/// `SOCK_DGRAM` socket with `connect` and `settimeout` and a loop of one's own.
///
/// ```
/// use std::time::Duration;
/// use socketserver::UdpClient;
///
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let server = std::net::UdpSocket::bind("127.0.0.1:0")?;
/// # let address = server.local_addr()?;
/// # let serving = std::thread::spawn(move || -> std::io::Result<()> {
/// #     for answer in ["pong", "pong"] {
/// #         let (_, peer) = server.recv_from(&mut [0; 100])?;
/// #         server.send_to(answer.as_bytes(), peer)?;
/// #     }
/// #     Ok(())
/// # });
/// let mut client = UdpClient::connect(address)?;
/// client.set_timeout(Duration::from_secs(2))?;
/// assert_eq!(client.request(b"ping")?, b"pong");
/// // Where the protocol has something that tells answers apart:
/// let answer = client.request_matching(b"ping", |answer| answer.starts_with(b"po"))?;
/// # assert_eq!(answer, b"pong");
/// # serving.join().unwrap()?;
/// # Ok(()) }
/// ```
///
/// # Requests may arrive more than once
/// What is sent again may have arrived the first time, with only the answer lost; and networks duplicate. So a request has to be one that
/// does no harm when it is served twice (idempotent), or one that the server recognises: a repetition is the same datagram, with the same
/// [`RequestId`] if it has one. [`retries`](UdpClientBuilder::retries)`(0)` sends each request once.
///
/// # Whose answer it is
/// The socket is connected, so the system lets in datagrams of the peer's address and port alone. Among these:
/// * A late answer to an earlier request is never taken for this one's: after a request that was repeated, was not answered,
///   failed, or passed a datagram over, the next is sent from a fresh local port. So it is where a datagram has come between two
///   requests. While all goes well the port stays.
/// * An answer that the network duplicates, and whose second copy comes only after the next request was sent, looks like that
///   one's answer to [`request`](UdpClient::request). So does a datagram with a forged source address that guesses the local port.
///   [`request_matching`](UdpClient::request_matching) and [`request_identified`](UdpClient::request_identified) pass such over; the
///   latter asks of the server to carry an id back.
///
/// # Time
/// A request ends at its deadline, a tick of the system's clock later at most (10 ms on Linux), however many datagrams come that are no
/// answer. Only what the predicate of `request_matching` takes for one datagram comes on top.
///
/// # Threads
/// One request at a time, so the methods take `&mut self`. Make a client for each thread; one costs a descriptor and a buffer of
/// [`max_packet_size`](UdpClientBuilder::max_packet_size) bytes, whose memory is used as far as answers have filled it.
///
/// On a coroutine, only that is suspended by a request; the client then takes a second descriptor. To keep clients for the next handler, put them
/// into a `Mutex<Vec<UdpClient>>` that the handlers share, and take one out for as long as it is used: the lock must not be held meanwhile.
pub struct UdpClient {
    settings: Settings,
    peer: SocketAddr,
    port: Port,
    state: State,
    /// A byte longer than an answer may be, which shows that one was cut.
    buffer: Vec<u8>,
    stats: UdpClientStats,
}

/// What may still come for the local port.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    /// Nothing: all that was sent from it has been answered, once.
    Quiet,
    /// Answers to what was sent with [`UdpClient::send`].
    Open,
    /// Answers to a request that is over.
    Spent,
}

/// A datagram that has come.
struct Arrival<'a> {
    data: &'a [u8],
    is_cut: bool,
}

impl UdpClient {
    /// A client of the peer at `address`, with the default settings: 5 s for a request, in which it is sent up to four times.
    ///
    /// # Errors
    /// As [`UdpClientBuilder::connect`].
    pub fn connect(address: impl ToEndpoint) -> Result<UdpClient> {
        UdpClient::builder().connect(address)
    }

    /// Begins a client with settings other than the defaults.
    pub fn builder() -> UdpClientBuilder {
        UdpClientBuilder::new()
    }

    /// Sends a request, which may be empty, and returns the first datagram that the peer sends after it, which may be empty too.
    ///
    /// # Errors
    /// [`Error::Timeout`] with [`Phase::Answer`]; [`Error::Refused`] where the peer's system said that nobody is bound to its port, at the
    /// deadline or at once (see [`fail_fast`](UdpClientBuilder::fail_fast)); [`Error::TooLarge`] for a request that no datagram can carry,
    /// which is more than 65,507 bytes over IPv4, 65,527 over IPv6, or less where the system has a limit of its own;
    /// [`Error::Truncated`] for an answer that is too long; [`Error::System`] where the request cannot be sent at all; [`Error::Connect`] where
    /// no fresh local port can be had; [`Error::Cut`] on a coroutine whose request is cut meanwhile. The client is usable after all of them.
    pub fn request(&mut self, payload: &[u8]) -> Result<Vec<u8>> {
        self.exchange(payload, |_| true).map(<[u8]>::to_vec)
    }

    /// Sends a request and returns the first datagram of the peer's that `is_answer` says yes to. Others are passed over and counted, and
    /// do not prolong the wait. A panic in `is_answer` leaves the client usable.
    ///
    /// # Errors
    /// As [`request`](UdpClient::request). An answer that is too long ends the request without having been shown to `is_answer`.
    pub fn request_matching(&mut self, payload: &[u8], mut is_answer: impl FnMut(&[u8]) -> bool) -> Result<Vec<u8>> {
        self.exchange(payload, |arrival| arrival.is_cut || is_answer(arrival.data)).map(<[u8]>::to_vec)
    }

    /// Sends a request behind a random [`RequestId`], and returns what is behind the same id in the answer. Datagrams with another id or
    /// none are passed over. The server has to know of it: see [`RequestId`].
    ///
    /// # Errors
    /// As [`request`](UdpClient::request), the id's 8 bytes being part of the datagram; [`Error::System`] where the operating
    /// system gives no random bytes.
    pub fn request_identified(&mut self, payload: &[u8]) -> Result<Vec<u8>> {
        let id = RequestId::random()?;
        // Looked at in a cut one too: only an answer of our own may end the request with an error.
        let is_ours = |data: &[u8]| RequestId::split(data).is_some_and(|(its_id, _)| its_id == id);
        let answer = self.exchange(&id.prefix(payload), |arrival| is_ours(arrival.data))?;
        Ok(RequestId::split(answer).map(|(_, payload)| payload.to_vec()).unwrap_or_default())
    }

    /// Sends one datagram and does not wait for an answer. Python's `send`.
    ///
    /// From the local port of what was sent so before, so that a conversation keeps it; a fresh one only if the last request
    /// left its own unfit. A request that follows takes a fresh port, because an answer to this may still come.
    ///
    /// # Errors
    /// [`Error::TooLarge`], [`Error::System`], [`Error::Connect`], [`Error::Timeout`] where the system's buffer stays full for the whole
    /// timeout. With [`fail_fast`](UdpClientBuilder::fail_fast) also [`Error::Refused`], of an earlier datagram.
    pub fn send(&mut self, payload: &[u8]) -> Result<()> {
        check_length(payload, self.peer)?;
        let deadline = after(Instant::now(), self.settings.timeout);
        if self.state == State::Spent {
            self.renew()?;
        }
        self.state = State::Open;
        let sent = self.transmit(payload, deadline, &mut None);
        self.count_timeout(&sent);
        sent
    }

    /// Waits for one datagram of the peer's, up to the timeout. Python's `recv`.
    ///
    /// It takes what has come for the local port as it stands: after a request that failed, that may be its late answer.
    ///
    /// # Errors
    /// [`Error::Timeout`] with [`Phase::Answer`], [`Error::Refused`] as for a request, [`Error::Truncated`], [`Error::System`].
    pub fn recv(&mut self) -> Result<Vec<u8>> {
        let deadline = after(Instant::now(), self.settings.timeout);
        let length = self.wait(deadline, &[], Retries::none(), None, |_| true)?;
        Ok(self.buffer.get(..length).unwrap_or_default().to_vec())
    }

    /// Takes a fresh local port, so that nothing which was sent to the old one is received any more. Requests do so by themselves
    /// when they have to.
    ///
    /// # Errors
    /// [`Error::Connect`], after which the old port stays; [`Error::System`] where the operating system gives no random bytes.
    pub fn renew(&mut self) -> Result<()> {
        let jitter = sys::random().map_err(no_random)?;
        // The old port is given up after the new one is bound, so that it cannot be the same.
        self.port = Port::open(self.peer, &self.settings, jitter)
            .map_err(|source| Error::Connect { address: self.peer.to_string(), attempts: vec![(self.peer, source)] })?;
        self.state = State::Quiet;
        self.stats.renewed += 1;
        Ok(())
    }

    /// Sets how long a request may take, all repetitions together, and a [`recv`](UdpClient::recv). Default 5 s. There is always one.
    ///
    /// # Errors
    /// [`Error::InvalidSetting`] for zero.
    pub fn set_timeout(&mut self, timeout: Duration) -> Result<()> {
        check_timeout(timeout)?;
        self.settings.timeout = timeout;
        Ok(())
    }

    /// How long a request may take.
    pub fn timeout(&self) -> Duration {
        self.settings.timeout
    }

    /// Sets how often a request that is not answered may be sent again: 0 to 10. Default 3. See [`UdpClientBuilder::retries`].
    ///
    /// # Errors
    /// [`Error::InvalidSetting`] above 10.
    pub fn set_retries(&mut self, retries: u32) -> Result<()> {
        check_retries(retries)?;
        self.settings.retries = retries;
        Ok(())
    }

    /// Sets whether to give up as soon as a refusal is heard of. Default false. See [`UdpClientBuilder::fail_fast`].
    pub fn set_fail_fast(&mut self, fail_fast: bool) {
        self.settings.fail_fast = fail_fast;
    }

    /// What the client has seen since it was made.
    pub fn stats(&self) -> UdpClientStats {
        self.stats
    }

    /// The local address as it is now. The next request may be sent from a fresh port (see [`UdpClient`]).
    pub fn local_addr(&self) -> SocketAddr {
        self.port.local_addr()
    }

    /// The address that is asked: of several, the one that was chosen at the start.
    pub fn peer_addr(&self) -> SocketAddr {
        self.peer
    }

    /// The socket, with every option that socket2 knows. What is set here ends with the local port;
    /// [`configure`](UdpClientBuilder::configure) is for all ports.
    pub fn socket(&self) -> SockRef<'_> {
        self.port.socket()
    }

    pub(super) fn open(endpoint: &Endpoint, settings: Settings) -> Result<UdpClient> {
        let mut peers = interleave(endpoint.resolve(settings.timeout)?);
        if let Some(source) = settings.source_address {
            peers.retain(|peer| peer.is_ipv4() == source.is_ipv4());
        }
        let jitter = sys::random().map_err(no_random)?;
        let mut attempts = Vec::new();
        for peer in peers {
            match Port::open(peer, &settings, jitter) {
                Ok(port) => {
                    let buffer = vec![0; settings.max_packet_size + 1];
                    return Ok(UdpClient { settings, peer, port, state: State::Quiet, buffer, stats: <_>::default() });
                }
                Err(error) => attempts.push((peer, error)),
            }
        }
        Err(Error::Connect { address: endpoint.to_string(), attempts })
    }

    /// A request and its answer.
    fn exchange(&mut self, payload: &[u8], is_answer: impl FnMut(&Arrival<'_>) -> bool) -> Result<&[u8]> {
        check_length(payload, self.peer)?;
        let started = Instant::now();
        let deadline = after(started, self.settings.timeout);
        // What came before the request is no answer to it, and where one came more may follow.
        if self.state != State::Quiet || self.port.discard_waiting().unwrap_or(true) {
            self.renew()?;
        }
        // Until all has gone well, and so after an error and after a panic too.
        self.state = State::Spent;
        let before = self.stats;
        let mut hint = None;
        let sent = self.transmit(payload, deadline, &mut hint);
        self.count_timeout(&sent);
        sent?;
        let jitter = self.port.jitter();
        let jitter = jitter.get(..self.settings.retries as usize).unwrap_or(&jitter);
        let retries = Retries::new(Instant::now(), self.settings.first_retry(), jitter);
        let length = self.wait(deadline, payload, retries, hint, is_answer)?;
        if self.stats.retried == before.retried && self.stats.passed_over == before.passed_over {
            self.state = State::Quiet;
        }
        Ok(self.buffer.get(..length).unwrap_or_default())
    }

    /// Waits for an answer, repeating the request when it is time to, and says how many bytes of the buffer it has.
    ///
    /// `hint` is what may be the reason if there is none.
    fn wait(
        &mut self,
        deadline: Instant,
        payload: &[u8],
        mut retries: Retries<'_>,
        mut hint: Option<Error>,
        mut is_answer: impl FnMut(&Arrival<'_>) -> bool,
    ) -> Result<usize> {
        let limit = self.settings.max_packet_size;
        // The clock is looked at before every datagram: those that are no answer may come without a pause.
        loop {
            let now = Instant::now();
            let over = now >= deadline;
            if !over && retries.next().is_some_and(|next| next <= now) {
                retries.repeated(now);
                self.repeat(payload, deadline, &mut hint)?;
                continue;
            }
            let arrived = if over {
                // A process that was stopped for a while has its answer waiting.
                self.port.receive_waiting(&mut self.buffer)
            } else {
                let until = retries.next().map_or(deadline, |next| next.min(deadline));
                self.port.receive(&mut self.buffer, until.saturating_duration_since(now))
            };
            match arrived {
                Ok(None) => {}
                Ok(Some(length)) => {
                    self.stats.received += 1;
                    // Somebody is there after all.
                    hint = None;
                    let is_cut = length > limit;
                    let data = self.buffer.get(..length.min(limit)).unwrap_or_default();
                    if !is_answer(&Arrival { data, is_cut }) {
                        self.stats.passed_over += 1;
                    } else if is_cut {
                        self.stats.truncated += 1;
                        return Err(Error::Truncated { address: self.peer.to_string(), limit });
                    } else {
                        return Ok(length);
                    }
                }
                Err(source) => match Trouble::of(&source) {
                    Trouble::Refusal => self.refused(source, &mut hint)?,
                    Trouble::TooLong => {}
                    Trouble::Passing | Trouble::Other => {
                        return Err(Error::system(format!("receive from {}", self.peer), source));
                    }
                },
            }
            if over {
                self.stats.timed_out += 1;
                return Err(hint.unwrap_or_else(|| self.timed_out()));
            }
        }
    }

    /// Sends the request again. One that cannot be sent is as good as lost on the way: an earlier one may be answered yet.
    fn repeat(&mut self, payload: &[u8], deadline: Instant, hint: &mut Option<Error>) -> Result<()> {
        match self.transmit(payload, deadline, hint) {
            Ok(()) => self.stats.retried += 1,
            // It is an error, and not a hint, only with `fail_fast`.
            Err(error @ Error::Refused { .. }) => return Err(error),
            // The deadline's own error, which says no more than what is known already.
            Err(Error::Timeout { .. }) => {}
            Err(error) => *hint = Some(error),
        }
        Ok(())
    }

    fn transmit(&mut self, payload: &[u8], deadline: Instant, hint: &mut Option<Error>) -> Result<()> {
        self.transmit_by(|port, left| port.send(payload, left), deadline, hint)
    }

    /// `send` is given the time that is left.
    fn transmit_by(
        &mut self,
        mut send: impl FnMut(&mut Port, Duration) -> io::Result<()>,
        deadline: Instant,
        hint: &mut Option<Error>,
    ) -> Result<()> {
        let mut refusals = 0;
        loop {
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return Err(self.timed_out());
            }
            match send(&mut self.port, left) {
                Ok(()) => {
                    self.stats.sent += 1;
                    return Ok(());
                }
                Err(error) => match Trouble::of(&error) {
                    Trouble::Passing => {}
                    // Told of an earlier datagram, once for each, and in place of sending this one.
                    Trouble::Refusal if refusals <= MAX_RETRIES => {
                        refusals += 1;
                        self.refused(error, hint)?;
                    }
                    _ => return Err(Error::system(format!("send to {}", self.peer), error)),
                },
            }
        }
    }

    fn refused(&mut self, source: io::Error, hint: &mut Option<Error>) -> Result<()> {
        self.stats.refused += 1;
        let refused = Error::Refused { address: self.peer.to_string(), source };
        if self.settings.fail_fast {
            return Err(refused);
        }
        *hint = Some(refused);
        Ok(())
    }

    /// What was to be sent the first time found no room until the deadline. A repetition's request is counted where it ends.
    fn count_timeout(&mut self, sent: &Result<()>) {
        if matches!(sent, Err(Error::Timeout { .. })) {
            self.stats.timed_out += 1;
        }
    }

    fn timed_out(&self) -> Error {
        Error::Timeout { phase: Phase::Answer, address: self.peer.to_string(), after: self.settings.timeout }
    }
}

impl fmt::Debug for UdpClient {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("UdpClient")
            .field("local_addr", &self.local_addr())
            .field("peer_addr", &self.peer)
            .field("settings", &self.settings)
            .field("stats", &self.stats)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What becomes of a datagram where the system says `kind` so many times before it sends it, which no network does when a test wants it.
    fn sent_after(kind: io::ErrorKind, times: usize) -> (Result<()>, UdpClientStats) {
        let mut client = UdpClient::connect("127.0.0.1:9").unwrap();
        let mut errors = std::iter::repeat(kind).take(times);
        let send = |_: &mut Port, _| errors.next().map_or(Ok(()), |kind| Err(kind.into()));
        let sent = client.transmit_by(send, Instant::now() + Duration::from_secs(60), &mut None);
        (sent, client.stats())
    }

    #[test]
    fn room_for_a_datagram_is_waited_for() {
        for kind in [io::ErrorKind::Interrupted, io::ErrorKind::WouldBlock, io::ErrorKind::TimedOut] {
            let (sent, stats) = sent_after(kind, 100);
            assert!(sent.is_ok() && stats.sent == 1, "{kind}: {sent:?}");
        }
    }

    /// One for each time that a request is sent. More is no peer's doing.
    #[test]
    fn refusals_keep_no_datagram_back_unless_they_do_not_end() {
        let most = MAX_RETRIES + 1;
        for (times, sends) in [(1, true), (most, true), (most + 1, false)] {
            let (sent, stats) = sent_after(io::ErrorKind::ConnectionRefused, times);
            assert_eq!((sent.is_ok(), stats.refused), (sends, times.min(most) as u64), "{times}: {sent:?}");
            assert!(sends || matches!(sent, Err(Error::System { .. })), "{sent:?}");
        }
    }
}
