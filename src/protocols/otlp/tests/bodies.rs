//! Requests in protobuf, put together field by field.

use crate::protocols::protobuf::{put_bytes, put_f64, put_fixed64, put_number, put_varint};

use super::TIME_NS;

pub const TRACE: [u8; 16] =
    [0x5b, 0x8e, 0xff, 0xf7, 0x98, 0x03, 0x81, 0x03, 0xd2, 0x69, 0xb6, 0x33, 0x81, 0x3f, 0xc6, 0x0c];
pub const TRACE_HEX: &str = "5b8efff798038103d269b633813fc60c";
pub const SPAN: [u8; 8] = [0xee, 0xe1, 0x9b, 0x7e, 0xc3, 0xc1, 0xb1, 0x74];
pub const SPAN_HEX: &str = "eee19b7ec3c1b174";
pub const PARENT: [u8; 8] = [0xee, 0xe1, 0x9b, 0x7e, 0xc3, 0xc1, 0xb1, 0x73];
pub const PARENT_HEX: &str = "eee19b7ec3c1b173";

/// A message, of fields that are written one after another.
#[derive(Default, Clone)]
pub struct Message(pub Vec<u8>);

impl Message {
    pub fn new() -> Self {
        Self::default()
    }

    pub fn bytes(mut self, number: u32, bytes: impl AsRef<[u8]>) -> Self {
        put_bytes(&mut self.0, number, bytes.as_ref());
        self
    }

    pub fn message(self, number: u32, message: Message) -> Self {
        self.bytes(number, message.0)
    }

    pub fn number(mut self, number: u32, value: u64) -> Self {
        put_number(&mut self.0, number, value);
        self
    }

    pub fn fixed64(mut self, number: u32, value: u64) -> Self {
        put_fixed64(&mut self.0, number, value);
        self
    }

    pub fn fixed32(mut self, number: u32, value: u32) -> Self {
        put_varint(&mut self.0, u64::from(number) << 3 | 5);
        self.0.extend_from_slice(&value.to_le_bytes());
        self
    }

    pub fn f64(mut self, number: u32, value: f64) -> Self {
        put_f64(&mut self.0, number, value);
        self
    }

    pub fn attribute(self, number: u32, key: &str, value: Message) -> Self {
        self.message(number, Message::new().bytes(1, key).message(2, value))
    }
}

pub fn text(text: &str) -> Message {
    Message::new().bytes(1, text)
}

pub fn int(value: i64) -> Message {
    Message::new().number(3, value.cast_unsigned())
}

pub fn resource() -> Message {
    Message::new()
        .attribute(1, "service.name", text("checkout"))
        .attribute(1, "host.name", text("node-1"))
        .attribute(1, "deployment.environment.name", text("staging"))
        .attribute(1, "process.pid", int(17))
}

pub fn scope() -> Message {
    Message::new().bytes(1, "my.library").bytes(2, "1.0.0").attribute(3, "lib", text("x"))
}

pub fn log_record() -> Message {
    Message::new()
        .fixed64(1, TIME_NS + 1001)
        .number(2, 17)
        .bytes(3, "ERROR")
        .message(5, text("the payment of order 4711 was declined by the bank: card expired (code 54)"))
        .attribute(6, "http.request.method", text("POST"))
        .attribute(6, "http.response.status_code", int(402))
        .attribute(6, "url.path", text("/orders/4711/payment"))
        .attribute(6, "user.id", text("u-12345"))
        .fixed32(8, 1)
        .bytes(9, TRACE)
        .bytes(10, SPAN)
        .fixed64(11, TIME_NS + 5_000_000)
}

pub fn span() -> Message {
    let event = Message::new().fixed64(1, TIME_NS + 7).bytes(2, "retry").attribute(3, "n", int(2)).number(4, 1);
    let link = Message::new()
        .bytes(1, TRACE)
        .bytes(2, PARENT)
        .bytes(3, "a=b")
        .attribute(4, "why", text("batch"))
        .fixed32(6, 1);
    Message::new()
        .bytes(1, TRACE)
        .bytes(2, SPAN)
        .bytes(3, "vendor=1")
        .bytes(4, PARENT)
        .bytes(5, "POST /pay")
        .number(6, 2)
        .fixed64(7, TIME_NS)
        .fixed64(8, TIME_NS + 1_234_567)
        .attribute(9, "http.route", text("/pay"))
        .number(10, 3)
        .message(11, event)
        .message(13, link)
        .number(14, 2)
        .message(15, Message::new().bytes(2, "declined").number(3, 2))
        .fixed32(16, 0x101)
}

/// A request of one resource and one scope.
pub fn request(records: impl IntoIterator<Item = Message>) -> Vec<u8> {
    let scoped = Message::new().message(1, scope());
    let scoped =
        records.into_iter().fold(scoped, |scoped, record| scoped.message(2, record)).bytes(3, "https://s/scope");
    let resource = Message::new().message(1, resource()).message(2, scoped).bytes(3, "https://s/resource");
    Message::new().message(1, resource).0
}
