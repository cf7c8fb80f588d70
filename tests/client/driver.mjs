// Does what its standard input says with the browser client, and says on standard output what comes of it: a line of
// JSON each. Arguments: the module of the client, and its options; `tokens` are given out one by one, the last for ever.

import { createInterface } from "node:readline";

const [module, given] = process.argv.slice(2);
const { connect } = await import(module);
const { tokens, WebSocket, ...options } = JSON.parse(given);

const say = message => process.stdout.write(`${JSON.stringify(message)}\n`);

if (tokens) {
  options.token = () => {
    say({ asked: tokens[0] });
    return tokens.length > 1 ? tokens.shift() : tokens[0];
  };
}
if (WebSocket === "given") {
  options.WebSocket = globalThis.WebSocket;
  delete globalThis.WebSocket;
}

const client = connect(options);
const subscriptions = [];
client.onState(state => say({ state }));

const open = (how, ask, iteration) => {
  const number = subscriptions.length;
  const heard = iteration ? undefined : event => say({ subscription: number, event });
  const subscription = client[how](ask, heard, iteration ?? undefined);
  subscriptions.push({ subscription, iterator: iteration && subscription[Symbol.asyncIterator]() });
  return number;
};

const actions = {
  subscribe: (ask, iteration) => open("subscribe", ask, iteration),
  replay: ask => open("replay", ask),
  on: (number, method, ...args) => subscriptions[number].subscription[method](...args),
  take: async (number, count) => {
    const taken = [];
    while (taken.length < count) {
      const { value, done } = await subscriptions[number].iterator.next();
      if (done) break;
      taken.push(value);
    }
    return taken;
  },
  breaking: number => subscriptions[number].iterator.return(),
  look: number => {
    const { ask, cursor, stats } = subscriptions[number].subscription;
    return { ask, cursor, stats };
  },
  stats: () => client.stats,
  pages: async past => {
    const pages = [];
    for await (const page of client.historyPages(past)) pages.push(page);
    return pages;
  },
};

const act = async ({ id, action, args }) => {
  try {
    const result = await (actions[action] ?? ((...args) => client[action](...args)))(...args);
    say({ id, result: result ?? null });
  } catch (error) {
    say({ id, error: { name: error.name, number: error.number, reason: error.reason, description: error.message } });
  }
};

for await (const line of createInterface({ input: process.stdin })) act(JSON.parse(line));
client.close();
