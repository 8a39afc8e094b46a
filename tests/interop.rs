//! The example programs with Python's own `socket` and `socketserver` on the other end: what interop.py says, as tests of cargo's.
//!
//! They need `python3`, its standard library only, and the examples, which `cargo test` builds unless it is told to build
//! one test alone.
#![cfg(unix)]
// Clippy lets tests unwrap and panic, but not the functions that they share.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::mpsc::{channel, RecvTimeoutError};
use std::time::Duration;

/// For a whole class of tests. Each of them has a shorter watchdog of its own, which says where it hangs.
const WATCHDOG: Duration = Duration::from_secs(300);

const PROGRAMS: [&str; 33] = [
    "tcp_echo_server",
    "threading_echo_server",
    "select_echo_server",
    "multi_connection_server",
    "reactor_echo_server",
    "reactor_once_server",
    "reactor_chat_server",
    "prefix_echo_server",
    "one_client_server",
    "request_handler_server",
    "counting_server",
    "chat_server",
    "multi_user_chat_server",
    "chat_client",
    "tcp_echo_client",
    "message_client",
    "conversation_client",
    "multi_connection_client",
    "nonblocking_connect",
    "udp_echo_server",
    "udp_client",
    "udp_request_response",
    "unix_datagram",
    "threads_and_traits",
    "app_server",
    "app_client",
    "http_server",
    "http_get",
    "socket_options",
    "timeouts",
    "receive_exactly",
    "names",
    "tour",
];

/// `target/<profile>/examples`; this test runs from `target/<profile>/deps`.
fn examples() -> PathBuf {
    let test = std::env::current_exe().unwrap();
    let folder = test.parent().and_then(Path::parent).expect("a test lies two folders deep").join("examples");
    for name in PROGRAMS {
        assert!(
            folder.join(name).exists(),
            "there is no {name} in {}: `cargo test` builds the examples, `cargo test --test interop` alone does not; \
             run `cargo build --examples` with the same profile and target first",
            folder.display()
        );
    }
    folder
}

/// Runs one class of interop.py. Missing Python is a failure: a test that may be left out is one that will be.
fn run(class: &str) {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/interop.py");
    let python = Command::new("python3")
        .arg("-B")
        .arg(script)
        .arg(class)
        .env("EXAMPLES", examples())
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        // A group of its own, so that the servers it starts can be ended with it.
        .process_group(0)
        .spawn()
        .unwrap_or_else(|error| panic!("cannot run python3, which these tests need: {error}"));
    let group = python.id();

    let (done, finished) = channel();
    std::thread::spawn(move || done.send(python.wait_with_output()));
    let (timed_out, output) = match finished.recv_timeout(WATCHDOG) {
        Ok(output) => (false, output),
        Err(RecvTimeoutError::Timeout) => {
            kill(group);
            (true, finished.recv().unwrap())
        }
        Err(RecvTimeoutError::Disconnected) => panic!("the thread that waits for python3 has panicked"),
    };
    let output = output.unwrap();
    if timed_out || !output.status.success() {
        kill(group);
        panic!(
            "{class} of interop.py {} ({})\n{}{}",
            if timed_out { "did not end in time" } else { "failed" },
            output.status,
            String::from_utf8_lossy(&output.stdout),
            String::from_utf8_lossy(&output.stderr)
        );
    }
}

fn kill(group: u32) {
    let _ = Command::new("kill").args(["-KILL", "--", &format!("-{group}")]).stderr(Stdio::null()).status();
}

#[test]
fn every_class_and_every_example_has_its_place_here() {
    let here = include_str!("interop.rs");
    let classes: Vec<&str> = include_str!("interop.py")
        .lines()
        .filter_map(|line| line.trim_start().strip_prefix('"')?.strip_suffix("\","))
        .collect();
    assert!(!classes.is_empty(), "interop.py names its classes in __all__, a line for each");
    for class in classes {
        assert!(here.contains(&format!("run(\"{class}\");")), "no test here runs {class}");
    }
    for entry in Path::new(env!("CARGO_MANIFEST_DIR")).join("examples").read_dir().unwrap() {
        let path = entry.unwrap().path();
        let is_example = path.extension().is_some_and(|extension| extension == "rs") || path.join("main.rs").exists();
        let name = path.file_stem().and_then(|name| name.to_str()).unwrap();
        assert!(!is_example || PROGRAMS.contains(&name), "{name} is not in PROGRAMS");
    }
}

#[test]
fn pythons_clients_are_answered_by_the_echo_servers() {
    run("PythonClients");
}

#[test]
fn signals_end_the_servers_with_exit_code_0() {
    run("Signals");
}

#[test]
fn pythons_clients_chat() {
    run("Chat");
}

#[test]
fn pythons_clients_chat_with_a_thread_for_each() {
    run("ThreadedChat");
}

#[test]
#[cfg(feature = "coroutine")]
fn pythons_clients_chat_with_a_coroutine_for_each() {
    run("CoroutineChat");
}

#[test]
fn pythons_clients_chat_under_their_names() {
    run("MultiUserChat");
}

#[test]
fn the_chat_client_chats() {
    run("ChatClient");
}

#[test]
fn the_chat_client_keeps_what_is_typed_on_a_terminal() {
    run("ChatTerminal");
}

#[test]
fn the_echo_client_talks_to_pythons_socketserver() {
    run("EchoClient");
}

#[test]
fn the_tutorials_clients_are_answered_behind_a_prefix() {
    run("PrefixEcho");
}

#[test]
fn one_client_is_served() {
    run("OneClient");
}

#[test]
fn one_message_on_each_connection_is_answered() {
    run("RequestHandler");
}

#[test]
fn the_first_bytes_of_each_connection_are_sent_back() {
    run("ReactorOnce");
}

#[test]
fn clients_are_counted() {
    run("Counting");
}

#[test]
fn servers_go_on_where_nobody_reads_what_they_say() {
    run("NobodyReads");
}

#[test]
fn the_message_client_talks_to_the_tutorials_servers() {
    run("MessageClient");
}

#[test]
fn the_conversation_client_talks_to_the_tutorials_servers() {
    run("ConversationClient");
}

#[test]
fn threads_and_traits_do_what_pythons_do() {
    run("ThreadsAndTraits");
}

#[test]
fn the_multi_connection_client_talks_to_pythons_socketserver() {
    run("MultiConnectionClient");
}

#[test]
fn the_nonblocking_connect_connects_to_pythons_socketserver() {
    run("NonblockingConnect");
}

#[test]
fn mistakes_get_one_line_and_an_exit_code() {
    run("Mistakes");
}

#[test]
fn pythons_datagrams_are_answered() {
    run("PythonDatagrams");
}

#[test]
fn the_udp_client_talks_to_pythons_socketserver() {
    run("UdpClientExample");
}

#[test]
fn mistakes_with_datagrams_get_one_line_and_an_exit_code() {
    run("DatagramMistakes");
}

#[test]
fn the_datagram_programs_talk_to_themselves() {
    run("DatagramPrograms");
}

#[test]
fn pythons_clients_speak_the_application_protocol() {
    run("ApplicationServer");
}

#[test]
fn the_application_client_talks_to_its_python_twin() {
    run("ApplicationClient");
}

#[test]
fn signals_end_the_application_server() {
    run("ApplicationSignals");
}

#[test]
fn mistakes_with_the_application_programs_get_one_line_and_an_exit_code() {
    run("ApplicationMistakes");
}

#[test]
fn pythons_http_clients_are_answered() {
    run("HttpServer");
}

#[test]
fn http_get_talks_to_pythons_http_server() {
    run("HttpGet");
}

#[test]
fn signals_end_the_http_server() {
    run("HttpSignals");
}

#[test]
fn mistakes_with_the_http_programs_get_one_line_and_an_exit_code() {
    run("HttpMistakes");
}

#[test]
fn the_socket_options_are_those_that_python_sees() {
    run("SocketOptions");
}

#[test]
fn the_timeouts_run_out_on_pythons_servers_too() {
    run("Timeouts");
}

#[test]
fn receive_exactly_receives_from_pythons_servers() {
    run("ReceiveExactly");
}

#[test]
fn the_names_are_those_that_python_finds() {
    run("Names");
}

#[test]
fn mistakes_with_the_small_programs_get_one_line_and_an_exit_code() {
    run("DetailMistakes");
}

#[test]
fn the_tour_visits_every_server() {
    run("Tour");
}
