//! A chat of people with names: what one says, all are told, he himself too.
//!
//! Shows: a `Handler` with a state of its own and one that all share, a name that no two can take, and a `finish` in which a member leaves
//! however his connection ended.
//!
//! Run: `cargo run --example multi_user_chat_server -- 127.0.0.1:9999`, and in two other terminals
//! `cargo run --example chat_client -- 127.0.0.1:9999`, or `nc 127.0.0.1 9999`. The address may be left out, and is 127.0.0.1:10000 then.
//!
//! Expect: `listening on 127.0.0.1:9999`, then who comes, what is said, who goes, and how many are there: `채팅 참여 인원 2명`. Members are
//! asked for a name, at most 20 characters that nobody else has, and told who joins and who leaves; `end` leaves. Ctrl-C or SIGTERM
//! ends it with exit code 0.
//!
//! Python's counterpart: the multi-user chat of a socket tutorial, on `socketserver`:
//!
//! | there | here |
//! |---|---|
//! | `class ChatServer(socketserver.ThreadingMixIn, socketserver.TCPServer)` | `ThreadingTcpServer` |
//! | `class MyHandler(socketserver.BaseRequestHandler)` | `impl Handler for Chat` |
//! | `users = {}`, shared by all threads without a lock | `Members`, with one |
//! | `sock.send(message)`, which waits for whoever does not read | `try_write`, which does not |
//! | a `recv` that returns nothing for ever where a user has vanished | `None`, and `finish`, where he leaves |

mod common;

use std::io::Write;
use std::process::ExitCode;
use std::time::Duration;

use common::chat::{Pace, KEEPALIVE, MAX_MESSAGE, MAX_WAITING};
use common::members::Members;
use common::messages::Messages;
use common::tell;
use common::text::shown;
use socketserver::{Connection, Handler, HandlerResult, Keepalive, ThreadingTcpServer};

/// The longest name in characters. It stands before everything that its bearer says.
const MAX_NAME: usize = 20;

/// How long anybody may take to say his name. Until then he has a thread, and nobody knows of him.
const NAME_TIMEOUT: Duration = Duration::from_secs(120);

const ASK_NAME: &str = "이름을 입력하세요: ";
const NAME_TAKEN: &str = "이미 등록되어 있습니다.\n";

/// Serves one member, on any server of streams.
#[derive(Clone, Default)]
struct Chat {
    members: Members<String>,
    /// Whom this clone serves, from when he has joined to when he leaves.
    name: Option<String>,
}

impl Handler for Chat {
    fn handle(&mut self, request: &mut Connection) -> HandlerResult {
        tell(request.peer_addr());
        let mut messages = Messages::new().lines_once_seen().at_most(MAX_MESSAGE);
        let Some(name) = self.join(request, &mut messages)? else { return Ok(()) };
        request.set_read_timeout(None)?; // members may listen for as long as they like
        let mut pace = Pace::new();
        while let Some(message) = messages.next(request)? {
            pace.wait(message.len());
            if message.is_empty() {
                continue;
            }
            let said = format!("[{name}] {}", shown(&message));
            tell(&said);
            if message.trim() == "end" {
                break;
            }
            self.members.room().tell_all(&format!("{said}\n"));
        }
        Ok(())
    }

    fn finish(&mut self, request: &mut Connection) -> HandlerResult {
        let Some(name) = self.name.take() else { return Ok(()) };
        tell(format_args!("[{name}] 접속 종료"));
        let mut room = self.members.room();
        room.leave(&name);
        // When the server stops, all of them leave, and there is nobody to be told.
        if !request.server().is_shutting_down() {
            room.tell_all(&format!("★{name}님이 퇴장했습니다.\n"));
        }
        tell(format_args!("채팅 참여 인원 {}명", room.count()));
        Ok(())
    }
}

impl Chat {
    /// Asks for a name until there is one that he can have; `None` where he goes without having said one.
    fn join(&mut self, request: &mut Connection, messages: &mut Messages) -> std::io::Result<Option<String>> {
        loop {
            request.write_all(ASK_NAME.as_bytes())?;
            let Some(message) = messages.next(request)? else { return Ok(None) };
            let name = message.trim().to_owned();
            if name.is_empty() || name.chars().count() > MAX_NAME || name.contains(char::is_control) {
                writeln!(request, "이름은 제어 문자 없이 1자에서 {MAX_NAME}자까지입니다.")?;
                continue;
            }
            let mut room = self.members.room();
            if room.has(&name) {
                drop(room);
                request.write_all(NAME_TAKEN.as_bytes())?;
                continue;
            }
            room.join(name.clone(), request.writer());
            self.name = Some(name.clone());
            room.tell_all(&format!("★{name}님이 참여했습니다.\n"));
            tell(format_args!("채팅 참여 인원 {}명", room.count()));
            return Ok(Some(name));
        }
    }
}

fn main() -> ExitCode {
    common::run_with_address("multi_user_chat_server", |address| {
        let mut server = ThreadingTcpServer::builder()
            .max_connections(1_000)
            .read_timeout(NAME_TIMEOUT)
            .keepalive(Keepalive::new(KEEPALIVE))
            .write_queue(MAX_WAITING)
            .handle_error(common::complain_of)
            .bind(address, Chat::default())?;
        common::stop_on_signals(server.handle())?;
        common::announce(server.local_addr())?;
        common::farewell(server.serve_forever()?);
        Ok(())
    })
}
