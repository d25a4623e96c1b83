//! What is masked of a body, whatever is wrong with it.

use base64::Engine;
use base64::prelude::{BASE64_STANDARD, BASE64_STANDARD_NO_PAD};
use proptest::prelude::*;

use super::*;
use crate::payload::{Action, Mask, MaskKey, Path};
use crate::wire::event::{MaskBounds, StreamMasks, Unmasked, WITHHELD, masked};

const ITEM_BYTES: usize = 1 << 20;

/// Of the stream `secret` it masks `/pin`; of `other` nothing.
struct Masks(Vec<Mask>);

impl StreamMasks for Masks {
    fn of(&self, stream: &str) -> &[Mask] {
        if stream == "secret" { &self.0 } else { &[] }
    }

    fn all(&self) -> Option<&[Mask]> {
        Some(&self.0)
    }
}

/// The body as it is kept.
fn kept(body: &[u8], form: BodyForm, defaults: &Defaults) -> Vec<u8> {
    let paths = ["/pin", "/data", "/data_base64", "/deep/*/pin"];
    let mask = |path| Mask { path: Path::parse(path).unwrap(), action: Action::Remove };
    let masks = Masks(paths.map(mask).to_vec());
    let bounds = MaskBounds { steps: u64::MAX, bytes: usize::MAX };
    let mut kept = masked(body, form, defaults, ITEM_BYTES, &masks, &MaskKey::of(b"key", "t"), bounds).unwrap();
    kept.unreadable.iter().for_each(|range| kept.bytes[range.clone()].fill(WITHHELD));
    kept.bytes
}

fn text(body: &str, form: BodyForm) -> String {
    String::from_utf8(kept(body.as_bytes(), form, &Defaults::default())).unwrap()
}

#[test]
fn payloads_of_a_stream_are_masked_by_whichever_name() {
    for (sent, stored) in [
        (r#"[{"stream":"secret","payload":{"pin":1,"a":2}}]"#, r#"[{"stream":"secret","payload":{"a":2}}]"#),
        (r#" {"data":{"pin":1},"stream_name":"secret"} "#, r#" {"data":{},"stream_name":"secret"} "#),
        (r#"{"stream":"other","payload":{"pin":1}}"#, r#"{"stream":"other","payload":{"pin":1}}"#),
        (r#"{"payload":{"pin":1}}"#, r#"{"payload":{"pin":1}}"#),
        // Without a payload, which may be what it is itself.
        (r#"{"stream":"secret","pin":1,"a":2}"#, r#"{"stream":"secret","a":2}"#),
        (r#"{"stream":"other","pin":1}"#, r#"{"stream":"other","pin":1}"#),
        (r#"{"stream":"\u0073ecret","payload":{"pin":1}}"#, r#"{"stream":"\u0073ecret","payload":{}}"#),
        // Both are kept, one of them in metadata.
        (
            r#"{"stream":"secret","payload":{"pin":1},"data":{"pin":2,"a":3}}"#,
            r#"{"stream":"secret","payload":{},"data":{"a":3}}"#,
        ),
        (r#"{"stream":"secret","p\u0061yload":{"p\u0069n":1,"a":2}}"#, r#"{"stream":"secret","p\u0061yload":{"a":2}}"#),
        // Which stream it is cannot be read.
        (r#"{"stream":7,"payload":{"pin":1}}"#, r#"{"stream":7,"payload":{}}"#),
        (r#"{"stream":"secret","payload":{"pin":1,"pin":2,"a":1}}"#, r#"{"stream":"secret","payload":{"a":1}}"#),
        (
            r#"{"stream":"secret","payload":{"deep":[{"pin":1},{"b":2}]}}"#,
            r#"{"stream":"secret","payload":{"deep":[{},{"b":2}]}}"#,
        ),
        // What is refused because it is no object is withheld.
        (r#"{"stream":"secret","payload":"pin"}"#, r#"{"stream":"secret","payload":"*withheld*"}"#),
        (r#"{"stream":"secret","payload":null}"#, r#"{"stream":"secret","payload":null}"#),
    ] {
        assert_eq!(text(sent, BodyForm::Json), stored, "{sent}");
    }
    let cloud = r#"{"specversion":"1.0","stream":"secret","data":"pin","data_base64":"cGlu"}"#;
    let stored = r#"{"specversion":"1.0","stream":"secret","data":null,"data_base64":null}"#;
    assert_eq!(text(cloud, BodyForm::CloudEvent), stored);
    let wrap = Defaults { wrap: true, stream: Some("secret".into()), ..Defaults::default() };
    assert_eq!(kept(br#"[{"pin":1,"a":2}]"#, BodyForm::Json, &wrap), br#"[{"a":2}]"#);
}

#[test]
fn what_cannot_be_read_is_withheld() {
    for (sent, form) in [
        (r#"[{"stream":"secret","payload":{"pin":1}]"#, BodyForm::Json),
        (r#"[{"pin": ,},{"payload":{}}]"#, BodyForm::Json),
        (r#"["pin",{"payload":{}}]"#, BodyForm::Json),
        (r#"[["pin"],{"payload":{}}]"#, BodyForm::Json),
        ("pin and no JSON", BodyForm::Json),
        ("{\"pin\":\n{\"payload\":{}}", BodyForm::Ndjson),
    ] {
        let kept = text(sent, form);
        assert!(!kept.contains("pin") && kept.len() == sent.len(), "{sent}: {kept}");
        assert_eq!(kept.contains(r#"{"payload":{}}"#), sent.contains(r#"{"payload":{}}"#), "{sent}: {kept}");
    }
    let invalid = b"{\"stream\":\"secret\",\"payload\":{\"a\":\"\xff\",\"pin\":1}}";
    assert!(kept(invalid, BodyForm::Json, &Defaults::default()).iter().all(|byte| *byte == WITHHELD));
}

#[test]
fn data_in_base64_is_the_data_that_it_stands_for() {
    let mask = |path, action| Mask { path: Path::parse(path).unwrap(), action };
    let masks = Masks(vec![mask("/pin", Action::Remove), mask("/*/pin", Action::Hash)]);
    let bounds = MaskBounds { steps: u64::MAX, bytes: usize::MAX };
    let kept = |body: &str| {
        let key = MaskKey::of(b"key", "t");
        let form = BodyForm::CloudEvent;
        masked(body.as_bytes(), form, &Defaults::default(), ITEM_BYTES, &masks, &key, bounds).unwrap().bytes
    };
    let event = |data: &str| format!(r#"{{"stream":"secret","data_base64":"{data}"}}"#);
    for (sent, stored) in [
        (BASE64_STANDARD.encode(r#" {"pin":1,"a":2}"#), BASE64_STANDARD.encode(r#"{"a":2}"#)),
        (BASE64_STANDARD_NO_PAD.encode(r#"{"pin":1}"#), BASE64_STANDARD.encode("{}")),
        // As JSON may write it.
        (
            BASE64_STANDARD.encode(r#"{"pin":"???"}"#).replace('/', r"\/").replace('e', r"\u0065"),
            BASE64_STANDARD.encode("{}"),
        ),
        // No JSON, or not all of it.
        (BASE64_STANDARD.encode("pin"), BASE64_STANDARD.encode("pin")),
        (BASE64_STANDARD.encode(r#"{"pin":1} x"#), BASE64_STANDARD.encode(r#"{"pin":1} x"#)),
        ("{no base64".into(), "{no base64".into()),
    ] {
        assert_eq!(String::from_utf8(kept(&event(&sent))).unwrap(), event(&stored), "{sent}");
    }
    let once = kept(&event(&BASE64_STANDARD.encode(r#"[{"pin":1}]"#)));
    assert!(once.len() > 80);
    assert_eq!(kept(std::str::from_utf8(&once).unwrap()), once, "what is masked is masked once");
    let deep = format!("{}{}", "[".repeat(100_000), "]".repeat(100_000));
    assert_eq!(kept(&event(&BASE64_STANDARD.encode(&deep))), event(&BASE64_STANDARD.encode(&deep)).into_bytes());
}

/// Masks by which every number is hashed; they are too many for items whose stream cannot be told.
struct Hashing([Mask; 1]);

impl StreamMasks for Hashing {
    fn of(&self, _stream: &str) -> &[Mask] {
        &self.0
    }

    fn all(&self) -> Option<&[Mask]> {
        None
    }
}

#[test]
fn masking_is_bounded() {
    let masks = Hashing([Mask { path: Path::parse("/n/*").unwrap(), action: Action::Hash }]);
    let masked = |body: &str, steps, bytes| {
        let bounds = MaskBounds { steps, bytes };
        let key = MaskKey::of(b"key", "t");
        masked(body.as_bytes(), BodyForm::Json, &Defaults::default(), ITEM_BYTES, &masks, &key, bounds)
    };
    let body = format!(r#"[{{"payload":{{"n":[{}1]}}}},{{"payload":{{}}}}]"#, "1,".repeat(99));
    let whole = masked(&body, u64::MAX, usize::MAX).unwrap();
    assert!(whole.bytes.len() > 100 * 49 && whole.unreadable.is_empty(), "{}", whole.bytes.len());
    assert_eq!(masked(&body, 200_000, usize::MAX).unwrap().bytes, whole.bytes, "about a thousand for each");
    assert_eq!(masked(&body, 50_000, usize::MAX).err(), Some(Unmasked::TooLong));
    assert_eq!(masked(&body, u64::MAX, 49 * 90).err(), Some(Unmasked::TooLarge));
    let untold = masked(r#"[{"stream":7,"payload":{"n":[1]}},{"payload":{}}]"#, u64::MAX, usize::MAX).unwrap();
    assert_eq!((untold.unreadable.len(), &untold.unreadable[0]), (1, &(1..33)), "it is withheld whole");
}

proptest! {
    /// Nothing of what is masked is left, whatever comes around it, nor once it goes through it again.
    #[test]
    fn nothing_of_a_secret_is_left(
        pieces in proptest::collection::vec(
            prop_oneof![
                Just(r#"{"stream":"secret","payload":{"pin":"SECRET","a":1}}"#),
                Just(r#"{"stream":"secret","data":{"a":[1],"pin":{"x":"SECRET"}}}"#),
                Just(r#"{"payload":{"a":1}}"#),
                Just("["), Just("]"), Just(","), Just("\n"), Just("{"), Just("}"), Just("\""), Just("1"), Just("\\"),
                Just("\u{1e}"), Just("null"),
            ],
            0..12,
        ),
        ndjson in any::<bool>(),
    ) {
        let body = pieces.concat();
        let form = if ndjson { BodyForm::Ndjson } else { BodyForm::Json };
        let once = kept(body.as_bytes(), form, &Defaults::default());
        prop_assert!(!String::from_utf8_lossy(&once).contains("SECRET"), "{body:?} {:?}", String::from_utf8_lossy(&once));
        let again = kept(&once, form, &Defaults::default());
        prop_assert!(!String::from_utf8_lossy(&again).contains("SECRET"), "{body:?}");
    }
}
