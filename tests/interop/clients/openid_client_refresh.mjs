// openid-client discovers the service, then trades refresh tokens as a public client.

import * as client from "openid-client";

const [issuer, refreshToken] = process.argv.slice(2);
const config = await client.discovery(new URL(issuer), "signet", undefined, client.None(), {
  execute: [client.allowInsecureRequests],
  algorithm: process.argv[4] ?? "oidc",
});
const first = await client.refreshTokenGrant(config, refreshToken);
const second = await client.refreshTokenGrant(config, first.refresh_token);
const refused = await client.refreshTokenGrant(config, "junk").catch((error) => error);
const refusal = { error: refused.error, status: refused.status };
console.log(JSON.stringify({ supported: config.serverMetadata().grant_types_supported, first, second, refusal }));
