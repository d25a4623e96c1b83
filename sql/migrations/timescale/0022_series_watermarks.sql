-- Returns what cannot run in a transaction: for each level with copied buckets, the refresh that moves its watermark behind them
-- (0021). It may be run again.
SELECT format('CALL public.refresh_continuous_aggregate(%L, %L::timestamptz, %L::timestamptz)',
    'tidegate.' || level || '_buckets', bucket, bucket + width)
FROM tidegate.series_marks
ORDER BY level
