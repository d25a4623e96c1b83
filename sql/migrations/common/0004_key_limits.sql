-- What a key may send in the long run, on each node; null is no limit. A burst is in seconds of either rate, so that it
-- stays right when a rate is changed; null is the default of the program.

ALTER TABLE api_keys
    ADD COLUMN events_per_second bigint  CHECK (events_per_second BETWEEN 1 AND 1000000000000),
    -- Of bodies, after decompression.
    ADD COLUMN bytes_per_second  bigint  CHECK (bytes_per_second BETWEEN 1 AND 1000000000000),
    ADD COLUMN burst_seconds     integer CHECK (burst_seconds BETWEEN 1 AND 3600);

-- The writer may read the whole table; readers see columns, one by one.
GRANT SELECT (events_per_second, bytes_per_second, burst_seconds) ON api_keys TO tidegate_reader;
