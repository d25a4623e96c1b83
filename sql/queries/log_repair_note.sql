emptied AS (
    -- Those of this snapshot: they are logged now, or have been. What is committed later is found by the next tick.
    DELETE FROM batch_queue
), noted AS (
    INSERT INTO sequencer_ticks (snapshot, system_identifier, timeline, epoch) VALUES (pg_current_snapshot(), $1, $2, $3)
)
