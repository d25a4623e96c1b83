//! Every metric that the process records: name, kind and help, in the order of docs/OPERATIONS.md. A metric that is not
//! here fails a test of `tests/architecture`.

use metrics::{describe_counter, describe_gauge, describe_histogram};

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum MetricKind {
    Counter,
    Gauge,
    Histogram,
}

use MetricKind::{Counter, Gauge, Histogram};

pub const METRICS: &[(&str, MetricKind, &str)] = &[
    ("tidegate_items_received_total", Counter, "items of decoded requests"),
    ("tidegate_items_committed_total", Counter, "items in the database"),
    ("tidegate_items_dead_lettered_total", Counter, "items in dead letters"),
    ("tidegate_items_deduplicated_total", Counter, "items of repeated requests, and events that were there already"),
    (
        "tidegate_items_refused_total",
        Counter,
        "items of decoded requests answered by an error; their senders have them",
    ),
    ("tidegate_dead_letter_replays_total", Counter, "dead letters that were replayed, by outcome"),
    ("tidegate_items_in_flight", Gauge, "items between received and answered"),
    ("tidegate_items_spooled", Gauge, "items answered 202 and not yet written, those in quarantine included"),
    ("tidegate_items_recovered_from_spool_total", Counter, "items that an earlier process had left in the spool"),
    ("tidegate_nodes", Gauge, "nodes that work on the database, by state, as this one saw them last"),
    ("tidegate_node_clock_skew_seconds", Gauge, "this node's clock less the database's"),
    ("tidegate_node_heartbeat_failures_total", Counter, "heartbeats of this node that the database did not take"),
    ("tidegate_requests_waiting", Gauge, "requests that wait for a writer"),
    ("tidegate_body_bytes_held", Gauge, "bytes taken of limits.memory_bytes by bodies, until they are written"),
    ("tidegate_answer_bytes_held", Gauge, "bytes taken of limits.memory_bytes by answers, until they are sent"),
    ("tidegate_read_ahead_bytes", Gauge, "bytes of what was read of streams and is kept, of read_ahead_bytes"),
    (
        "tidegate_read_ahead_total",
        Counter,
        "places of streams that were read on at: here already, under way, or missing",
    ),
    ("tidegate_stream_cursors_total", Counter, "ordered cursors that were opened over streams"),
    ("tidegate_reads", Gauge, "reads on one of the readers, or waiting for one"),
    ("tidegate_read_refusals_total", Counter, "reads refused because there was no reader, or no memory for the answer"),
    (
        "tidegate_gave_way_total",
        Counter,
        "how often an export, a consumer that catches up, or a job that derives something, waited because ingestion was behind",
    ),
    ("tidegate_drain_rows_per_second", Gauge, "rows that the writers write in a second of work"),
    ("tidegate_drain_bytes_per_second", Gauge, "bytes that the writers write in a second of work"),
    (
        "tidegate_conversion_notes_total",
        Counter,
        "what agents sent and is stored otherwise, or not at all, without being refused: by route and note",
    ),
    ("tidegate_syslog_messages_total", Counter, "messages of syslog that came, by transport"),
    (
        "tidegate_syslog_dropped_total",
        Counter,
        "messages of syslog that are lost, by transport and reason: datagrams, and what could not be delivered at a stop",
    ),
    ("tidegate_syslog_connections", Gauge, "open connections of syslog"),
    (
        "tidegate_syslog_connections_refused_total",
        Counter,
        "connections of syslog closed at once, since all were taken",
    ),
    ("tidegate_quota_refusals_total", Counter, "requests answered 429, by reason"),
    ("tidegate_sign_ins_total", Counter, "attempts to sign in, by outcome"),
    ("tidegate_password_hashes_total", Counter, "hashes of passwords that were computed"),
    ("tidegate_backup_newest_seconds", Gauge, "when the newest good backup was complete, in seconds since 1970"),
    ("tidegate_backup_bytes", Gauge, "bytes of the newest good backup"),
    ("tidegate_backup_failures_total", Counter, "backups that could not be made"),
    ("tidegate_backup_wal_up", Gauge, "0 while the archive of WAL cannot be written"),
    ("tidegate_backup_wal_failures_total", Counter, "how often the archive of WAL could not be written"),
    (
        "tidegate_backup_wal_holes_total",
        Counter,
        "archives of WAL that ended, since the server could not keep what they lacked",
    ),
    ("tidegate_database_available", Gauge, "0 while the database, or any of its cells, does not take batches"),
    ("tidegate_cell_available", Gauge, "0 while a cell of Citus does not take batches, by cell"),
    ("tidegate_database_outages_total", Counter, "how often the database stopped taking batches"),
    ("tidegate_database_servers", Gauge, "servers that the URLs for writing name, by state: primary, standby, away"),
    ("tidegate_reader_servers", Gauge, "servers that the URL for reading names, by state: current, behind, away"),
    ("tidegate_reader_lag_seconds", Gauge, "how far the copy lags that is read and lags most"),
    ("tidegate_reads_repeated_total", Counter, "reads begun once more: a server was lost, or a standby cancelled them"),
    ("tidegate_spool_records", Gauge, "requests that wait in the spool"),
    ("tidegate_spool_bytes", Gauge, "bytes of the requests that wait in the spool"),
    ("tidegate_spool_oldest_age_seconds", Gauge, "how long the oldest request in the spool has waited"),
    ("tidegate_spool_disk_bytes", Gauge, "size of the spool on disk"),
    ("tidegate_spool_segments", Gauge, "segments of the spool"),
    ("tidegate_spool_quarantined_total", Counter, "files put into quarantine"),
    ("tidegate_spool_quarantine_bytes", Gauge, "size of the quarantine"),
    (
        "tidegate_spool_drain_failing",
        Gauge,
        "1 while spooled requests cannot be written although the database takes others",
    ),
    ("tidegate_spool_sync_failures_total", Counter, "segments given up because a sync failed"),
    ("tidegate_spool_group_records", Histogram, "requests made safe by one sync"),
    ("tidegate_disk_free_bytes", Gauge, "bytes free on the disk of data_dir"),
    ("tidegate_batch_rows", Histogram, "rows of a batch"),
    ("tidegate_batch_write_seconds", Histogram, "from a sealed batch to its answers"),
    ("tidegate_batches_failed_total", Counter, "batches answered 503 that waiting does not fix"),
    ("tidegate_writer_panics_total", Counter, "writers that failed and were replaced"),
    ("tidegate_http_requests_total", Counter, "answers, by route, method and status"),
    ("tidegate_http_request_seconds", Histogram, "time to the head of the answer, by route"),
    ("tidegate_http_connections", Gauge, "open connections"),
    ("tidegate_http_connections_refused_total", Counter, "connections closed at once, by the share that is used up"),
    ("tidegate_http2_streams", Gauge, "requests of HTTP/2 under way"),
    ("tidegate_http_refused_heads_total", Counter, "requests refused before they had a route, by code"),
    ("tidegate_http_timeouts_total", Counter, "what took too long, by what"),
    ("tidegate_http2_errors_total", Counter, "connections of HTTP/2 that ended with an error"),
    (
        "tidegate_http2_floods_total",
        Counter,
        "connections of HTTP/2 cut because their peer took back too many requests",
    ),
    ("tidegate_tls_handshake_failures_total", Counter, "TLS handshakes that failed"),
    ("tidegate_tls_reloads_total", Counter, "changed certificates, by result"),
    (
        "tidegate_tls_certificate_expiry_timestamp_seconds",
        Gauge,
        "when the certificate that is served expires, in seconds since 1970",
    ),
    (
        "tidegate_audit_lost_total",
        Counter,
        "administrative acts that were done and could not be noted in the audit log",
    ),
    ("tidegate_direct_compress_disabled_total", Counter, "COPYs that fell back from the columnstore to rows"),
    ("tidegate_embedded_restarts_total", Counter, "restarts of the embedded server"),
    ("tidegate_correlation_lag_seconds", Gauge, "age of the oldest minute that correlations have not gone through"),
    ("tidegate_series_created_total", Counter, "series of metrics that were new"),
    (
        "tidegate_series_samples_refused_total",
        Counter,
        "samples refused because their series is beyond limits.series_per_tenant",
    ),
    (
        "tidegate_stream_events_refused_total",
        Counter,
        "events refused because their stream is beyond limits.streams_per_tenant",
    ),
    (
        "tidegate_schema_violations_total",
        Counter,
        "events refused by the schemas of their streams; a request that is decoded again counts again",
    ),
    ("tidegate_schema_warnings_total", Counter, "events stored although they break a schema that warns"),
    ("tidegate_schemas_compiled_bytes", Gauge, "compiled schemas that are kept, about"),
    ("tidegate_log_batches_total", Counter, "batches that this node has given their offsets"),
    ("tidegate_log_events_total", Counter, "events of them"),
    ("tidegate_log_tick_seconds", Histogram, "how long one look of the sequencer took that found something"),
    ("tidegate_stream_events_total", Counter, "events of streams that were handed out by offset"),
    ("tidegate_stream_followers", Gauge, "requests that wait for events, or follow a stream"),
    ("tidegate_group_redeliveries_total", Counter, "events of groups that were handed out once more"),
    ("tidegate_group_parked_total", Counter, "events that groups have parked, by code"),
    (
        "tidegate_projection_unfit_total",
        Counter,
        "events that a projection could not take, by projection and whether a dead letter was kept",
    ),
    ("tidegate_rollup_lag_seconds", Gauge, "time since the end of the closed buckets, by level"),
    ("tidegate_rollup_dirty_buckets", Gauge, "closed buckets that wait to be recomputed, by level"),
    ("tidegate_job_runs_total", Counter, "runs of background jobs, by job_name"),
    ("tidegate_job_failures_total", Counter, "failed runs of background jobs, by job_name"),
    ("tidegate_job_items_total", Counter, "what background jobs did, by job_name and what"),
];

/// Gives the recorder the help of every metric.
/// Counters without labels that begin at zero with the process: what is first seen at 1 has not grown, for those who ask how far it grew.
/// Those with labels begin where their labels are known.
const FROM_ZERO: [&str; 21] = [
    "tidegate_audit_lost_total",
    "tidegate_backup_failures_total",
    "tidegate_backup_wal_failures_total",
    "tidegate_backup_wal_holes_total",
    "tidegate_batches_failed_total",
    "tidegate_database_outages_total",
    "tidegate_direct_compress_disabled_total",
    "tidegate_embedded_restarts_total",
    "tidegate_group_redeliveries_total",
    "tidegate_http2_errors_total",
    "tidegate_http2_floods_total",
    "tidegate_log_batches_total",
    "tidegate_log_events_total",
    "tidegate_reads_repeated_total",
    "tidegate_schema_violations_total",
    "tidegate_schema_warnings_total",
    "tidegate_series_samples_refused_total",
    "tidegate_spool_sync_failures_total",
    "tidegate_stream_events_refused_total",
    "tidegate_tls_handshake_failures_total",
    "tidegate_writer_panics_total",
];

pub fn describe() {
    for (name, kind, help) in METRICS {
        match kind {
            Counter => describe_counter!(*name, *help),
            Gauge => describe_gauge!(*name, *help),
            Histogram => describe_histogram!(*name, *help),
        }
    }
    for name in FROM_ZERO {
        metrics::counter!(name).increment(0);
    }
}
