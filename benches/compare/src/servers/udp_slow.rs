use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use socketserver::{Datagram, Handler, HandlerResult, ThreadingUdpServer};

use super::Started;

/// How long a handler takes over a datagram.
const WORK: Duration = Duration::from_millis(1);

/// Few, so that what comes faster has to wait and then to be dropped.
const THREADS: usize = 32;

/// Before a number of eight bytes: a datagram that asks what has become of all of them.
const QUESTION: &[u8] = b"counts?";

const ANSWER: usize = 24;

/// What a server has counted so far.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Counts {
    /// The question's.
    pub number: u64,
    /// Datagrams whose handler has come to its end, the questions among them.
    pub handled: u64,
    pub dropped: u64,
}

impl Counts {
    pub fn question(number: u64) -> Vec<u8> {
        [QUESTION, &number.to_le_bytes()].concat()
    }

    fn asked_for_by(datagram: &[u8]) -> Option<u64> {
        Some(u64::from_le_bytes(datagram.strip_prefix(QUESTION)?.try_into().ok()?))
    }

    fn to_bytes(self) -> Vec<u8> {
        [self.number, self.handled, self.dropped].map(u64::to_le_bytes).concat()
    }

    pub fn from_bytes(bytes: &[u8]) -> Option<Counts> {
        let bytes: &[u8; ANSWER] = bytes.try_into().ok()?;
        let figure = |place: usize| Some(u64::from_le_bytes(bytes.get(8 * place..)?.get(..8)?.try_into().ok()?));
        Some(Counts { number: figure(0)?, handled: figure(1)?, dropped: figure(2)? })
    }
}

/// Threads that take their time and answer nothing but questions.
pub(super) fn start() -> anyhow::Result<Started> {
    let handler = Slow { handled: Arc::default() };
    let mut server = ThreadingUdpServer::builder().max_connections(THREADS).bind("127.0.0.1:0", handler)?;
    let address = server.local_addr();
    let serve = move || {
        server.serve_forever()?;
        Ok(())
    };
    Ok(Started { address, serve: Box::new(serve) })
}

#[derive(Clone)]
struct Slow {
    handled: Arc<AtomicU64>,
}

impl Handler<Datagram> for Slow {
    fn handle(&mut self, request: &mut Datagram) -> HandlerResult {
        let question = Counts::asked_for_by(request.data());
        if question.is_none() {
            thread::sleep(WORK);
        }
        let handled = self.handled.fetch_add(1, Ordering::SeqCst) + 1;
        if let Some(number) = question {
            let counts = Counts { number, handled, dropped: request.server().stats().dropped };
            request.reply(&counts.to_bytes())?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn questions_and_counts_are_read_as_they_were_written() {
        assert_eq!(Counts::asked_for_by(&Counts::question(7)), Some(7));
        assert_eq!(Counts::asked_for_by(&[0; 15]), None);
        let counts = Counts { number: 1, handled: 2, dropped: 3 };
        assert_eq!(Counts::from_bytes(&counts.to_bytes()), Some(counts));
        assert_eq!(Counts::from_bytes(&[0; 23]), None);
    }
}
