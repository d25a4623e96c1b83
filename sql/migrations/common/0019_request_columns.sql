-- What Tidegate knows of an event's request as columns. The same two ids as text in each row's metadata cost PostgreSQL
-- 9 to 20 % of its CPU, and as columns they compress to nothing. Older rows keep theirs in metadata, and have NULL here;
-- answers are made the same of both (src/query/metadata.rs).
ALTER TABLE events ADD COLUMN api_key_id uuid;
ALTER TABLE events ADD COLUMN receipt uuid;
-- The version of the stream's JSON Schema that the payload was checked against; NULL while it has none.
ALTER TABLE events ADD COLUMN schema_version integer;
