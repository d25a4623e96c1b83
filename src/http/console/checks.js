// Whether it is well: each check makes lines of what the server says of itself, with what to do where it is not. Its thresholds are
// those of deploy/alerts.yml, whose pages in docs/runbook have the same names.
const GIB = 2 ** 30, DAY_S = 86400;
const asBytes = n => { const unit = Math.min(4, n > 0 ? Math.floor(Math.log2(n) / 10) : 0); return `${Number((n / 2 ** (10 * unit)).toPrecision(3))} ${["B", "KiB", "MiB", "GiB", "TiB"][unit]}`; };
const roughly = s => s < 120 ? `${Math.round(s)} s` : s < 7200 ? `${Math.round(s / 60)} min` : s < 2 * DAY_S ? `${Math.round(s / 3600)} h` : `${Math.round(s / DAY_S)} days`;
const CHECKS = (() => {
const well = (value, more = {}) => ({ state: "well", value, ...more }), look = (value, todo, more = {}) => ({ state: "look", value, todo, ...more });
const act = (value, todo, more = {}) => ({ state: "act", value, todo, ...more });
const perSecond = (n, s) => s > 0 ? `${Number((n / s).toPrecision(3)).toLocaleString("en")}/s` : "–";
const every = { view: ["events", "See the events"] }, letters = { view: ["dead", "See the dead letters"] };
// The width of a level's buckets, by its name.
const levelWidth = level => /daily|1d/.test(level) ? DAY_S : /1m$/.test(level) ? 60 : /5m$/.test(level) ? 300 : 3600;

// Of `now`, and of `then`, `passed` seconds before: scrapes of /metrics. `ready` is /readyz, `jobs` those of /v1/lifecycle or null.
return {
  Readiness: ({ ready }) => ready.status === "ready" ? well("ready") : ready.status === "degraded" ? act(`spooling: ${ready.reason}`, "Bring the database back; requests wait in the spool meanwhile.", { runbook: "TidegateDatabaseAway" })
    : act(`not ready: ${ready.reason}`, "Senders are refused: see why.", { runbook: "TidegateDatabaseAway" }),
  Rate: ({ now, then, passed }) => well(`${perSecond(grownBy(now, then, "tidegate_items_received_total"), passed)} received, ${perSecond(grownBy(now, then, "tidegate_items_committed_total"), passed)} committed`, every),
  Latency({ now, then }) {
    const name = "tidegate_batch_write_seconds", [half, most] = [.5, .99].map(part => quantileBelow(now, then, name, part));
    if (half === null) return well("no batch was written lately");
    const value = `half of the batches were written within ${half} s, 99 % within ${most} s`;
    return most > 2 ? look(value, "Look at the database: disk, locks, room.", { runbook: "TidegateSlowWrites" }) : well(value);
  },
  Refusals({ now, then }) {
    const refused = grownBy(now, then, "tidegate_http_requests_total", of => of.status === "503"), quota = grownBy(now, then, "tidegate_quota_refusals_total");
    const value = `${count(refused)} answered 503, ${count(quota)} over a quota`;
    return refused ? act(value, "Senders cannot send: memory, the spool, or the database is at its end.", { runbook: "TidegateRefuses" })
      : quota ? look(value, "A key or an organization sends more than it may.", { runbook: "TidegateQuota" }) : well(value);
  },
  "Dead letters"({ now, then }) {
    const name = "tidegate_items_dead_lettered_total", dead = grownBy(now, then, name), received = grownBy(now, then, "tidegate_items_received_total"), value = `${count(dead)} lately, ${count(totalOf(now, name))} since the start`;
    return dead > .05 * received ? act(value, "More than 5 % of what comes in is refused: tell its sender.", { ...letters, runbook: "TidegateDeadLetterRate" })
      : dead ? look(value, "See what was wrong with them, and tell their sender.", { ...letters, runbook: "TidegateDeadLetters" }) : well(value, letters);
  },
  Conservation({ now }) {
    const of = (name, end = "_total") => totalOf(now, `tidegate_items_${name}${end}`);
    const apart = of("received") + of("recovered_from_spool") - ["committed", "dead_lettered", "deduplicated", "refused"].reduce((sum, name) => sum + of(name), 0) - of("in_flight", "") - of("spooled", "");
    return apart ? act(`${count(Math.abs(apart))} items are in no account`, "That is a bug of Tidegate: keep its log, and report it.", { runbook: "TidegateBooks" }) : well("every item is accounted for");
  },
  Spool({ now, then }) {
    const of = name => totalOf(now, `tidegate_spool_${name}`), waiting = of("records"), quarantine = of("quarantine_bytes");
    const value = waiting ? `${several(waiting, "request")}, ${asBytes(of("bytes"))}, the oldest for ${roughly(of("oldest_age_seconds"))}` : `empty${quarantine ? `, ${asBytes(quarantine)} in quarantine` : ""}`;
    if (grownBy(now, then, "tidegate_spool_sync_failures_total")) return act(value, "Its disk fails: put data_dir on another.", { runbook: "TidegateSpoolDisk" });
    if (of("drain_failing")) return act(value, "What is spooled cannot be written: the readiness says why.", { runbook: "TidegateSpoolDoesNotDrain" });
    if (quarantine) return act(value, "Acknowledged requests were set aside: tidegate spool list.", { runbook: "TidegateQuarantine" });
    if (of("disk_bytes") > 2 * GIB) return act(value, "It fills: bring the database back, or give it room.", { runbook: "TidegateSpoolFilling" });
    return waiting > totalOf(then, "tidegate_spool_records") && totalOf(now, "tidegate_database_available") === 1 ? look(value, "More is spooled than drained.", { runbook: "TidegateSpoolGrows" }) : waiting ? look(value, "It drains once the database takes batches.") : well(value);
  },
  Rollups({ now }) {
    const levels = samplesOf(now, "tidegate_rollup_lag_seconds").map(s => ({ level: s.of.level, lag: s.value, over: s.value - 3 * levelWidth(s.of.level) - 300 })).sort((a, b) => b.over - a.over);
    if (!levels.length) return null;
    const [{ level, lag, over }] = levels, value = `${level} is closed until ${roughly(lag)} ago`;
    return over > 0 ? look(value, "Reads compute what is missing from samples, and take longer: see the jobs.", { runbook: "TidegateRollupsBehind" }) : well(`all ${levels.length} levels closed in time`);
  },
  "Correlations' lag"({ now }) {
    const lag = totalOf(now, "tidegate_correlation_lag_seconds");
    return lag > 3600 ? look(`${roughly(lag)} behind`, "Newer pairs are missing: see the jobs.", { view: ["correlations", "See the correlations"], runbook: "TidegateCorrelationsBehind" }) : well(`${roughly(lag)} behind`);
  },
  "Consumer groups"({ now, then, sees }) {
    const ages = samplesOf(now, "tidegate_group_oldest_unread_seconds");
    if (!ages.length) return sees ? well("there is none", { view: ["streams", "See the streams"] }) : { state: "unseen", value: "of an organization: not without a key of it" };
    const named = of => `${of.group} of ${of.stream}`, last = ages.reduce((a, b) => b.value > a.value ? b : a), lag = samplesOf(now, "tidegate_group_lag").find(s => named(s.of) === named(last.of) && s.of.tenant === last.of.tenant)?.value ?? 0;
    const to = { view: ["streams", "See the group", { "s.stream": last.of.stream, "s.group": last.of.group }] }, value = lag ? `${several(ages.length, "group")}; ${named(last.of)} lags most: ${several(lag, "event")}, ${roughly(last.value)}` : `${several(ages.length, "group")}, nothing unread`;
    if (last.value > 3600) return look(value, "Its members are away or too slow.", { ...to, runbook: "TidegateGroupBehind" });
    return totalOf(now, "tidegate_group_parked") > totalOf(then, "tidegate_group_parked") ? look(value, "Events are parked: see why.", { ...to, runbook: "TidegateGroupParks" }) : well(value, to);
  },
  Jobs({ now, then, jobs }) {
    if (jobs) {
      const failing = jobs.filter(j => j.get("failing")), error = failing[0]?.get("last_error");
      return failing.length ? look(`${failing.map(j => j.get("job")).join(", ")} of ${jobs.length} fail`, `${error ?? "No error is kept."}`, { runbook: "TidegateJobFails" }) : well(`${jobs.length}, none fails`);
    }
    const failed = [...new Set(samplesOf(now, "tidegate_job_failures_total").map(s => s.of.job_name))].filter(job => grownBy(now, then, "tidegate_job_failures_total", of => of.job_name === job));
    return failed.length ? look(`${failed.join(", ")}: failed lately`, "A key with the scope admin is told the error.", { runbook: "TidegateJobFails" }) : well(`${samplesOf(now, "tidegate_job_runs_total").length}, none failed lately`);
  },
  Nodes({ now }) {
    const of = samplesOf(now, "tidegate_nodes").filter(s => s.value > 0), lost = of.find(s => s.of.state === "lost");
    if (!of.length) return null;
    const value = of.map(s => `${count(s.value)} ${s.of.state}`).join(", ");
    return lost ? look(value, "One has not been heard of: tidegate nodes says which, and what is in its spool.", { runbook: "TidegateNodeLost" }) : well(value);
  },
  Disk({ now }) {
    const free = samplesOf(now, "tidegate_disk_free_bytes");
    if (!free.length) return null;
    return free[0].value < GIB ? act(`${asBytes(free[0].value)} free`, "Make room where data_dir is.", { runbook: "TidegateDiskFull" }) : well(`${asBytes(free[0].value)} free`);
  },
  Certificate({ now }) {
    const end = samplesOf(now, "tidegate_tls_certificate_expiry_timestamp_seconds");
    if (!end.length) return null;
    const left = end[0].value - Date.now() / 1000, value = left > 0 ? `ends in ${roughly(left)}` : "has ended";
    return left < 14 * DAY_S ? look(value, "Put a new one in its place; it is taken without a restart.", { runbook: "TidegateCertificateExpires" }) : well(value);
  },
  Backups({ now }) {
    const newest = samplesOf(now, "tidegate_backup_newest_seconds"), wal = samplesOf(now, "tidegate_backup_wal_up");
    if (!newest.length && !wal.length) return null;
    const value = newest[0]?.value ? `the newest is ${roughly(Date.now() / 1000 - newest[0].value)} old` : "none yet";
    return wal.some(s => s.value === 0) ? act(value, "The archive of WAL cannot be written: see the log.") : well(value);
  },
  Assets({ now }) {
    const silent = totalOf(now, "tidegate_tenant_assets_silent"), heard = samplesOf(now, "tidegate_tenant_assets");
    if (!heard.length) return null;
    return silent ? look(`${count(silent)} fell silent`, "See whether they are off, or cannot send.", { runbook: "TidegateAssetsSilent" }) : well(`${count(totalOf(now, "tidegate_tenant_assets"))} heard of in the last hour`);
  },
  Organizations({ now, then, passed }) {
    const rates = samplesOf(now, "tidegate_tenant_items_received_total").map(s => [s.of.tenant, grownBy(now, then, "tidegate_tenant_items_received_total", of => of.tenant === s.of.tenant)]).sort((a, b) => b[1] - a[1]);
    return rates.length ? well(`${rates.slice(0, 3).map(([name, n]) => `${name}: ${perSecond(n, passed)}`).join(", ")}${rates.length > 3 ? `, and ${count(rates.length - 3)} more` : ""}`) : null;
  },
};
})();
