-- What installers lock before anything else is there: the schema, and an empty table in it that only the owner may lock.
CREATE SCHEMA IF NOT EXISTS tidegate;
CREATE TABLE IF NOT EXISTS tidegate.lock_install ();
