-- The third engine.
ALTER TABLE installation DROP CONSTRAINT installation_engine_check;
ALTER TABLE installation ADD CONSTRAINT installation_engine_check CHECK (engine IN ('timescale', 'postgres', 'citus'));
