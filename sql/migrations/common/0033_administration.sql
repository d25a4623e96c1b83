-- Who administers: people and their sessions, what was done by whom, and a second fence around control tables: a transaction
-- that names a tenant sees and changes there only what is of it.

-- When a key was last used, to the minute; null: not since this is noted.
ALTER TABLE api_keys ADD COLUMN last_used_at timestamptz;

-- People. Nothing of them is deleted: what they did names them.
CREATE TABLE users (
    id                  uuid        PRIMARY KEY DEFAULT gen_random_uuid(),
    org_id              uuid        NOT NULL REFERENCES organizations (id),
    -- In lower case, so that one address is one person.
    email               text        NOT NULL UNIQUE CHECK (char_length(email) BETWEEN 3 AND 254 AND email LIKE '%_@_%'),
    -- A PHC string.
    password_hash       text        NOT NULL CHECK (password_hash LIKE '$argon2id$%'),
    -- viewer reads; admin reads, consumes and administers the organization.
    role                text        NOT NULL CHECK (role IN ('admin', 'viewer')),
    created_at          timestamptz NOT NULL DEFAULT now(),
    password_changed_at timestamptz NOT NULL DEFAULT now(),
    last_login_at       timestamptz,
    is_active           boolean     NOT NULL DEFAULT true,
    deactivated_at      timestamptz
);
CREATE INDEX users_org_id ON users (org_id);

-- Sessions of people. A cookie has the token, this table its SHA-256 alone.
CREATE TABLE sessions (
    id           uuid        PRIMARY KEY,
    user_id      uuid        NOT NULL REFERENCES users (id),
    token_hash   bytea       NOT NULL CHECK (octet_length(token_hash) = 32),
    created_at   timestamptz NOT NULL DEFAULT now(),
    expires_at   timestamptz NOT NULL,
    last_used_at timestamptz NOT NULL DEFAULT now(),
    revoked_at   timestamptz,
    -- From where, and with what, it was begun.
    address      inet        NOT NULL,
    user_agent   text        CHECK (char_length(user_agent) <= 500)
);
CREATE INDEX sessions_user_id ON sessions (user_id, created_at);
CREATE INDEX sessions_expires_at ON sessions (expires_at);

-- Attempts to sign in that failed, or are under way: they count for every node. `account` is the SHA-256 of the e-mail address, known or
-- not; `address` that of the client, of IPv6 its /64.
CREATE TABLE sign_in_attempts (
    id      bigint      GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    account bytea       NOT NULL CHECK (octet_length(account) = 32),
    address inet        NOT NULL,
    at      timestamptz NOT NULL DEFAULT now()
);
CREATE INDEX sign_in_attempts_account ON sign_in_attempts (account, at);
CREATE INDEX sign_in_attempts_address ON sign_in_attempts (address, at);
CREATE INDEX sign_in_attempts_at ON sign_in_attempts (at);

-- Every administrative act: who, what, when, from where. There is no right to change a row.
CREATE TABLE audit_log (
    id         bigint      GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    at         timestamptz NOT NULL DEFAULT clock_timestamp(),
    -- Whose organization it concerns; null: the installation.
    tenant_id  text,
    -- key and user: over HTTP. command: `tidegate ...` on a machine that may connect as the owner.
    actor_kind text        NOT NULL CHECK (actor_kind IN ('key', 'user', 'command')),
    -- Of a key or a user.
    actor_id   uuid,
    -- The label of a key, the address of a user, account and host of a command.
    actor      text        NOT NULL,
    -- A word for what was done to what, such as keys.create.
    action     text        NOT NULL CHECK (action ~ '^[a-z_]+\.[a-z_]+$'),
    -- What it was done to: an id or a name.
    target     text,
    -- What was asked for; never a secret.
    details    jsonb       NOT NULL DEFAULT '{}',
    address    inet,
    request_id text
);
CREATE INDEX audit_log_tenant ON audit_log (tenant_id, id);
CREATE INDEX audit_log_at ON audit_log (at);

-- What requests may do that name these keys, whosever they are: it is not known before. No row: revoked, or its organization is
-- deactivated.
CREATE FUNCTION look_up_keys(ids uuid[])
RETURNS TABLE (id uuid, key_hash bytea, scopes text[], expires_at timestamptz, tenant_id text,
               events_per_second bigint, bytes_per_second bigint, burst_seconds integer,
               events_retention_days integer, metrics_retention_days integer, correlations_retention_days integer)
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = tidegate, pg_temp
AS $look$
    SELECT k.id, k.key_hash, k.scopes, k.expires_at, o.tenant_id, k.events_per_second, k.bytes_per_second, k.burst_seconds,
           o.events_retention_days, o.metrics_retention_days, o.correlations_retention_days
    FROM api_keys k JOIN organizations o ON o.id = k.org_id
    WHERE k.id = ANY (ids) AND k.revoked_at IS NULL AND o.is_active
$look$;

-- Notes when keys were used; earlier times than those that are known change nothing.
CREATE FUNCTION note_key_uses(ids uuid[], used timestamptz[]) RETURNS void
LANGUAGE sql SECURITY DEFINER SET search_path = tidegate, pg_temp
AS $note$
    UPDATE api_keys k SET last_used_at = u.used
    FROM unnest(ids, used) AS u (id, used)
    WHERE k.id = u.id AND k.last_used_at IS DISTINCT FROM greatest(k.last_used_at, u.used)
$note$;

-- A session and its holder, whosever it is: it is not known before. No row: it has ended, nothing was asked with it for so many seconds, or
-- its user or organization is deactivated. `is_unnoted`: its last use was noted more than a minute ago.
CREATE FUNCTION look_up_session(of_id uuid, idle_s double precision)
RETURNS TABLE (token_hash bytea, user_id uuid, email text, role text, tenant_id text, expires_at timestamptz, is_unnoted boolean,
               events_retention_days integer, metrics_retention_days integer, correlations_retention_days integer)
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = tidegate, pg_temp
AS $look$
    SELECT s.token_hash, u.id, u.email, u.role, o.tenant_id, s.expires_at, s.last_used_at < now() - interval '1 minute',
           o.events_retention_days, o.metrics_retention_days, o.correlations_retention_days
    FROM sessions s JOIN users u ON u.id = s.user_id JOIN organizations o ON o.id = u.org_id
    WHERE s.id = of_id AND s.revoked_at IS NULL AND s.expires_at > now() AND s.last_used_at > now() - make_interval(secs => idle_s)
      AND u.is_active AND o.is_active
$look$;

-- Notes that a session is used; not more than once a minute.
CREATE FUNCTION note_session_use(of_id uuid) RETURNS void
LANGUAGE sql SECURITY DEFINER SET search_path = tidegate, pg_temp
AS $note$
    UPDATE sessions SET last_used_at = now() WHERE id = of_id AND last_used_at < now() - interval '1 minute'
$note$;

REVOKE ALL ON FUNCTION look_up_keys, note_key_uses, look_up_session, note_session_use FROM PUBLIC;
GRANT EXECUTE ON FUNCTION look_up_keys, note_key_uses, look_up_session, note_session_use TO tidegate_writer;

-- Whether a transaction acts for this tenant. One that names a tenant (SET LOCAL tidegate.tenant) sees and changes in control tables
-- only what is of it, whichever role it has: what is done over HTTP for an organization is done so. One that names none, or '*', which is
-- no tenant, acts for all, as jobs and commands do.
CREATE FUNCTION acts_for(tenant text) RETURNS boolean
LANGUAGE sql STABLE PARALLEL SAFE
RETURN coalesce(nullif(current_setting('tidegate.tenant', true), ''), '*') IN (tenant, '*');

DO $policies$
DECLARE
    control text;
    of_tenant text;
BEGIN
    FOR control, of_tenant IN VALUES
        ('organizations', 'tidegate.acts_for(tenant_id)'),
        ('api_keys', 'org_id IN (SELECT o.id FROM tidegate.organizations o)'),
        ('users', 'org_id IN (SELECT o.id FROM tidegate.organizations o)'),
        ('sessions', 'user_id IN (SELECT u.id FROM tidegate.users u)'),
        ('audit_log', 'tidegate.acts_for(tenant_id)')
    LOOP
        EXECUTE format('ALTER TABLE tidegate.%I ENABLE ROW LEVEL SECURITY', control);
        EXECUTE format('ALTER TABLE tidegate.%I FORCE ROW LEVEL SECURITY', control);
        EXECUTE format('CREATE POLICY of_the_tenant ON tidegate.%I USING (%s)', control, of_tenant);
    END LOOP;
END
$policies$;

-- The ingest path asks by the functions above, and sees no table of these any more.
REVOKE ALL ON organizations, api_keys FROM tidegate_writer;
GRANT SELECT (last_used_at) ON api_keys TO tidegate_reader;
