// What a script is told by environment variables (`k6 run -e NAME=value`, or the shell's own).

// Where Tidegate listens; the default is that of `make run`.
export const url = (__ENV.URL || 'http://127.0.0.1:8080').replace(/\/+$/, '');

// API keys with the scopes ingest and read, comma separated; requests take turns.
export const keys = (__ENV.KEY || __ENV.TIDEGATE_KEY || '').split(',').map((key) => key.trim()).filter((key) => key);

if (keys.length === 0) {
  throw new Error(
    'no API key: give one with the scopes ingest and read by -e KEY=tg_... (or the variable TIDEGATE_KEY).\n' +
      '`make run` prints one at its first start; another: tidegate keys create --org NAME --scopes ingest,read.\n' +
      '`make load-test TEST=...` starts an instance of its own and needs none.',
  );
}

// A whole number of at least 1, or the default.
export function number(name, otherwise) {
  const text = __ENV[name];
  if (text === undefined || text === '') {
    return otherwise;
  }
  if (!/^[1-9][0-9]*$/.test(text)) {
    throw new Error(`${name}: must be a whole number from 1 on, not ${JSON.stringify(text)}`);
  }
  return parseInt(text, 10);
}

// A duration as k6 writes it (30s, 5m), or the default.
export function duration(name, otherwise) {
  const text = __ENV[name] || otherwise;
  if (!/^([0-9]+(h|m|s|ms))+$/.test(text)) {
    throw new Error(`${name}: must be a duration such as 30s or 5m, not ${JSON.stringify(text)}`);
  }
  return text;
}
