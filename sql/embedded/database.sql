-- Settings of the database "tidegate", made by the superuser inside it at every start. Idempotent.

-- Readers write FROM events, not FROM tidegate.events; extensions live in public.
ALTER DATABASE tidegate SET search_path = tidegate, public;
ALTER ROLE tidegate_owner IN DATABASE tidegate SET search_path = tidegate, public;
ALTER ROLE tidegate_writer IN DATABASE tidegate SET search_path = tidegate, public;
ALTER ROLE tidegate_reader IN DATABASE tidegate SET search_path = tidegate, public;

-- Embeddings are its vectors where the server has it; the owner may not make it.
DO $vector$
BEGIN
    IF EXISTS (SELECT FROM pg_available_extensions WHERE name = 'vector') THEN
        CREATE EXTENSION IF NOT EXISTS vector SCHEMA public;
    END IF;
END
$vector$;
