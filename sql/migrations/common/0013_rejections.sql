-- All rejected items of a request, beside `errors`, which lists the first 100 with their messages: so that a replay
-- knows the fate of each item. 5 bytes an item, in the request's order: its ordinal from 0 (4 bytes, big-endian), then
-- the number of its code (see Code in wire/item/reject.rs; a number never gets another meaning). Null: none, or a row
-- of a version before.
ALTER TABLE ingest_ledger ADD COLUMN rejections bytea;
