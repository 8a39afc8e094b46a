//! [`Client`]: the other end of [`Talk`](crate::talk::Talk).

use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::{Duration, Instant};

use socket2::SockRef;

use crate::harness::pattern;

/// No answer is waited for longer.
const PATIENCE: Duration = Duration::from_secs(30);

/// A socket of either family.
#[derive(Debug)]
pub(crate) enum Wire {
    Tcp(TcpStream),
    Unix(UnixStream),
}

#[derive(Debug)]
pub(crate) struct Client {
    pub(crate) wire: BufReader<Wire>,
}

/// Where a child listens.
#[derive(Debug, Clone)]
pub(crate) enum Target {
    Tcp(SocketAddr),
    Unix(std::path::PathBuf),
}

impl Client {
    pub(crate) fn tcp(address: SocketAddr) -> Client {
        let stream = TcpStream::connect(address).unwrap();
        stream.set_nodelay(true).unwrap();
        Client::over(Wire::Tcp(stream))
    }

    pub(crate) fn unix(path: &Path) -> Client {
        Client::over(Wire::Unix(UnixStream::connect(path).unwrap()))
    }

    pub(crate) fn to(target: &Target) -> Client {
        match target {
            Target::Tcp(address) => Client::tcp(*address),
            Target::Unix(path) => Client::unix(path),
        }
    }

    pub(crate) fn over(wire: Wire) -> Client {
        wire.socket().set_read_timeout(Some(PATIENCE)).unwrap();
        wire.socket().set_write_timeout(Some(PATIENCE)).unwrap();
        Client { wire: BufReader::new(wire) }
    }

    pub(crate) fn socket(&self) -> SockRef<'_> {
        self.wire.get_ref().socket()
    }

    pub(crate) fn say(&mut self, line: &str) -> io::Result<()> {
        self.wire.get_mut().write_all(format!("{line}\n").as_bytes())
    }

    /// The next line, without its end; empty at the end of the file.
    pub(crate) fn hear(&mut self) -> io::Result<String> {
        let mut line = String::new();
        self.wire.read_line(&mut line)?;
        Ok(line.trim_end().to_owned())
    }

    pub(crate) fn ask(&mut self, line: &str) -> io::Result<String> {
        self.say(line)?;
        self.hear()
    }

    /// Whether the server answers, correctly.
    #[track_caller]
    pub(crate) fn ping(&mut self) {
        assert_eq!(self.ask("ping x").unwrap(), "pong x");
    }

    /// How long an answer takes.
    #[track_caller]
    pub(crate) fn timed_ping(&mut self) -> Duration {
        let started = Instant::now();
        self.ping();
        started.elapsed()
    }

    /// Reads `length` bytes of the pattern, from its byte `from` on.
    #[track_caller]
    pub(crate) fn expect_pattern(&mut self, from: usize, length: usize) {
        let mut bytes = vec![0; length];
        self.wire.read_exact(&mut bytes).unwrap();
        assert!(bytes == pattern(from, length), "other bytes than were sent, between {from} and {}", from + length);
    }

    /// Reads so many bytes, whatever they are.
    pub(crate) fn hear_bytes(&mut self, length: usize) {
        self.wire.read_exact(&mut vec![0; length]).unwrap();
    }

    /// What comes before the end of the file, or before the error that ends it instead.
    pub(crate) fn rest(&mut self) -> (Vec<u8>, Option<io::Error>) {
        let mut bytes = Vec::new();
        let error = self.wire.read_to_end(&mut bytes).err();
        (bytes, error)
    }

    /// Whether the connection has ended, with nothing more to read.
    #[track_caller]
    pub(crate) fn expect_end(&mut self) {
        let (bytes, error) = self.rest();
        assert!(bytes.is_empty(), "{:?} before the end", String::from_utf8_lossy(&bytes));
        let timed_out = |error: &io::Error| error.kind() == io::ErrorKind::WouldBlock;
        assert!(!error.as_ref().is_some_and(timed_out), "the server has not closed the connection");
    }

    pub(crate) fn end_writing(&mut self) {
        self.socket().shutdown(Shutdown::Write).unwrap();
    }

    /// Closes with a reset.
    pub(crate) fn reset(self) {
        self.socket().set_linger(Some(Duration::ZERO)).unwrap();
    }
}

impl Wire {
    pub(crate) fn socket(&self) -> SockRef<'_> {
        match self {
            Wire::Tcp(stream) => SockRef::from(stream),
            Wire::Unix(stream) => SockRef::from(stream),
        }
    }
}

impl Read for Wire {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        match self {
            Wire::Tcp(stream) => stream.read(buf),
            Wire::Unix(stream) => stream.read(buf),
        }
    }
}

impl Write for Wire {
    fn write(&mut self, buf: &[u8]) -> io::Result<usize> {
        match self {
            Wire::Tcp(stream) => stream.write(buf),
            Wire::Unix(stream) => stream.write(buf),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
