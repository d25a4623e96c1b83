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
