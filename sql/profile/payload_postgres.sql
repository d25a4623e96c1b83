-- The columns of JSON as storage_payload asks (tidegate.payload: json or jsonb), on native partitions.
-- Applied once, when the database is installed and holds nothing; partitions are made like their table.

DO $payload$
BEGIN
    EXECUTE format('ALTER TABLE events ALTER COLUMN payload TYPE %1$s, ALTER COLUMN metadata TYPE %1$s',
        current_setting('tidegate.payload'));
END
$payload$;
