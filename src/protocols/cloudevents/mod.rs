//! CloudEvents 1.0 over HTTP: in structured mode, one event or a batch, told by Content-Type, and in binary mode, told
//! by `ce-` headers. Else as Tidegate's own events are. The fields are mapped where items are decoded: dead letters and replays hold CloudEvents as sent.

mod binary;

use bytes::Bytes;
use hyper::{HeaderMap, Method};

use super::content::media_type;
use super::convert::Converter;
use super::native;
use super::problem::{Answer, Problem};
use super::protocol::{Head, Items, Protocol, Reading, Route, Sent};
use super::report::{ItemError, Report};
use crate::model::Kind;
use crate::wire::item::BodyForm;

pub struct CloudEvents;

impl Protocol for CloudEvents {
    fn routes(&self) -> &'static [Route] {
        const ROUTES: &[Route] =
            &[Route { method: Method::POST, path: "/v1/events", name: "/v1/events", kind: Kind::Events }];
        ROUTES
    }

    fn speaks(&self, headers: &HeaderMap) -> bool {
        form(headers).is_some() || binary::is_meant(headers)
    }

    fn reading(&self, head: &Head<'_>) -> Result<Reading, Problem> {
        native::options(head, form(head.headers).unwrap_or(BodyForm::CloudEvent))
    }

    fn items(&self, head: &Head<'_>, body: &Bytes, _into: &mut Converter<'_>) -> Result<Items, Problem> {
        if form(head.headers).is_some() {
            return Ok(Items::AsSent);
        }
        binary::structured(head.headers, body).map(|event| Items::Made(event.into()))
    }

    fn answer(&self, head: &Head<'_>, sent: Sent<'_>, report: Report<'_>) -> Answer {
        if form(head.headers).is_some() {
            return native::answer(report);
        }
        let told = |error: ItemError<'_>| {
            let message = binary::as_sent_in(head.headers, sent.body, error.code, &error.message);
            (error.index, error.code.to_owned(), message)
        };
        let errors: Vec<_> = report.errors.map(told).collect();
        let errors =
            errors.iter().map(|(index, code, message)| ItemError { index: *index, code, message: message.into() });
        native::answer(Report { errors: Box::new(errors), ..report })
    }
}

fn form(headers: &HeaderMap) -> Option<BodyForm> {
    let media_type = media_type(headers)?;
    [BodyForm::CloudEvent, BodyForm::CloudEventBatch].into_iter().find(|form| form.media_type() == media_type)
}
