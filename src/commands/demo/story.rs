//! A small story, told by the server's own answers: an order and its payment, one event that is refused, a consumer group.

use std::time::Duration;

use hyper::Method;
use serde_json::{Value, json};

use crate::commands::output::{say, visible};
use crate::commands::server::Server;

const STREAM: &str = "orders";
const GROUP: &str = "billing";
/// Between two looks for what a job finds.
const LOOK_EVERY: Duration = Duration::from_millis(250);

pub async fn tell(server: &mut Server) -> Result<(), String> {
    send(server).await?;
    refused(server).await?;
    consume(server).await?;
    correlated(server).await
}

/// Three events of one order, and one that has no type.
async fn send(server: &mut Server) -> Result<(), String> {
    let order = uuid::Uuid::now_v7();
    let now = jiff::Timestamp::now();
    let event = |seconds_ago: i64, event_type: &str, module: &str, severity: &str, payload: Value| {
        let timestamp = now - jiff::SignedDuration::from_secs(seconds_ago);
        json!({ "timestamp": timestamp, "event_type": event_type, "source_module": module, "asset_id": "shop-1", "stream": STREAM, "severity": severity,
            "correlation_id": order, "payload": payload })
    };
    let mut broken = event(0, "order.shipped", "depot", "info", json!({ "order": 17 }));
    if let Some(members) = broken.as_object_mut() {
        members.remove("event_type");
    }
    let items = json!([
        event(3, "order.created", "shop", "info", json!({ "order": 17, "total": 12.5 })),
        event(2, "payment.failed", "payments", "error", json!({ "order": 17, "reason": "card expired" })),
        event(1, "order.paid", "payments", "info", json!({ "order": 17, "total": 12.5 })),
        broken,
    ]);
    let answer = server.send(Method::POST, "/v1/events", &items).await?;
    say!(
        "\nfour events of an order were sent to the stream {STREAM}: {} accepted, {} rejected,",
        answer["accepted"],
        answer["rejected"]
    );
    say!("committed under the receipt {}", text(&answer["receipt"]));
    Ok(())
}

/// What was refused is kept as it was sent.
async fn refused(server: &mut Server) -> Result<(), String> {
    let letters = server.list("/v1/dead-letters", &[], 1).await?;
    let letter = letters.first().ok_or("the event that was refused is no dead letter")?;
    say!("the rejected one is a dead letter: {}, {}", text(&letter["code"]), text(&letter["reason"]));
    Ok(())
}

/// A group reads two events, and says that it is done with them.
async fn consume(server: &mut Server) -> Result<(), String> {
    let groups = format!("/v1/streams/{STREAM}/groups");
    // The stream is there once the log has its first event.
    let group = json!({ "name": GROUP, "start": "earliest" });
    server.send(Method::POST, &groups, &group).await?;
    let page = server.value(Method::GET, &format!("{groups}/{GROUP}/events?limit=2&wait=30s")).await?;
    let events = page["events"].as_array().map(Vec::as_slice).unwrap_or_default();
    for event in events {
        say!("the group {GROUP} was handed offset {}: {}", event["offset"], text(&event["event_type"]));
    }
    if events.is_empty() {
        return Err(format!("the group {GROUP} was handed no event within 30 s"));
    }
    let done = json!({ "next_offset": page["next_offset"], "generation": page["generation"] });
    server.send(Method::POST, &format!("{groups}/{GROUP}/offset"), &done).await?;
    let now = server.value(Method::GET, &format!("{groups}/{GROUP}")).await?;
    say!("it has acknowledged them: {} committed, {} left to read", now["committed"], now["lag"]);
    Ok(())
}

/// Events that belong together are found by a job, a moment later.
async fn correlated(server: &mut Server) -> Result<(), String> {
    let pair = loop {
        let mut pairs = server.list("/v1/correlations", &[("type", Some("causal"))], 1).await?;
        match pairs.pop() {
            Some(pair) => break pair,
            None => tokio::time::sleep(LOOK_EVERY).await,
        }
    };
    let name = async |server: &mut Server, id: &Value| -> Result<String, String> {
        let event = server.value(Method::GET, &format!("/v1/events/{}", text(id))).await?;
        Ok(text(&event["event_type"]))
    };
    let (first, second) =
        (name(server, &pair["primary_event_id"]).await?, name(server, &pair["related_event_id"]).await?);
    say!(
        "a correlation was found: {first} and {second}, {}, strength {}\n",
        text(&pair["correlation_type"]),
        pair["strength"]
    );
    Ok(())
}

fn text(value: &Value) -> String {
    visible(value.as_str().unwrap_or("unknown"))
}
