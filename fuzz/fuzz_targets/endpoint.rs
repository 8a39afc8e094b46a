//! Addresses as users write them: what std takes is taken as std takes it, a pair and its text mean the same, and a refusal is one line
//! that names the text. Nothing is looked up but services, in the system's file.
#![no_main]

use std::net::SocketAddr;

use arbitrary::Arbitrary;
use libfuzzer_sys::fuzz_target;
use socketserver::net::{getservbyname, getservbyport, resolve, Endpoint, Family, SocketKind, ToEndpoint};
use socketserver::{Address, Error, Result};

#[derive(Arbitrary, Debug)]
struct Input<'a> {
    text: &'a str,
    host: &'a str,
    port: u16,
}

fuzz_target!(|input: Input<'_>| {
    let Input { text, host, port } = input;
    let parsed = checked(text.to_endpoint(), text);
    match text.parse::<SocketAddr>() {
        Ok(address) => assert_eq!(known(&parsed.expect("std takes it")), Some(vec![address])),
        Err(_) => {
            if let Some(endpoint) = &parsed {
                assert_eq!(endpoint.to_string(), text);
                assert!(
                    text.contains(':') && !text.contains(|c: char| c == '/' || c.is_whitespace() || c.is_control())
                );
            }
        }
    }

    let bracketed = host.contains(':') && !host.starts_with('[');
    let written = if bracketed { format!("[{host}]:{port}") } else { format!("{host}:{port}") };
    if let Some(pair) = checked((host, port).to_endpoint(), &written) {
        assert_eq!(pair.to_string(), written);
        let text = written.to_endpoint().expect("the pair was taken");
        assert_eq!(known(&pair), known(&text));
        if let Some(addresses) = known(&pair) {
            assert!(addresses.iter().all(|address| address.port() == port));
            assert_eq!(resolve(host, port, Family::Any, SocketKind::Stream, None).expect("a number"), addresses);
        }
    } else {
        assert!(resolve(host, port, Family::Any, SocketKind::Stream, None).is_err());
    }

    match getservbyname(host, None) {
        Ok(port) => assert!(getservbyport(port, None).is_ok()),
        Err(error) => assert_one_line(&error.to_string()),
    }
    assert_one_line(&Address::Other(text.to_owned()).to_string());
    assert_one_line(&Address::Unix(text.into()).to_string());
    assert_one_line(&Address::Abstract(text.into()).to_string());
});

/// An error has to name the text.
fn checked(endpoint: Result<Endpoint>, text: &str) -> Option<Endpoint> {
    let error = match endpoint {
        Ok(endpoint) => return Some(endpoint),
        Err(error) => error,
    };
    assert_one_line(&error.to_string());
    match error {
        Error::InvalidAddress { address, reason } => {
            assert_eq!(address, text);
            assert!(!reason.is_empty());
            None
        }
        error => panic!("{error:?}"),
    }
}

/// Its addresses, where they are known without asking anyone.
fn known(endpoint: &Endpoint) -> Option<Vec<SocketAddr>> {
    endpoint.is_numeric().then(|| endpoint.resolve(None).expect("numbers need no look-up"))
}

fn assert_one_line(text: &str) {
    assert!(!text.contains(char::is_control), "{text:?}");
}
