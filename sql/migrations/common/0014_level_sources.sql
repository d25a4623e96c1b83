-- The rows that a level is computed from, said by the level itself and no longer told from its name.
ALTER TABLE rollup_levels ADD COLUMN source text CHECK (source IN ('events', 'metrics'));
UPDATE rollup_levels SET source = CASE WHEN level LIKE 'metrics%' THEN 'metrics' ELSE 'events' END;
ALTER TABLE rollup_levels ALTER COLUMN source SET NOT NULL;
