//! Bodies that are damaged, or made to cost time.

use super::*;

/// A body in which every line would be read to its end costs no more than another one.
#[test]
fn lines_that_go_on_are_read_once() {
    for (first, line) in [
        ("m v=x,s=\"", "a\\\n"),
        ("m v=x,s=\"", "a b=c,d=\\\"\n"),
        ("m s=\"", "a b=\"\n"),
        ("", "a b=x\"\n"),
        ("", "a b=1 \\\n"),
    ] {
        let body = format!("{first}\n{}", line.repeat(90_000));
        let began = std::time::Instant::now();
        converted(V1, "", body).unwrap();
        assert!(began.elapsed().as_secs() < 10, "{first}{line}");
    }
}

/// Any bytes are answered, and those that are left of a body hold no more items than it has fields.
#[test]
fn damaged_bodies_are_answered() {
    let body = "# c\ncpu\\,x,host=h\\ 1,a\\\\=b \
        value=1.5e3,i=-2i,u=3u,t=true,s=\"a\\\"\nb\\\\\" 1700000000000000000\r\n\nm,b=c x.y=1 -5\n";
    for route in [V1, V2, V3] {
        let check = |bytes: &[u8]| {
            let made = converted(route, "db=x", bytes).unwrap();
            assert!(
                made.original.places.iter().all(|place| place.start < place.end && place.end as usize <= bytes.len())
            );
            assert!(made.original.places.len() <= bytes.len());
            if !made.items.is_empty() {
                decoded(&made);
            }
        };
        for cut in 0..=body.len() {
            check(&body.as_bytes()[..cut]);
            check(&body.as_bytes()[cut..]);
        }
        for at in 0..body.len() {
            for byte in
                [b' ', b'"', b'\\', b'\n', b'=', b',', b'\r', 0, b'-', b'.', b'e', 0xff, body.as_bytes()[at] ^ 1]
            {
                let mut damaged = body.as_bytes().to_vec();
                damaged[at] = byte;
                check(&damaged);
            }
        }
    }
}
