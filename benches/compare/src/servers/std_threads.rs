use std::io::{self, Read, Write};
use std::net::TcpStream;
use std::thread;

use super::{listen, Settings, Started};

/// The server anyone writes first: accept, spawn, read and write.
pub fn start(settings: &Settings) -> anyhow::Result<Started> {
    let (listener, address) = listen()?;
    let buffer = settings.buffer;
    thread::spawn(move || {
        for stream in listener.incoming() {
            let stream = stream.expect("accept");
            thread::spawn(move || echo(stream, buffer));
        }
    });
    Ok(Started { address, stop: Box::new(|| Ok(())) })
}

fn echo(mut stream: TcpStream, buffer: usize) -> io::Result<()> {
    stream.set_nodelay(true)?;
    let mut buffer = vec![0; buffer];
    loop {
        let read = stream.read(&mut buffer)?;
        if read == 0 {
            return Ok(());
        }
        stream.write_all(&buffer[..read])?;
    }
}
