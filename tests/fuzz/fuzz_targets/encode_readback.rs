//! Every row that validation accepts is taken by a real COPY and read back as it was sent. What PostgreSQL refuses
//! although validation accepted it is a finding.
#![no_main]

use std::cell::RefCell;

use bytes::Bytes;
use futures_util::SinkExt;
use libfuzzer_sys::fuzz_target;
use tidegate::wire::event::COPY_COLUMNS;
use tidegate::wire::event::Decoder;
use tidegate::wire::item::pgcopy::{COPY_HEADER, COPY_TRAILER};
use tidegate::wire::item::{BodyForm, Decoded};
use tidegate_fuzz::tuple::{self, Tuple};
use tidegate_fuzz::{decoded, defaults, origin, server};
use tokio::runtime::Runtime;
use tokio_postgres::{Client, NoTls};

const FORMS: [BodyForm; 4] = [BodyForm::Json, BodyForm::Ndjson, BodyForm::CloudEvent, BodyForm::CloudEventBatch];

/// The columns of `events`, with their types and checks, without its partitions.
const TABLE: &str = "SET search_path = tidegate, public; CREATE TEMP TABLE copied (LIKE events INCLUDING ALL)";
const READ: &str = "SELECT ordinality, payload = $2::text::jsonb, c.id, c.stream, c.source_module::text, c.event_type::text, \
     c.asset_id::text, c.trace_id, (extract(epoch FROM timestamp) * 1000000)::bigint \
     FROM (SELECT *, row_number() OVER (ORDER BY batch_seq) AS ordinality FROM copied) AS c WHERE ordinality = $1";

thread_local! {
    static DATABASE: RefCell<Option<(Runtime, Client)>> = const { RefCell::new(None) };
}

fuzz_target!(|input: &[u8]| {
    let Some((&choice, body)) = input.split_first() else { return };
    let form = FORMS[usize::from(choice >> 4) % FORMS.len()];
    let Ok(mut decoded) = Decoder::new().decode(body, form, &defaults(choice), &origin()) else { return };
    if decoded.rows.rows.is_empty() {
        return;
    }
    DATABASE.with_borrow_mut(|database| {
        let (runtime, client) = database.get_or_insert_with(connect);
        runtime.block_on(async {
            client.batch_execute("BEGIN").await.expect("BEGIN");
            copy(client, &mut decoded).await;
            for (n, row) in decoded.rows.rows.iter().enumerate() {
                let bytes = &decoded.rows.bytes[row.bytes.start as usize..row.bytes.end as usize];
                read_back(client, n, &Tuple::read(bytes), decoded::item(row, body)).await;
            }
            client.batch_execute("ROLLBACK").await.expect("ROLLBACK");
        });
    });
});

fn connect() -> (Runtime, Client) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    let client = runtime.block_on(async {
        let (client, connection) = tokio_postgres::connect(&server::url(), NoTls).await.expect("a server");
        tokio::spawn(connection);
        client.batch_execute(TABLE).await.expect("a table");
        client
    });
    (runtime, client)
}

async fn copy(client: &Client, decoded: &mut Decoded) {
    let mut stream = COPY_HEADER.to_vec();
    for (n, row) in decoded.rows.rows.iter().enumerate() {
        let tuple = &mut decoded.rows.bytes[row.bytes.start as usize..row.bytes.end as usize];
        tidegate::wire::item::pgcopy::stamp(tuple, 7, i32::try_from(n).expect("few rows"));
        stream.extend_from_slice(tuple);
    }
    stream.extend_from_slice(&COPY_TRAILER);
    let sink = client.copy_in(&format!("COPY copied ({COPY_COLUMNS}) FROM STDIN (FORMAT binary)")).await.expect("COPY");
    let mut sink = Box::pin(sink);
    let sent = async {
        sink.send(Bytes::from(stream)).await?;
        sink.as_mut().finish().await
    };
    let rows = sent.await.unwrap_or_else(|error| panic!("accepted by validation, refused by PostgreSQL: {error:?}"));
    assert_eq!(rows, decoded.rows.rows.len() as u64);
}

async fn read_back(client: &Client, n: usize, sent: &Tuple<'_>, item: &str) {
    let number = i64::try_from(n + 1).expect("few rows");
    let row = client.query_one(READ, &[&number, &sent.json(tuple::PAYLOAD)]).await;
    let row = row.unwrap_or_else(|error| panic!("not read back: {error:?}: {item}"));
    assert_eq!(row.get::<_, Option<bool>>(1), Some(true), "another payload: {item}");
    assert_eq!(row.get::<_, uuid::Uuid>(2).as_bytes().as_slice(), sent.bytes(tuple::ID).expect("an id"));
    for (column, position) in
        [(3, tuple::STREAM), (4, tuple::SOURCE_MODULE), (5, tuple::EVENT_TYPE), (6, 12), (7, tuple::TRACE_ID)]
    {
        assert_eq!(row.get::<_, Option<&str>>(column), sent.text(position), "column {position}: {item}");
    }
    // PostgreSQL counts from the year 2000.
    let at = sent.bytes(tuple::TIMESTAMP).expect("a timestamp").try_into().expect("eight bytes");
    assert_eq!(row.get::<_, i64>(8), i64::from_be_bytes(at) + 946_684_800_000_000, "{item}");
}
