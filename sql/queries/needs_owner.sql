-- What the owner's role may do: superuser; make roles; make the schema. Which of the three roles there are
-- not. Which relations of the schema belong to somebody else.
SELECT r.rolsuper, r.rolsuper OR r.rolcreaterole, has_database_privilege(current_database(), 'CREATE'),
    ARRAY(SELECT w.name FROM (VALUES ('tidegate_owner'), ('tidegate_writer'), ('tidegate_reader')) AS w (name)
          WHERE NOT EXISTS (SELECT FROM pg_roles p WHERE p.rolname = w.name)),
    ARRAY(SELECT DISTINCT pg_get_userbyid(c.relowner)::text
          FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
          WHERE n.nspname = 'tidegate' AND c.relkind IN ('r', 'p', 'v', 'm', 'S') AND NOT pg_has_role(c.relowner, 'USAGE'))
FROM pg_roles r WHERE r.rolname = current_user
