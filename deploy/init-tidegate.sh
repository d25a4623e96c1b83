#!/bin/sh
# Run once by the TimescaleDB image, when its volume is empty: Tidegate's three roles, its database, and the extension.
# It can be repeated by hand: what exists is kept, and passwords are set again from the environment.
set -eu

# Each password is in a variable, or in the file that NAME_FILE names.
for name in TIDEGATE_OWNER_PASSWORD TIDEGATE_WRITER_PASSWORD TIDEGATE_READER_PASSWORD; do
    file=$(printenv "${name}_FILE" || true)
    [ -z "$file" ] || export "$name=$(cat "$file")"
    printenv "$name" >/dev/null || { echo "init-tidegate: neither $name nor ${name}_FILE is set" >&2; exit 1; }
done

# Grafana's login, which reads everything and no more; made where it is given a password.
file=$(printenv TIDEGATE_GRAFANA_PASSWORD_FILE || true)
[ -z "$file" ] || export TIDEGATE_GRAFANA_PASSWORD="$(cat "$file")"

# An error ends the container's first start rather than leaving half a database. psql takes the passwords from the
# environment, where a process listing does not show them, and quotes them by itself.
psql -v ON_ERROR_STOP=1 -X --no-password --username "${POSTGRES_USER:-postgres}" --dbname postgres <<'SQL'
\getenv owner_password TIDEGATE_OWNER_PASSWORD
\getenv writer_password TIDEGATE_WRITER_PASSWORD
\getenv reader_password TIDEGATE_READER_PASSWORD
\getenv grafana_password TIDEGATE_GRAFANA_PASSWORD

SELECT format('CREATE ROLE %I', name)
FROM unnest(ARRAY['tidegate_owner', 'tidegate_writer', 'tidegate_reader']) AS name
WHERE NOT EXISTS (SELECT FROM pg_catalog.pg_roles WHERE rolname = name) \gexec

ALTER ROLE tidegate_owner LOGIN NOSUPERUSER NOCREATEROLE NOCREATEDB PASSWORD :'owner_password';
ALTER ROLE tidegate_writer LOGIN NOSUPERUSER NOCREATEROLE NOCREATEDB PASSWORD :'writer_password';
ALTER ROLE tidegate_reader LOGIN NOSUPERUSER NOCREATEROLE NOCREATEDB PASSWORD :'reader_password';

-- The groups of the logins that people get (tidegate readers create): those that read everything, and those that read one organization;
-- none of the three above is for people.
SELECT 'CREATE ROLE tidegate_people NOLOGIN'
WHERE NOT EXISTS (SELECT FROM pg_catalog.pg_roles WHERE rolname = 'tidegate_people') \gexec
SELECT 'CREATE ROLE tidegate_tenants NOLOGIN'
WHERE NOT EXISTS (SELECT FROM pg_catalog.pg_roles WHERE rolname = 'tidegate_tenants') \gexec
SELECT 'CREATE ROLE tidegate_sinks NOLOGIN'
WHERE NOT EXISTS (SELECT FROM pg_catalog.pg_roles WHERE rolname = 'tidegate_sinks') \gexec

-- Grafana's, as `tidegate readers create` makes logins of people.
\if :{?grafana_password}
SELECT 'CREATE ROLE tidegate_grafana'
WHERE NOT EXISTS (SELECT FROM pg_catalog.pg_roles WHERE rolname = 'tidegate_grafana') \gexec
ALTER ROLE tidegate_grafana LOGIN NOSUPERUSER NOCREATEROLE NOCREATEDB CONNECTION LIMIT 5 PASSWORD :'grafana_password';
ALTER ROLE tidegate_grafana SET default_transaction_read_only = on;
ALTER ROLE tidegate_grafana SET statement_timeout = '60s';
ALTER ROLE tidegate_grafana SET idle_in_transaction_session_timeout = '60s';
GRANT tidegate_people TO tidegate_grafana;
\endif

-- COPY errors are located by their CONTEXT line, which translations word differently; only a superuser may set it.
ALTER ROLE tidegate_owner SET lc_messages = 'C';
ALTER ROLE tidegate_writer SET lc_messages = 'C';
ALTER ROLE tidegate_reader SET lc_messages = 'C';

-- The owner's jobs watch locks, sessions and sizes that are not its own.
GRANT pg_monitor TO tidegate_owner;

SELECT 'CREATE DATABASE tidegate OWNER tidegate_owner'
WHERE NOT EXISTS (SELECT FROM pg_catalog.pg_database WHERE datname = 'tidegate') \gexec

\connect tidegate
CREATE EXTENSION IF NOT EXISTS timescaledb;

-- Readers write FROM events, not FROM tidegate.events; extensions live in public.
ALTER DATABASE tidegate SET search_path = tidegate, public;
ALTER ROLE tidegate_owner IN DATABASE tidegate SET search_path = tidegate, public;
ALTER ROLE tidegate_writer IN DATABASE tidegate SET search_path = tidegate, public;
ALTER ROLE tidegate_reader IN DATABASE tidegate SET search_path = tidegate, public;
REVOKE CREATE ON SCHEMA public FROM PUBLIC;
SQL
