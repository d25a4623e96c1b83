noted AS (
    INSERT INTO sequencer_ticks (snapshot, system_identifier, timeline, epoch)
    SELECT pg_current_snapshot(), system_identifier, timeline, epoch
    FROM (SELECT * FROM sequencer_ticks ORDER BY tick DESC LIMIT 1) newest
    WHERE EXISTS (SELECT FROM batches)
)
