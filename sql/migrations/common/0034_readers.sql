-- Logins that read one organization (tidegate readers create --org): whose they are, and what they may read. Each organization that has
-- such logins has a schema of its own, named after its id, with a view of each relation that people read (sql/queries/tenant_views.sql).

CREATE TABLE reader_logins (
    login  name PRIMARY KEY,
    org_id uuid NOT NULL REFERENCES organizations (id)
);
CREATE INDEX reader_logins_org_id ON reader_logins (org_id);

ALTER TABLE reader_logins ENABLE ROW LEVEL SECURITY;
ALTER TABLE reader_logins FORCE ROW LEVEL SECURITY;
CREATE POLICY of_the_tenant ON reader_logins USING (org_id IN (SELECT o.id FROM tidegate.organizations o));

-- The name says nothing of whose it is: every login can read the names of schemas.
CREATE FUNCTION reader_schema(of_org uuid) RETURNS text
LANGUAGE sql IMMUTABLE PARALLEL SAFE
RETURN 'tenant_' || replace(of_org::text, '-', '');

-- Whose rows the views of an organization show; null, which is nobody's, while it is deactivated. IMMUTABLE, so that the planner has a
-- constant, by which it leaves out what is other tenants'; a slug never changes. Not written into the views themselves, because every
-- login can read their text.
CREATE FUNCTION tenant_of(of_org uuid) RETURNS text
LANGUAGE sql IMMUTABLE PARALLEL SAFE SECURITY DEFINER SET search_path = tidegate, pg_temp
AS $tenant$
    SELECT o.tenant_id FROM organizations o WHERE o.id = of_org AND o.is_active
$tenant$;

-- Gives the logins of an organization the right to read its views, or takes it while it is deactivated: also from statements that were
-- prepared before, which the rights are asked for each time they run.
CREATE FUNCTION set_reader_rights(of_org uuid) RETURNS void
LANGUAGE plpgsql SECURITY DEFINER SET search_path = tidegate, pg_temp
AS $rights$
DECLARE
    schema text := reader_schema(of_org);
    active boolean := coalesce((SELECT o.is_active FROM organizations o WHERE o.id = of_org), false);
    change text;
BEGIN
    IF to_regnamespace(schema) IS NULL THEN
        RETURN;
    END IF;
    FOR change IN
        -- A role that has its name alone, on a server where a dump was restored, is not meant.
        WITH members AS (
            SELECT r.oid, r.rolname FROM pg_roles g JOIN pg_auth_members m ON m.roleid = g.oid JOIN pg_roles r ON r.oid = m.member
            WHERE g.rolname = 'tidegate_tenants'
        )
        SELECT format(CASE WHEN active THEN 'GRANT USAGE ON SCHEMA %I TO %I' ELSE 'REVOKE USAGE ON SCHEMA %I FROM %I' END, schema, r.rolname)
        FROM reader_logins l JOIN members r ON r.rolname = l.login
        WHERE l.org_id = of_org AND has_schema_privilege(r.oid, schema, 'USAGE') <> active
        UNION ALL
        SELECT format(CASE WHEN active THEN 'GRANT SELECT ON %I.%I TO %I' ELSE 'REVOKE SELECT ON %I.%I FROM %I' END, schema, c.relname, r.rolname)
        FROM reader_logins l JOIN members r ON r.rolname = l.login
        JOIN pg_class c ON c.relnamespace = to_regnamespace(schema) AND c.relkind = 'v'
        WHERE l.org_id = of_org AND has_table_privilege(r.oid, c.oid, 'SELECT') <> active
    LOOP
        EXECUTE change;
    END LOOP;
END
$rights$;

-- Takes from a login what the views of an organization give it, before it is dropped.
CREATE FUNCTION drop_reader_rights(of_org uuid, of_login name) RETURNS void
LANGUAGE plpgsql SECURITY DEFINER SET search_path = tidegate, pg_temp
AS $drop$
BEGIN
    IF to_regnamespace(reader_schema(of_org)) IS NOT NULL THEN
        EXECUTE format('REVOKE ALL ON ALL TABLES IN SCHEMA %I FROM %I', reader_schema(of_org), of_login);
        EXECUTE format('REVOKE ALL ON SCHEMA %I FROM %I', reader_schema(of_org), of_login);
    END IF;
END
$drop$;

CREATE FUNCTION reader_rights_follow() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = tidegate, pg_temp
AS $follow$
BEGIN
    PERFORM tidegate.set_reader_rights(NEW.id);
    RETURN NULL;
END
$follow$;

CREATE TRIGGER reader_rights AFTER UPDATE OF is_active ON organizations
    FOR EACH ROW WHEN (OLD.is_active IS DISTINCT FROM NEW.is_active) EXECUTE FUNCTION reader_rights_follow();

-- An organization's logins may call tenant_of (sql/queries/tenant_grants.sql), and none may name it: they have no right to this schema.
REVOKE ALL ON FUNCTION reader_schema, tenant_of, set_reader_rights, drop_reader_rights, reader_rights_follow FROM PUBLIC;

-- Where no continuous aggregates keep the rollups: the open part of each level in the views themselves, in the words of the function that
-- it was asked of. What a function reads, even one that the planner takes apart, is asked of the rights of the login that asks, what a view
-- reads of its owner's.
DO $levels$
DECLARE
    found record;
BEGIN
    FOR found IN
        SELECT l.view, l.closed, l.level, p.oid::regprocedure,
               regexp_replace(regexp_replace(regexp_replace(p.prosrc, '\mwidth\M', quote_literal(l.width) || '::interval', 'g'),
                   '\mfrom_at\M', 'l.closed_until', 'g'), '\mto_at\M', 'TIMESTAMPTZ ''infinity''', 'g') AS body,
               (SELECT string_agg(quote_ident(name), ', ' ORDER BY n)
                FROM unnest(p.proargnames, p.proargmodes) WITH ORDINALITY AS a (name, mode, n) WHERE mode = 't') AS columns
        FROM (VALUES
            ('metrics_1m_buckets', 'metrics_1m_closed', 'metrics_1m', '1 minute', 'metrics_rollup(interval, timestamptz, timestamptz)'),
            ('metrics_5m_buckets', 'metrics_5m_closed', 'metrics_5m', '5 minutes', 'metrics_rollup(interval, timestamptz, timestamptz)'),
            ('metrics_hourly_buckets', 'metrics_hourly_closed', 'metrics_hourly', '1 hour', 'metrics_rollup(interval, timestamptz, timestamptz)'),
            ('metrics_daily_buckets', 'metrics_daily_closed', 'metrics_daily', '1 day', 'metrics_rollup(interval, timestamptz, timestamptz)'),
            ('event_counts_1m', 'event_counts_1m_closed', 'event_counts_1m', '1 minute', 'event_counts_rollup(interval, timestamptz, timestamptz)'),
            ('event_counts_hourly', 'event_counts_hourly_closed', 'event_counts_hourly', '1 hour', 'event_counts_rollup(interval, timestamptz, timestamptz)'),
            ('correlation_groups', 'correlation_groups_closed', 'correlation_groups', '1 hour', 'correlation_groups_rollup(timestamptz, timestamptz)')
        ) AS l (view, closed, level, width, rollup)
        JOIN pg_proc p ON p.oid = to_regprocedure(l.rollup)
        WHERE to_regclass(l.closed) IS NOT NULL
    LOOP
        EXECUTE format($view$
            CREATE OR REPLACE VIEW %1$I AS
            SELECT c.* FROM rollup_levels l JOIN %2$I c ON c.bucket < l.closed_until WHERE l.level = %3$L
            UNION ALL
            SELECT r.* FROM rollup_levels l CROSS JOIN LATERAL (%4$s) r (%5$s) WHERE l.level = %3$L
            $view$, found.view, found.closed, found.level, found.body, found.columns);
    END LOOP;
END
$levels$;
