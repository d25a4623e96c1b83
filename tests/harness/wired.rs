//! Bodies of agents' protocols, written here by hand, so that they owe nothing to what reads them.

/// A field of a message in protobuf: text, bytes, or a message.
pub fn field(number: u8, bytes: impl AsRef<[u8]>) -> Vec<u8> {
    let bytes = bytes.as_ref();
    let mut out = vec![number << 3 | 2];
    put_varint(&mut out, bytes.len() as u64);
    out.extend_from_slice(bytes);
    out
}

/// A field that is a varint.
pub fn number(number: u8, value: u64) -> Vec<u8> {
    let mut out = vec![number << 3];
    put_varint(&mut out, value);
    out
}

/// A field of eight bytes.
pub fn fixed(number: u8, value: u64) -> Vec<u8> {
    [&[number << 3 | 1][..], &value.to_le_bytes()].concat()
}

pub fn double(number: u8, value: f64) -> Vec<u8> {
    fixed(number, value.to_bits())
}

fn put_varint(out: &mut Vec<u8>, mut value: u64) {
    while value >= 0x80 {
        out.push(value.to_le_bytes()[0] | 0x80);
        value >>= 7;
    }
    out.push(value.to_le_bytes()[0]);
}

/// A message made of these fields.
pub fn message(fields: impl IntoIterator<Item = Vec<u8>>) -> Vec<u8> {
    fields.into_iter().flatten().collect()
}

pub fn snappy(body: &[u8]) -> Vec<u8> {
    snap::raw::Encoder::new().compress_vec(body).unwrap()
}

/// A series of remote write 1.0 with these samples, in milliseconds.
pub fn time_series(labels: &[(&str, &str)], samples: &[(f64, i64)]) -> Vec<u8> {
    let label = |(name, value): &(&str, &str)| field(1, message([field(1, name), field(2, value)]));
    let sample = |(value, ms): &(f64, i64)| field(2, message([double(1, *value), number(2, ms.cast_unsigned())]));
    field(1, message(labels.iter().map(label).chain(samples.iter().map(sample))))
}

/// An attribute whose value is text.
pub fn attribute(key: &str, value: &str) -> Vec<u8> {
    message([field(1, key), field(2, field(1, value))])
}

/// A log record of OTLP at this moment.
pub fn log_record(time_ns: u64, text: &str) -> Vec<u8> {
    message([
        fixed(1, time_ns),
        number(2, 9),
        field(3, "INFO"),
        field(5, field(1, text)),
        field(6, attribute("http.method", "GET")),
    ])
}

/// A request of OTLP: records of this resource, in the field that its signal has for them (2 for all of them).
pub fn otlp(service: &str, host: &str, records: &[Vec<u8>]) -> Vec<u8> {
    let resource = message([field(1, attribute("service.name", service)), field(1, attribute("host.name", host))]);
    let scope =
        message(std::iter::once(field(1, field(1, "lib"))).chain(records.iter().map(|record| field(2, record))));
    field(1, message([field(1, resource), field(2, scope)]))
}

/// A span of OTLP; no parent where that is empty.
pub fn span(trace: &[u8; 16], id: &[u8; 8], parent: &[u8], name: &str, start_ns: u64, end_ns: u64) -> Vec<u8> {
    let parent = if parent.is_empty() { Vec::new() } else { field(4, parent) };
    message([field(1, trace), field(2, id), parent, field(5, name), number(6, 2), fixed(7, start_ns), fixed(8, end_ns)])
}

/// A gauge of OTLP with these points.
pub fn gauge(name: &str, points: &[(u64, f64)]) -> Vec<u8> {
    let point = |(time_ns, value): &(u64, f64)| field(1, message([fixed(3, *time_ns), double(4, *value)]));
    message([field(1, name), field(3, "ms"), field(5, message(points.iter().map(point)))])
}

/// A push of Loki in protobuf: lines of one stream.
pub fn loki(labels: &str, lines: &[(u64, &str)]) -> Vec<u8> {
    let entry = |(time_ns, line): &(u64, &str)| {
        let time = message([number(1, time_ns / 1_000_000_000), number(2, time_ns % 1_000_000_000)]);
        field(2, message([field(1, time), field(2, line)]))
    };
    field(1, message(std::iter::once(field(1, labels)).chain(lines.iter().map(entry))))
}
