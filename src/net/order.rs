//! The order in which several addresses of one name are tried.

use std::net::SocketAddr;

/// Alternates the families, starting with the first address's, and keeps the order within each (RFC 8305, section 4): a family
/// that leads nowhere then costs one attempt before the other gets its turn, not one for each of its addresses.
pub(crate) fn interleave(addresses: Vec<SocketAddr>) -> Vec<SocketAddr> {
    let first_is_v4 = addresses.first().is_some_and(SocketAddr::is_ipv4);
    let mut ordered = Vec::with_capacity(addresses.len());
    let (preferred, others): (Vec<_>, Vec<_>) =
        addresses.into_iter().partition(|address| address.is_ipv4() == first_is_v4);
    let mut others = others.into_iter();
    for address in preferred {
        ordered.push(address);
        ordered.extend(others.next());
    }
    ordered.extend(others);
    ordered
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ports_after(order: &str) -> Vec<u16> {
        let addresses = order.chars().zip(1..).map(|(family, port)| match family {
            '4' => SocketAddr::from(([127, 0, 0, 1], port)),
            _ => SocketAddr::from(([0, 0, 0, 0, 0, 0, 0, 1], port)),
        });
        interleave(addresses.collect()).iter().map(SocketAddr::port).collect()
    }

    #[test]
    fn families_alternate_from_the_first_one_and_keep_their_order() {
        assert_eq!(ports_after("666444"), [1, 4, 2, 5, 3, 6]);
        assert_eq!(ports_after("444666"), [1, 4, 2, 5, 3, 6]);
        assert_eq!(ports_after("646464"), [1, 2, 3, 4, 5, 6]);
    }

    #[test]
    fn what_is_left_of_the_longer_family_comes_last() {
        assert_eq!(ports_after("6664"), [1, 4, 2, 3]);
        assert_eq!(ports_after("4666"), [1, 2, 3, 4]);
        assert_eq!(ports_after("44"), [1, 2]);
        assert_eq!(ports_after("6"), [1]);
        assert_eq!(ports_after(""), [0_u16; 0]);
    }
}
