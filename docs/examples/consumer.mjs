#!/usr/bin/env node
// Reads a stream as the one member of a consumer group, and commits how far it came.
//
//     TIDEGATE_KEY=tg_... node consumer.mjs STREAM GROUP [--until-idle]
//
// Needs Node 18 or newer and a key with the scope `consume`. Prints each event as a line of JSON; numbers in payloads are those of
// JavaScript here, as far as it prints them.

const url = process.env.TIDEGATE_URL ?? "http://127.0.0.1:8080";
const key = process.env.TIDEGATE_KEY;
const [stream, group] = process.argv.slice(2);
if (!group) {
  console.error("TIDEGATE_KEY=tg_... node consumer.mjs STREAM GROUP [--until-idle]");
  process.exit(1);
}
const untilIdle = process.argv.includes("--until-idle");
const groups = `/v1/streams/${encodeURIComponent(stream)}/groups`;
const place = `${groups}/${encodeURIComponent(group)}`;
const passing = ["database_unavailable", "reads_busy", "tenant_reads", "group_busy"];

/** One request, again while the server is away or busy; a problem's code is the error's `code`. */
async function ask(method, path, body) {
  for (;;) {
    const headers = { authorization: `Bearer ${key}`, "content-type": "application/json" };
    const request = { method, headers, body: body && JSON.stringify(body) };
    const answer = await fetch(url + path, request).catch(() => undefined);
    const said = answer && (await answer.json());
    if (answer?.ok) return said;
    if (answer && !passing.includes(said.code)) throw Object.assign(new Error(`${said.code}: ${said.detail}`), { code: said.code });
    await new Promise((again) => setTimeout(again, 1000));
  }
}

await ask("POST", groups, { name: group }).catch((error) => {
  if (error.code !== "group_exists") throw error;
});
// A consumer that read before commits in vain from now on.
await ask("POST", `${place}/takeover`, {});
for (;;) {
  const taken = await ask("GET", `${place}/events?limit=500&wait=${untilIdle ? "0" : "30s"}`);
  const { events, cursor, generation, lease } = taken;
  for (const event of events) console.log(JSON.stringify(event));
  // Parked events that are replayed come each under a lease, and move the group nowhere.
  if (lease) await ask("POST", `${place}/ack`, { lease });
  else if (events.length > 0) await ask("POST", `${place}/offset`, { cursor, generation });
  else if (untilIdle) break;
}
