-- What a replay of a dead letter needs to know, and what came of it. NULL: the letter was kept before this was noted.
ALTER TABLE dead_letter_events
    -- When its request came in: the time of an event that names none.
    ADD COLUMN received_at timestamptz,
    -- An API key was cut out of what was sent.
    ADD COLUMN redacted boolean,
    ADD COLUMN replayed_at timestamptz,
    -- Of the last replay. One that is stored is never written again.
    ADD COLUMN outcome text CHECK (outcome IN ('stored', 'failed')),
    ADD COLUMN outcome_code text,
    ADD COLUMN outcome_detail text;

-- In the transaction of what is replayed.
GRANT UPDATE (replayed_at, outcome, outcome_code, outcome_detail) ON dead_letter_events TO tidegate_writer;
