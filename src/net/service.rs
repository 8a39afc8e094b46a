//! [`Service`].

/// A port, by number or by the name of its service: `80` or `"http"`. Text made of digits is a number.
///
/// Functions take `impl Into<Service>`, so the number or the text can be given as it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Service<'a> {
    /// The port itself.
    Port(u16),
    /// A name out of the system's services file, or a port's digits.
    Name(&'a str),
}

impl From<u16> for Service<'_> {
    fn from(port: u16) -> Self {
        Service::Port(port)
    }
}

impl<'a> From<&'a str> for Service<'a> {
    fn from(name: &'a str) -> Self {
        Service::Name(name)
    }
}

impl<'a> From<&'a String> for Service<'a> {
    fn from(name: &'a String) -> Self {
        Service::Name(name)
    }
}
