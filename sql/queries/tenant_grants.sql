-- What the views of tenants' readers call, granted to the group of those logins, where there is one; run by the owner after every
-- migration. They are granted nothing else in the schema, not even its names.
DO $grants$
BEGIN
    IF to_regrole('tidegate_tenants') IS NOT NULL
       AND NOT has_function_privilege('tidegate_tenants', 'tidegate.tenant_of(uuid)', 'EXECUTE') THEN
        GRANT EXECUTE ON FUNCTION tidegate.tenant_of(uuid) TO tidegate_tenants;
    END IF;
END
$grants$;
