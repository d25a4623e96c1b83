-- Whether this session is encrypted, with what, and whether it stays on this machine (no address: a Unix socket).
SELECT coalesce(s.ssl, false), coalesce(s.version, ''), coalesce(s.cipher, ''),
       coalesce(inet_client_addr() <<= '127.0.0.0/8' OR inet_client_addr() = '::1', true)
FROM (SELECT pg_backend_pid() AS pid) me LEFT JOIN pg_stat_ssl s USING (pid);
