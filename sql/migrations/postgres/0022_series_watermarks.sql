-- Returns what cannot run in a transaction: nothing here. On TimescaleDB it moves watermarks.
SELECT NULL::text WHERE false
