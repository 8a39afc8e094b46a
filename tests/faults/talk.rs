//! The handler of the fault tests: it does what a client asks of it, line by line.

use std::io::{BufRead, Read, Write};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use socketserver::{Connection, Handler, HandlerResult};

use crate::harness::pattern;

/// What `panic-locked` poisons.
static SHARED: Mutex<u64> = Mutex::new(0);

/// | line | what it does |
/// |---|---|
/// | `ping WORD` | answers `pong WORD` |
/// | `send N` | sends N bytes of the pattern |
/// | `broadcast N` | sends N bytes at a time, as a broadcast does, until that fails |
/// | `take N` | reads N bytes, checks the pattern, and answers `took N` |
/// | `bye` | answers `bye` and ends, whatever else was sent |
/// | `panic`, `panic-locked`, `panic-payload` | panics |
/// | `lock` | answers how often the shared lock was taken |
/// | `compute MILLIS` | computes for so long, and answers `computed` |
/// | `exec` | starts a program that outlives the request, and answers with its process id |
/// | `read-timeout MILLIS` | sets the read timeout of this connection |
/// | `small-buffer` | makes the socket's send buffer as small as can be |
#[derive(Debug, Clone)]
pub(crate) struct Talk;

impl Handler for Talk {
    fn handle(&mut self, request: &mut Connection) -> HandlerResult {
        let mut line = String::new();
        while request.read_line(&mut line)? > 0 {
            let mut words = line.split_whitespace();
            let (word, argument) = (words.next().unwrap_or_default(), words.next().unwrap_or_default());
            match word {
                "ping" => writeln!(request, "pong {argument}")?,
                "send" => send(request, argument.parse()?)?,
                "broadcast" => broadcast(request, argument.parse()?)?,
                "take" => take(request, argument.parse()?)?,
                "bye" => return Ok(request.write_all(b"bye\n")?),
                "panic" => panic!("as asked"),
                "panic-payload" => std::panic::panic_any(Bomb),
                "panic-locked" => {
                    let _locked = lock();
                    panic!("as asked, with a lock held");
                }
                "lock" => {
                    let taken = lock();
                    writeln!(request, "{taken}")?;
                }
                "compute" => {
                    let end = Instant::now() + Duration::from_millis(argument.parse()?);
                    while Instant::now() < end {
                        std::hint::spin_loop();
                    }
                    request.write_all(b"computed\n")?;
                }
                "exec" => {
                    let program = std::process::Command::new("sleep").arg("30").spawn()?;
                    writeln!(request, "{}", program.id())?;
                    return Ok(());
                }
                "read-timeout" => request.set_read_timeout(Duration::from_millis(argument.parse()?))?,
                "small-buffer" => request.socket().ok_or("no socket")?.set_send_buffer_size(4096)?,
                _ => return Err("an unknown command".into()),
            }
            line.clear();
        }
        Ok(())
    }
}

/// A panic's payload that panics once more when it is dropped.
pub(crate) struct Bomb;

impl Drop for Bomb {
    fn drop(&mut self) {
        panic!("in the drop of a panic's payload");
    }
}

pub(crate) fn lock() -> std::sync::MutexGuard<'static, u64> {
    let mut taken = SHARED.lock().unwrap_or_else(PoisonError::into_inner);
    *taken += 1;
    taken
}

fn send(request: &mut Connection, length: usize) -> HandlerResult {
    let mut sent = 0;
    while sent < length {
        let piece = pattern(sent, (length - sent).min(64 * 1024));
        request.write_all(&piece)?;
        sent += piece.len();
    }
    Ok(())
}

fn broadcast(request: &Connection, length: usize) -> HandlerResult {
    let writer = request.writer();
    let message = pattern(0, length);
    loop {
        match writer.try_write(&message) {
            Ok(()) => {}
            Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => std::thread::yield_now(),
            Err(error) => return Err(error.into()),
        }
    }
}

fn take(request: &mut Connection, length: usize) -> HandlerResult {
    let mut bytes = vec![0; length];
    request.read_exact(&mut bytes)?;
    if bytes != pattern(0, length) {
        return Err("not the bytes that were sent".into());
    }
    Ok(writeln!(request, "took {length}")?)
}
