-- Settings of the database "tidegate", made by the superuser inside it at every start. Idempotent.

-- Readers write FROM events, not FROM tidegate.events; extensions live in public.
ALTER DATABASE tidegate SET search_path = tidegate, public;
ALTER ROLE tidegate_owner IN DATABASE tidegate SET search_path = tidegate, public;
ALTER ROLE tidegate_writer IN DATABASE tidegate SET search_path = tidegate, public;
ALTER ROLE tidegate_reader IN DATABASE tidegate SET search_path = tidegate, public;

-- An object planted in public could otherwise stand in for one that the search path does not find first. PostgreSQL 15
-- has this default for new databases; a database restored from an older dump has not.
REVOKE CREATE ON SCHEMA public FROM PUBLIC;
