//! What the servers say: `e…` is echoed to its end, `p` panics, `a` and a length of four bytes is answered with that many.

use std::io::{self, Read, Write};
use std::sync::atomic::{AtomicU64, Ordering};

use socketserver::reactor::WriteStatus;
use socketserver::{Connection, Handler, HandlerResult, Protocol, Transport};

/// What a handler begins with, as most say little.
const FIRST_BUFFER: usize = 512;

const BUFFER: usize = 16 * 1024;

/// An answer to `a` is this over and over.
static PIECE: [u8; BUFFER] = [b'x'; BUFFER];

static NOW: AtomicU64 = AtomicU64::new(0);
pub static MOST: AtomicU64 = AtomicU64::new(0);

/// One that is being served, as the handlers count it.
struct Served;

impl Served {
    fn new() -> Served {
        MOST.fetch_max(NOW.fetch_add(1, Ordering::SeqCst) + 1, Ordering::SeqCst);
        Served
    }
}

impl Drop for Served {
    fn drop(&mut self) {
        NOW.fetch_sub(1, Ordering::SeqCst);
    }
}

#[derive(Clone)]
pub struct Talk;

impl Handler for Talk {
    fn handle(&mut self, request: &mut Connection) -> HandlerResult {
        let _served = Served::new();
        let mut buffer = vec![0; FIRST_BUFFER];
        let length = request.read(&mut buffer)?;
        match buffer.first() {
            _ if length == 0 => Ok(()),
            Some(b'e') => echo(request, buffer, length),
            Some(b'a') => {
                let mut behind = buffer[1..length].chain(&mut *request);
                let mut count = [0; 4];
                behind.read_exact(&mut count)?;
                answer(request, u32::from_be_bytes(count) as usize)
            }
            Some(b'p') => panic!("as asked"),
            _ => Err("no such request".into()),
        }
    }
}

fn echo(request: &mut Connection, mut buffer: Vec<u8>, mut length: usize) -> HandlerResult {
    while length > 0 {
        request.write_all(&buffer[..length])?;
        if length == buffer.len() {
            buffer.resize(BUFFER, 0);
        }
        length = request.read(&mut buffer)?;
    }
    Ok(())
}

fn answer(request: &mut Connection, mut left: usize) -> HandlerResult {
    while left > 0 {
        let piece = left.min(BUFFER);
        request.write_all(&PIECE[..piece])?;
        left -= piece;
    }
    Ok(())
}

/// The same on an event loop.
#[derive(Default)]
pub struct EventTalk {
    served: Option<Served>,
    doing: Doing,
}

#[derive(Default)]
enum Doing {
    #[default]
    Listening,
    Echoing,
    /// The length of an answer, as far as it has come.
    Counting(Vec<u8>),
    Answering {
        left: usize,
    },
}

impl Clone for EventTalk {
    /// Each connection has a clone of the prototype, which serves nobody.
    fn clone(&self) -> Self {
        EventTalk::default()
    }
}

impl Protocol for EventTalk {
    fn connection_made(&mut self, _: &mut Transport) {
        self.served = Some(Served::new());
    }

    fn data_received(&mut self, transport: &mut Transport, data: &[u8]) {
        let mut rest = data;
        if let (Doing::Listening, [first, behind @ ..]) = (&self.doing, data) {
            match first {
                b'e' => self.doing = Doing::Echoing,
                b'a' => {
                    self.doing = Doing::Counting(Vec::new());
                    rest = behind;
                }
                b'p' => panic!("as asked"),
                _ => return transport.fail("no such request"),
            }
        }
        match &mut self.doing {
            Doing::Echoing => {
                transport.write(rest);
            }
            Doing::Counting(length) => {
                length.extend_from_slice(rest);
                if let [a, b, c, d, ..] = length[..] {
                    self.doing = Doing::Answering { left: u32::from_be_bytes([a, b, c, d]) as usize };
                    self.answer(transport);
                }
            }
            Doing::Listening | Doing::Answering { .. } => {}
        }
    }

    fn resume_writing(&mut self, transport: &mut Transport) {
        self.answer(transport);
    }

    fn connection_lost(&mut self, _: &mut Transport, _: Option<&io::Error>) {
        self.served = None;
    }
}

impl EventTalk {
    fn answer(&mut self, transport: &mut Transport) {
        let Doing::Answering { left } = &mut self.doing else { return };
        while *left > 0 {
            let piece = (*left).min(BUFFER);
            *left -= piece;
            match transport.write(&PIECE[..piece]) {
                WriteStatus::AboveHighMark | WriteStatus::Closed => return,
                _ => {}
            }
        }
        transport.close();
    }
}
