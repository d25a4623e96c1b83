//! Rows in everything that people read, of two organizations, and a login that reads one of them.

use crate::env::Env;
use crate::logins::as_superuser;
use crate::postgres::{SUPERUSER, Sql};

/// The organization whose rows are looked for, and part of what each of its rows says. Two texts, so that no statement has it.
pub const OTHER: &str = "rival.co-1";
pub const SOUGHT: &str = "'%riv' || 'al.co%'";

/// Two organizations, the login of one, and what it may do.
pub struct Tenant<'a> {
    env: &'a Env,
    pub name: String,
    /// That of its views.
    pub schema: String,
    pub session: Sql,
}

impl<'a> Tenant<'a> {
    /// On a database with the partitions of a first start, and nobody at work.
    pub fn make(env: &'a Env) -> Self {
        drop(env.serve());
        let made = env.cli(&["orgs", "create", "Rival", "--slug", OTHER]);
        assert_eq!(made.code, Some(0), "{made:?}");
        let superuser = Sql::bare(&env.url(SUPERUSER));
        // Numbers that only the own ones are.
        for (tenant, number) in [("default", "7"), (OTHER, "( no number")] {
            superuser.alter(&format!("SET search_path = tidegate, public; {}", rows(tenant, number)));
        }
        let name = env.database().to_owned();
        let made = as_superuser(env, &["readers", "create", &name, "--org", "default", "--json"]).json();
        assert_eq!((&made["tenant_id"], &made["beyond"]), (&"default".into(), &serde_json::json!([])), "{made}");
        let session = Sql::bare(&env.url(&name));
        let schema = session.one("SELECT current_schema()::text");
        Self { env, name, schema, session }
    }

    /// Names and columns of what it reads.
    pub fn views(&self) -> Vec<(String, String)> {
        let sql = "SELECT c.relname::text, string_agg(quote_ident(a.attname), ', ' ORDER BY a.attnum) \
                   FROM pg_class c JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum > 0 \
                   WHERE c.relnamespace = current_schema()::regnamespace GROUP BY 1 ORDER BY 1";
        self.session.rows(sql, &[]).iter().map(|row| (row.get(0), row.get(1))).collect()
    }
}

impl Drop for Tenant<'_> {
    fn drop(&mut self) {
        let _ = as_superuser(self.env, &["readers", "revoke", &self.name]);
    }
}

/// Rows of a tenant in every table that people read; `number` is what its payloads say.
pub fn rows(tenant: &str, number: &str) -> String {
    let said = "gen_random_uuid(), 'default', 0, '{}'";
    let times = "now(), now()";
    format!(
        "INSERT INTO events (batch_id, batch_seq, timestamp, created_at, id, tenant_id, stream, source_module, event_type, event_version, \
             severity, environment, asset_id, correlation_id, trace_id, payload) \
         SELECT 1, n, now() - n * INTERVAL '10 seconds', now(), md5('{tenant}' || n)::uuid, '{tenant}', 'default', 'm', 'type {tenant}', 1, \
             'info', 'production', 'gpt-4', md5('{tenant}')::uuid, '{number}', jsonb_build_object('number', '{number}', 'of', '{tenant}') \
         FROM generate_series(0, 40) n; \
         INSERT INTO metrics (batch_id, batch_seq, timestamp, created_at, tenant_id, asset_id, metric_type, metric_name, value_count, value_sum, \
             dimensions) \
         SELECT 1, n, now() - n * INTERVAL '11 minutes', now(), '{tenant}', 'gpt-4', 'gauge', 'latency', 1, n, '{{\"of\": \"{tenant}\"}}' \
         FROM generate_series(0, 40) n; \
         INSERT INTO correlations (id, timestamp, tenant_id, correlation_type, primary_event_id, related_event_id, primary_timestamp, \
             related_timestamp, strength, confidence) \
         SELECT gen_random_uuid(), a.timestamp, a.tenant_id, 'causal', b.id, a.id, b.timestamp, a.timestamp, 0.75 + a.batch_seq / 100.0, 1 \
         FROM events a JOIN events b ON b.batch_id = a.batch_id AND b.batch_seq = a.batch_seq + 1 AND b.tenant_id = a.tenant_id \
         WHERE a.tenant_id = '{tenant}' AND a.batch_id = 1 AND a.batch_seq < 20; \
         INSERT INTO asset_metadata (tenant_id, asset_id, asset_name, first_seen, last_seen) VALUES ('{tenant}', 'a', '{tenant}', {times}); \
         INSERT INTO metric_series (tenant_id, asset_id, metric_type, metric_name, series_id, dimensions, first_seen, last_seen) \
         VALUES ('{tenant}', 'a', 'gauge', '{tenant}', gen_random_uuid(), '{{}}', {times}); \
         INSERT INTO dead_letter_events (tenant_id, id, stage, code, reason, raw, route, content_type, item_index, receipt, api_key_id) \
         VALUES ('{tenant}', gen_random_uuid(), 'decode', 'c', '{tenant}', '{tenant}', 'events', 'x', 0, gen_random_uuid(), gen_random_uuid()); \
         INSERT INTO ingest_batches (tenant_id, batch_id, stream, event_count, min_timestamp, max_timestamp, touched_hours) \
         VALUES ('{tenant}', nextval('ingest_batch_id'), 'default', 1, {times}, '{{}}'); \
         INSERT INTO ingest_ledger (tenant_id, idempotency_key, request_sha256, route, receipt, http_status, accepted, rejected) \
         VALUES ('{tenant}', 'k', sha256('x'), 'events', gen_random_uuid(), 200, 1, 0); \
         INSERT INTO event_streams (tenant_id, name, revision) VALUES ('{tenant}', 's', 1); \
         INSERT INTO event_stream_schemas (tenant_id, stream, version, schema) VALUES ('{tenant}', 's', 1, '{{}}'); \
         INSERT INTO event_stream_warnings (tenant_id, stream, version, events, last_at, field, rule) VALUES ('{tenant}', 's', 1, 1, now(), '', ''); \
         INSERT INTO services (tenant_id, id, name, status, created_at, updated_at, event_id, event_stream, event_offset, told_by) \
         VALUES ('{tenant}', gen_random_uuid(), '{tenant}', 'active', {times}, {said}); \
         INSERT INTO deployments (tenant_id, id, deployment_id, status, created_at, updated_at, event_id, event_stream, event_offset, told_by) \
         VALUES ('{tenant}', gen_random_uuid(), '{tenant}', 'started', {times}, {said}); \
         INSERT INTO resource_references (tenant_id, id, namespace, kind, name, created_at, updated_at, event_id, event_stream, event_offset, \
             told_by) VALUES ('{tenant}', 1, 'n', 'k', '{tenant}', {times}, {said}); \
         INSERT INTO action_histories (tenant_id, id, resource_id, action_type, status, created_at, updated_at, event_id, event_stream, \
             event_offset, told_by) VALUES ('{tenant}', 1, 1, 'x', 'y', {times}, {said}); \
         INSERT INTO resource_action_traces (tenant_id, id, action_id, action_history_id, action_type, action_timestamp, execution_status, \
             created_at, updated_at, event_id, event_stream, event_offset, told_by) \
         VALUES ('{tenant}', 1, '{tenant}', 1, 'x', now(), 'y', {times}, {said}); \
         INSERT INTO api_keys (id, org_id, key_hash, label, scopes) SELECT gen_random_uuid(), o.id, sha256('{tenant}'), '{tenant}', ARRAY['read'] \
         FROM organizations o WHERE o.tenant_id = '{tenant}'"
    )
}
