use socketserver::{Connection, Handler, HandlerResult, ThreadingTcpServer};
use std::io::{BufRead, Write};

#[derive(Clone)]
struct Echo;

impl Handler for Echo {
    fn handle(&mut self, request: &mut Connection) -> HandlerResult {
        let mut line = String::new();
        while request.read_line(&mut line)? > 0 {
            request.write_all(line.as_bytes())?;
            line.clear();
        }
        Ok(())
    }
}

fn main() -> socketserver::Result<()> {
    let mut server = ThreadingTcpServer::bind("127.0.0.1:0", Echo)?;
    println!("listening on {}", server.local_addr());
    let handle = server.handle();
    std::thread::spawn(move || {
        std::thread::sleep(std::time::Duration::from_secs(2));
        handle.shutdown();
    });
    let r = server.serve_forever()?;
    println!("{r:?}");
    Ok(())
}
