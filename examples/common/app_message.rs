//! The messages of `app_server` and `app_client`: the length of a header in two bytes, big-endian; the header, a JSON object in
//! UTF-8; and the content that it describes.
//!
//! | key of the header | what it says |
//! |---|---|
//! | `byteorder` | the sender's, `big` or `little`, for content that has numbers in it |
//! | `content-type` | `text/json`, or whatever the two programs have agreed on |
//! | `content-encoding` | how text is written as bytes |
//! | `content-length` | the bytes of the content |
//!
//! The keys may come in any order, and with others between them.

use std::borrow::Cow;
use std::io::{self, Read, Write};

use serde_json::{json, Value};
use socketserver::framing::LengthPrefix;
use socketserver::Connection;

/// A header has at most the 65,535 bytes that this can say.
const HEADER: LengthPrefix = LengthPrefix::U16_BE;

/// The longest content that is read: a mebibyte of text, with room for what is put around it. Checked before anything is allocated.
const MAX_CONTENT: usize = 2 * 1024 * 1024;

const JSON: &str = "text/json";

pub(crate) enum Message {
    Json(Value),
    Binary { content_type: String, content: Vec<u8> },
}

impl Message {
    /// Reads a message; `None` where the peer has ended without having begun one.
    pub(crate) fn read(connection: &mut Connection) -> io::Result<Option<Message>> {
        let peer = connection.peer_addr();
        let bad = |reason| {
            io::Error::new(
                io::ErrorKind::InvalidData,
                format!("what {peer} sent is no message of this protocol: {reason}"),
            )
        };
        let Some(header) = connection.read_frame(HEADER)? else { return Ok(None) };
        let header = Header::parse(&header).map_err(bad)?;
        let mut content = vec![0; header.content_length];
        connection.read_exact(&mut content)?;
        header.describe(content).map(Some).map_err(bad)
    }

    /// Sends the message in one piece.
    pub(crate) fn write(&self, connection: &mut Connection) -> io::Result<()> {
        let (content_type, content_encoding, content) = match self {
            Message::Json(value) => (JSON, "utf-8", Cow::from(value.to_string().into_bytes())),
            Message::Binary { content_type, content } => (content_type.as_str(), "binary", Cow::from(content)),
        };
        let header = json!({
            "byteorder": if cfg!(target_endian = "big") { "big" } else { "little" },
            "content-type": content_type,
            "content-encoding": content_encoding,
            "content-length": content.len(),
        });
        let mut message = Vec::new();
        HEADER.encode(header.to_string().as_bytes(), &mut message)?;
        message.extend_from_slice(&content);
        connection.write_all(&message)
    }
}

struct Header {
    content_type: String,
    content_encoding: String,
    content_length: usize,
}

impl Header {
    /// The error is the reason in words.
    fn parse(header: &[u8]) -> Result<Header, String> {
        let header = match serde_json::from_slice(header) {
            Ok(Value::Object(header)) => header,
            Ok(_) => return Err("its header is no JSON object".to_owned()),
            Err(error) => return Err(format!("its header is no JSON object: {error}")),
        };
        let value = |key| header.get(key).ok_or_else(|| format!("its header lacks {key:?}"));
        let text = |key| value(key)?.as_str().ok_or_else(|| format!("{key:?} in its header is no text"));
        if !matches!(text("byteorder")?, "big" | "little") {
            return Err("\"byteorder\" in its header is neither \"big\" nor \"little\"".to_owned());
        }
        let length = value("content-length")?.as_u64().and_then(|length| usize::try_from(length).ok());
        Ok(Header {
            content_type: text("content-type")?.to_owned(),
            content_encoding: text("content-encoding")?.to_owned(),
            content_length: length.filter(|length| *length <= MAX_CONTENT).ok_or_else(|| {
                format!("\"content-length\" in its header is no number, or one above the limit of {MAX_CONTENT}")
            })?,
        })
    }

    /// Makes of the content what the header says that it is.
    fn describe(self, content: Vec<u8>) -> Result<Message, String> {
        if self.content_type != JSON {
            return Ok(Message::Binary { content_type: self.content_type, content });
        }
        if !["utf-8", "utf8"].iter().any(|name| self.content_encoding.eq_ignore_ascii_case(name)) {
            return Err("its text is in another encoding than UTF-8".to_owned());
        }
        serde_json::from_slice(&content).map(Message::Json).map_err(|error| format!("its content is no JSON: {error}"))
    }
}
