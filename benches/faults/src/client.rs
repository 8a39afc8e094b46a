use std::io::{self, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::time::Duration;

use socket2::{Domain, SockRef, Socket, Type};

/// Whatever takes longer than this hangs.
pub const HANGS: Duration = Duration::from_secs(10);

/// A client that waits, but not for ever.
pub struct Client(TcpStream);

impl Client {
    pub fn connect(server: SocketAddr) -> io::Result<Client> {
        let stream = TcpStream::connect_timeout(&server, HANGS)?;
        if stream.local_addr()? == server {
            // Nobody listens, and the port that the kernel chose for this client is the one it connects to: it has reached itself.
            return Err(io::ErrorKind::ConnectionRefused.into());
        }
        stream.set_nodelay(true)?;
        stream.set_read_timeout(Some(HANGS))?;
        stream.set_write_timeout(Some(HANGS))?;
        Ok(Client(stream))
    }

    /// With a receive buffer as small as the kernel makes one, which has to be said before the connect.
    pub fn connect_with_small_buffer(server: SocketAddr) -> io::Result<Client> {
        let socket = Socket::new(Domain::for_address(server), Type::STREAM, None)?;
        socket.set_recv_buffer_size(2048)?;
        socket.connect_timeout(&server.into(), HANGS)?;
        Ok(Client(socket.into()))
    }

    pub fn stream(&self) -> &TcpStream {
        &self.0
    }

    pub fn say(&mut self, message: &[u8]) -> io::Result<()> {
        self.0.write_all(message)
    }

    /// Reads as many bytes as `message` has, which must be those.
    pub fn expect(&mut self, message: &[u8]) -> io::Result<()> {
        let mut answer = vec![0; message.len()];
        self.0.read_exact(&mut answer)?;
        if answer == message {
            Ok(())
        } else {
            Err(io::Error::new(io::ErrorKind::InvalidData, "a wrong answer"))
        }
    }

    pub fn exchange(&mut self, message: &[u8]) -> io::Result<()> {
        self.say(message)?;
        self.expect(message)
    }

    /// What has come, without waiting.
    pub fn peek(&self) -> io::Result<Option<usize>> {
        self.0.set_nonblocking(true)?;
        let peeked = self.0.peek(&mut [0; 64]);
        self.0.set_nonblocking(false)?;
        match peeked {
            Ok(length) => Ok(Some(length)),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Ends its direction, and waits until the server has ended the other, so that nobody is left behind in its books.
    pub fn leave(self) -> io::Result<()> {
        self.0.shutdown(Shutdown::Write)?;
        match (&self.0).read(&mut [0])? {
            0 => Ok(()),
            _ => Err(io::Error::new(io::ErrorKind::InvalidData, "more than was asked for")),
        }
    }

    /// Closes with a reset.
    pub fn reset(self) -> io::Result<()> {
        SockRef::from(&self.0).set_linger(Some(Duration::ZERO))
    }
}

/// A message of so many bytes to be echoed, different for each number.
pub fn message(length: usize, number: u64) -> Vec<u8> {
    let mut message = vec![b'e'];
    let mut dice = Dice::new(number);
    while message.len() < length {
        message.extend_from_slice(&dice.throw().to_be_bytes());
    }
    message.truncate(length);
    message
}

/// Sebastiano Vigna's SplitMix64: the same numbers for the same seed.
pub struct Dice(u64);

impl Dice {
    pub fn new(seed: u64) -> Dice {
        Dice(seed.wrapping_mul(0xd134_2543_de82_ef95).wrapping_add(1))
    }

    pub fn throw(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    pub fn below(&mut self, limit: u64) -> u64 {
        self.throw() % limit.max(1)
    }
}
