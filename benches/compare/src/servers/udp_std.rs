use super::{bind, Settings, Started};

/// The server anyone writes first: `recv_from`, `send_to`.
pub fn start(settings: &Settings) -> anyhow::Result<Started> {
    let (socket, address) = bind()?;
    let mut buffer = vec![0; settings.buffer];
    let serve = move || loop {
        let (count, sender) = socket.recv_from(&mut buffer)?;
        socket.send_to(&buffer[..count], sender)?;
    };
    Ok(Started { address, serve: Box::new(serve) })
}
