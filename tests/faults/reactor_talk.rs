//! [`Talk`](crate::talk::Talk) for an event loop: the same lines, the same answers.

use std::io;
use std::time::{Duration, Instant};

use socketserver::reactor::WriteStatus;
use socketserver::{Protocol, Transport};

use crate::harness::pattern;
use crate::talk::{lock, Bomb};

/// Longer lines are no commands.
const LONGEST_LINE: usize = 200;

/// What [`Talk`](crate::talk::Talk) does, without ever waiting. `compute` holds the whole loop up.
#[derive(Debug, Clone, Default)]
pub(crate) struct EventTalk {
    line: Vec<u8>,
    doing: Doing,
    /// Closes when it is done with what it does.
    ended: bool,
}

#[derive(Debug, Clone, Default)]
enum Doing {
    #[default]
    Listening,
    /// `send`: the answer from `at` on is still to be written.
    Sending { at: usize, length: usize },
    /// `take`: so many bytes are still to come.
    Taking { at: usize, length: usize },
}

impl Protocol for EventTalk {
    fn data_received(&mut self, transport: &mut Transport, mut data: &[u8]) {
        while !data.is_empty() && !transport.is_closing() {
            match self.doing {
                Doing::Listening => data = self.listen(transport, data),
                Doing::Taking { at, length } => data = self.take(transport, data, at, length),
                Doing::Sending { .. } => {
                    // What has come behind the request waits until the answer is out.
                    transport.pause_reading();
                    transport.push_back(data);
                    return;
                }
            }
        }
    }

    fn eof_received(&mut self, transport: &mut Transport) {
        self.ended = true;
        self.close_when_done(transport);
    }

    fn resume_writing(&mut self, transport: &mut Transport) {
        self.send(transport);
        self.close_when_done(transport);
    }
}

impl EventTalk {
    /// Looks for the end of a line, and returns what comes after it.
    fn listen<'a>(&mut self, transport: &mut Transport, data: &'a [u8]) -> &'a [u8] {
        let Some(end) = data.iter().position(|byte| *byte == b'\n') else {
            self.line.extend_from_slice(data);
            if self.line.len() > LONGEST_LINE {
                transport.fail("a line that is too long");
            }
            return &[];
        };
        self.line.extend_from_slice(&data[..end]);
        let line = std::mem::take(&mut self.line);
        match String::from_utf8(line) {
            Ok(line) => self.obey(transport, &line),
            Err(error) => transport.fail(error),
        }
        &data[end + 1..]
    }

    fn obey(&mut self, transport: &mut Transport, line: &str) {
        let (word, argument) = line.split_once(' ').unwrap_or((line, ""));
        let number = argument.parse::<usize>().unwrap_or_default();
        match word {
            "ping" => {
                transport.write(format!("pong {argument}\n").as_bytes());
            }
            "send" => {
                self.doing = Doing::Sending { at: 0, length: number };
                self.send(transport);
            }
            "take" => self.doing = Doing::Taking { at: 0, length: number },
            "broadcast" => broadcast(transport, number),
            "bye" => {
                transport.write(b"bye\n");
                transport.close();
            }
            "" => {}
            "abort" => transport.abort(),
            "panic" => panic!("as asked"),
            "panic-payload" => std::panic::panic_any(Bomb),
            "panic-locked" => {
                let _locked = lock();
                panic!("as asked, with a lock held");
            }
            "lock" => {
                let taken = *lock();
                transport.write(format!("{taken}\n").as_bytes());
            }
            "compute" => {
                let end = Instant::now() + Duration::from_millis(number as u64);
                while Instant::now() < end {
                    std::hint::spin_loop();
                }
                transport.write(b"computed\n");
            }
            "exec" => {
                // It outlives the connection, and perhaps the server.
                #[allow(clippy::zombie_processes)]
                let program = std::process::Command::new("sleep").arg("30").spawn().unwrap();
                transport.write(format!("{}\n", program.id()).as_bytes());
                transport.close();
            }
            "read-timeout" => transport.set_timeout(Duration::from_millis(number as u64)).unwrap(),
            _ => transport.fail("an unknown command"),
        }
    }

    /// Writes the pattern until the write buffer is full or all of it is written.
    fn send(&mut self, transport: &mut Transport) {
        let Doing::Sending { mut at, length } = self.doing else { return };
        while at < length {
            let piece = pattern(at, (length - at).min(64 * 1024));
            at += piece.len();
            match transport.write(&piece) {
                WriteStatus::AboveHighMark => break,
                WriteStatus::Closed => return,
                _ => {}
            }
        }
        if at < length {
            transport.pause_reading();
            self.doing = Doing::Sending { at, length };
        } else {
            transport.resume_reading();
            self.doing = Doing::Listening;
        }
    }

    /// Takes and checks what is still to come, and returns what comes after it.
    fn take<'a>(&mut self, transport: &mut Transport, data: &'a [u8], at: usize, length: usize) -> &'a [u8] {
        let (mine, rest) = data.split_at(data.len().min(length - at));
        if mine != pattern(at, mine.len()) {
            transport.fail("not the bytes that were sent");
            return &[];
        }
        let at = at + mine.len();
        self.doing = if at < length { Doing::Taking { at, length } } else { Doing::Listening };
        if at == length {
            transport.write(format!("took {length}\n").as_bytes());
        }
        rest
    }

    fn close_when_done(&self, transport: &mut Transport) {
        match self.doing {
            _ if !self.ended => {}
            Doing::Listening => transport.close(),
            // As a blocking reader's `read_exact` would.
            Doing::Taking { .. } => transport.fail(io::Error::from(io::ErrorKind::UnexpectedEof)),
            Doing::Sending { .. } => {}
        }
    }
}

/// Sends a message over and over from a thread of its own, until the connection is over.
fn broadcast(transport: &Transport, length: usize) {
    let handle = transport.handle();
    std::thread::spawn(move || {
        let message = pattern(0, length);
        loop {
            match handle.write(&message) {
                Ok(()) => {}
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => std::thread::yield_now(),
                Err(_) => return,
            }
        }
    });
}
