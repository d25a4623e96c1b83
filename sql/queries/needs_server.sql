-- What cannot be changed of a database once it is made, and whether it can be written: encoding, character class, standby.
SELECT current_setting('server_encoding'), current_setting('transaction_read_only') = 'on', pg_is_in_recovery(),
    quote_ident(current_database()), quote_ident(current_user),
    (SELECT CASE datlocprovider WHEN 'c' THEN datctype ELSE datctype || ', provider ' || datlocprovider::text END
     FROM pg_database WHERE datname = current_database())
