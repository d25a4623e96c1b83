-- What was sent of an item that was made of another protocol's: `raw` is the item that a replay uses.
ALTER TABLE dead_letter_events
    ADD COLUMN original bytea;
