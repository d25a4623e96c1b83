-- What the service excludes itself by: tables that only the owner may lock, rows that only owner and writer may. Advisory locks
-- have names that anybody may take who can connect, and whoever holds one stops what waits for it.

-- An empty table for each lock. LOCK TABLE ... IN EXCLUSIVE MODE needs a right that nobody else has, shuts out neither pg_dump
-- nor ANALYZE of anything else, and takes no transaction number: held for minutes it does not hold vacuum back.
CREATE TABLE lock_partitions ();
CREATE TABLE lock_job_lifecycle ();
CREATE TABLE lock_job_touched ();
CREATE TABLE lock_job_late_rollups ();
CREATE TABLE lock_job_rollups ();
CREATE TABLE lock_job_correlations ();
CREATE TABLE lock_job_anomalies ();
CREATE TABLE lock_job_inferred ();
CREATE TABLE lock_job_refresh_minutes ();
CREATE TABLE lock_job_refresh_hours ();

-- Whether the lock was free; it is the transaction's then. A function, so that the server does not log a lock that another
-- node holds as an error.
CREATE FUNCTION try_lock(name text) RETURNS boolean
LANGUAGE plpgsql SET search_path = pg_catalog
AS $try$
BEGIN
    EXECUTE format('LOCK TABLE tidegate.%I IN EXCLUSIVE MODE NOWAIT', name);
    RETURN true;
EXCEPTION WHEN lock_not_available THEN
    RETURN false;
END
$try$;
REVOKE EXECUTE ON FUNCTION try_lock(text) FROM PUBLIC;

-- Births of chunks (src/ingest/births.rs): a time slice has one of these rows, by its number. Slices that share a row wait for
-- each other's birth, which is rare and short.
CREATE TABLE birth_locks (
    kind text    NOT NULL CHECK (kind IN ('events', 'metrics')),
    slot integer NOT NULL,
    PRIMARY KEY (kind, slot)
);
INSERT INTO birth_locks SELECT kind, slot FROM (VALUES ('events'), ('metrics')) k (kind), generate_series(0, 63) slot;

-- A part of the name under which an idempotency key is claimed (src/ingest/ledger.rs), so that a name can be told only by those who
-- may read this.
CREATE TABLE claim_salt (
    singleton boolean PRIMARY KEY DEFAULT true CHECK (singleton),
    salt      text    NOT NULL
);
INSERT INTO claim_salt (salt) VALUES (gen_random_uuid()::text || gen_random_uuid()::text);

-- FOR UPDATE asks for the right to update.
GRANT SELECT, UPDATE (slot) ON birth_locks TO tidegate_writer;
GRANT SELECT ON claim_salt TO tidegate_writer;

-- Keys of senders are their secrets, and hashes of requests nobody's business.
REVOKE SELECT ON ingest_ledger FROM tidegate_reader;
GRANT SELECT (tenant_id, route, receipt, http_status, accepted, rejected, duplicates, errors, created_at) ON ingest_ledger
    TO tidegate_reader;
