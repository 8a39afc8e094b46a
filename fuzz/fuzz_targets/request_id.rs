//! The id in front of a datagram: taking it off and putting it back gives the datagram.
#![no_main]

use libfuzzer_sys::fuzz_target;
use socketserver::udp::RequestId;

fuzz_target!(|datagram: &[u8]| {
    let Some((id, payload)) = RequestId::split(datagram) else {
        return assert!(datagram.len() < RequestId::LEN);
    };
    assert_eq!(id.to_bytes(), datagram[..RequestId::LEN]);
    assert_eq!(payload, &datagram[RequestId::LEN..]);
    assert_eq!(id.prefix(payload), datagram);
    assert_eq!(RequestId::from(id.to_bytes()), id);
    let digits = id.to_string();
    assert_eq!(digits.len(), 2 * RequestId::LEN);
    assert_eq!(u64::from_str_radix(&digits, 16), Ok(u64::from_be_bytes(id.to_bytes())));
    // The first eight bytes of the answer are an id of its own: what answers is told apart by all of them.
    let other = RequestId::from(id.to_bytes().map(|byte| byte ^ 1));
    assert_ne!(RequestId::split(&other.prefix(payload)), Some((id, payload)));
});
