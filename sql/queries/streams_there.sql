-- Which of the streams $2 the tenant $1 has.
SELECT name FROM unnest($2::text[]) name
WHERE EXISTS (SELECT FROM batch_log WHERE tenant_id = $1 AND stream = name)
