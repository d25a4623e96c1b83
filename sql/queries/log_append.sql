-- Appends batches to the logs of their streams, each where the one before it ends, in their turns. What finds them, and
-- what is done beside in the same snapshot, is put in. What concerns a projection is put into the processor's queue. Wakes
-- those who wait for these streams, or all of them where the streams are too many to be named; the mark of a stream is that
-- of src/streams/arrivals.rs. Returns how many batches and events that was; no row where there was none.
WITH batches AS MATERIALIZED (
    {batches}
), ends AS MATERIALIZED (
    SELECT s.tenant_id, s.stream, coalesce(l.base + l.span, 0) AS ends
    FROM (SELECT DISTINCT tenant_id, stream FROM batches) s
    LEFT JOIN LATERAL (
        SELECT base, span FROM batch_log l
        WHERE l.tenant_id = s.tenant_id AND l.stream = s.stream ORDER BY base DESC LIMIT 1
    ) l ON true
), appended AS (
    INSERT INTO batch_log (tenant_id, stream, base, span, batch_id, event_count, min_timestamp, max_timestamp, projections)
    SELECT b.tenant_id, b.stream, e.ends + coalesce(sum(b.span) OVER before, 0), b.span, b.batch_id, b.event_count,
           b.min_timestamp, b.max_timestamp, b.projections
    FROM batches b JOIN ends e ON e.tenant_id = b.tenant_id AND e.stream = b.stream
    WINDOW before AS (PARTITION BY b.tenant_id, b.stream ORDER BY b.turn ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING)
    RETURNING event_count
), projected AS (
    INSERT INTO projection_queue (tenant_id, stream, projections)
    SELECT tenant_id, stream, bit_or(projections) FROM batches WHERE projections <> 0 GROUP BY tenant_id, stream
), {then}, woken AS (
    SELECT CASE WHEN count(*) > 800 THEN ''
           ELSE string_agg(left(encode(sha256(convert_to(tenant_id || ' ' || stream || ' ' || salt, 'UTF8')), 'hex'), 8), ' ') END AS marks
    FROM ends CROSS JOIN claim_salt
)
SELECT count(*), coalesce(sum(event_count), 0)::bigint, (SELECT pg_notify('tidegate_log', marks)::text FROM woken)
FROM appended
HAVING count(*) > 0
