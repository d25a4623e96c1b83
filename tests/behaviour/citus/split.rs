//! Citus would split shards; a cell it cannot, and says so, and nothing is lost by the attempt.

use super::cluster::{Cluster, tenants};
use super::load::{Load, ends_whole};
use crate::env::{Env, TestResult, until};

/// What Citus says of it, but for a moment in which partitions are made.
const REFUSED: &str = "cannot find shard interval";

pub fn a_cell_is_not_split(env: &Env) -> TestResult {
    let cluster = Cluster::start(2);
    let tidegate = cluster.serve(env);
    let tenants = tenants(&cluster, env, &tidegate);
    let load = Load::start(tenants.iter().map(|(_name, client)| client));
    load.flows(5);
    let superuser = cluster.coordinator.superuser();
    let cells = "SELECT count(*) FROM pg_dist_shard WHERE logicalrelid = 'tidegate.ingest_ledger'::regclass";
    let of = |name: &str| -> i64 {
        superuser.one(&format!("SELECT get_shard_id_for_distribution_column('tidegate.events', '{name}')"))
    };
    // In this one it would not be refused: a row without a tenant has its hash.
    let excepted = of("");
    for (tenant, _client) in tenants.iter().filter(|(tenant, _client)| of(tenant) != excepted) {
        let split = format!(
            "SELECT isolate_tenant_to_new_shard('tidegate.events', '{tenant}', 'CASCADE', shard_transfer_mode => 'block_writes')"
        );
        until("it is refused for what it is", || {
            let error =
                superuser.with(async |client| client.batch_execute(&split).await).expect_err("a cell was split");
            error.as_db_error().is_some_and(|error| error.message() == REFUSED).then_some(())
        });
        assert_eq!(superuser.one::<i64>(cells), 4, "{tenant}");
    }
    ends_whole(cluster, tidegate, &tenants, load);
    Ok(())
}
