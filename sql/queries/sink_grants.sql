-- What logins may do that consumers have (tidegate sinks create): commit how far they have come, and no more. Granted to the group that
-- they are members of, where there is one; run by the owner after every migration.
DO $grants$
BEGIN
    IF to_regrole('tidegate_sinks') IS NULL THEN
        RETURN;
    END IF;
    IF NOT has_schema_privilege('tidegate_sinks', 'tidegate', 'USAGE') THEN
        GRANT USAGE ON SCHEMA tidegate TO tidegate_sinks;
    END IF;
    IF NOT has_function_privilege('tidegate_sinks', 'tidegate.commit_offset(text, text, text, bigint, bigint, bigint)', 'EXECUTE')
       OR NOT has_function_privilege('tidegate_sinks', 'tidegate.ack_lease(text, text, text, text)', 'EXECUTE') THEN
        GRANT EXECUTE ON FUNCTION tidegate.commit_offset(text, text, text, bigint, bigint, bigint), tidegate.ack_lease(text, text, text, text)
            TO tidegate_sinks;
    END IF;
END
$grants$;
