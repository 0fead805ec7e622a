// Checks notices that were received with the reference library of Standard Webhooks.
import { readFileSync } from "node:fs";
import { createRequire } from "node:module";

const [, , modules, file] = process.argv;
const { Webhook } = createRequire(`${modules}/`)("standardwebhooks");
const { secret, received } = JSON.parse(readFileSync(file, "utf8"));
const refuses = (webhook, body, headers, why) => {
  try {
    webhook.verify(body, headers);
  } catch {
    return;
  }
  throw new Error(`${why} passed`);
};
const webhook = new Webhook(secret);
for (const { body, headers } of received) {
  webhook.verify(body, headers);
  refuses(webhook, body + " ", headers, "a changed body");
  const late = { ...headers, "webhook-timestamp": String(Number(headers["webhook-timestamp"]) - 600) };
  refuses(webhook, body, late, "a replayed notice");
  const foreign = new Webhook("whsec_" + Buffer.alloc(32, 7).toString("base64"));
  refuses(foreign, body, headers, "a notice of another's secret");
}
console.log(`webhooks: the library of npm takes ${received.length} of ours and refuses changed, replayed and foreign ones`);
