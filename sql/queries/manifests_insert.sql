-- The manifests of one transaction's rows of the kind $8, one for each element of $1 to $7 and of $11; what of events the
-- sequencer is to log, with which projections each batch concerns ($12; -1, all of them, where the database has others than the
-- $13 that the writer knows); and for the jobs which minutes ($10) of each tenant ($9) were touched. Arrays of arrays must be rectangular
-- in PostgreSQL, so that hours and minutes travel as text.
WITH noted AS (
    INSERT INTO touched (kind, tenant_id, minutes)
    SELECT $8, t.tenant_id, string_to_array(t.minutes, ',')::integer[]
    FROM unnest($9::text[], $10::text[]) AS t (tenant_id, minutes)
), queued AS (
    INSERT INTO batch_queue (tenant_id, batch_id, stream, event_count, min_timestamp, max_timestamp, span, projections)
    SELECT q.tenant_id, q.batch_id, q.stream, q.event_count, q.min_timestamp, q.max_timestamp, q.span,
           CASE WHEN (SELECT count(*) FROM projections) = $13::bigint THEN q.projections ELSE -1 END
    FROM unnest($1::text[], $2::bigint[], $3::text[], $4::integer[], $5::timestamptz[], $6::timestamptz[], $11::integer[], $12::integer[])
         AS q (tenant_id, batch_id, stream, event_count, min_timestamp, max_timestamp, span, projections)
    WHERE $8 = 'events'
)
INSERT INTO ingest_batches
    (kind, tenant_id, batch_id, stream, event_count, min_timestamp, max_timestamp, touched_hours, seq_span)
SELECT $8, m.tenant_id, m.batch_id, m.stream, m.event_count, m.min_timestamp, m.max_timestamp,
       ARRAY(SELECT to_timestamp(hour::double precision) FROM unnest(string_to_array(m.hours, ',')) AS hour), m.span
FROM unnest($1::text[], $2::bigint[], $3::text[], $4::integer[], $5::timestamptz[], $6::timestamptz[], $7::text[], $11::integer[])
     AS m (tenant_id, batch_id, stream, event_count, min_timestamp, max_timestamp, hours, span)
