-- The first of a block of batch ids that nobody has had: 31 bits of seconds since 2024, 22 bits of the sequence, 10 bits for the
-- block. The sequence alone gives numbers out again after a restore, or a failover to a standby that lagged; what was spooled
-- before it would be taken for written, because a batch of that number is there. The time alone may be set back.
SELECT (extract(epoch FROM clock_timestamp())::bigint - 1704067200 << 32)
     + (nextval('ingest_batch_id') / 1024 % 4194304 << 10)
