//! Any bytes as the body of an agent's protocol: no panic, and what is made of it is decoded item by item.

use bytes::Bytes;
use hyper::HeaderMap;
use hyper::header::{CONTENT_TYPE, HeaderValue};
use tidegate::model::Kind;
use tidegate::protocols::{Converter, Head, Items, Segments, doors};
use tidegate::wire::event::{self, Defaults};
use tidegate::wire::item::BodyForm;
use tidegate::wire::metric;

use crate::origin;

/// Has the protocol of this route and type read a body.
pub fn check(route: &str, content_type: &'static str, query: Option<&str>, input: &[u8]) {
    let headers = HeaderMap::from_iter([(CONTENT_TYPE, HeaderValue::from_static(content_type))]);
    // As the server does it: who speaks it, else the last one.
    let of_route = || doors().filter(|door| door.route.name == route);
    let door = of_route().find(|door| door.protocol.speaks(&headers)).or_else(|| of_route().last());
    let door = door.expect("a door of this name");
    let (path, body) = (Segments::default(), Bytes::copy_from_slice(input));
    let head = Head { route: door.route, path: &path, query, headers: &headers };
    let mut into = Converter::new(Box::new(|_| Ok(())));
    let Ok(Items::Converted) = door.protocol.items(&head, &body, &mut into) else { return };
    let Ok(made) = into.finish(body) else { return };
    for place in &made.original.places {
        assert!(place.start <= place.end && place.end as usize <= input.len(), "{place:?} of {}", input.len());
    }
    let decoded = match door.route.kind {
        Kind::Events => event::Decoder::new().decode(&made.items, BodyForm::Converted, &Defaults::default(), &origin()),
        Kind::Metrics => metric::Decoder::new().decode(&made.items, BodyForm::Converted, &origin()),
    };
    match decoded {
        Ok(decoded) => {
            assert_eq!(decoded.items as usize, made.original.places.len(), "an item a place");
            let mut rejected = decoded.rejected;
            made.original.explain(&mut rejected);
            for broken in &made.original.broken {
                assert!(rejected.iter().any(|item| item.index == broken.item), "{broken:?} is rejected");
            }
        }
        Err(_) => assert!(made.original.places.is_empty(), "there are items"),
    }
}
