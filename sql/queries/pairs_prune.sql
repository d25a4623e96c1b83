-- Takes away the pairs of one type ($2) of the tenant $1 from $3 up to $4 that are not among $5. $6 restricts it to pairs whose
-- metadata contains it.
DELETE FROM correlations
WHERE tenant_id = $1 AND correlation_type = $2 AND timestamp >= $3 AND timestamp < $4
  AND NOT id = ANY ($5) AND metadata @> $6
