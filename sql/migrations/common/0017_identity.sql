-- The name of this installation, by which a node knows the database that it wrote to before: it goes with the data, to a
-- standby, a newer server or another provider, where the server's own identifier does not. A copy has it too.
ALTER TABLE tidegate.installation ADD COLUMN id uuid NOT NULL DEFAULT gen_random_uuid();
