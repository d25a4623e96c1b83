-- Whether the owner's session, known by the name $1, is one of this database's; and which database of which cluster this is, to
-- compare where it is a standby's.
SELECT EXISTS (SELECT FROM pg_stat_activity WHERE application_name = $1 AND datname = current_database()),
    pg_is_in_recovery(), (SELECT system_identifier FROM pg_control_system()),
    (SELECT oid FROM pg_database WHERE datname = current_database()), current_database()::text
