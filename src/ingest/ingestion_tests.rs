#![allow(clippy::unwrap_used, reason = "a test may stop at the first surprise")]

use uuid::Uuid;

use super::*;
use crate::config::{Layers, Origin};
use crate::wire::event::Defaults;
use crate::wire::item::BodyForm;

#[tokio::test]
async fn what_a_request_has_waited_for_its_key_is_a_part_of_its_deadline() {
    let dir = tempfile::tempdir().unwrap();
    let mut layers = Layers::new();
    layers.set("data_dir", dir.path().to_str().unwrap().into(), Origin::Default).unwrap();
    let ingest = Ingest::open(&Config::from_layers(&layers).unwrap()).await.unwrap();
    for waited in [0, 1, 5].map(Duration::from_secs) {
        let tenant_id: Arc<str> = "tenant".into();
        let request = Request {
            reservation: ingest.budget.reserve(&tenant_id, HeldFor::Body, 2).unwrap(),
            received: Received {
                tenant_id,
                api_key_id: Uuid::nil(),
                keep_days: None,
                receipt: Uuid::nil(),
                received_at_us: 0,
                route: "/v1/events".into(),
                kind: Kind::Events,
                form: BodyForm::Json,
                defaults: Defaults::default(),
                body: "[{}]".into(),
                original: None,
                sent_digest: None,
                replay: None,
            },
            idempotency_key: None,
            dedupe_body: false,
            ack_spooled: false,
            waited,
            admit: Box::new(|_| Ok(())),
        };
        let before = Instant::now();
        let decoded = ingest.intake.decode(&request.received, None);
        let (submission, _answer) = ingest.submission(request, decoded).unwrap_or_else(|_| panic!("it is taken"));
        let began = submission.arrived + waited;
        assert!((before..=Instant::now()).contains(&began), "{waited:?}");
        submission.finish(Err(Refusal::KeyReused));
    }
    ingest.close_spool().await;
}
