// Verifies the tokens on standard input, one a line, with jose; knows the issuer and the audience, and finds the keys
// through discovery. How many milliseconds it keeps them, and how many it waits before it looks for an unknown one again,
// may come last; jose's own choices are 600,000 and 30,000.

import { createInterface } from "node:readline/promises";
import { createRemoteJWKSet, jwtVerify } from "jose";

const [issuer, audience, cacheMaxAge = "600000", cooldownDuration = "30000"] = process.argv.slice(2);
const discovery = await (await fetch(`${issuer}/.well-known/openid-configuration`)).json();
if (discovery.issuer !== issuer) throw new Error(`discovery names another issuer: ${discovery.issuer}`);
const caching = { cacheMaxAge: Number(cacheMaxAge), cooldownDuration: Number(cooldownDuration) };
const keys = createRemoteJWKSet(new URL(discovery.jwks_uri), caching);
const expected = {
  issuer,
  audience,
  typ: "at+jwt",
  algorithms: ["ES256"],
  requiredClaims: ["iss", "sub", "aud", "exp", "iat", "jti", "client_id"],
};

async function verify(token) {
  try {
    const { protectedHeader, payload } = await jwtVerify(token, keys, expected);
    return { header: protectedHeader, claims: payload };
  } catch (error) {
    return { refused: [error.code ?? String(error), error.claim].filter(Boolean).join(" ") };
  }
}

for await (const line of createInterface({ input: process.stdin })) {
  console.log(JSON.stringify(await verify(line)));
}
