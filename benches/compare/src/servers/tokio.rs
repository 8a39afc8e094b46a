use std::io;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream, UdpSocket};
use tokio::runtime::Builder;

use super::{bind, listen, Settings, Started};

/// The echo server of tokio's tutorial on the current-thread runtime: a task for every connection, each with its buffer.
pub fn start(settings: &Settings) -> anyhow::Result<Started> {
    let (listener, address) = listen()?;
    listener.set_nonblocking(true)?;
    let buffer = settings.buffer;
    let runtime = Builder::new_current_thread().enable_io().build()?;
    Ok(Started { address, serve: Box::new(move || Ok(runtime.block_on(run(listener, buffer))?)) })
}

/// The same on the multi-thread runtime, with as many workers as it takes by default: one for each processor that the process has.
///
/// Accepting is a task, too. On the thread that waits for it, as `#[tokio::main]` has it, each connection would go from one thread to
/// another.
pub fn start_multi(settings: &Settings) -> anyhow::Result<Started> {
    let (listener, address) = listen()?;
    listener.set_nonblocking(true)?;
    let buffer = settings.buffer;
    let runtime = Builder::new_multi_thread().enable_io().build()?;
    let serve = move || Ok(runtime.block_on(async move { tokio::spawn(run(listener, buffer)).await })??);
    Ok(Started { address, serve: Box::new(serve) })
}

async fn run(listener: std::net::TcpListener, buffer: usize) -> io::Result<()> {
    let listener = TcpListener::from_std(listener)?;
    loop {
        let (stream, _) = listener.accept().await?;
        tokio::spawn(echo(stream, buffer));
    }
}

async fn echo(mut stream: TcpStream, buffer: usize) -> io::Result<()> {
    stream.set_nodelay(true)?;
    let mut buffer = vec![0; buffer];
    loop {
        let read = stream.read(&mut buffer).await?;
        if read == 0 {
            return Ok(());
        }
        stream.write_all(&buffer[..read]).await?;
    }
}

/// The UDP echo server of tokio's examples on the current-thread runtime: one task, which receives and sends.
pub fn start_udp(settings: &Settings) -> anyhow::Result<Started> {
    let (socket, address) = bind()?;
    socket.set_nonblocking(true)?;
    let buffer = settings.buffer;
    let runtime = Builder::new_current_thread().enable_io().build()?;
    Ok(Started { address, serve: Box::new(move || Ok(runtime.block_on(echo_datagrams(socket, buffer))?)) })
}

async fn echo_datagrams(socket: std::net::UdpSocket, buffer: usize) -> io::Result<()> {
    let socket = UdpSocket::from_std(socket)?;
    let mut buffer = vec![0; buffer];
    loop {
        let (count, sender) = socket.recv_from(&mut buffer).await?;
        socket.send_to(&buffer[..count], sender).await?;
    }
}
