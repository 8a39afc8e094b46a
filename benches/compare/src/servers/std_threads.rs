use std::io::{self, Read, Write};
use std::net::TcpStream;
use std::thread;
use std::time::Duration;

use super::{listen, Settings, Started};

/// The server anyone writes first: accept, spawn, read and write. `timed` with the timeouts that socketserver sets by default, which
/// cost the kernel a timer for each read that waits.
pub fn start(settings: &Settings, timed: bool) -> anyhow::Result<Started> {
    let (listener, address) = listen()?;
    let buffer = settings.buffer;
    let serve = move || {
        for stream in listener.incoming() {
            let stream = stream?;
            thread::spawn(move || echo(stream, buffer, timed));
        }
        Ok(())
    };
    Ok(Started { address, serve: Box::new(serve) })
}

fn echo(mut stream: TcpStream, buffer: usize, timed: bool) -> io::Result<()> {
    stream.set_nodelay(true)?;
    if timed {
        stream.set_read_timeout(Some(Duration::from_secs(60)))?;
        stream.set_write_timeout(Some(Duration::from_secs(30)))?;
    }
    let mut buffer = vec![0; buffer];
    loop {
        let read = stream.read(&mut buffer)?;
        if read == 0 {
            return Ok(());
        }
        stream.write_all(&buffer[..read])?;
    }
}
